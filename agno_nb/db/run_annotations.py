"""Write and read annotations of runs in a SQL store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agno_nb.db import tables
from agno_nb.db.encoding import check_ids
from agno_nb.db.statements import Transaction, chunks, marks, non_null, where_equal
from agno_nb.errors import InvalidInputError
from agno_nb.types import Annotation


def add_annotations(
    connection: Transaction, annotations: Iterable[Annotation], user_id: str | None = None
) -> list[Annotation]:
    added = list(annotations)
    for annotation in added:
        annotation.check()
    sessions = _sessions_of_runs(connection, [each.run_id for each in added], user_id)
    for annotation in added:
        if annotation.run_id not in sessions:
            owner = "" if user_id is None else f" in a session of user {user_id!r}"
            raise InvalidInputError(
                f"there is no run {annotation.run_id!r}{owner} in this store, so no annotation was stored; "
                "pass run_ids of runs_df()"
            )
    stored = [replace(each, session_id=sessions[each.run_id]) for each in added]
    connection.insert("raw_annotations", [tables.ANNOTATIONS.row(each) for each in stored])
    return stored


def get_annotations(connection: Transaction, run_id: str) -> list[Annotation]:
    check_ids(run_id=run_id)
    rows = connection.select(tables.ANNOTATIONS, "run_id = ? ORDER BY created_at, annotation_id", [run_id])
    return [Annotation(**tables.ANNOTATIONS.attributes(row)) for row in rows]


def delete_annotations(connection: Transaction, annotation_ids: Iterable[str], user_id: str | None = None) -> int:
    if isinstance(annotation_ids, str):
        raise InvalidInputError(f"annotation_ids is {annotation_ids!r}; pass a list of IDs")
    owned, owners = where_equal(non_null(user_id=user_id))
    deleted = 0
    for some in chunks([*annotation_ids]):
        sql = (
            f"DELETE FROM raw_annotations WHERE annotation_id IN ({marks(some)}) AND session_id IN "
            f"(SELECT session_id FROM raw_sessions WHERE {owned}) RETURNING annotation_id"
        )
        deleted += len(connection.execute(sql, [*some, *owners]))
    return deleted


def _sessions_of_runs(connection: Transaction, run_ids: Iterable[str], user_id: str | None) -> dict[str, str]:
    """Return the session of each run that there is in the sessions of a user, or with None, of all users."""
    owned, owners = where_equal(non_null(user_id=user_id))
    found: dict[str, str] = {}
    for some in chunks(list(dict.fromkeys(run_ids))):
        sql = (
            f"SELECT run_id, session_id FROM raw_runs WHERE run_id IN ({marks(some)}) AND session_id IN "
            f"(SELECT session_id FROM raw_sessions WHERE {owned})"
        )
        found |= dict(connection.execute(sql, [*some, *owners]))
    return found
