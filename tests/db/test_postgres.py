"""Postgres stores with servers, users, processes and threads."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agno_nb.agent import Agent
from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.postgres import AsyncPostgresDb, PostgresDb, PostgresUrl
from agno_nb.db.postgres_driver import PostgresDriver
from agno_nb.errors import (
    InvalidInputError,
    NotAStoreError,
    SessionOwnershipError,
    StoreError,
    StoreLocked,
    StoreVersionError,
)
from agno_nb.redact import redact
from agno_nb.testing import FunctionModel
from agno_nb.types import Message
from agno_nb_store_contract.conversation import begin, end, say
from tests.db.test_migrations import BROKEN, SECOND
from tests.postgres_server import PASSWORD, USER, Postgres

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def db(postgres_url: str) -> Iterator[PostgresDb]:
    store = PostgresDb(postgres_url)
    yield store
    store.close()


@pytest.fixture
def sql(postgres_url: str, postgres_server: Postgres) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Another client's connection to the same database."""
    with postgres_server.connect(postgres_url.rpartition("/")[2]) as connection:
        yield connection


def everything_told(error: BaseException) -> str:
    """Return the most verbose traceback, with local variables and chained errors.

    But for the variables of the test itself, which knows the password.
    """
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize(
    ("url", "understood"),
    [
        ("postgresql+psycopg://ai:ai@localhost:5532/ai", "postgresql://ai:ai@localhost:5532/ai"),
        ("postgresql+asyncpg://u@h/db", "postgresql://u@h/db"),
        ("postgres://u:p%40ss@h/db?sslmode=require", "postgresql://u:p%40ss@h/db?sslmode=require"),
        ("postgresql://u:p@ss/w?r#d@h:1/db", "postgresql://u:p%40ss%2Fw%3Fr%23d@h:1/db"),
        ("postgresql://u:100%@h/db", "postgresql://u:100%25@h/db"),
        ("postgresql://h1:1,h2:2/db?target_session_attrs=any", "postgresql://h1:1,h2:2/db?target_session_attrs=any"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgresql://[::1]:5432/my%20db", "postgresql://[::1]:5432/my%20db"),
        ("postgresql://:pass@h/db", "postgresql://:pass@h/db"),
        ("postgresql://h/db?application_name=a@b", "postgresql://h/db?application_name=a@b"),
    ],
)
def test_the_urls_that_people_have_are_understood(url: str, understood: str) -> None:
    parsed = PostgresUrl.parse(url)
    assert parsed.with_password() == understood
    psycopg.conninfo.conninfo_to_dict(parsed.with_password())


@pytest.mark.parametrize(
    "url", ["sqlite:///x.db", "host=localhost password=top-secret-1", "mysql://u:top-secret-1@h/d", ""]
)
def test_another_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInputError, match="db_url is not the URL of a Postgres database") as refused:
        PostgresDb(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("db_schema", ["", "x" * 64, "a\0b"])
def test_a_schema_that_postgres_cannot_have_is_refused(db_schema: str) -> None:
    with pytest.raises(InvalidInputError, match="db_schema is"):
        PostgresDb("postgresql://h/d", db_schema=db_schema)


def test_a_password_is_nowhere_to_be_seen(postgres_server: Postgres) -> None:
    url = postgres_server.url(password="wrong/horse@battery")
    db = PostgresDb(url)
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        db.create()
    told = everything_told(refused.value) + repr(db) + db.identity + repr(db.__dict__) + repr(AsyncPostgresDb(url))
    for form in ("wrong/horse@battery", "wrong%2Fhorse%40battery", "horse"):
        assert form not in told
    assert redact("it is wrong/horse@battery, or wrong%2Fhorse%40battery") == "it is [redacted], or [redacted]"
    assert db.identity == f"postgresql://127.0.0.1:{postgres_server.port}/postgres, schema 'agno_nb'"


def test_the_password_of_the_environment_is_nowhere_to_be_seen_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "battery/staple-4242")
    db = PostgresDb("postgresql://ada@h/d")
    monkeypatch.delenv("PGPASSWORD")
    assert redact("it is battery/staple-4242") == "it is [redacted]"
    assert "staple" not in repr(db.__dict__)


def test_what_cannot_be_reached_says_why(postgres_server: Postgres) -> None:
    with pytest.raises(StoreError, match=r'cannot be reached: .*database "nowhere" does not exist'):
        PostgresDb(postgres_server.url("nowhere")).get_sessions()
    # No server listens on port 1.
    with pytest.raises(StoreError, match=r"cannot be reached: .*make sure that the server is running") as refused:
        PostgresDb("postgresql://u:a-password-here@127.0.0.1:1/x").runs_df()
    assert "a-password-here" not in everything_told(refused.value)
    with pytest.raises(StoreError, match=r"cannot be reached: .*port"):
        PostgresDb("postgresql://u@127.0.0.1:none/x").create()


def test_reading_makes_nothing_and_each_schema_is_a_store(postgres_url: str, sql: psycopg.Connection[Any]) -> None:
    one, other = PostgresDb(postgres_url), PostgresDb(postgres_url, db_schema="Other, 'one\"")
    assert (one.get_sessions(), len(one.runs_df()), one.verify()) == ([], 0, [])
    assert sql.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'agno_nb'").fetchall() == []
    say(one, "hello")
    say(other, "there")
    assert [db.runs_df()["input"].tolist() for db in (one, other)] == [["hello"], ["there"]]
    assert one.identity != other.identity
    one.close()
    other.close()


def test_a_user_who_may_not_is_told(db: PostgresDb, postgres_server: Postgres, sql: psycopg.Connection[Any]) -> None:
    database = sql.info.dbname
    sql.execute("CREATE ROLE reader LOGIN PASSWORD 'a long password'")
    try:
        theirs = PostgresDb(postgres_server.url(database, user="reader", password="a long password"))
        with pytest.raises(StoreError, match="denies access to this user: permission denied for database"):
            theirs.create()
        say(db, "mine")
        for use in (theirs.get_sessions, theirs.runs_df, theirs.create):
            with pytest.raises(StoreError, match="denies access to this user: permission denied"):
                use()
        # A schema created for a user who may not create one.
        sql.execute("CREATE SCHEMA theirs AUTHORIZATION reader")
        prepared = PostgresDb(
            postgres_server.url(database, user="reader", password="a long password"), db_schema="theirs"
        )
        say(prepared, "theirs")
        assert prepared.runs_df()["input"].tolist() == ["theirs"]
        theirs.close()
        prepared.close()
    finally:
        sql.execute("DROP OWNED BY reader CASCADE; DROP ROLE reader")


def test_tables_of_others_are_not_touched(db: PostgresDb, sql: psycopg.Connection[Any]) -> None:
    sql.execute("CREATE SCHEMA agno_nb; CREATE TABLE agno_nb.raw_runs (cat TEXT)")
    with pytest.raises(NotAStoreError, match='"raw_runs" already exists'):
        db.create()
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'agno_nb'"
    assert sql.execute(tables).fetchall() == [("raw_runs",)]


def test_a_store_of_a_newer_version_is_refused(db: PostgresDb, sql: psycopg.Connection[Any]) -> None:
    db.create()
    sql.execute("INSERT INTO agno_nb.raw_schema VALUES (99, 0)")
    for use in (db.get_sessions, db.runs_df, lambda: begin(db)):
        with pytest.raises(StoreVersionError, match="has version 99"):
            use()
    assert sql.execute("SELECT count(*) FROM agno_nb.raw_runs").fetchall() == [(0,)]


def test_all_who_make_the_store_at_the_same_moment_get_it(postgres_url: str) -> None:
    stores = [PostgresDb(postgres_url, db_schema=f"s{n}") for n in range(5) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        made = [pool.submit(store.create) for store in stores]
    assert [future.exception() for future in made] == [None] * len(stores)
    for store in stores:
        store.close()


WRITER = """
import sys
from agno_nb.agent import Agent
from agno_nb.db.postgres import PostgresDb
from agno_nb.testing import ScriptedModel, call

def note(session_state, key: str) -> str:
    "Write something down."
    session_state[key] = True
    return "noted"

name = sys.argv[2]
replies = [reply for n in range(10) for reply in (call("note", key=f"{name} {n}"), "ok")]
agent = Agent(ScriptedModel(replies), db=PostgresDb(sys.argv[1]), session_id="shared", tools=[note])
for n in range(10):
    agent.run(f"{name} {n}")
"""


def test_processes_and_threads_that_write_at_once_lose_nothing(db: PostgresDb, postgres_url: str, python: str) -> None:
    writers = [subprocess.Popen([python, "-c", WRITER, postgres_url, name], cwd=ROOT) for name in ("a", "b")]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda n: say(db, f"d {n}", session_id="shared"), range(10)))
    assert [writer.wait(60) for writer in writers] == [0, 0]
    runs = db.get_runs("shared")
    assert sorted(run.run_index for run in runs if run.run_index is not None) == list(range(30))
    assert {run.input for run in runs} == {f"{name} {n}" for name in "abd" for n in range(10)}
    assert {run.run_id for run in said} <= {run.run_id for run in runs}
    session = db.get_session("shared")
    assert session is not None
    assert session.session_state == {f"{name} {n}": True for name in "ab" for n in range(10)}
    assert db.verify() == []


def test_a_server_that_hangs_up_is_called_again(db: PostgresDb, sql: psycopg.Connection[Any]) -> None:
    say(db, "before")
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    assert sql.execute(f"SELECT pg_terminate_backend(pid) {others}").rowcount == 1
    say(db, "after")
    assert db.runs_df()["input"].tolist() == ["before", "after"]
    run, _ = begin(db, "cut off")

    def cut_off() -> None:
        with db._transaction(write=True) as connection:
            connection.execute("DELETE FROM raw_runs")
            sql.execute(f"SELECT pg_terminate_backend(pid) {others}")
            connection.execute("DELETE FROM raw_messages")

    with pytest.raises(StoreError, match="failed, and the current write is not stored"):
        cut_off()
    end(db, run, Message(role="assistant", content="still here"))
    assert [run.content for run in db.get_runs("s1")][-1] == "still here"


def test_a_session_that_is_held_too_long_is_locked(postgres_url: str, sql: psycopg.Connection[Any]) -> None:
    db, hasty = PostgresDb(postgres_url), PostgresDb(postgres_url, lock_timeout_s=0.3)
    say(db, "x")
    with sql.transaction():
        sql.execute("SELECT 1 FROM agno_nb.raw_sessions FOR UPDATE")
        with pytest.raises(StoreLocked, match=r"timed out after 0.3 s waiting for a session in"):
            say(hasty, "y")
        # Other sessions are not concerned, and reading never waits.
        say(db, "z", session_id="s2")
        assert len(db.runs_df()) == 2
    say(db, "y")
    db.close()
    hasty.close()


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def becomes_true(connection: psycopg.Connection[Any], condition: str) -> bool:
    """Ask the server again and again, for a minute at most."""
    limit = time.monotonic() + 60
    while connection.execute(f"SELECT {condition}").fetchall() != [(True,)]:
        if time.monotonic() > limit:
            return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="the system does not interrupt a process that waits")
@pytest.mark.parametrize("use", [lambda db: say(db, "x"), lambda db: db.runs_df()], ids=["writing", "reading"])
def test_an_interrupt_stops_a_statement(
    db: PostgresDb, sql: psycopg.Connection[Any], postgres_server: Postgres, use: Callable[[Db], object]
) -> None:
    say(db, "x")
    with postgres_server.connect() as watching, ThreadPoolExecutor(1) as pool, sql.transaction():
        sql.execute("LOCK TABLE agno_nb.raw_runs IN ACCESS EXCLUSIVE MODE")

        def interrupt_when_it_waits() -> None:
            assert becomes_true(watching, f"({WAITING}) = 1")
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = pool.submit(interrupt_when_it_waits)
        with pytest.raises(KeyboardInterrupt):
            use(db)
        interrupting.result()
    assert sql.execute(WAITING).fetchall() == [(0,)]
    say(db, "y")
    assert db.runs_df()["input"].tolist() == ["x", "y"]


def test_few_connections_are_kept(db: PostgresDb, sql: psycopg.Connection[Any]) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: say(db, "x", session_id=f"s{n}"), range(64)))
    kept = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'agno_nb'"
    # The server takes a moment to end the process of a connection that was closed.
    assert becomes_true(sql, f"({kept}) <= 4")
    db.close()


FORKER = """
import os, sys
from agno_nb.db.postgres import PostgresDb
from agno_nb_store_contract.conversation import say
db = PostgresDb(sys.argv[1])
say(db, "parent")
child = os.fork()
say(db, "child" if child == 0 else "parent again")
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    say(db, "parent at last")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_connections_of_its_own(db: PostgresDb, postgres_url: str, python: str) -> None:
    # A process that ends without closing its store ends at once, and silently.
    command = [python, "-c", FORKER, postgres_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")
    said = {run.input for run in db.get_runs("s1")}
    assert said == {"parent", "child", "parent again", "parent at last"}


def test_a_killed_process_leaves_what_was_committed(db: PostgresDb, postgres_url: str, python: str) -> None:
    code = """
import os, signal, sys
from agno_nb.db.postgres import PostgresDb
from agno_nb_store_contract.conversation import begin
begin(PostgresDb(sys.argv[1]), "before the end")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([python, "-c", code, postgres_url], cwd=ROOT, check=False)
    frame = db.runs_df()
    assert frame[["input", "status", "interrupted"]].values.tolist() == [["before the end", "RUNNING", True]]
    assert say(db, "next").run_index == 1


async def test_an_awaited_store_leaves_the_loop_free(postgres_url: str, sql: psycopg.Connection[Any]) -> None:
    db = AsyncPostgresDb(postgres_url)
    agent = Agent(FunctionModel(lambda messages, tools: "ok"), db=db, session_id="s1", user_id="ann")
    await agent.arun("hello")
    sql.execute("BEGIN")
    sql.execute("SELECT 1 FROM agno_nb.raw_sessions FOR UPDATE")
    renaming = asyncio.create_task(db.rename_session("s1", session_name="Tea"))
    done, _ = await asyncio.wait({renaming}, timeout=0.2)
    assert done == set()
    # Another task on this loop ends the wait of the store.
    sql.execute("COMMIT")
    renamed = await renaming
    assert renamed is not None
    assert (await db.sessions_df())["session_name"].tolist() == ["Tea"]
    with pytest.raises(SessionOwnershipError):
        await agent.arun("mine?", user_id="bob")
    await db.close()


def test_text_that_sql_would_understand_is_text(db: PostgresDb) -> None:
    text = '\'; DROP TABLE raw_runs; -- ? $1 %s %(x)s \\ "quoted"'
    say(db, text, session_id=text, user_id=text)
    assert db.runs_df(session_id=text)["input"].tolist() == [text]
    assert [session.session_id for session in db.get_sessions(user_id=text)] == [text]
    say(db, "nul \0 and \ud800 surrogate")
    assert db.get_runs("s1")[0].input == "nul \ufffd and \ufffd surrogate"


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "agno_nb.db.postgres_driver", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ImportError, match=r"pip install 'agno_nb\[postgres\]'"):
        PostgresDb("postgresql://h/d")


def test_the_password_of_the_tests_is_one_that_urls_must_escape(postgres_url: str) -> None:
    assert (USER, PASSWORD) == ("tests", "correct/horse@battery")
    PostgresDb(postgres_url.replace("correct%2Fhorse%40battery", PASSWORD)).create()


def test_an_older_store_is_migrated_whole_or_not_at_all(db: PostgresDb, postgres_url: str) -> None:
    say(db, "x")

    def newest(migrations: Mapping[int, str]) -> int:
        driver = PostgresDriver(PostgresUrl.parse(postgres_url), "agno_nb", 1.0, migrations=migrations)
        try:
            with driver.transaction(write=False) as connection:
                ((version,),) = connection.execute("SELECT MAX(version) FROM raw_schema")
                assert version == schema.VERSION or connection.execute("SELECT mood, grade FROM raw_moods") == [
                    ("COMPLETED", 1)
                ]
                return int(version)
        finally:
            driver.close()

    with pytest.raises(StoreError, match='"penguins" does not exist'):
        newest(BROKEN)
    assert newest(schema.migrations()) == schema.VERSION
    assert newest(SECOND) == newest(SECOND) == schema.VERSION + 1
    with pytest.raises(StoreVersionError, match=f"has version {schema.VERSION + 1}"):
        db.get_sessions()
