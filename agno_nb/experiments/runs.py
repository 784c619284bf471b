"""Runs that are passed as objects or by their IDs."""

from __future__ import annotations

from agno_nb.db import default_db
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.errors import InvalidInputError
from agno_nb.types import RunOutput, one_line


def store_of(db: Db | AsyncDb | None) -> Db:
    """Return a blocking store: `db`, or the notebook's."""
    return as_sync(db) or default_db()


def run_id_of(run: RunOutput | str) -> str:
    """Return the ID of a run.

    Raises
    ------
    InvalidInputError
        It is neither a run nor an ID.
    """
    run_id = run.run_id if isinstance(run, RunOutput) else run
    if not isinstance(run_id, str) or not run_id:
        shown = one_line(repr(run), 80)
        raise InvalidInputError(f"{shown} is neither a run nor the ID of one; pass a run of agno_nb or its run_id")
    return run_id


def find_run(run: RunOutput | str, db: Db | AsyncDb | None) -> RunOutput:
    """Return a run, which is read from the store if it is passed as an ID.

    Raises
    ------
    InvalidInputError
        The store has no such run.
    """
    if isinstance(run, RunOutput):
        return run
    store = store_of(db)
    found = store.get_run(run_id_of(run))
    if found is None:
        raise InvalidInputError(f"there is no run {run!r} in {store!r}; pass the store that has it as db=")
    return found
