"""Domain objects as rows of the tables of schema.sql, and back. No SQL, no I/O.

A column has the value of the attribute of its name, and `ObjectTable` lists the exceptions. Times are unix seconds in
objects and microseconds in rows, and JSON columns are values in objects. A row to be written has values, which
:mod:`agno_nb.db.encoding` converts; a row that was read has what the backend returned.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import Any

from agno_nb.db import schema
from agno_nb.db.encoding import JSON_COLUMNS, Row, from_json, is_readable, micros
from agno_nb.types import (
    SESSION_CLASSES,
    TOKEN_COUNTS,
    Annotation,
    CellInfo,
    ContextReport,
    JsonDict,
    Media,
    Message,
    Metrics,
    Requirement,
    RunOutput,
    RunStatus,
    Session,
    SessionReader,
    SessionSummary,
    SessionType,
    StepInputField,
    StepOutput,
    StepRequirement,
    StepStatus,
    ToolCall,
    UserInputField,
    UserMemory,
    Variable,
    to_plain_text,
)

METRICS = (*TOKEN_COUNTS, "cost", "time_to_first_token_s", "duration_s")
_CELL_INFO = ("notebook", "cell_id", "execution_count", "cell_hash", "kernel_id")
_NO_METRICS = Metrics()
_metrics_of = itemgetter(*METRICS)
_NULLS = (None,) * len(METRICS)


class ObjectTable:
    """How objects of `cls`, a dataclass, are stored in a table.

    Columns without a field of their name are not passed to the class. `renamed` has the attribute of a column that has
    another name. `unread` columns are not needed by objects.
    """

    def __init__(
        self, table: str, cls: type[Any], *, renamed: Mapping[str, str] | None = None, unread: Iterable[str] = ()
    ) -> None:
        types = schema.tables()[table].types
        self.name = table
        self.columns = tuple(name for name in types if name not in set(unread))
        self.sql_columns = ", ".join(self.columns)
        self._json = [name for name in self.columns if name in JSON_COLUMNS]
        self._times = [name for name in self.columns if name.endswith("_at")]
        self._booleans = [name for name in self.columns if types[name] == "BOOLEAN"]
        attributes = {field.name: field.name for field in fields(cls)}
        self._fields = [name for name in self.columns if name in attributes]
        self._pick = itemgetter(*self._fields)
        attributes |= renamed or {}
        self._own = [name for name in self.columns if name in attributes]
        self._get = attrgetter(*(attributes[name] for name in self._own))

    def row(self, value: Any) -> Row:
        """Return the columns that are attributes of an object."""
        row = dict(zip(self._own, self._get(value), strict=True))
        for name in self._times:
            if row.get(name) is not None:
                row[name] = round(row[name] * 1_000_000)
        return row

    def rows(self, values: Iterable[Sequence[Any]]) -> list[Row]:
        """Return rows of :attr:`columns` by name."""
        return [dict(zip(self.columns, each, strict=True)) for each in values]

    def attributes(self, row: Row) -> Row:
        """Convert the values of a stored row in place, and return those that are fields of the class."""
        for name in self._json:
            if row[name] is not None:
                row[name] = json.loads(row[name])
        for name in self._times:
            if row[name] is not None:
                row[name] /= 1_000_000
        for name in self._booleans:
            # SQLite has no booleans, but 0 and 1.
            row[name] = bool(row[name])
        return dict(zip(self._fields, self._pick(row), strict=True))


SESSIONS = ObjectTable("raw_sessions", Session)
RUNS = ObjectTable(
    "raw_runs",
    RunOutput,
    renamed={"context": "context_report", **{name: f"origin.{name}" for name in _CELL_INFO}},
    unread=("forked_from_run_id", "interrupted_at"),
)
MESSAGES = ObjectTable("raw_messages", Message)
TOOL_CALLS = ObjectTable("raw_tool_calls", ToolCall)
MESSAGE_MEDIA = ObjectTable("raw_message_media", Media)
VARIABLES = ObjectTable("raw_variables", Variable)
STEPS = ObjectTable("raw_steps", StepOutput, renamed={"child_run_id": "run_id"})
SUMMARIES = ObjectTable("raw_summaries", SessionSummary)
ANNOTATIONS = ObjectTable("raw_annotations", Annotation)
MEMORIES = ObjectTable("raw_memories", UserMemory)


def _metrics_row(metrics: Metrics | None) -> Row:
    if metrics is None or metrics == _NO_METRICS:
        return dict.fromkeys(METRICS)
    possible = metrics.drop_impossible()
    return {name: getattr(possible, name) for name in METRICS}


def _metrics(row: Row) -> Metrics | None:
    """Return the metrics of a row that was read; None if it has none."""
    values = _metrics_of(row)
    if values == _NULLS:
        return None
    # An older version stored any value that the server had reported.
    metrics = Metrics(**dict(zip(METRICS, values, strict=True))).drop_impossible()
    return None if metrics == _NO_METRICS else metrics


def session_row(session: Session, *, component_name: str | None, now: int) -> Row:
    return SESSIONS.row(session) | {"component_name": component_name, "created_at": now, "updated_at": now}


def session_from_row(row: Row, store: SessionReader) -> Session:
    attributes = SESSIONS.attributes(row.copy())
    session_type = SessionType(row["session_type"])
    times = {name: row[name] // 1_000_000 for name in ("created_at", "updated_at")}
    return SESSION_CLASSES[session_type](**attributes | times | {"session_type": session_type, "store": store})


def ended_run_row(run: RunOutput) -> Row:
    """Return the columns of a run that its end, or a pause, changes."""
    is_text = run.content is None or isinstance(run.content, str)
    content = run.content if is_text else run.get_content_as_string()
    is_json = not is_text and is_readable(content, of=run.content)
    return {
        "status": run.status,
        "content": content if is_text or is_json else to_plain_text(run.content),
        # An interrupted run that should have returned an object has text. This column determines how it is read.
        "content_type": run.content_type if is_json else "str",
        "reasoning_content": run.reasoning_content,
        "model": run.model,
        "served_model": run.served_model,
        "model_provider": run.model_provider,
        **_metrics_row(run.metrics),
        "error_type": run.error_type,
        "error": run.error,
        "context": None if run.context_report is None else run.context_report.to_dict(),
        "context_hash": run.context_hash,
        "replay_of_run_id": run.replay_of_run_id,
        "requirements": requirement_rows(run) if run.requirements else None,
        "state_changes": run.state_changes or None,
        "metadata": run.metadata,
        "ended_at": None if run.ended_at is None else micros(run.ended_at),
    }


def run_from_row(
    row: Row, messages_of: Mapping[str, list[Message]], variables_of: Mapping[str, list[Variable]]
) -> RunOutput:
    attributes = RUNS.attributes(row)
    messages = messages_of.get(row["run_id"], [])
    calls = [call for message in messages for call in message.tool_calls]
    return RunOutput(
        **attributes
        | {
            "kind": SessionType(row["kind"]),
            "status": RunStatus(row["status"]),
            "content": row["content"] if row["content_type"] == "str" else from_json(row["content"]),
            "messages": messages,
            "tools": calls,
            "metrics": _metrics(row) or Metrics(),
            "requirements": [requirement_from_row(each, row["run_id"], calls) for each in row["requirements"] or []],
            "state_changes": row["state_changes"] or [],
            "origin": CellInfo(**{name: row[name] for name in _CELL_INFO}),
            "variables": variables_of.get(row["run_id"], []),
            "context_report": row["context"] and ContextReport.from_dict(row["context"], messages),
            "is_reloaded": True,
        }
    )


def message_row(message: Message, run: RunOutput, message_index: int) -> Row:
    return (
        MESSAGES.row(message)
        | _metrics_row(message.metrics)
        | {
            "run_id": run.run_id,
            "session_id": run.session_id,
            "message_index": message_index,
            "num_tool_calls": len(message.tool_calls),
            "num_media": len(message.media),
        }
    )


def tool_call_rows(message: Message, run: RunOutput) -> list[Row]:
    of_message = _message_ids(message, run)
    return [TOOL_CALLS.row(call) | of_message | {"call_index": index} for index, call in enumerate(message.tool_calls)]


def media_rows(message: Message, run: RunOutput) -> tuple[list[Row], dict[str, bytes]]:
    """Return the rows of a message's media, and their contents by `media_id`."""
    rows, contents = [], {}
    for index, media in enumerate(message.media):
        row = MESSAGE_MEDIA.row(media) | _message_ids(message, run)
        row |= {"media_index": index, "media_id": None, "size": None}
        if media.content is not None:
            media_id = hashlib.sha256(media.content).hexdigest()
            contents[media_id] = media.content
            row |= {"media_id": media_id, "size": len(media.content)}
        rows.append(row)
    return rows, contents


def _message_ids(message: Message, run: RunOutput) -> Row:
    return {"run_id": run.run_id, "session_id": run.session_id, "message_id": message.message_id}


def messages_from_rows(
    messages: Iterable[Row], tool_calls: Iterable[Row] = (), media: Iterable[tuple[Row, bytes | None]] = ()
) -> dict[str, list[Message]]:
    """Return the messages of each run, with their tool calls and media (rows and contents).

    All are in their order, and values of rows are converted in place. A tool call has its result if the run has a
    message with it.
    """
    runs: dict[str, list[Message]] = {}
    by_id: dict[str, Message] = {}
    answers: dict[tuple[str, str], Message] = {}
    for row in messages:
        message = Message(**MESSAGES.attributes(row), metrics=_metrics(row))
        runs.setdefault(row["run_id"], []).append(message)
        by_id[message.message_id] = message
        if message.role == "tool" and message.tool_call_id is not None:
            answers[row["run_id"], message.tool_call_id] = message
    for row in tool_calls:
        if row["message_id"] in by_id:
            answer = answers.get((row["run_id"], row["tool_call_id"]))
            by_id[row["message_id"]].tool_calls.append(_tool_call_from_row(row, answer))
    for row, content in media:
        if row["message_id"] in by_id:
            by_id[row["message_id"]].media.append(Media(**MESSAGE_MEDIA.attributes(row), content=content))
    return runs


def _tool_call_from_row(row: Row, answer: Message | None) -> ToolCall:
    call = ToolCall(**TOOL_CALLS.attributes(row))
    if answer is not None:
        call.result = answer.content
        call.tool_call_error = answer.tool_call_error
        call.duration_s = answer.metrics.duration_s if answer.metrics else None
        call.is_finished = True
    return call


def variable_rows(run: RunOutput) -> list[Row]:
    of_run = {"run_id": run.run_id, "session_id": run.session_id, "created_at": micros(run.created_at)}
    return [VARIABLES.row(variable) | of_run | {"variable_index": i} for i, variable in enumerate(run.variables)]


def variables_from_rows(rows: Iterable[Row]) -> dict[str, list[Variable]]:
    """Return the variables of each run. The rows are in the order of their prompts."""
    runs: dict[str, list[Variable]] = {}
    for row in rows:
        attributes = VARIABLES.attributes(row)
        shape = row["shape"]
        variable = Variable(**attributes | {"shape": None if shape is None else tuple(shape)})
        runs.setdefault(row["run_id"], []).append(variable)
    return runs


def step_row(step: StepOutput, run: RunOutput, step_index: int) -> Row:
    content, content_type = _as_text(step.content)
    return STEPS.row(step) | {
        "run_id": run.run_id,
        "session_id": run.session_id,
        "step_index": step_index,
        "content": content,
        "content_type": content_type,
    }


def _as_text(content: Any) -> tuple[str | None, str]:
    """Return the output of a step as text, and the name of its type.

    A value that JSON would not restore is stored as plain text: one that JSON cannot represent, or a dict with keys
    that are not strings.
    """
    if content is None or isinstance(content, str):
        return content, "str"
    text = None
    with suppress(Exception):  # A user's class may raise anything.
        if hasattr(content, "model_dump_json"):
            text = str(content.model_dump_json())
        else:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    if text is not None and is_readable(text, of=content):
        return text, type(content).__name__
    return to_plain_text(content), "str"


def step_from_row(row: Row) -> StepOutput:
    attributes = STEPS.attributes(row)
    return StepOutput(
        **attributes
        | {
            "content": row["content"] if row["content_type"] == "str" else from_json(row["content"]),
            "status": StepStatus(row["status"]),
            "success": row["status"] == StepStatus.COMPLETED,
            "run_id": row["child_run_id"],
        }
    )


def summary_row(summary: SessionSummary, version: int) -> Row:
    return SUMMARIES.row(summary) | _metrics_row(summary.metrics) | {"version": version}


def summary_from_row(row: Row) -> SessionSummary:
    return SessionSummary(**SUMMARIES.attributes(row), metrics=_metrics(row) or Metrics())


_REQUIREMENT_FIELDS = ("requirement_id", "kind", "run_id", "component_name")
_ANSWER_FIELDS = ("confirmed", "note", "result")
_LATER_FIELDS = ("started_at", "may_have_run", "component_id")
"""Fields that earlier versions did not store."""
_INPUT_FIELDS = ("name", "description", "schema", "value", "is_given")


def requirement_rows(run: RunOutput) -> list[JsonDict]:
    """Return a run's requirements as JSON, with the arguments of their calls so that the column can be read alone."""
    return [
        {
            **{name: getattr(requirement, name) for name in (*_REQUIREMENT_FIELDS, *_ANSWER_FIELDS, *_LATER_FIELDS)},
            "resolved_by": requirement.resolved_by,
            "tool_call_id": requirement.tool.tool_call_id,
            "tool_name": requirement.tool.tool_name,
            "arguments": requirement.tool.arguments,
            "user_input_fields": [
                {name: getattr(field, name) for name in _INPUT_FIELDS} for field in requirement.user_input_fields
            ],
        }
        for requirement in run.requirements
    ]


def requirement_from_row(row: JsonDict, run_id: str, calls: Sequence[ToolCall]) -> Requirement:
    """Return a requirement of run `run_id`, for one of its `calls` or for a call of a nested run."""
    own = {call.tool_call_id: call for call in calls} if row["run_id"] == run_id else {}
    written = ToolCall(tool_call_id=row["tool_call_id"], tool_name=row["tool_name"], arguments=row["arguments"])
    call = own.get(row["tool_call_id"], written)
    is_step = StepRequirement.is_call_id(row["tool_call_id"])
    as_field = StepInputField.from_stored if is_step else lambda values: UserInputField(**values)
    call.user_input_schema = [as_field(values) for values in row["user_input_fields"]]
    requirement = (StepRequirement if is_step else Requirement)(
        **{name: row[name] for name in _REQUIREMENT_FIELDS},
        **{name: row[name] for name in _LATER_FIELDS if name in row},
        tool=call,
    )
    for name in _ANSWER_FIELDS:
        setattr(requirement, name, row[name])
    requirement.resolved_by = row.get("resolved_by")  # Earlier versions did not store it.
    if is_step and requirement.started_at is not None:
        call.is_finished = True  # The run has continued with the answer.
    return requirement
