"""The Chat Completions API, which nearly every model server supports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, ModelServerError
from agno_nb.models.base import Delta, ModelRequest, ModelResponse, with_unique_ids
from agno_nb.models.openai.client import MODEL_ALIASES, OpenAIModel
from agno_nb.models.openai.errors import content_filter_error, has_message, incomplete_error, provider_error
from agno_nb.models.openai.history import arrange
from agno_nb.models.openai.media import chat_part, parts, unsent_media
from agno_nb.models.openai.profiles import MODELS_WITHOUT_EMPTY_TEXT
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
from agno_nb.types import JsonDict, Message, ToolCall, as_dict, as_list, json_object


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class OpenAIChat(OpenAIModel):
    """A model at a server with the Chat Completions API: OpenAI, Ollama, vLLM, LM Studio, llama.cpp, OpenRouter, ...

    Examples
    --------
    >>> OpenAIChat("gpt-5-mini")
    OpenAIChat(id='gpt-5-mini')
    >>> OpenAIChat("llama3.2", base_url="http://localhost:11434/v1").provider
    'ollama'
    """

    max_completion_tokens: int | None = None
    """Limit of the answer, including reasoning. It is sent under the name that the server supports."""
    max_tokens: int | None = None
    """Older name of `max_completion_tokens`."""
    seed: int | None = None
    """A number with which some servers repeat an answer to the same request."""
    stop: str | list[str] | None = None
    """Strings that end the answer."""

    path: ClassVar[str] = "/chat/completions"
    answer_field: ClassVar[str] = "choices"
    sampling: ClassVar[tuple[str, ...]] = (*OpenAIModel.sampling, "seed", "stop")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise InvalidInputError(
                f"max_tokens={self.max_tokens!r} and max_completion_tokens={self.max_completion_tokens!r} are two "
                "names of one setting; pass one of them"
            )

    @property
    def output_limit_name(self) -> str:
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def output_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    def _new_answer(self) -> Answer:
        return _ChatAnswer(self.endpoint, self.id)

    def _body(self, request: ModelRequest) -> JsonDict:
        profile = self.endpoint.profile
        arranged = arrange(map(self._with_sendable_media, request.messages), profile, provider=self.provider)
        messages = [self._message(message) for message in arranged]
        tools, tool_choice = offered_tools(request, self.endpoint)
        body: JsonDict = {
            "model": self.id,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True} if profile.stream_usage else None,
            "temperature": self.temperature,
            "top_p": self.top_p,
            profile.max_tokens_field: request.max_tokens or self.output_limit,
            "reasoning_effort": self.reasoning_effort,
            "seed": self.seed,
            "stop": self.stop,
        }
        if tools:
            fields = [function_fields(tool, profile=profile) for tool in tools]
            body["tools"] = [{"type": "function", "function": each} for each in fields]
            is_name = tool_choice not in (None, "none", "required")
            body["tool_choice"] = {"type": "function", "function": {"name": tool_choice}} if is_name else tool_choice
        if request.output_schema:
            accepts_json = profile.json_with_tools or not tools
            if accepts_json and profile.json_schema:
                schema = self._output_schema(request, request.output_schema)
                body["response_format"] = {"type": "json_schema", "json_schema": schema}
            else:
                body["response_format"] = {"type": "json_object"} if accepts_json and profile.json_object else None
                body["messages"] = _with_schema(messages, request.output_schema)
        return {key: value for key, value in body.items() if value is not None}

    def _with_sendable_media(self, message: Message) -> Message:
        if message.role != "tool" or not message.media or self.sees_tool_images:
            return message
        return replace(message, content=unsent_media(message), media=[])

    def _message(self, message: Message) -> JsonDict:
        if message.role == "tool":
            return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content or ""}
        if message.media:
            return {"role": message.role, "content": parts(message, text_type="text", part=chat_part)}
        written: JsonDict = {"role": message.role, "content": message.content or ""}
        if message.role == "assistant":
            written |= self._reasoning(message)
        if message.tool_calls:
            written["tool_calls"] = [self._tool_call(call) for call in message.tool_calls]
            form = "omitted" if MODELS_WITHOUT_EMPTY_TEXT.search(self.id) else self.endpoint.profile.call_content
            if not message.content and form == "null":
                written["content"] = None
            elif not message.content and form == "omitted":
                del written["content"]
        return written

    def _reasoning(self, message: Message) -> JsonDict:
        """Return the reasoning to send back, which is sent to the model that it comes from only."""
        is_own = self.came_from_here(message) and (message.provider_data or {}).get("returns_reasoning")
        reasoning = message.reasoning_content if is_own else None
        if self.endpoint.profile.reasoning == "required":
            return {"reasoning_content": reasoning or ""}
        is_returned = self.endpoint.profile.reasoning == "returned" and message.tool_calls and reasoning
        return {"reasoning_content": reasoning} if is_returned else {}

    def _tool_call(self, call: ToolCall) -> JsonDict:
        function = {"name": call.tool_name, "arguments": sent_arguments(call.arguments)}
        data = call.data_for(self.provider)
        return {"id": call.tool_call_id, "type": "function", "function": function, **data}


def _with_schema(messages: list[JsonDict], schema: JsonDict) -> list[JsonDict]:
    """Add `schema` to the system message: many chat templates accept only one, as the first message."""
    instruction = (
        "Answer with one JSON object and nothing around it. It must be valid against this JSON schema:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
    if messages and messages[0]["role"] == "system":
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{instruction}"}
        return [first, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


@dataclass(slots=True)
class _Call:
    """A tool call, assembled from its pieces."""

    index: int | None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    extra: JsonDict | None = None

    @property
    def arguments(self) -> str:
        return whole_arguments("".join(self.pieces))

    def is_complete(self) -> bool:
        """Whether the arguments are a complete JSON object."""
        may_end = bool(self.pieces) and self.pieces[-1].rstrip().endswith("}")
        return may_end and json_object(self.arguments) is not None

    def is_continued_by(self, call_id: str, name: str, arguments: str) -> bool:
        """Whether a piece with this call's index belongs to it, and doesn't start another call.

        Ollama and some routes of OpenRouter send all parallel calls with index 0 (ollama#15457), llama-cpp-python
        repeats id and name in each piece, and Poolside, OCI and others give each piece an id of its own.
        """
        if name and self.name and name != self.name:
            return False
        if name and call_id and self.id and call_id != self.id:
            return bool(self.pieces) and not self.is_complete()
        return not (name and arguments.strip() and self.is_complete())


@dataclass(slots=True)
class _ChatAnswer(Answer):
    calls: list[_Call] = field(default_factory=list)
    usage: JsonDict = field(default_factory=dict)
    served_model: str | None = None
    returns_reasoning: bool = False
    """Whether there was `reasoning_content`. Servers that send it under this name accept it back."""

    @property
    def has_calls(self) -> bool:
        return any(call.name or call.pieces for call in self.calls)

    def add(self, frame: JsonDict) -> Delta | None:
        self.served_model = as_text(frame.get("model")) or self.served_model
        # Usage is in a separate frame, with the last choice, or in each frame; the last one is the total.
        self.usage = as_dict(frame.get("usage")) or self.usage
        choices = as_list(frame.get("choices"))
        choice = as_dict(choices[0]) if choices else {}
        if not choices and has_message(frame):
            self.last_message = frame
        if error := choice.get("error"):
            raise provider_error(error, self.endpoint, self.model)
        self.finish_reason = as_text(choice.get("finish_reason")) or self.finish_reason
        delta = as_dict(choice.get("delta"))
        if not delta and not self.content and not self.calls and (message := as_dict(choice.get("message"))):
            # The whole answer of a server that does not stream.
            delta, self.finish_reason = message, self.finish_reason or "stop"
        pieces = as_list(delta.get("tool_calls"))
        if not pieces and (function := as_dict(delta.get("function_call"))):
            # The form of 2023, which some servers still have.
            pieces = [{"index": -1, "function": function}]
        for piece in pieces:
            self._add_call(as_dict(piece))
        self.returns_reasoning = self.returns_reasoning or bool(delta.get("reasoning_content"))
        refusal = as_piece(delta.get("refusal"))
        self.refused = self.refused or bool(refusal)
        return self._delta(as_piece(delta.get("content")) + refusal, _reasoning(delta))

    def _add_call(self, piece: JsonDict) -> None:
        function = as_dict(piece.get("function"))
        raw_index = piece.get("index")
        index = raw_index if isinstance(raw_index, int) else None
        call_id, name = as_text(piece.get("id")), as_text(function.get("name"))
        arguments = as_arguments(function.get("arguments"))
        call = self._call_at(index, call_id, name)
        if call is None or not call.is_continued_by(call_id, name, arguments):
            call = _Call(index)
            self.calls.append(call)
        call.id = call.id or call_id
        call.name = call.name or name
        if arguments:
            call.pieces.append(arguments)
        if extra_content := piece.get("extra_content"):
            call.extra = {"provider": self.endpoint.provider, "extra_content": extra_content}

    def _call_at(self, index: int | None, call_id: str, name: str) -> _Call | None:
        """Find the call of a piece by its index or id; other pieces without a name belong to the last call."""
        if index is not None:
            return next((call for call in reversed(self.calls) if call.index == index), None)
        if found := next((call for call in reversed(self.calls) if call_id and call.id == call_id), None):
            return found
        return self.calls[-1] if self.calls and not name else None

    def to_response(self, taken_ids: set[str]) -> ModelResponse:
        self.finish_reason = self._reason_of_end()
        if self.finish_reason is None:
            advice = "check that the URL is one of the Chat Completions API"
            raise incomplete_error(self.endpoint, self.model, self.last_message, advice)
        if self.finish_reason == "error":
            raise ModelServerError(f"{self.endpoint} ended the answer with an unspecified error; try again")
        if self.finish_reason == "content_filter":
            raise content_filter_error(self.endpoint)
        calls = [
            ToolCall(tool_call_id=call.id, tool_name=call.name, arguments=call.arguments, extra=call.extra)
            for call in self.calls
            # LM Studio adds empty calls to answers (lmstudio-bug-tracker#830).
            if call.name or call.pieces
        ]
        return ModelResponse(
            content="".join(self.content) or None,
            reasoning_content="".join(self.reasoning) or None,
            tool_calls=with_unique_ids(calls, taken_ids),
            metrics=read_usage(self.usage, sent="prompt", received="completion"),
            finish_reason="refusal" if self.refused else self.finish_reason,
            model=self.served_model or self.model,
            provider_data=self._origin() if self.returns_reasoning else None,
        )

    def _origin(self) -> JsonDict:
        return {"provider": self.endpoint.provider, "model": self.model, "returns_reasoning": True}


def _reasoning(delta: JsonDict) -> str:
    """Read the reasoning, for which servers have different fields, OpenRouter two with the same text, Mistral parts."""
    fields = ("reasoning_content", "reasoning", "reasoning_details")
    in_parts = (as_piece(as_dict(part).get("thinking")) for part in as_list(delta.get("content")))
    return next((text for name in fields if (text := as_piece(delta.get(name)))), "") or "".join(in_parts)
