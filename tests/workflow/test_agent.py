"""Workflows with an agent that answers from earlier runs or has the steps run."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, ToolSpec
from agno_nb.workflow import Step, StepInput, Workflow, WorkflowAgent

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


@pytest.mark.parametrize("how", ["sync", "async"])
def test_functions_return_the_instructions_and_tools_of_the_agent(how: str) -> None:
    def look(word: str) -> str:
        """Look up a word."""
        return word

    def instructions(session_state: dict[str, Any]) -> str:
        return f"Speak {session_state['language']}."

    async def async_instructions(session_state: dict[str, Any]) -> list[str]:
        return [instructions(session_state)]

    async def async_tools(dependencies: dict[str, Any]) -> list[Any]:
        return [look]

    settings: dict[str, Any] = {"instructions": instructions, "tools": lambda: [look]}
    if how == "async":
        settings = {"instructions": async_instructions, "tools": async_tools}
    model = FunctionModel(lambda messages, tools: "Hei.")
    line = Workflow([upper], agent=WorkflowAgent(model, **settings), db=InMemoryDb())
    assert line.run("hi", session_state={"language": "Finnish"}).content == "Hei."
    (request,) = model.requests
    assert "Speak Finnish." in (request.messages[0].content or "")
    assert [each.name for each in request.tools] == ["look", "run_workflow"]


def test_instructions_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="instructions is 5; pass a string"):
        WorkflowAgent("demo", instructions=5)  # type: ignore[arg-type]
    line = Workflow([upper], agent=WorkflowAgent("demo", instructions=lambda: 5), db=InMemoryDb())
    with pytest.raises(InvalidInputError, match=r"the result of the function in instructions is \[5, "):
        line.run("hi")


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


def two_queries(messages: list[Message], tools: list[ToolSpec]) -> Reply:
    told = [message.content for message in messages if message.role == "tool"]
    if len(told) == 3:
        return " ".join(map(str, told))
    return call("run_workflow", query="cat" if told else "dog") if len(told) < 2 else call("run_workflow", query="dog")


@pytest.mark.parametrize("reviews", [False, True], ids=["at once", "with pauses, in new processes"])
def test_the_steps_run_once_for_each_query_of_the_agent(reviews: bool) -> None:
    queries, db = list[str](), InMemoryDb()

    def shout(step_input: StepInput) -> str:
        queries.append(step_input.message)
        return step_input.message.upper()

    def line() -> Workflow:
        step = Step(executor=shout, requires_confirmation=reviews)
        return Workflow([step], agent=WorkflowAgent(FunctionModel(two_queries)), name="Line", db=db)

    run = line().run("Both", session_id="s")
    while run.is_paused:
        (requirement,) = run.active_requirements
        requirement.confirm()
        run = line().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
    assert (run.content, queries) == ("DOG CAT DOG", ["dog", "cat"])
    assert results(run) == [("shout", "DOG"), ("#2/shout", "CAT")]


def test_several_calls_of_one_answer_run_the_steps_for_each_query() -> None:
    def ask_at_once(messages: list[Message], tools: list[ToolSpec]) -> Reply:
        told = [message.content for message in messages if message.role == "tool"]
        return " ".join(map(str, told)) or [call("run_workflow", query=each) for each in ("dog", "cat", "dog")]

    line = Workflow([upper], agent=WorkflowAgent(FunctionModel(ask_at_once)), db=InMemoryDb())
    run = line.run("All")
    assert (run.content, results(run)) == ("DOG CAT DOG", [("upper", "DOG"), ("#2/upper", "CAT")])
