"""Reasoning that a model wants back, in its run and from the store, and that no other model is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agno_nb import Agent, DuckDb
from agno_nb.models.openai import OpenAIChat
from tests.fakes.http import Answer, FakeServer, Request, json_answer, sse

CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


class ThinkingServer(FakeServer):
    """DeepSeek in thinking mode: every answer must come back with its reasoning."""

    def answer_to(self, request: Request) -> Answer:
        answers = [message for message in request.body["messages"] if message["role"] == "assistant"]
        if any(message.get("tool_calls") and "reasoning_content" not in message for message in answers):
            message = "The `reasoning_content` in the thinking mode must be passed back to the API."
            return json_answer({"error": {"message": message, "type": "invalid_request_error"}}, status=400)
        return super().answer_to(request)


def reasoned(reasoning: str, delta: dict[str, Any], finish: str) -> Answer:
    pieces = [{"reasoning_content": reasoning}, delta]
    frames = [{"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in pieces]
    return Answer(chunks=sse([*frames, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]))


def look() -> str:
    """Look it up."""
    return "42"


def test_reasoning_goes_back_in_the_run_and_from_the_store_and_to_no_other_model(tmp_path: Path) -> None:
    with ThinkingServer() as deepseek, FakeServer() as other:
        deepseek.will_say(
            reasoned("Look first.", {"tool_calls": [CALL]}, "tool_calls"),
            reasoned("So 42.", {"content": "It is 42."}, "stop"),
            reasoned("Known.", {"content": "Still 42."}, "stop"),
        )
        other.will_say(reasoned("", {"content": "42 as well."}, "stop"))

        def ask(model: OpenAIChat, question: str) -> Any:
            stored = {"db": DuckDb(tmp_path / "store"), "session_id": "s", "add_history_to_context": True}
            return Agent(model, tools=[look], **stored).run(question).content

        thinking = OpenAIChat("deepseek-v4", base_url=deepseek.base_url, provider="deepseek", api_key="no-key")
        assert ask(thinking, "How many?") == "It is 42."
        assert ask(OpenAIChat("m", base_url=other.base_url), "And you?") == "42 as well."
        assert ask(thinking, "Sure?") == "Still 42."

        sent = [
            [message["reasoning_content"] for message in request.body["messages"] if message["role"] == "assistant"]
            for request in deepseek.requests
        ]
        assert sent == [[], ["Look first."], ["Look first.", "So 42.", ""]]
        assert all("reasoning_content" not in message for message in other.requests[0].body["messages"])
