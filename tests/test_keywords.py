"""An unknown keyword of anything public is an error that names the nearest keyword."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy
import pytest

import agno_nb
from agno_nb import SqliteDb, StepOutput, Toolkit, tool
from agno_nb.db.base import AsyncDb
from agno_nb.db.sql_store import _USER_METHODS
from agno_nb.errors import InvalidInputError, UnknownArgumentError
from agno_nb.models.base import Delta
from agno_nb.run.session_methods import SessionMethods
from agno_nb.types import ContextPart, Message, Metrics

MODULES = {
    "agno_nb": agno_nb.__all__,
    "agno_nb.types": None,
    "agno_nb.testing": None,
    "agno_nb.tools": None,
    "agno_nb.session": None,
    "agno_nb.memory": None,
    "agno_nb.workflow": None,
    "agno_nb.media": ["Audio", "File", "Image", "Video"],
    "agno_nb.memory.v2": None,
    "agno_nb.models.base": ["Delta", "ModelRequest", "ModelResponse"],
    "agno_nb.db.base": ["AsyncDb", "CellTurn", "ContextQuery", "OpenedRun"],
    "agno_nb.utils.pprint": ["pprint_run_response"],
}
TAKES_NAMES_OF_YOURS = {"SqlTools", "query", "call", "CustomEvent"}
"""Every keyword is the name of a DataFrame, of an argument, or of a value of an event."""
NOT_CALLED_BY_USERS = {
    "load_ipython_extension", "unload_ipython_extension", "StoreContract", "SessionReader",
    "DictMethods", "WithMedia",
}  # fmt: skip


def callables() -> Iterator[Any]:
    for module_name, names in MODULES.items():
        module = import_module(module_name)
        for name in names or module.__all__:
            value = getattr(module, name)
            is_enum = inspect.isclass(value) and issubclass(value, Enum)
            is_abstract = inspect.isabstract(value)
            if module_name == "agno_nb.types" and not inspect.isclass(value):
                continue  # Its functions are for the package itself.
            if name in TAKES_NAMES_OF_YOURS | NOT_CALLED_BY_USERS or is_enum or is_abstract or not callable(value):
                continue
            if getattr(value, "__module__", "").startswith("agno_nb"):
                yield pytest.param(value, id=f"{module_name}.{name}")


@pytest.mark.parametrize("public", [*callables()])
def test_an_unknown_keyword_is_explained(public: Any) -> None:
    with pytest.raises(UnknownArgumentError, match=f"{public.__name__}.* has no argument 'zzz'"):
        public(zzz=1)
    names = [
        parameter.name
        for parameter in inspect.signature(public).parameters.values()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    for name in [name for name in names if len(name) > 4]:
        with pytest.raises(UnknownArgumentError, match='did you mean "'):
            public(**{f"{name}x": 1})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SqliteDb(db_fle="x"), "SqliteDb() has no argument 'db_fle': did you mean \"db_file\"?"),  # type: ignore[call-arg]
        (lambda: Toolkit(nme="x"), "Toolkit() has no argument 'nme': did you mean \"name\"?"),  # type: ignore[call-arg]
        (lambda: tool(nam="x"), "@tool() has no argument 'nam': did you mean \"name\"?"),  # type: ignore[call-overload]
        (lambda: StepOutput(contnt="x"), "StepOutput() has no argument 'contnt': did you mean \"content\"?"),  # type: ignore[call-arg]
        (
            lambda: agno_nb.InMemoryDb(db_file="x"),  # type: ignore[call-arg]
            "InMemoryDb() has no argument 'db_file': known: id, memory_table, session_table",
        ),
    ],
)
def test_the_nearest_keyword_is_named(make: Any, said: str) -> None:
    with pytest.raises(UnknownArgumentError) as caught:
        make()
    assert str(caught.value) == said
    assert isinstance(caught.value, TypeError)


def test_methods_of_a_store_explain_unknown_keywords() -> None:
    db = agno_nb.InMemoryDb()
    for name in _USER_METHODS:
        with pytest.raises(UnknownArgumentError, match=rf"^{name}\(\) has no argument 'zzz': known: (?!.*\bself\b)"):
            getattr(db, name)(zzz=1)
        with pytest.raises(UnknownArgumentError, match=rf"^{name}\(\) has no argument 'zzz': known: "):
            asyncio.run(getattr(AsyncDb(db), name)(zzz=1))
    # What the pipeline calls for each turn is not wrapped.
    not_wrapped = {*dir(AsyncDb)} - {*_USER_METHODS}
    assert {name for name in not_wrapped if not name.startswith("_") and not name.endswith("_df")} == {
        *("check_owner", "id", "save_approvals", "save_partial", "get_summary_after", "query", "vacuum"),
        *("verify", "close", "get_background_details"),
    }  # fmt: skip


def test_methods_on_sessions_explain_unknown_keywords() -> None:
    agent = agno_nb.Agent("demo", db=agno_nb.InMemoryDb())
    names = [
        name for name in vars(SessionMethods) if name.startswith(("aget_", "aset_", "adelete_", "afork_", "aupdate_"))
    ]
    assert len(names) == 13
    for name in [*names, "arename_session"]:
        with pytest.raises(UnknownArgumentError, match="has no argument 'zzz': known: "):
            getattr(agent, name[1:])(zzz=1)
        with pytest.raises(UnknownArgumentError, match="has no argument 'zzz': known: "):
            asyncio.run(getattr(agent, name)(zzz=1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: agno_nb.Agent("demo", db=agno_nb.InMemoryDb()).rename_session(name="x"),  # type: ignore[call-arg]
            "rename_session() has no argument 'name': known: session_id, session_name, user_id",
        ),
        (
            lambda: agno_nb.InMemoryDb().get_sessions(user="x"),  # type: ignore[call-arg]
            "get_sessions() has no argument 'user': did you mean \"user_id\"?",
        ),
    ],
)
def test_the_nearest_keyword_of_a_method_is_named(make: Any, said: str) -> None:
    with pytest.raises(UnknownArgumentError) as caught:
        make()
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda agent: agent.get_session_messages(limit="2"),
            "limit is '2'; pass a whole number, or None for no limit",
        ),
        (lambda agent: agent.get_chat_history(last_n_runs=1.5), "last_n_runs is 1.5; pass a whole number"),
        (lambda agent: agent.db.get_messages("s", last_n_runs="1"), "last_n_runs is '1'; pass a whole number"),
        (lambda agent: agent.db.get_sessions(limit="3"), "limit is '3'; pass a whole number"),
        (lambda agent: agent.db.get_sessions(limit=3, page="1"), "page is '1'; pass a whole number"),
        (lambda agent: agent.db.get_runs("s", limit="4"), "limit is '4'; pass a whole number"),
        (
            lambda agent: agno_nb.Agent("demo", max_tool_calls_from_history="3"),  # type: ignore[arg-type]
            "max_tool_calls_from_history is '3'; pass a whole number from 0, or None for no limit",
        ),
        (
            lambda agent: agno_nb.Agent("demo", tool_call_limit=True),
            "tool_call_limit is True; pass a whole number from 0",
        ),
    ],
)
def test_a_limit_that_is_no_number_is_refused(make: Any, said: str) -> None:
    agent = agno_nb.Agent("demo", db=agno_nb.InMemoryDb(), session_id="s")
    agent.run("hello")
    with pytest.raises(InvalidInputError) as caught:
        make(agent)
    assert str(caught.value).startswith(said)
    assert len(agent.get_session_messages(limit=numpy.int64(1))) == 1


def test_a_subclass_is_named_only_if_it_has_no_constructor_of_its_own() -> None:
    class Shop(Toolkit):
        def __init__(self) -> None:
            super().__init__(tols=[])  # type: ignore[call-arg]

    class Plain(Toolkit):
        pass

    with pytest.raises(UnknownArgumentError, match=r"^Toolkit\(\) has no argument 'tols'"):
        Shop()
    with pytest.raises(UnknownArgumentError, match=r"^Plain\(\) has no argument 'tols'"):
        Plain(tols=[])  # type: ignore[call-arg]


def test_signatures_are_those_that_help_shows() -> None:
    assert list(inspect.signature(SqliteDb).parameters) == [
        *("db_file", "db_url", "lock_timeout_s", "session_table", "memory_table", "id"),
    ]  # fmt: skip
    assert "model" in inspect.signature(agno_nb.Agent).parameters


def test_no_message_puts_a_fixed_article_before_a_value(repository: Path) -> None:
    wrong = re.compile(r'f"[^"]*\ban? \{')
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((repository / "agno_nb").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if wrong.search(line)
    ]
    assert found == []


def test_other_mistakes_in_a_call_are_explained_by_python() -> None:
    with pytest.raises(TypeError, match=r"^Message\.__init__\(\) missing 1 required keyword-only argument: 'role'$"):
        Message(content="Hello")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^StepOutput\.__init__\(\) takes from 1 to 2 positional arguments but 3 were"):
        StepOutput("a", "b")  # type: ignore[misc]
    with pytest.raises(UnknownArgumentError, match=r"^Message\(\) has no argument 'txt'"):
        Message(txt="Hello")  # type: ignore[call-arg]


def test_values_are_created_without_a_wrapper() -> None:
    """Values are created for each row and each piece of an answer."""
    for value in (Message, Metrics, ContextPart, Delta):
        assert "unknown" in value.__init__.__code__.co_varnames
        assert value.__init__.__qualname__ == f"{value.__name__}.__init__"
