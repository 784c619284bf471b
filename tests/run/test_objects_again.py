"""Typed answers are restored from the store by agents with the schema."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import RunError
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput
from agno_nb.workflow import Condition, StepInput, Workflow


class Penguin(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str
    seen: date = Field(alias="seenOn")


ANSWER = '{"name": "Pia", "seenOn": "2026-01-31"}'
PIA = Penguin(name="Pia", seenOn=date(2026, 1, 31))


@pytest.fixture
def db(tmp_path: Any) -> Db:
    return SqliteDb(tmp_path / "talks.db")


def agent(db: Db | None, *answers: Any, **settings: Any) -> Agent:
    return Agent(ScriptedModel(answers), **{"db": db, "session_id": "s", "output_schema": Penguin, **settings})


def read(reader: Runnable) -> list[Any]:
    last, session = reader.get_last_run_output(), reader.get_session()
    assert last is not None
    assert session is not None
    found = reader.get_run_output(last.run_id)
    assert found is not None
    return [last.content, found.content, session.runs[-1].content]


def test_an_agent_of_that_schema_gives_back_the_object(db: Db) -> None:
    assert agent(db, ANSWER).run("who?").content == PIA
    assert read(agent(db)) == [PIA] * 3
    as_stored = {"name": "Pia", "seen": "2026-01-31"}
    assert read(agent(db, output_schema=None)) == [as_stored] * 3
    session = db.get_session("s")
    assert session is not None
    assert session.runs[-1].content == as_stored


def test_an_answer_that_no_longer_fits_stays_a_dict_and_says_why(db: Db) -> None:
    for _ in range(2):
        agent(db, ANSWER).run("who?")

    class Other(BaseModel):
        name: str
        mass: float

    Other.__name__ = "Penguin"
    reader = agent(db, output_schema=Other)
    with pytest.warns(UserWarning, match=r"a dict is returned instead, of run '.*' as Penguin:\n- mass: Field req"):
        last = reader.get_last_run_output()
    assert last is not None
    assert last.content == {"name": "Pia", "seen": "2026-01-31"}
    session = reader.get_session()
    assert session is not None
    with pytest.warns(UserWarning, match="1 more runs have the same problem"):
        assert len(session.runs) == 2


def test_what_was_cut_off_or_follows_a_json_schema_is_as_it_was(db: Db) -> None:
    with pytest.raises(RunError):
        agent(db, "no", "still no").run("who?")
    last = agent(db).get_last_run_output()
    assert last is not None
    assert last.content == "still no"
    schema = {"title": "Penguin", "type": "object"}
    agent(db, ANSWER, output_schema=schema).run("who?")
    assert read(agent(db, output_schema=schema)) == [{"name": "Pia", "seenOn": "2026-01-31"}] * 3


def crew(db: Db, *said: Any, member: Any = ()) -> Team:
    spotter = Agent(ScriptedModel(member), name="spotter", output_schema=Penguin)
    return Team([spotter], model=ScriptedModel(said), db=db, session_id="s")


def test_a_team_gives_back_the_objects_of_its_members(db: Db) -> None:
    asking = call("delegate_task_to_member", member_id="spotter", task="Who?")
    crew(db, asking, "It is Pia.", member=[ANSWER]).run("who?")
    last = crew(db).get_last_run_output()
    assert last is not None
    assert (last.content, last.nested_runs[0].content) == ("It is Pia.", PIA)


def spotted(db: Db, *answers: Any, then: Any) -> Workflow:
    spotter = Agent(ScriptedModel(answers), name="spotter", output_schema=Penguin)
    return Workflow([Condition(True, [spotter], name="if"), then], db=db, session_id="s", name="spot")


def test_a_workflow_that_goes_on_from_the_store_has_the_objects_of_its_steps(db: Db) -> None:
    def fail(step_input: StepInput) -> str:
        raise OSError("not yet")

    def tell(step_input: StepInput) -> str:
        content = step_input.previous_step_content
        assert isinstance(content, Penguin)
        return f"{content.name} in {content.seen.year}"

    with pytest.raises(RunError) as failed:
        spotted(db, ANSWER, then=fail).run("who?")
    assert failed.value.run_output is not None
    went_on = spotted(db, then=tell).continue_run(run_id=failed.value.run_output.run_id)
    assert went_on.content == "Pia in 2026"
    last = spotted(db, then=tell).get_last_run_output()
    assert last is not None
    assert [last.step_results[1].content, last.nested_runs[0].content] == [PIA, PIA]
    spotted(db, ANSWER, then=lambda step_input: step_input.previous_step_content).run("who?")
    assert read(spotted(db, then=tell)) == [PIA] * 3


def test_a_tool_that_is_called_again_after_a_pause_has_the_object_that_its_agent_gave() -> None:
    db = InMemoryDb()

    @tool(requires_confirmation=True)
    def look_twice() -> str:
        """Look once more."""
        return "Still there."

    def make() -> Agent:
        spotter = Agent(ScriptedModel([ANSWER]), name="spotter", output_schema=Penguin)
        careful = Agent(ScriptedModel([call("look_twice"), "Sure."]), name="careful", tools=[look_twice])

        def spot() -> str:
            """Spot a penguin."""
            penguin: RunOutput = spotter.run("who?")
            careful.run("Sure?")
            return str(penguin.content.name)

        return Agent(ScriptedModel([call("spot"), "Done."]), db=db, session_id="s", name="outer", tools=[spot])

    paused = make().run("spot()")
    stored = db.get_run(paused.run_id)
    assert stored is not None
    stored.requirements[0].confirm()
    answers = ScriptedModel(["Sure."]), ScriptedModel(["Done."])
    again = make()
    again.model = answers[1]
    # The inner agent continues after its pause.
    careful = again.tools[0].__closure__[0].cell_contents  # type: ignore[index, union-attr]
    careful.model = answers[0]
    done = again.continue_run(run_id=paused.run_id, session_id="s", requirements=stored.requirements)
    assert done.tools[0].result == "Pia"
