"""Async versions of stores, whose methods run in worker threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.base import Db

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[AsyncDb, P], Coroutine[Any, Any, T]]:
    name = method.__name__

    async def call(self: AsyncDb, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(getattr(self.sync, name), *args, **kwargs)

    call.__name__ = name
    call.__doc__ = f"Async version of :meth:`agno_nb.db.base.Db.{name}`."
    return call


@suggest_on_unknown_kwarg({})
class AsyncDb:
    """A store for async code.

    Attributes
    ----------
    sync : Db
        The store itself. Agents accept either, and both can be used at the same time.
    """

    def __init__(self, sync: Db) -> None:
        self.sync = sync

    check_owner = _awaited(Db.check_owner)
    get_session = _awaited(Db.get_session)
    get_sessions = _awaited(Db.get_sessions)
    rename_session = _awaited(Db.rename_session)
    update_session_state = _awaited(Db.update_session_state)
    fork_session = _awaited(Db.fork_session)
    delete_session = _awaited(Db.delete_session)
    delete_sessions = _awaited(Db.delete_sessions)
    get_runs = _awaited(Db.get_runs)
    get_run = _awaited(Db.get_run)
    get_child_runs = _awaited(Db.get_child_runs)
    save_approvals = _awaited(Db.save_approvals)
    save_partial = _awaited(Db.save_partial)
    get_messages = _awaited(Db.get_messages)
    get_session_metrics = _awaited(Db.get_session_metrics)
    get_usage = _awaited(Db.get_usage)
    get_summary = _awaited(Db.get_summary)
    get_summary_after = _awaited(Db.get_summary_after)
    get_user_memories = _awaited(Db.get_user_memories)
    upsert_user_memory = _awaited(Db.upsert_user_memory)
    update_user_memory = _awaited(Db.update_user_memory)
    delete_user_memory = _awaited(Db.delete_user_memory)
    clear_memories = _awaited(Db.clear_memories)
    query = _awaited(Db.query)
    sessions_df = _awaited(Db.sessions_df)
    runs_df = _awaited(Db.runs_df)
    run_tree_df = _awaited(Db.run_tree_df)
    messages_df = _awaited(Db.messages_df)
    tool_calls_df = _awaited(Db.tool_calls_df)
    variables_df = _awaited(Db.variables_df)
    steps_df = _awaited(Db.steps_df)
    summaries_df = _awaited(Db.summaries_df)
    memories_df = _awaited(Db.memories_df)
    events_df = _awaited(Db.events_df)
    purge_sessions = _awaited(Db.purge_sessions)
    vacuum = _awaited(Db.vacuum)
    backup = _awaited(Db.backup)
    snapshot = _awaited(Db.snapshot)
    verify = _awaited(Db.verify)
    export_session = _awaited(Db.export_session)
    import_session = _awaited(Db.import_session)
    export_parquet = _awaited(Db.export_parquet)
    import_parquet = _awaited(Db.import_parquet)
    close = _awaited(Db.close)

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"


def as_sync(db: Db | AsyncDb | None) -> Db | None:
    """Return the blocking store, which runs use."""
    return db.sync if isinstance(db, AsyncDb) else db
