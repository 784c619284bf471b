"""Chat Completions responses of real servers, byte for byte over HTTP, one row per dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from agno_nb.models.openai import OpenAIChat
from agno_nb.types import Metrics
from tests.fakes.http import Answer, FakeServer, sse
from tests.models.asking import ask


def said(delta: object = None, finish: str | None = None, **frame: Any) -> dict[str, Any]:
    """One chunk, as OpenAI writes it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **frame}


def called(*calls: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return said({"tool_calls": list(calls)}, finish)


def piece(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"type": "function", "function": function, **more}


PARIS, OSLO = '{"city": "Paris"}', '{"city": "Oslo"}'
END = said({}, "stop")
CALLED = said({}, "tool_calls")


@dataclass
class Dialect:
    who: str
    frames: list[Any]
    content: str | None = None
    reasoning: str | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str | None] | None = None
    """Ids that must be kept; None for one that had to be made up."""
    finish: str = "stop"
    metrics: Metrics = field(default_factory=Metrics)
    newline: str = "\n"


DIALECTS = [
    Dialect(
        "openai: text, usage in a frame of its own without choices",
        [
            said({"role": "assistant", "content": "", "refusal": None}),
            said({"content": "Hel"}),
            said({"content": "lo"}),
            END,
            {
                "id": "c1",
                "model": "m",
                "choices": [],
                "usage": {
                    "prompt_tokens": 12,
                    "completion_tokens": 7,
                    "total_tokens": 19,
                    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                    "completion_tokens_details": {"reasoning_tokens": 5},
                },
            },
        ],
        content="Hello",
        metrics=Metrics(
            input_tokens=12, output_tokens=7, cache_read_tokens=4, cache_write_tokens=2, reasoning_tokens=5
        ),
    ),
    Dialect(
        "openai: parallel calls by index, arguments in pieces",
        [
            called(piece("get_weather", "", index=0, id="a")),
            called(piece(None, '{"city": ', index=0)),
            called(piece(None, '"Paris"}', index=0)),
            called(piece("get_weather", "", index=1, id="b")),
            called(piece(None, OSLO, index=1)),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "openai: the pieces of parallel calls interleaved",
        [
            called(piece("get_weather", "", index=0, id="a"), piece("get_time", "", index=1, id="b")),
            called(piece(None, OSLO[:6], index=1), piece(None, PARIS[:6], index=0)),
            called(piece(None, OSLO[6:], index=1), piece(None, PARIS[6:], index=0)),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_time", OSLO)],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "gemini: calls without index, finished with stop",
        [called(piece("get_weather", PARIS, id="a"), piece("get_weather", OSLO, id="b")), END],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=["a", "b"],
    ),
    Dialect(
        "gemini: calls without index, in frames of their own, with empty ids",
        [called(piece("get_weather", PARIS, id="")), called(piece("get_weather", OSLO, id="")), END],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=[None, None],
    ),
    Dialect(
        "ollama: parallel calls all at index 0 with different ids",
        [
            called(piece("get_weather", PARIS, index=0, id="a")),
            called(piece("get_time", OSLO, index=0, id="b")),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_time", OSLO)],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "ollama: parallel calls of one tool at index 0 without ids",
        [called(piece("get_weather", PARIS, index=0)), called(piece("get_weather", OSLO, index=0)), CALLED],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=[None, None],
        finish="tool_calls",
    ),
    Dialect(
        "openrouter: parallel calls at index 0 in pieces, told apart by the id of their first piece",
        [
            called(piece("get_weather", "", index=0, id="a")),
            called(piece(None, PARIS, index=0)),
            called(piece("get_weather", "", index=0, id="b")),
            called(piece(None, OSLO, index=0)),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "llama-cpp-python: id and name repeated with every piece",
        [
            called(piece("get_weather", '{"city"', index=0, id="a")),
            called(piece("get_weather", ': "Pa', index=0, id="a")),
            called(piece("get_weather", 'ris"}', index=0, id="a")),
            called(piece("get_weather", "", index=0, id="a")),
            CALLED,
        ],
        calls=[("get_weather", PARIS)],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "old ollama: neither id nor index, null arguments",
        [called({"function": {"name": "get_time", "arguments": None}}), END],
        calls=[("get_time", "{}")],
        ids=[None],
    ),
    Dialect(
        "empty arguments",
        [called(piece("get_time", "", index=0, id="a")), CALLED],
        calls=[("get_time", "{}")],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "null as text instead of arguments",
        [called(piece("get_time", "null", index=0, id="a")), CALLED],
        calls=[("get_time", "{}")],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "one id for two calls",
        [called(piece("get_weather", PARIS, index=0, id="x"), piece("get_weather", OSLO, index=1, id="x")), CALLED],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=["x", None],
        finish="tool_calls",
    ),
    Dialect(
        "ollama shims: arguments as an object",
        [called(piece("get_weather", {"city": "Paris"}, index=0, id="a")), END],
        calls=[("get_weather", PARIS)],
        ids=["a"],
    ),
    Dialect(
        "content as a list of parts",
        [said({"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}), END],
        content="Hello",
    ),
    Dialect(
        "azure: a filter frame without choices, then a choice without delta",
        [
            {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
            said({"content": "Hello"}),
            {"choices": [{"index": 0, "content_filter_results": {}, "finish_reason": None}]},
            {"choices": [{"index": 0, "finish_reason": "stop", "delta": None}]},
        ],
        content="Hello",
    ),
    Dialect(
        "openrouter: comments, usage with its cost on the second of two finish chunks",
        [
            b": OPENROUTER PROCESSING\n\n",
            said({"content": "Hello"}),
            END,
            b": OPENROUTER PROCESSING\n\n",
            said({"content": ""}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.00125}),
        ],
        content="Hello",
        metrics=Metrics(input_tokens=3, output_tokens=2, cost=0.00125),
    ),
    Dialect(
        "transformers serve: usage on the last choice chunk, null before",
        [
            said({"content": "Hello"}, usage=None),
            said({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": None}),
        ],
        content="Hello",
        metrics=Metrics(input_tokens=3, output_tokens=2),
    ),
    Dialect(
        "vllm: usage so far on every chunk",
        [
            said({"content": "Hel"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
            said({"content": "lo"}, usage={"prompt_tokens": 3, "completion_tokens": 2}),
            said({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 3}),
        ],
        content="Hello",
        metrics=Metrics(input_tokens=3, output_tokens=3),
    ),
    Dialect("llama-cpp-python: no usage although asked for", [said({"content": "Hello"}), END], content="Hello"),
    Dialect(
        "usage that is not numbers",
        [said({"content": "Hello"}), END, {"choices": [], "usage": {"prompt_tokens": None, "completion_tokens": "7"}}],
        content="Hello",
    ),
    Dialect(
        "vllm, deepseek: reasoning_content",
        [said({"reasoning_content": "Hm"}), said({"reasoning_content": "m."}), said({"content": "Hello"}), END],
        content="Hello",
        reasoning="Hmm.",
    ),
    Dialect(
        "ollama: reasoning",
        [said({"content": "", "reasoning": "Hmm."}), said({"content": "Hello"}), END],
        content="Hello",
        reasoning="Hmm.",
    ),
    Dialect(
        "openrouter: reasoning and reasoning_details that say the same",
        [
            said({"reasoning": "Hmm.", "reasoning_details": [{"type": "reasoning.text", "text": "Hmm."}]}),
            said({"content": "Hello"}),
            END,
        ],
        content="Hello",
        reasoning="Hmm.",
    ),
    Dialect(
        "openrouter: reasoning_details alone, as a summary and as something encrypted",
        [
            said({"reasoning_details": [{"type": "reasoning.summary", "summary": "Hmm."}]}),
            said({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz"}]}),
            said({"content": "Hello"}),
            END,
        ],
        content="Hello",
        reasoning="Hmm.",
    ),
    Dialect(
        "mistral: reasoning as parts of the content (pydantic-ai#2713, vercel/ai#13703)",
        [
            said({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
            said({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m."}]}]}),
            said({"content": [{"type": "text", "text": "Hel"}]}),
            said({"content": "lo"}),
            END,
        ],
        content="Hello",
        reasoning="Hmm.",
    ),
    Dialect("an unknown finish_reason", [said({"content": "Hello"}), said({}, "eos")], content="Hello", finish="eos"),
    Dialect(
        "litellm: calls finished with stop",
        [called(piece("get_weather", PARIS, index=0, id="a")), END],
        calls=[("get_weather", PARIS)],
        ids=["a"],
    ),
    Dialect(
        "proxies: no id, object, created or model",
        [{"choices": [{"delta": {"content": "Hello"}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]}],
        content="Hello",
    ),
    Dialect("lines that end in CR LF", [said({"content": "Hello"}), END], content="Hello", newline="\r\n"),
    Dialect("lines that end in CR", [said({"content": "Hello"}), END], content="Hello", newline="\r"),
    Dialect(
        "event names, and frames that say nothing",
        [b"event: message\ndata: {}\n\n", b"data: null\n\n", b"data: []\n\n", said({"content": "Hello"}), END],
        content="Hello",
    ),
    Dialect(
        "a character cut in two by the network",
        [b'data: {"choices": [{"delta": {"content": "\xc3', b'\xa9t\xc3\xa9"}}]}\n\n', END],
        content="été",
    ),
    Dialect(
        "openai: a refusal",
        [said({"content": None, "refusal": "I can"}), said({"refusal": "not."}), END],
        content="I cannot.",
        finish="refusal",
    ),
    Dialect("the answer reached its longest", [said({"content": "Hel"}), said({}, "length")], "Hel", finish="length"),
    Dialect(
        "text and a call in one answer",
        [said({"content": "Let me look."}), called(piece("get_weather", PARIS, index=0, id="a")), CALLED],
        content="Let me look.",
        calls=[("get_weather", PARIS)],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "poolside: the id of a call changes after its first piece (poolsideai/pool#9)",
        [
            called(piece("get_weather", "", index=0, id="a")),
            called(piece(None, '{"city": ', index=0, id="b")),
            called(piece(None, '"Paris"}', index=0, id="b")),
            CALLED,
        ],
        calls=[("get_weather", PARIS)],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "litellm for OCI: each piece of a call has an id of its own, and no index",
        [
            called(piece("get_weather", '{"city": ', id="a")),
            called(piece(None, '"Paris"}', id="b")),
            called(piece("get_time", "{}", id="c")),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_time", "{}")],
        ids=["a", "c"],
        finish="tool_calls",
    ),
    Dialect(
        "vllm with gpt-oss: id and name of their own in each piece (vllm#23522)",
        [
            called(piece("get_weather", '{"city"', index=0, id="a")),
            called(piece("get_weather", ': "Pa', index=0, id="b")),
            called(piece("get_weather", 'ris"}', index=0, id="c")),
            CALLED,
        ],
        calls=[("get_weather", PARIS)],
        ids=["a"],
        finish="tool_calls",
    ),
    Dialect(
        "lmdeploy: parallel calls at index 0, with empty ids after the first piece (lmdeploy#3412)",
        [
            called(piece("get_weather", "", index=0, id="a")),
            called(piece(None, PARIS, index=0, id="")),
            called(piece("get_weather", "", index=0, id="b")),
            called(piece(None, OSLO, index=0, id="")),
            CALLED,
        ],
        calls=[("get_weather", PARIS), ("get_weather", OSLO)],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "ollama: two calls without arguments at index 0",
        [called(piece("get_time", "", index=0, id="a")), called(piece("get_time", "", index=0, id="b")), CALLED],
        calls=[("get_time", "{}"), ("get_time", "{}")],
        ids=["a", "b"],
        finish="tool_calls",
    ),
    Dialect(
        "lm studio: a call without name and arguments after the answer (lmstudio-bug-tracker#830)",
        [said({"content": "Hello"}), called({"index": 0, "id": "", "type": "function"}), END],
        content="Hello",
    ),
    Dialect(
        "servers of 2023: function_call",
        [
            said({"function_call": {"name": "get_weather", "arguments": '{"city": '}}),
            said({"function_call": {"arguments": '"Paris"}'}}, "function_call"),
        ],
        calls=[("get_weather", PARIS)],
        ids=[None],
        finish="function_call",
    ),
    Dialect(
        "llama-cpp-python: function_call next to tool_calls",
        [
            called(piece("get_weather", PARIS, index=0, id="a"))
            | {
                "choices": [
                    {
                        "delta": {
                            "function_call": piece("get_weather", PARIS)["function"],
                            "tool_calls": [piece("get_weather", PARIS, index=0, id="a")],
                        }
                    }
                ]
            },
            CALLED,
        ],
        calls=[("get_weather", PARIS)],
        ids=["a"],
        finish="tool_calls",
    ),
    *(
        Dialect(
            f"vllm, kimi: {name}",
            [called(piece(name, PARIS, index=0, id="a")), CALLED],
            calls=[("get_weather", PARIS)],
            ids=["a"],
            finish="tool_calls",
        )
        for name in ("get_weather<|channel|>commentary", "functions.get_weather", "functions.get_weather:0")
    ),
    *(
        Dialect(
            f"llama.cpp, ollama: {end} at the end",
            [said({"content": f"Hel{end}lo{end[:3]}"}), said({"content": f"{end[3:]}\n"}), END],
            content=f"Hel{end}lo",
        )
        for end in ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|return|>", "<|end|><|return|>")
    ),
    Dialect(
        "arguments that are not JSON are kept as the model wrote them",
        [called(piece("get_weather", '{"city": Paris', index=0, id="a")), CALLED],
        calls=[("get_weather", '{"city": Paris')],
        ids=["a"],
        finish="tool_calls",
    ),
]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.who)
def test_understands(dialect: Dialect, server: FakeServer) -> None:
    server.will_say(Answer(chunks=sse(dialect.frames, newline=dialect.newline)))

    outcome = ask(OpenAIChat("m", base_url=server.base_url))

    whole = outcome.whole
    assert (whole.content, whole.reasoning_content) == (dialect.content, dialect.reasoning)
    shown = "".join(delta.content for delta in outcome.deltas[outcome.last_discard :])
    assert (shown or None, outcome.reasoning or None) == (dialect.content, dialect.reasoning)
    assert [(call.tool_name, call.arguments) for call in whole.tool_calls] == dialect.calls
    assert (whole.finish_reason, whole.metrics, whole.model) == (dialect.finish, dialect.metrics, "m")
    ids = [call.tool_call_id for call in whole.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for given, kept in zip(dialect.ids or [], ids, strict=True):
        assert kept == given or given is None


def test_the_model_that_answered_is_the_one_that_the_server_names(server: FakeServer) -> None:
    server.will_say(
        Answer(chunks=sse([said({"content": "Hi"}, model="m-2026-01-01"), END | {"model": "m-2026-01-01"}]))
    )

    assert ask(OpenAIChat("m", base_url=server.base_url)).whole.model == "m-2026-01-01"
