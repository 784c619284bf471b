"""Every loop of a run has a limit: tool calls, model requests, nested runs, retries, corrections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb import Agent, InMemoryDb, MemoryManager, Team, Workflow
from agno_nb.agent.budgets import NESTED_REQUESTS
from agno_nb.errors import InvalidInputError, ModelConnectionError, OutputSchemaError, RunLimitError
from agno_nb.models.base import ModelResponse
from agno_nb.notebook.live import LiveAnswer
from agno_nb.run.context import MAX_DEPTH
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunEvent, RunOutput, RunStatus, ToolCall
from agno_nb.workflow import Loop, Step, StepInput
from tests.run.test_entrypoints import door


def look() -> str:
    """Look around."""
    return "nothing new"


def always(messages: list[Message], tools: Any) -> ToolCall:
    return call("look")


@door
def test_a_model_that_always_calls_a_tool_ends_with_the_text_so_far(door: Callable[..., RunOutput]) -> None:
    def thinks(messages: list[Message], tools: Any) -> ModelResponse:
        said = sum(message.role == "assistant" for message in messages)
        return ModelResponse(content=f"thought {said}" if said < 3 else None, tool_calls=[call("look")])

    db, model = InMemoryDb(), FunctionModel(thinks)
    run = door(Agent(model, db=db, tools=[look], tool_call_limit=3), "go")
    assert (run.status, run.content) == (RunStatus.COMPLETED, "thought 2")
    assert [request.allow_tool_calls for request in model.requests] == [True, True, True, False]
    assert [call.tool_call_error for call in run.tools] == [False, False, False, True]
    assert str(run.tools[-1].result).startswith("Refused")
    # Every call has its result, so that the session can continue.
    assert [message.role for message in run.messages[1:]] == ["assistant", "tool"] * 4
    events = db.events_df(event="ToolCallLimitReached")
    assert events["content"].tolist() == [
        "function still called tools after tool_call_limit=3, so the run ends with the text so far"
    ]
    assert db.runs_df()["status"].tolist() == ["COMPLETED"]


def test_a_batch_is_cut_at_the_limit_and_the_model_answers() -> None:
    model = ScriptedModel([[call("look"), call("look"), call("look")], "That is all."])
    run = Agent(model, tools=[look], tool_call_limit=2).run("go")
    assert run.content == "That is all."
    assert [call.tool_call_error for call in run.tools] == [False, False, True]
    assert [request.allow_tool_calls for request in model.requests] == [True, False]


def test_a_server_that_repeats_an_id_gets_no_more_calls() -> None:
    done: list[int] = []

    def count() -> str:
        done.append(1)
        return "x"

    same = ToolCall(tool_call_id="call_0", tool_name="count", arguments="{}")
    model = FunctionModel(lambda messages, tools: ToolCall(tool_call_id="call_0", tool_name="count", arguments="{}"))
    run = Agent(model, tools=[count], tool_call_limit=2).run("go")
    assert (len(done), len(run.tools), run.status) == (2, 3, RunStatus.COMPLETED)
    assert same.result is None


def test_no_approval_is_asked_for_after_the_limit() -> None:
    @tool(requires_confirmation=True)
    def delete() -> str:
        """Delete it."""
        return "gone"

    run = Agent(ScriptedModel([call("delete")]), tools=[delete], tool_call_limit=0).run("go")
    assert (run.status, run.requirements, run.content) == (RunStatus.COMPLETED, [], "")


class Count(BaseModel):
    n: int


def test_with_an_output_schema_the_text_so_far_must_still_fit() -> None:
    fits = ScriptedModel([call("look"), ModelResponse(content='{"n": 1}', tool_calls=[call("look")])])
    run = Agent(fits, tools=[look], tool_call_limit=1, output_schema=Count).run("go")
    assert run.content == Count(n=1)
    db = InMemoryDb()
    with pytest.raises(OutputSchemaError, match=r"It was given after tool_call_limit=1; raise the limit"):
        Agent(FunctionModel(always), db=db, tools=[look], tool_call_limit=1, output_schema=Count).run("go")
    assert len(db.events_df(event="ToolCallLimitReached")) == 1


def test_the_event_is_streamed_and_shown_in_the_cell() -> None:
    shown: list[str] = []

    class Shell:
        def __init__(self) -> None:
            self.display_pub = self

        def publish(self, data: dict[str, str], *args: Any, **kwargs: Any) -> None:
            shown.append(data["text/html"])

    answer = LiveAnswer(Shell())
    agent = Agent(FunctionModel(always), tools=[look], tool_call_limit=1)
    events = list(agent.run("go", stream=True, stream_events=True))
    for event in events:
        answer.feed(event)
    (told,) = [event for event in events if event.event is RunEvent.tool_call_limit_reached]
    assert told.details == {"tool_call_limit": 1, "num_tool_calls": 2}
    assert "still called tools after tool_call_limit=1" in shown[-1]


@door
def test_the_request_after_the_limit_is_not_sent(door: Callable[..., RunOutput]) -> None:
    db, model = InMemoryDb(), FunctionModel(always)
    with pytest.raises(RunLimitError, match=r"made 4 model requests, as many as request_limit=4 allows") as caught:
        door(Agent(model, db=db, tools=[look], request_limit=4), "go")
    assert len(model.requests) == 4
    run = caught.value.run_output
    assert run is not None
    assert (run.status, run.error_type, len(run.tools)) == (RunStatus.ERROR, "RunLimitError", 4)
    assert db.runs_df()[["status", "error_type"]].values.tolist() == [["ERROR", "RunLimitError"]]


def test_the_default_is_fifty_for_agents_and_teams() -> None:
    model = FunctionModel(always)
    with pytest.raises(RunLimitError, match="request_limit=50"):
        Agent(model, tools=[look]).run("go")
    assert len(model.requests) == 50
    leader = FunctionModel(always)
    with pytest.raises(RunLimitError, match="request_limit=50"):
        Team([Agent(ScriptedModel([]), name="idle")], model=leader, tools=[look]).run("go")
    assert len(leader.requests) == 50


def test_none_is_no_limit() -> None:
    replies = [*[call("look") for _ in range(60)], "done"]
    assert Agent(ScriptedModel(replies), tools=[look], request_limit=None).run("go").content == "done"


@pytest.mark.parametrize("name", ["request_limit", "tool_call_limit"])
@pytest.mark.parametrize("value", [-1, 2.5, float("inf"), "3", True])
def test_a_limit_is_a_whole_number(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is {value!r}; pass a whole number"):
        Agent(ScriptedModel([]), **{name: value})


def test_retries_and_corrections_are_requests() -> None:
    def away(messages: list[Message], tools: Any) -> Exception:
        return ModelConnectionError("away")

    model = FunctionModel(away)
    with pytest.raises(RunLimitError, match="request_limit=3"):
        Agent(model, retries=10, delay_between_retries=0, request_limit=3).run("go")
    assert len(model.requests) == 3
    wrong = ScriptedModel(["no", "still no"])
    with pytest.raises(RunLimitError, match="request_limit=1"):
        Agent(wrong, output_schema=Count, request_limit=1).run("go")


@pytest.mark.parametrize("by_id", [True, False])
def test_a_continued_run_counts_its_earlier_requests(by_id: bool) -> None:
    @tool(requires_confirmation=True)
    def delete() -> str:
        """Delete it."""
        return "gone"

    db = InMemoryDb()
    model = FunctionModel(lambda messages, tools: call("look" if len(messages) < 5 else "delete"))
    agent = Agent(model, db=db, tools=[look, delete], request_limit=5)
    run = agent.run("go", session_id="s")
    for _ in range(2):
        assert run.is_paused
        run.requirements[-1].confirm()
        run = (
            agent.continue_run(run_id=run.run_id, session_id="s", requirements=run.requirements)
            if by_id
            else agent.continue_run(run)
        )
    run.requirements[-1].confirm()
    with pytest.raises(RunLimitError, match="made 5 model requests"):
        agent.continue_run(run)
    assert len(model.requests) == 5


def test_an_attempt_that_goes_on_after_the_limit_has_requests_of_its_own() -> None:
    model = ScriptedModel([call("look"), call("look"), "done"])
    agent = Agent(model, db=InMemoryDb(), tools=[look], session_id="s", request_limit=2)
    with pytest.raises(RunLimitError):
        agent.run("go")
    assert agent.regenerate(from_partial=True).content == "done"


def agents_that_call_each_other(made: list[int]) -> tuple[Agent, Agent]:
    def counted(name: str) -> FunctionModel:
        def reply(messages: list[Message], tools: Any) -> ToolCall:
            made.append(1)
            return call(name)

        return FunctionModel(reply)

    def ask_pong() -> str:
        return str(pong.run("you").content)

    def ask_ping() -> str:
        return str(ping.run("you").content)

    ping = Agent(counted("ask_pong"), name="ping", tools=[ask_pong], request_limit=3)
    pong = Agent(counted("ask_ping"), name="pong", tools=[ask_ping], request_limit=3)
    return ping, pong


def test_agents_that_call_each_other_end() -> None:
    made: list[int] = []
    ping, _ = agents_that_call_each_other(made)
    with pytest.raises(RunLimitError, match="request_limit=3"):
        ping.run("go")
    assert len(made) <= 3 * NESTED_REQUESTS


def test_a_leader_that_delegates_forever_ends() -> None:
    leader = FunctionModel(lambda messages, tools: call("delegate_task_to_member", member_id="m", task="again"))
    member = FunctionModel(always)
    team = Team([Agent(member, name="m", tools=[look], request_limit=4)], model=leader, request_limit=3)
    with pytest.raises(RunLimitError, match="request_limit=3"):
        team.run("go")
    assert (len(leader.requests), len(member.requests)) == (3, 12)


def test_a_workflow_that_runs_itself_ends() -> None:
    begun: list[int] = []

    def again(step_input: StepInput) -> str:
        begun.append(1)
        return str(flow.run("again").content)

    flow = Workflow([again], db=InMemoryDb())
    with pytest.raises(RunLimitError, match=f"more than {MAX_DEPTH} levels below run"):
        flow.run("go")
    assert len(begun) == MAX_DEPTH + 1


@pytest.mark.parametrize("value", [float("inf"), 0, None])
def test_loops_and_retries_of_steps_are_whole_numbers(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="max_iterations of loop"):
        Loop([look], max_iterations=value)
    with pytest.raises(InvalidInputError, match="max_retries of step"):
        Step(executor=look, max_retries=-1 if value == 0 else value)


def test_a_memory_model_that_never_stops_ends() -> None:
    forgetful = FunctionModel(lambda messages, tools: call("add_memory", memory="Likes tea."))
    manager = MemoryManager(forgetful, db=InMemoryDb())
    manager.create_user_memories("I like tea.", user_id="ada")
    assert (len(forgetful.requests), len(manager.get_user_memories("ada"))) == (31, 30)
