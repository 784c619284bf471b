"""agno's names of what a session has, and sessions that agents, teams and workflows share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.missing_stores import JsonDb, MissingStore, MongoDb
from agno_nb.errors import InvalidInputError, RunError, SessionOwnershipError
from agno_nb.session import AgentSession, TeamSession, WorkflowSession
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import Message, RunOutput, RunStatus, SessionSummary, UserMemory
from agno_nb.types.sessions import SessionData
from agno_nb.workflow import Workflow


@pytest.fixture(params=["DuckDb", "InMemoryDb"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Db:
    return DuckDb(tmp_path / "store.duckdb") if request.param == "DuckDb" else InMemoryDb()


def echo(messages: list[Message], tools: Any) -> str:
    return f"re: {messages[-1].content}"


def contents(messages: list[Message]) -> list[str | None]:
    return [message.content for message in messages]


def lookup(word: str) -> str:
    """Look up a word."""
    return f"about {word}"


def test_tool_calls_in_stored_copies_of_the_history_are_not_counted_again(db: Db) -> None:
    model = ScriptedModel([call("lookup", word="owl"), "An owl.", call("lookup", word="elk"), "An elk."])
    agent = Agent(model, tools=[lookup], db=db, add_history_to_context=True, store_history_messages=True)
    agent.run("Owl?", session_id="s")
    agent.run("Elk?", session_id="s")
    session = agent.get_session("s")
    assert session is not None
    assert [each.tool_args["word"] for each in session.get_tool_calls()] == ["elk", "owl"]
    assert [each.tool_args["word"] for each in session.get_tool_calls(1)] == ["elk"]


def test_an_agent_a_team_and_a_workflow_share_a_session(db: Db) -> None:
    model = FunctionModel(echo)
    agent = Agent(model, id="agent", db=db, add_history_to_context=True)
    team = Team([Agent(model, id="member")], model=model, id="team", db=db, add_history_to_context=True)
    workflow = Workflow([lambda step_input: "done"], id="flow", db=db)
    for number, runnable in enumerate((agent, team, workflow, agent)):
        runnable.run(f"q{number}", session_id="s", user_id="ada")
    sent = [message for message in model.requests[-1].messages if message.role != "system"]
    assert contents(sent) == ["q0", "re: q0", "q1", "re: q1", "q2", "done", "q3"]
    of_team = [message for message in model.requests[1].messages if message.role != "system"]
    assert contents(of_team) == ["q0", "re: q0", "q1"]
    assert db.sessions_df()[["session_type", "component_id", "num_runs"]].to_numpy().tolist() == [["agent", "agent", 4]]
    assert db.runs_df()[["kind", "run_index"]].to_numpy().tolist() == [
        ["agent", 0], ["team", 1], ["workflow", 2], ["agent", 3],
    ]  # fmt: skip
    session = team.get_session("s")
    assert isinstance(session, AgentSession)
    assert contents(session.get_messages(team_id="team", skip_roles=["system"])) == ["q1", "re: q1"]
    assert contents(agent.get_session_messages("s", agent_id="agent")) == ["q0", "re: q0", "q3", "re: q3"]
    assert db.verify() == []
    # Each kind continues from the other's turns after a fork, too.
    fork = agent.fork_session("s", to_run_index=1)
    assert [run.kind.value for run in fork.runs] == ["agent", "team"]
    again = team.regenerate(session.runs[1].run_id, user_id="ada")
    assert (again.run_index, again.attempt, again.kind.value) == (1, 1, "team")


def test_a_session_has_agnos_names(db: Db) -> None:
    model = ScriptedModel([call("lookup", word="owl"), "An owl.", "Yes."])
    agent = Agent(model, id="a", tools=[lookup], instructions="Be brief.", db=db, session_state={"n": 1})
    first = agent.run("What is an owl?", session_id="s", user_id="ada")
    agent.run("Sure?", session_id="s", user_id="ada")
    session = db.get_session("s")
    assert isinstance(session, AgentSession)
    assert (session.agent_id, session.team_id, session.workflow_id) == ("a", None, None)
    assert session.session_data == {"session_state": {"n": 1}}
    found = session.get_run(first.run_id)
    assert (found is not None and found.content, session.get_run("none")) == ("An owl.", None)
    assert contents(session.get_chat_history()) == ["What is an owl?", None, "An owl.", "Sure?", "Yes."]
    assert contents(session.get_chat_history(last_n_runs=1)) == ["Sure?", "Yes."]
    assert [call.tool_name for call in session.get_tool_calls()] == ["lookup"]
    assert contents(session.get_messages(limit=3)) == ["Be brief.", "Sure?", "Yes."]
    with_result = [None, "about owl", "An owl.", "Sure?", "Yes."]
    assert contents(session.get_messages(limit=5, skip_roles=["system"])) == with_result
    # The call of the result is beyond the limit.
    assert contents(session.get_messages(limit=4, skip_roles=["system"])) == with_result[2:]
    assert session.get_messages(skip_statuses=[RunStatus.COMPLETED]) == []
    assert session.get_session_summary() is None
    limited = agent.get_session("s", user_id="ada", runs_limit=1)
    assert limited is not None
    assert [run.input for run in limited.runs] == ["Sure?"]


def test_messages_of_runs_that_did_not_complete_are_left_out_by_default(db: Db) -> None:
    agent = Agent(ScriptedModel(["fine"]), db=db)
    agent.run("one", session_id="s")
    with pytest.raises(RunError, match="no reply"):
        agent.run("two", session_id="s")
    session = db.get_session("s")
    assert session is not None
    assert contents(session.get_messages()) == ["one", "fine"]
    assert contents(session.get_messages(skip_statuses=[])) == ["one", "fine", "two"]
    assert contents(agent.get_session_messages("s", skip_statuses=["ERROR"])) == ["one", "fine"]


def test_sessions_runs_summaries_and_memories_become_dicts_and_back(db: Db) -> None:
    member = Agent(FunctionModel(echo), id="m")
    team = Team(
        [member], model=ScriptedModel([call("delegate_task_to_member", member_id="m", task="x"), "Done."]), db=db
    )
    team.run("go", session_id="s", user_id="ada", images=[])
    db.add_summary(SessionSummary(session_id="s", summary="They went.", topics=["going"], to_run_index=0))
    session = team.get_session("s", "ada")
    assert isinstance(session, TeamSession)
    data = json.loads(json.dumps(session.to_dict()))
    assert (data["team_id"], data["session_type"], data["summary"]["summary"]) == ("team", "team", "They went.")
    again = TeamSession.from_dict(data)
    assert (again.session_id, again.team_id, str(again.summary)) == ("s", "team", "They went.")
    assert [run.run_id for run in again.runs] == [run.run_id for run in session.runs]
    assert again.messages == session.messages
    assert "runs" not in session.to_dict(include_runs=False)
    run = session.runs[0]
    assert json.loads(run.to_json())["team_id"] == "team"
    back = RunOutput.from_dict(json.loads(run.to_json()))
    assert (back.messages, back.tools, back.metrics, back.status) == (run.messages, run.tools, run.metrics, run.status)
    assert [nested.content for nested in back.nested_runs] == ["re: x"]
    memory = UserMemory(memory="Goes.", user_id="ada", agent_id="m", topics=["going"])
    assert UserMemory.from_dict(memory.to_dict()) == memory
    assert (memory.agent_id, memory.component_id) == ("m", "m")


def test_a_dict_of_agno_is_read() -> None:
    data = {
        "session_id": "s",
        "agent_id": "a",
        "session_data": {"session_name": "N", "session_state": {"n": 1}},
        "runs": None,
    }
    session = AgentSession.from_dict(data)
    assert (session.component_id, session.session_name, session.session_state, session.runs) == ("a", "N", {"n": 1}, [])


def test_changes_of_session_data_are_saved(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_state={"n": 1})
    agent.run("hi", session_id="s", user_id="ada")
    session = agent.get_session("s", "ada")
    assert session is not None
    session.session_data["session_state"]["n"] = 2
    session.session_data.update(session_name="Renamed")
    session.metadata = {"tag": 1}
    saved = agent.save_session(session)
    assert (saved.session_name, saved.session_state, saved.metadata) == ("Renamed", {"n": 2}, {"tag": 1})
    assert saved == agent.get_session("s", "ada")
    assert agent.run("again", session_id="s", user_id="ada").session_state == {"n": 2}
    with pytest.raises(InvalidInputError, match=r"session_data\['color'\] is not stored"):
        session.session_data["color"] = "red"
    with pytest.raises(SessionOwnershipError):
        agent.save_session(session, user_id="bob")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data.setdefault("session_name", "New"), ("New", {"n": 1})),
        (lambda data: data.setdefault("session_state", {})["n"], (None, {"n": 1})),
        (lambda data: data.__ior__({"session_state": {"n": 2}}), (None, {"n": 2})),
        (lambda data: data.update({"session_name": "New"}, session_state={}), ("New", {})),
        (lambda data: data.pop("session_state"), (None, {})),
        (lambda data: data.popitem(), (None, {})),
        (lambda data: data.clear(), (None, {})),
        (lambda data: data.pop("color", None), (None, {"n": 1})),
    ],
    ids=["setdefault", "setdefault of a known key", "|=", "update", "pop", "popitem", "clear", "pop of no key"],
)
def test_every_change_of_session_data_changes_the_session(
    change: Callable[[SessionData], Any], expected: tuple[str | None, dict[str, int]]
) -> None:
    session = AgentSession(session_id="s", session_state={"n": 1})
    data = session.session_data
    change(data)
    assert (session.session_name, session.session_state) == expected
    assert {"session_name": None, "session_state": {}, **data} == {
        "session_name": expected[0],
        "session_state": expected[1],
    }


def test_session_data_can_be_assigned() -> None:
    session = AgentSession(session_id="s", session_state={"n": 1}, forked_from_session_id="r")
    session.session_data |= {"session_name": "New"}
    assert (session.session_name, session.session_state) == ("New", {"n": 1})
    session.session_data = {"session_state": {"n": 2}}
    assert (session.session_name, session.session_state) == (None, {"n": 2})
    session.session_data = None
    assert (session.session_name, session.session_state) == (None, {})
    with pytest.raises(InvalidInputError, match=r"session_data\['color'\] is not stored"):
        session.session_data |= {"color": "red"}
    with pytest.raises(InvalidInputError, match=r"session_data\['forked_from_session_id'\] cannot be deleted"):
        session.session_data.pop("forked_from_session_id")


def test_a_fork_under_agnos_name_is_the_id_of_the_new_session(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db)
    agent.run("hi", session_id="s")
    fork = agent.fork_session(source_session_id="s")
    session = db.get_session(fork)
    assert session is not None
    assert session.session_data["forked_from_session_id"] == "s"
    assert agent.run("on", session_id=fork).run_index == 1
    with pytest.raises(InvalidInputError, match="got both session_id and source_session_id"):
        agent.fork_session("s", source_session_id="s")  # type: ignore[call-overload]


async def test_session_methods_of_agno_have_async_versions(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db)
    await agent.arun("hi", session_id="s")
    assert isinstance(await agent.afork_session(source_session_id="s"), str)
    session = await agent.aget_session("s", runs_limit=0)
    assert session is not None
    assert session.runs == []
    assert (await agent.asave_session(session)).session_id == "s"


def test_a_team_session_and_a_workflow_session_have_inputs_and_outputs(db: Db) -> None:
    team = Team([Agent(FunctionModel(echo))], model=FunctionModel(echo), id="t", db=db)
    workflow = Workflow([lambda step_input: f"done {step_input.input}"], db=db)
    for text in ("a", "b"):
        team.run(text, session_id="t")
        workflow.run(text, session_id="w")
    of_team, of_workflow = team.get_session("t"), workflow.get_session("w")
    assert isinstance(of_team, TeamSession)
    assert of_team.get_team_history() == [("a", "re: a"), ("b", "re: b")]
    assert (of_team.get_team_history("t", 1), of_team.get_team_history("other")) == ([("b", "re: b")], [])
    assert isinstance(of_workflow, WorkflowSession)
    assert of_workflow.get_workflow_history(1) == [("b", "done b")]


def test_a_run_that_is_put_into_a_session_replaces_the_one_with_its_id() -> None:
    session = AgentSession(session_id="s")
    run = RunOutput(session_id="s", input="one")
    session.upsert_run(run)
    session.upsert_run(RunOutput(session_id="s", run_id=run.run_id, input="two"))
    assert [each.input for each in session.runs] == ["two"]


@pytest.mark.parametrize("store", MissingStore.__subclasses__())
def test_a_store_that_only_agno_has_names_the_nearest_one(store: type[MissingStore]) -> None:
    with pytest.raises(InvalidInputError, match=f"agno_nb has no {store.__name__}; "):
        store(db_url="mongodb://localhost")


def test_the_errors_of_missing_stores_are_about_them() -> None:
    with pytest.raises(InvalidInputError, match=r"no JsonDb; use SqliteDb\(db_file=...\).*export_session"):
        JsonDb(db_path="tmp")
    with pytest.raises(InvalidInputError, match=r"no MongoDb; use PostgresDb\(db_url=...\)"):
        MongoDb(db_url="x")


def test_the_history_of_a_team_and_of_a_workflow_as_text(db: Db) -> None:
    team = Team([Agent(FunctionModel(echo), id="m")], model=FunctionModel(echo), id="team", db=db, session_id="t")
    workflow = Workflow([lambda step_input: "done"], id="flow", db=db, session_id="w")
    for runnable in (team, workflow):
        for text in ("a", "b"):
            runnable.run(text)
    of_team, of_workflow = team.get_session(), workflow.get_session()
    assert isinstance(of_team, TeamSession)
    assert isinstance(of_workflow, WorkflowSession)
    assert of_team.get_team_history_context(num_runs=1) == "<team_history>\ninput: b\noutput: re: b\n</team_history>"
    assert of_team.get_team_history_context("another") is None
    assert of_workflow.get_workflow_history_context() == (
        "<workflow_history>\ninput: a\noutput: done\ninput: b\noutput: done\n</workflow_history>"
    )
    assert of_workflow.get_workflow_history_context(0) is None


def test_messages_of_members(db: Db) -> None:
    leader = ScriptedModel([call("delegate_task_to_member", member_id="m", task="task"), "All done."])
    team = Team([Agent(FunctionModel(echo), id="m", name="m")], model=leader, id="team", db=db, session_id="s")
    team.run("go")
    roles = ["system", "tool"]
    own = team.get_session_messages(skip_roles=roles)
    every = team.get_session_messages(skip_roles=roles, skip_member_messages=False)
    assert contents(own) == ["go", None, "All done."]
    assert contents(every) == ["go", None, "All done.", "task", "re: task"]
    assert contents(team.get_session_messages(skip_roles=roles, member_ids=["m"])) == ["task", "re: task"]


def test_a_name_is_generated_without_storing_it(db: Db) -> None:
    agent = Agent(ScriptedModel(["Hi.", "Greetings"]), db=db, session_id="s")
    agent.run("hello")
    session = agent.get_session()
    assert session is not None
    assert agent.generate_session_name(session=session) == "Greetings"
    assert agent.get_session_name() is None


def test_a_team_session_takes_a_run_by_both_names() -> None:
    session, run = TeamSession(session_id="s"), RunOutput(session_id="s")
    session.upsert_run(run)
    session.upsert_run(run_response=run)  # type: ignore[call-arg]
    assert session.runs == [run]
