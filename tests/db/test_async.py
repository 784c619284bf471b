"""The async stores: the same contract with the same names."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

from agno_nb.agent import Agent
from agno_nb.db.base import AsyncDb, Db
from agno_nb.db.duckdb import AsyncDuckDb
from agno_nb.testing import FunctionModel

OF_THE_PIPELINE = {
    "open_run", "reopen_run", "add_messages", "save_approvals", "end_run", "add_event", "add_step", "add_summary",
    "create", "arrow", "frame", "read_user_rows", "find_cached_run", "get_cell_turns",
    "commit_together",
}  # fmt: skip


def test_every_method_of_a_store_that_users_call_has_an_awaited_one() -> None:
    methods = {name for name, _ in inspect.getmembers(Db, inspect.isfunction) if not name.startswith("_")}
    assert {name for name in methods - OF_THE_PIPELINE if not hasattr(AsyncDb, name)} == set()
    assert all(inspect.iscoroutinefunction(getattr(AsyncDb, name)) for name in methods - OF_THE_PIPELINE)


def test_an_agent_takes_an_awaited_store_and_both_faces_show_the_same(tmp_path: Path) -> None:
    db = AsyncDuckDb(tmp_path / "store.duckdb")
    agent = Agent(FunctionModel(lambda messages, tools: "ok"), db=db, add_history_to_context=True)

    async def main() -> None:
        await agent.arun("hello", session_id="s", user_id="ada")
        await agent.arun("again", session_id="s", user_id="ada")
        session = await db.get_session("s", user_id="ada")
        assert session is not None
        assert [run.input for run in session.runs] == ["hello", "again"]
        assert len(await db.get_sessions(user_id="ada", limit=10)) == 1
        assert (await db.runs_df(session_id="s"))["status"].tolist() == ["COMPLETED", "COMPLETED"]
        assert await db.delete_session("s", user_id="bob") is False
        assert await db.delete_session("s") is True

    asyncio.run(main())
    assert db.sync.get_session("s") is None
    assert repr(db) == f"Async{db.sync!r}"
