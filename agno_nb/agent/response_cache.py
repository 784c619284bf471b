"""The response cache: return a stored answer if the whole request is the same."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, get_type_hints
from weakref import WeakKeyDictionary

from agno_nb._typed_dicts import with_known_typed_dicts
from agno_nb.agent.prompt import add_tools_to_report, describe_tool
from agno_nb.db.session_state import force_apply
from agno_nb.redact import warn
from agno_nb.run.background_tasks import QueueKey, wait_for
from agno_nb.run.inputs import input_messages
from agno_nb.tools import Tool
from agno_nb.tools.result import from_text
from agno_nb.types import JsonDict, Message, Metrics, RunEvent, ToolCall, new_id, now

if TYPE_CHECKING:
    from agno_nb.models.base import Model, ModelRequest
    from agno_nb.run.context import RunContext


async def cached_response(
    context: RunContext, request: ModelRequest, *, model: Model, tools: Mapping[str, Tool]
) -> Message | None:
    """Record the hash of a run's first request, and return a cached answer if the run uses the cache.

    The messages of the cached run are copied at no cost; neither the model nor tools are called. The changes of the
    cached run to the session's state are applied again.

    `tools` are the tools by name.
    """
    run, db = context.run, context.db
    if run.context_report is not None:
        add_tools_to_report(run.context_report, request.tools, request.output_schema)
    run.context_hash = _context_hash(run.user_id, request, model.to_dict(), [tool.function for tool in tools.values()])
    is_wanted = context.options.get("cache")
    if is_wanted is None and model.cache_response:
        is_wanted = True
        if db is None:
            warn(f"cache_response=True of {model!r} has no effect, because the run is not stored; set db=...")
    # A run that starts from partial output already has a part of its answer.
    if not is_wanted or context.partial_messages or db is None:
        return None
    cached = await asyncio.to_thread(db.find_cached_run, run.context_hash)
    if cached is None:
        return None
    own_messages = [each for each in cached.messages if each.role != "system" and not each.from_history]
    cached_messages = own_messages[len(input_messages(cached)) :]
    if not cached_messages or cached_messages[-1].role != "assistant" or cached_messages[-1].tool_calls:
        return None  # Its messages are not stored completely.
    if not (cached_messages[-1].content or "").strip():
        return None  # The model only reasoned. It may answer now.
    run.replay_of_run_id = cached.run_id
    if context.query.summary:
        # The summary that followed the cached run is copied after this one.
        await wait_for(QueueKey.summary(db, cached.session_id))
    force_apply(context.session_state, cached.state_changes)
    for message in cached_messages:
        copy = _copy_message(message)
        context.recorder.add_message(copy)
        for call in copy.tool_calls:
            call = _with_value(call, tools.get(call.tool_name))
            run.tools.append(call)
            context.emit(RunEvent.tool_call_started, tool=call)
            context.emit(RunEvent.tool_call_error if call.tool_call_error else RunEvent.tool_call_completed, tool=call)
        if copy.role == "user":
            # The answer before it had to be corrected.
            context.emit(RunEvent.run_content, content="", discards_content=True)
        if copy.role == "assistant" and (copy.content or copy.reasoning_content):
            context.emit(RunEvent.run_content, content=copy.content or "", reasoning_content=copy.reasoning_content)
    return run.messages[-1]


def _copy_message(message: Message) -> Message:
    no_cost = Metrics(input_tokens=0, output_tokens=0, cost=0.0) if message.role == "assistant" else None
    calls = [replace(call, created_at=now(), duration_s=None) for call in message.tool_calls]
    return replace(message, message_id=new_id(), metrics=no_cost, tool_calls=calls, created_at=now())


def _with_value(call: ToolCall, tool: Tool | None) -> ToolCall:
    """Return a call with the value of its tool, which is not stored, read from its result.

    It is another object than the message's call, which is sent again with later requests.
    """
    call = replace(call)
    if tool is None or tool.external_execution or call.tool_call_error or call.result is None:
        return call
    try:
        call.value = from_text(call.result, _return_type(tool.function))
    except ValueError:
        call.forget_value()
    return call


def _return_type(function: Callable[..., Any]) -> Any:
    """Return the return type of a function according to its annotation; Any if it has none, or none that is defined."""
    function = getattr(function, "func", function)  # That of a functools.partial.
    try:
        hints = get_type_hints(function if inspect.isroutine(function) else type(function).__call__)
    except (NameError, TypeError, AttributeError):
        return Any
    return with_known_typed_dicts(hints.get("return", Any))


def _context_hash(
    user_id: str | None, request: ModelRequest, model: JsonDict, functions: Sequence[Callable[..., Any]]
) -> str:
    """Return the SHA-256 of everything that determines an answer and is the same from run to run.

    It includes the source of tools, but not the data that they read. IDs and times are left out.
    """
    determining = {
        "model": model,
        "user_id": user_id,
        "messages": [*map(_message_key, request.messages)],
        "tools": [*map(describe_tool, request.tools)],
        "functions": [*map(_function_source, functions)],
        "allow_tool_calls": request.allow_tool_calls,
        "output_schema": request.output_schema,
    }
    if request.parse_text_tool_calls is not None:
        determining["parse_text_tool_calls"] = request.parse_text_tool_calls
    if request.tool_choice is not None:
        determining["tool_choice"] = request.tool_choice
    text = json.dumps(determining, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _message_key(message: Message) -> JsonDict:
    key: JsonDict = {"role": message.role, "content": message.content, "tool_name": message.tool_name}
    key |= {"tool_calls": [], "media": []}
    for call in message.tool_calls:
        key["tool_calls"].append((call.tool_name, call.arguments))
    for each in message.media:
        content_hash = each.content and hashlib.sha256(each.content).hexdigest()
        key["media"].append((each.kind, each.url, content_hash, each.detail))
    return key


_sources: WeakKeyDictionary[FunctionType, tuple[CodeType, str | None]] = WeakKeyDictionary()
"""Finding the source of a function takes as long as everything else in a context hash."""


def _function_source(function: Callable[..., Any]) -> str | None:
    """Return the source of a function. It is read again if the function has new code, for example from %autoreload."""
    bare = getattr(function, "__func__", function)
    if not isinstance(bare, FunctionType) or not isinstance(inner := inspect.unwrap(bare), FunctionType):
        return _read_source(function)
    code, source = _sources.get(bare, (None, None))
    if code is not inner.__code__:
        source = _read_source(bare)
        _sources[bare] = inner.__code__, source
    return source


def _read_source(function: Callable[..., Any]) -> str | None:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return None
