"""Histories of all kinds, sent so that the strictest chat templates and providers accept them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agno_nb.agent.prompt import trim_tool_calls
from agno_nb.db.base import ContextQuery
from agno_nb.db.history import select_history
from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIChat, OpenAIResponses, Profile
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.run.continue_run import repair_tool_pairs
from agno_nb.types import Media, Message, ToolCall
from tests.fakes.http import Answer, FakeServer, sse, sse_events
from tests.fakes.templates import problems
from tests.models.asking import WEATHER, ask

CHAT = Answer(chunks=sse([{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}]))
ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}
RESPONSES = Answer(
    chunks=sse_events([{"type": "response.completed", "response": {"status": "completed", "output": [ITEM]}}])
)
ENDED = {"role": "assistant", "content": "(The turn ended here.)"}
A, B = "callAAAAA", "callBBBBB"
PNG = b"\x89PNG\r\n\x1a\n"
URL = "data:image/png;base64,iVBORw0KGgo="


def sent(server: FakeServer, model: OpenAIModel, messages: list[Message], **request: Any) -> dict[str, Any]:
    """Let `model` send messages, which stay as they are; return the body."""
    before = deepcopy(messages)
    server.will_say(RESPONSES if isinstance(model, OpenAIResponses) else CHAT)
    assert ask(model, ModelRequest(messages=messages, **request)).whole.content == "ok"
    assert messages == before
    return dict(server.requests[-1].body)


def user(text: str = "Hi", *media: Media) -> Message:
    return Message(role="user", content=text, media=list(media))


def answered(text: str | None = "Sunny.", *calls: str, **fields: Any) -> Message:
    made = [ToolCall(tool_call_id=each, tool_name="get_weather") for each in calls]
    return Message(role="assistant", content=text, tool_calls=made, **fields)


def result(call_id: str, text: str = "sunny", *media: Media) -> Message:
    return Message(role="tool", tool_call_id=call_id, tool_name="get_weather", content=text, media=list(media))


def call_of(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}


def said(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def tool(call_id: str, content: str = "sunny") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


ASKED = {"role": "assistant", "content": "", "tool_calls": [call_of(A)]}


def refused(body: list[dict[str, Any]]) -> list[str]:
    """What a template would refuse, apart from the last role of these tests."""
    return [problem for problem in problems(body) if "last role" not in problem]


ANY_ORDER = Profile(alternating_roles=False, single_calls=False, call_content="null")


@pytest.mark.parametrize(
    ("messages", "strict", "lenient"),
    [
        pytest.param(
            [user(), answered(None, A), result(A), user("More")],
            [
                said("user", "Hi"),
                ASKED,
                tool(A),
                ENDED,
                said("user", "More"),
            ],
            [
                said("user", "Hi"),
                {"role": "assistant", "content": None, "tool_calls": [call_of(A)]},
                tool(A),
                said("user", "More"),
            ],
            id="the turn ended with the result of a tool",
        ),
        pytest.param(
            [user(), answered("Let me look.", A, B), result(A), result(B, "rain")],
            [
                said("user", "Hi"),
                {"role": "assistant", "content": "Let me look.", "tool_calls": [call_of(A)]},
                tool(A),
                {"role": "assistant", "content": "", "tool_calls": [call_of(B)]},
                tool(B, "rain"),
            ],
            [
                said("user", "Hi"),
                {"role": "assistant", "content": "Let me look.", "tool_calls": [call_of(A), call_of(B)]},
                tool(A),
                tool(B, "rain"),
            ],
            id="parallel calls",
        ),
        pytest.param(
            [user(), answered("", reasoning_content="Hmm."), user("Again")],
            [said("user", "Hi\n\nAgain")],
            [said("user", "Hi"), said("user", "Again")],
            id="only reasoning",
        ),
        pytest.param(
            [user(), answered("  "), user("Again")],
            [said("user", "Hi\n\nAgain")],
            [said("user", "Hi"), said("user", "Again")],
            id="only spaces",
        ),
        pytest.param(
            [answered("Sunny."), user("More")],
            [said("user", "(Earlier messages are not shown.)"), said("assistant", "Sunny."), said("user", "More")],
            [said("user", "(Earlier messages are not shown.)"), said("assistant", "Sunny."), said("user", "More")],
            id="the history starts with an answer",
        ),
        pytest.param(
            [user(), answered("Let me look."), answered("Sunny."), user("More")],
            [said("user", "Hi"), said("assistant", "Let me look.\n\nSunny."), said("user", "More")],
            [said("user", "Hi"), said("assistant", "Let me look."), said("assistant", "Sunny."), said("user", "More")],
            id="answers without the calls between them",
        ),
        pytest.param(
            [Message(role="system", content="Be kind."), user(), Message(role="system", content="Be brief.")],
            [said("system", "Be kind.\n\nBe brief."), said("user", "Hi")],
            [said("system", "Be kind."), said("user", "Hi"), said("system", "Be brief.")],
            id="two system messages",
        ),
    ],
)
def test_a_history_in_the_order_that_the_server_accepts(
    messages: list[Message], strict: list[dict[str, Any]], lenient: list[dict[str, Any]], server: FakeServer
) -> None:
    assert sent(server, OpenAIChat("m", base_url=server.base_url), messages)["messages"] == strict
    model = OpenAIChat("m", base_url=server.base_url, profile=ANY_ORDER)
    assert sent(server, model, messages)["messages"] == lenient
    assert not refused(strict)
    assert refused(lenient) or lenient == strict


@pytest.mark.parametrize(
    ("extra", "calls"),
    [
        pytest.param({"read_from_text": True}, [1, 1], id="written as text"),
        pytest.param({"provider": "google", "extra_content": {"signature": "s"}}, [1, 1], id="of another provider"),
        pytest.param({"provider": "proxy", "extra_content": {"signature": "s"}}, [2], id="of this provider"),
    ],
)
def test_parallel_calls_stay_together_only_with_data_of_the_provider(
    extra: dict[str, Any], calls: list[int], server: FakeServer
) -> None:
    answer = answered(None, A, B)
    answer.tool_calls[0].extra = extra
    model = OpenAIChat("m", base_url=server.base_url, provider="proxy")

    body = sent(server, model, [user(), answer, result(A), result(B)])["messages"]

    assert [len(message["tool_calls"]) for message in body if message["role"] == "assistant"] == calls


def test_a_merged_question_keeps_its_images_unless_the_earlier_ones_follow_other_rules(server: FakeServer) -> None:
    image, clip = Media(kind="image", content=PNG, mime_type="image/png"), Media(kind="video", url="http://x/v.mp4")
    model = OpenAIChat("m", base_url=server.base_url)
    shown = {"type": "image_url", "image_url": {"url": URL}}

    merged = sent(server, model, [user("One", image), user("Two", image)])["messages"]
    apart = sent(server, model, [replace(user("One", clip), from_history=True), user("Two")])["messages"]

    assert merged == [{"role": "user", "content": [{"type": "text", "text": "One\n\nTwo"}, shown, shown]}]
    assert apart[1:] == [ENDED, said("user", "Two")]
    assert "cannot be sent" in apart[0]["content"][1]["text"]


@pytest.mark.parametrize(
    ("provider", "kept"),
    [
        ("openai", ["abcDEF123", "call_1", "functions.look:0"]),
        ("mistral", ["abcDEF123"]),
        ("", ["abcDEF123", "functions.look:0", f"call_1__thought__{'c2ln' * 20}"]),
    ],
    ids=["openai", "mistral", "unknown"],
)
def test_call_ids_have_nine_characters_for_templates_that_require_it(
    provider: str, kept: list[str], server: FakeServer
) -> None:
    model = OpenAIChat("m", base_url=server.base_url, provider=provider)
    ids = ["abcDEF123", "call_1", "functions.look:0", f"call_1__thought__{'c2ln' * 20}"]

    body = sent(server, model, [user(), answered(None, *ids), *map(result, ids)])["messages"]

    called = [call["id"] for message in body for call in message.get("tool_calls", [])]
    assert called == [message["tool_call_id"] for message in body if message["role"] == "tool"]
    assert [call_id for call_id in ids if call_id in called] == kept
    longest = 40 if provider == "openai" else 9
    assert all(len(call_id) <= longest for call_id in called if call_id not in kept)


def test_items_of_responses_have_such_ids_too_and_each_result_after_its_call(server: FakeServer) -> None:
    messages = [user(), answered(None, "call_1", A), result("call_1"), result(A, "rain")]

    items = sent(server, OpenAIResponses("m", base_url=server.base_url), messages)["input"][1:]

    first, second, third, fourth = [item["call_id"] for item in items]
    assert first == second != "call_1"
    assert (len(first), third, fourth) == (9, A, A)
    assert [item.get("output") for item in items] == [None, "sunny", None, "rain"]


def own(model: OpenAIChat) -> dict[str, Any]:
    return {"provider": model.provider, "model": model.id, "returns_reasoning": True}


@pytest.mark.parametrize(
    ("provider", "is_own", "expected"),
    [
        ("deepseek", True, ["Easy.", "Hmm.", "So."]),
        ("deepseek", False, ["", "", ""]),
        ("", True, [None, "Hmm.", None]),
        ("", False, [None, None, None]),
        ("vllm", True, [None, "Hmm.", None]),
        ("mistral", True, [None, None, None]),
        ("groq", True, [None, None, None]),
        ("openai", True, [None, None, None]),
    ],
    ids=str,
)
def test_reasoning_goes_back_where_it_is_wanted(
    provider: str, is_own: bool, expected: list[str | None], server: FakeServer
) -> None:
    model = OpenAIChat("m", base_url=server.base_url, provider=provider)
    data = own(model) if is_own else {**own(model), "model": "another"}
    messages = [
        user(),
        answered("No tool.", reasoning_content="Easy.", provider_data=data),
        user("Weather?"),
        answered("", A, reasoning_content="Hmm.", provider_data=data),
        result(A),
        answered("Sunny.", reasoning_content="So.", provider_data=data),
        user("Thanks"),
    ]

    answers = [each for each in sent(server, model, messages)["messages"] if each["role"] == "assistant"]

    assert [each.get("reasoning_content") for each in answers] == expected
    assert all(
        ("reasoning_content" in each) == (text is not None) for each, text in zip(answers, expected, strict=True)
    )


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_goes_back_under_the_name_that_it_came_with(field: str, server: FakeServer) -> None:
    piece = {"index": 0, **call_of(A)}
    frames = [{"choices": [{"delta": {field: "Hmm.", "tool_calls": [piece]}, "finish_reason": "tool_calls"}]}]
    server.will_say(Answer(chunks=sse(frames)))
    model = OpenAIChat("m", base_url=server.base_url)
    whole = ask(model).whole
    answer = answered(None, A, reasoning_content=whole.reasoning_content, provider_data=whole.provider_data)

    body = sent(server, model, [user(), answer, result(A)])["messages"]
    elsewhere = sent(server, OpenAIChat("other", base_url=server.base_url), [user(), answer, result(A)])["messages"]

    assert whole.reasoning_content == "Hmm."
    assert body[1] == ({**ASKED, "reasoning_content": "Hmm."} if field == "reasoning_content" else ASKED)
    assert elsewhere[1] == ASKED


@pytest.mark.parametrize(
    ("provider", "name", "content"),
    [
        ("openai", "m", None),
        ("google", "m", None),
        ("ollama", "m", ""),
        ("deepseek", "m", ""),
        ("litellm", "m", "left out"),
        ("", "m", ""),
        ("", "bedrock/claude-opus", "left out"),
    ],
)
def test_the_content_next_to_tool_calls(provider: str, name: str, content: str | None, server: FakeServer) -> None:
    model = OpenAIChat(name, base_url=server.base_url, provider=provider)

    body = sent(server, model, [user(), answered("", A), result(A)])["messages"]

    assert body[1].get("content", "left out") == content


IMAGE = Media(kind="image", content=PNG, mime_type="image/png", filename="plot.png")
WITH_IMAGE = [user(), answered(None, A, B), result(A, "A figure", IMAGE), result(B)]
SHOWN = {
    "role": "user",
    "content": [{"type": "text", "text": "[from get_weather]"}, {"type": "image_url", "image_url": {"url": URL}}],
}
BLIND = "A figure\n[image plot.png, which cannot be sent to this model]"


def test_the_image_of_a_tool_follows_all_results_of_the_answer(server: FakeServer) -> None:
    strict = OpenAIChat("m", base_url=server.base_url, tool_images=True)
    lenient = OpenAIChat("m", base_url=server.base_url, provider="openai")

    later = [*WITH_IMAGE, answered("Nice."), user("More")]
    body = sent(server, strict, later)["messages"]

    assert body[-4:] == [
        said("assistant", "(The media of these results follow.)"),
        SHOWN,
        said("assistant", "Nice."),
        said("user", "More"),
    ]
    assert sent(server, lenient, WITH_IMAGE)["messages"][-3:] == [tool(A, "A figure"), tool(B), SHOWN]


@pytest.mark.parametrize("settings", [{}, {"tool_images": True, "sees_images": False}], ids=["unknown", "blind"])
@pytest.mark.parametrize("api", [OpenAIChat, OpenAIResponses])
def test_a_model_that_does_not_see_is_told_of_the_image(
    api: type[OpenAIModel], settings: dict[str, bool], server: FakeServer
) -> None:
    body = sent(server, api("m", base_url=server.base_url, **settings), WITH_IMAGE)

    if api is OpenAIChat:
        assert [each["content"] for each in body["messages"] if each["role"] == "tool"] == [BLIND, "sunny"]
    else:
        assert [each["output"] for each in body["input"] if "output" in each] == [BLIND, "sunny"]


def test_gemini_hears_what_a_tool_recorded(server: FakeServer) -> None:
    sound = Media(kind="audio", content=b"RIFF", mime_type="audio/wav", filename="bell.wav")
    video = Media(kind="video", url="https://example.com/bell.mp4", filename="bell.mp4")
    gemini = OpenAIChat("gemini-2.5-flash", base_url=server.base_url, provider="google")

    body = sent(server, gemini, [user(), answered(None, A), result(A, "A bell", sound, video)])["messages"]

    assert body[-2:] == [
        tool(A, "A bell\n[video bell.mp4, which cannot be sent to this model]"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[from get_weather]"},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            ],
        },
    ]


def test_responses_take_images_in_the_output_of_a_call(server: FakeServer) -> None:
    body = sent(server, OpenAIResponses("m", base_url=server.base_url, provider="openai"), WITH_IMAGE)

    assert [each["output"] for each in body["input"] if "output" in each] == [
        [{"type": "input_text", "text": "A figure"}, {"type": "input_image", "image_url": URL, "detail": "auto"}],
        "sunny",
    ]


def test_responses_leave_out_an_answer_of_reasoning_only(server: FakeServer) -> None:
    model = OpenAIResponses("m", base_url=server.base_url, provider="openai")
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VjcmV0"}
    data = {"provider": "openai", "model": "m", "items": [reasoning]}

    body = sent(server, model, [user(), answered(None, reasoning_content="Hmm.", provider_data=data), user("Again")])

    assert [item["role"] for item in body["input"]] == ["user", "user"]


CHOICES = [
    ("openai", "required", "required", 2),
    ("openai", "get_weather", {"type": "function", "function": {"name": "get_weather"}}, 2),
    ("openai", "none", "none", 2),
    ("openai", "auto", None, 2),
    ("lmstudio", "required", "required", 2),
    ("lmstudio", "get_weather", "required", 1),
    ("llamacpp", "get_weather", "required", 1),
    ("ollama", "none", None, 0),
    ("", "get_weather", {"type": "function", "function": {"name": "get_weather"}}, 2),
]


@pytest.mark.parametrize(("provider", "choice", "expected", "num_tools"), CHOICES)
def test_a_choice_of_tools(provider: str, choice: str, expected: Any, num_tools: int, server: FakeServer) -> None:
    tools = [WEATHER, replace(WEATHER, name="get_time")]
    model = OpenAIChat("m", base_url=server.base_url, provider=provider)

    body = sent(server, model, [user()], tools=tools, tool_choice=choice)

    assert (body.get("tool_choice"), len(body.get("tools", []))) == (expected, num_tools)


@pytest.mark.parametrize(
    ("choice", "expected"), [("required", "required"), ("get.weather", {"type": "function", "name": "get_weather"})]
)
def test_a_choice_of_tools_in_the_responses_api(choice: str, expected: Any, server: FakeServer) -> None:
    model = OpenAIResponses("m", base_url=server.base_url)

    body = sent(server, model, [user()], tools=[replace(WEATHER, name="get.weather")], tool_choice=choice)

    assert body["tool_choice"] == expected


TEXTS = st.sampled_from(["Sunny.", "Rain.", "", " ", None])


@st.composite
def runs(draw: st.DrawFn) -> list[list[Message]]:
    """Turns that ended in any way: answered, cancelled, failed, rejected, or with a result."""
    number = iter(range(1000))
    turns = []
    for turn in range(draw(st.integers(1, 4))):
        messages = [user(f"Question {turn}")]
        for _ in range(draw(st.integers(0, 3))):
            calls = [f"call_{next(number)}" for _ in range(draw(st.integers(1, 3)))]
            messages.append(answered(draw(TEXTS), *calls))
            # Calls of an interrupted turn have no result.
            media = [IMAGE] if draw(st.booleans()) else []
            messages += [result(each, "sunny", *media) for each in calls[: draw(st.integers(0, len(calls)))]]
        messages += [answered(text, reasoning_content="Hmm.") for text in draw(st.lists(TEXTS, max_size=2))]
        for message in messages:
            message.run_id = f"run {turn}"
        turns.append(messages)
    return turns


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    turns=runs(),
    cut=st.none() | st.integers(1, 6),
    max_calls=st.none() | st.integers(0, 3),
    has_system=st.booleans(),
    examples=st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=2),
    ends_with_results=st.booleans(),
)
def test_templates_accept_any_history(
    turns: list[list[Message]],
    cut: int | None,
    max_calls: int | None,
    has_system: bool,
    examples: list[Any],
    ends_with_results: bool,
    server: FakeServer,
) -> None:
    query = ContextQuery(num_history_runs=10, num_history_messages=cut)
    by_run = {f"run {place}": messages for place, messages in enumerate(turns)}
    history = select_history(by_run, list(enumerate(by_run)), query)
    history = history if max_calls is None else trim_tool_calls(history, max_calls)
    messages = [Message(role=role, content="An example.", from_history=True) for role in examples]
    system = [Message(role="system", content="Be kind.")] if has_system else []
    current = [user("Now?"), *([answered("", "x", "y"), result("x"), result("y")] if ends_with_results else [])]
    model = OpenAIChat("m", base_url=server.base_url, tool_images=True)

    body = sent(server, model, repair_tool_pairs([*system, *messages, *history, *current]))["messages"]

    assert problems(body) == []
    text = str(body)
    assert all(str(message.content) in text for message in history if message.role == "user")
    assert "Now?" in text
