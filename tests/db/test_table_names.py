"""Names of tables: stores on one file or schema with different names, and the files that the names stand for."""

from __future__ import annotations

import inspect
import itertools
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from psycopg import sql

from agno_nb import Agent, AsyncDuckDb, AsyncSqliteDb, DuckDb, InMemoryDb, SqliteDb, collect
from agno_nb.db.base import ContextQuery, Db
from agno_nb.db.postgres import PostgresDb
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.table_names import UNUSED_TABLES
from agno_nb.errors import InvalidInputError, StoreError, UnknownArgumentError
from agno_nb.memory import MemoryManager, UserMemory
from agno_nb.testing import ScriptedModel
from agno_nb_store_contract.conversation import begin, say
from tests.postgres_server import Postgres

Make = Callable[..., SqlDb]
FILE_STORES = pytest.mark.parametrize("kind", [DuckDb, SqliteDb])
_numbers = itertools.count()


@pytest.fixture(params=["duckdb", "sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Make a store on one file or schema, with names of tables."""
    stores: list[SqlDb] = []
    name = f"named {next(_numbers)}"
    server: Postgres | None = request.getfixturevalue("postgres_server") if request.param == "postgres" else None

    def new(**names: str) -> SqlDb:
        if server is not None:
            store: SqlDb = PostgresDb(server.url(), db_schema=name, **names)  # type: ignore[arg-type]
        elif request.param == "duckdb":
            store = DuckDb(tmp_path / "data.duckdb", **names)  # type: ignore[arg-type]
        else:
            store = SqliteDb(tmp_path / "data.db", **names)  # type: ignore[arg-type]
        stores.append(store)
        return store

    yield new
    for store in stores:
        store.close()
    if server is not None:
        with server.connect() as connection:
            found = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)"
            for (schema,) in connection.execute(found, [name]).fetchall():
                connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def remember(db: Db, text: str) -> None:
    db.upsert_user_memory(UserMemory(memory=text, user_id="ada"))


def remembered(db: Db) -> list[str]:
    return [memory.memory for memory in db.get_user_memories("ada")]


def test_stores_with_different_session_tables_never_see_each_others_sessions(make: Make) -> None:
    names = [None, "selected", "Selected", "my table", "my.table", "x" * 200, "ä", "../up"]
    stores = [make() if name is None else make(session_table=name) for name in names]
    for number, store in enumerate(stores):
        say(store, f"to {number}")
    assert len({store.identity for store in stores}) == len(names)
    for number, store in enumerate(stores):
        assert store.runs_df()["input"].tolist() == [f"to {number}"]
        (run,) = store.get_runs("s1")
        assert run.input == f"to {number}"
    assert make(session_table="selected").runs_df()["input"].tolist() == ["to 1"]
    assert make(session_table="my.table").delete_session("s1")
    assert [len(store.get_sessions()) for store in stores] == [1, 1, 1, 1, 0, 1, 1, 1]


def test_the_names_that_agno_has_by_default_are_the_plain_store(make: Make) -> None:
    plain, named = make(), make(session_table="agno_sessions", memory_table="agno_memories", metrics_table="other")
    say(plain, "hello")
    assert named.runs_df()["input"].tolist() == ["hello"]
    assert (named.identity, repr(named)) == (plain.identity, repr(plain))
    assert named.memory_store is named


def test_memories_follow_the_memory_table(make: Make) -> None:
    plain, one = make(), make(session_table="one")
    private, same = make(session_table="one", memory_table="mine"), make(memory_table="mine")
    remember(one, "shared")
    remember(private, "private")
    assert [remembered(store) for store in (plain, one, private, same)] == [
        ["shared"], ["shared"], ["private"], ["private"],
    ]  # fmt: skip
    for store, expected in ((one, ["shared"]), (private, ["private"]), (same, ["private"])):
        assert store.memories_df()["memory"].tolist() == expected
        assert store.query("SELECT memory FROM memories").df()["memory"].tolist() == expected
        assert store.read_user_rows(["raw_memories"], "ada")["raw_memories"].column("memory").to_pylist() == expected
        _, opened = begin(store, "hi", session_id=f"of {expected}", user_id="ada", query=ContextQuery(memories=True))
        assert [memory.memory for memory in opened.memories] == expected
        assert store.memory_store.identity != store.identity
    private.clear_memories("ada")
    assert [remembered(store) for store in (plain, same)] == [["shared"], []]


def test_an_agent_and_its_manager_use_the_memories_of_the_memory_table(make: Make) -> None:
    remember(make(), "The user likes owls.")
    model = ScriptedModel(["Hello."])
    agent = Agent(model, db=make(session_table="one"), add_memories_to_context=True, user_id="ada")
    agent.run("hi")
    assert "The user likes owls." in str(model.requests[0].messages[0].content)
    assert [memory.memory for memory in agent.get_user_memories()] == ["The user likes owls."]
    # Both have the same memories, so this is no contradiction.
    Agent(model, db=make(session_table="one"), memory_manager=MemoryManager(db=make()))
    with pytest.raises(InvalidInputError, match="memory_manager stores memories in"):
        Agent(model, db=make(session_table="one"), memory_manager=MemoryManager(db=make(memory_table="other")))


def test_copies_have_the_memories_that_the_store_has(make: Make, tmp_path: Path) -> None:
    store = make(session_table="one", memory_table="mine")
    say(store, "hello")
    remember(store, "private")
    remember(make(), "of another table")
    store.backup(tmp_path / "copy")
    store.snapshot(tmp_path / "snapshot")
    store.snapshot(tmp_path / "snapshot")
    kind = SqliteDb if isinstance(store, SqliteDb) else DuckDb
    for path in ("copy", "snapshot"):
        copy = kind(tmp_path / path)
        assert (remembered(copy), copy.runs_df()["input"].tolist()) == (["private"], ["hello"])
        copy.close()
    store.export_parquet(tmp_path / "parquet")
    other = make(session_table="two", memory_table="theirs")
    assert other.import_parquet(tmp_path / "parquet") == 1
    assert (remembered(other), remembered(make(memory_table="theirs"))) == (["private"], ["private"])
    assert (remembered(make()), other.verify()) == (["of another table"], [])
    with pytest.raises(InvalidInputError, match="already in this store"):
        make(session_table="three", memory_table="theirs").import_parquet(tmp_path / "parquet")
    assert make(session_table="three").get_sessions() == []
    store.vacuum()
    assert remembered(store) == ["private"]


@FILE_STORES
def test_a_named_store_is_a_file_next_to_the_given_one(kind: type[DuckDb], tmp_path: Path) -> None:
    store = kind(tmp_path / "data.db", session_table="selected", memory_table="mine", id="main")
    say(store, "hello")
    remember(store, "private")
    store.close()
    ours = {name for name in os.listdir(tmp_path) if name.endswith(".db")}
    assert ours == {"data.selected.db", "data.mine.memories.db"}
    assert (store.identity, store.id) == (str(tmp_path / "data.selected.db"), "main")
    text = f"{kind.__name__}({str(tmp_path / 'data.db')!r}, session_table='selected', memory_table='mine')"
    assert repr(store) == text
    again = pickle.loads(pickle.dumps(store))
    assert (again.identity, again.id, repr(again)) == (store.identity, "main", text)
    assert (remembered(again), len(again.get_sessions())) == (["private"], 1)
    # The file is a store by itself, and collect() finds it.
    assert kind(store.db_file).runs_df()["input"].tolist() == ["hello"]
    assert collect(tmp_path / "*.db").runs_df()["source"].tolist() == ["data.selected.db"]
    again.close()


@FILE_STORES
@pytest.mark.parametrize("name", ["lock", "wal", "tmp", "v1", "CON", "a/b", "a\\b", "\udc80", "..", " ", "x" * 300])
def test_no_name_is_the_path_of_another_file(kind: type[DuckDb], name: str, tmp_path: Path) -> None:
    plain = kind(tmp_path / "data")
    say(plain, "plain")
    before = set(os.listdir(tmp_path))
    store = kind(tmp_path / "data", session_table=name)
    assert store.db_file.parent == tmp_path
    assert store.db_file.name not in before
    say(store, "named")
    assert (plain.runs_df()["input"].tolist(), store.runs_df()["input"].tolist()) == (["plain"], ["named"])
    plain.close()
    store.close()


@FILE_STORES
def test_errors_name_the_file_of_the_sessions(kind: type[DuckDb], tmp_path: Path) -> None:
    (tmp_path / "data.selected.db").write_text("not a store, and long enough to be read as one" * 100)
    with pytest.raises(StoreError, match=r"data\.selected\.db"):
        kind(tmp_path / "data.db", session_table="selected").get_session("s1")


@pytest.mark.parametrize("value", ["", 3, b"x"])
def test_a_name_that_is_not_a_string_is_rejected(value: str, tmp_path: Path) -> None:
    for name in ("session_table", "memory_table", "id"):
        with pytest.raises(InvalidInputError, match=f"{name} is "):
            SqliteDb(tmp_path / "data.db", **{name: value})  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match=f"{name} is "):
            InMemoryDb(**{name: value})  # type: ignore[arg-type]


def test_tables_that_have_no_effect_are_not_listed() -> None:
    assert {"session_table", "memory_table", "id"} <= inspect.signature(SqliteDb).parameters.keys()
    assert not UNUSED_TABLES & inspect.signature(SqliteDb).parameters.keys()
    InMemoryDb(**dict.fromkeys(UNUSED_TABLES, "x"))  # type: ignore[misc]


def test_unknown_names_are_corrected(tmp_path: Path) -> None:
    with pytest.raises(UnknownArgumentError, match=r'SqliteDb\(\) .*did you mean "session_table"'):
        SqliteDb(tmp_path / "data.db", sesion_table="x")  # type: ignore[call-arg]


def test_in_memory_each_object_is_a_store_of_its_own() -> None:
    one, other = InMemoryDb(session_table="s"), InMemoryDb(session_table="s", eval_table="e", id="mine")
    say(one, "hello")
    remember(one, "x")
    assert (other.get_sessions(), remembered(other)) == ([], [])
    assert (other.id, one.id == other.id, one.id == one.id, repr(one)) == (
        "mine", False, True, "InMemoryDb(session_table='s')",
    )  # fmt: skip


@pytest.mark.parametrize("kind", [AsyncDuckDb, AsyncSqliteDb])
async def test_async_stores_take_the_same_names(kind: type[AsyncDuckDb], tmp_path: Path) -> None:
    store = kind(tmp_path / "data.db", session_table="selected", traces_table="t", id="mine")
    assert store.id == "mine"
    await Agent(ScriptedModel(["Hi."]), db=store).arun("hello", session_id="s1")
    assert await store.get_session("s1") is not None
    assert await kind(tmp_path / "data.db").get_session("s1") is None
    assert store.sync.identity.endswith("data.selected.db")
    await store.close()


def test_a_url_has_names_of_tables_too(tmp_path: Path) -> None:
    store = SqliteDb(db_url=f"sqlite:///{tmp_path}/data.db", session_table="selected")
    assert store.identity == str(tmp_path / "data.selected.db")
