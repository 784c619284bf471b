"""Isolated queries: limits of time and memory, and the life of the worker processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd
import psutil
import pyarrow as pa
import pytest

from agno_nb import Agent, InMemoryDb, SqlTools, collect
from agno_nb.db import isolated
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError, QueryError, QueryInterrupted
from agno_nb.testing import ScriptedModel, call
from tests.test_frames import fill

ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range + b.range < 0"


def pids() -> list[int]:
    """The processes of the workers of this process."""
    return sorted(worker.process.pid for worker in isolated._workers(os.getpid()).all)


@pytest.fixture
def no_workers() -> Iterator[None]:
    isolated._workers(os.getpid()).close()
    isolated._workers.cache_clear()
    yield
    isolated._workers(os.getpid()).close()
    isolated._workers.cache_clear()


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


@pytest.fixture
def while_it_runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Do something, once, while an isolated query runs."""

    def arrange(do: Callable[[], object]) -> None:
        check, start = isolated._Limits.check, isolated._Limits.start
        left: list[Callable[[], object]] = []

        def start_and_wait(self: Any) -> None:
            # The limits are also checked before the query starts.
            left.append(do)
            start(self)

        def check_and_do(self: Any) -> None:
            if left:
                monkeypatch.setattr(isolated._Limits, "start", start)
                left.pop()()
            check(self)

        monkeypatch.setattr(isolated._Limits, "start", start_and_wait)
        monkeypatch.setattr(isolated._Limits, "check", check_and_do)

    return arrange


def nested_ctes(depth: int) -> str:
    sql = "SELECT 1 AS a"
    for n in range(depth):
        sql = f"WITH c{n} AS ({sql}) SELECT * FROM c{n}"
    return sql


BOMBS = {
    "repeat": "SELECT length(repeat('a', 4000000000))",
    "repeat in a struct": "SELECT {'a': repeat('a', 2000000000), 'b': [repeat('b', 2000000000)]} AS s",
    "lpad": "SELECT length(lpad('a', 2000000000, 'b'))",
    "printf": "SELECT length(printf('%2000000000d', 1))",
    "bits": "SELECT length(bitstring('1', 2000000000))",
    "a range as a list": "SELECT len(range(4000000000))",
    "lists of ranges": "SELECT list_transform(range(100000), lambda x: range(100000)) AS l",
    "lists of lists of lists": "SELECT [[[n for n in range(1000)] for m in range(1000)] for k in range(10000)] AS a",
    "unnest": "SELECT max(x) FROM (SELECT unnest(range(1000000000)) AS x)",
    "generate_series": "SELECT list(n) FROM generate_series(1, 100000000000) t(n)",
    "cross join": ENDLESS,
    "hash join": "SELECT count(*) FROM range(100000000) a(n) JOIN range(100000000) b(n) ON a.n % 7 = b.n % 7",
    "recursion": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r WHERE n < 0",
    "recursive doubling": "WITH RECURSIVE r(s) AS (SELECT 'a' UNION ALL SELECT s || s FROM r) SELECT max(s) FROM r",
    "joined CTEs": "WITH c0 AS (FROM range(3)), "
    + ", ".join(f"c{n} AS (SELECT a.* FROM c{n - 1} a, c{n - 1} b)" for n in range(1, 6))
    + " SELECT count(*) FROM c5",
    "nested CTEs": nested_ctes(950),
    "unions": " UNION ALL ".join(["SELECT 1 AS a"] * 5_000),
    "a long IN list": "SELECT count(*) FROM range(100000000) t(n) WHERE n::VARCHAR || 'a' IN "
    + f"({', '.join(f'{n} || chr(97)' for n in range(3_000))})",
    "regular expression": "SELECT count(*) FROM range(10000000) t(n) "
    "WHERE regexp_matches(repeat('a', 1000) || n, '(a|aa|aaa)*b(a*)*c')",
    "string_agg": "SELECT length(string_agg(repeat('a', 1000), ',')) FROM range(100000000)",
    "pivot": "PIVOT (SELECT n, n % 90000 AS k FROM range(10000000) t(n)) ON k USING sum(n)",
    "window": "SELECT max(x) FROM (SELECT sum(n) OVER (ORDER BY hash(n) ROWS BETWEEN 100000 PRECEDING AND 100000 "
    "FOLLOWING) AS x FROM range(100000000) t(n))",
    "order by": "SELECT n FROM range(1000000000) t(n) ORDER BY hash(n) LIMIT 1000000000",
    "distinct": "SELECT count(DISTINCT hash(n)) FROM range(10000000000) t(n)",
    "group by cube": "SELECT count(*) FROM (SELECT 1 FROM range(1000) t(n) GROUP BY CUBE "
    f"({', '.join(f'n + {k}' for k in range(12))}))",
    "json": "SELECT json_extract(to_json(range(100000000)), '$[1]')",
    "nested json": "SELECT json_valid(repeat('[', 500000000))",
    "sample": "SELECT count(*) FROM (FROM range(10000000000) USING SAMPLE reservoir(1000000000 ROWS))",
    "levenshtein": "SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))",
    "many columns": f"SELECT {', '.join(f'n AS c{k}' for k in range(3_000))} FROM range(99999) t(n)",
    "many Python objects": f"SELECT {{{', '.join(f'c{k}: 1::TINYINT' for k in range(100))}}} AS s FROM range(99999)",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_query_is_stopped_at_a_limit_of_time_or_memory(db: InMemoryDb, name: str) -> None:
    with pytest.raises(QueryError) as caught:
        db.query(BOMBS[name], isolated=True, timeout_s=0.3, max_memory="64MB")
    assert str(caught.value) in (
        "the query was stopped after 0.3 s; read less data, or pass a higher timeout_s=",
        "the query was stopped at 64 MB of memory; read less data, or pass a higher max_memory=",
    )


def test_the_limits_of_a_model_are_those_of_its_tools() -> None:
    limited = {"timeout_s": 0.3, "max_memory": 64_000_000}
    calls = [call("run_sql", query=BOMBS["repeat"]), call("run_sql", query="SELECT 1 AS n"), "ok"]
    run = Agent(ScriptedModel(calls), tools=[SqlTools(**limited)]).run("x")  # type: ignore[arg-type]
    assert [made.tool_call_error for made in run.tools] == [True, False]
    assert "the query was stopped" in (run.tools[0].result or "")
    assert run.tools[1].value["n"].tolist() == [1]


@pytest.mark.parametrize("size", ["", "much", -1, 0, "1XB", "1.2.3GB", True])
def test_a_memory_limit_is_a_size(db: InMemoryDb, size: Any) -> None:
    for ask in (lambda: db.query("SELECT 1", isolated=True, max_memory=size), lambda: SqlTools(max_memory=size)):
        with pytest.raises(InvalidInputError, match=r"max_memory is .*; pass a size such as '500MB'"):
            ask()


def test_a_memory_limit_needs_a_worker(db: InMemoryDb) -> None:
    with pytest.raises(InvalidInputError, match="max_memory is '1GB' without isolated=True; pass both, or neither"):
        db.query("SELECT 1", max_memory="1GB")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM test_all_types()", "SELECT DISTINCT large_enum, small_enum FROM test_all_types() ORDER BY ALL",
        "FROM runs ORDER BY run_id", "FROM df", "SELECT count(*) AS n FROM df", "SELECT kind FROM df", "SUMMARIZE df",
        "SELECT d.n FROM (SELECT *, 1 AS one FROM df) AS d", "PIVOT df ON kind USING sum(n)", "SHOW TABLES",
        "FROM query_table('d' || 'f')", "SELECT 1 WHERE false", "EXPLAIN SELECT 1",
    ],
)  # fmt: skip
def test_an_isolated_query_has_the_same_result(db: InMemoryDb, sql: str) -> None:
    fill(db)
    df = pd.DataFrame({"n": [1, None, 3], "kind": pd.Categorical(["a", "b", "a"]), "x": ["p", None, "q"]})
    found = db.query(sql, isolated=True, df=df).arrow()
    expected = db.query(sql, df=df).arrow()
    # Not with ==, because NaN is not equal to itself.
    assert (found.schema, found.to_string()) == (expected.schema, expected.to_string())


def test_every_reader_has_isolated_queries(tmp_path: Path) -> None:
    db = DuckDb(tmp_path / "a.duckdb")
    fill(db)
    many = collect(tmp_path / "*.duckdb")
    sql = "SELECT source, count(*) AS n FROM runs GROUP BY ALL"
    assert many.query(sql, isolated=True).arrow() == many.query(sql).arrow()
    db.close()


def test_only_needed_columns_are_written_for_the_worker(db: InMemoryDb, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    write = isolated.write_tables

    def noting(path: Path, tables: list[pa.Table]) -> None:
        written.extend(table.column_names for table in tables if path.name == isolated.TABLES)
        write(path, tables)

    monkeypatch.setattr(isolated, "write_tables", noting)
    df = pd.DataFrame({"n": [1, 2], "x": ["p", "q"], "kind": pd.Categorical(["a", "b"])})
    assert db.query("SELECT n FROM (FROM df) WHERE n > 1", isolated=True, df=df).df()["n"].tolist() == [2]
    assert db.query("SELECT count(*) AS n FROM df", isolated=True, df=df).df()["n"].tolist() == [2]
    assert db.query("SELECT kind FROM df", isolated=True, df=df).df()["kind"].tolist() == ["a", "b"]
    assert written == [["n"], ["n"], ["kind"]]


def test_a_worker_is_started_once_and_kept(no_workers: None, db: InMemoryDb) -> None:
    assert pids() == []
    db.query("SELECT 1", isolated=True)
    (pid,) = pids()
    with pytest.raises(QueryError):
        db.query("FROM nowhere", isolated=True)
    db.query("SELECT 1", isolated=True)
    assert pids() == [pid]


def test_an_interrupt_stops_the_query_and_not_the_worker(
    db: InMemoryDb, while_it_runs: Callable[[Callable[[], object]], None]
) -> None:
    db.query("SELECT 1", isolated=True)
    before = pids()
    while_it_runs(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(QueryInterrupted, match="the query was interrupted"):
        db.query(ENDLESS, isolated=True, timeout_s=None)
    assert db.query("SELECT 1 AS n", isolated=True).df()["n"].tolist() == [1]
    assert pids() == before


def test_an_interrupt_ends_a_worker_that_does_not_stop(
    db: InMemoryDb, while_it_runs: Callable[[Callable[[], object]], None]
) -> None:
    db.query("SELECT 1", isolated=True)
    (before,) = pids()

    def suspend_and_interrupt() -> None:
        psutil.Process(before).suspend()
        signal.raise_signal(signal.SIGINT)

    while_it_runs(suspend_and_interrupt)
    with pytest.raises(QueryInterrupted):
        db.query(ENDLESS, isolated=True, timeout_s=None)
    assert db.query("SELECT 1 AS n", isolated=True).df()["n"].tolist() == [1]
    assert before not in pids()


def test_a_worker_that_dies_is_one_error(db: InMemoryDb, while_it_runs: Callable[[Callable[[], object]], None]) -> None:
    db.query("SELECT 1", isolated=True)
    (pid,) = pids()
    while_it_runs(psutil.Process(pid).kill)
    with pytest.raises(QueryError, match=r"the query ended the process that ran it, with status .*; simplify"):
        db.query(ENDLESS, isolated=True)
    assert db.query("SELECT 1 AS n", isolated=True).df()["n"].tolist() == [1]
    (pid,) = pids()
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process])
    assert db.query("SELECT 2 AS n", isolated=True).df()["n"].tolist() == [2]


def test_cancelling_a_run_stops_its_query(
    db: InMemoryDb, while_it_runs: Callable[[Callable[[], object]], None]
) -> None:
    running = Event()
    while_it_runs(running.set)
    agent = Agent(ScriptedModel([call("run_sql", query=ENDLESS), "ok"]), tools=[SqlTools(timeout_s=10_000)])

    async def cancel_it() -> None:
        task = asyncio.create_task(agent.arun("x"))
        await asyncio.to_thread(running.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_it())
    workers = isolated._workers(os.getpid())
    with workers._condition:
        assert workers._condition.wait_for(lambda: workers._num_busy == 0, timeout=60)


def test_queries_at_once_have_a_worker_each_up_to_a_maximum(no_workers: None, db: InMemoryDb) -> None:
    most: list[int] = []

    def ask(n: int) -> list[int]:
        found = (
            db.query(f"SELECT {n} AS n, max(hash(range)) AS h FROM range(3000000)", isolated=True).df()["n"].tolist()
        )
        most.append(len(pids()))
        return found

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(ask, range(10))) == [[n] for n in range(10)]
    assert max(most) <= isolated.MAX_WORKERS
    assert len(pids()) == 1


def test_a_waiting_query_can_be_stopped(db: InMemoryDb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "MAX_WORKERS", 0)
    monkeypatch.setattr(isolated._Limits, "check", lambda self: signal.raise_signal(signal.SIGINT))
    with pytest.raises(QueryInterrupted):
        db.query("SELECT 1", isolated=True)


def test_the_worker_has_no_secrets_and_a_session_of_its_own(
    no_workers: None, db: InMemoryDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    db.query("SELECT 1", isolated=True)
    (pid,) = pids()
    process = psutil.Process(pid)
    assert set(process.environ()) <= {*isolated._ENVIRONMENT, "LC_CTYPE"}
    assert "sk-secret" not in str(process.cmdline())
    if hasattr(os, "getsid"):
        assert os.getsid(pid) == pid


def test_files_in_the_working_directory_are_not_modules_of_the_worker(
    no_workers: None, db: InMemoryDb, working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "duckdb", "agno_nb"):
        (working_directory / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend("")
    assert db.query("SELECT 1 AS n", isolated=True).df()["n"].tolist() == [1]


def test_a_worker_that_does_not_start_is_an_error(
    no_workers: None, db: InMemoryDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(QueryError, match="the process for isolated queries did not start: ModuleNotFoundError"):
        db.query("SELECT 1", isolated=True)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(QueryError, match="/nowhere/python"):
        db.query("SELECT 1", isolated=True)
    assert pids() == []


SCRIPT = """
import os, sys, threading
from agno_nb import InMemoryDb, SqlTools
from agno_nb.db import isolated

def pid():
    (worker,) = isolated._workers(os.getpid()).all
    return worker.process.pid

query = InMemoryDb().query
query("SELECT 1", isolated=True)
print(pid(), flush=True)
"""


def start(code: str, folder: Path) -> subprocess.Popen[str]:
    """Run Python that has queried with a worker, whose process it prints, and whose folders are in `folder`."""
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT + textwrap.dedent(code)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def ended(pid: int) -> bool:
    """Whether a process ends within a minute."""
    try:
        process = psutil.Process(pid)
        return not psutil.wait_procs([process], timeout=60)[1] or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    "code",
    [
        "",
        "raise SystemExit(0)",
        f"threading.Thread(target=query, args=[{ENDLESS!r}], kwargs=dict(isolated=True), daemon=True).start()\n"
        "while not isolated._workers(os.getpid())._num_busy: pass",
    ],
    ids=["end", "exit", "running query"],
)
def test_an_exit_leaves_no_process_and_no_folder(tmp_path: Path, code: str) -> None:
    with start(code, tmp_path) as script:
        printed, _ = script.communicate(timeout=120)
    assert ended(int(printed))
    assert list(tmp_path.glob("agno_nb*")) == []


@pytest.mark.parametrize("sql", [ENDLESS, BOMBS["nested CTEs"]], ids=["executing", "planning"])
def test_a_worker_ends_with_a_killed_kernel(tmp_path: Path, sql: str) -> None:
    code = f"""
        check = isolated._Limits.check
        isolated._Limits.check = lambda self: (print("running", flush=True), check(self))
        query({sql!r}, isolated=True, timeout_s=None, max_memory="100GB")
    """
    with start(code, tmp_path) as script:
        assert script.stdout is not None
        pid = int(script.stdout.readline())
        assert script.stdout.readline() == "running\n"
        script.kill()
    assert ended(pid)
    assert list(tmp_path.glob("agno_nb*")) == []


def test_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    with start("print(isolated._PREFIX + isolated.current_process_id().replace(':', '+'))", tmp_path) as script:
        printed, _ = script.communicate(timeout=120)
    leftover, foreign = tmp_path / f"{printed.split()[1]}+abc", tmp_path / f"{isolated._PREFIX}notes"
    leftover.mkdir()
    (leftover / "tables.arrow").write_bytes(b"rows")
    foreign.mkdir()
    with start("", tmp_path) as script:
        script.communicate(timeout=120)
    assert list(tmp_path.glob("agno_nb*")) == [foreign]


def test_a_forked_process_has_workers_of_its_own(tmp_path: Path) -> None:
    code = """
        child = os.fork()
        if not child:
            SqlTools().run_sql("SELECT 1")
            print(pid(), flush=True)
            # Wait until the parent has been killed.
            sys.stdin.read()
            os._exit(0)
        query("SELECT 1", isolated=True)
        print(pid(), flush=True)
        os.waitpid(child, 0)
    """
    with start(code, tmp_path) as script:
        assert script.stdout is not None
        first, *others = (int(script.stdout.readline()) for _ in range(3))
        assert first in others
        (of_child,) = {*others} - {first}
        # The child, which is alive, does not keep the worker of its parent.
        script.kill()
        assert ended(first)
        assert psutil.pid_exists(of_child)
    assert ended(of_child)
