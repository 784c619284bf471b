"""Tool calls that small models write as text, which servers without the right flags return as the answer."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.models.base import Delta, ModelRequest, ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.text_calls import MAX_HELD, TextCallReader, read_calls
from agno_nb.types import Message, ToolSpec
from tests.fakes.http import Answer, FakeServer, sse, sse_events
from tests.models.asking import WEATHER, ask

TIME = ToolSpec(name="get_time", description="The time.", parameters={"type": "object", "properties": {}})
MANY: dict[str, Any] = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "exact": {"type": "boolean"}},
    "required": ["query"],
}
SEARCH = ToolSpec(name="search", description="Search.", parameters=MANY)
TOOLS = [WEATHER, TIME, SEARCH]
PARIS = [("get_weather", {"city": "Paris"})]
BOTH = [*PARIS, ("get_weather", {"city": "Oslo"})]
JSON = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
OSLO = JSON.replace("Paris", "Oslo")
BAR = "\N{FULLWIDTH VERTICAL LINE}"

CALLS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]]]] = {
    "bare JSON": (JSON, PARIS),
    "bare JSON in lines": (json.dumps(json.loads(JSON), indent=2) + "\n", PARIS),
    "parameters, of Llama": ('{"type": "function", "name": "get_weather", "parameters": {"city": "Paris"}}', PARIS),
    "arguments as a string": (json.dumps({"name": "get_weather", "arguments": '{"city": "Paris"}'}), PARIS),
    "as OpenAI writes it": (
        '{"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}',
        PARIS,
    ),
    "under tool_calls": (f'{{"tool_calls": [{JSON}, {OSLO}]}}', BOTH),
    "action and action_input": ('{"action": "get_weather", "action_input": {"city": "Paris"}}', PARIS),
    "the name as the key": ('{"get_weather": {"city": "Paris"}}', PARIS),
    "arguments next to the name": ('{"name": "get_weather", "city": "Paris"}', PARIS),
    "no arguments": ('{"name": "get_time"}', [("get_time", {})]),
    "null arguments": ('{"name": "get_time", "arguments": null}', [("get_time", {})]),
    "a prefix": ('{"name": "functions.get_weather", "arguments": {"city": "Paris"}}', PARIS),
    "a line break in a string": (
        '{"name": "search", "arguments": {"query": "a\nb}"}}',
        [("search", {"query": "a\nb}"})],
    ),
    "a list": (f"[{JSON}, {OSLO}]", BOTH),
    "lines of JSON": (f"{JSON}\n{OSLO}", BOTH),
    "semicolons, of Llama": (f"{JSON}; {OSLO}", BOTH),
    "a fence": (f"```json\n{JSON}\n```", PARIS),
    "a fence without a language": (f"```\n{JSON}\n```\n", PARIS),
    "two fences": (f"```json\n{JSON}\n```\n\n```json\n{OSLO}\n```", BOTH),
    "hermes, qwen": (f"<tool_call>\n{JSON}\n</tool_call>", PARIS),
    "hermes twice": (f"<tool_call>\n{JSON}\n</tool_call>\n<tool_call>\n{OSLO}\n</tool_call>", BOTH),
    "hermes without an end": (f"<tool_call>\n{JSON}", PARIS),
    "qwen-coder": (f"<tools>\n{JSON}\n</tools>", PARIS),
    "llama 3.1": ('<function=get_weather>{"city": "Paris"}</function>', PARIS),
    "llama 3.1, an end of message": ('<function=get_weather>{"city": "Paris"}</function><|eom_id|>', PARIS),
    "qwen3-coder": (
        "<tool_call>\n<function=search>\n<parameter=query>\n12\n</parameter>\n<parameter=limit>\n3\n</parameter>\n"
        "<parameter=exact>\nTrue\n</parameter>\n</function>\n</tool_call>",
        [("search", {"query": "12", "limit": 3, "exact": True})],
    ),
    "invoke": ('<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n</invoke>', PARIS),
    "glm": (
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n</tool_call>",
        PARIS,
    ),
    "python tag with JSON": (f"<|python_tag|>{JSON}", PARIS),
    "python tag": ('<|python_tag|>get_weather(city="Paris")', PARIS),
    "pythonic list": ("""[get_weather(city="Paris"), get_weather(city='Oslo')]""", BOTH),
    "gemma": ("```tool_code\nprint(get_weather(city='Paris'))\n```", PARIS),
    "python values": (
        """search(query='it\\'s', limit=-3, exact=False)""",
        [("search", {"query": "it's", "limit": -3, "exact": False})],
    ),
    "mistral": (f"[TOOL_CALLS][{JSON}, {OSLO}]", BOTH),
    "mistral 11": ('[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}', PARIS),
    "mistral 11 with an id": ('[TOOL_CALLS]get_weather[CALL_ID]abc123[ARGS]{"city": "Paris"}', PARIS),
    "chatglm": ('get_weather\n{"city": "Paris"}', PARIS),
    "granite": (f"<|tool_call|>[{JSON}]", PARIS),
    "deepseek": (
        f"<{BAR}tool▁calls▁begin{BAR}><{BAR}tool▁call▁begin{BAR}>function<{BAR}tool▁sep{BAR}>get_weather\n"
        f'```json\n{{"city": "Paris"}}\n```<{BAR}tool▁call▁end{BAR}><{BAR}tool▁calls▁end{BAR}>',
        PARIS,
    ),
    "deepseek 3.1": (
        f"<{BAR}tool▁calls▁begin{BAR}><{BAR}tool▁call▁begin{BAR}>get_weather<{BAR}tool▁sep{BAR}>"
        f'{{"city": "Paris"}}<{BAR}tool▁call▁end{BAR}><{BAR}tool▁calls▁end{BAR}>',
        PARIS,
    ),
}

TEXTS = {
    "an unknown tool": '{"name": "get_whether", "arguments": {"city": "Paris"}}',
    "one of two unknown": f'[{JSON}, {{"name": "x", "arguments": {{}}}}]',
    "words before": f"I call it: {JSON}",
    "words after": f"{JSON}\nThat is it.",
    "the description of the tool": json.dumps({"name": WEATHER.name, "parameters": WEATHER.parameters}),
    "more keys": '{"name": "get_weather", "arguments": {"city": "Paris"}, "unit": "C"}',
    "a required argument is missing": '{"name": "get_weather"}',
    "arguments that are not an object": '{"name": "get_weather", "arguments": ["Paris"]}',
    "not JSON": '{"name": "get_weather", "arguments": {"city": Paris}}',
    "another object": '{"city": "Paris", "temperature": 21}',
    "Python code": '```python\nget_weather(city="Paris")\n```',
    "a Python expression": "get_weather(city=here())",
    "the name of a tool": "get_time",
    "an unknown function": "<function=rm>{}</function>",
    "an empty list": "[]",
    "a list of numbers": "[1, 2]",
    "deep": "[" * 300 + "]" * 300,
}


def as_pairs(calls: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.tool_name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_read(name: str) -> None:
    text, calls = CALLS[name]

    read = read_calls(text, TOOLS)

    assert as_pairs(read) == calls
    assert all(call.is_read_from_text for call in read)


@pytest.mark.parametrize("name", TEXTS)
def test_other_text_is_not_a_call(name: str) -> None:
    assert read_calls(TEXTS[name], TOOLS) == []


def streamed(text: str, cuts: set[int]) -> tuple[list[Delta], ModelResponse]:
    """Feed pieces of a text, and return what was shown of it and the response."""
    reader, response = TextCallReader(TOOLS), ModelResponse(content=text)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    shown = [reader.add(Delta(content=text[a:b])) for a, b in itertools.pairwise(places)]
    shown.append(reader.finish(response, advice="start it"))
    return [delta for delta in shown if delta is not None], response


CUTS = st.sets(st.integers(0, 250))


@pytest.mark.parametrize("name", CALLS)
def test_nothing_of_a_call_is_shown(name: str) -> None:
    text, calls = CALLS[name]
    for cuts in (set(), set(range(len(text))), *({cut} for cut in range(len(text)))):
        shown, response = streamed(text, cuts)
        assert (shown, as_pairs(response.tool_calls), response.content) == ([], calls, None)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(CALLS)), CUTS)
def test_nothing_of_a_call_is_shown_however_it_is_split(name: str, cuts: set[int]) -> None:
    shown, response = streamed(CALLS[name][0], cuts)

    assert shown == []
    assert (as_pairs(response.tool_calls), response.content) == (CALLS[name][1], None)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(TEXTS)) | st.text('{[`<"name get_time(:,}])', max_size=40), CUTS)
def test_no_character_of_another_text_is_lost(name: str, cuts: set[int]) -> None:
    text = TEXTS.get(name, name)
    shown, response = streamed(text, cuts)

    if response.tool_calls:
        assert shown == []
    else:
        assert "".join(delta.content for delta in shown) == response.content == text


@pytest.mark.parametrize(
    "text",
    ["Hello", "{x", '{"city"', '{"name": "Ada"', "[1", "```python\n", "get_times", "search for it", "<p>", "(", "<tab"],
)
def test_text_that_cannot_become_a_call_is_not_held_back(text: str) -> None:
    assert TextCallReader(TOOLS).add(Delta(content=text)) == Delta(content=text)


def test_a_long_call_is_shown_and_then_discarded() -> None:
    text = json.dumps({"name": "search", "arguments": {"query": "x" * MAX_HELD}})

    shown, response = streamed(text, {MAX_HELD})

    assert shown == [Delta(content=text), Delta(discards_content=True)]
    assert as_pairs(response.tool_calls) == [("search", {"query": "x" * MAX_HELD})]


# A piece of each text, and how often it is repeated.
HOSTILE = [
    ("<", 10_000_000), ("\n", 10_000_000), ("{", 1_000_000), ("[", 1_000_000), ('{"name": "', 100_000),
    (";", 1_000_000), ("<function=search>", 60_000), ("<tool_call>", 90_000), ("search(", 140_000),
    ("search(query='", 60_000), ("<function=search><parameter=query>", 30_000), ('{"a":', 200_000), ("```", 300_000),
    ("search\n<arg_key>", 60_000), ("[get_time(),\n", 70_000), ('{"name": "get_time"}{', 40_000),
]  # fmt: skip


@pytest.mark.parametrize(("piece", "times"), HOSTILE, ids=[repr(piece) for piece, _ in HOSTILE])
def test_hostile_text_stays_text(piece: str, times: int) -> None:
    text = piece * times
    response = ModelResponse(content=text)
    reader = TextCallReader(TOOLS)
    pieces = [reader.add(Delta(content=text[start : start + 500])) for start in range(0, len(text), 500)]
    pieces.append(reader.finish(response, advice="start it"))

    assert "".join(piece.content for piece in pieces if piece is not None) == response.content == text
    assert response.tool_calls == []


KINDS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses], ids=["chat", "responses"])


def said(kind: type[OpenAIModel], *pieces: str) -> Answer:
    if kind is OpenAIChat:
        frames = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        return Answer(chunks=sse([*frames, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]))
    text = {"type": "message", "content": [{"type": "output_text", "text": "".join(pieces)}]}
    return Answer(
        chunks=sse_events(
            [
                *({"type": "response.output_text.delta", "delta": piece} for piece in pieces),
                {"type": "response.output_item.done", "output_index": 0, "item": text},
                {"type": "response.completed", "response": {}},
            ]
        )
    )


def request(**settings: Any) -> ModelRequest:
    return ModelRequest(messages=[Message(role="user", content="Hi")], tools=[WEATHER], **settings)


@KINDS
def test_a_call_is_read_from_an_answer_and_sent_back_as_a_native_one(
    kind: type[OpenAIModel], server: FakeServer
) -> None:
    server.will_say(said(kind, "<think>Hm.</think>", JSON[:9], JSON[9:]), said(kind, "Sunny."))
    model = kind("m", base_url=server.base_url)

    outcome = ask(model, request())
    whole = outcome.whole

    assert (outcome.text, outcome.reasoning, whole.content) == ("", "Hm.", None)
    (call,) = whole.tool_calls
    assert (call.tool_name, call.arguments, call.extra) == (
        "get_weather", '{"city": "Paris"}', {"read_from_text": True},
    )  # fmt: skip
    answer = Message(role="assistant", tool_calls=[call], provider_data=whole.provider_data)
    result = Message(role="tool", tool_call_id=call.tool_call_id, content="21")
    ask(model, ModelRequest(messages=[Message(role="user", content="Hi"), answer, result], tools=[WEATHER]))
    sent = json.dumps(server.requests[-1].body)
    *_, native, output = server.requests[-1].body["messages" if kind is OpenAIChat else "input"]
    if kind is OpenAIChat:
        assert native["tool_calls"][0]["id"] == output["tool_call_id"]
    else:
        assert (native["type"], native["call_id"]) == ("function_call", output["call_id"])
    assert "read_from_text" not in sent
    assert "think" not in sent


@KINDS
@pytest.mark.parametrize(
    ("provider", "setting", "is_read"),
    [("", None, True), ("", False, False), ("openai", None, False), ("openai", True, True), ("vllm", None, True)],
)
def test_which_servers_text_is_read(
    provider: str, setting: bool | None, is_read: bool, kind: type[OpenAIModel], server: FakeServer
) -> None:
    server.will_say(said(kind, JSON))

    whole = ask(
        kind("m", base_url=server.base_url, provider=provider, api_key="k"), request(parse_text_tool_calls=setting)
    ).whole

    assert (whole.content is None, bool(whole.tool_calls)) == (is_read, is_read)


@pytest.mark.parametrize(
    ("provider", "flag"),
    [
        ("", "--jinja"),
        ("", "--tool-call-parser"),
        ("llamacpp", "--jinja"),
        ("vllm", "--tool-call-parser"),
        ("ollama", "ollama show"),
    ],
)
def test_a_call_that_cannot_be_read_is_warned_about(provider: str, flag: str, server: FakeServer) -> None:
    text = "Let me look.\n<tool_call>\n{'name': 'get_weather'}\n</tool_call>"
    server.will_say(said(OpenAIChat, text))

    whole = ask(OpenAIChat("m", base_url=server.base_url, provider=provider), request()).whole

    assert (whole.content, whole.tool_calls) == (text, [])
    assert whole.warning is not None
    assert flag in whole.warning


def test_text_without_deltas_of_an_incomplete_answer_is_returned_once(server: FakeServer) -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "<think>Hm.</think>Hello"}]}
    server.will_say(Answer(chunks=sse_events([{"type": "response.output_item.done", "output_index": 0, "item": item}])))

    outcome = ask(OpenAIResponses("m", base_url=server.base_url), request())

    assert (outcome.reasoning, outcome.text) == ("Hm.", "Hello")
    assert "is incomplete" in str(outcome.failure)


def test_held_back_text_of_a_broken_answer_is_kept(server: FakeServer) -> None:
    server.will_say(Answer(chunks=sse([{"choices": [{"delta": {"content": '{"name": "get'}}]}], done=False)))

    outcome = ask(OpenAIChat("m", base_url=server.base_url), request())

    assert outcome.text == '{"name": "get'
    assert "is incomplete" in str(outcome.failure)
