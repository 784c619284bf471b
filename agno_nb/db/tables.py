"""Between the domain's objects and rows of the tables of schema.sql. No SQL, no I/O.

A row that goes in holds values, which :mod:`agno_nb.db.encoding` makes storable; one that comes out is what the backend
gives. Times are unix seconds in objects and microseconds in rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agno_nb.db.encoding import Row, from_json, is_readable, micros
from agno_nb.db.requirements import requirement_from_row, requirement_rows
from agno_nb.types import (
    SESSION_CLASSES,
    TOKEN_COUNTS,
    CellInfo,
    ContextReport,
    JsonDict,
    Media,
    Message,
    Metrics,
    RunOutput,
    RunStatus,
    Session,
    SessionReader,
    SessionSummary,
    SessionType,
    ToolCall,
    UserMemory,
    Variable,
    to_plain_text,
)

METRICS = (*TOKEN_COUNTS, "cost", "time_to_first_token_s", "duration_s")

SESSION_COLUMNS = (
    "session_id", "session_type", "user_id", "component_id", "component_name", "session_name", "session_state",
    "metadata", "forked_from_session_id", "forked_from_run_id", "created_at", "updated_at",
)  # fmt: skip
RUN_COLUMNS = (
    "run_id", "session_id", "run_index", "attempt", "parent_run_id", "parent_tool_call_id", "root_run_id", "step",
    "kind", "component_id", "component_name", "user_id", "status", "input", "content", "content_type",
    "reasoning_content", "model", "model_provider", *METRICS, "error_type", "error", "notebook", "cell_id",
    "execution_count", "cell_hash", "kernel_id", "context", "context_hash", "replay_of_run_id", "metadata",
    "requirements", "state_changes", "created_at", "ended_at",
)  # fmt: skip
MESSAGE_COLUMNS = (
    "message_id", "run_id", "session_id", "message_index", "role", "content", "reasoning_content", "tool_call_id",
    "tool_name", "tool_call_error", "finish_reason", "model", *METRICS, "provider_data", "num_tool_calls", "num_media",
    "from_history", "created_at",
)  # fmt: skip
TOOL_CALL_COLUMNS = (
    "run_id", "tool_call_id", "session_id", "message_id", "call_index", "tool_name", "arguments", "extra",
    "created_at",
)  # fmt: skip
MESSAGE_MEDIA_COLUMNS = (
    "message_id", "media_index", "run_id", "session_id", "kind", "media_id", "url", "filename", "mime_type", "detail",
    "size",
)  # fmt: skip
SUMMARY_COLUMNS = (
    "session_id", "version", "summary", "topics", "from_run_index", "to_run_index", "model", "model_provider",
    *METRICS, "updated_at",
)  # fmt: skip
EVENT_COLUMNS = (
    "run_id", "event_index", "session_id", "event", "content", "details", "model", "input_tokens", "output_tokens",
    "cost", "duration_s", "created_at",
)  # fmt: skip
MEMORY_COLUMNS = (
    "memory_id", "user_id", "memory", "topics", "input", "component_id", "created_at", "updated_at",
)  # fmt: skip


def _metrics_row(metrics: Metrics | None) -> Row:
    known = (metrics or Metrics()).drop_impossible()
    return {name: getattr(known, name) for name in METRICS}


def _metrics(row: Row) -> Metrics:
    # An older version stored whatever the server had reported.
    return Metrics(**{name: row[name] for name in METRICS}).drop_impossible()


def session_row(session: Session, *, component_name: str | None, now: int) -> Row:
    return {
        "session_id": session.session_id,
        "session_type": session.session_type,
        "user_id": session.user_id,
        "component_id": session.component_id,
        "component_name": component_name,
        "session_name": session.session_name,
        "session_state": session.session_state,
        "metadata": session.metadata,
        "forked_from_session_id": session.forked_from_session_id,
        "forked_from_run_id": session.forked_from_run_id,
        "created_at": now,
        "updated_at": now,
    }


def session_from_row(row: Row, store: SessionReader) -> Session:
    session_type = SessionType(row["session_type"])
    as_they_are = (
        "session_id", "user_id", "session_name", "component_id", "forked_from_session_id", "forked_from_run_id",
    )  # fmt: skip
    return SESSION_CLASSES[session_type](
        **{name: row[name] for name in as_they_are},
        session_type=session_type,
        session_state=from_json(row["session_state"]),
        metadata=from_json(row["metadata"]),
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
        "parent_tool_call_id": run.parent_tool_call_id,
        "root_run_id": run.root_run_id,
        "step": run.step,
        "kind": run.kind,
        "component_id": run.component_id,
        "component_name": run.component_name,
        "user_id": run.user_id,
        "input": run.input,
        "notebook": run.origin.notebook,
        "cell_id": run.origin.cell_id,
        "execution_count": run.origin.execution_count,
        "cell_hash": run.origin.cell_hash,
        "kernel_id": run.origin.kernel_id,
        "metadata": run.metadata,
        "worker": worker,
        "created_at": micros(run.created_at),
        **ended_run_row(run),
    }


def ended_run_row(run: RunOutput) -> Row:
    """Return the columns of a run that its end, or a pause, changes."""
    is_text = run.content is None or isinstance(run.content, str)
    content = run.content if is_text else run.get_content_as_string()
    is_json = not is_text and is_readable(content, of=run.content)
    return {
        "status": run.status,
        "content": content if is_text or is_json else to_plain_text(run.content),
        # A run that should have given an object but was cut off has text; the column must tell how to read it.
        "content_type": run.content_type if is_json else "str",
        "reasoning_content": run.reasoning_content,
        "model": run.model,
        "model_provider": run.model_provider,
        **_metrics_row(run.metrics),
        "error_type": run.error_type,
        "error": run.error,
        "context": None if run.context_report is None else run.context_report.to_dict(),
        "context_hash": run.context_hash,
        "replay_of_run_id": run.replay_of_run_id,
        "requirements": requirement_rows(run),
        "state_changes": run.state_changes or None,
        "ended_at": None if run.ended_at is None else micros(run.ended_at),
    }


def run_from_row(
    values: Sequence[Any], messages_of: Mapping[str, list[Message]], variables_of: Mapping[str, list[Variable]]
) -> RunOutput:
    row = dict(zip(RUN_COLUMNS, values, strict=True))
    messages = messages_of.get(row["run_id"], [])
    calls = [call for message in messages for call in message.tool_calls]
    as_they_are = (
        "run_id", "session_id", "run_index", "attempt", "parent_run_id", "parent_tool_call_id", "root_run_id", "step",
        "component_id", "component_name", "user_id", "input", "content_type", "reasoning_content", "model",
        "model_provider", "error_type", "error", "context_hash", "replay_of_run_id",
    )  # fmt: skip
    return RunOutput(
        **{name: row[name] for name in as_they_are},
        kind=SessionType(row["kind"]),
        status=RunStatus(row["status"]),
        content=row["content"] if row["content_type"] == "str" else from_json(row["content"]),
        messages=messages,
        tools=calls,
        metrics=_metrics(row),
        requirements=[requirement_from_row(one, row["run_id"], calls) for one in from_json(row["requirements"]) or []],
        state_changes=from_json(row["state_changes"]) or [],
        metadata=from_json(row["metadata"]),
        origin=CellInfo(
            notebook=row["notebook"],
            cell_id=row["cell_id"],
            execution_count=row["execution_count"],
            cell_hash=row["cell_hash"],
            kernel_id=row["kernel_id"],
        ),
        variables=variables_of.get(row["run_id"], []),
        context_report=None if row["context"] is None else ContextReport.from_dict(from_json(row["context"]), messages),
        created_at=row["created_at"] / 1_000_000,
        ended_at=None if row["ended_at"] is None else row["ended_at"] / 1_000_000,
        is_reloaded=True,
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
        "provider_data": message.provider_data,
        "num_tool_calls": len(message.tool_calls),
        "num_media": len(message.media),
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
            "extra": call.extra,
            "created_at": micros(call.created_at),
        }
        for call_index, call in enumerate(message.tool_calls)
    ]


def message_media_rows(message: Message, *, run: RunOutput) -> list[Row]:
    return [
        {
            "message_id": message.message_id,
            "media_index": media_index,
            "run_id": run.run_id,
            "session_id": run.session_id,
            "kind": media.kind,
            "media_id": None if media.content is None else _media_id(media.content),
            "url": media.url,
            "filename": media.filename,
            "mime_type": media.mime_type,
            "detail": media.detail,
            "size": None if media.content is None else len(media.content),
        }
        for media_index, media in enumerate(message.media)
    ]


def media_rows(message: Message) -> list[Row]:
    return [
        {"media_id": _media_id(media.content), "content": media.content}
        for media in message.media
        if media.content is not None
    ]


def _media_id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def messages_from_rows(
    messages: Iterable[Sequence[Any]], tool_calls: Iterable[Sequence[Any]], media: Iterable[Sequence[Any]]
) -> dict[str, list[Message]]:
    """Put messages, the calls that they ask for and their media together again.

    Parameters
    ----------
    messages, tool_calls : iterable of rows
        Each ordered by its place in its run.
    media : iterable of rows
        Ordered by the place in the message, each with its content behind the columns of its table.

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
    for *values, content in media:
        row = dict(zip(MESSAGE_MEDIA_COLUMNS, values, strict=True))
        if row["message_id"] in by_id:
            as_they_are = {name: row[name] for name in ("kind", "url", "filename", "mime_type", "detail")}
            by_id[row["message_id"]].media.append(Media(**as_they_are, content=content))
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
        call.is_finished = True
    return call


def session_metrics(values: Sequence[Any]) -> Metrics:
    """Make the metrics of a session from its totals: the token counts, cost, unpriced answers, duration."""
    *counts, cost, num_unpriced, duration_s = values
    known: JsonDict = {
        name: None if count is None else int(count) for name, count in zip(TOKEN_COUNTS, counts, strict=True)
    }
    return Metrics(**known, cost=None if num_unpriced else cost, duration_s=duration_s)


def summary_row(summary: SessionSummary, *, version: int) -> Row:
    return {
        "session_id": summary.session_id,
        "version": version,
        "summary": summary.summary,
        "topics": summary.topics,
        "from_run_index": summary.from_run_index,
        "to_run_index": summary.to_run_index,
        "model": summary.model,
        "model_provider": summary.model_provider,
        **_metrics_row(summary.metrics),
        "updated_at": micros(summary.updated_at),
    }


def summary_from_row(values: Sequence[Any]) -> SessionSummary:
    row = dict(zip(SUMMARY_COLUMNS, values, strict=True))
    as_they_are = ("session_id", "version", "summary", "from_run_index", "to_run_index", "model", "model_provider")
    return SessionSummary(
        **{name: row[name] for name in as_they_are},
        topics=from_json(row["topics"]),
        metrics=_metrics(row),
        updated_at=row["updated_at"] / 1_000_000,
    )


def memory_row(memory: UserMemory, *, now: int) -> Row:
    return {
        "memory_id": memory.memory_id,
        "user_id": memory.user_id,
        "memory": memory.memory,
        "topics": memory.topics,
        "input": memory.input,
        "component_id": memory.component_id,
        "created_at": micros(memory.created_at),
        "updated_at": now,
    }


def memory_from_row(values: Sequence[Any]) -> UserMemory:
    row = dict(zip(MEMORY_COLUMNS, values, strict=True))
    return UserMemory(
        **{name: row[name] for name in ("memory_id", "user_id", "memory", "input", "component_id")},
        topics=from_json(row["topics"]),
        created_at=row["created_at"] / 1_000_000,
        updated_at=row["updated_at"] / 1_000_000,
    )
