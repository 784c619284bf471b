"""The IDs of a run under agno's names, which tools look up in the session's state."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.run.context import RunContext, SessionState
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunOutput

NAMES = ("current_user_id", "current_session_id", "current_run_id")


def test_tools_and_prompts_find_the_ids_but_they_are_not_stored() -> None:
    db = InMemoryDb()
    found: list[Any] = []

    def note(session_state: dict[str, Any], run_context: RunContext) -> str:
        """Note the IDs."""
        found.append([session_state[name] for name in NAMES])
        found.append([run_context.session_state.get(name) for name in NAMES])
        session_state["noted"] = "current_user_id" in session_state
        return "noted"

    member = Agent(ScriptedModel([call("note"), "Noted."]), name="m", tools=[note])
    leader = ScriptedModel([call("delegate_task_to_member", member_id="m", task="x"), "Done."])
    team = Team([member], model=leader, db=db, instructions="For {current_user_id} in {current_session_id}.")
    run = team.run("Go", user_id="ada", session_id="s", session_state={"a": 1})
    assert found == [["ada", "s", run.run_id]] * 2
    assert (leader.requests[0].messages[0].content or "").startswith("For ada in s.")
    assert run.session_state == {"a": 1, "noted": False}
    assert team.get_session_state("s", user_id="ada") == {"a": 1, "noted": False}


def test_a_value_of_the_same_name_counts_and_unknown_names_are_missing() -> None:
    state = SessionState({"current_user_id": "bob"}, RunOutput(run_id="r", session_id="s", user_id="ada"))
    assert (state["current_user_id"], state.get("current_session_id")) == ("bob", "s")
    assert (state.get("x"), state.get("x", 5), list(state)) == (None, 5, ["current_user_id"])
    with pytest.raises(KeyError):
        state["x"]


def test_copies_are_plain_dicts() -> None:
    state = SessionState({"a": [1]}, RunOutput(run_id="r", session_id="s"))
    for copied in (deepcopy(state), pickle.loads(pickle.dumps(state)), json.loads(json.dumps(state))):
        assert type(copied) is dict
        assert copied == {"a": [1]}
        assert copied["a"] is not state["a"]
