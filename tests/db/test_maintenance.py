"""Retention: deletion, backup, export and import, and reports of damage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agno_nb.db import schema
from agno_nb.db.archive import insert_rows
from agno_nb.db.base import AsyncDb, Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.encoding import Row
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.db.statements import Transaction
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import Media, Message, Metrics, RunEvent, RunStatus, SessionSummary, UserMemory
from agno_nb_store_contract.conversation import START, answering, begin, calling, end, say

PICTURE = bytes(range(256)) * 20


def fill(db: Db) -> str:
    """Alice's session with everything in it, its fork, and Bob's; return the id of the fork."""
    run, _ = begin(
        db, "what?", run_id="r1", user_id="alice", created_at=START, metadata={"k": [1, 2.5, None, "ü\u2028"]}
    )
    seen = Message(role="user", content="see", media=[Media(kind="image", content=PICTURE, mime_type="image/png")])
    end(db, run, calling("f"), answering(), seen, Message(role="assistant", content="42"), state={"n": {"deep": [1]}})
    say(db, "again", run_id="r2", user_id="alice", created_at=START + 5, status=RunStatus.ERROR)
    say(db, "again!", run_id="r3", user_id="alice", run_index=1, created_at=START + 9)
    db.add_summary(SessionSummary(session_id="s1", summary="Numbers.", topics=["n"], from_run_index=0, to_run_index=1))
    db.add_event(run, RunEvent.memory_update_completed, "Learnt.", details={"n": 1}, metrics=Metrics(input_tokens=3))
    db.upsert_user_memory(UserMemory(memory_id="m1", user_id="alice", memory="Likes 42.", topics=["a", "b"]))
    say(db, "bob's secret", run_id="r4", session_id="s2", user_id="bob", created_at=START + 20)
    fork = db.fork_session("s1")
    assert fork is not None
    return fork.session_id


def everything(db: Db) -> dict[str, list[dict[str, Any]]]:
    assert isinstance(db, SqlDb)
    tables: dict[str, pa.Table] = db._driver.tables(tuple(schema.tables()))
    return {name: sorted(table.to_pylist(), key=repr) for name, table in tables.items() if name not in ("raw_schema",)}


def of_session(db: Db, session_id: str) -> dict[str, list[dict[str, Any]]]:
    rows = everything(db)
    return {table: [row for row in rows[table] if row["session_id"] == session_id] for table in rows_of_sessions()}


def rows_of_sessions() -> tuple[str, ...]:
    return schema.tables_with("session_id")


def test_a_store_as_the_package_writes_it_is_sound(db: Db) -> None:
    assert db.verify() == []
    fill(db)
    begin(db, "still going", session_id="s3")
    assert db.verify() == []


def test_runs_of_a_fork_name_what_they_are_copies_of(db: Db) -> None:
    fork = fill(db)
    runs = db.runs_df()
    assert runs[runs["session_id"] == fork]["forked_from_run_id"].tolist() == ["r1", "r3"]
    assert runs[runs["forked_from_run_id"].isna()]["run_id"].tolist() == ["r1", "r2", "r3", "r4"]


@pytest.mark.parametrize("kind", [DuckDb, SqliteDb])
def test_what_is_deleted_is_not_in_the_file_after_a_vacuum(tmp_path: Path, kind: type[SqlDb]) -> None:
    path = tmp_path / "store"
    db = kind(path)
    fork = fill(db)
    say(db, "stays", session_id="s4", user_id="carol")
    kept = of_session(db, "s4")
    for session_id in ("s1", "s2", fork):
        assert db.delete_session(session_id)
    db.clear_memories()
    db.vacuum()
    db.close()
    content = b"".join(file.read_bytes() for file in tmp_path.glob("store*"))
    for gone in (b"bob's secret", b"Likes 42.", b"Numbers.", b"again!", PICTURE[:256], b"alice"):
        assert gone not in content
    assert b"carol" in content
    assert (of_session(db, "s4"), db.verify()) == (kept, [])
    assert {table: len(rows) for table, rows in everything(db).items() if rows} == {
        "raw_sessions": 1, "raw_runs": 1, "raw_messages": 2,
    }  # fmt: skip
    assert [file.name for file in tmp_path.iterdir() if "vacuum" in file.name] == []
    say(db, "next", session_id="s4", user_id="carol")
    assert len(db.runs_df()) == 2


def test_vacuum_of_an_empty_store_is_nothing_special(db: Db) -> None:
    db.vacuum()
    say(db, "x")
    assert len(db.runs_df()) == 1


def test_purging_deletes_the_sessions_that_nothing_happened_in(db: Db) -> None:
    fork = fill(db)
    middle = datetime.now(UTC)
    say(db, "new", session_id="s5", user_id="alice")
    assert db.purge_sessions("1999-01-01") == 0
    assert db.purge_sessions(middle, user_id="nobody") == 0
    assert db.purge_sessions(before=middle, user_id="alice") == 2
    assert {session.session_id for session in db.get_sessions()} == {"s2", "s5"}
    assert db.purge_sessions(middle) == 1
    assert {table for table, rows in everything(db).items() if rows} == {
        "raw_sessions", "raw_runs", "raw_messages", "raw_memories",
    }  # fmt: skip
    assert (db.get_session(fork), db.verify()) == (None, [])
    with pytest.raises(InvalidInputError, match="before is 5; pass a datetime"):
        db.purge_sessions(before=5)  # type: ignore[arg-type]


def test_a_backup_is_a_store_with_the_same_rows(db: Db, tmp_path: Path) -> None:
    fill(db)
    path = tmp_path / "copies" / "backup"
    db.backup(path)
    say(db, "later", session_id="later")
    copy: Db = SqliteDb(path) if isinstance(db, SqliteDb) else DuckDb(path)
    rows = everything(db)
    assert everything(copy) == {
        table: [row for row in rows[table] if row.get("session_id") != "later"] for table in rows
    }
    assert [file.name for file in path.parent.glob(".*")] == []
    say(copy, "goes on", session_id="later")
    with pytest.raises(InvalidInputError, match="already exists; pass a path that"):
        db.backup(path)


def test_a_backup_of_nothing_is_an_empty_store(db: Db, tmp_path: Path) -> None:
    db.backup(tmp_path / "backup")
    copy: Db = SqliteDb(tmp_path / "backup") if isinstance(db, SqliteDb) else DuckDb(tmp_path / "backup")
    assert copy.get_sessions() == []


OTHERS = {"duckdb": DuckDb, "sqlite": SqliteDb, "in_memory": lambda path: InMemoryDb()}


@pytest.mark.parametrize("other", OTHERS)
def test_a_session_goes_from_store_to_store_as_it_is(db: Db, tmp_path: Path, other: str) -> None:
    fork = fill(db)
    target: Db = OTHERS[other](tmp_path / "target")
    say(target, "was there", session_id="own")
    for session_id in ("s1", fork):
        db.export_session(session_id, tmp_path / "session.jsonl")
        assert target.import_session(tmp_path / "session.jsonl").session_id == session_id
        assert of_session(target, session_id) == of_session(db, session_id)
    assert everything(target)["raw_media"] == everything(db)["raw_media"]
    assert target.get_messages("s1")[3].media[0].content == PICTURE
    assert target.verify() == []
    say(target, "next", session_id="s1", user_id="alice")
    assert target.get_runs("s1")[-1].run_index == 2


@pytest.mark.parametrize("other", OTHERS)
def test_everything_goes_from_store_to_store_as_it_is(db: Db, tmp_path: Path, other: str) -> None:
    fill(db)
    db.export_parquet(tmp_path / "all")
    target: Db = OTHERS[other](tmp_path / "target")
    assert target.import_parquet(tmp_path / "all") == 3
    assert everything(target) == everything(db)
    assert target.verify() == []


def test_an_empty_store_goes_too(db: Db, tmp_path: Path) -> None:
    db.export_parquet(tmp_path / "all")
    assert InMemoryDb().import_parquet(tmp_path / "all") == 0
    assert pq.read_table(tmp_path / "all/raw_schema.parquet")["version"].to_pylist() == [schema.VERSION]


def test_the_contents_of_many_media_are_not_one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    insert = Transaction.insert

    def counted(connection: Transaction, table: str, rows: Sequence[Row], then: str = "") -> list[Row]:
        counts.append(len(rows))
        return insert(connection, table, rows, then)

    monkeypatch.setattr(Transaction, "insert", counted)
    contents = [str(number).encode() for number in range(501)]
    media: list[Row] = [{"media_id": sha256(each).hexdigest(), "content": each} for each in contents]
    with InMemoryDb()._transaction(write=True) as connection:
        insert_rows(connection, {"raw_media": media})
    assert counts == [500, 1]


def test_what_is_there_is_not_imported_over(tmp_path: Path) -> None:
    db = InMemoryDb()
    fill(db)
    db.export_session("s1", tmp_path / "s1.jsonl")
    db.export_parquet(tmp_path / "all")
    before = everything(db)
    with pytest.raises(InvalidInputError, match="session_id 's1' is already in this store; delete it"):
        db.import_session(tmp_path / "s1.jsonl")
    db.delete_sessions(["s1", "s2"])
    with pytest.raises(InvalidInputError, match="is already in this store"):
        db.import_parquet(tmp_path / "all")
    assert db.import_session(tmp_path / "s1.jsonl").user_id == "alice"
    assert of_session(db, "s1") == {
        table: [row for row in before[table] if row["session_id"] == "s1"] for table in rows_of_sessions()
    }
    with pytest.raises(InvalidInputError, match="is not empty; pass an empty folder"):
        db.export_parquet(tmp_path / "all")
    for missing in ({"session_id": "s9"}, {"session_id": "s1", "user_id": "bob"}):
        with pytest.raises(SessionNotFoundError, match="there is no such session"):
            db.export_session(path=tmp_path / "no.jsonl", **missing)
    assert not (tmp_path / "no.jsonl").exists()


def damage(line: int, **changes: Any) -> Any:
    def change(lines: list[str]) -> list[str]:
        record = json.loads(lines[line])
        record["row" if "row" in record else "schema"] = record.get("row", {}) | changes if "row" in record else 99
        return [*lines[:line], json.dumps(record), *lines[line:][1:]]

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda lines: ["penguins,3"], "is not a complete exported session"),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], "is not a complete exported session"),
        (lambda lines: lines[1:], "is not a complete exported session"),
        (lambda lines: lines[:1], "has 0 sessions"),
        (damage(0), "has version 99 of the store's schema"),
        (damage(1, penguins=3), "has columns of raw_sessions that are not in the schema: penguins"),
        (damage(-1, content="AAAA"), "the content of media .* has changed"),
        (damage(1, session_state="{"), "it contains invalid JSON"),
    ],
    ids=["another file", "cut off", "no head", "no rows", "newer", "another column", "another content", "bad JSON"],
)
def test_a_file_that_is_not_a_session_is_refused(tmp_path: Path, change: Any, told: str) -> None:
    source, target = InMemoryDb(), InMemoryDb()
    fill(source)
    path = tmp_path / "s1.jsonl"
    source.export_session("s1", path)
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    path.write_text("\n".join([*change(lines), ""]), encoding="utf-8")
    with pytest.raises(InvalidInputError, match=told):
        target.import_session(path)
    assert not any(everything(target).values())


def test_a_file_or_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot read"):
        InMemoryDb().import_session(tmp_path / "no.jsonl")
    with pytest.raises(InvalidInputError, match=r"cannot read raw_schema.parquet"):
        InMemoryDb().import_parquet(tmp_path)


def test_a_key_in_an_imported_session_does_not_reach_the_store(tmp_path: Path) -> None:
    source, target = InMemoryDb(), InMemoryDb()
    key = "sk-" + "not-a-real-key-0123456789abcdef"
    say(source, f"my key is {key}")
    source.export_session("s1", tmp_path / "s1.jsonl")
    text = (tmp_path / "s1.jsonl").read_text()
    assert key not in text
    (tmp_path / "s1.jsonl").write_text(text.replace("my key is", f"my key is {key}"))
    target.import_session(tmp_path / "s1.jsonl")
    assert key not in repr(everything(target))


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM raw_sessions WHERE session_id = 's2'", "rows of raw_runs whose session_id is not in raw_session"),
        ("DELETE FROM raw_runs WHERE run_id = 'r4'", "rows of raw_messages whose run_id is not in raw_runs: r4"),
        ("UPDATE raw_runs SET session_id = 's2' WHERE run_id = 'r2'", "rows of raw_messages whose run_id is not in"),
        ("UPDATE raw_runs SET attempt = 0 WHERE run_id = 'r3'", "turns with two runs of one attempt: s1 1 0"),
        ("UPDATE raw_messages SET message_index = 1 WHERE run_id = 'r1'", "runs with two messages at one place: r1"),
        ("DELETE FROM raw_tool_calls WHERE run_id = 'r1'", "messages that lack tool calls, or have too many"),
        ("DELETE FROM raw_tool_calls WHERE run_id = 'r1'", "results without a tool call"),
        ("DELETE FROM raw_message_media WHERE run_id = 'r1'", "messages that lack media, or have too many"),
        ("DELETE FROM raw_message_media", "contents of media without a message"),
        ("DELETE FROM raw_media", "media without their content"),
        ("UPDATE raw_media SET content = CAST('x' AS BLOB)", "contents of media that changed after they were stored"),
        ("UPDATE raw_summaries SET to_run_index = 9 WHERE session_id = 's1'", "summaries of turns that do not exist"),
        ("UPDATE raw_runs SET ended_at = NULL WHERE run_id = 'r4'", "runs that ended without a time: r4"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_told(sql: str, told: str) -> None:
    db = InMemoryDb()
    fill(db)
    with db._transaction(write=True) as connection:
        connection.execute(sql)
    assert any(problem.startswith(told) for problem in db.verify()), db.verify()


async def test_all_of_it_can_be_awaited(tmp_path: Path) -> None:
    db = AsyncDb(InMemoryDb())
    fill(db.sync)
    assert await db.verify() == []
    await db.export_session("s2", tmp_path / "s2.jsonl")
    await db.export_parquet(tmp_path / "all")
    await db.backup(tmp_path / "backup")
    assert await db.purge_sessions(datetime.now(UTC)) == 3
    await db.vacuum()
    assert (await db.import_session(tmp_path / "s2.jsonl")).user_id == "bob"
    other = AsyncDb(InMemoryDb())
    assert await other.import_parquet(tmp_path / "all") == 3
