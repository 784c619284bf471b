"""Toolkits with which a model keeps memories itself, and runs a workflow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb import Agent, InMemoryDb, Workflow
from agno_nb.db.base import AsyncDb
from agno_nb.errors import InvalidInputError
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools.memory import MemoryTools
from agno_nb.tools.workflow import WorkflowTools
from agno_nb.types import RunOutput, UserMemory
from agno_nb.workflow import StepInput


def calling(db: Any, *calls: Any, user_id: str | None = "ada") -> RunOutput:
    return Agent(ScriptedModel([*calls, "done"]), tools=[MemoryTools(db)]).run("go", user_id=user_id)


def memories(db: InMemoryDb, user_id: str) -> list[tuple[str, list[str]]]:
    return [(each.memory, each.topics) for each in db.get_user_memories(user_id)]


@pytest.fixture
def db() -> InMemoryDb:
    db = InMemoryDb()
    db.upsert_user_memory(UserMemory(memory="Likes tea.", topics=["drinks"], user_id="ada", memory_id="m1"))
    db.upsert_user_memory(UserMemory(memory="Sleeps late.", user_id="bob", memory_id="m2"))
    return db


def test_the_model_reads_the_memories_of_its_user(db: InMemoryDb) -> None:
    run = calling(AsyncDb(db), call("get_memories"))
    assert json.loads(run.tools[0].result or "") == [{"memory_id": "m1", "memory": "Likes tea.", "topics": ["drinks"]}]


def test_the_model_adds_changes_and_deletes_them(db: InMemoryDb) -> None:
    calling(
        db,
        call("add_memory", memory="Has a cat.", topics=["pets"]),
        call("update_memory", memory_id="m1", memory="Hates tea."),
    )
    assert memories(db, "ada") == [("Hates tea.", ["drinks"]), ("Has a cat.", ["pets"])]
    calling(db, call("update_memory", memory_id="m1", topics=["taste"]))
    assert memories(db, "ada")[0] == ("Hates tea.", ["taste"])
    calling(db, call("delete_memory", memory_id="m1"))
    assert memories(db, "ada") == [("Has a cat.", ["pets"])]


@pytest.mark.parametrize(
    "made",
    [call("update_memory", memory_id="m2", memory="Mine."), call("delete_memory", memory_id="m2")],
    ids=["change", "delete"],
)
def test_the_memories_of_others_are_out_of_reach(db: InMemoryDb, made: Any) -> None:
    run = calling(db, made)
    assert run.tools[0].result == "There is no memory 'm2' of this user; get_memories lists them."
    assert memories(db, "bob") == [("Sleeps late.", [])]


@pytest.mark.parametrize("name", ["get_memories", "add_memory", "update_memory", "delete_memory"])
def test_without_a_user_nothing_is_read_or_changed(db: InMemoryDb, name: str) -> None:
    arguments = {
        "add_memory": {"memory": "x"},
        "update_memory": {"memory_id": "m1"},
        "delete_memory": {"memory_id": "m1"},
    }
    run = calling(db, call(name, **arguments.get(name, {})), user_id=None)
    assert "no user" in (run.tools[0].result or "")
    assert memories(db, "ada") == [("Likes tea.", ["drinks"])]
    assert len(db.get_user_memories()) == 2


def test_tools_are_offered_as_asked(db: InMemoryDb) -> None:
    offered = MemoryTools(db, enable_think=False, enable_analyze=False, enable_delete_memory=False)
    assert [tool.name for tool in offered.tools] == ["get_memories", "add_memory", "update_memory"]
    assert len(MemoryTools(db, enable_think=False, all=True).tools) == 6
    workflow = Workflow([lambda step_input: "x"], name="w")
    assert [tool.name for tool in WorkflowTools(workflow).tools] == ["run_workflow"]
    assert [tool.name for tool in WorkflowTools(workflow, all=True).tools] == ["think", "run_workflow", "analyze"]


def test_something_else_than_a_store_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"db is 'memory\.db'; pass the store"):
        MemoryTools("memory.db")  # type: ignore[arg-type]


def test_a_workflow_of_a_tool_runs_in_the_session_with_its_additional_data() -> None:
    db = InMemoryDb()

    def greet(step_input: StepInput) -> str:
        data = step_input.additional_data or {}
        return f"{data['greeting']}, {step_input.input}"

    tools = WorkflowTools(Workflow([greet], name="greeter"))
    asked = call("run_workflow", input={"input_data": "Ada", "additional_data": {"greeting": "Ahoy"}})
    run = Agent(ScriptedModel([asked, "done"]), tools=[tools], db=db).run("greet", session_id="s")
    assert run.tools[0].result == "Ahoy, Ada"
    (nested,) = run.nested_runs
    assert (nested.component_name, nested.session_id, nested.parent_run_id) == ("greeter", "s", run.run_id)
    stored = db.get_run(nested.run_id)
    assert stored is not None
    assert stored.content == "Ahoy, Ada"
