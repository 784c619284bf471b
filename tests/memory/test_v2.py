"""Programs written for agno 1 still work."""

from __future__ import annotations

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.memory.v2 import Memory
from agno_nb.testing import ScriptedModel


def test_memory_gives_an_in_memory_store_to_an_agent_without_one() -> None:
    with pytest.warns(DeprecationWarning, match=r"memory=Memory\(\) is now db=InMemoryDb\(\)") as warned:
        agent = Agent(ScriptedModel(["hello"]), memory=Memory())
    # The warning names the line of the program, where Python shows it.
    assert [warning.filename for warning in warned] == [__file__]
    assert isinstance(agent.db, InMemoryDb)
    run = agent.run("hi", session_id="s")
    assert [stored.run_id for stored in agent.db.get_runs("s")] == [run.run_id]


def test_memory_leaves_the_store_of_an_agent_that_has_one() -> None:
    db = InMemoryDb()
    with pytest.warns(DeprecationWarning, match="or any other store"):
        assert Agent(memory=Memory(), db=db).db is db
