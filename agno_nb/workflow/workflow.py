"""The workflow: a runnable whose answer is the output of its last step."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import NestedRunPaused, leaves
from agno_nb.run.configuration import Configuration
from agno_nb.run.context import RunContext
from agno_nb.run.options import first_set
from agno_nb.run.runnable import Runnable
from agno_nb.run.session_methods import async_variant
from agno_nb.types import (
    Message,
    RunEvent,
    RunOutput,
    RunStatus,
    Session,
    SessionType,
    StepOutput,
    StepStatus,
    WorkflowSession,
    now,
)
from agno_nb.workflow.agent import WorkflowAgent, converse, is_call_of_workflow
from agno_nb.workflow.execution import Node, WorkflowExecution
from agno_nb.workflow.human_review import WorkflowRejected
from agno_nb.workflow.steps import StepLike, run_sequence, to_nodes
from agno_nb.workflow.types import StepInput, WorkflowExecutionInput

__all__ = ["RunOutput", "Workflow"]


@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False)
class Workflow(Runnable, Configuration):
    """A fixed order of steps: agents, teams, functions, other workflows, and groups of them.

    Each step gets the output of the one before. Results are stored as each step ends, so a failed or interrupted run
    continues at its first unfinished step with :meth:`continue_run`. Steps without a store run in the workflow's
    session, and all steps share its state.

    Raises
    ------
    InvalidInputError
        There are no steps, or an element is not a step.

    Examples
    --------
    >>> from agno_nb.agent.agent import Agent
    >>> from agno_nb.testing import ScriptedModel
    >>> from agno_nb.workflow import Workflow
    >>> def count(step_input):
    ...     return f"{len(step_input.message.split())} words"
    >>> run = Workflow([Agent(ScriptedModel(["Leaves fall."]), name="poet"), count]).run("A haiku on autumn")
    >>> run.content, [step.step_name for step in run.step_results]
    ('2 words', ['poet', 'count'])
    """

    kind: ClassVar[SessionType] = SessionType.WORKFLOW
    continuable: ClassVar[frozenset[RunStatus]] = frozenset(RunStatus) - {RunStatus.COMPLETED}

    steps: StepLike = ()
    """The steps, in order."""
    _: KW_ONLY
    agent: WorkflowAgent | None = None
    """An agent that answers each message from earlier runs, or has the steps run on it."""
    add_workflow_history_to_steps: bool = False
    """Add input and output of the session's latest runs to the input of agents, teams and workflows in steps."""
    num_history_runs: int = 3
    """Number of latest runs to add."""
    add_dependencies_to_context: bool = False
    """Add the dependencies to the system prompts of the agents and teams in steps."""
    add_session_state_to_context: bool = False
    """Add the session's state to their system prompts."""
    store_executor_outputs: bool = True
    """Store the messages and answers of the runs in steps. The outputs of the steps are stored in any case."""
    stream_executor_events: bool = True
    """Whether streams have the events of the agents, teams and workflows in steps, besides the workflow's own."""

    _nodes: list[Node] = field(init=False)

    get_run, aget_run = Runnable.get_run_output, Runnable.aget_run_output

    def __post_init__(self) -> None:
        super().__post_init__()
        self._nodes = to_nodes(self.steps, repr(self))

    @property
    def parts(self) -> Sequence[Runnable]:
        """The agents, teams and workflows of its steps."""
        agents = [self.agent] if self.agent is not None else []
        return [*agents, *(runnable for node in self._nodes for runnable in node.runnables)]

    def read_or_create_session(self, session_id: str, user_id: str | None = None) -> Session:
        """Return a session, or a new one with the initial state and metadata, which is not stored yet.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user.
        """
        if (found := self.get_session(session_id, user_id)) is not None:
            return found
        return WorkflowSession(
            session_id=session_id,
            session_type=self.kind,
            user_id=self.current_user_id if user_id is None else user_id,
            component_id=self.component_id,
            session_state=deepcopy(self.session_state or {}),
            metadata=deepcopy(self.metadata),
            created_at=round(now()),
        )

    aread_or_create_session = async_variant(read_or_create_session)

    def generate_session_name(self, session: Session) -> str:
        """Return the beginning of the session's first input, because a workflow has no model."""
        return session.runs[0].input[:60] if session.runs else self.name or self.component_id

    async def run_steps(self, context: RunContext) -> None:
        """Run the steps that are not completed yet."""
        run, options = context.run, context.options
        context.sends_nested_events, context.stores_nested = self.stream_executor_events, self.store_executor_outputs
        if context.message not in run.messages:
            run.messages.append(context.message)
        execution_input = WorkflowExecutionInput(
            input=run.input, additional_data=options.get("additional_data"), media=context.message.media
        )
        execution = WorkflowExecution(
            context=context,
            workflow=self,
            execution_input=execution_input,
            add_history=first_set(options.get("add_history_to_context"), self.add_workflow_history_to_steps),
            num_history_runs=first_set(options.get("num_history_runs"), self.num_history_runs),
            completed={output.path: output for output in run.step_results if output.status is not StepStatus.ERROR},
        )
        step_input = StepInput(
            input=run.input,
            additional_data=execution_input.additional_data,
            media=execution_input.media,
            run_context=context,
            workflow_session=context.session,
        )
        try:
            answer, outputs = None, list[StepOutput]()
            if self.agent is None:
                outputs = await run_sequence(self._nodes, step_input, execution)
            else:

                async def run_steps(query: str, place: int) -> list[StepOutput]:
                    # The steps of further queries have paths of their own: no step is named "".
                    of_query = replace(execution, path=f"#{place + 1}") if place else execution
                    return await run_sequence(self._nodes, replace(step_input, input=query), of_query)

                answer, outputs = await converse(self.agent, run.input, context, run_steps)
        except BaseException as error:
            # A step's function may start several runs in a task group.
            parts = [*leaves(error)]
            if rejected := next((part for part in parts if isinstance(part, WorkflowRejected)), None):
                run.status, run.content = RunStatus.CANCELLED, str(rejected)
                return
            if not any(isinstance(part, NestedRunPaused) for part in parts):
                raise
            context.collect_child_requirements(None)
            agents = [each for each in run.nested_runs if self.agent is not None and each.step is None]
            run.requirements = [
                each for each in run.requirements if not any(is_call_of_workflow(each, agent) for agent in agents)
            ]
            run.status = RunStatus.PAUSED
            return
        run.content, run.content_type = _last_output(outputs)
        if answer is not None and not outputs:
            run.content, run.content_type = answer.content, answer.content_type
        message = Message(role="assistant", content=run.get_content_as_string())
        context.recorder.add_message(message)
        context.emit(RunEvent.run_content, content=message.content)


def _last_output(outputs: list[StepOutput]) -> tuple[Any, str]:
    content = next((output.content for output in reversed(outputs) if output.content is not None), None)
    return content, "str" if content is None or isinstance(content, str) else type(content).__name__
