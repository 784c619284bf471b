"""agno's own agents run with our display, store, approvals and cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from agno.agent import Agent as AgnoAgent
from agno.db.json import JsonDb
from agno.models.message import Message as AgnoMessage
from agno.tools import tool
from agno.tools.user_feedback import UserFeedbackTools
from pydantic import BaseModel

from agno_nb import Agent, media
from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError, RunError, RunNotContinuableError, SessionOwnershipError
from agno_nb.integrations.agno_agents import runnable_of
from agno_nb.integrations.agno_recording import paused_runs
from agno_nb.notebook.displays import report_with_texts
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel
from agno_nb.types import Message, Requirement, RunEvent, RunOutput, RunOutputEvent, RunStatus
from agno_nb.workflow import Step, Workflow
from tests.fakes.http import Answer, FakeServer, json_answer, sse
from tests.fakes.strict import calls, says
from tests.integrations.conftest import Make, add, delete, recorded


def told(run: RunOutput) -> list[tuple[str, str | None]]:
    """Role and text of each message."""
    return [(message.role, message.content) for message in run.messages]


def events_of(stream: Any) -> tuple[list[RunOutputEvent], RunOutput]:
    events = list(stream)
    assert stream.result is not None
    return events, stream.result


def texts(events: list[RunOutputEvent]) -> list[str]:
    return [each.content for each in events if each.event == RunEvent.run_content and each.content]


def request_text(server: FakeServer, number: int = -1) -> list[tuple[str, Any]]:
    return [(each["role"], each["content"]) for each in server.requests[number].body["messages"]]


def test_a_run_is_recorded_like_any_other(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("add", {"a": 1, "b": 2}), tokens=10), says("It is three.", tokens=4))
    clerk = recorded(agent(tools=[add], instructions="Be brief."), db)
    events, run = events_of(clerk.run("How much is 1 + 2?", stream=True, stream_events=True))

    assert texts(events) == ["It ", "is ", "three. "]
    assert [(each.event, each.tool.tool_name) for each in events if each.tool] == [
        (RunEvent.tool_call_started, "add"),
        (RunEvent.tool_call_completed, "add"),
    ]
    stored = db.get_run(run.run_id)
    assert stored is not None
    for each in (run, stored):
        assert told(each) == [
            ("system", "Be brief."),
            ("user", "How much is 1 + 2?"),
            ("assistant", None),
            ("tool", "3"),
            ("assistant", "It is three. "),
        ]
        assert (each.status, each.content) == (RunStatus.COMPLETED, "It is three. ")
        assert (each.kind, each.component_id, each.component_name) == ("agent", "clerk", "clerk")
        assert each.metadata == {"source": "agno"}
        assert (each.model, each.metrics.input_tokens, each.metrics.output_tokens) == ("gpt-5-mini", 0, 14)
        (call,) = each.tools
        assert (call.tool_name, call.tool_args, call.result, call.tool_call_error) == (
            "add",
            {"a": 1, "b": 2},
            "3",
            False,
        )
        assert call.duration_s is not None


def test_frames_have_the_rows(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("add", {"a": 1, "b": 2})), says("Three."))
    recorded(agent(tools=[add]), db).run("1 + 2", session_id="sums", user_id="anna")
    (row,) = db.runs_df()[["session_id", "user_id", "input", "status"]].itertuples(index=False, name=None)
    assert row == ("sums", "anna", "1 + 2", "COMPLETED")
    assert db.messages_df()["role"].tolist() == ["user", "assistant", "tool", "assistant"]
    assert db.tool_calls_df()[["tool_name", "result"]].values.tolist() == [["add", "3"]]


def test_session_and_user_are_passed_to_agno(server: FakeServer, agent: Make, db: Db) -> None:
    own = JsonDb(db_path="agno")
    server.will_say(says("Hello."), says("You said hi."))
    clerk = recorded(agent(db=own, add_history_to_context=True), db)
    for text in ("hi", "What did I say?"):
        run = clerk.run(text, session_id="talk", user_id="anna")
    # agno sends the history of its own database; it is not recorded a second time.
    assert request_text(server) == [("user", "hi"), ("assistant", "Hello. "), ("user", "What did I say?")]
    assert told(run) == [("user", "What did I say?"), ("assistant", "You said hi. ")]
    kept = own.get_session("talk", "agent")
    assert kept is not None
    assert (kept.user_id, [each.run_id for each in kept.runs][-1]) == ("anna", run.run_id)  # type: ignore[union-attr]


def test_history_can_be_left_out(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Hello."), says("Nothing."))
    clerk = recorded(agent(db=JsonDb(db_path="agno"), add_history_to_context=True), db)
    clerk.run("hi", session_id="talk")
    clerk.run("What did I say?", session_id="talk", add_history_to_context=False)
    assert request_text(server) == [("user", "What did I say?")]


def test_messages_have_times_and_durations(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("add", {"a": 1, "b": 2})), says("Three."))
    run = recorded(agent(tools=[add]), db).run("1 + 2")
    times = [message.created_at for message in run.messages]
    assert times == sorted(times)
    assert times[0] >= run.created_at
    assert all(message.metrics and message.metrics.duration_s for message in run.messages if message.role != "user")


def test_two_users_have_sessions_of_their_own(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Hello Anna."), says("Hello Ben."))
    clerk = recorded(agent(), db)
    anna, ben = (clerk.run("hi", user_id=name) for name in ("anna", "ben"))
    assert anna.session_id != ben.session_id
    with pytest.raises(SessionOwnershipError):
        clerk.run("hi", session_id=anna.session_id, user_id="ben")
    assert len(server.requests) == 2


def test_another_attempt_replaces_a_turn(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("One."), says("Two."))
    clerk = recorded(agent(), db)
    first = clerk.run("Count.")
    second = clerk.regenerate(first.run_id)
    assert (second.run_index, second.attempt, second.content) == (0, 1, "Two. ")
    assert db.runs_df()["superseded_by"].tolist()[0] == second.run_id


def test_reasoning_is_displayed_and_stored(server: FakeServer, agent: Make, db: Db) -> None:
    deltas = [{"reasoning_content": "Let me "}, {"reasoning_content": "think."}, {"content": "Yes."}]
    server.will_say(Answer(chunks=sse([{"id": "c", "choices": [{"index": 0, "delta": each}]} for each in deltas])))
    events, run = events_of(recorded(agent(), db).run("Well?", stream=True, stream_events=True))
    assert [each.reasoning_content for each in events if each.reasoning_content] == ["Let me ", "think."]
    assert (run.content, run.reasoning_content, run.messages[-1].reasoning_content) == (
        "Yes.",
        "Let me think.",
        "Let me think.",
    )


def test_an_error_of_the_model_fails_the_run(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(json_answer({"error": {"message": "no such model"}}, status=404))
    with pytest.raises(RunError, match="no such model") as caught:
        recorded(agent(), db).run("hi")
    run = caught.value.run_output
    assert run is not None
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.status, stored.error, told(stored)) == (RunStatus.ERROR, "no such model", [("user", "hi")])


def test_calls_before_an_error_are_stored(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(
        calls(("add", {"a": 1, "b": 2}), tokens=7), json_answer({"error": {"message": "too long"}}, status=400)
    )
    with pytest.raises(RunError, match="too long") as caught:
        recorded(agent(tools=[add]), db).run("1 + 2")
    assert caught.value.run_output is not None
    stored = db.get_run(caught.value.run_output.run_id)
    assert stored is not None
    assert told(stored) == [("user", "1 + 2"), ("assistant", None), ("tool", "3")]
    assert stored.metrics.output_tokens == 7


def test_a_tool_that_fails_is_an_error_of_the_call(server: FakeServer, agent: Make, db: Db) -> None:
    @tool
    def explode() -> str:
        """Explode."""
        raise ValueError("boom")

    server.will_say(calls(("explode", {})), says("It failed."))
    run = recorded(agent(tools=[explode]), db).run("go")
    (call,) = run.tools
    assert (call.tool_call_error, call.result) == (True, "boom")
    assert run.status is RunStatus.COMPLETED


def test_a_retry_of_agno_is_reported(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(json_answer({"error": {"message": "busy"}}, status=500), says("Hello."))
    clerk = recorded(agent(retries=1, delay_between_retries=0), db)
    events, run = events_of(clerk.run("hi", stream=True, stream_events=True))
    (retried,) = [each for each in events if each.event == RunEvent.model_request_retried]
    assert retried.content == "agno runs it again after an error (attempt 2)."
    assert told(run) == [("user", "hi"), ("assistant", "Hello. ")]


def test_calls_with_the_same_id_are_two(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("add", {"a": 1, "b": 2})), calls(("add", {"a": 3, "b": 4})), says("Ten."))
    run = recorded(agent(tools=[add]), db).run("go")
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [(call.tool_call_id, call.result) for call in stored.tools] == [("call_1", "3"), ("call_1#1", "7")]
    assert [(each.tool_call_id, each.content) for each in stored.messages if each.role == "tool"] == [
        ("call_1", "3"),
        ("call_1#1", "7"),
    ]


def test_messages_in_the_settings_are_stored_with_each_run(server: FakeServer, agent: Make, db: Db) -> None:
    example = [AgnoMessage(role="user", content="1 + 1"), AgnoMessage(role="assistant", content="2")]
    server.will_say(says("4"), says("6"))
    clerk = recorded(agent(additional_input=example), db)
    runs = [clerk.run(text) for text in ("2 + 2", "3 + 3")]
    assert [(each.status, len(each.messages)) for each in runs] == [(RunStatus.COMPLETED, 4)] * 2


def test_images_are_sent(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("A dot."))
    png = b"\x89PNG\r\n\x1a\n" + bytes(8)
    run = recorded(agent(), db).run("What is it?", images=[media.Image(content=png)])
    (_, parts) = request_text(server)[-1]
    assert [part["type"] for part in parts] == ["text", "image_url"]
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.messages[0].media[0].content == png


def test_state_of_the_session_is_stored(server: FakeServer, agent: Make, db: Db) -> None:
    def note(run_context: Any, text: str) -> str:
        """Note something."""
        run_context.session_state["note"] = text
        return "noted"

    server.will_say(calls(("note", {"text": "milk"})), says("Noted."))
    clerk = recorded(agent(tools=[note], session_state={"note": ""}), db)
    clerk.run("Note milk.", session_id="s")
    assert clerk.get_session_state("s") == {"note": "milk"}


def test_state_that_cannot_be_stored_does_not_fail_the_run(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Hello."))
    assert recorded(agent(session_state={"lock": threading.Lock}), db).run("hi").status is RunStatus.COMPLETED


class City(BaseModel):
    name: str
    people: int


def test_an_object_is_the_content(server: FakeServer, agent: Make, db: Db) -> None:
    message = {"role": "assistant", "content": '{"name":"Oslo","people":700000}'}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    server.will_say(json_answer({"id": "c", "choices": choices, "created": 1, "model": "m"}, status=200))
    run = recorded(agent(output_schema=City), db).run("A city?")
    assert run.content == City(name="Oslo", people=700_000)
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.content, stored.content_type) == ({"name": "Oslo", "people": 700_000}, "City")


# Pauses


@tool(requires_user_input=True, user_input_fields=["recipient", "copies"])
def send(subject: str, recipient: str, copies: int) -> str:
    """Send a letter."""
    return f"{copies} x {subject} to {recipient}"


@tool(external_execution=True)
def weigh(item: str) -> str:
    """Weigh an item."""
    raise NotImplementedError


def confirm(requirement: Requirement) -> None:
    requirement.confirm()


def reject(requirement: Requirement) -> None:
    requirement.reject("it is needed")


def fill_in(requirement: Requirement) -> None:
    assert [(each.name, each.field_type) for each in requirement.user_input_fields if not each.is_given] == [
        ("recipient", "string"),
        ("copies", "integer"),
    ]
    requirement.provide_user_input({"recipient": "Anna", "copies": "2"})


def weighed(requirement: Requirement) -> None:
    requirement.set_external_execution_result("3 kg")


PAUSES = [
    pytest.param("delete", {"path": "a.txt"}, confirm, "a.txt is deleted", id="approved"),
    pytest.param("delete", {"path": "a.txt"}, reject, "it is needed", id="rejected"),
    pytest.param("send", {"subject": "Thanks"}, fill_in, "2 x Thanks to Anna", id="values"),
    pytest.param("send", {"subject": "Thanks"}, reject, "it is needed", id="values rejected"),
    pytest.param("weigh", {"item": "parcel"}, weighed, "3 kg", id="external result"),
    pytest.param("weigh", {"item": "parcel"}, reject, "it is needed", id="external rejected"),
]


@pytest.mark.parametrize(("name", "arguments", "answer", "result"), PAUSES)
def test_a_paused_run_continues_with_the_answer(
    name: str, arguments: dict[str, Any], answer: Any, result: str, server: FakeServer, agent: Make, db: Db
) -> None:
    server.will_say(calls((name, arguments), tokens=5), says("Done.", tokens=2))
    clerk = recorded(agent(tools=[delete, send, weigh]), db)
    paused = clerk.run("go")
    assert (paused.status, paused.content, told(paused)) == (
        RunStatus.PAUSED,
        None,
        [("user", "go"), ("assistant", None)],
    )
    stored = db.get_run(paused.run_id)
    assert stored is not None
    (requirement,) = stored.active_requirements
    assert (requirement.tool.tool_name, requirement.run_id) == (name, paused.run_id)
    answer(requirement)

    clerk.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=stored.requirements)
    run = db.get_run(paused.run_id)
    assert run is not None
    assert (run.status, run.content, run.attempt) == (RunStatus.COMPLETED, "Done. ", 0)
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert result in (run.messages[2].content or "")
    assert result in next(content for role, content in request_text(server) if role == "tool")
    assert run.metrics.output_tokens == 7
    assert run.active_requirements == []


def test_a_question_with_options_is_answered(server: FakeServer, agent: Make, db: Db) -> None:
    question = {"question": "Which color?", "header": "Color", "options": [{"label": "red"}, {"label": "blue"}]}
    server.will_say(calls(("ask_user", {"questions": [question]})), says("Blue it is."))
    clerk = recorded(agent(tools=[UserFeedbackTools()]), db)
    paused = clerk.run("Paint it.")
    (requirement,) = paused.active_requirements
    requirement.provide_user_feedback({"Which color?": ["blue"]})
    run = clerk.continue_run(paused)
    assert run.content == "Blue it is. "
    assert "blue" in next(content for role, content in request_text(server) if role == "tool")


def test_the_second_of_two_pauses_has_the_first_answer(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"})), calls(("delete", {"path": "b"})), says("Done."))
    clerk = recorded(agent(tools=[delete]), db)
    run = clerk.run("go")
    for path in ("a", "b"):
        (requirement,) = run.active_requirements
        assert requirement.tool.tool_args == {"path": path}
        requirement.confirm()
        run = clerk.continue_run(run_id=run.run_id, session_id=run.session_id, requirements=run.requirements)
    assert [message.content for message in run.messages if message.role == "tool"] == ["a is deleted", "b is deleted"]


def test_calls_of_one_answer_are_decided_one_after_the_other(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"}), ("delete", {"path": "b"})), says("Done."))
    clerk = recorded(agent(tools=[delete]), db)
    paused = clerk.run("go")
    first, second = paused.active_requirements
    first.confirm()
    db.save_approvals(paused)
    with pytest.raises(InvalidInputError, match="still needs confirmation"):
        clerk.continue_run(run_id=paused.run_id, session_id=paused.session_id)
    second.reject("keep it")
    run = clerk.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=[second])
    assert [message.content for message in run.messages if message.role == "tool"] == ["a is deleted", "keep it"]


def test_a_paused_run_survives_the_kernel_if_agno_has_a_database(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"})), says("Done."))
    paused = recorded(agent(tools=[delete], db=JsonDb(db_path="agno")), db).run("go")
    paused_runs.clear()
    paused.requirements[0].confirm()
    again = recorded(agent(tools=[delete], db=JsonDb(db_path="agno")), db)
    run = again.continue_run(run_id=paused.run_id, session_id=paused.session_id, requirements=paused.requirements)
    assert (run.content, [call.result for call in run.tools]) == ("Done. ", ["a is deleted"])


def test_without_a_database_a_paused_run_ends_with_the_kernel(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(calls(("delete", {"path": "a"})))
    clerk = recorded(agent(tools=[delete]), db)
    paused = clerk.run("go")
    paused_runs.clear()
    paused.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=r"run it again, with db=\.\.\. in AgnoAgent\('clerk'\)"):
        clerk.continue_run(paused)
    stored = db.get_run(paused.run_id)
    assert stored is not None
    assert stored.status is RunStatus.PAUSED


# Cancellation


def test_a_cancelled_run_keeps_what_has_arrived(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Once upon a", then="stall"))
    clerk = recorded(agent(), db)
    stream = clerk.run("Tell me a story.", stream=True, stream_events=True, run_id="story")
    for event in stream:
        if event.content == "a ":
            clerk.cancel_run("story")
    run = db.get_run("story")
    assert run is not None
    assert (run.status, told(run)[-1]) == (RunStatus.CANCELLED, ("assistant", "Once upon a "))


def test_closing_the_stream_cancels_the_run_of_agno(server: FakeServer, agent: Make, db: Db) -> None:
    own = JsonDb(db_path="agno")
    server.will_say(says("Once upon a", then="stall"))
    clerk = recorded(agent(db=own), db)
    with clerk.run("Tell me a story.", stream=True, session_id="s", run_id="story") as stream:
        assert next(iter(stream)).content == "Once "
    run = db.get_run("story")
    assert run is not None
    assert run.status is RunStatus.CANCELLED
    server.will_say(says("Hello."))
    # A cancelled run does not cancel the next one.
    assert clerk.run("hi", session_id="s").content == "Hello. "


def test_agnos_own_cancellation_is_recorded(server: FakeServer, agent: Make, db: Db) -> None:
    def stop(run_context: Any) -> str:
        """Stop the run."""
        AgnoAgent.cancel_run(run_context.run_id)
        return "stopped"

    server.will_say(calls(("stop", {})), says("Never."))
    run = recorded(agent(tools=[stop]), db).run("go")
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (run.status, stored.status) == (RunStatus.CANCELLED, RunStatus.CANCELLED)


# The adapter


def test_a_blocking_hook_does_not_block_other_runs(server: FakeServer, agent: Make, db: Db) -> None:
    started, release = threading.Event(), threading.Event()

    def block(run_input: Any) -> None:
        started.set()
        assert release.wait(60)

    server.will_say(says("Hello."))
    clerk = recorded(agent(pre_hooks=[block]), db)
    stream = clerk.run("hi", stream=True)
    assert started.wait(60)
    assert Agent(ScriptedModel(["Meanwhile."])).run("hi").content == "Meanwhile."
    release.set()
    assert events_of(stream)[1].content == "Hello. "


def test_agents_in_tools_are_nested_runs(server: FakeServer, agent: Make, db: Db) -> None:
    poet = Agent(ScriptedModel(["Leaves fall."]), name="poet")

    def write(topic: str) -> str:
        """Write a poem."""
        return str(poet.run(topic).content)

    server.will_say(calls(("write", {"topic": "autumn"})), says("Here it is."))
    run = recorded(agent(tools=[write]), db).run("A poem, please.")
    assert [(each.component_name, each.input, each.content) for each in run.nested_runs] == [
        ("poet", "autumn", "Leaves fall.")
    ]


def test_an_object_has_one_adapter(agent: Make) -> None:
    clerk = agent()
    assert runnable_of(clerk) is runnable_of(clerk)
    assert runnable_of(agent()) is not runnable_of(clerk)
    assert runnable_of(clerk.deep_copy()) is not runnable_of(clerk)


@pytest.mark.parametrize("value", [3, "clerk", AgnoAgent, Agent(), Message(role="user")], ids=type)
def test_other_objects_have_none(value: object) -> None:
    assert runnable_of(value) is None


def test_a_partial_answer_cannot_be_continued(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Once upon a", then="stall"))
    clerk = recorded(agent(), db)
    for event in clerk.run("Tell me a story.", stream=True, run_id="story"):
        if event.content == "a ":
            clerk.cancel_run("story")
    with pytest.raises(InvalidInputError, match="cannot continue a partial answer; run it again"):
        clerk.regenerate("story", from_partial=True)


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda clerk: Team([clerk]), " cannot be a member of a team: members are agents and teams of agno_nb"),
        (lambda clerk: Workflow([clerk]), " cannot be a step of Workflow"),
        (lambda clerk: Step("ask", agent=clerk), ", which is not an agent, team or workflow of agno_nb"),
    ],
    ids=["member", "step", "agent of a step"],
)
def test_it_is_no_part_of_ours(use: Callable[[AgnoAgent], Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=rf" of type agno\.agent\.agent\.Agent{said}") as caught:
        use(AgnoAgent(name="clerk"))
    assert len(str(caught.value)) < 300


def test_the_parts_of_its_requests_are_not_known(server: FakeServer, agent: Make, db: Db) -> None:
    server.will_say(says("Hello."))
    run = recorded(agent(), db).run("hi")
    with pytest.raises(
        InvalidInputError, match=r"has no report of a request to a model; messages_df\(\) has its messages"
    ):
        report_with_texts(run, db)


def test_a_json_schema_is_refused(agent: Make, db: Db) -> None:
    with pytest.raises(InvalidInputError, match="set output_schema of the agno object"):
        recorded(agent(), db).run("hi", output_schema={"type": "object"})
