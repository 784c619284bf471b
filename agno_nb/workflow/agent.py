"""The agent of a workflow that is a conversation: it answers from earlier runs, or has the steps run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.agent import Agent
from agno_nb.errors import NestedRunPaused
from agno_nb.run.context import RunContext, call_setting
from agno_nb.tools import tool
from agno_nb.tools.result import to_text
from agno_nb.types import Requirement, RunOutput, StepOutput, ToolCall
from agno_nb.workflow.types import StepInput


@tool(external_execution=True)
def run_workflow(query: str) -> str:
    """Run the workflow on a query and return its result. Call it once for a new query.

    Parameters
    ----------
    query : str
        The query, with everything that the workflow needs to know.
    """
    raise NotImplementedError  # The workflow runs its steps and gives the result.


@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False, kw_only=True)
class WorkflowAgent(Agent):
    """An agent for ``Workflow(agent=...)``, which decides whether the steps run.

    For the model, the workflow is the tool `run_workflow`. Each message is a run of the workflow, in which the agent
    answers from the earlier ones, or calls the tool.
    """

    add_workflow_history: bool = True
    """Add input and output of the workflow's latest runs to the system prompt."""
    num_history_runs: int = 5
    """Number of latest runs to add."""

    def __post_init__(self) -> None:
        self._own_instructions = self.instructions
        self._own_tools = self.tools
        self.check_prompt_settings()
        self.instructions = self._all_instructions
        self.tools = self._all_tools if callable(self.tools) else [*(self.tools or ()), run_workflow]
        super().__post_init__()

    async def _all_tools(self, run_context: RunContext) -> list[Any]:
        own: Any = self._own_tools
        return [*(await call_setting("tools", own, self, run_context) or ()), run_workflow]

    async def _all_instructions(self, run_context: RunContext) -> list[str]:
        own: Any = self._own_instructions
        if callable(own):
            own = await call_setting("instructions", own, self, run_context)
        texts = [*own] if isinstance(own, list | tuple) else [own] if own else []
        workflow = run_context.parent
        if workflow is None:
            return texts
        texts.append(
            "You answer the messages to a workflow. If its earlier runs contain the answer, give it. Otherwise call "
            "run_workflow once for each query, and answer with its results."
        )
        if self.add_workflow_history:
            step_input = StepInput(input="", run_context=workflow)
            history = await asyncio.to_thread(step_input.get_workflow_history_context, self.num_history_runs)
            texts += [history] if history else []
        return texts


async def converse(
    agent: Agent,
    text: str,
    context: RunContext,
    run_steps: Callable[[str, int], Coroutine[Any, Any, list[StepOutput]]],
) -> tuple[RunOutput, list[StepOutput]]:
    """Run the agent of a workflow, and the steps for each query of its calls. Return its run and the steps' outputs.

    There are no outputs if the steps did not run, or ran for several queries, so that only the agent's answer has all.

    The agent's run pauses at the call, like one that waits for external execution. So the steps run in the workflow's
    own run, and may pause it; when it is continued, the agent's paused run is found again.
    """
    outputs = dict[str, list[StepOutput]]()
    own = [run for run in context.run.nested_runs if run.step is None and run.component_id == agent.component_id]
    run = next((run for run in own if run.is_paused), None)
    if run is None:
        run = await agent.arun(text, **context.child_options(agent))
    while run.is_paused:
        calls = [each for each in run.active_requirements if is_call_of_workflow(each, run)]
        if len(calls) < len(run.active_requirements):
            raise NestedRunPaused(run)
        queries = _queries(run, text)
        for call in calls:
            query = _query(call.tool, text)
            if query not in outputs:
                outputs[query] = await run_steps(query, queries.index(query))
            content = next((each.content for each in reversed(outputs[query]) if each.content is not None), None)
            call.set_external_execution_result("" if content is None else to_text(content))
        run = await agent.acontinue_run(run)
    return run, next(iter(outputs.values()), []) if len(_queries(run, text)) == 1 else []


def _query(call: ToolCall, text: str) -> str:
    return str(call.tool_args.get("query", text))


def _queries(run: RunOutput, text: str) -> list[str]:
    """Return the different queries of the calls of the workflow, in the order in which the agent made them."""
    calls = [call for call in run.tools if call.tool_name == run_workflow.name]
    return list(dict.fromkeys(_query(call, text) for call in calls))


def is_call_of_workflow(requirement: Requirement, run: RunOutput) -> bool:
    """Whether a requirement is the call of the workflow in `run` of its agent, which no person executes."""
    return (requirement.run_id, requirement.kind, requirement.tool.tool_name) == (
        run.run_id,
        "external_execution",
        run_workflow.name,
    )
