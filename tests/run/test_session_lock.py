"""A batch of runs in one session is reported, because the runs wait for each other."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from agno_nb.run import session_lock
from agno_nb.run.session_lock import SessionLock, waiting_for


@pytest.mark.parametrize(("num_waiting", "reported"), [(1, []), (3, [3])])
def test_runs_that_wait_for_each_other_are_reported_once_if_there_are_several(
    monkeypatch: pytest.MonkeyPatch, num_waiting: int, reported: list[int]
) -> None:
    monkeypatch.setattr(session_lock, "_WARN_AFTER_S", 0.0)
    order: list[int] = []

    async def turn(lock: SessionLock, number: int) -> None:
        async with waiting_for(lock, "s") if lock.locked() else lock:
            order.append(number)
            for _ in range(3):  # The timers of the others are due.
                await asyncio.sleep(0)

    async def turns() -> None:
        lock = SessionLock()
        await asyncio.gather(*(turn(lock, number) for number in range(num_waiting + 1)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(turns())
    assert order == list(range(num_waiting + 1))
    assert [str(each.message) for each in caught] == [
        f"{number} runs wait for session 's', because the turns of a session run one after the other; to run prompts "
        "at the same time, pass each run its own session_id"
        for number in reported
    ]
