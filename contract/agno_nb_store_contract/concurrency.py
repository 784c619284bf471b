"""Writes of several runs at the same time."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.db.group_commit import StoreCall
from agno_nb.errors import InvalidInputError, SessionOwnershipError, StoreError
from agno_nb.types import Message, RunOutput, RunStatus, Session
from agno_nb_store_contract.conversation import begin, end, say

HISTORY = ContextQuery(num_history_runs=3)


def opening(db: Db, text: str, **fields: Any) -> tuple[RunOutput, StoreCall]:
    """Return a new run, and the call that opens it."""
    run = RunOutput(**{"session_id": f"of {text}", "input": text, **fields})
    user = Message(role="user", content=text, run_id=run.run_id)
    run.messages = [user]
    session = Session(session_id=run.session_id)
    return run, StoreCall(db.open_run, (run, [user]), {"session": session, "query": HISTORY})


def ending(db: Db, run: RunOutput, answer: str, *before: Message, **options: Any) -> StoreCall:
    """Return the call that ends a run with an answer, and the messages `before` it."""
    messages = [*before, Message(role="assistant", content=answer)]
    for message in messages:
        message.run_id = run.run_id
    run.messages += messages
    run.status, run.content, run.ended_at = RunStatus.COMPLETED, answer, run.created_at + 1.0
    return StoreCall(db.end_run, (run, messages), options)


class ConcurrencyContract:
    """:meth:`Db.commit_together`, and acknowledged writes of several threads."""

    def test_runs_that_are_opened_and_ended_together_are_stored_like_others(self, db: Db) -> None:
        say(db, "earlier", "before", session_id="of b")
        runs, calls = zip(*(opening(db, text) for text in "abc"), strict=True)
        opened = [outcome.value for outcome in db.commit_together(calls)]
        assert [run.run_index for run in runs] == [0, 1, 0]
        assert [texts(each.history) for each in opened] == [[], ["earlier", "before"], []]
        outcomes = db.commit_together([ending(db, run, f"answer to {run.input}") for run in runs])
        assert [outcome.error for outcome in outcomes] == [None, None, None]
        for run in runs:
            stored = db.get_run(run.run_id)
            assert stored is not None
            assert (stored.status, stored.content) == (RunStatus.COMPLETED, f"answer to {run.input}")
            assert texts(stored.messages) == [run.input, f"answer to {run.input}"]

    def test_the_next_turns_of_several_sessions_see_the_ones_before(self, db: Db) -> None:
        for turn in range(4):
            runs, calls = zip(*(opening(db, f"{name}{turn}", session_id=name) for name in "abc"), strict=True)
            opened = [outcome.value for outcome in db.commit_together(calls)]
            assert [run.run_index for run in runs] == [turn] * 3
            for name, each in zip("abc", opened, strict=True):
                last = range(max(0, turn - 3), turn)
                assert texts(each.history) == [text for n in last for text in (f"{name}{n}", f"to {name}{n}")]
            db.commit_together([ending(db, run, f"to {run.input}") for run in runs])

    def test_a_rejected_call_leaves_the_others_alone(self, db: Db) -> None:
        say(db, "mine", session_id="private", user_id="alice")
        allowed, other = opening(db, "a"), opening(db, "b")
        _, rejected = opening(db, "let me in", session_id="private", user_id="bob")
        outcomes = db.commit_together([allowed[1], rejected, other[1]])
        assert [type(outcome.error) for outcome in outcomes] == [type(None), SessionOwnershipError, type(None)]
        assert [db.get_run(run.run_id) is not None for run in (allowed[0], other[0])] == [True, True]
        assert [run.input for run in db.get_runs("private")] == ["mine"]

    def test_a_call_that_cannot_be_stored_fails_alone(self, db: Db) -> None:
        first, one = opening(db, "a")
        _, again = opening(db, "b", run_id=first.run_id)
        last, other = opening(db, "c")
        outcomes = db.commit_together([one, again, other])
        assert [outcome.error is None for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1].error, StoreError)
        assert (first.run_index, last.run_index) == (0, 0)
        assert [db.get_runs(name)[0].input for name in ("of a", "of c")] == ["a", "c"]
        assert [len(db.get_runs(name)) for name in ("of a", "of b", "of c")] == [1, 0, 1]

    def test_a_state_that_cannot_be_stored_fails_alone(self, db: Db) -> None:
        good, _ = begin(db, "a", session_id="s1")
        bad, _ = begin(db, "b", session_id="s2")
        ends = [
            ending(db, bad, "no", session_state={"x": {1, 2}}, base_state={}),
            ending(db, good, "yes", session_state={"x": 1}, base_state={}),
        ]
        outcomes = db.commit_together(ends)
        assert [type(outcome.error) for outcome in outcomes] == [InvalidInputError, type(None)]
        assert [db.get_runs(name)[0].status for name in ("s1", "s2")] == [RunStatus.COMPLETED, RunStatus.RUNNING]
        assert getattr(db.get_session("s1"), "session_state", None) == {"x": 1}

    def test_two_writes_of_one_run_keep_their_order(self, db: Db) -> None:
        run, _ = begin(db, "a")
        steps = [Message(role="assistant", content=text, run_id=run.run_id) for text in ("one", "two")]
        run.messages += steps
        calls = [StoreCall(db.add_messages, (run, [step])) for step in steps]
        assert [outcome.error for outcome in db.commit_together([*calls, ending(db, run, "three")])] == [None] * 3
        assert texts(db.get_messages("s1")) == ["a", "one", "two", "three"]
        _, opened = begin(db, "b", query=HISTORY)
        assert texts(opened.history) == ["a", "one", "two", "three"]

    @pytest.fixture
    def same_store(self, db: Db) -> Db:
        """Another object of the same store, or the same one if the store is in the memory of the process."""
        try:
            return pickle.loads(pickle.dumps(db))  # type: ignore[no-any-return]
        except TypeError:
            return db

    def test_an_acknowledged_write_is_there_for_others_at_once(self, db: Db, same_store: Db) -> None:
        missing: list[str] = []
        start = threading.Barrier(8)

        def work(number: int) -> None:
            start.wait()
            for turn in range(3):
                run, open_it = opening(db, f"{number}.{turn}", session_id=f"s{number}")
                for call in (open_it, None):
                    (outcome,) = db.commit_together([call or ending(db, run, "done")])
                    assert outcome.error is None
                    stored = same_store.get_run(run.run_id)
                    if stored is None or stored.status != run.status:
                        missing.append(run.input)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert missing == []
        assert sorted(len(db.get_runs(f"s{number}")) for number in range(8)) == [3] * 8

    def test_a_session_that_was_just_generated_need_not_be_looked_up(self, db: Db) -> None:
        run = RunOutput(session_id="generated", input="a")
        user = Message(role="user", content="a", run_id=run.run_id)
        opened = db.open_run(run, [user], session=Session(session_id="generated"), is_new_session=True)
        run.messages = [*opened.history, user]
        end(db, run, Message(role="assistant", content="b"))
        assert (run.run_index, opened.session.session_id) == (0, "generated")
        assert texts(db.get_messages("generated")) == ["a", "b"]


def texts(messages: Sequence[Message]) -> list[str | None]:
    return [message.content for message in messages]
