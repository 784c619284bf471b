"""Errors name what is wrong in the user's terms, and a remedy that exists where the user is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agno_nb import Agent, Budget, InMemoryDb
from agno_nb.db.base import Db
from agno_nb.errors import (
    AgnoNbError,
    InvalidInputError,
    OutputSchemaError,
    RunLimitError,
    SessionNotFoundError,
    StoreError,
    UnknownArgumentError,
)
from agno_nb.models.openai import OpenAIChat
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.tools.sql import SqlTools
from tests.notebook.command_line import run_command
from tests.run import clerk
from tests.run.failing import FailingDb


def look() -> str:
    """Look."""
    return "seen"


def message_of(error: type[AgnoNbError], work: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        work()
    return str(caught.value)


def test_a_store_that_fails_in_a_turn_names_what_continues_the_turn() -> None:
    db = FailingDb(2)
    agent = Agent(ScriptedModel([call("look"), "Done."]), tools=[look], db=db, session_id="s")
    text = message_of(StoreError, lambda: agent.run("go"))
    assert text == (
        "write 2 failed. The run is kept, and the next write to the store in this process stores it; "
        "regenerate(from_partial=True), or `%agent continue`, continues from its partial output"
    )
    asking = Agent(ScriptedModel([call("delete", path="a")]), tools=clerk.TOOLS, db=FailingDb(1), session_id="s")
    assert message_of(StoreError, lambda: asking.run("go")).endswith(
        "; resolve the requirements of error.run_output and use continue_run(), or `%agent pending`"
    )
    # Nothing was said yet.
    assert message_of(StoreError, lambda: Agent(ScriptedModel([]), db=FailingDb(0)).run("go")) == "write 0 failed"


def test_the_request_limit_names_what_works_in_a_notebook_too() -> None:
    agent = Agent(FunctionModel(lambda messages, tools: call("look")), tools=[look], request_limit=2, db=InMemoryDb())
    assert message_of(RunLimitError, lambda: agent.run("go", session_id="s")).endswith(
        "as many as request_limit=2 allows; regenerate(from_partial=True), or `%agent continue`, continues with 2 "
        "more, and Agent(request_limit=...) sets another limit, or None for no limit"
    )
    text = message_of(RunLimitError, lambda: agent.regenerate(session_id="s", from_partial=True))
    assert "made 2 model requests" in text


def test_values_that_are_missing_are_named_and_defaults_are_used() -> None:
    @tool(requires_user_input=True)
    def book(room: str, nights: int, beds: int = 1) -> str:
        """Book."""
        return f"{room} {nights} {beds}"

    agent = Agent(ScriptedModel([call("book"), "Done."]), tools=[book])
    run = agent.run("go")
    (requirement,) = run.requirements
    assert requirement.question.endswith("\n  room (string)\n  nights (integer)\n  beds (integer, default 1)")
    requirement.provide_user_input({"room": "12"})
    assert "still needs user input for 'nights' in the call" in message_of(
        InvalidInputError, lambda: agent.continue_run(run)
    )
    requirement.provide_user_input({"nights": 3})
    assert agent.continue_run(run).tools[0].result == "12 3 1"


@pytest.mark.parametrize("frames", [[1], "df", 3])
def test_sql_tools_take_a_mapping(frames: Any) -> None:
    expected = f"frames is of type {type(frames).__name__}; pass a dict of DataFrames by name, or SqlTools(name=frame)"
    assert message_of(InvalidInputError, lambda: SqlTools(frames)) == expected


@pytest.mark.parametrize("name", ["num_history_runs", "num_history_messages", "max_tool_calls_from_history"])
@pytest.mark.parametrize("value", ["5", -1, 1.5, True])
def test_counts_are_whole_numbers(name: str, value: Any) -> None:
    expected = f"{name} is {value!r}; pass a whole number from 0, or None for no limit"
    assert message_of(InvalidInputError, lambda: Agent("demo", **{name: value})) == expected
    if name == "num_history_runs":
        model = ScriptedModel([])
        agent = Agent(model, add_history_to_context=True)
        assert message_of(InvalidInputError, lambda: agent.run("go", num_history_runs=value)) == expected
        assert model.requests == []


@pytest.mark.parametrize("value", ["5", -1, 0])
def test_timeouts_are_numbers_of_seconds(value: Any) -> None:
    assert f"timeout is {value!r}; " in message_of(InvalidInputError, lambda: OpenAIChat(api_key="x", timeout=value))
    assert f"timeout_s is {value!r}; " in message_of(InvalidInputError, lambda: tool(timeout_s=value)(look))
    if value != 0:
        query = InMemoryDb().query
        text = f"timeout_s is {value!r}; pass a number of seconds, or None for no limit"
        assert message_of(InvalidInputError, lambda: query("select 1", timeout_s=value).df()) == text


def waiting(*calls: str) -> Notebook:
    arguments: dict[str, dict[str, str]] = {
        "delete": {"path": "a"},
        "send": {"subject": "x"},
        "shell": {"command": "ls"},
    }
    model = ScriptedModel([[call(name, **arguments[name]) for name in calls]])
    agent = Agent(model, name="clerk", tools=clerk.TOOLS, db=InMemoryDb())
    agent.run("go", session_id="s")
    return Notebook({"clerk": agent}, Path.cwd(), AgnoNb())


def test_an_approval_of_a_call_that_needs_something_else_names_the_command() -> None:
    text = message_of(InvalidInputError, lambda: run_command(waiting("send"), "approve", []))
    assert text.startswith("send needs values, not an approval; use `%agent answer ")
    assert text.endswith(" to=… copies=…`")
    text = message_of(InvalidInputError, lambda: run_command(waiting("shell"), "approve", []))
    assert text.startswith("shell needs the result of the call, not an approval; use `%agent answer ")
    assert text.endswith(" RESULT`")


def test_an_unknown_id_among_several_calls_is_named() -> None:
    notebook = waiting("delete", "shell")
    text = message_of(InvalidInputError, lambda: run_command(notebook, "approve", ["WRONGID"]))
    assert text.startswith("no pending call has the ID 'WRONGID'; several approvals are pending; pass one of the ids ")
    text = message_of(InvalidInputError, lambda: run_command(notebook, "approve", []))
    assert text.startswith("several approvals are pending")


def test_a_budget_for_a_model_without_a_price_can_be_removed() -> None:
    agent = Agent(OpenAIChat("unpriced", api_key="x"), budget=Budget(0.01), db=InMemoryDb())
    assert message_of(InvalidInputError, lambda: agent.run("go")).endswith("in a notebook with `%agent --budget off`")


def test_an_answer_that_does_not_fit_its_schema_is_quoted() -> None:
    agent = Agent(ScriptedModel(["no", "x" * 500]), output_schema={"type": "object"})
    text = message_of(OutputSchemaError, lambda: agent.run("go"))
    assert text.endswith(f". It begins with '{'x' * 199}…'; `error.run_output.content` is the whole answer")


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (
            lambda db: db.delete_session(),
            "delete_session() missing 1 required positional argument: 'session_id'; pass the session_id, as in "
            "delete_session('plans')",
        ),
        (
            lambda db: Agent("demo", db=db).delete_session(),
            "delete_session() missing 1 required positional argument: 'session_id'; pass the session_id, as in "
            "delete_session('plans')",
        ),
        (
            lambda db: db.purge_sessions(),
            "purge_sessions() missing 1 required positional argument: 'before'; pass a date, as in "
            "purge_sessions('2026-01-31')",
        ),
        (
            lambda db: db.query("select 1", [1]),
            "query() takes 2 positional arguments but 3 were given; pass DataFrames by name, as in query(sql, df=df), "
            "and write values into the SQL",
        ),
    ],
    ids=["delete_session", "delete_session of an agent", "purge_sessions", "query"],
)
def test_a_wrong_call_names_no_inner_class(work: Callable[[Db], object], expected: str) -> None:
    assert message_of(UnknownArgumentError, lambda: work(InMemoryDb())) == expected


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (np.int64(1), "int(...)"),
        (np.float32(1), "float(...)"),
        (np.array([1]), ".tolist()"),
        (np.bool_(True), ".tolist()"),
    ],
    ids=["int64", "float32", "array", "bool"],
)
def test_a_value_of_numpy_in_the_state_names_its_conversion(value: Any, remedy: str) -> None:
    agent = Agent(ScriptedModel([]), db=InMemoryDb())
    text = message_of(InvalidInputError, lambda: agent.run("go", session_state={"n": value}))
    assert text.startswith("session_state['n'] is of type ")
    assert f"cannot be written as JSON; use {remedy}. Use only" in text


def test_resume_without_the_name_of_the_notebook_says_why() -> None:
    notebook = Notebook({}, Path.cwd(), AgnoNb())
    text = message_of(SessionNotFoundError, lambda: run_command(notebook, "resume", []))
    assert text.startswith("the front end does not report the name of this notebook")
    assert text.endswith("`%agent resume SESSION` continues one")
