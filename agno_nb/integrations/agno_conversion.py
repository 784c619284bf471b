"""Values of agno as values of this package: metrics, media, tool calls, messages and requirements.

agno's objects are read by their attributes. agno is not imported: its classes are taken from the modules that the
user's object has loaded.
"""

from __future__ import annotations

import json
import re
import sys
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from pathlib import Path
from typing import Any, Literal, cast, get_args

from agno_nb.errors import InvalidInputError
from agno_nb.models import prices
from agno_nb.models.openai.profiles import Endpoint
from agno_nb.run.continue_run import rejection_message
from agno_nb.types import (
    FeedbackOption,
    FeedbackQuestion,
    JsonDict,
    Media,
    Message,
    Metrics,
    Requirement,
    Role,
    RunOutput,
    ToolCall,
    UserInputField,
    new_id,
    to_plain_text,
)

_ROLES = {"developer": "system", "model": "assistant", "function": "tool"}
"""Names of roles at some providers."""
_SECOND_CALL = re.compile(r"#\d+\Z")
_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
_MEDIA_KINDS: dict[str, Literal["image", "audio", "video", "file"]] = {
    "images": "image",
    "audio": "audio",
    "videos": "video",
    "files": "file",
}


def provider_of(name: str | None, model: Any = None) -> str | None:
    """Return the provider of an agno model, for example "openai". A `base_url` may name another server."""
    base_url, own = getattr(model, "base_url", None), name.lower() if name else None
    if base_url is None and own != "openai":
        return own
    try:
        return Endpoint.find(home="openai", base_url=None if base_url is None else str(base_url)).provider
    except InvalidInputError:  # For example a URL with a key in it.
        return None


def to_metrics(values: Any, *, model: str | None, provider: str | None) -> Metrics:
    """Return the usage of a model call, with its cost.

    agno does not distinguish a count of 0 from one that the server did not report.
    """
    metrics = Metrics(
        cache_read_tokens=getattr(values, "cache_read_tokens", None) or None,
        cache_write_tokens=getattr(values, "cache_write_tokens", None) or None,
        reasoning_tokens=getattr(values, "reasoning_tokens", None) or None,
        time_to_first_token_s=getattr(values, "time_to_first_token", None),
        duration_s=getattr(values, "duration", None),
    )
    sent, received = getattr(values, "input_tokens", None), getattr(values, "output_tokens", None)
    if sent or received:
        metrics.input_tokens, metrics.output_tokens = sent or 0, received or 0
    metrics.cost = getattr(values, "cost", None)
    if metrics.cost is None and model and provider:
        metrics.cost = prices.cost(provider, model, metrics)
    return metrics


def to_media(source: Any) -> list[Media]:
    """Return the media of an agno message or event."""
    found = []
    for name, kind in _MEDIA_KINDS.items():
        for each in getattr(source, name, None) or ():
            content = each.content
            if content is None and each.filepath is not None:
                content = Path(each.filepath).read_bytes()
            if isinstance(content, bytes) or each.url:
                found.append(
                    Media(
                        kind=kind,
                        url=None if isinstance(content, bytes) else each.url,
                        content=content if isinstance(content, bytes) else None,
                        mime_type=each.mime_type,
                        filename=getattr(each, "filename", None),
                    )
                )
    return found


def media_options(media: Iterable[Media]) -> dict[str, list[Any]]:
    """Return media as the keyword arguments of agno's ``arun()``."""
    of_agno = sys.modules["agno.media"]
    classes = {"image": of_agno.Image, "audio": of_agno.Audio, "video": of_agno.Video, "file": of_agno.File}
    names = {kind: name for name, kind in _MEDIA_KINDS.items()}
    found: dict[str, list[Any]] = {}
    for each in media:
        values: dict[str, Any] = {"url": each.url} if each.url else {"content": each.content}
        values["mime_type"] = each.mime_type
        if each.kind == "file":
            values["filename"] = each.filename
        elif each.kind == "image":
            values["detail"] = each.detail
        found.setdefault(names[each.kind], []).append(classes[each.kind](**values))
    return found


class ToolCalls:
    """The tool calls of a run, by agno's ID.

    Some servers number the calls of each answer from 0. Here, a second call with the same ID gets one of its own.
    """

    def __init__(self, run: RunOutput) -> None:
        self._run = run
        self._by_id: dict[str, list[ToolCall]] = {}
        for call in run.tools:
            self._by_id.setdefault(_SECOND_CALL.sub("", call.tool_call_id), []).append(call)

    def current(self, execution: Any) -> ToolCall:
        """Return the call that agno executes, which is new unless it waited for a person."""
        same_id = self._by_id.get(execution.tool_call_id or "", ())
        unfinished = [call for call in same_id if not call.is_finished and call.tool_name == execution.tool_name]
        arguments = json.dumps(execution.tool_args or {}, ensure_ascii=False, default=str)
        return unfinished[0] if unfinished else self.nth(execution, len(same_id), arguments)

    def ended(self, execution: Any) -> ToolCall | None:
        """Return the call if its end is known, because agno reports a failure twice."""
        same_id = self._by_id.get(execution.tool_call_id or "", ())
        return same_id[-1] if same_id and all(call.is_finished for call in same_id) else None

    def nth(self, execution: Any, number: int, arguments: str) -> ToolCall:
        """Return the call with the number among those with its ID."""
        call_id = execution.tool_call_id or new_id()
        same_id = self._by_id.setdefault(call_id, [])
        if number < len(same_id):
            return same_id[number]
        call = ToolCall(
            tool_call_id=f"{call_id}#{number}" if number else call_id,
            tool_name=execution.tool_name or "",
            arguments=arguments,
        )
        same_id.append(call)
        self._run.tools.append(call)
        return call


def finish_call(call: ToolCall, result: Any, *, is_error: bool, duration_s: float | None = None) -> None:
    """Set the result of a call."""
    call.result = "" if result is None else to_plain_text(result)
    call.tool_call_error, call.is_finished = is_error, True
    call.duration_s = duration_s if call.duration_s is None else call.duration_s


class _Called:
    """A tool call of an agno message, which is a dict in the format of OpenAI."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        function = values.get("function") or {}
        self.tool_call_id: str | None = values.get("id") or values.get("call_id")
        self.tool_name: str = function.get("name") or values.get("name") or ""
        arguments = function.get("arguments", "{}")
        self.arguments = arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)


def to_messages(
    messages: Iterable[Any], calls: ToolCalls, run: RunOutput, provider: str | None, *, typed: Message
) -> list[Message]:
    """Return the messages of an agno run, without its history.

    `typed` is the message of the person, in place of the one that agno made of it.
    """
    own = [message for message in messages if not message.from_history]
    first_answer = next((place for place, each in enumerate(own) if _role(each) == "assistant"), len(own))
    asked = max((place for place in range(first_answer) if _role(own[place]) == "user"), default=None)
    counts, latest, found = Counter[str](), dict[str, ToolCall](), list[Message]()
    for place, each in enumerate(own):
        if place == asked:
            found.append(typed)
            continue
        # IDs of messages in the agent's settings are the same in all runs.
        message = Message(
            role=_role(each),
            content=_text(each.content),
            message_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{run.run_id} {each.id}")),
            created_at=float(each.created_at),
            media=to_media(each),
        )
        if message.role == "assistant":
            message.reasoning_content, message.model = each.reasoning_content, run.model
            message.metrics = to_metrics(each.metrics, model=run.model, provider=provider)
            for called in map(_Called, each.tool_calls or ()):
                call_id = called.tool_call_id or ""
                call = calls.nth(called, counts[call_id], called.arguments)
                counts[call_id] += 1
                call.arguments = called.arguments
                latest[call_id] = call
                message.tool_calls.append(call)
        if message.role == "tool":
            found += _results(each, message, latest)
        else:
            found.append(message)
    return found


def _results(each: Any, message: Message, latest: Mapping[str, ToolCall]) -> Iterable[Message]:
    """Return the results in an agno message. Some providers have all results of a request in one."""
    several = each.tool_calls if isinstance(each.content, list) and each.tool_calls else None
    parts = [{"tool_call_id": each.tool_call_id, "content": message.content}] if several is None else several
    for number, part in enumerate(parts):
        call = latest.get(part.get("tool_call_id") or "")
        if call is None:
            continue
        content, is_error = _text(part.get("content")), bool(each.tool_call_error)
        if not call.is_finished:
            finish_call(call, content, is_error=is_error)
        yield Message(
            role="tool",
            content=content,
            tool_call_id=call.tool_call_id,
            tool_name=call.tool_name,
            tool_call_error=is_error or call.tool_call_error,
            message_id=message.message_id if not number else new_id(),
            created_at=message.created_at,
            media=message.media,
            metrics=call.metrics,
        )


def _role(message: Any) -> Role:
    role = _ROLES.get(message.role, message.role)
    return cast("Role", role if role in get_args(Role) else "user")


def _text(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    return json.dumps(content, ensure_ascii=False, default=str)


def to_requirement(asked: Any, call: ToolCall, run_id: str, component_name: str | None) -> Requirement:
    """Return an agno requirement of a tool call."""
    pause_type = asked.pause_type
    if pause_type == "user_feedback":
        call.user_input_schema = [_question(each).to_field() for each in asked.user_feedback_schema]
    elif pause_type == "user_input":
        call.user_input_schema = _asked_fields(input_fields(asked.user_input_schema))
    return Requirement(
        kind="user_input" if pause_type == "user_feedback" else pause_type,
        tool=call,
        run_id=run_id,
        requirement_id=asked.id,
        component_name=component_name,
    )


def _asked_fields(fields: list[UserInputField]) -> list[UserInputField]:
    """Return the fields that a person has to fill in. If the model has filled in all, its values are defaults."""
    if asked := [each for each in fields if not each.is_given]:
        return asked
    return [
        UserInputField(name=each.name, description=each.description, schema={**each.schema, "default": each.value})
        for each in fields
    ]


def input_fields(schema: Sequence[Any] | None) -> list[UserInputField]:
    """Return agno's input fields of a tool or a step. Those that the model has filled in are given."""
    found = []
    for each in schema or ():
        name = _TYPES_BY_NAME.get(each.field_type) if isinstance(each.field_type, str) else None
        json_type = name or (_JSON_TYPES.get(each.field_type) if isinstance(each.field_type, type) else None)
        values: JsonDict = {"type": json_type} if json_type else {}
        if getattr(each, "allowed_values", None):
            values["enum"] = list(each.allowed_values)
        if getattr(each, "required", True) is False:
            values["default"] = None
            values.pop("type", None)
        found.append(
            UserInputField(
                name=each.name,
                description=each.description or "",
                schema=values,
                value=each.value,
                is_given=each.value is not None,
            )
        )
    return found


_TYPES_BY_NAME = {kind.__name__: name for kind, name in _JSON_TYPES.items()} | {
    name: name for name in _JSON_TYPES.values()
}


def _question(asked: Any) -> FeedbackQuestion:
    options = tuple(FeedbackOption(label=each.label, description=each.description) for each in asked.options or ())
    return FeedbackQuestion(
        question=asked.question, header=asked.header, options=options, multi_select=bool(asked.multi_select)
    )


def answer(asked: Any, requirement: Requirement) -> None:
    """Give the answer of a person to an agno requirement of a tool call."""
    execution, values = asked.tool_execution, {each.name: each.value for each in requirement.user_input_fields}
    if requirement.confirmed is False and not asked.needs_confirmation:
        # agno cannot refuse these calls, but accepts results of calls that were executed elsewhere.
        execution.requires_user_input, execution.external_execution_required = False, True
        asked.user_input_schema = execution.user_input_schema = None
        asked.user_feedback_schema = execution.user_feedback_schema = None
        asked.set_external_execution_result(rejection_message(requirement))
    elif requirement.confirmed is False:
        asked.reject(requirement.note)
    elif requirement.kind == "confirmation":
        asked.confirm()
    elif requirement.kind == "external_execution":
        asked.set_external_execution_result(requirement.result)
    elif asked.needs_user_feedback:
        selected = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        asked.provide_user_feedback(selected)
    else:
        asked.provide_user_input(values)
        # Values that are None are answers too.
        execution.answered = True


def with_own_requirements(event: Any) -> Any:
    """Return an event with copies of its requirements, which agno may change when the run of a step has paused."""
    if not getattr(event, "requirements", None):
        return event
    event = copy(event)
    event.requirements = [copy(each) for each in event.requirements]
    for each in event.requirements:
        each.tool_execution = deepcopy(each.tool_execution)
    return event


def requirement_of_dict(asked: Any) -> Any:
    """Return agno's object for a requirement that it has as a dict."""
    if not isinstance(asked, dict):
        return asked
    return sys.modules["agno.run.requirement"].RunRequirement.from_dict(asked)
