"""Workflows with an agent that answers from earlier runs or has the steps run."""

from __future__ import annotations

from typing import Any

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, ToolSpec
from agno_nb.workflow import Step, Workflow, WorkflowAgent

from .flows import results, upper

requests: list[tuple[list[str], list[str]]] = []


def decide(messages: list[Message], tools: list[ToolSpec]) -> Reply:
    requests.append(([message.role for message in messages], [each.name for each in tools]))
    system, last = messages[0].content or "", messages[-1]
    if last.role == "tool":
        return f"The result is {last.content}."
    return "From before." if f"input: {last.content}\n" in system else call("run_workflow", query=f"{last.content}!")


def conversation(*steps: Any) -> Workflow:
    requests.clear()
    agent = WorkflowAgent(FunctionModel(decide), instructions="Be kind.")
    return Workflow([*steps], agent=agent, name="Line", db=InMemoryDb())


def test_the_agent_has_the_steps_run_once_and_then_answers_from_history() -> None:
    line = conversation(upper)
    run = line.run("hi", session_id="s")
    assert (run.content, results(run)) == ("HI!", [("upper", "HI!")])
    again = line.run("hi", session_id="s")
    assert (again.content, again.step_results) == ("From before.", [])
    assert requests == [
        (["system", "user"], ["run_workflow"]),
        (["system", "user", "assistant", "tool"], ["run_workflow"]),
        (["system", "user"], ["run_workflow"]),
    ]
    nested = line.store.get_run(run.run_id).nested_runs[0]  # type: ignore[union-attr]
    assert (nested.component_name, nested.content) == (None, "The result is HI!.")


def test_a_step_that_waits_pauses_the_conversation() -> None:
    line = conversation(Step(executor=upper, requires_confirmation=True))
    run = line.run("hi", session_id="s")
    stored = line.store.get_run(run.run_id)
    assert stored is not None
    assert [each.question for each in stored.active_requirements] == ["Line asks to run step 'upper'"]
    stored.steps_requiring_confirmation[0].confirm()
    run = line.continue_run(stored)
    assert (run.status, run.content, len(requests)) == ("COMPLETED", "HI!", 2)


def test_a_session_has_the_runs_of_the_workflow_and_is_named_by_its_first_input() -> None:
    line = conversation(upper)
    line.run("hi there", session_id="s")
    session = line.get_session("s")
    assert session is not None
    assert [(run.kind, run.input, len(run.nested_runs)) for run in session.runs] == [("workflow", "hi there", 1)]
    assert line.set_session_name("s", autogenerate=True).session_name == "hi there"


def test_a_call_for_a_person_may_have_the_name_of_the_tool() -> None:
    @tool(name="run_workflow", external_execution=True)
    def run_elsewhere(query: str) -> str:
        raise AssertionError

    worker = Agent(ScriptedModel([call("run_workflow", query="q"), "Worked."]), name="worker", tools=[run_elsewhere])
    line = conversation(worker)
    run = line.run("hi", session_id="s")
    (requirement,) = run.active_requirements
    requirement.set_external_execution_result("42")
    assert (requirement.component_name, line.continue_run(run).content) == ("worker", "Worked.")
