"""Async versions of methods and agno's attribute names are equivalent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Metrics, RunOutput, RunStatus
from agno_nb.workflow import StepInput, Workflow
from tests.run.clerk import TOOLS, paused_run


def talker() -> tuple[Agent, RunOutput]:
    agent = Agent(ScriptedModel(["first", "second"]), db=InMemoryDb(), session_id="s")
    return agent, agent.run("Hello")


async def regenerated(agent: Agent, run_id: str) -> RunOutput:
    return await agent.aregenerate(run_id)


async def regenerated_stream(agent: Agent, run_id: str) -> RunOutput:
    last = [event async for event in agent.aregenerate(run_id, stream=True)][-1]
    assert last.run_output is not None
    return last.run_output


@pytest.mark.parametrize("again", [regenerated, regenerated_stream])
async def test_a_turn_is_tried_again_awaited(again: Callable[[Agent, str], Awaitable[RunOutput]]) -> None:
    agent, first = talker()
    run = await again(agent, first.run_id)
    assert (run.session_id, run.run_index, run.attempt, run.input, run.content) == ("s", 0, 1, "Hello", "second")


async def continued(agent: Agent, run_id: str) -> RunOutput:
    return await agent.acontinue_from(run_id, "And?")


async def continued_stream(agent: Agent, run_id: str) -> RunOutput:
    last = [event async for event in agent.acontinue_from(run_id, "And?", stream=True)][-1]
    assert last.run_output is not None
    return last.run_output


@pytest.mark.parametrize("further", [continued, continued_stream])
async def test_a_session_branches_off_awaited(further: Callable[[Agent, str], Awaitable[RunOutput]]) -> None:
    agent, first = talker()
    run = await further(agent, first.run_id)
    assert (run.run_index, run.input, run.content) == (1, "And?", "second")
    branch = agent.get_session(run.session_id)
    assert branch is not None
    assert (branch.forked_from_session_id, branch.forked_from_run_id) == ("s", first.run_id)


async def test_an_answer_is_printed_awaited_as_it_is_else(capsys: pytest.CaptureFixture[str]) -> None:
    def printed() -> str:
        return re.sub(r"[<\d.]+ m?s", "T s", capsys.readouterr().out)

    Agent(ScriptedModel(["**Hello.**"])).print_response("Hi")
    there = printed()
    await Agent(ScriptedModel(["**Hello.**"])).aprint_response("Hi")
    assert "Hello." in there
    assert printed() == there


def test_agnos_names_of_a_run_say_what_ours_say() -> None:
    calls = [call("delete", path="a"), call("send", subject="hi"), call("shell", command="ls")]
    run = Agent(ScriptedModel([calls]), name="Clerk", tools=TOOLS).run("go")
    assert (run.agent_id, run.agent_name) == (run.component_id, run.component_name) == ("clerk", "Clerk")
    assert (run.is_cancelled, RunOutput(session_id="s", status=RunStatus.CANCELLED).is_cancelled) == (False, True)
    waiting = [*run.tools_requiring_confirmation, *run.tools_requiring_user_input]
    assert [*waiting, *run.tools_awaiting_external_execution] == run.tools
    metrics = Metrics(duration_s=2.0, time_to_first_token_s=1.0)
    assert (metrics.duration, metrics.time_to_first_token) == (2.0, 1.0)


def test_agnos_names_of_a_requirement_say_what_ours_say() -> None:
    _, run = paused_run()
    (requirement,) = run.requirements
    requirement.reject("not that one")
    assert (requirement.id, requirement.tool_execution) == (requirement.requirement_id, requirement.tool)
    assert (requirement.confirmation, requirement.confirmation_note) == (False, "not that one")
    run = Agent(ScriptedModel([[call("send", subject="hi"), call("shell", command="ls")]]), tools=TOOLS).run("go")
    fill, carry_out = run.requirements
    assert [field.name for field in fill.user_input_schema] == ["to", "copies"]
    carry_out.set_external_execution_result("file.txt")
    assert carry_out.external_execution_result == "file.txt"


def test_agnos_names_of_a_step_say_what_ours_say() -> None:
    def before(step_input: StepInput) -> str | None:
        given = step_input.get_step_output("poet")
        assert step_input.get_step_output("nobody") is None
        return given and given.step_run_id

    run = Workflow([Agent(ScriptedModel(["Rain"]), name="poet"), before]).run("go")
    assert run.content == run.nested_runs[0].run_id


@pytest.mark.parametrize(
    "name", ["run", "continue_run", "regenerate", "continue_from", "print_response", "fork_session"]
)
def test_an_async_version_documents_the_same_parameters(name: str) -> None:
    blocking, awaited = inspect.getdoc(getattr(Agent, name)), inspect.getdoc(getattr(Agent, f"a{name}"))
    assert blocking is not None
    assert awaited is not None
    assert awaited.startswith(f"Async version of :meth:`{name}`.")
    assert "Parameters\n----------\n" in awaited
    assert awaited.partition("\n\n")[2] == blocking.partition("\n\n")[2]
