"""Calls of a store that wait while it commits others, to be committed together."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from agno_nb.db.base import Db
from agno_nb.db.group_commit import StoreCall, failures

_MAX_GROUP = 64
"""Calls that are committed together. Others wait for the next commit."""
_waiting: dict[Db, list[tuple[StoreCall, asyncio.Future[Any]]]] = {}
"""Calls that wait for the current commit of their store. Changed on the background loop only."""
_committing: set[asyncio.Task[None]] = set()


async def commit_with_others(db: Db, call: StoreCall) -> Any:
    """Make a call with others of the same store, which wait at the same time; no thread waits with them."""
    done = asyncio.get_running_loop().create_future()
    if db in _waiting:
        _waiting[db].append((call, done))
    else:
        _waiting[db] = [(call, done)]
        task = asyncio.create_task(_commit_waiting(db))
        _committing.add(task)
        task.add_done_callback(_committing.discard)
    return await done


async def _commit_waiting(db: Db) -> None:
    waiting = _waiting[db]
    while waiting:
        group, waiting[:] = waiting[:_MAX_GROUP], waiting[_MAX_GROUP:]
        try:
            outcomes = await asyncio.to_thread(db.commit_together, [call for call, _ in group])
            answered = list(zip(group, outcomes, strict=True))
        except BaseException as error:  # For example, no thread can be started when the interpreter exits.
            answered = list(zip(group, failures(error, len(group)), strict=True))
        for (_, done), outcome in answered:
            if outcome.error is None:
                done.set_result(outcome.value)
            else:
                done.set_exception(outcome.error)
    del _waiting[db]


if hasattr(os, "register_at_fork"):
    # The calls are those of the parent process.
    os.register_at_fork(after_in_child=_waiting.clear)
