"""Values that the views derive from rows."""

from __future__ import annotations

from typing import Any

from agno_nb.db.base import Db
from agno_nb.types import Message, Metrics, RunStatus, ToolCall
from agno_nb_store_contract.conversation import START, begin, end, say


def rows(db: Db, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in db.arrow(sql).to_pylist()]


class ViewsContract:
    """Values that the views derive from rows."""

    def test_an_attempt_is_superseded_by_the_next_one_and_makes_later_turns_stale(self, db: Db) -> None:
        first = [say(db, text, run_id=text, created_at=START + n) for n, text in enumerate(("a", "b", "c"))]
        say(db, "b2", run_id="b2", run_index=1, created_at=START + 10)
        say(db, "b3", run_id="b3", run_index=1, created_at=START + 11)
        say(db, "c2", run_id="c2", run_index=2, created_at=START + 12)
        begin(db, "d", run_id="d", created_at=START + 13)
        begin(db, "in d", run_id="in d", nested=True, created_at=START + 14)
        assert [run.run_index for run in first] == [0, 1, 2]
        assert rows(db, "SELECT run_id, attempt, superseded_by, stale FROM runs ORDER BY created_at") == [
            ("a", 0, None, False),
            ("b", 0, "b2", False),
            ("c", 0, "c2", True),
            ("b2", 1, "b3", False),
            ("b3", 2, None, False),
            ("c2", 1, None, False),
            ("d", 0, None, False),
            ("in d", 0, None, False),
        ]

    def test_attempts_of_one_session_say_nothing_of_another(self, db: Db) -> None:
        say(db, "a", session_id="s1", created_at=START)
        say(db, "b", session_id="s1", created_at=START + 1)
        say(db, "a", session_id="s2", created_at=START)
        say(db, "a2", session_id="s2", run_index=0, created_at=START + 2)
        assert rows(
            db, "SELECT session_id, input, superseded_by IS NULL, stale FROM runs ORDER BY session_id, input"
        ) == [
            ("s1", "a", True, False),
            ("s1", "b", True, False),
            ("s2", "a", False, False),
            ("s2", "a2", True, False),
        ]

    def test_a_tool_call_is_joined_with_its_answer(self, db: Db) -> None:
        calls = [ToolCall(tool_call_id=f"c{n}", tool_name="f", created_at=START) for n in range(2)]
        told = Message(
            role="tool", content="No.", tool_call_id="c0", tool_name="f", tool_call_error=True,
            metrics=Metrics(duration_s=0.5), created_at=START + 1,
        )  # fmt: skip
        for session_id in ("s1", "s2"):
            run, _ = begin(db, session_id=session_id, run_id=f"run of {session_id}")
            asks = Message(role="assistant", message_id=f"m {session_id}", tool_calls=calls)
            told.message_id = f"t {session_id}"
            end(db, run, asks, told, status=RunStatus.CANCELLED)
        sql = (
            "SELECT tool_call_id, run_id, message_id, call_index, result, tool_call_error, duration_s, epoch(ended_at) "
            "FROM tool_calls ORDER BY session_id, call_index"
        )
        assert rows(db, sql) == [
            ("c0", "run of s1", "m s1", 0, "No.", True, 0.5, START + 1),
            ("c1", "run of s1", "m s1", 1, None, None, None, None),
            ("c0", "run of s2", "m s2", 0, "No.", True, 0.5, START + 1),
            ("c1", "run of s2", "m s2", 1, None, None, None, None),
        ]
