"""Reasoning in the text of an answer, in tags."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings, strategies as st

from agno_nb.models.base import Delta, ModelRequest
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.reasoning_tags import ReasoningSplitter
from agno_nb.types import Message
from tests.fakes.http import Answer, FakeServer, sse, sse_events
from tests.models.asking import ask

# The text of an answer, its reasoning, and its content.
ANSWERS: dict[str, tuple[str, str, str]] = {
    "think": ("<think>\nHm.\n</think>\n\nHello", "Hm.\n", "Hello"),
    "in one line": ("<think>Hm.</think>Hello", "Hm.", "Hello"),
    "after whitespace": ("\n\n <think>Hm.</think> Hello", "Hm.", "Hello"),
    "empty": ("<think>\n\n</think>\n\nHello", "", "Hello"),
    "alone": ("<think>Hm.</think>", "Hm.", ""),
    "cut": ("<think>Hm. If", "Hm. If", ""),
    "cut in the tag": ("<think>Hm.</thi", "Hm.</thi", ""),
    "twice": ("<think>Hm.</think>\n<think>So.</think>\nHello", "Hm.So.", "Hello"),
    "another tag in it": ("<think>a < b, <b>, </b>, </think >?</think>Hello", "a < b, <b>, </b>, </think >?", "Hello"),
    "thinking": ("<thinking>Hm.</thinking>Hello", "Hm.", "Hello"),
    "reasoning": ("<reasoning>Hm.</reasoning>Hello", "Hm.", "Hello"),
    "gemini": ("<thought>Hm.</thought>Hello", "Hm.", "Hello"),
    "magistral": ("[THINK]Hm.[/THINK]Hello", "Hm.", "Hello"),
    "kimi": ("◁think▷Hm.◁/think▷Hello", "Hm.", "Hello"),
    "gemma": ("<|channel>thought\nHm.<channel|>Hello", "Hm.", "Hello"),
    "command": ("<|START_THINKING|>Hm.<|END_THINKING|>Hello", "Hm.", "Hello"),
    "gpt-oss": (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello", "Hm.", "Hello",
    ),
    "deepseek-r1: no opening tag": ("Hm.\nSo.\n</think>\n\nHello", "Hm.\nSo.\n", "Hello"),
    "deepseek 3.1: no opening tag": ("Hm. So.</think>Hello", "Hm. So.", "Hello"),
    "qwen: only the closing tag": ("</think>\n\nHello", "", "Hello"),
    "no opening tag, and code": ("So ```\n<b>\n``` it is.</think>Hello", "So ```\n<b>\n``` it is.", "Hello"),
    "no opening tag, and the tag again": ("Hm.</think>Say `</think>`, </think>.", "Hm.", "Say `</think>`, </think>."),
}  # fmt: skip

TEXTS = [
    "Hello", " \n", "", "<", "<thin", "< think>Hm.</ think>", "Hello <think>Hm.</think>", "<b>Hm.</b>",
    "In HTML, write <think> and </think>.", "The tag </think> ends it.", "It ends with `</think>`.",
    'It ends with "</think>".', "```html\n<think>\n</think>\n```", "```\nx\n</think>\n```", "`<think>Hm.</think>`",
    "<p>\n<think>Hm.\n</think>\n</p>", "Hello</thin", "<thinker>", "[THINKER]", "◁", "(</think>)",
]  # fmt: skip
EXPECTED = [*ANSWERS.values(), *((text, "", text) for text in TEXTS)]


def split(text: str, cuts: set[int], *, finds_orphans: bool = True) -> tuple[str, str]:
    """Return reasoning and content of a text that arrives in pieces."""
    splitter = ReasoningSplitter(finds_orphans=finds_orphans)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(text)), len(text)]
    deltas = [splitter.add(text[a:b]) for a, b in itertools.pairwise(places)]
    return joined([*deltas, splitter.add("", is_end=True)])


def joined(deltas: list[Delta]) -> tuple[str, str]:
    reasoning = content = ""
    for delta in deltas:
        content = delta.content if delta.discards_content else content + delta.content
        reasoning += delta.reasoning_content
    return reasoning, content


@pytest.mark.parametrize(("text", "reasoning", "content"), EXPECTED, ids=[repr(text)[:40] for text, _, _ in EXPECTED])
def test_any_two_cuts(text: str, reasoning: str, content: str) -> None:
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert split(text, {first, second}) == (reasoning, content)
    assert split(text, set(range(len(text)))) == (reasoning, content)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EXPECTED), st.sets(st.integers(0, 120)))
def test_any_split(expected: tuple[str, str, str], cuts: set[int]) -> None:
    assert split(expected[0], cuts) == expected[1:]


PARTS = st.sampled_from(["<think>", "</think>", "<thinking>", "<", "think", ">", "/", "`", "```", "\n", " ", "a", "é"])


@settings(max_examples=500, deadline=None)
@given(st.lists(PARTS, max_size=12).map("".join), st.sets(st.integers(0, 60)), st.booleans())
def test_nothing_but_tags_and_whitespace_is_dropped(text: str, cuts: set[int], finds_orphans: bool) -> None:
    reasoning, content = split(text, cuts, finds_orphans=finds_orphans)

    assert (reasoning, content) == split(text, set(), finds_orphans=finds_orphans)
    left = iter(text)
    assert all(character in left for character in reasoning + content)
    dropped = len(text) - len(reasoning + content)
    tags = sum(text.count(tag) * len(tag) for tag in ("<think>", "</think>", "<thinking>"))
    assert dropped <= tags + sum(character.isspace() for character in text)


@settings(max_examples=300, deadline=None)
@given(st.text("<>/think [THINK]`\n"), st.sets(st.integers(0, 60)))
def test_at_most_a_tag_is_held_back(text: str, cuts: set[int]) -> None:
    splitter = ReasoningSplitter(finds_orphans=True)
    delta = splitter.add(text)
    shown = len(delta.content) + len(delta.reasoning_content)
    if not splitter.has_tags:
        assert len(text) - shown <= len("</think>") + len(text) - len(text.lstrip())


@pytest.mark.parametrize("piece", ["<", " ", "</think", "<think></think>", "<think>", "\n</think>\n", "`</think>"])
@pytest.mark.parametrize("size", [7, 10_000_000])
def test_hostile_text(piece: str, size: int) -> None:
    text = piece * (min(10_000_000, 50_000 * size) // len(piece))
    splitter = ReasoningSplitter(finds_orphans=True)
    deltas = [splitter.add(text[start : start + size]) for start in range(0, len(text), size)]
    reasoning, content = joined([*deltas, splitter.add("", is_end=True)])

    assert len(reasoning) + len(content) <= len(text)
    assert set(reasoning + content) <= set(text)


KINDS = pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses], ids=["chat", "responses"])


def said(kind: type[OpenAIModel], *pieces: str) -> Answer:
    if kind is OpenAIChat:
        frames = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        return Answer(chunks=sse([*frames, {"choices": [{"delta": {}, "finish_reason": "stop"}]}]))
    events = [{"type": "response.output_text.delta", "delta": piece} for piece in pieces]
    item = {"type": "message", "content": [{"type": "output_text", "text": "".join(pieces)}]}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    return Answer(chunks=sse_events([*events, done, {"type": "response.completed", "response": {}}]))


@KINDS
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_with_reasoning(name: str, kind: type[OpenAIModel], server: FakeServer) -> None:
    text, reasoning, content = ANSWERS[name]
    server.will_say(said(kind, *text))

    outcome = ask(kind("m", base_url=server.base_url))

    whole = outcome.whole
    assert (whole.reasoning_content or "", whole.content or "") == (reasoning, content)
    assert joined(outcome.deltas) == (reasoning, content)


@KINDS
def test_reasoning_is_not_sent_again_as_content(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(said(kind, "<think>Hm.</think>Hello"), said(kind, "Hello"))
    model = kind("m", base_url=server.base_url)

    whole = ask(model).whole
    answer = Message(role="assistant", content=whole.content, provider_data=whole.provider_data)
    ask(model, ModelRequest(messages=[Message(role="user", content="Hi"), answer, Message(role="user", content="?")]))

    assert "think" not in json.dumps(server.requests[-1].body)


@KINDS
def test_a_provider_that_separates_reasoning_is_taken_at_its_word(kind: type[OpenAIModel], server: FakeServer) -> None:
    server.will_say(said(kind, "<reasoning>As you asked.</reasoning>"))

    whole = ask(kind("m", base_url=server.base_url, provider="openai", api_key="k")).whole

    assert (whole.reasoning_content, whole.content) == (None, "<reasoning>As you asked.</reasoning>")


def test_a_closing_tag_after_reasoning_of_its_own_is_text(server: FakeServer) -> None:
    frames = [
        {"choices": [{"delta": {"reasoning_content": "Hm."}}]},
        {"choices": [{"delta": {"content": "It ends.</think>"}, "finish_reason": "stop"}]},
    ]
    server.will_say(Answer(chunks=sse(frames)))

    whole = ask(OpenAIChat("m", base_url=server.base_url)).whole

    assert (whole.reasoning_content, whole.content) == ("Hm.", "It ends.</think>")


@KINDS
def test_a_stream_that_ends_with_done_but_no_finish_reason_is_complete(
    kind: type[OpenAIModel], server: FakeServer
) -> None:
    pieces = ["Hel", "lo"]
    frames = (
        [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
        if kind is OpenAIChat
        else [{"type": "response.output_text.delta", "delta": piece} for piece in pieces]
    )
    server.will_say(Answer(chunks=sse(frames)), Answer(chunks=sse(frames, done=False)), Answer(chunks=sse([])))
    model = kind("m", base_url=server.base_url)

    whole = ask(model).whole

    assert (whole.content, whole.finish_reason) == ("Hello", "stop")
    assert "is incomplete" in str(ask(model).failure)
    assert "is incomplete" in str(ask(model).failure)
