"""The next turn of a session starts with the content of the store, whether it was read or cached."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from agno_nb.db.base import ContextQuery, OpenedRun
from agno_nb.db.duckdb import DuckDb, shared_file
from agno_nb.db.duckdb.engine import Engine
from agno_nb.db.duckdb.shared_file import SharedFile
from agno_nb.db.history import load_messages, load_turns, select_history
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.session_cache import SessionCache
from agno_nb.db.sql_store import SqlDb
from agno_nb.types import Media, Message, RunEvent, RunOutput, RunStatus, Session, SessionSummary, new_id
from agno_nb_store_contract.conversation import answering, begin, calling, end, say
from tests.db.processes import told_by
from tests.db.test_rows import messages

THREE = ContextQuery(num_history_runs=3)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[DuckDb]:
    store = DuckDb(tmp_path / "store.duckdb")
    yield store
    store.close()


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first words of the statements that the store is given, as they come."""
    seen: list[str] = []
    execute = Engine.execute

    def watched(self: Engine, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        seen.append(sql.split()[0])
        return execute(self, sql, parameters)

    monkeypatch.setattr(Engine, "execute", watched)
    return seen


def as_read(db: SqlDb, session_id: str, query: ContextQuery) -> OpenedRun:
    """Return the expected context of a new turn, from the tables."""
    with db._transaction(write=False) as connection:
        _, turns, num_superseded = load_turns(connection, session_id, None, query)
        said = select_history(load_messages(connection, session_id, turns), turns, query)
    session = db.get_session(session_id)
    assert session is not None
    return OpenedRun(session=session, history=said, turns=turns, num_superseded=num_superseded)


def begin_as_read(
    db: SqlDb, *, query: ContextQuery = THREE, session_id: str = "s1", user_id: str | None = None
) -> RunOutput:
    """Start a turn, and compare its context with the store."""
    expected, next_index = as_read(db, session_id, query), len(db.get_runs(session_id))
    run, opened = begin(db, session_id=session_id, query=query, user_id=user_id)
    assert opened == expected
    assert run.run_index is not None
    assert run.run_index <= next_index
    return run


def test_a_turn_after_others_of_this_process_reads_nothing(db: DuckDb, executed: list[str]) -> None:
    say(db, "first", [calling("f"), answering(), Message(role="assistant", content="42")], query=THREE)
    say(db, "second", query=THREE)
    executed.clear()
    run, opened = begin(db, "third", query=THREE)
    assert executed == ["WITH"]
    assert [(m.role, m.content) for m in opened.history] == [
        ("user", "first"), ("assistant", None), ("tool", "42"), ("assistant", "42"),
        ("user", "second"), ("assistant", "answer to second"),
    ]  # fmt: skip
    assert [call.result for call in opened.history[1].tool_calls] == ["42"]
    assert run.run_index == 2


def test_a_turn_that_is_known_is_two_statements(db: DuckDb, executed: list[str]) -> None:
    say(db, "first", query=THREE)
    executed.clear()
    say(db, "second", query=THREE)
    assert executed == ["WITH", "WITH"]
    executed.clear()
    db._cache = SessionCache()
    say(db, "third", query=THREE)
    assert executed == ["BEGIN", "SELECT", "SELECT", "SELECT", "WITH", "COMMIT", "WITH"]
    assert [message.content for message in db.get_messages("s1")] == [
        text for turn in ("first", "second", "third") for text in (turn, f"answer to {turn}")
    ]


def test_it_reads_nothing_either_when_the_file_was_let_go_of_in_between(db: DuckDb, executed: list[str]) -> None:
    say(db, "first", query=THREE)
    SharedFile.at(db.db_file).let_go()
    db.messages_df()
    executed.clear()
    begin(db, "second", query=THREE)
    assert executed == ["WITH"]


def test_messages_stored_while_the_turn_goes_on_are_known(db: DuckDb, executed: list[str]) -> None:
    run, _ = begin(db, "first", query=THREE)
    asked, answer = calling("f"), answering()
    run.messages += [asked, answer]
    db.add_messages(run, [asked, answer])
    end(db, run, Message(role="assistant", content="done"))
    expected = as_read(db, "s1", THREE)
    executed.clear()
    _, opened = begin(db, "second", query=THREE)
    assert executed == ["WITH"]
    assert opened == expected


def begin_only(db: SqlDb) -> None:
    begin(db, "cut off", query=THREE)


def with_state(db: SqlDb) -> None:
    run, _ = begin(db, "one more", query=THREE)
    end(db, run, Message(role="assistant", content="counted"), state={"n": 1, "text": "\0"})


def with_picture(db: SqlDb) -> None:
    run = RunOutput(session_id="s1", input="see")
    seen = Message(role="user", content="see", run_id=run.run_id, media=[Media(kind="image", content=b"png")])
    run.messages = [seen]
    db.open_run(run, [seen], session=Session(session_id="s1"), query=THREE)
    end(db, run, Message(role="assistant", content="a picture"))


def tried_again(db: SqlDb) -> None:
    say(db, "instead", run_index=0, query=THREE)


def as_a_member(db: SqlDb) -> None:
    turn, _ = begin(db, "to a team", query=THREE)
    say(db, "task", nested=True, root_run_id=turn.run_id, parent_run_id=turn.run_id, query=THREE)
    end(db, turn, Message(role="assistant", content="done"))


def noted(db: SqlDb) -> None:
    run, _ = begin(db, "flaky", query=THREE)
    db.add_event(run, RunEvent.model_request_retried, "again")
    end(db, run, Message(role="assistant", content="at last"))


def begun_anew(db: SqlDb) -> None:
    db.delete_session("s1")
    say(db, "a new one")


def by_another_object(db: SqlDb) -> None:
    if isinstance(db, DuckDb):
        say(DuckDb(db.db_file), "by another object")


def by_another_process(db: SqlDb) -> None:
    if isinstance(db, DuckDb):
        told_by(
            "import sys; from agno_nb.db.duckdb import DuckDb; from agno_nb_store_contract.conversation import say; "
            "say(DuckDb(sys.argv[1]), 'by another process')",
            db.db_file,
        )


MEANWHILE: dict[str, Callable[[SqlDb], object]] = {
    "nothing": lambda db: None,
    "a turn": lambda db: say(db, "one more", query=THREE),
    "a turn without history": lambda db: say(db, "one more"),
    "a turn that changes the state": with_state,
    "a turn that fails": lambda db: say(db, "no", [], status=RunStatus.ERROR, query=THREE),
    "a turn that is paused": lambda db: say(db, "may I?", [calling("f")], status=RunStatus.PAUSED, query=THREE),
    "a turn that does not end": begin_only,
    "a turn with a picture": with_picture,
    "a turn with an event": noted,
    "a new attempt": tried_again,
    "a nested run": as_a_member,
    "another session": lambda db: say(db, "elsewhere", session_id="s2", query=THREE),
    "a name": lambda db: db.rename_session("s1", session_name="named"),
    "a state": lambda db: db.update_session_state("s1", {"n": 2}),
    "a summary": lambda db: db.add_summary(
        SessionSummary(summary="short", session_id="s1", from_run_index=0, to_run_index=0)
    ),
    "a session of the same id": begun_anew,
    "a turn by another object": by_another_object,
    "a turn by another process": by_another_process,
}


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_turn_begins_with_what_is_stored_whatever_happened_meanwhile(db: DuckDb, meanwhile: str) -> None:
    for text in ("first", "second", "third", "fourth"):
        say(db, text, query=THREE)
    MEANWHILE[meanwhile](db)
    run = begin_as_read(db)
    end(db, run, Message(role="assistant", content="fifth"))
    end(db, begin_as_read(db), Message(role="assistant", content="sixth"))


@pytest.mark.parametrize(
    "query",
    [
        ContextQuery(),
        ContextQuery(num_history_runs=1),
        ContextQuery(num_history_runs=100),
        ContextQuery(num_history_messages=3),
        ContextQuery(num_history_messages=50),
    ],
)
@pytest.mark.parametrize("num_turns", [1, 2, 6])
def test_any_piece_of_history_can_be_asked_for(db: DuckDb, query: ContextQuery, num_turns: int) -> None:
    for number in range(num_turns):
        say(db, f"turn {number}", query=THREE)
    end(db, begin_as_read(db, query=query), Message(role="assistant", content="!"))
    begin_as_read(db, query=query)


def test_a_user_who_claims_a_session_is_its_owner_in_the_next_turn(db: DuckDb) -> None:
    say(db, "anonymous", query=THREE)
    say(db, "claimed", user_id="ann", query=THREE)
    run = begin_as_read(db, user_id="ann")
    session = db.get_session("s1")
    assert session is not None
    assert (run.user_id, session.user_id) == ("ann", "ann")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=messages)
def test_any_message_is_known_as_it_is_read(said: Message) -> None:
    db, session_id = InMemoryDb(), new_id()
    run, _ = begin(db, session_id=session_id, query=THREE)
    end(db, run, said)
    begin_as_read(db, session_id=session_id)


def left_and_found(db: DuckDb, meanwhile: Callable[[], object]) -> tuple[int, int]:
    """Return the data versions that this process leaves the store at and finds it at, the next time that it is used."""
    file = SharedFile.at(db.db_file)
    with file.use(write=True, timeout_s=5) as engine:
        left = engine.data_version
    file.let_go()
    meanwhile()
    with file.use(write=False, timeout_s=5) as engine:
        return left, engine.data_version


def test_a_store_that_nobody_had_meanwhile_is_found_as_it_was_left(db: DuckDb) -> None:
    db.create()
    left, found = left_and_found(db, lambda: db.runs_df())
    assert found == left


def test_a_store_that_one_process_has_for_itself_is_handed_over_all_the_same(
    db: DuckDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"ALONE_AFTER_S": 0.0, "LINGER_ALONE_S": 3600.0, "LONGEST_HOLD_S": 3600.0}.items():
        monkeypatch.setattr(shared_file, name, seconds)
    say(db, "first")
    assert SharedFile.at(db.db_file)._attached is not None
    by_another_process(db)
    assert [run.input for run in db.get_runs("s1")] == ["first", "by another process"]


def touched(db: DuckDb) -> None:
    stat = db.db_file.stat()
    os.utime(db.db_file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def locked_by_another(db: DuckDb) -> None:
    # Another process that had the store says so in the file, whether or not it changed anything.
    lock = Path(f"{db.db_file}.lock")
    lock.write_bytes(lock.read_bytes().replace(b"process", b"Process"))


@pytest.mark.parametrize("meanwhile", [touched, locked_by_another, lambda db: Path(f"{db.db_file}.lock").unlink()])
def test_a_store_that_somebody_may_have_had_is_found_at_another_version(
    db: DuckDb, meanwhile: Callable[[DuckDb], None]
) -> None:
    db.create()
    left, found = left_and_found(db, lambda: meanwhile(db))
    assert found != left
