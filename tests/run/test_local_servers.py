"""Runs with the answers of local servers: reasoning in tags, calls as text, JSON in prose, and models being loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, ModelLoadingError, OutputSchemaError
from agno_nb.event_loop import EventStream
from agno_nb.models import retry
from agno_nb.models.base import ModelRequest, complete
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.run_view import Note, Reasoning, RunFold, RunView, Text, call_state, view_of_run
from agno_nb.session import SessionSummaryManager
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus, ToolCall
from tests.fakes.http import Answer, FakeServer, json_answer, sse

CALL = '{"name": "double", "arguments": {"number": 21}}'


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_POLL_S", 0.0)


def said(*pieces: str, finish: str = "stop") -> Answer:
    frames: list[Any] = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    return Answer(chunks=sse([*frames, {"choices": [{"delta": {}, "finish_reason": finish}]}]))


def called(name: str, arguments: str) -> Answer:
    call = {"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}
    return Answer(chunks=sse([{"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}]))


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def agent_of(server: FakeServer, **settings: Any) -> Agent:
    model = OpenAIChat("m", base_url=server.base_url, **settings.pop("model", {}))
    return Agent(model, db=InMemoryDb(), retries=0, **settings)


def viewed(agent: Agent, text: str = "Hi", **options: Any) -> tuple[RunOutput | None, RunView]:
    """Run an agent, and return the run and what its cell shows."""
    stream = agent.run(text, stream=True, stream_events=True, **options)
    assert isinstance(stream, EventStream)
    fold = RunFold()
    try:
        for event in stream:
            fold.feed(event)
    except OutputSchemaError as error:
        fold.finish(error)
        return error.run_output, fold.view
    return stream.result, fold.view


@pytest.mark.parametrize("pieces", [["<think>Hm.</think>", "Hello"], ["Hm.\n</th", "ink>\nHello"]], ids=["both", "end"])
def test_reasoning_in_tags_is_reasoning_everywhere(pieces: list[str], server: FakeServer) -> None:
    server.will_say(said(*pieces), said("<think>Name?</think>Greeting"), said("Hello again"))
    agent = agent_of(server, add_history_to_context=True)

    run, view = viewed(agent)

    assert run is not None
    assert (run.content, (run.reasoning_content or "").strip()) == ("Hello", "Hm.")
    assert [part.markdown.strip() for part in view.parts if isinstance(part, Reasoning)] == ["Hm."]
    assert [part.markdown for part in view.parts if isinstance(part, Text)] == ["Hello"]
    stored = agent.store.get_run(run.run_id)
    assert stored is not None
    assert (stored.messages[-1].content, (stored.messages[-1].reasoning_content or "").strip()) == ("Hello", "Hm.")
    assert agent.set_session_name(autogenerate=True).session_name == "Greeting"
    agent.run("And again")
    assert "Hm." not in json.dumps(server.requests[-1].body)


def test_reasoning_in_tags_does_not_break_an_output_schema(server: FakeServer) -> None:
    server.will_say(said('<think>{"a": 1} or {"a": 2}?</think>{"a": 3}'))

    assert agent_of(server).run("Hi", output_schema={"type": "object"}).content == {"a": 3}


def test_reasoning_in_tags_is_not_part_of_a_summary(server: FakeServer) -> None:
    server.will_say(said("Hello"), said('<think>{"summary": "?"}</think>{"summary": "They met.", "topics": []}'))
    agent = agent_of(server, enable_session_summaries=True)
    agent.run("Hi")

    assert str(agent.get_session_summary()) == "They met."


def test_a_call_written_as_text_is_executed_and_marked(server: FakeServer) -> None:
    server.will_say(said(CALL[:5], CALL[5:]), said(f"<tool_call>{CALL}</tool_call>"), said("42"))
    agent = agent_of(server, tools=[double])

    run, view = viewed(agent)

    assert run is not None
    assert (run.content, [call.result for call in run.tools]) == ("42", ["42", "42"])
    assert [type(part) for part in view.parts] == [ToolCall, ToolCall, Text]
    assert [call_state(call, run.status) for call in run.tools] == [("read from text", "")] * 2
    stored = agent.store.get_run(run.run_id)
    assert stored is not None
    assert [call.is_read_from_text for call in stored.tools] == [True, True]
    shown = [part for part in view_of_run(stored).parts if isinstance(part, ToolCall)]
    assert [call_state(call, stored.status)[0] for call in shown] == ["read from text"] * 2
    # It was sent back as if the server had parsed it.
    _, answer, result, *_ = server.requests[-1].body["messages"]
    (call,) = answer["tool_calls"]
    assert call["function"] == {"name": "double", "arguments": '{"number": 21}'}
    assert (result["role"], result["tool_call_id"], result["content"]) == ("tool", call["id"], "42")
    assert not answer["content"]


def test_text_is_never_a_call_after_a_native_one(server: FakeServer) -> None:
    server.will_say(called("double", '{"number": 4}'), said(CALL))

    run = agent_of(server, tools=[double]).run("How do I call double?")

    assert (run.content, len(run.tools)) == (CALL, 1)


def test_a_fallback_model_may_write_calls_as_text_after_a_native_call_of_the_first_model(server: FakeServer) -> None:
    with FakeServer() as other:
        server.will_say(called("double", '{"number": 4}'), json_answer({"error": "down"}, status=500))
        other.will_say(said(CALL), said("42"))
        agent = agent_of(server, tools=[double], fallback_models=[OpenAIChat("b", base_url=other.base_url)])

        run = agent.run("Hi")

    assert (run.content, [call.result for call in run.tools]) == ("42", ["8", "42"])


@pytest.mark.parametrize("kind", [Agent, Team])
def test_the_setting_of_the_agent_decides(kind: type[Agent], server: FakeServer) -> None:
    server.will_say(said(CALL))
    model = OpenAIChat("m", base_url=server.base_url)
    settings: dict[str, Any] = {"members": [Agent(model, name="a")]} if kind is Team else {}

    run = kind(model=model, tools=[double], parse_text_tool_calls=False, **settings).run("Hi")

    assert (run.content, run.tools) == (CALL, [])


def test_a_call_written_as_text_waits_for_approval(server: FakeServer) -> None:
    server.will_say(said(CALL), said("No then."))
    agent = agent_of(server, tools=[tool(requires_confirmation=True)(double)])

    run = agent.run("Hi")

    assert (run.status, run.tools[0].result, run.content) == (RunStatus.PAUSED, None, None)
    run.active_requirements[0].reject("not now")
    ended = agent.continue_run(run)
    assert (ended.status, ended.content) == (RunStatus.COMPLETED, "No then.")
    assert call_state(ended.tools[0], ended.status) == ("read from text · rejected: not now", "rejected")


def test_a_call_that_cannot_be_read_is_shown_with_a_warning_that_is_stored(server: FakeServer) -> None:
    text = "<tool_call>double 21</tool_call>"
    server.will_say(said(text))
    agent = agent_of(server, tools=[double])

    run, view = viewed(agent)

    assert run is not None
    assert run.content == text
    (note,) = [part.text for part in view.parts if isinstance(part, Note)]
    assert "--jinja" in note
    assert agent.store.events_df(event="ModelNotice")["content"].tolist() == [note]


class City(BaseModel):
    name: str
    people: int


ROME = '{"name": "Rome", "people": 3}'
OSLO = '{"name": "Oslo", "people": 1}'
ANSWERS = {
    "alone": ROME,
    "words": f"Sure {{here}}: {ROME}\nI hope this helps!",
    "a fence": f"```json\n{ROME}\n```",
    "words and a fence": f"Here it is:\n```json\n{ROME}\n```\nAnything else?",
    "a draft first": f"{OSLO} is wrong. {ROME}",
    "another object last": f'{ROME} {{"note": 1}}',
    "brackets in a text": ROME.replace("Rome", "Ro}m{e"),
}


@pytest.mark.parametrize("schema", [City, City.model_json_schema()], ids=["model", "JSON"])
@pytest.mark.parametrize("name", ANSWERS)
def test_json_within_prose_is_found(name: str, schema: Any, server: FakeServer) -> None:
    server.will_say(said(ANSWERS[name]))

    run = agent_of(server).run("Hi", output_schema=schema)

    expected = {"name": "Ro}m{e" if "brackets" in name else "Rome", "people": 3}
    assert (dict(run.content), len(server.requests)) == (expected, 1)


def test_a_corrected_answer_is_the_only_one_shown(server: FakeServer) -> None:
    server.will_say(said('{"name": "Rome"}'), said(ROME), said('{"name": 1}'), said('{"name": 2}'))
    agent = agent_of(server)

    run, view = viewed(agent, output_schema=City)
    assert run is not None
    assert run.content == City(name="Rome", people=3)
    assert view.markdown == '```json\n{\n  "name": "Rome",\n  "people": 3\n}\n```'

    failed, view = viewed(agent, output_schema=City)
    assert (failed and failed.content, view.markdown) == ('{"name": 2}', '{"name": 2}')


def test_a_corrected_answer_replaces_the_partial_answer_that_it_continued(server: FakeServer) -> None:
    beginning = {"choices": [{"delta": {"content": '{"name": "Rome", '}}]}
    server.will_say(Answer(chunks=sse([beginning], done=False), end="cut"), said("Sorry?"), said(ROME))
    agent = agent_of(server, output_schema=City, session_id="s")
    with pytest.raises(ModelError):
        agent.run("Hi")

    assert agent.regenerate(session_id="s", from_partial=True).content == City(name="Rome", people=3)


def test_a_cached_answer_is_shown_without_those_that_were_corrected(server: FakeServer) -> None:
    server.will_say(said('{"name": "Rome"}'), said(ROME))
    agent = agent_of(server)
    agent.run("Hi", output_schema=City)

    view = RunFold()
    for event in agent.run("Hi", output_schema=City, cache=True, stream=True, stream_events=True):
        if event.run_output is None:
            view.feed(event)

    assert (view.view.markdown, len(server.requests)) == (ROME, 2)


def test_a_missing_answer_is_not_cached(server: FakeServer) -> None:
    server.will_say(said("<think>Hm."), said("Hello"))
    agent = agent_of(server)
    agent.run("Hi")

    run = agent.run("Hi", cache=True)

    assert (run.content, run.is_cached) == ("Hello", False)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"max_tokens": 5}, "cut by max_tokens=5 before"),
        ({"max_completion_tokens": 6}, "cut by max_completion_tokens=6 before"),
        ({}, "cut by the server's limit of output tokens or its context length before"),
    ],
    ids=["set", "new name", "of the server"],
)
def test_a_cut_answer_is_not_requested_again(settings: dict[str, Any], cause: str, server: FakeServer) -> None:
    server.will_say(said('{"name": "Ro', finish="length"))

    with pytest.raises(OutputSchemaError, match=cause):
        agent_of(server, model=settings).run("Hi", output_schema=City)

    assert len(server.requests) == 1


def test_an_answer_that_is_complete_before_the_cut_counts(server: FakeServer) -> None:
    server.will_say(said(f"{ROME} and I would add", finish="length"))

    assert agent_of(server).run("Hi", output_schema=City).content == City(name="Rome", people=3)


@pytest.mark.parametrize(
    ("of_model", "of_summary", "sent"),
    [(None, None, None), (50, None, 2_000), (9_000, None, 9_000), (50, 300, 300)],
    ids=["none", "small", "large", "its own"],
)
def test_summaries_have_their_own_limit(
    of_model: int | None, of_summary: int | None, sent: int | None, server: FakeServer
) -> None:
    server.will_say(said("Hello"), said('{"summary": "They met.", "topics": []}'))
    manager = SessionSummaryManager(max_tokens=of_summary)
    agent = agent_of(server, model={"max_tokens": of_model}, session_summary_manager=manager)
    agent.run("Hi")
    agent.get_session_summary()

    first, second = server.requests
    assert (first.body.get("max_tokens"), second.body.get("max_tokens")) == (of_model, sent)


def test_the_limit_of_the_responses_api_is_named_and_replaced(server: FakeServer) -> None:
    model = OpenAIResponses("m", base_url=server.base_url, max_output_tokens=7)
    item = {"type": "message", "content": [{"type": "output_text", "text": '{"na'}]}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [item]}
    server.will_say(json_answer(cut, status=200), json_answer({"output": [item]}, status=200))

    with pytest.raises(OutputSchemaError, match="cut by max_output_tokens=7 before"):
        Agent(model).run("Hi", output_schema=City)
    run = complete_blocking(model, ModelRequest(messages=[Message(role="user", content="Hi")], max_tokens=99))
    assert (run.content, [each.body["max_output_tokens"] for each in server.requests]) == ('{"na', [7, 99])


def complete_blocking(model: Any, request: ModelRequest) -> Any:
    from agno_nb.event_loop import run_blocking

    return run_blocking(complete(model, request), method="complete()")


def test_a_cut_summary_says_so(server: FakeServer) -> None:
    server.will_say(said("Hello"), said('{"summary": "They', finish="length"))
    agent = agent_of(server)
    agent.run("Hi")
    session = agent.get_session()

    with pytest.raises(ModelError, match="the summary was cut by max_tokens=20; raise max_tokens of the Session"):
        SessionSummaryManager(agent.model, max_tokens=20).create_session_summary(session)


def test_an_invalid_limit() -> None:
    with pytest.raises(InvalidInputError, match="max_tokens is 0"):
        SessionSummaryManager(max_tokens=0)
    with pytest.raises(InvalidInputError, match="loading_timeout is -1"):
        OpenAIChat("m", loading_timeout=-1)


LOADING: dict[str, Any] = {
    "llama.cpp": {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
    "hugging face": {"error": "Model org/m is currently loading", "estimated_time": 20.0},
    "ollama": {"error": {"message": "llm server loading model", "type": "api_error"}},
    "vllm": {"message": "The model is still loading", "code": 503},
    "gateway": {"detail": "Model is not ready"},
}


@pytest.mark.parametrize("name", LOADING)
def test_a_model_that_is_being_loaded_is_waited_for(name: str, server: FakeServer) -> None:
    loading = json_answer(LOADING[name], status=503)
    server.will_say(*[loading] * 8, said("Hello"))
    agent = agent_of(server, request_limit=1)

    run, view = viewed(agent)

    assert run is not None
    assert (run.content, len(server.requests)) == ("Hello", 9)
    (note,) = [part.text for part in view.parts if isinstance(part, Note)]
    assert f"{server.host} is loading the model 'm'." in note
    assert note.startswith("Waiting up to 60 s.")
    assert agent.store.events_df(event="ModelNotice")["content"].tolist() == [note]


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("llama runner process has terminated: error loading model: out of memory", "could not load or run"),
        ("Failed loading the model", "failed to answer"),
        ("error while loading model weights", "failed to answer"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_not_waited_for(message: str, problem: str, server: FakeServer) -> None:
    server.will_say(json_answer({"error": {"message": message}}, status=500), said("Hello"))

    with pytest.raises(ModelError, match=f"{problem}.*{message[:20]}"):
        agent_of(server).run("Hi")

    assert len(server.requests) == 1


@pytest.mark.parametrize("num_waits", [0, 1])
def test_an_answer_that_has_begun_is_not_requested_again(num_waits: int, server: FakeServer) -> None:
    begun = [{"choices": [{"delta": {"content": "He"}}]}, {"error": {"message": "model is not ready", "code": 503}}]
    loading = json_answer(LOADING["llama.cpp"], status=503)
    server.will_say(*[loading] * num_waits, Answer(chunks=sse(begun)), said("Hello"))

    with pytest.raises(ModelLoadingError) as raised:
        agent_of(server).run("Hi")

    assert raised.value.run_output is not None
    assert (raised.value.run_output.content, len(server.requests)) == ("He", num_waits + 1)


def test_the_wait_for_a_model_has_a_limit(server: FakeServer) -> None:
    server.will_say(json_answer(LOADING["llama.cpp"], status=503))

    with pytest.raises(ModelLoadingError, match="is loading the model 'm'"):
        agent_of(server, model={"loading_timeout": 0}).run("Hi")


def test_summaries_wait_too(server: FakeServer) -> None:
    server.will_say(said("Hello"), *[json_answer(LOADING["llama.cpp"], status=503)] * 5)
    server.will_say(said('{"summary": "They met.", "topics": []}'))
    agent = agent_of(server, enable_session_summaries=True)
    agent.run("Hi")

    assert str(agent.get_session_summary()) == "They met."


def look(item: str) -> str:
    """Look up an item."""
    return f"{item}!"


def numbered_alike(*indices: int | None) -> Answer:
    """An answer with calls that all have the id "0", each in two pieces, as some local servers send them."""
    pieces: list[dict[str, Any]] = []
    for index, item in zip(indices, "abc", strict=True):
        first = {"index": index, "id": "0", "function": {"name": "look", "arguments": '{"item": '}}
        pieces += [first, {"index": index, "id": "0", "function": {"arguments": f'"{item}"}}'}}]
    frames: list[Any] = [{"choices": [{"delta": {"tool_calls": [piece]}}]} for piece in pieces]
    return Answer(chunks=sse([*frames, {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}]))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("indices", [(0, 1, 2), (0, 0, 0), (None, None, None)], ids=str)
def test_calls_with_the_same_id_are_all_executed_and_stored(
    server: FakeServer, indices: tuple[int | None, ...], stream: bool
) -> None:
    server.will_say(numbered_alike(*indices), said("Done."), numbered_alike(*indices), said("Done."))
    agent = agent_of(server, tools=[look], add_history_to_context=True)
    for _ in range(2):
        if stream:
            assert [*agent.run("Look", session_id="s", stream=True)][-1].content == "Done."
        else:
            agent.run("Look", session_id="s")
    session = agent.get_session("s")
    assert session is not None
    calls = [call for run in session.runs for call in run.tools]
    assert [call.result for call in calls] == ["a!", "b!", "c!"] * 2
    assert len({call.tool_call_id for call in calls}) == 6
    sent = server.requests[-1].body["messages"]
    asked = [call["id"] for message in sent for call in message.get("tool_calls", ())]
    assert asked == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert len({*asked}) == 6


@pytest.mark.parametrize("same_answer", [True, False], ids=["one answer", "two answers"])
@pytest.mark.parametrize("call_id", ["0", ""], ids=["the same id", "no id"])
def test_a_custom_model_may_number_its_calls_alike(call_id: str, same_answer: bool) -> None:
    calls = [ToolCall(tool_call_id=call_id, tool_name="look", arguments=f'{{"item": "{item}"}}') for item in "ab"]
    model, db = ScriptedModel([calls, "Done."] if same_answer else [*calls, "Done."]), InMemoryDb()
    run = Agent(model, tools=[look], db=db).run("Look")
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [call.result for call in stored.tools] == ["a!", "b!"]
    last = [message for message in model.requests[-1].messages if message.role == "tool"]
    assert [(message.tool_call_id, message.content) for message in last] == [
        (call.tool_call_id, call.result) for call in stored.tools
    ]
    assert [call.tool_call_id for call in calls] == [call_id, call_id]
