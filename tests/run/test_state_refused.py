"""Session state and metadata that JSON cannot hold are rejected before a model is called, and not stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunOutput, RunStatus
from agno_nb.workflow import Condition, Parallel, Step, Workflow
from tests.run.clerk import delete
from tests.run.kinds import Make, kind

NOT_JSON: list[tuple[Any, str]] = [
    ({"lock": threading.Lock()}, r"\['lock'\] is of type lock"),
    ({"a": {"b": {1, 2}}}, r"\['a'\]\['b'\] is of type set"),
    ({2023: 1}, r" has the key 2023 of type int"),
    ({"counts": [{2023: 1}]}, r"\['counts'\]\[0\] has the key 2023 of type int, but JSON keys are strings"),
    ({"a": float("nan")}, r"\['a'\] is nan"),
    (["a"], r" is \['a'\]; pass a dict"),
]


@kind
@pytest.mark.parametrize("name", ["session_state", "metadata"])
@pytest.mark.parametrize(("value", "told"), NOT_JSON)
def test_what_a_call_gives_is_checked_first(make: Make, name: str, value: Any, told: str) -> None:
    model, db = ScriptedModel(["never"]), InMemoryDb()
    with pytest.raises(InvalidInputError, match=f"^{name}{told}"):
        make(model, db=db).run("go", **{name: value})
    assert (model.requests, db.get_sessions()) == ([], [])


@kind
@pytest.mark.parametrize("name", ["session_state", "metadata"])
@pytest.mark.parametrize(("value", "told"), NOT_JSON)
def test_what_a_runnable_has_is_checked_first(make: Make, name: str, value: Any, told: str) -> None:
    model, db = ScriptedModel(["never"]), InMemoryDb()
    runnable = make(model, db=db)
    setattr(runnable, name, value)
    with pytest.raises(InvalidInputError, match=rf"\)\.{name}{told}"):
        runnable.run("go")
    assert (model.requests, db.get_sessions()) == ([], [])


def inner(model: ScriptedModel) -> Agent:
    return Agent(model, name="inner", session_state={"counts": {2023: 1}})


WITHIN: dict[str, Callable[[Agent, ScriptedModel, InMemoryDb], Runnable]] = {
    "a member": lambda agent, model, db: Team([agent], model=model, db=db),
    "a member of a member": lambda agent, model, db: Team([Team([agent], name="t")], model=model, db=db),
    "a step": lambda agent, model, db: Workflow([Agent(model, name="first"), agent], db=db),
    "a parallel step": lambda agent, model, db: Workflow([Parallel([Agent(model, name="first"), agent])], db=db),
    "a step that may not be taken": lambda agent, model, db: Workflow(
        [Agent(model, name="first"), Condition(lambda given: True, [Agent(model, name="b")], else_steps=[agent])], db=db
    ),
    "a workflow in a step": lambda agent, model, db: Workflow(
        [Agent(model, name="first"), Step(workflow=Workflow([Team([agent])]))], db=db
    ),
}


@pytest.mark.parametrize("where", WITHIN)
def test_what_its_parts_have_is_checked_before_anything_is_paid_for(where: str) -> None:
    model, db = ScriptedModel(["never"]), InMemoryDb()
    runnable = WITHIN[where](inner(model), model, db)
    with pytest.raises(InvalidInputError, match=r"^Agent\('inner'\)\.session_state\['counts'\] has the key 2023"):
        runnable.run("go")
    assert (model.requests, db.get_sessions()) == ([], [])


def test_a_paused_run_stays_paused_when_what_it_is_continued_with_is_refused() -> None:
    model, db = ScriptedModel([call("delete", path="a"), "Done."]), InMemoryDb()
    agent = Agent(model, tools=[delete], db=db)
    run = agent.run("go", session_id="s")
    run.requirements[0].confirm()
    with pytest.raises(InvalidInputError, match="session_state has the key 2023"):
        agent.continue_run(run, session_state={2023: 1})
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (run.status, stored.status, len(model.requests)) == (RunStatus.PAUSED, RunStatus.PAUSED, 1)
    assert agent.continue_run(run, session_state={"2023": 1}).content == "Done."
    assert agent.get_session_state() == {"2023": 1}


def test_an_update_from_outside_is_refused_and_changes_nothing() -> None:
    agent = Agent(ScriptedModel(["Hi."]), db=InMemoryDb(), session_state={"counts": {}})
    agent.run("hello")
    with pytest.raises(InvalidInputError, match=r"session_state\['counts'\] has the key 2023 of type int"):
        agent.update_session_state({"counts": {2023: 1}})
    assert agent.get_session_state() == {"counts": {}}


@kind
def test_a_tool_that_counts_by_year_is_told_and_loses_no_count(make: Make) -> None:
    def count(session_state: dict[str, Any]) -> str:
        """Count."""
        session_state["counts"][2023] = session_state["counts"].get(2023, 0) + 1
        return "counted"

    db = InMemoryDb()
    runnable = make(
        ScriptedModel([call("count"), "Counted."]), tools=[count], db=db, session_id="s", session_state={"counts": {}}
    )
    with pytest.raises(InvalidInputError, match=r"session_state\['counts'\] has the key 2023 of type int") as refused:
        runnable.run("count")
    run: RunOutput | None = refused.value.run_output
    assert run is not None
    assert [stored.status for stored in db.get_runs("s")][:1] == [RunStatus.ERROR]
    assert runnable.get_session_state() == {}


def test_without_a_store_a_state_may_hold_anything() -> None:
    """Nothing is stored of it: tools find their objects in it."""
    seen: list[Any] = []

    def look(session_state: dict[str, Any]) -> str:
        """Look."""
        seen.append(session_state[2023])
        return "seen"

    Agent(ScriptedModel([call("look"), "Seen."]), tools=[look], session_state={2023: {1, 2}}).run("look")
    assert seen == [{1, 2}]


def test_a_step_s_dict_with_years_as_keys_is_not_read_again_as_another_dict() -> None:
    def count(step_input: Any) -> Any:
        return {2023: 1, "nested": [{2024: 2}]}

    db = InMemoryDb()
    run = Workflow([count], db=db).run("count", session_id="s")
    assert run.content == {2023: 1, "nested": [{2024: 2}]}
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.content == stored.step_results[0].content == "{2023: 1, 'nested': [{2024: 2}]}"
