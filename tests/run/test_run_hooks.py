"""Hooks before and after a run, and inputs made of messages."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.exceptions import CheckTrigger, InputCheckError, OutputCheckError
from agno_nb.media import Image
from agno_nb.run.agent import PreHookStartedEvent, RunInput
from agno_nb.run.context import RunContext
from agno_nb.run.team import PreHookStartedEvent as TeamPreHookStartedEvent
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel
from agno_nb.types import Message, RunOutput, RunOutputEvent, RunStatus, Session
from tests.run.kinds import Make, agent, team


def test_hooks_change_what_is_sent_and_what_is_returned() -> None:
    def mask(run_input: RunInput) -> None:
        run_input.input_content = run_input.input_content.replace("4711", "***")

    async def shout(run_output: RunOutput) -> None:
        run_output.content = run_output.content.upper()

    db, model = InMemoryDb(), ScriptedModel(["Noted.", "Yes."])
    agent = Agent(
        model, db=db, session_id="s", pre_hooks=[mask], post_hooks=[shout], add_history_to_context=True
    )  # fmt: skip
    assert agent.run("PIN 4711").content == "NOTED."
    asyncio.run(agent.arun("Why?"))  # type: ignore[arg-type]
    assert [message.content for message in model.requests[1].messages] == ["PIN ***", "Noted.", "Why?"]
    stored = db.get_runs("s")[0]
    assert (stored.content, [message.content for message in stored.messages]) == ("NOTED.", ["PIN ***", "Noted."])


def test_hooks_get_the_arguments_that_they_name() -> None:
    seen: dict[str, Any] = {}

    def hook(
        run_input: RunInput,
        agent: Agent,
        session: Session,
        run_context: RunContext,
        session_state: dict[str, Any],
        dependencies: dict[str, Any],
        metadata: dict[str, Any],
        user_id: str,
        debug_mode: bool,
    ) -> None:
        seen.update(locals())
        session_state["seen"] = True

    image = Image(content=b"GIF89a")
    agent = Agent(ScriptedModel(["Yes."]), pre_hooks=[hook], dependencies={"a": 1}, session_state={"n": 0})
    run = agent.run("Hi", images=[image], session_id="s", user_id="ada", metadata={"m": 2})
    assert seen["run_input"].images == [image]
    assert (seen["agent"], seen["session"].session_id, seen["user_id"]) == (agent, "s", "ada")
    assert (seen["dependencies"], seen["metadata"], seen["debug_mode"]) == ({"a": 1}, {"m": 2}, False)
    assert run.session_state == {"n": 0, "seen": True}


def test_a_hook_of_a_team_gets_the_team() -> None:
    teams: list[Any] = []
    leader = Team(
        [Agent(ScriptedModel([]), name="idle")],
        model=ScriptedModel(["Yes."]),
        pre_hooks=[lambda team: teams.append(team)],
    )
    leader.run("Hi")
    assert teams == [leader]


@pytest.mark.parametrize(
    ("make", "event_class"),
    [(agent, PreHookStartedEvent), (team, TeamPreHookStartedEvent)],
    ids=["agent", "team"],
)
def test_hooks_have_events(make: Make, event_class: type[RunOutputEvent]) -> None:
    def mask(run_input: RunInput) -> None: ...

    class Shout:
        async def __call__(self, run_output: RunOutput) -> None: ...

    runnable = make(ScriptedModel(["Yes."]), pre_hooks=[mask], post_hooks=[Shout()])
    events = [each for each in runnable.run("Hi", stream=True, stream_events=True) if "hook" in each.event.name]
    assert [(each.event.name, each.details) for each in events] == [
        ("pre_hook_started", {"pre_hook_name": "mask"}),
        ("pre_hook_completed", {"pre_hook_name": "mask"}),
        ("post_hook_started", {"post_hook_name": "Shout"}),
        ("post_hook_completed", {"post_hook_name": "Shout"}),
    ]
    assert [isinstance(each, event_class) for each in events] == [True, False, False, False]
    assert events[-1].post_hook_name == "Shout"


def test_a_hook_that_rejects_the_input_has_no_end() -> None:
    def reject(run_input: RunInput) -> None:
        raise InputCheckError("no")

    events = Agent(ScriptedModel([]), pre_hooks=[reject]).run("Hi", stream=True, stream_events=True)
    names = [next(events).event.name for _ in range(3)]
    assert names == ["run_started", "pre_hook_started", "run_error"]
    with pytest.raises(InputCheckError):
        next(events)


def test_a_pre_hook_rejects_the_input_before_the_model_is_called() -> None:
    def reject(run_input: RunInput) -> None:
        raise InputCheckError("off topic", check_trigger=CheckTrigger.OFF_TOPIC, additional_data={"n": 1})

    db, model = InMemoryDb(), ScriptedModel([])
    with pytest.raises(InputCheckError, match="off topic") as caught:
        Agent(model, db=db, pre_hooks=[reject]).run("Hi", session_id="s")
    error = caught.value
    assert (error.check_trigger, error.error_id, error.additional_data) == (
        CheckTrigger.OFF_TOPIC,
        "off_topic",
        {"n": 1},
    )
    assert model.requests == []
    (stored,) = db.get_runs("s")
    assert error.run_output is not None
    assert (stored.run_id, stored.status, stored.error_type) == (
        error.run_output.run_id,
        RunStatus.ERROR,
        "InputCheckError",
    )
    assert [(message.role, message.content) for message in stored.messages] == [("user", "Hi")]


def test_a_post_hook_rejects_the_answer_which_stays_in_the_run() -> None:
    def reject(run_output: RunOutput) -> None:
        raise OutputCheckError("too short")

    with pytest.raises(OutputCheckError, match="too short") as caught:
        Agent(ScriptedModel(["No."]), post_hooks=[reject]).run("Hi")
    assert caught.value.check_trigger is CheckTrigger.OUTPUT_NOT_ALLOWED
    assert caught.value.run_output is not None
    assert (caught.value.run_output.content, caught.value.run_output.status) == ("No.", RunStatus.ERROR)


def test_a_hook_that_fails_ends_the_run() -> None:
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(RunError, match="pre-hook 'broken' failed: KeyError: 'x'"):
        Agent(ScriptedModel([]), pre_hooks=[broken]).run("Hi")


MESSAGES = [
    {"role": "user", "content": "A"},
    Message(role="assistant", content="B"),
    {"role": "user", "content": [{"type": "text", "text": "C"}, {"type": "image_url", "image_url": {"url": "http://x/y.png"}}]},
]  # fmt: skip


def test_messages_are_sent_after_the_history_and_stored_in_their_order() -> None:
    db, model = InMemoryDb(), ScriptedModel(["1", "2", "3"])
    agent = Agent(model, db=db, session_id="s", add_history_to_context=True, instructions="Be brief.")
    agent.run("First")
    run = agent.run(MESSAGES)
    agent.run(Message(role="user", content="Last"))
    said = [
        ("system", "Be brief."),
        ("user", "First"),
        ("assistant", "1"),
        ("user", "A"),
        ("assistant", "B"),
        ("user", "C"),
    ]
    assert [(each.role, each.content) for each in model.requests[1].messages] == said
    assert [each.url for each in model.requests[1].messages[-1].media] == ["http://x/y.png"]
    assert [(each.role, each.content) for each in model.requests[2].messages] == [
        *said,
        ("assistant", "2"),
        ("user", "Last"),
    ]
    assert run.input == "C"
    assert [part.source for part in run.context().parts] == ["instructions", "history", "messages", "prompt", "media"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["a", "b"], "a\nb"),
        ({"role": "user", "content": "x"}, "x"),
        ({"role": "critic", "content": "x"}, '{"role":"critic","content":"x"}'),
    ],
    ids=["strings", "message", "data"],
)
def test_other_inputs_become_one_message(given: Any, text: str) -> None:
    model = ScriptedModel(["Yes."])
    Agent(model).run(given)
    assert [(message.role, message.content) for message in model.requests[0].messages] == [("user", text)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([Message(role="assistant", content="x")], "no message with the role 'user'"),
        ([Message(role="user", content="x"), "y"], "the input has 'y' among its messages"),
        ([{"role": "user", "content": [{"type": "video"}]}], "has the part {'type': 'video'}; pass text and image_url"),
        (Message(role="user", content=" "), "is empty; pass a content"),
    ],
    ids=["no user", "mixed", "unknown part", "empty"],
)
def test_messages_that_cannot_be_sent_are_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Agent(ScriptedModel([])).run(given)


class Topic(BaseModel):
    name: str
    sources: int = 5


class Point(TypedDict):
    x: int


@pytest.mark.parametrize(
    ("schema", "given", "text"),
    [
        (Topic, {"name": "AI", "sources": "3"}, '{"name":"AI","sources":3}'),
        (Topic, Topic(name="AI"), '{"name":"AI","sources":5}'),
        (Topic, '{"name": "AI"}', '{"name":"AI","sources":5}'),
        (Point, {"x": "1"}, '{"x":1}'),
    ],
    ids=["dict", "object", "json", "typed dict"],
)
def test_inputs_follow_the_schema(schema: Any, given: Any, text: str) -> None:
    model = ScriptedModel(["Yes."])
    Agent(model, input_schema=schema).run(given)
    assert model.requests[0].messages[0].content == text


def test_an_input_that_does_not_follow_the_schema_is_refused_before_the_run() -> None:
    db = InMemoryDb()
    with pytest.raises(InvalidInputError, match="does not follow input_schema Topic: sources: Input should"):
        Agent(ScriptedModel([]), db=db, input_schema=Topic).run({"name": "AI", "sources": "many"})
    assert db.runs_df().empty


def test_a_turn_of_messages_is_run_again_with_all_of_them() -> None:
    db, model = InMemoryDb(), ScriptedModel(["1", "2"])
    agent = Agent(model, db=db, session_id="s")
    agent.run(MESSAGES)
    again = agent.regenerate()
    said = [("user", "A"), ("assistant", "B"), ("user", "C")]
    assert [(each.role, each.content) for each in model.requests[1].messages] == said
    assert [each.url for each in model.requests[1].messages[-1].media] == ["http://x/y.png"]
    assert [(each.role, each.content) for each in again.messages] == [*said, ("assistant", "2")]


def test_a_cached_answer_to_messages_is_only_the_answer() -> None:
    agent = Agent(ScriptedModel(["1"]), db=InMemoryDb())
    agent.run(MESSAGES, session_id="a")
    run = agent.run(MESSAGES, session_id="b", cache=True)
    assert run.is_cached
    assert [message.content for message in run.messages] == ["A", "B", "C", "1"]
