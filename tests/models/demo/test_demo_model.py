"""The demo model as a model: streaming, delays, usage, and equal answers to equal requests."""

from __future__ import annotations

import asyncio

import pytest

from agno_nb.models.base import ModelRequest
from agno_nb.models.demo import DemoModel
from agno_nb.types import Message
from tests.models.asking import WEATHER
from tests.models.demo.talking import respond, stream


def request(prompt: str) -> ModelRequest:
    return ModelRequest(messages=[Message(role="user", content=prompt)], tools=[WEATHER])


async def test_it_streams_by_word_and_counts_words_as_tokens() -> None:
    deltas, response = await stream(request("what is 12 * 7"))
    assert response.content == "12 * 7 = 84"
    assert [delta.content for delta in deltas][:5] == ["12", " *", " 7", " =", " 84"]
    assert "".join(delta.content for delta in deltas) == response.content
    assert (response.model, response.finish_reason, response.metrics.cost) == ("demo", "stop", 0.0)
    assert response.metrics.output_tokens == len(response.content.split())
    assert response.metrics.input_tokens == 5 + len(f"{WEATHER.name} {WEATHER.description}".split())


async def test_it_calls_tools() -> None:
    deltas, response = await stream(request("What's the weather in Oslo and Rome?"))
    assert [(call.tool_name, call.tool_args) for call in response.tool_calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert len({call.tool_call_id for call in response.tool_calls}) == 2
    assert (deltas, response.content, response.finish_reason) == ([], None, "tool_calls")


def test_equal_requests_get_equal_answers_and_ids() -> None:
    def called(prompt: str) -> list[tuple[str, str]]:
        return [(call.tool_call_id, call.arguments) for call in respond(request(prompt)).tool_calls]

    assert called("weather in Oslo") == called("weather in Oslo")
    assert called("weather in Oslo")[0][0] != called("weather in Rome")[0][0]


def test_tools_that_must_not_be_called_are_not_called() -> None:
    asked = request("weather in Rome")
    asked.allow_tool_calls = False
    assert respond(asked).tool_calls == []


async def test_a_slow_answer_can_be_cancelled() -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        begun.set()
        await stream(request("count to 100"), DemoModel(word_delay_s=60.0))

    task = asyncio.create_task(listen())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_delays_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    delays: list[float] = []
    sleep = asyncio.sleep

    async def no_time(delay: float, result: None = None) -> None:
        delays.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", no_time)
    await stream(request("say a b"), DemoModel(latency_s=2.0, word_delay_s=0.5))
    assert delays[:3] == [2.0, 0.5, 0.5]
