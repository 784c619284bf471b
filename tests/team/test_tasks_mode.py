"""Teams in the mode "tasks": the leader works on a list of tasks until all are completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import ModelError, RunLimitError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.team import Team, TeamMode
from agno_nb.team.task import load_task_list
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunStatus, TeamRunEvent, ToolCall
from tests.team.crew import echo


def create(title: str, assignee: str = "m", depends_on: list[str] | None = None) -> ToolCall:
    return call("create_task", title=title, assignee=assignee, depends_on=depends_on or [])


def execute(task_id: str, member_id: str = "m") -> ToolCall:
    return call("execute_task", task_id=task_id, member_id=member_id)


def several(*task_ids: str) -> ToolCall:
    return call("execute_tasks_parallel", task_ids=list(task_ids))


def tasks_of(team: Team) -> list[tuple[str, str, str | None, str | None]]:
    tasks = load_task_list(team.get_session_state()).tasks
    return [(task.title, task.status.value, task.assignee, task.result) for task in tasks]


DONE = call("mark_all_complete", summary="done")


def test_the_leader_works_on_the_list_until_all_is_done(db: InMemoryDb) -> None:
    poet, cook = Agent(FunctionModel(echo), name="Poet"), Agent(FunctionModel(echo), name="Cook")
    leader = ScriptedModel(
        [
            [create("haiku", "poet"), create("soup", "cook"), create("menu", "", ["1", "2"])],
            several("1", "2"),
            "Two are done.",
            [execute("3", "cook"), DONE],
            "Here is the menu.",
        ]
    )
    team = Team([poet, cook], model=leader, mode="tasks", db=db)
    run = team.run("A menu, please", session_id="s")

    assert (run.status, run.content) == (RunStatus.COMPLETED, "Here is the menu.")
    assert [(each.component_name, each.input) for each in run.member_responses] == [
        ("Poet", "haiku"),
        ("Cook", "soup"),
        ("Cook", "menu\n\n<results>\nhaiku: did: haiku\nsoup: did: soup\n</results>"),
    ]
    last = "did: menu\n\n<results>\nhaiku: did: haiku\nsoup: did: soup\n</results>"
    assert [(tool.tool_name, tool.result) for tool in run.tools] == [
        ("create_task", "Task 1 was created; it is pending."),
        ("create_task", "Task 2 was created; it is pending."),
        ("create_task", "Task 3 was created; it is blocked."),
        ("execute_tasks_parallel", "Task 1: did: haiku\n\nTask 2: did: soup"),
        ("execute_task", last),
        ("mark_all_complete", "All work is marked as done. Now write the answer for the user."),
    ]
    assert tasks_of(team) == [
        ("haiku", "completed", "poet", "did: haiku"),
        ("soup", "completed", "cook", "did: soup"),
        ("menu", "completed", "cook", last),
    ]
    own = [message for message in run.messages if message.role in ("user", "assistant") and message.content]
    assert [message.role for message in own] == ["user", "assistant", "user", "assistant"]
    assert own[2].content == (
        "The list of tasks is now:\n<task_list>\n3 tasks: 2 completed, 1 pending\n[1] haiku (poet): completed\n"
        "    result: did: haiku\n[2] soup (cook): completed\n    result: did: soup\n[3] menu: pending\n"
        "    depends on: 1, 2\n</task_list>\n\nContinue with the tasks. When nothing is left to do, call "
        "mark_all_complete and write the answer."
    )


def test_the_leader_has_the_tools_of_the_list_and_not_those_of_other_modes() -> None:
    leader = ScriptedModel(["Hello.", "Hello again."])
    Team([Agent(name="a"), Agent(name="b")], model=leader, mode=TeamMode.tasks, get_member_information_tool=True).run(
        "Hi"
    )
    tools = {tool.name: tool.parameters["properties"] for tool in leader.requests[0].tools}
    assert {name: sorted(parameters) for name, parameters in tools.items()} == {
        "create_task": ["assignee", "depends_on", "description", "title"],
        "execute_task": ["member_id", "task_id"],
        "execute_tasks_parallel": ["task_ids"],
        "update_task_status": ["result", "status", "task_id"],
        "list_tasks": [],
        "add_task_note": ["note", "task_id"],
        "mark_all_complete": ["summary"],
    }
    assert tools["execute_task"]["member_id"]["enum"] == ["a", "b"]
    assert tools["create_task"]["assignee"]["enum"] == ["a", "b", ""]


def test_what_needs_no_task_is_answered_twice_or_at_once() -> None:
    # As in agno, the leader is reminded once that it has created no task.
    leader = ScriptedModel(["Hello.", "Hello again."])
    assert Team([Agent(name="a")], model=leader, mode="tasks").run("Hi").content == "Hello again."
    assert [len(request.messages) for request in leader.requests] == [2, 4]

    leader = ScriptedModel([DONE, "Hello."])
    run = Team([Agent(name="a")], model=leader, mode="tasks").run("Hi")
    assert (run.content, len(leader.requests)) == ("Hello.", 2)


def test_tasks_are_executed_at_the_same_time() -> None:
    meeting = asyncio.Barrier(2)

    class Meeting(Model):
        id, provider = "meeting", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            await asyncio.wait_for(meeting.wait(), 10)
            yield ModelResponse(content=f"did {request.messages[-1].content}")

    leader = ScriptedModel([[create("a"), create("b")], several("1", "2"), "Done."])
    run = Team([Agent(Meeting(), name="m")], model=leader, mode="tasks").run("Go")
    assert (run.content, run.tools[2].result) == ("Done.", "Task 1: did a\n\nTask 2: did b")


def test_a_task_fails_with_its_member_and_can_be_executed_again(db: InMemoryDb) -> None:
    member = Agent(ScriptedModel([ModelError("on fire"), "b done", "a done", "c done"]), name="m")
    leader = ScriptedModel(
        [
            [create("a"), create("b"), create("c", depends_on=["1"])],
            execute("1"),
            execute("2"),
            "One has failed.",
            [call("update_task_status", task_id="1", status="pending")],
            execute("1"),
            execute("3"),
            "All done.",
        ]
    )
    team = Team([member], model=leader, mode="tasks", db=db)
    run = team.run("Go", session_id="s")
    assert run.content == "All done."
    assert [(tool.result, tool.tool_call_error) for tool in run.tools[3:]] == [
        ("ModelError: on fire", True),
        ("b done", False),
        ("Task 1 is now pending.", False),
        ("a done", False),
        ("c done", False),
    ]
    reminder = run.messages[-8].content or ""
    assert "[1] a (m): failed\n    result: on fire\n[2] b (m): completed" in reminder
    assert "[3] c (m): failed\n    depends on: 1\n    result: A task that this one depends on has failed." in reminder
    assert [status for _, status, _, _ in tasks_of(team)] == ["completed", "completed", "completed"]


def test_if_some_parallel_tasks_fail_the_others_are_completed() -> None:
    members = [Agent(ScriptedModel([ModelError("no")]), name="bad"), Agent(FunctionModel(echo), name="good")]
    leader = ScriptedModel([[create("a", "bad"), create("b", "good")], several("1", "2"), DONE, "Half of it."])
    run = Team(members, model=leader, mode="tasks").run("Go")
    assert (run.tools[2].result, run.tools[2].tool_call_error) == ("Task 1 failed: no\n\nTask 2: did: b", False)
    assert run.content == "Half of it."


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (execute("7"), "there is no task '7'; the tasks are: 1 (a), 2 (b)"),
        (execute("2"), "task '2' is blocked for 1 and cannot be executed now"),
        (several("1", "2"), "task '2' is blocked for 1 and cannot be executed now"),
        (several("3"), "there is no task '3'"),
        (create("c", depends_on=["9"]), "there is no task '9'"),
        (
            call("update_task_status", task_id="1", status="blocked"),
            "'pending', 'in_progress', 'completed' or 'failed'",
        ),
        (execute("1", "nobody"), "Input should be 'm'"),
    ],
    ids=["unknown", "blocked", "blocked in a batch", "unknown in a batch", "dependency", "status", "member"],
)
def test_the_leader_is_told_what_is_wrong(wrong: ToolCall, said: str) -> None:
    leader = ScriptedModel([[create("a"), create("b", depends_on=["1"])], wrong, DONE, "Sorry."])
    run = Team([Agent(FunctionModel(echo), name="m")], model=leader, mode="tasks").run("Go")
    assert run.tools[2].tool_call_error
    assert said in str(run.tools[2].result)
    assert run.nested_runs == []


def test_a_task_for_nobody_and_a_title_that_exists_are_told() -> None:
    leader = ScriptedModel([[create("Tea", ""), create(" tea")], several("1"), call("list_tasks"), DONE, "Sorry."])
    run = Team([Agent(FunctionModel(echo), name="m")], model=leader, mode="tasks").run("Go")
    assert run.tools[1].result == "Task 1 has this title already; it is pending."
    assert "task '1' was created for no member; use execute_task for it" in str(run.tools[2].result)
    assert run.tools[3].result == "1 task: 1 pending\n[1] Tea: pending"


@pytest.mark.parametrize("settings", [{"max_iterations": 3}, {"max_iterations": 10, "tool_call_limit": 3}])
def test_the_run_ends_at_a_limit_and_says_so(settings: dict[str, Any]) -> None:
    leader = FunctionModel(lambda messages, tools: call("list_tasks") if messages[-1].role == "user" else "Still at it")
    team = Team([Agent(name="m")], model=leader, mode="tasks", **settings)
    with team.run("Go", stream=True, stream_events=True) as stream:
        events = [event for event in stream if event.event is TeamRunEvent.task_iteration_completed]
    assert stream.result is not None
    assert (stream.result.status, stream.result.content) == (RunStatus.COMPLETED, "Still at it")
    name, value = list(settings.items())[-1]
    assert [event.content for event in events] == [None, None, f"{name}={value} ends the run with 0 open tasks"]
    assert len(leader.requests) == 6


def test_the_limit_of_requests_holds() -> None:
    leader = FunctionModel(lambda messages, tools: call("list_tasks") if messages[-1].role == "user" else "Still at it")
    with pytest.raises(RunLimitError, match="request_limit=4"):
        Team([Agent(name="m")], model=leader, mode="tasks", request_limit=4).run("Go")


def test_the_next_run_of_the_session_has_the_list_and_begins_anew(db: InMemoryDb) -> None:
    leader = ScriptedModel(
        [
            [create("a"), create("b")],
            execute("1"),
            DONE,
            "First.",
            execute("2"),
            "Second.",
        ]
    )
    team = Team([Agent(FunctionModel(echo), name="m")], model=leader, mode="tasks", db=db)
    team.run("Go", session_id="s")
    assert load_task_list(team.get_session_state()).goal_complete
    # Task 2 is open, so the second run is not over with the goal of the first.
    assert team.run("Go on", session_id="s").content == "Second."
    assert tasks_of(team) == [("a", "completed", "m", "did: a"), ("b", "completed", "m", "did: b")]
    assert not load_task_list(team.get_session_state()).goal_complete


def test_events_tell_of_tasks_as_they_change() -> None:
    leader = ScriptedModel([create("a"), execute("1"), "Done."])
    team = Team([Agent(FunctionModel(echo), name="m")], model=leader, mode="tasks")
    events = [event for event in team.run("Go", stream=True, stream_events=True) if event.event.startswith("TeamTask")]
    keys = ("task_id", "title", "assignee", "status", "previous_status", "result", "iteration", "max_iterations")
    assert [(event.event.value, {key: value for key, value in (event.details or {}).items() if key in keys})
            for event in events] == [
        ("TeamTaskIterationStarted", {"iteration": 1, "max_iterations": 10}),
        ("TeamTaskCreated", {"task_id": "1", "title": "a", "assignee": "m", "status": "pending"}),
        ("TeamTaskUpdated", {"task_id": "1", "title": "a", "assignee": "m", "status": "in_progress",
                         "previous_status": "pending", "result": None}),
        ("TeamTaskUpdated", {"task_id": "1", "title": "a", "assignee": "m", "status": "completed",
                         "previous_status": "in_progress", "result": "did: a"}),
        ("TeamTaskStateUpdated", {}),
        ("TeamTaskIterationCompleted", {"iteration": 1, "max_iterations": 10}),
    ]  # fmt: skip
    assert (events[4].details or {})["tasks"][0]["result"] == "did: a"


@pytest.mark.parametrize("is_fresh", [False, True], ids=["same process", "from the store"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "all at once"])
def test_a_task_that_waits_for_a_person_pauses_the_team(db: InMemoryDb, is_fresh: bool, at_once: bool) -> None:
    sent: list[str] = []

    @tool(requires_confirmation=True)
    def send(to: str) -> str:
        sent.append(to)
        return f"sent to {to}"

    def crew() -> Team:
        """The same team, as defined by another process."""

        def write(messages: list[Message], tools: Any) -> Reply:
            return messages[-1].content or "" if messages[-1].role == "tool" else call("send", to="Bob")

        def lead(messages: list[Message], tools: Any) -> Reply:
            results = [message for message in messages if message.role == "tool"]
            if not results:
                return [create("letter", "writer"), create("book", "reader")]
            if len(results) == 2:
                return several("1", "2") if at_once else [execute("1", "writer"), execute("2", "reader")]
            return "\n".join(str(message.content) for message in results[2:])

        return Team(
            [Agent(FunctionModel(write), name="writer", tools=[send]), Agent(FunctionModel(echo), name="reader")],
            model=FunctionModel(lead),
            name="Crew",
            db=db,
            mode="tasks",
            share_member_interactions=True,
        )

    team = crew()
    run = team.run("Write to Bob", session_id="s")
    assert (run.status, sent) == (RunStatus.PAUSED, [])
    waiting = "in_progress" if at_once else "completed"
    assert [status for _, status, _, _ in tasks_of(team)] == ["in_progress", waiting]
    (requirement,) = run.active_requirements
    requirement.confirm()
    if is_fresh:
        done = crew().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
    else:
        done = team.continue_run(run)
    assert (done.status, sent) == (RunStatus.COMPLETED, ["Bob"])
    results = "Task 1: sent to Bob\n\nTask 2: did: book" if at_once else "sent to Bob\ndid: book"
    assert done.content == results
    assert tasks_of(team) == [
        ("letter", "completed", "writer", "sent to Bob"),
        ("book", "completed", "reader", "did: book"),
    ]
    assert len(db.runs_df()) == 3


def test_a_team_within_a_team_has_a_list_of_its_own(db: InMemoryDb) -> None:
    inner = Team(
        [Agent(FunctionModel(echo), name="m")],
        name="Inner",
        mode="tasks",
        model=ScriptedModel([create("inner task"), execute("1"), "Inner done."]),
    )
    leader = ScriptedModel([create("outer task", "inner"), execute("1", "inner"), "Outer done."])
    team = Team([inner], model=leader, mode="tasks", name="Outer", db=db)
    assert team.run("Go", session_id="s").content == "Outer done."
    state = team.get_session_state()
    assert [task.title for task in load_task_list(state).tasks] == ["outer task"]
    assert [task.title for task in load_task_list(state, "_team_tasks.inner").tasks] == ["inner task"]


def test_members_see_the_tasks_of_earlier_calls() -> None:
    member = FunctionModel(lambda messages, tools: f"done {len(messages[-1].content or '')}")
    leader = ScriptedModel([[create("a"), create("b")], execute("1"), execute("2"), "Done."])
    Team([Agent(member, name="m")], model=leader, mode="tasks", share_member_interactions=True).run("Go")
    assert [request.messages[-1].content for request in member.requests] == [
        "a",
        "<member_interactions>\nm was asked: a\nand said: done 1\n</member_interactions>\n\nb",
    ]


def test_a_tool_that_ends_the_run_ends_the_iterations_too() -> None:
    @tool(stop_after_tool_call=True)
    def finish(text: str) -> str:
        return text

    leader = ScriptedModel([create("a"), call("finish", text="That is all.")])
    run = Team([Agent(name="m")], model=leader, mode="tasks", tools=[finish]).run("Go")
    assert (run.status, run.content) == (RunStatus.COMPLETED, "That is all.")


def test_a_cached_answer_needs_no_further_request(db: InMemoryDb) -> None:
    leader = ScriptedModel(["Hello.", "Hello again."])
    team = Team([Agent(name="m")], model=leader, mode="tasks", db=db)
    assert team.run("Hi", session_id="a").content == "Hello again."
    run = team.run("Hi", session_id="b", cache=True)
    assert (run.content, run.is_cached, len(leader.requests)) == ("Hello again.", True, 2)


@pytest.mark.parametrize("second", [execute("1"), several("1")], ids=["execute_task", "execute_tasks_parallel"])
def test_a_task_is_executed_once_by_the_calls_of_an_answer(second: ToolCall, db: InMemoryDb) -> None:
    executed: list[str] = []

    def work(messages: list[Message], tools: Any) -> Reply:
        executed.append(str(messages[-1].content))
        return "worked"

    leader = ScriptedModel([create("dig"), [execute("1"), second], DONE, "Fine."])
    run = Team([Agent(FunctionModel(work), name="m")], model=leader, mode="tasks", db=db).run("x", session_id="s")
    assert (run.content, executed) == ("Fine.", ["dig"])
    assert [each.tool_call_error for each in run.tools] == [False, False, True, False]
    assert "being executed by another call" in str(run.tools[2].result)


@pytest.mark.parametrize("is_fresh", [False, True], ids=["same process", "another process"])
def test_a_member_is_not_run_again_because_its_other_texts_change_during_a_pause(
    db: InMemoryDb, is_fresh: bool
) -> None:
    sent: list[str] = []

    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        sent.append(text)
        return f"sent {text}"

    def write(messages: list[Message], tools: Any) -> Reply:
        return "Written." if messages[-1].role == "tool" else call("send", text="menu")

    def lead(messages: list[Message], tools: Any) -> Reply:
        replies: list[Reply] = [
            [create("soup"), create("menu", "writer", ["1"])],
            execute("1"),
            [execute("2", "writer"), call("update_task_status", task_id="1", status="completed", result="Better soup")],
            DONE,
            "Here is the menu.",
        ]
        return replies[sum(message.role == "assistant" for message in messages)]

    def crew() -> Team:
        writer = Agent(FunctionModel(write), name="writer", tools=[send])
        settings: dict[str, Any] = {"share_member_interactions": True, "db": db, "name": "Crew"}
        return Team([Agent(FunctionModel(echo), name="m"), writer], model=FunctionModel(lead), mode="tasks", **settings)

    team = crew()
    run = team.run("A menu", session_id="s")
    (requirement,) = run.active_requirements
    requirement.confirm()
    if is_fresh:
        run = crew().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
    else:
        run = team.continue_run(run)
    assert (run.status, run.content, sent) == (RunStatus.COMPLETED, "Here is the menu.", ["menu"])
    assert [(each.component_name, each.status) for each in db.get_runs("s") if each.parent_run_id] == [
        ("m", RunStatus.COMPLETED),
        ("writer", RunStatus.COMPLETED),
    ]
