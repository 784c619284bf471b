"""Calls in one transaction: which of them share it, and what they store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agno_nb.db.base import Db
from agno_nb.db.group_commit import Group, StoreCall
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sql_store import SqlDb
from agno_nb.types import Message, RunEvent, RunOutput, RunStatus, Session, new_id
from agno_nb_store_contract.concurrency import ending, opening
from agno_nb_store_contract.conversation import begin, say
from tests.db.conftest import BACKENDS
from tests.db.test_rows import json_dicts, messages, metrics, storable_text


@pytest.fixture(params=BACKENDS)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Db]:
    store = BACKENDS[request.param](tmp_path)
    yield store
    store.close()


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of calls in each common transaction."""
    sizes: list[int] = []
    outcomes = Group.outcomes

    def counted(self: Group, calls: Sequence[StoreCall]) -> Any:
        sizes.append(len(calls))
        return outcomes(self, calls)

    monkeypatch.setattr(Group, "outcomes", counted)
    return sizes


def test_writes_of_runs_share_a_transaction(db: Db, transactions: list[int]) -> None:
    runs, calls = zip(*(opening(db, text) for text in "abc"), strict=True)
    db.commit_together(calls)
    db.commit_together([ending(db, run, "answer") for run in runs])
    assert transactions == [3, 3]


def test_an_overridden_method_returns_after_its_own_commit(tmp_path: Path, transactions: list[int]) -> None:
    class Audited(InMemoryDb):
        def end_run(self, run: RunOutput, messages: Sequence[Message] = (), **options: Any) -> None:
            super().end_run(run, messages, **options)
            # Another transaction, which sees what the first one has stored.
            seen.append(sorted(self.runs_df(status="COMPLETED")["input"]))

    db, seen = Audited(), list[list[str]]()
    runs, calls = zip(*(opening(db, text) for text in "ab"), strict=True)
    assert [outcome.error for outcome in db.commit_together(calls)] == [None, None]
    outcomes = db.commit_together([ending(db, run, "answer") for run in runs])
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert (seen, transactions) == ([["a"], ["a", "b"]], [2])


def test_other_writes_between_those_of_runs_are_not_lost_from_sight(db: Db) -> None:
    say(db, "old", session_id="s1")
    run, _ = begin(db, "other", session_id="s2")
    _, opened = opening(db, "new", session_id="s1")
    calls = [StoreCall(db.delete_session, ("s1",)), ending(db, run, "answer"), opened]
    deleted, ended, again = db.commit_together(calls)
    assert (deleted.value, ended.error, again.error) == (True, None, None)
    assert again.value.history == []
    assert [stored.input for stored in db.get_runs("s1")] == ["new"]


def test_stores_whose_writers_overlap_make_one_call_after_the_other(
    monkeypatch: pytest.MonkeyPatch, transactions: list[int]
) -> None:
    db = InMemoryDb()
    # As on Postgres, where two common transactions could wait for each other's sessions.
    monkeypatch.setattr(type(db._driver), "groups_commits", False)
    _, calls = zip(*(opening(db, text) for text in "ab"), strict=True)
    assert [outcome.error for outcome in db.commit_together(calls)] == [None, None]
    assert transactions == []


def test_an_interrupt_is_raised_after_nothing_was_stored(db: Db) -> None:
    def interrupt(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    first, one = opening(db, "a")
    _, other = opening(db, "b")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("agno_nb.db.runs.current_process_id", interrupt)
        with pytest.raises(KeyboardInterrupt):
            db.commit_together([one, other])
    assert (first.run_index, db.get_runs("of a"), db.get_runs("of b")) == (None, [], [])
    assert [outcome.error for outcome in db.commit_together([one, other])] == [None, None]
    assert first.run_index == 0


TIMES = {"updated_at", "created_at"}


def tables_of(db: SqlDb) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of a store, except for the times of writing."""
    names = ("raw_sessions", "raw_runs", "raw_messages", "raw_tool_calls", "raw_events", "raw_variables")
    rows = {
        name: table.drop_columns([*TIMES & {*table.column_names}]).to_pylist()
        for name, table in db._read_tables(names).items()
    }
    return {name: sorted(found, key=repr) for name, found in rows.items()}


@st.composite
def turns(draw: st.DrawFn) -> tuple[RunOutput, list[Message], RunOutput, dict[str, Any] | None]:
    """Draw a run as it is opened, its messages, the run as it ends, and the session's state."""
    run = RunOutput(
        session_id=new_id(), input=draw(storable_text), user_id=draw(st.none() | st.just("ann")),
        metadata=draw(json_dicts), created_at=1.0,
    )  # fmt: skip
    said = draw(st.lists(messages, max_size=3))
    for message in said:
        message.run_id = run.run_id
    ended = deepcopy(run)
    ended.messages, ended.ended_at = said, 2.0
    ended.content, ended.reasoning_content = draw(st.none() | storable_text), draw(st.none() | storable_text)
    ended.model, ended.error = draw(st.none() | storable_text), draw(st.none() | storable_text)
    ended.metrics = draw(metrics)
    ended.status = draw(st.sampled_from([RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED]))
    return run, said, ended, draw(st.none() | json_dicts)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("kind", ["in_memory", "sqlite"])
@given(drawn=st.lists(turns(), min_size=2, max_size=6))
def test_rows_that_are_written_together_are_those_that_are_written_one_by_one(
    kind: str, drawn: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    stores = []
    for is_common in (True, False):
        db = BACKENDS[kind](tmp_path_factory.mktemp("store"))
        phases: list[list[StoreCall]] = [[], [], [], []]
        for run, said, ended, state in deepcopy(drawn):
            phases[0].append(StoreCall(db.open_run, (run, []), {"session": Session(session_id=run.session_id)}))
            phases[1].append(StoreCall(db.add_messages, (ended, said[:1])))
            phases[2].append(StoreCall(db.add_event, (ended, RunEvent.model_notice, "a notice")))
            ended.run_index = 0
            phases[3].append(StoreCall(db.end_run, (ended, said[1:]), {"session_state": state}))
        for calls in phases:
            outcomes = db.commit_together(calls) if is_common else [call.outcome() for call in calls]
            assert [outcome.error for outcome in outcomes] == [None] * len(calls)
        assert isinstance(db, SqlDb)
        stores.append(tables_of(db))
        db.close()
    assert stores[0] == stores[1]
