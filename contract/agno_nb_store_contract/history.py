"""The history that is loaded for a run."""

from __future__ import annotations

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.types import Message, RunStatus
from agno_nb_store_contract.conversation import answering, begin, calling, contents, end, say


class HistoryContract:
    """The history that is loaded for a run."""

    def test_history_is_the_last_completed_turns(self, db: Db) -> None:
        for text in ("a", "b", "c"):
            say(db, text)
        for status in (RunStatus.ERROR, RunStatus.CANCELLED, RunStatus.PAUSED):
            for _ in range(3):
                say(db, "left out", status=status)
        begin(db, "still running")
        _, opened = begin(db, "now", query=ContextQuery(num_history_runs=2))
        assert contents(opened.history) == [
            ("user", "b"), ("assistant", "answer to b"), ("user", "c"), ("assistant", "answer to c"),
        ]  # fmt: skip
        assert all(message.from_history for message in opened.history)
        assert not any(message.from_history for message in db.get_messages("s1"))

    def test_history_of_a_new_attempt_is_what_came_before_its_turn(self, db: Db) -> None:
        for text in ("a", "b", "c"):
            say(db, text)
        say(db, "a2", run_index=0)
        _, opened = begin(db, "b2", run_index=1, query=ContextQuery(num_history_runs=5))
        assert contents(opened.history) == [("user", "a2"), ("assistant", "answer to a2")]

    def test_a_turn_whose_latest_attempt_failed_is_not_history(self, db: Db) -> None:
        say(db, "a")
        say(db, "b")
        say(db, "b2", run_index=1, status=RunStatus.ERROR)
        _, opened = begin(db, "c", query=ContextQuery(num_history_runs=5))
        assert contents(opened.history) == [("user", "a"), ("assistant", "answer to a")]

    def test_history_has_tool_calls_and_no_system_messages(self, db: Db) -> None:
        run, _ = begin(db, "a")
        system = Message(role="system", content="Be brief.")
        run.messages.insert(0, system)
        db.add_messages(run, [system])
        end(db, run, calling("f"), answering(), Message(role="assistant", content="42"))
        _, opened = begin(db, "b", query=ContextQuery(num_history_runs=1))
        assert [m.role for m in opened.history] == ["user", "assistant", "tool", "assistant"]
        assert opened.history[1].tool_calls[0].result == "42"

    @pytest.mark.parametrize(
        ("limit", "roles"),
        [
            (0, []),
            (1, ["assistant"]),
            (2, ["assistant"]),
            (3, ["assistant", "tool", "assistant"]),
            (4, ["user", "assistant", "tool", "assistant"]),
            (6, ["user", "assistant", "user", "assistant", "tool", "assistant"]),
            (99, ["user", "assistant", "user", "assistant", "tool", "assistant"]),
        ],
    )
    def test_history_by_messages_never_begins_with_an_answer_to_a_call(
        self, db: Db, limit: int, roles: list[str]
    ) -> None:
        say(db, "a")
        say(db, "b", [calling("f"), answering(), Message(role="assistant", content="42")])
        _, opened = begin(db, "c", query=ContextQuery(num_history_messages=limit))
        assert [message.role for message in opened.history] == roles

    def test_history_is_not_read_when_it_is_not_asked_for(self, db: Db) -> None:
        say(db, "a")
        assert begin(db, "b")[1].history == []
