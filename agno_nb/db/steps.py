"""Steps of workflows: between the domain's objects and rows, and the part of a store behind a SQL driver about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from agno_nb.db.encoding import Row, from_json, is_readable, micros
from agno_nb.db.memories import SqlMemories
from agno_nb.db.session_state import store_state
from agno_nb.db.statements import Transaction
from agno_nb.errors import SessionNotFoundError
from agno_nb.types import JsonDict, RunOutput, StepOutput, StepStatus, to_plain_text

STEP_COLUMNS = (
    "run_id", "step_index", "session_id", "step_name", "path", "kind", "iteration", "input", "content", "content_type",
    "status", "error", "stop", "child_run_id", "duration_s", "created_at",
)  # fmt: skip


class SqlSteps(SqlMemories):
    """Steps in SQL."""

    def add_step(
        self,
        run: RunOutput,
        step: StepOutput,
        step_index: int,
        *,
        session_state: JsonDict | None = None,
        base_state: JsonDict | None = None,
        state_changes: Sequence[JsonDict] | None = None,
    ) -> None:
        gone = SessionNotFoundError(f"session {run.session_id!r} was deleted, so step {step.path!r} cannot be stored")
        with self._transaction(write=True) as connection:
            store_state(connection, run.session_id, session_state, base_state, gone=gone)
            if state_changes is not None:
                connection.update("raw_runs", {"state_changes": list(state_changes)}, {"run_id": run.root_run_id})
            connection.insert("raw_steps", [step_row(step, run=run, step_index=step_index)])


def select_steps(connection: Transaction, where: str, parameters: Sequence[Any]) -> Iterator[tuple[str, StepOutput]]:
    """Return the steps that `where` selects, each behind the id of its run, in the order in which they ended."""
    sql = f"SELECT {', '.join(STEP_COLUMNS)} FROM raw_steps WHERE {where} ORDER BY step_index"
    return map(step_from_row, connection.execute(sql, parameters))


def step_row(step: StepOutput, *, run: RunOutput, step_index: int) -> Row:
    content, content_type = _as_text(step.content)
    return {
        "run_id": run.run_id,
        "step_index": step_index,
        "session_id": run.session_id,
        "step_name": step.step_name,
        "path": step.path,
        "kind": step.kind,
        "iteration": step.iteration,
        "input": step.input,
        "content": content,
        "content_type": content_type,
        "status": step.status,
        "error": step.error,
        "stop": step.stop,
        "child_run_id": step.run_id,
        "duration_s": step.duration_s,
        "created_at": micros(step.created_at),
    }


def _as_text(content: Any) -> tuple[str | None, str]:
    """Return what a step gave as text, and the type by which it is read again: what JSON cannot hold stays text.

    That is also a dict with keys that are not text, which would be another dict when it is read.
    """
    if content is None or isinstance(content, str):
        return content, "str"
    text = None
    with suppress(Exception):  # Whatever a class of the user's raises.
        if hasattr(content, "model_dump_json"):
            text = str(content.model_dump_json())
        else:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    if text is not None and is_readable(text, of=content):
        return text, type(content).__name__
    return to_plain_text(content), "str"


def step_from_row(values: Sequence[Any]) -> tuple[str, StepOutput]:
    """Return the run that a step belongs to, and the step."""
    row = dict(zip(STEP_COLUMNS, values, strict=True))
    status = StepStatus(row["status"])
    as_they_are = ("step_name", "path", "kind", "iteration", "input", "error", "duration_s")
    return row["run_id"], StepOutput(
        row["content"] if row["content_type"] == "str" else from_json(row["content"]),
        **{name: row[name] for name in as_they_are},
        success=status is StepStatus.COMPLETED,
        status=status,
        stop=bool(row["stop"]),
        run_id=row["child_run_id"],
        created_at=row["created_at"] / 1_000_000,
    )
