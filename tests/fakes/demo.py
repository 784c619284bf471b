"""The demo model behind a server on loopback that speaks both of OpenAI's APIs, streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from agno_nb.models.base import ModelRequest, ModelResponse
from agno_nb.models.demo import DemoModel
from agno_nb.types import Media, Message, ToolCall, ToolSpec
from tests.fakes.http import Answer, FakeServer, Request, json_answer, sse, sse_events

JsonDict = dict[str, Any]


class DemoServer(FakeServer):
    """The server, on a free port of loopback while the ``with`` block lasts."""

    def answer_to(self, request: Request) -> Answer:
        if request.method == "GET":
            return json_answer({"object": "list", "data": [{"id": "demo", "object": "model"}]}, status=200)
        is_chat = request.path.endswith("/chat/completions")
        asked = read_chat(request.body) if is_chat else read_responses(request.body)
        response = asyncio.run(respond(asked))
        frames = chat_frames(response, request.body["model"]) if is_chat else response_events(response)
        return Answer(chunks=sse(frames) if is_chat else sse_events(frames))


async def respond(request: ModelRequest) -> ModelResponse:
    pieces = [piece async for piece in DemoModel().stream(request)]
    assert isinstance(pieces[-1], ModelResponse)
    return pieces[-1]


def read_chat(body: JsonDict) -> ModelRequest:
    messages = []
    for item in body["messages"]:
        content, media = read_content(item.get("content"))
        calls = [tool_call(call["id"], call["function"]) for call in item.get("tool_calls") or []]
        role = "system" if item["role"] == "developer" else item["role"]
        answered = item.get("tool_call_id")
        messages.append(Message(role=role, content=content, media=media, tool_calls=calls, tool_call_id=answered))
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return ModelRequest(
        messages=messages, tools=[tool(one["function"]) for one in body.get("tools", [])], output_schema=schema
    )


def read_responses(body: JsonDict) -> ModelRequest:
    messages = [Message(role="system", content=body["instructions"])] if body.get("instructions") else []
    for item in body["input"]:
        if item.get("type") == "function_call":
            messages.append(Message(role="assistant", tool_calls=[tool_call(item["call_id"], item)]))
        elif item.get("type") == "function_call_output":
            messages.append(Message(role="tool", content=str(item["output"]), tool_call_id=item["call_id"]))
        elif "role" in item:
            content, media = read_content(item["content"])
            role = "system" if item["role"] == "developer" else item["role"]
            messages.append(Message(role=role, content=content, media=media))
    schema = body.get("text", {}).get("format", {}).get("schema")
    return ModelRequest(messages=messages, tools=[tool(one) for one in body.get("tools", [])], output_schema=schema)


def read_content(content: Any) -> tuple[str, list[Media]]:
    if not isinstance(content, list):
        return content or "", []
    texts = [part["text"] for part in content if "text" in part]
    return "\n".join(texts), [Media(kind="image") for part in content if "image" in part["type"]]


def tool(function: JsonDict) -> ToolSpec:
    description = function.get("description") or ""
    return ToolSpec(name=function["name"], description=description, parameters=function["parameters"])


def tool_call(call_id: str, function: JsonDict) -> ToolCall:
    return ToolCall(tool_call_id=call_id, tool_name=function["name"], arguments=function["arguments"])


def chat_frames(response: ModelResponse, model: str) -> Iterator[JsonDict]:
    calls = [
        {
            "index": index,
            "id": call.tool_call_id,
            "type": "function",
            "function": {"name": call.tool_name, "arguments": call.arguments},
        }
        for index, call in enumerate(response.tool_calls)
    ]
    delta = {"role": "assistant", "content": response.content} | ({"tool_calls": calls} if calls else {})
    head = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": model}
    for part, reason in ((delta, None), ({}, response.finish_reason)):
        yield {**head, "choices": [{"index": 0, "delta": part, "finish_reason": reason}]}
    sent, said = response.metrics.input_tokens or 0, response.metrics.output_tokens or 0
    yield {
        **head,
        "choices": [],
        "usage": {"prompt_tokens": sent, "completion_tokens": said, "total_tokens": sent + said},
    }


def response_events(response: ModelResponse) -> Iterator[JsonDict]:
    output: list[JsonDict] = [
        {"type": "function_call", "call_id": call.tool_call_id, "name": call.tool_name, "arguments": call.arguments}
        for call in response.tool_calls
    ]
    if response.content is not None:
        text = {"type": "output_text", "text": response.content, "annotations": []}
        output.append(
            {"type": "message", "id": "msg_demo", "role": "assistant", "status": "completed", "content": [text]}
        )
        yield {
            "type": "response.output_text.delta",
            "item_id": "msg_demo",
            "output_index": 0,
            "content_index": 0,
            "delta": response.content,
        }
    sent, said = response.metrics.input_tokens or 0, response.metrics.output_tokens or 0
    usage = {"input_tokens": sent, "output_tokens": said, "total_tokens": sent + said}
    yield {
        "type": "response.completed",
        "response": {"id": "resp_demo", "status": "completed", "output": output, "usage": usage},
    }
