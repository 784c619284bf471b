"""The Responses API, used statelessly with `store=False`.

The conversation is in our store, not at the provider. Reasoning models continue their reasoning only if its items are
sent back unchanged, so the raw items of an answer are kept in `Message.provider_data`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.models.base import Delta, ModelRequest, ModelResponse, with_unique_ids
from agno_nb.models.openai.client import MODEL_ALIASES, OpenAIModel
from agno_nb.models.openai.errors import content_filter_error, has_message, incomplete_error, provider_error
from agno_nb.models.openai.history import arrange_for_responses, arrange_items
from agno_nb.models.openai.media import parts, responses_part, unsent_media
from agno_nb.models.openai.profiles import CallIds
from agno_nb.models.openai.wire import (
    Answer,
    as_arguments,
    as_piece,
    as_text,
    function_fields,
    offered_tools,
    read_usage,
    sent_arguments,
    whole_arguments,
)
from agno_nb.types import JsonDict, Message, ToolCall, as_dict, as_list

# OpenAI responds with 400 if encrypted reasoning is requested from other models.
_MODELS_WITHOUT_REASONING = ("gpt-3", "gpt-4", "chatgpt")

_FINISH_REASONS = {"max_output_tokens": "length"}


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class OpenAIResponses(OpenAIModel):
    """A model at a server with the Responses API: OpenAI and some others.

    Examples
    --------
    >>> OpenAIResponses("gpt-5-mini", reasoning_effort="low")
    OpenAIResponses(id='gpt-5-mini')
    """

    max_output_tokens: int | None = None
    """Limit of the answer, including reasoning."""
    reasoning_summary: str | None = None
    """Summary of the reasoning to request: "auto", "concise" or "detailed". By default none."""

    path: ClassVar[str] = "/responses"
    answer_field: ClassVar[str] = "output"
    sampling: ClassVar[tuple[str, ...]] = (*OpenAIModel.sampling, "reasoning_summary")

    @property
    def output_limit_name(self) -> str:
        return "max_output_tokens"

    @property
    def output_limit(self) -> int | None:
        return self.max_output_tokens

    @property
    def _call_ids(self) -> CallIds:
        return "forty"  # The raw items have the ids of the server.

    def _new_answer(self) -> Answer:
        return _ResponsesAnswer(self.endpoint, self.id)

    def _body(self, request: ModelRequest) -> JsonDict:
        messages = arrange_for_responses(request.messages, self.endpoint.profile)
        items = [item for message in messages for item in self._items(message)]
        tools, tool_choice = offered_tools(request, self.endpoint)
        body: JsonDict = {
            "model": self.id,
            "input": arrange_items(items, self.endpoint.profile),
            # The default differs between servers.
            "stream": True,
            "store": False,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_output_tokens": request.max_tokens or self.output_limit,
        }
        if not self.id.startswith(_MODELS_WITHOUT_REASONING):
            body["include"] = ["reasoning.encrypted_content"]
        reasoning = {"effort": self.reasoning_effort, "summary": self.reasoning_summary}
        body["reasoning"] = {key: value for key, value in reasoning.items() if value is not None} or None
        if tools:
            # The default of `strict` is true here, which makes optional parameters required.
            fields = [function_fields(tool, profile=self.endpoint.profile) for tool in tools]
            body["tools"] = [{"type": "function", "strict": False, **each} for each in fields]
            is_name = tool_choice not in (None, "none", "required")
            body["tool_choice"] = {"type": "function", "name": tool_choice} if is_name else tool_choice
        if request.output_schema:
            schema = self._output_schema(request, request.output_schema)
            body["text"] = {"format": {"type": "json_schema", **schema}}
        return {key: value for key, value in body.items() if value is not None}

    def _items(self, message: Message) -> list[JsonDict]:
        if message.role == "tool":
            output: str | list[JsonDict] = message.content or ""
            if message.media and self.sees_tool_images:
                output = parts(message, text_type="input_text", part=responses_part)
            elif message.media:
                output = unsent_media(message)
            return [{"type": "function_call_output", "call_id": message.tool_call_id, "output": output}]
        if message.media:
            content = parts(message, text_type="input_text", part=responses_part)
            return [{"type": "message", "role": message.role, "content": content}]
        raw = self._raw_items(message)
        if raw:
            return raw
        items: list[JsonDict] = []
        if message.content or not message.tool_calls:
            items.append({"type": "message", "role": message.role, "content": message.content or ""})
        calls = [_function_call(call.tool_call_id, call.tool_name, call.arguments) for call in message.tool_calls]
        return items + calls

    def _raw_items(self, message: Message) -> list[JsonDict]:
        """Return the raw items of `message` if they come from this model and still match the message."""
        if not self.came_from_here(message):
            return []
        items = [as_dict(item) for item in as_list((message.provider_data or {}).get("items"))]
        # History may have fewer calls than the items; a call without its output would be rejected.
        called = [item for item in items if item.get("type") == "function_call"]
        if [item.get("call_id") for item in called] != [call.tool_call_id for call in message.tool_calls]:
            return []
        for item, call in zip(called, message.tool_calls, strict=True):
            if item.get("name") != call.tool_name:
                items[items.index(item)] = {**item, "name": call.tool_name}
        if all(item.get("encrypted_content") for item in items if item.get("type") == "reasoning"):
            return items
        return [_without_id(item) for item in items if item.get("type") != "reasoning"]


def _function_call(call_id: str, name: str, arguments: str) -> JsonDict:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": sent_arguments(arguments)}


def _without_id(item: JsonDict) -> JsonDict:
    """Return `item` without its id.

    A stateless server cannot look up reasoning items without encrypted content, and rejects items that refer to them.
    """
    if item.get("type") == "function_call":
        return _function_call(item["call_id"], as_text(item.get("name")), as_arguments(item.get("arguments")))
    if item.get("type") != "message":
        return {key: value for key, value in item.items() if key != "id"}
    phase = {"phase": item["phase"]} if item.get("phase") else {}
    return {"type": "message", "role": "assistant", "content": as_text(item.get("content")), **phase}


@dataclass(slots=True)
class _Item:
    """An output item, assembled from its events."""

    raw: JsonDict
    index: int | None
    pieces: list[str] = field(default_factory=list)

    def is_start_of(self, call_id: str) -> bool:
        """Whether this is a call of which the whole item has not come yet."""
        return self.raw.get("call_id") == call_id and not self.raw.get("arguments")

    @property
    def arguments(self) -> str:
        return as_arguments(self.raw.get("arguments")).strip() or "".join(self.pieces).strip()


@dataclass(slots=True)
class _ResponsesAnswer(Answer):
    items: list[_Item] = field(default_factory=list)
    has_text: bool = False
    """Whether there was a delta of the text."""
    whole_texts: list[str] = field(default_factory=list)
    """The texts of the events that end a text."""
    response: JsonDict = field(default_factory=dict)
    """The response object of the terminal event."""

    @property
    def is_ended(self) -> bool:
        return self.finish_reason is not None

    @property
    def has_calls(self) -> bool:
        return any(map(_is_call, self.items))

    def add(self, frame: JsonDict) -> Delta | None:
        match (event := frame).get("type"):  # Unknown events are ignored.
            case "response.output_text.delta":
                self.has_text = True
                return self._delta(as_piece(event.get("delta")))
            case "response.output_text.done":
                self.whole_texts.append(as_piece(event.get("text")))
            case "response.refusal.delta":
                self.refused = self.has_text = True
                return self._delta(as_piece(event.get("delta")))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._delta("", as_piece(event.get("delta")))
            case "response.reasoning_summary_part.added" if self.reasoning:
                return self._delta("", "\n\n")
            case "response.output_item.added" | "response.output_item.done":
                self._set_item(event)
            case "response.function_call_arguments.delta":
                if item := self._find(event):
                    item.pieces.append(as_piece(event.get("delta")))
            case "response.function_call_arguments.done":
                if item := self._find(event):
                    whole = as_arguments(event.get("arguments"))
                    item.pieces = [whole] if whole else item.pieces
            case "response.completed" | "response.incomplete" | "response.failed" as ended:
                self._end(ended, as_dict(event.get("response")))
            case None if event.get("status") in ("completed", "incomplete", "failed", None) and "output" in event:
                # The whole response of a server that does not stream.
                self._end(f"response.{event.get('status') or 'completed'}", event)
            case None if has_message(event):
                self.last_message = event
            case "error":
                # Here the field `type` names the event.
                body = event.get("error") or {key: value for key, value in event.items() if key != "type"}
                raise provider_error(body, self.endpoint, self.model)
        return None

    def _find(self, event: JsonDict) -> _Item | None:
        """Find the item of an event by id, index or call, otherwise the last one; llama-server omits the index."""
        raw, index = as_dict(event.get("item")), event.get("output_index")
        item_id, call_id = event.get("item_id") or raw.get("id"), raw.get("call_id")
        by_id = [item for item in self.items if item_id and item.raw.get("id") == item_id]
        by_index = [item for item in self.items if isinstance(index, int) and item.index == index]
        by_call = [item for item in self.items if call_id and item.is_start_of(call_id)]
        found = by_id or by_index or by_call or (self.items if "item" not in event else [])
        return found[-1] if found else None

    def _set_item(self, event: JsonDict) -> None:
        raw = as_dict(event.get("item"))
        item = self._find(event)
        if item is None:
            index = event.get("output_index")
            self.items.append(_Item(raw, index if isinstance(index, int) else None))
        else:
            item.raw = {**item.raw, **raw}

    def _end(self, ended: str, response: JsonDict) -> None:
        self.response = response
        if ended == "response.failed" or response.get("status") == "failed":
            raise provider_error(response.get("error"), self.endpoint, self.model)
        reason = as_text(as_dict(response.get("incomplete_details")).get("reason"))
        if reason == "content_filter":
            raise content_filter_error(self.endpoint)
        if ended == "response.incomplete":
            self.finish_reason = _FINISH_REASONS.get(reason, reason or "incomplete")
        else:
            self.finish_reason = "refusal" if self.refused else "stop"
        output = [_Item(as_dict(raw), place) for place, raw in enumerate(as_list(response.get("output")))]
        calls = {item.raw.get("call_id") for item in self.items if _is_call(item)}
        # Some servers list calls only here, although they stream the text.
        missing = [item for item in output if _is_call(item) and item.raw.get("call_id") not in {None, *calls}]
        self.items = self.items + missing if self.items else output

    def missing_text(self) -> str:
        return "" if self.has_text else self._text_of("message", "content") or "".join(self.whole_texts)

    def missing_reasoning(self) -> str:
        return "" if any(self.reasoning) else self._text_of("reasoning", "summary", "content")

    def _text_of(self, kind: str, *keys: str) -> str:
        """Return the text of the items of a kind, in the first of the fields that has any."""
        raws = [item.raw for item in self.items if item.raw.get("type") == kind]
        return "".join(next(filter(None, (as_text(raw.get(key)) for key in keys)), "") for raw in raws)

    def to_response(self, taken_ids: set[str]) -> ModelResponse:
        self.finish_reason = self._reason_of_end()
        if self.finish_reason is None:
            advice = "the server may not have the Responses API, so use OpenAIChat"
            raise incomplete_error(self.endpoint, self.model, self.last_message, advice)
        calls = with_unique_ids([_tool_call(item) for item in self.items if _is_call(item)], taken_ids)
        for item, call in zip(filter(_is_call, self.items), calls, strict=True):
            item.raw = {**item.raw, "call_id": call.tool_call_id, "arguments": call.arguments}
        # With reasoning in their text, the items would be sent back as content.
        kept = [] if self.splitter.has_tags else self.items
        items: list[Any] = [item.raw for item in kept if item.raw.get("type") != "function_call" or _is_call(item)]
        return ModelResponse(
            content="".join(self.content) or None,
            reasoning_content="".join(self.reasoning) or None,
            tool_calls=calls,
            metrics=read_usage(as_dict(self.response.get("usage")), sent="input", received="output"),
            finish_reason="tool_calls" if calls and self.finish_reason == "stop" else self.finish_reason,
            model=as_text(self.response.get("model")) or self.model,
            provider_data={"provider": self.endpoint.provider, "model": self.model, "items": items} if items else None,
        )


def _is_call(item: _Item) -> bool:
    """Whether an item is a call; one without a name and arguments is none."""
    return item.raw.get("type") == "function_call" and bool(item.raw.get("name") or item.arguments)


def _tool_call(item: _Item) -> ToolCall:
    return ToolCall(
        tool_call_id=as_text(item.raw.get("call_id")) or as_text(item.raw.get("id")),
        tool_name=as_text(item.raw.get("name")),
        arguments=whole_arguments(item.arguments),
    )
