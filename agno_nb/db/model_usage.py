"""The usage of each model in a run or a session: :attr:`agno_nb.metrics.Metrics.details`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agno_nb.db import tables
from agno_nb.db.base import Db
from agno_nb.db.memories import get_summary_after
from agno_nb.db.statements import Transaction, non_null, where_equal
from agno_nb.types import (
    Message,
    Metrics,
    ModelMetrics,
    ModelType,
    RunEvent,
    RunOutput,
    SessionReader,
    metrics_by_model,
)

Details = dict[str, list[ModelMetrics]]
_Part = tuple[str, str | None, Metrics]
"""Model, provider, and metrics of one call."""


def details_of_run(
    messages: Sequence[Message],
    model: str | None,
    served_model: str | None,
    provider: str | None,
    db: SessionReader | None = None,
    run_id: str = "",
) -> Details:
    """Return the usage of a run from its messages, with that of its summary and memories if it is in `db`."""
    details = _own_details(_parts(messages, model, served_model, provider))
    if isinstance(db, Db) and (stored := db.get_run(run_id)) is not None:
        details |= db.get_background_details(stored.session_id, stored)
    return details


def details_of_session(db: SessionReader, session_id: str) -> Details:
    """Return the usage of all runs of a session, and of its summaries and memories."""
    details = _own_details(
        part
        for run in db.get_runs(session_id)
        for part in _parts(run.messages, run.model, run.served_model, run.model_provider)
    )
    return details | db.get_background_details(session_id) if isinstance(db, Db) else details


def _own_details(parts: Iterable[_Part]) -> Details:
    models = metrics_by_model(parts)
    return {ModelType.MODEL.value: models} if models else {}


def _parts(
    messages: Iterable[Message], model: str | None, served_model: str | None, provider: str | None
) -> Iterator[_Part]:
    for message in messages:
        if message.role == "assistant" and message.metrics is not None and not message.from_history:
            is_latest = message.model is None or message.model in (model, served_model)
            # After a fallback, the provider of an earlier model is not known.
            found = (model or message.model, provider) if is_latest else (message.model, None)
            yield found[0] or "", found[1], message.metrics


def get_background_details(connection: Transaction, session_id: str, run: RunOutput | None = None) -> Details:
    if run is None:
        rows = connection.select(tables.SUMMARIES, "session_id = ? ORDER BY version", [session_id])
        summaries = [tables.summary_from_row(row) for row in rows]
    else:
        summary = get_summary_after(connection, run) if run.run_index is not None else None
        summaries = [] if summary is None else [summary]
    key = non_null(
        session_id=session_id, event=RunEvent.memory_update_completed.value, run_id=None if run is None else run.run_id
    )
    where, parameters = where_equal(key)
    sql = (
        f"SELECT model, input_tokens, output_tokens, cost, duration_s FROM raw_events WHERE {where} ORDER BY created_at"
    )
    memories = [
        (model, Metrics(input_tokens=sent, output_tokens=received, cost=cost, duration_s=duration_s).drop_impossible())
        for model, sent, received, cost, duration_s in connection.execute(sql, parameters)
    ]
    found = {
        ModelType.MEMORY_MODEL: metrics_by_model((model or "", None, metrics) for model, metrics in memories),
        ModelType.SESSION_SUMMARY_MODEL: metrics_by_model(
            (each.model or "", each.model_provider, each.metrics) for each in summaries
        ),
    }
    return {kind.value: models for kind, models in found.items() if models}
