"""The demo engine with the real SDK, which validates responses strictly."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from agno_nb.models.demo.server import serve
from agno_nb.models.demo.transport import DemoTransport

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SUM = "12 * 7 = 84\n\n(I am the demo model: rules, not a language model. `%agent --model openai:gpt-5-mini` switches.)"


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with serve() as url:
        yield url


@pytest.fixture(params=["transport", "server"])
async def client(request: pytest.FixtureRequest, base_url: str) -> AsyncIterator[AsyncOpenAI]:
    """The same engine, in this process and behind a socket."""
    in_process = request.param == "transport"
    http_client = httpx2.AsyncClient(transport=DemoTransport()) if in_process else None
    async with AsyncOpenAI(
        api_key="none",
        base_url="http://demo.invalid/v1" if in_process else base_url,
        http_client=http_client,
        _strict_response_validation=True,
    ) as openai:
        yield openai


async def test_chat(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "what is 12 * 7"}]
    )
    assert completion.choices[0].message.content == SUM
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (5, len(SUM.split()))
    assert (completion.model, completion.created) == ("demo", 0)


async def test_chat_stream(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "what is 12 * 7"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks[1:-2]]
    assert pieces[:5] == ["12", " *", " 7", " =", " 84"]
    assert "".join(piece or "" for piece in pieces) == SUM
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage is not None) == ([], True)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_chat_calls_tools_in_parallel_and_reads_their_results(client: AsyncOpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "weather in Oslo and Rome"}]
    tools: list[Any] = [{"type": "function", "function": WEATHER}]
    first = await client.chat.completions.create(model="demo", messages=messages, tools=tools)
    calls = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls"
    assert [call.function.arguments for call in calls if call.type == "function"] == [
        '{"city": "Oslo"}',
        '{"city": "Rome"}',
    ]
    assert len({call.id for call in calls}) == 2
    streamed: dict[int, list[str]] = {}
    async for chunk in await client.chat.completions.create(model="demo", messages=messages, tools=tools, stream=True):
        for delta in chunk.choices[0].delta.tool_calls or []:
            assert delta.function is not None
            streamed.setdefault(delta.index, []).append(delta.function.arguments or "")
    assert ["".join(pieces) for pieces in streamed.values()] == ['{"city": "Oslo"}', '{"city": "Rome"}']
    messages.append(first.choices[0].message.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls]
    second = await client.chat.completions.create(model="demo", messages=messages, tools=tools)
    assert (second.choices[0].message.content or "").startswith("`get_weather` (city Oslo) answers: rain")


async def test_responses(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="demo", input="what is 12 * 7", store=False)
    assert (response.output_text, response.status) == (SUM, "completed")
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (5, len(SUM.split()))


async def test_responses_stream(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(model="demo", input="what is 12 * 7", stream=True)
    events = [event async for event in stream]
    kinds = list(dict.fromkeys(event.type for event in events))
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SUM
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == SUM


async def test_responses_calls_tools_and_reads_their_results(client: AsyncOpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": [{"type": "input_text", "text": "weather in Oslo"}]}]
    tools: list[Any] = [{"type": "function", "strict": False, **WEATHER}]
    stream = await client.responses.create(model="demo", input=said, tools=tools, stream=True)
    events = [event async for event in stream]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [(item.type, item.name, item.arguments) for item in done if item.type == "function_call"] == [
        ("function_call", "get_weather", '{"city": "Oslo"}')
    ]
    for item in done:
        said.append(item.model_dump(exclude_none=True))
        assert item.type == "function_call"
        said.append({"type": "function_call_output", "call_id": item.call_id, "output": "rain"})
    answer = await client.responses.create(model="demo", input=said, tools=tools, instructions="Be brief.")
    assert answer.output_text.startswith("`get_weather` (city Oslo) answers: rain")


async def test_structured_output_of_both_apis(client: AsyncOpenAI) -> None:
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": ["name", "age"]}
    completion = await client.chat.completions.create(
        model="demo",
        messages=[{"role": "user", "content": "Ada is 36"}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
    )
    response = await client.responses.create(
        model="demo",
        input="Ada is 36",
        text={"format": {"type": "json_schema", "name": "person", "schema": schema}},
    )
    assert json.loads(completion.choices[0].message.content or "") == {"name": "Ada", "age": 36}
    assert json.loads(response.output_text) == {"name": "Ada", "age": 36}


async def test_the_longest_answer_can_be_limited(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": "count to 50"}], max_completion_tokens=3
    )
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == ("1, 2, 3,", "length")
    response = await client.responses.create(model="demo", input="count to 50", max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


async def test_ids_come_from_the_request(client: AsyncOpenAI) -> None:
    async def ask(text: str) -> str:
        completion = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": text}])
        return completion.id

    assert await ask("Hello") == await ask("Hello")
    assert await ask("Hello") != await ask("Goodbye")


async def test_models_are_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["demo"]


async def test_what_is_not_spoken_is_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(NotFoundError, match="speaks /chat/completions and /responses"):
        await client.embeddings.create(model="demo", input="x", encoding_format="float")
    with pytest.raises(BadRequestError, match="not a JSON object"):
        await client.post("/chat/completions", body=[1], cast_to=object)
