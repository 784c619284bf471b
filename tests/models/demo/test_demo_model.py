"""The demo model as the package offers it: the production path down to the transport."""

from __future__ import annotations

import asyncio
import os

import pytest

from agno_nb.models.base import Delta, ModelRequest
from agno_nb.models.demo import DemoModel
from agno_nb.models.demo.server import serve
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.types import Message
from tests.models.asking import WEATHER, ask, ask_async


def test_it_answers_without_key_or_network() -> None:
    model = DemoModel()
    answer = ask(model, "what is 12 * 7").whole
    assert (answer.content or "").startswith("12 * 7 = 84\n\n(I am the demo model")
    assert (answer.model, answer.finish_reason, answer.metrics.cost) == ("demo", "stop", 0.0)
    assert answer.metrics.output_tokens == len((answer.content or "").split())
    assert (model.id, model.provider) == ("demo", "demo")


def test_it_is_not_given_the_keys_of_others() -> None:
    os.environ["OPENAI_API_KEY"] = "sk-somebody"
    model = DemoModel()
    assert model.endpoint.key_in_environment() == ""
    assert ask(model, "hi").error is None


def test_it_calls_tools() -> None:
    answer = ask(DemoModel(), "What's the weather in Oslo and Rome?").whole
    assert [(call.tool_name, call.tool_args) for call in answer.tool_calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_weather", {"city": "Rome"}),
    ]
    assert answer.content is None


def test_it_streams_by_word() -> None:
    outcome = ask(DemoModel(), "count to 5")
    assert [delta.content for delta in outcome.deltas][:5] == ["1,", " 2,", " 3,", " 4,", " 5"]


@pytest.mark.parametrize("model_class", [OpenAIChat, OpenAIResponses])
def test_both_adapters_talk_to_the_server(model_class: type[OpenAIChat | OpenAIResponses]) -> None:
    with serve() as base_url:
        model = model_class("demo", base_url=base_url)
        request = ModelRequest(messages=[Message(role="user", content="weather in Oslo")], tools=[WEATHER])
        call = ask(model, request).whole.tool_calls[0]
        call.result = "rain"
        said = Message(role="assistant", tool_calls=[call])
        result = Message(role="tool", content="rain", tool_call_id=call.tool_call_id, tool_name=call.tool_name)
        request.messages += [said, result]
        assert (ask(model, request).whole.content or "").startswith("`get_weather` (city Oslo) answers: rain")


async def test_a_slow_answer_can_be_cut_off() -> None:
    model = DemoModel(word_delay_s=60.0)
    first_word = asyncio.Event()

    async def listen() -> None:
        first_word.set()
        async for _ in model.stream(ModelRequest(messages=[Message(role="user", content="count to 100")])):
            pass

    task = asyncio.create_task(listen())
    await first_word.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await model.aclose()


def test_a_server_that_is_slow_stops_at_once() -> None:
    async def first_piece(base_url: str) -> str:
        model = OpenAIChat("demo", base_url=base_url)
        stream = model.stream(ModelRequest(messages=[Message(role="user", content="count to 1000")]))
        try:
            async for piece in stream:
                assert isinstance(piece, Delta)
                return piece.content
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
            await model.aclose()
        raise AssertionError("nothing came")

    with serve(word_delay_s=0.01) as base_url:
        assert asyncio.run(first_piece(base_url)) == "1,"


async def test_delays_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def no_time(delay: float, result: None = None) -> None:
        slept.append(delay)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", no_time)
    await ask_async(
        DemoModel(latency_s=2.0, word_delay_s=0.5), ModelRequest(messages=[Message(role="user", content="say a b")])
    )
    assert slept[:3] == [2.0, 0.5, 0.5]
