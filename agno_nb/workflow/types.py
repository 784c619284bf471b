"""The input of workflows and steps, and functions that combine outputs. Also agno's path of related values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.run.context import RunContext
from agno_nb.tools.history import previous_turns
from agno_nb.tools.result import to_text
from agno_nb.types import (
    MEDIA_KEYWORDS,
    NOT_IN_DICTS,
    DictMethods,
    ExecutorType,
    JsonDict,
    Media,
    OnError,
    OnReject,
    OnTimeout,
    PauseKind,
    Session,
    StepInputField as UserInputField,
    StepKind,
    StepOutput,
    StepRequirement,
    StepStatus,
    StepType,
    WithMedia,
    WorkflowSession,
    history_as_text,
)
from agno_nb.workflow.human_review import HumanReview

__all__ = [
    "ErrorRequirement",
    "ExecutorType",
    "HumanReview",
    "OnError",
    "OnReject",
    "OnTimeout",
    "PauseKind",
    "StepInput",
    "StepOutput",
    "StepRequirement",
    "StepType",
    "UserInputField",
    "WorkflowExecutionInput",
]

ErrorRequirement = StepRequirement
"""agno's name for the requirement of a failed step, whose `purpose` is "error"."""


@suggest_on_unknown_kwarg({}, joined=MEDIA_KEYWORDS)
@dataclass(frozen=True, kw_only=True, repr=False)
class WorkflowExecutionInput(DictMethods, WithMedia):
    """Input of a workflow. A function that is the workflow gets it as `execution_input`."""

    input: str
    """Input of the workflow."""
    additional_data: JsonDict | None = None
    """Values passed to ``run(additional_data=...)``."""
    media: Sequence[Media] = ()
    """The media passed to the run."""

    def get_input_as_string(self) -> str:
        """Return `input`."""
        return self.input

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.input!r})"


@suggest_on_unknown_kwarg({}, joined=MEDIA_KEYWORDS)
@dataclass(frozen=True, kw_only=True, repr=False)
class StepInput(WorkflowExecutionInput):
    """Input of a step: the workflow's input and the outputs of earlier steps.

    `additional_data` also has the answers of a person: `user_input`, and for a repeated step `previous_output` and
    `rejection_feedback`.
    """

    previous_step_content: Any = None
    """Content of the previous step that did not fail; None for the first step."""
    previous_step_outputs: dict[str, StepOutput] = field(default_factory=dict)
    """Outputs of earlier steps by name. For repeated names and iterations, the latest output."""
    run_context: RunContext | None = field(default=None, metadata=NOT_IN_DICTS)
    """The workflow's run. None for an input that you made yourself."""
    workflow_session: Session | None = field(default=None, metadata=NOT_IN_DICTS)
    """The workflow's session, for :meth:`get_workflow_history`. You may pass one to an input that you make yourself."""

    @property
    def session_state(self) -> JsonDict:
        """The session's state, shared by all steps. Change it in place; it is stored at the end of each step."""
        return {} if self.run_context is None else self.run_context.session_state

    workflow_session_state = session_state

    @property
    def message(self) -> str:
        """Input for an agent, team or workflow: the content of the previous step, or else the workflow's input."""
        return self.input if self.previous_step_content is None else to_text(self.previous_step_content)

    def get_step_output(self, step_name: str) -> StepOutput | None:
        """Return the output of an earlier step, or None."""
        return self.previous_step_outputs.get(step_name)

    def get_step_content(self, step_name: str) -> Any:
        """Return the content of an earlier step, or None. For parallel steps it is a dict by name."""
        output = self.previous_step_outputs.get(step_name)
        if output is not None and output.kind == "parallel":
            return {str(each.step_name): each.content for each in output.steps}
        return output.content if output is not None else None

    def get_all_previous_content(self) -> str:
        """Return the content of all earlier steps as text, each under its name."""
        return merge_outputs(
            output for output in self.previous_step_outputs.values() if not output.steps and output.content is not None
        )

    def get_last_step_content(self) -> Any:
        """Return `previous_step_content`."""
        return self.previous_step_content

    def get_workflow_history(self, num_runs: int | None = None) -> list[tuple[str, str]]:
        """Return input and output of the session's completed runs, oldest first; at most `num_runs` of the latest."""
        count = None if num_runs is None else max(num_runs, 0)
        if self.run_context is None:
            session = self.workflow_session
            return session.get_workflow_history(count) if isinstance(session, WorkflowSession) else []
        return [(run.input, run.get_content_as_string()) for run in previous_turns(self.run_context, count)]

    def get_workflow_history_context(self, num_runs: int | None = None) -> str | None:
        """Return the earlier runs as text for a prompt, or None if there are none."""
        return history_as_text("workflow_history", self.get_workflow_history(num_runs))

    def with_data(self, **values: Any) -> StepInput:
        """Return the input with `values` in its `additional_data`."""
        return replace(self, additional_data={**(self.additional_data or {}), **values})

    def append(self, output: StepOutput) -> StepInput:
        """Return the input of the step after one with `output`."""
        known = self.previous_step_outputs | {each.step_name or each.path: each for each in flatten(output)}
        if output.status is StepStatus.SKIPPED or output.content is None:
            return replace(self, previous_step_outputs=known)
        return replace(self, previous_step_content=output.content, previous_step_outputs=known)

    def __repr__(self) -> str:
        return f"StepInput({self.input!r}, after {list(self.previous_step_outputs)})"


def flatten(output: StepOutput) -> list[StepOutput]:
    """Return the outputs nested in `output`, followed by `output` itself."""
    return [each for inner in output.steps for each in flatten(inner)] + [output]


def merge_outputs(outputs: Any) -> str:
    """Return the contents of several steps as one text, each under its name."""
    return "\n\n".join(f"## {output.step_name}\n\n{to_text(output.content)}" for output in outputs)


def combine(outputs: list[StepOutput], *, step_name: str, path: str, kind: StepKind, content: Any) -> StepOutput:
    """Return the output of a group of steps."""
    return StepOutput(
        content,
        step_name=step_name,
        path=path,
        kind=kind,
        steps=outputs,
        stop=any(output.stop for output in outputs),
        success=all(output.success for output in outputs),
    )
