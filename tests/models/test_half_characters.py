r"""Characters split by a server: halves of a surrogate pair (``"\ud83d"``), or bytes of UTF-8."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.models.base import ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.redact import CharacterJoiner, whole_characters
from agno_nb.testing import FunctionModel
from agno_nb.types import JsonDict, Metrics, ToolCall
from tests.fakes.http import Answer, FakeServer, json_answer, sse, sse_events
from tests.models.asking import Outcome, ask

GRIN, HIGH, LOW, LOST = "\N{GRINNING FACE}", "\ud83d", "\ude00", "\N{REPLACEMENT CHARACTER}"

CUTS: dict[str, tuple[list[str], str]] = {
    "a pair": (["a", HIGH, LOW, "b"], f"a{GRIN}b"),
    "a pair in longer pieces": ([f"a{HIGH}", f"{LOW}b{HIGH}", f"{LOW}"], f"a{GRIN}b{GRIN}"),
    "a first half without a second": (["a", HIGH, "b"], f"a{LOST}b"),
    "a first half at the end": (["a", HIGH], f"a{LOST}"),
    "a second half without a first": ([LOW, "b"], f"{LOST}b"),
    "halves in the wrong order": ([LOW, HIGH, "b"], f"{LOST}{LOST}b"),
    "two first halves": ([HIGH, HIGH, LOW], f"{LOST}{GRIN}"),
}


def chat_frames(pieces: list[str], name: str) -> list[Any]:
    def chunk(delta: JsonDict, finish: str | None = None) -> JsonDict:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    if name == "arguments":
        quoted = ['{"city": "', *pieces, '"}']
        first = {"index": 0, "id": "c1", "function": {"name": "get_weather", "arguments": quoted[0]}}
        rest = [{"index": 0, "function": {"arguments": piece}} for piece in quoted[1:]]
        return [chunk({"tool_calls": [each]}) for each in (first, *rest)] + [chunk({}, "tool_calls")]
    return [*(chunk({name: piece}) for piece in pieces), chunk({}, "stop")]


def responses_events(pieces: list[str], name: str) -> list[JsonDict]:
    end = {"type": "response.completed", "response": {"output": []}}
    if name == "arguments":
        item = {"type": "function_call", "id": "i1", "call_id": "c1", "name": "get_weather", "arguments": ""}
        added = {"type": "response.output_item.added", "output_index": 0, "item": item}
        quoted = ['{"city": "', *pieces, '"}']
        deltas = [
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": piece} for piece in quoted
        ]
        return [added, *deltas, end]
    kind = {"content": "output_text", "reasoning_content": "reasoning_summary_text", "refusal": "refusal"}[name]
    return [*({"type": f"response.{kind}.delta", "delta": piece} for piece in pieces), end]


def said(outcome: Outcome, name: str) -> str:
    """The text of an answer, which its deltas add up to."""
    whole = outcome.whole
    if name == "arguments":
        (call,) = whole.tool_calls
        city: str = json.loads(call.arguments)["city"]
        return city
    text = (whole.reasoning_content if name == "reasoning_content" else whole.content) or ""
    assert text == (outcome.reasoning if name == "reasoning_content" else outcome.text)
    for delta in outcome.deltas:
        # Raises where half a character is left.
        (delta.content + delta.reasoning_content).encode()
    return text


@pytest.mark.parametrize("name", ["content", "reasoning_content", "refusal", "arguments"])
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_surrogate_pair(cut: str, name: str, server: FakeServer) -> None:
    pieces, expected = CUTS[cut]
    server.will_say(
        Answer(chunks=sse(chat_frames(pieces, name))), Answer(chunks=sse_events(responses_events(pieces, name)))
    )

    assert said(ask(OpenAIChat("m", base_url=server.base_url)), name) == expected
    assert said(ask(OpenAIResponses("m", base_url=server.base_url)), name) == expected


@pytest.mark.parametrize("name", ["content", "reasoning_content", "arguments"])
@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        (GRIN, 1, GRIN), (GRIN, 2, GRIN), (GRIN, 3, GRIN), ("€", 1, "€"), ("€", 2, "€"), ("é", 1, "é"),
        (f"{GRIN}€", 5, f"{GRIN}€"),
    ],
)  # fmt: skip
def test_bytes_of_a_character_in_two_events(text: str, at: int, expected: str, name: str, server: FakeServer) -> None:
    def cut(frames: list[bytes]) -> list[bytes]:
        return [frame.replace(b"FIRST", text.encode()[:at]).replace(b"SECOND", text.encode()[at:]) for frame in frames]

    pieces = ["FIRST", "SECOND"]
    server.will_say(
        Answer(chunks=cut(sse(chat_frames(pieces, name)))),
        Answer(chunks=cut(sse_events(responses_events(pieces, name)))),
    )

    assert said(ask(OpenAIChat("m", base_url=server.base_url)), name) == expected
    assert said(ask(OpenAIResponses("m", base_url=server.base_url)), name) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_character_in_two_packets(size: int, server: FakeServer) -> None:
    frame = {"choices": [{"delta": {"content": f"a{GRIN}€b"}, "finish_reason": "stop"}]}
    body = b"data: " + json.dumps(frame, ensure_ascii=False).encode() + b"\n\n"
    server.will_say(Answer(chunks=[body[start : start + size] for start in range(0, len(body), size)]))

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.content == f"a{GRIN}€b"


def test_bytes_that_are_no_character(server: FakeServer) -> None:
    server.will_say(Answer(chunks=[b'data: {"choices": [{"delta": {"content": "a\xff\xc3b"}}]}\n\n', *sse([END])]))

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.content == f"a{LOST}{LOST}b"


END = {"choices": [{"delta": {}, "finish_reason": f"stop{HIGH}"}], "model": f"m{HIGH}"}


def test_names_and_ids_with_half_characters(server: FakeServer) -> None:
    calls = [
        {"index": n, "id": f"c{half}", "function": {"name": f"f{half}", "arguments": "{}"}}
        for n, half in enumerate((HIGH, LOW))
    ]
    server.will_say(Answer(chunks=sse([{"choices": [{"delta": {"tool_calls": calls}}]}, END])))

    whole = ask(OpenAIChat("m", base_url=server.base_url)).whole

    first, second = whole.tool_calls
    assert (whole.finish_reason, whole.model, first.tool_name) == (f"stop{LOST}", f"m{LOST}", f"f{LOST}")
    assert (first.tool_call_id, second.tool_name) == (f"c{LOST}", f"f{LOST}")
    # The two ids would be the same.
    assert second.tool_call_id.startswith("call_")


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_an_error_with_half_characters(kind: type[OpenAIChat], server: FakeServer) -> None:
    body = {"error": {"message": f"a{HIGH}{LOW}b{HIGH}", "code": f"x{HIGH}"}}
    server.will_say(json_answer(body, status=500), Answer(chunks=sse([body])))

    for _ in range(2):
        failure = ask(kind("m", base_url=server.base_url)).failure
        assert str(failure).endswith(f"Message: a{GRIN}b{LOST}")
        assert failure.code == f"x{LOST}"


def test_bytes_of_an_error_that_are_not_utf8(server: FakeServer) -> None:
    server.will_say(Answer(chunks=[b"caf\xe9"], status=500, content_type="text/plain"))

    assert str(ask(OpenAIChat("m", base_url=server.base_url)).failure).endswith(f"Message: caf{LOST}")


def test_a_model_of_anybody_says_whole_characters_in_a_stored_run() -> None:
    reply = ModelResponse(
        content=f"a{HIGH}",
        reasoning_content=LOW,
        tool_calls=[ToolCall(tool_call_id=f"c{HIGH}", tool_name=f"f{HIGH}", arguments='{"n": "\ud83d"}')],
        model=f"m{HIGH}",
        metrics=Metrics(input_tokens=10**30, output_tokens=-1, cost=float("nan")),
    )
    replies = iter([reply, ModelResponse(content=f"b{LOW}", finish_reason="stop")])
    agent = Agent(FunctionModel(lambda messages, tools: next(replies)), db=DuckDb("store.duckdb"))
    events = list(agent.run("Hi", stream=True))

    run = agent.get_last_run_output()
    assert run is not None
    assert run.content == f"b{LOST}"
    assert "".join(event.content or "" for event in events if event.event == "RunContent") == f"a{LOST}b{LOST}"
    (call,) = run.tools
    assert (call.tool_call_id, call.tool_name, call.arguments) == (f"c{LOST}", f"f{LOST}", f'{{"n": "{LOST}"}}')
    assert run.metrics.input_tokens is run.metrics.output_tokens is run.metrics.cost is None


HALVES = st.lists(
    st.text(alphabet="\ud83d\ude00\udce2\udc82\udcac\udcf0\udc9f\udc98\udc80\udcff\udcc2ab😀", max_size=4)
)


@settings(database=None)
@given(HALVES)
def test_pieces_are_joined_as_the_whole_text_is(pieces: list[str]) -> None:
    joiner = CharacterJoiner()
    joined = "".join([*map(joiner.add, pieces), joiner.flush()])
    assert joined == whole_characters("".join(pieces))
    assert joined.encode().decode() == joined
