"""Summaries: when and from which messages they are generated, and how they are sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError, ModelAuthenticationError, ModelError, SessionNotFoundError
from agno_nb.models.base import ModelRequest
from agno_nb.models.demo import DemoModel
from agno_nb.session import SessionSummaryManager
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import Media, Message, RunOutput, Session, SessionSummary
from agno_nb_store_contract.conversation import say
from tests.session.writing import conversation, echo, numbered, summary


def system(request: ModelRequest) -> str:
    return next((message.content or "" for message in request.messages if message.role == "system"), "")


def span(made: SessionSummary | None) -> tuple[int | None, str, int | None, int | None] | None:
    return made and (made.version, made.summary, made.from_run_index, made.to_run_index)


def test_every_completed_run_makes_a_version_of_the_last_one_and_itself(db: Db) -> None:
    writer = numbered()
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=SessionSummaryManager(writer))
    for number in range(3):
        agent.run(f"question {number}")
        assert span(agent.get_session_summary()) == (number, f"summary {number}", 0, number)
    assert [conversation(request) for request in writer.requests] == [
        f"User: question {number}\nAssistant: you said question {number}" for number in range(3)
    ]
    assert "<previous_summary>" not in system(writer.requests[0])
    assert "<previous_summary>\nsummary 1\n</previous_summary>" in system(writer.requests[2])
    made = agent.get_session_summary()
    assert made is not None
    assert (made.topics, made.model, made.model_provider) == (["topic 2"], "writer", "test")
    assert (made.metrics.output_tokens, made.metrics.cost) == (6, None)
    assert made.metrics.duration_s is not None
    # Their tokens are not part of the runs' tokens.
    assert agent.get_session_metrics().output_tokens == 4 * 3
    stored = db.get_session("s")
    assert stored is not None
    assert str(stored.summary) == "summary 2"
    versions = db.query("select version, to_run_index from summaries order by version").df()
    assert versions["to_run_index"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("manager", "read"),
    [
        (SessionSummaryManager(full=True), ["q0", "a0", "q1", "a1", "q2", "a2"]),
        (SessionSummaryManager(full=True, last_n_runs=2), ["q1", "a1", "q2", "a2"]),
        (SessionSummaryManager(full=True, conversation_limit=3), ["a1", "q2", "a2"]),
        (SessionSummaryManager(conversation_limit=1), ["a2"]),
    ],
)
def test_what_is_read_can_be_the_whole_conversation_or_less(
    db: Db, manager: SessionSummaryManager, read: list[str]
) -> None:
    writer = manager.model = numbered()
    agent = Agent(ScriptedModel(["a0", "a1", "a2"]), db=db, session_id="s", session_summary_manager=manager)
    for number in range(3):
        agent.run(f"q{number}")
    agent.get_session_summary()
    assert re.findall(r": (\w\d)", conversation(writer.requests[-1])) == read
    assert ("<previous_summary>" in system(writer.requests[-1])) is not manager.full


@pytest.mark.parametrize("limit", ["last_n_runs", "conversation_limit"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_below_one_is_refused(limit: str, value: int) -> None:
    with pytest.raises(InvalidInputError, match=f"{limit} is {value}; pass 1 or more"):
        SessionSummaryManager(**{limit: value})  # type: ignore[arg-type]


def test_an_unknown_argument_names_the_known_one() -> None:
    with pytest.raises(TypeError, match='did you mean "last_n_runs"'):
        SessionSummaryManager(last_runs=2)  # type: ignore[call-arg]


def test_tool_calls_and_media_are_told_in_short(db: Db) -> None:
    def look_up(what: str) -> str:
        return "x" * 5000

    writer = numbered()
    agent = Agent(
        ScriptedModel([call("look_up", what="birds"), "many x"]),
        db=db,
        session_id="s",
        tools=[look_up],
        session_summary_manager=SessionSummaryManager(writer),
        instructions="Be secret.",
    )
    agent.run("y" * 9000, images=[Media(kind="image", content=b"...", mime_type="image/png", filename="owl.png")])
    agent.get_session_summary()
    user, tool, assistant = conversation(writer.requests[0]).splitlines()
    assert user == f"User: {'y' * 2000} … {'y' * 2000} [image: owl.png]"
    assert tool == f'Tool: look_up({{"what": "birds"}}) gave {"x" * 100} … {"x" * 100}'
    assert assistant == "Assistant: many x"
    assert "Be secret" not in "".join(message.content or "" for message in writer.requests[0].messages)


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"summary": "all", "topics": ["a"]}\n```',
        'Here it is:\n{"summary": " all ", "topics": ["a", "", 3]}\nBye.',
        '{"summary": "all",\n "topics": ["a"]}',
    ],
)
def test_an_answer_is_read_whatever_stands_around_it(db: Db, answer: str) -> None:
    agent = Agent(
        FunctionModel(echo),
        db=db,
        session_id="s",
        session_summary_manager=SessionSummaryManager(ScriptedModel([answer])),
    )
    agent.run("hello")
    made = agent.get_session_summary()
    assert made is not None
    assert (made.summary, made.topics) == ("all", ["a"])


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("It was about birds.", "the model's answer 'It was about birds.'"),
        ('{"summary": ""}', "could not parse a summary"),
        ('{"summary": 3}', "could not parse a summary"),
        ('{"summary": "a', "could not parse a summary"),
        (lambda: ModelAuthenticationError("no key"), "no key"),
        (lambda: RuntimeError("a bug"), "RuntimeError: a bug"),
    ],
)
def test_a_failure_keeps_the_last_version_and_is_told_to_who_waits(
    db: Db, failure: str | Callable[[], Exception], told: str
) -> None:
    writer = ScriptedModel([summary("first"), failure() if callable(failure) else failure, summary("third")])
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=SessionSummaryManager(writer))
    agent.run("q0")
    run = agent.run("q1")
    assert run.content == "you said q1"
    with pytest.warns(UserWarning, match=f"could not update the session's summary: .*{told}"):
        assert span(agent.get_session_summary()) == (0, "first", 0, 0)
    # There is one warning, and the next version includes the messages.
    assert span(agent.get_session_summary()) == (0, "first", 0, 0)
    agent.run("q2")
    assert span(agent.get_session_summary()) == (1, "third", 0, 2)
    assert conversation(writer.requests[-1]).splitlines()[0] == "User: q1"


def test_only_completed_runs_are_summarised(db: Db) -> None:
    writer = numbered()
    agent = Agent(
        ScriptedModel(["a0", ModelError("down"), "a2"]),
        db=db,
        session_id="s",
        session_summary_manager=SessionSummaryManager(writer),
    )
    agent.run("q0")
    with pytest.raises(ModelError):
        agent.run("q1")
    assert span(agent.get_session_summary()) == (0, "summary 0", 0, 0)
    agent.run("q2")
    assert span(agent.get_session_summary()) == (1, "summary 1", 0, 2)
    assert conversation(writer.requests[-1]) == "User: q2\nAssistant: a2"


def test_a_run_nested_in_the_session_makes_none_of_its_own(db: Db) -> None:
    writer = numbered()
    manager = SessionSummaryManager(writer)
    inner = Agent(ScriptedModel(["inner answer"]), name="inner", session_summary_manager=manager)

    def ask() -> str:
        return str(inner.run("inner question").content)

    outer = Agent(
        ScriptedModel([call("ask"), "outer answer"]),
        db=db,
        session_id="s",
        tools=[ask],
        session_summary_manager=manager,
    )
    outer.run("outer question")
    outer.get_session_summary()
    assert [conversation(request).splitlines()[0] for request in writer.requests] == ["User: outer question"]


def test_a_turn_that_was_tried_again_is_summarised_from_the_version_before_it(db: Db) -> None:
    writer = numbered()
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=SessionSummaryManager(writer))
    for number in range(3):
        agent.run(f"q{number}")
    agent.run("q1 again", run_index=1)
    # The turn after it is stale. It counts again when something is added to it.
    assert span(agent.get_session_summary()) == (3, "summary 3", 0, 1)
    assert "<previous_summary>\nsummary 0\n</previous_summary>" in system(writer.requests[-1])
    assert re.findall(r"User: (.*)", conversation(writer.requests[-1])) == ["q1 again"]
    agent.run("q3")
    assert span(agent.get_session_summary()) == (4, "summary 4", 0, 3)
    assert re.findall(r"User: (.*)", conversation(writer.requests[-1])) == ["q2", "q3"]


def test_a_version_of_what_was_tried_again_is_not_gone_on_from(db: Db) -> None:
    writer = ScriptedModel([summary("first"), summary("second"), ModelError("down"), summary("fourth")])
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=SessionSummaryManager(writer))
    agent.run("q0")
    agent.run("q1")
    agent.run("q1 again", run_index=1)
    with pytest.warns(UserWarning, match="down"):
        assert span(agent.get_session_summary()) == (0, "first", 0, 0)
    agent.run("q2")
    assert span(agent.get_session_summary()) == (2, "fourth", 0, 2)
    assert re.findall(r"User: (.*)", conversation(writer.requests[-1])) == ["q1 again", "q2"]


def test_with_history_the_model_is_shown_the_summary_of_what_history_does_not_show(db: Db) -> None:
    model = FunctionModel(echo)
    agent = Agent(
        model,
        db=db,
        session_id="s",
        session_summary_manager=SessionSummaryManager(numbered()),
        add_history_to_context=True,
        num_history_runs=2,
    )
    for number in range(5):
        agent.run(f"q{number}")
    shown = [re.findall(r"summary \d", system(request)) for request in model.requests]
    assert shown == [[], [], [], ["summary 0"], ["summary 1"]]
    said = [message.content for message in model.requests[-1].messages if message.role == "user"]
    assert said == ["q2", "q3", "q4"]


def test_without_history_the_model_is_shown_the_latest_summary_after_the_instructions(db: Db) -> None:
    model = FunctionModel(echo)
    writer = SessionSummaryManager(ScriptedModel([summary("They met."), summary("They met again.")]))
    agent = Agent(model, db=db, session_id="s", session_summary_manager=writer, instructions="Be brief.")
    agent.run("q0")
    agent.run("q1")
    assert system(model.requests[-1]).startswith("Be brief.\n\n")
    assert system(model.requests[-1]).endswith("<session_summary>\nThey met.\n</session_summary>")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"enable_session_summaries": True}, True),
        ({"session_summary_manager": SessionSummaryManager()}, True),
        ({"session_summary_prompt": "Briefly."}, True),
        ({"enable_session_summaries": True, "add_session_summary_to_context": False}, False),
        ({"add_session_summary_to_context": True}, True),
        ({}, False),
    ],
)
def test_a_summary_is_shown_where_one_is_made_unless_said_otherwise(given: dict[str, object], shown: bool) -> None:
    assert Agent(FunctionModel(echo), **given).context_query({}).summary is shown  # type: ignore[arg-type]


def test_a_prompt_and_a_manager_are_not_both_taken() -> None:
    with pytest.raises(InvalidInputError, match="pass the prompt to the manager"):
        Agent(session_summary_prompt="Briefly.", session_summary_manager=SessionSummaryManager())


def test_a_prompt_of_the_users_is_sent_as_it_is(db: Db) -> None:
    prompt = 'Very {short}, as in {"a": 1}.'
    model = ScriptedModel(["hello", summary("short")])
    agent = Agent(model, db=db, session_id="s", session_summary_prompt=prompt)
    agent.run("hi")
    assert str(agent.get_session_summary()) == "short"
    assert system(model.requests[-1]).startswith(prompt + "\n\n")
    assert model.requests[-1].output_schema is not None
    assert model.requests[-1].output_name == "session_summary"


def test_a_summary_can_be_asked_for_by_hand(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s")
    agent.run("q0")
    session = agent.get_session()
    assert session is not None
    manager = SessionSummaryManager(numbered())
    assert span(manager.create_session_summary(session)) == (0, "summary 0", 0, 0)
    assert manager.create_session_summary(session) is None
    assert span(agent.get_session_summary()) == (0, "summary 0", 0, 0)
    with pytest.raises(InvalidInputError, match="was not read from a store"):
        manager.create_session_summary(Session(session_id="s"))


async def test_a_summary_can_be_awaited(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s")
    await agent.arun("q0")
    session = await agent.aget_session()
    assert session is not None
    assert span(await SessionSummaryManager(numbered()).acreate_session_summary(session)) == (0, "summary 0", 0, 0)
    assert span(await agent.aget_session_summary()) == (0, "summary 0", 0, 0)


def test_there_is_no_summary_before_the_first_and_none_of_a_session_that_is_not_there(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s")
    agent.run("q0")
    assert agent.get_session_summary() is None
    with pytest.raises(SessionNotFoundError):
        agent.get_session_summary("other")


def test_the_demo_model_knows_by_the_summary_what_it_does_not_see(db: Db) -> None:
    agent = Agent(DemoModel(), db=db, session_id="s", enable_session_summaries=True)
    agent.run("Hi, my name is Ada and I like owls.")
    agent.run("What is 2 + 3?")
    answer: RunOutput = agent.run("What is my name?")
    assert answer.content == "The summary of our conversation says: The user's name is Ada."
    made = agent.get_session_summary()
    assert made is not None
    assert (made.version, made.from_run_index, made.to_run_index, made.model) == (2, 0, 2, "demo")
    assert "The user likes owls." in made.summary
    assert made.metrics.input_tokens is not None


def test_what_was_injected_is_condensed_and_history_is_not_summarised_twice(db: Db) -> None:
    writer = numbered()
    agent = Agent(
        FunctionModel(echo),
        db=db,
        session_id="s",
        session_summary_manager=SessionSummaryManager(writer),
        add_history_to_context=True,
        store_history_messages=True,
    )
    agent.run("q0")
    agent.run("q1")
    agent.get_session_summary()
    assert conversation(writer.requests[-1]) == "User: q1\nAssistant: you said q1"


def test_the_form_of_the_answer_is_asked_for_as_a_strict_schema(db: Db) -> None:
    writer = numbered()
    agent = Agent(FunctionModel(echo), db=db, session_summary_manager=SessionSummaryManager(writer))
    agent.run("hello")
    agent.get_session_summary()
    schema = writer.requests[0].output_schema
    assert schema is not None
    assert json.loads(json.dumps(schema)) == schema
    assert (schema["required"], schema["additionalProperties"]) == (["summary", "topics"], False)
    assert [message.role for message in writer.requests[0].messages] == ["system", "user"]
    assert all(isinstance(message, Message) for message in writer.requests[0].messages)


def test_a_summary_of_a_turn_that_is_tried_again_meanwhile_does_not_hold(db: Db) -> None:
    def write(messages: list[Message], tools: Any) -> str:
        say(db, "again", session_id="s", run_index=0)
        return '{"summary": "of the first attempt", "topics": []}'

    manager = SessionSummaryManager(FunctionModel(write))
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_summary_manager=manager)
    agent.run("first")
    assert agent.get_session_summary() is None
    assert len(db.summaries_df()) == 1
