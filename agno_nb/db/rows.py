"""Between the domain's objects and rows of the tables of schema.sql. No SQL, no I/O.

Text is stored as every backend can hold it: surrogates that do not make a pair, and NUL, which Postgres refuses, become
U+FFFD. Times are unix seconds in objects and microseconds in rows.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from agno_nb.errors import InvalidInputError
from agno_nb.types import (
    SESSION_CLASSES,
    TOKEN_COUNTS,
    JsonDict,
    Message,
    Metrics,
    Origin,
    RunOutput,
    RunStatus,
    Session,
    SessionReader,
    SessionType,
    ToolCall,
)

Row = dict[str, Any]

METRICS = (*TOKEN_COUNTS, "cost", "time_to_first_token_s", "duration_s")

SESSION_COLUMNS = (
    "session_id", "session_type", "user_id", "component_id", "component_name", "session_name", "session_state",
    "metadata", "forked_from_session_id", "created_at", "updated_at",
)  # fmt: skip
RUN_COLUMNS = (
    "run_id", "session_id", "run_index", "attempt", "parent_run_id", "kind", "component_id", "component_name",
    "user_id", "status", "input", "content", "content_type", "reasoning_content", "model", "model_provider", *METRICS,
    "error_type", "error", "notebook", "cell_id", "execution_count", "cell_hash", "metadata", "requirements",
    "created_at", "ended_at",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "message_id", "run_id", "session_id", "message_index", "role", "content", "reasoning_content", "tool_call_id",
    "tool_name", "tool_call_error", "finish_reason", "model", *METRICS, "provider_data", "from_history", "created_at",
)  # fmt: skip
TOOL_CALL_COLUMNS = (
    "run_id", "tool_call_id", "session_id", "message_id", "call_index", "tool_name", "arguments", "extra",
    "created_at",
)  # fmt: skip

Choice = TypeVar("Choice", bound=StrEnum)

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def storable(value: Any) -> Any:
    """Return a parameter as every backend can hold it. Surrogates that make a pair become their character."""
    if not isinstance(value, str):
        return value
    if _NOT_STORABLE.search(value):
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
    return str(value)


def micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def choice(kind: type[Choice], value: str, name: str) -> Choice:
    """Return the member of `kind` whose value is `value`.

    Raises
    ------
    InvalidInputError
        There is none. `name` is what the message calls the argument.
    """
    try:
        return kind(value)
    except ValueError:
        raise InvalidInputError(f"{name} is {value!r}; it must be one of {', '.join(kind)}") from None


def to_json(value: Any, name: str) -> str | None:
    """Write `value` as JSON; None stays None.

    Raises
    ------
    InvalidInputError
        JSON cannot hold it. The message says which part: `name` is what the whole is called.
    """
    if value is None:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidInputError(f"{_culprit(value, name)}. Keep only text, numbers, lists and dicts there.") from None


def _culprit(value: Any, name: str, above: tuple[int, ...] = ()) -> str:
    """Say which part of `value` JSON cannot hold. `above` are the ids of what it is a part of."""
    if id(value) in above:
        return f"{name} is the {type(value).__name__} that it is a part of"
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int | float | bool | None):
                return f"{name} has the key {key!r} of type {type(key).__name__}, which JSON cannot hold"
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for key, part in parts:
        try:
            json.dumps(part, allow_nan=False)
        except (TypeError, ValueError):
            return _culprit(part, f"{name}[{key!r}]", (*above, id(value)))
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} is {value!r}, which JSON cannot hold"
    return f"{name} is of type {type(value).__name__} and cannot be written as JSON"


def from_json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _metrics_row(metrics: Metrics | None) -> Row:
    return {name: getattr(metrics, name, None) for name in METRICS}


def _metrics(row: Row) -> Metrics:
    return Metrics(**{name: row[name] for name in METRICS})


def session_row(session: Session, *, component_name: str | None, now: int) -> Row:
    return {
        "session_id": session.session_id,
        "session_type": session.session_type,
        "user_id": session.user_id,
        "component_id": session.component_id,
        "component_name": component_name,
        "session_name": session.session_name,
        "session_state": to_json(session.session_state, "session_state"),
        "metadata": to_json(session.metadata, "metadata"),
        "forked_from_session_id": session.forked_from_session_id,
        "created_at": now,
        "updated_at": now,
    }


def session_from_row(values: Sequence[Any], store: SessionReader) -> Session:
    row = dict(zip(SESSION_COLUMNS, values, strict=True))
    session_type = SessionType(row["session_type"])
    return SESSION_CLASSES[session_type](
        session_id=row["session_id"],
        user_id=row["user_id"],
        session_type=session_type,
        session_name=row["session_name"],
        component_id=row["component_id"],
        session_state=from_json(row["session_state"]),
        metadata=from_json(row["metadata"]),
        forked_from_session_id=row["forked_from_session_id"],
        created_at=row["created_at"] // 1_000_000,
        updated_at=row["updated_at"] // 1_000_000,
        store=store,
    )


def opened_run_row(run: RunOutput, *, worker: str) -> Row:
    """Return the row of a run that begins."""
    return {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "run_index": run.run_index,
        "attempt": run.attempt,
        "parent_run_id": run.parent_run_id,
        "kind": run.kind,
        "component_id": run.component_id,
        "component_name": run.component_name,
        "user_id": run.user_id,
        "input": run.input,
        "notebook": run.origin.notebook,
        "cell_id": run.origin.cell_id,
        "execution_count": run.origin.execution_count,
        "cell_hash": run.origin.cell_hash,
        "metadata": to_json(run.metadata, "metadata"),
        "worker": worker,
        "created_at": micros(run.created_at),
        **ended_run_row(run),
    }


def ended_run_row(run: RunOutput) -> Row:
    """Return the columns of a run that its end, or a pause, changes."""
    is_text = run.content is None or isinstance(run.content, str)
    return {
        "status": run.status,
        "content": None if run.content is None else run.get_content_as_string(),
        # A run that should have given an object but was cut off has text; the column must tell how to read it.
        "content_type": "str" if is_text else run.content_type,
        "reasoning_content": run.reasoning_content,
        "model": run.model,
        "model_provider": run.model_provider,
        **_metrics_row(run.metrics),
        "error_type": run.error_type,
        "error": run.error,
        "requirements": to_json(run.requirements or None, "requirements"),
        "ended_at": None if run.ended_at is None else micros(run.ended_at),
    }


def run_from_row(values: Sequence[Any], messages_of: Mapping[str, list[Message]]) -> RunOutput:
    row = dict(zip(RUN_COLUMNS, values, strict=True))
    messages = messages_of.get(row["run_id"], [])
    as_they_are = (
        "run_id", "session_id", "run_index", "attempt", "parent_run_id", "component_id", "component_name", "user_id",
        "input", "content_type", "reasoning_content", "model", "model_provider", "error_type", "error",
    )  # fmt: skip
    return RunOutput(
        **{name: row[name] for name in as_they_are},
        kind=SessionType(row["kind"]),
        status=RunStatus(row["status"]),
        content=row["content"] if row["content_type"] == "str" else from_json(row["content"]),
        messages=messages,
        tools=[call for message in messages for call in message.tool_calls],
        metrics=_metrics(row),
        requirements=from_json(row["requirements"]) or [],
        metadata=from_json(row["metadata"]),
        origin=Origin(
            notebook=row["notebook"],
            cell_id=row["cell_id"],
            execution_count=row["execution_count"],
            cell_hash=row["cell_hash"],
        ),
        created_at=row["created_at"] / 1_000_000,
        ended_at=None if row["ended_at"] is None else row["ended_at"] / 1_000_000,
    )


def message_row(message: Message, *, run: RunOutput, message_index: int) -> Row:
    return {
        "message_id": message.message_id,
        "run_id": run.run_id,
        "session_id": run.session_id,
        "message_index": message_index,
        "role": message.role,
        "content": message.content,
        "reasoning_content": message.reasoning_content,
        "tool_call_id": message.tool_call_id,
        "tool_name": message.tool_name,
        "tool_call_error": message.tool_call_error,
        "finish_reason": message.finish_reason,
        "model": message.model,
        **_metrics_row(message.metrics),
        "provider_data": to_json(message.provider_data, "provider_data"),
        "from_history": message.from_history,
        "created_at": micros(message.created_at),
    }


def tool_call_rows(message: Message, *, run: RunOutput) -> list[Row]:
    return [
        {
            "run_id": run.run_id,
            "tool_call_id": call.tool_call_id,
            "session_id": run.session_id,
            "message_id": message.message_id,
            "call_index": call_index,
            "tool_name": call.tool_name,
            "arguments": call.arguments,
            "extra": to_json(call.extra, "extra"),
            "created_at": micros(call.created_at),
        }
        for call_index, call in enumerate(message.tool_calls)
    ]


def messages_from_rows(
    messages: Iterable[Sequence[Any]], tool_calls: Iterable[Sequence[Any]]
) -> dict[str, list[Message]]:
    """Put messages and the calls that they ask for together again.

    Parameters
    ----------
    messages, tool_calls : iterable of rows
        Each ordered by its place in its run.

    Returns
    -------
    dict
        The messages of each run. A call knows its result where the run has an answer to it.
    """
    runs: dict[str, list[Message]] = {}
    by_id: dict[str, Message] = {}
    answers: dict[tuple[str, str], Message] = {}
    for values in messages:
        row = dict(zip(MESSAGE_COLUMNS, values, strict=True))
        message = _message_from_row(row)
        runs.setdefault(row["run_id"], []).append(message)
        by_id[message.message_id] = message
        if message.role == "tool" and message.tool_call_id is not None:
            answers[row["run_id"], message.tool_call_id] = message
    for values in tool_calls:
        row = dict(zip(TOOL_CALL_COLUMNS, values, strict=True))
        if row["message_id"] in by_id:
            answer = answers.get((row["run_id"], row["tool_call_id"]))
            by_id[row["message_id"]].tool_calls.append(_tool_call_from_row(row, answer))
    return runs


def _message_from_row(row: Row) -> Message:
    as_they_are = (
        "message_id", "run_id", "role", "content", "reasoning_content", "tool_call_id", "tool_name", "finish_reason",
        "model",
    )  # fmt: skip
    metrics = _metrics(row)
    return Message(
        **{name: row[name] for name in as_they_are},
        tool_call_error=bool(row["tool_call_error"]),
        metrics=None if metrics == Metrics() else metrics,
        provider_data=from_json(row["provider_data"]),
        from_history=bool(row["from_history"]),
        created_at=row["created_at"] / 1_000_000,
    )


def _tool_call_from_row(row: Row, answer: Message | None) -> ToolCall:
    call = ToolCall(
        tool_call_id=row["tool_call_id"],
        tool_name=row["tool_name"],
        arguments=row["arguments"],
        extra=from_json(row["extra"]),
        created_at=row["created_at"] / 1_000_000,
    )
    if answer is not None:
        call.result = answer.content
        call.tool_call_error = answer.tool_call_error
        call.duration_s = answer.metrics.duration_s if answer.metrics else None
    return call


def session_metrics(values: Sequence[Any]) -> Metrics:
    """Make the metrics of a session from its totals: the token counts, cost, unpriced answers, duration."""
    *counts, cost, num_unpriced, duration_s = values
    known: JsonDict = {
        name: None if count is None else int(count) for name, count in zip(TOKEN_COUNTS, counts, strict=True)
    }
    return Metrics(**known, cost=None if num_unpriced else cost, duration_s=duration_s)
