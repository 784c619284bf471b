"""agno's keywords, attributes and constructors of runs, sessions and steps, with their meaning."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agno_nb.agent import Agent, FallbackConfig
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, UnknownArgumentError
from agno_nb.hooks import hook
from agno_nb.media import Image
from agno_nb.models.fallback import FallbackConfig as FallbackConfigOfModels
from agno_nb.run import RunContext
from agno_nb.run.agent import RunOutput
from agno_nb.session import AgentSession, Session, TeamSession, WorkflowSession
from agno_nb.team import FallbackConfig as FallbackConfigOfTeams, Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, SessionSummary, SessionType
from agno_nb.utils import log
from agno_nb.workflow import Loop, Step, StepInput, StepOutput, Workflow
from agno_nb.workflow.agent import WorkflowAgent

PIXEL = b"GIF89a\x01\x00\x01\x00"
STATE = {"session_state": {"n": 1}}


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


def contents(messages: list[Message]) -> list[str | None]:
    return [message.content for message in messages]


def turn(question: str, answer: str) -> RunOutput:
    messages = [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return RunOutput(session_id="s", input=question, content=answer, messages=messages)


# Sessions that a program makes.


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (
            AgentSession(session_id="s", agent_id="desk", team_id=None, session_data={"session_state": {"n": 1}}),
            "agent",
        ),
        (TeamSession(session_id="s", team_id="desk", session_data={"session_state": {"n": 1}}), "team"),
        (WorkflowSession(session_id="s", workflow_id="desk", session_state={"n": 1}, workflow_name="D"), "workflow"),
        (Session(session_id="s", team_id="desk", session_state={"n": 1}, session_data={"session_state": {}}), "team"),
    ],
    ids=["agent", "team", "workflow", "base class"],
)
def test_a_session_is_made_with_the_keywords_of_agno_and_stored(made: Session, kind: str, db: Db) -> None:
    assert getattr(made, f"{kind}_id") == "desk"
    db.upsert_session(made)
    stored = db.get_session("s", session_type=SessionType(kind))
    assert stored is not None
    assert (stored.component_id, stored.session_state) == ("desk", {"n": 1})


def test_the_team_around_an_agent_is_not_the_id_of_its_session() -> None:
    session = AgentSession(session_id="s", agent_id="clerk", team_id="desk", workflow_id="shop")
    assert (session.session_type, session.agent_id, session.team_id) == (SessionType.AGENT, "clerk", None)


def test_a_session_has_the_runs_and_the_summary_that_it_is_made_with() -> None:
    runs = [turn("Owl?", "A bird."), turn("Elk?", "A deer.")]
    session = AgentSession(session_id="s", runs=runs, summary=SessionSummary(summary="Animals."))
    assert session.runs == runs
    assert contents(session.get_messages()) == ["Owl?", "A bird.", "Elk?", "A deer."]
    assert contents(session.messages) == contents(session.get_messages())
    assert contents(session.get_chat_history(last_n_runs=1)) == ["Elk?", "A deer."]
    assert session.get_session_summary() == SessionSummary(summary="Animals.", updated_at=session.summary.updated_at)  # type: ignore[union-attr]
    assert session.metrics.total_tokens is None


def test_a_session_with_runs_that_a_store_does_not_have_is_refused(db: Db) -> None:
    with pytest.raises(InvalidInputError, match=r"which is not in this store.*import_session"):
        db.upsert_session(AgentSession(session_id="s", runs=[turn("Owl?", "A bird.")]))
    assert db.get_session("s") is None


def test_a_session_whose_runs_are_stored_comes_back_from_a_dict(db: Db) -> None:
    Agent(ScriptedModel(["A bird."]), id="a", db=db).run("Owl?", session_id="s")
    stored = db.get_session("s")
    assert stored is not None
    session = AgentSession.from_dict({**stored.to_dict(), "session_data": {"session_state": {"n": 2}}})
    session.session_state["n"] = 3
    assert db.upsert_session(session).session_state == {"n": 3}


def test_session_data_that_is_not_stored_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"session_data\['images'\] is not stored"):
        AgentSession(session_id="s", session_data={"images": []})


def test_a_run_is_made_with_the_keywords_of_agno() -> None:
    run = RunOutput(session_id="s", team_id="desk", team_name="Desk", agent_id=None, member_responses=[turn("a", "b")])
    assert (run.kind, run.component_id, run.component_name) == (SessionType.TEAM, "desk", "Desk")
    assert [member.input for member in run.nested_runs] == ["a"]


@pytest.mark.parametrize("method", ["get_session", "get_run"])
def test_rows_as_dicts_are_refused_with_the_alternative(method: str, db: Db) -> None:
    read: Any = getattr(db, method)
    assert read("s", deserialize=True) is None
    with pytest.raises(UnknownArgumentError, match=r"deserialize=False.*to_dict\(\)"):
        read("s", deserialize=False)


@pytest.mark.parametrize("name", ["add_tool", "as_tool", "save"])
def test_a_missing_method_of_agno_is_explained(name: str) -> None:
    agent = Agent("demo")
    assert not hasattr(agent, name)
    with pytest.raises(AttributeError, match=f"no attribute {name!r}: agno_nb has no "):
        getattr(agent, name)
    with pytest.raises(AttributeError, match=r"'Agent' object has no attribute 'zzz'$"):
        getattr(agent, "zz" + "z")


def test_storing_a_run_is_explained(db: Db) -> None:
    with pytest.raises(AttributeError, match="runs are stored as they happen"):
        db.upsert_run(turn("a", "b"))  # type: ignore[attr-defined]


# Runs with the context of another run.


def test_a_run_has_the_dependencies_and_metadata_of_the_run_context_of_a_call(db: Db) -> None:
    seen: list[RunContext] = []

    def note(run_context: RunContext) -> str:
        seen.append(run_context)
        return "noted"

    inner = Agent(ScriptedModel([call("note"), "done"]), tools=[note], dependencies={"unit": "m"})

    def delegate(run_context: RunContext) -> str:
        return str(inner.run("Note it.", run_context=run_context, metadata={"part": 2}).content)

    outer = Agent(ScriptedModel([call("delegate"), "ok"]), tools=[delegate], db=db)
    run = outer.run("Go", dependencies={"city": "Oslo"}, session_state={"n": 1}, metadata={"ticket": 7})
    (context,) = seen
    assert context.dependencies == {"unit": "m", "city": "Oslo"}
    assert context.session_state == {"n": 1}
    assert context.metadata == {"part": 2}  # The call's own value wins.
    assert context.session_id == run.session_id


def test_a_run_context_must_be_one() -> None:
    with pytest.raises(InvalidInputError, match="run_context is 'x'; pass the run_context of a tool"):
        Agent("demo").run("Hi", run_context="x")  # type: ignore[call-overload]


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "completed"])
def test_metadata_of_a_continued_run_is_merged_and_stored(is_paused: bool, db: Db) -> None:
    @tool(requires_confirmation=is_paused)
    def send() -> str:
        """Send it."""
        return "sent"

    agent = Agent(ScriptedModel([call("send"), "done", "again"]), tools=[send], db=db)
    run = agent.run("Send", session_id="s", metadata={"ticket": 7, "part": 1})
    for requirement in run.active_requirements:
        requirement.confirm()
    continued = agent.continue_run(run_id=run.run_id, requirements=run.requirements, metadata={"part": 2})
    stored = db.get_run(continued.run_id)
    assert stored is not None
    assert stored.metadata is not None
    assert {name: stored.metadata[name] for name in ("ticket", "part")} == {"ticket": 7, "part": 2}


def test_hooks_see_the_tools_and_the_schema_of_the_run() -> None:
    seen: list[Any] = []

    @hook(run_in_background=True)
    def look(run_context: RunContext) -> None:
        seen.append((list(run_context.tools), run_context.output_schema))

    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    Agent(ScriptedModel(['{"n": 1}']), tools=[turn], post_hooks=[look], output_schema=schema).run("Hi")
    assert seen == [([turn], schema)]


def test_a_hook_decorator_returns_the_function() -> None:
    assert hook(turn) is turn
    assert hook(run_in_background=False)(turn) is turn


# Workflows.


def test_events_within_a_workflow_have_the_index_of_their_step() -> None:
    def last(step_input: StepInput) -> str:
        return "end"

    poet = Agent(ScriptedModel(["a", "b"]), name="poet")
    loop = Loop([Step("write", agent=poet)], name="twice", max_iterations=2)
    flow = Workflow([last, loop, Step("last", executor=last)])
    events = list(flow.run("Go", stream=True, stream_events=True))
    indexes = {(event.step, event.step_index) for event in events}
    assert indexes == {
        (None, None), ("last", 0), ("twice", 1), ("twice[0]", 1), ("twice[1]", 1), ("twice[0]/write", 1),
        ("twice[1]/write", 1), ("last#2", 2),
    }  # fmt: skip
    assert {event.step_index for event in events if event.agent_id == "poet"} == {1}


def test_outputs_have_the_names_of_their_executors(db: Db) -> None:
    def count(step_input: StepInput) -> StepOutput:
        return StepOutput("2")

    poet = Step("write", agent=Agent(ScriptedModel(["ab"]), id="p", name="Poet"), strict_input_validation=True)
    assert (poet.executor_name, poet.executor_type) == ("Poet", "agent")
    run = Workflow([poet, count], db=db).run("Go", session_id="s")
    assert [each.executor_name for each in run.step_results] == ["Poet", "count"]
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [each.executor_name for each in stored.step_results] == ["Poet", None]
    (nested,) = run.nested_runs
    assert nested.workflow_step_id == "write"
    assert StepOutput("x", step_type="Router").kind == "router"


@pytest.mark.parametrize("stores", [True, False])
def test_store_executor_outputs(stores: bool, db: Db) -> None:
    poet = Agent(ScriptedModel(["Leaves fall."]), id="poet")
    flow = Workflow([poet], id="flow", db=db, store_executor_outputs=stores)
    run = flow.run("Go", session_id="s")
    stored = db.get_run(run.run_id, "s")
    assert stored is not None
    (nested,) = stored.nested_runs
    assert [each.content for each in stored.step_results] == ["Leaves fall."]
    assert (nested.content, len(nested.messages)) == (("Leaves fall.", 2) if stores else (None, 0))
    history = flow.get_session_messages("s", member_ids=["poet"])
    assert contents(history) == (["Go", "Leaves fall."] if stores else [])


@pytest.mark.parametrize("kind", ["team", "workflow"])
def test_media_of_nested_runs_are_not_stored_if_those_of_the_run_are_not(kind: str, db: Db) -> None:
    member = Agent(ScriptedModel(["seen"]), id="member")
    delegate = [call("delegate_task_to_member", member_id="member", task="Look"), "ok"]
    runnable = (
        Workflow([member], db=db, store_media=False)
        if kind == "workflow"
        else Team([member], model=ScriptedModel(delegate), db=db, store_media=False)
    )
    run = runnable.run("Look", session_id="s", images=[Image(content=PIXEL)])
    assert [len(message.images) for message in run.nested_runs[0].messages if message.role == "user"] == [1]
    stored = db.get_run(run.run_id, "s")
    assert stored is not None
    assert [each.media for one in (stored, *stored.nested_runs) for each in one.messages if each.media] == []


def test_a_step_input_of_a_program_has_the_history_of_its_session() -> None:
    runs = [turn("Owl?", "A bird."), turn("Elk?", "A deer.")]
    for run in runs:
        run.status = type(run.status).COMPLETED
    step_input = StepInput(input="Fox?", workflow_session=WorkflowSession(session_id="s", runs=runs))
    assert step_input.get_workflow_history() == [("Owl?", "A bird."), ("Elk?", "A deer.")]
    assert step_input.get_workflow_history(1) == [("Elk?", "A deer.")]
    assert StepInput(input="Fox?").get_workflow_history() == []


def test_a_session_is_read_or_created(db: Db) -> None:
    flow = Workflow([lambda step_input: "done"], id="flow", db=db, session_state={"n": 1})
    created = flow.read_or_create_session("s", user_id="ada")
    assert (created.workflow_id, created.user_id, created.session_state) == ("flow", "ada", {"n": 1})
    assert db.get_session("s") is None
    flow.run("Go", session_id="s", session_state={"n": 2})
    assert flow.read_or_create_session(session_id="s").session_state == {"n": 2}


def test_the_settings_of_a_workflow_are_a_dict_and_its_steps_are_passed_again(db: Db) -> None:
    flow = Workflow([turn], name="Flow", db=db, num_history_runs=5, session_state={"n": 1}, store_media=False)
    config = flow.to_dict()
    assert config == {"name": "Flow", "num_history_runs": 5, "session_state": {"n": 1}, "store_media": False}
    again = Workflow.from_dict(config, steps=[lambda step_input: "done"], db=db)
    assert (again.component_id, again.num_history_runs, again.run("Go").content) == ("flow", 5, "done")


def test_the_run_of_the_agent_of_a_workflow(db: Db) -> None:
    agent = WorkflowAgent(model=ScriptedModel(["From memory."]))
    run = Workflow([lambda step_input: "done"], agent=agent, db=db).run("Go")
    assert run.workflow_agent_run is run.nested_runs[0]
    assert run.workflow_agent_run.content == "From memory."


def test_requirements_name_the_agent_and_the_executor(db: Db) -> None:
    @tool(requires_confirmation=True)
    def send() -> str:
        """Send it."""
        return "sent"

    clerk = Agent(ScriptedModel([call("send"), "done"]), id="clerk", name="Clerk", tools=[send])
    run = Workflow([Step("mail", agent=clerk)], db=db).run("Go", session_id="s")
    stored = db.get_run(run.run_id, "s")
    assert stored is not None
    for each in (run, stored):
        (requirement,) = each.active_requirements
        assert (requirement.member_agent_id, requirement.member_agent_name) == ("clerk", "Clerk")
        (executor,) = each.steps_requiring_executor_resolution
        assert (executor.executor_id, executor.executor_session_id) == ("clerk", "s")
        assert executor.executor_requirements == [requirement]


def test_requirements_of_steps_have_no_executor() -> None:
    run = Workflow([Step("go", executor=lambda step_input: "x", requires_confirmation=True)], db=InMemoryDb()).run("Go")
    (requirement,) = run.step_requirements
    assert not requirement.needs_executor_resolution
    assert requirement.executor_requirements is None


# Other names.


def test_classes_are_at_the_paths_of_agno() -> None:
    assert FallbackConfig is FallbackConfigOfTeams is FallbackConfigOfModels


def test_loggers_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("logger", "agent_logger", "team_logger", "workflow_logger"):
        monkeypatch.setattr(log, name, getattr(log, name))
    own = log.build_logger("shop", source_type="agent")
    assert own is logging.getLogger("shop")
    log.configure_agno_logging(custom_team_logger=own)
    log.use_team_logger()
    assert log.logger is own
    log.use_agent_logger()
    assert log.logger is log.agent_logger is logging.getLogger("agno_nb")
    log.configure_agno_logging(custom_default_logger=own)
    assert log.logger is own
