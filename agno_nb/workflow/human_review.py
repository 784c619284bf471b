"""Human review of steps: questions before a step, a review of its output, and decisions about its errors.

A question is a :class:`StepRequirement` of the workflow's run. The run pauses, and when it is continued, the steps run
again from the first one: completed steps return their stored results, and questions have their answers. So a step
with a review runs the same way in every group, in a stream, and in another process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, NestedRunPaused, describe, failed_save
from agno_nb.tools.invoke import call_sync_or_async
from agno_nb.tools.result import to_text
from agno_nb.types import (
    OnError,
    OnReject,
    OnTimeout,
    RunEvent,
    StepInputField,
    StepOutput,
    StepPurpose,
    StepRequirement,
    StepStatus,
    UserInputField,
    now,
    whole_number,
)

if TYPE_CHECKING:
    from agno_nb.workflow.execution import Node, WorkflowExecution
    from agno_nb.workflow.types import StepInput

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[..., Any])


class WorkflowRejected(BaseException):
    """A person rejected a step, and the workflow ends. Not an Exception, so that steps don't handle it."""


@suggest_on_unknown_kwarg({"hitl_max_retries": "max_retries", "hitl_timeout": "timeout"})
@dataclass
class HumanReview:
    """What a person decides about a step: whether it runs, with which values, and whether its output is used.

    Raises
    ------
    InvalidInputError
        A setting has an invalid value.
    """

    _: KW_ONLY
    requires_confirmation: bool = False
    """Ask before the step runs."""
    confirmation_message: str | None = None
    requires_user_input: bool = False
    """Ask for values before the step runs; for routers, for the route."""
    user_input_message: str | None = None
    user_input_schema: Sequence[UserInputField | Mapping[str, Any]] | None = None
    """The values. The step gets them as ``step_input.additional_data["user_input"]``, an agent in its message."""
    allow_multiple_selections: bool = False
    """For routers: whether several routes can be chosen."""
    requires_output_review: bool | Callable[[StepOutput], Any] = False
    """Ask about the output before the next step gets it; a function of the output decides for each output."""
    output_review_message: str | None = None
    requires_iteration_review: bool = False
    """For loops: ask after each iteration but the last one. Approval ends the loop."""
    iteration_review_message: str | None = None
    on_reject: OnReject | str | None = None
    """"skip", "cancel", "else" or "retry"; defaults to "else" for conditions and to "skip" for others."""
    on_error: OnError | str | None = None
    """"fail", "skip" or "pause"; defaults to "fail"."""
    max_retries: int = 3
    """How often an output can be rejected with `on_reject` "retry". The next rejection cancels the workflow."""
    timeout: float | None = None
    """Seconds after which `on_timeout` applies. The time is compared when the run is continued."""
    on_timeout: OnTimeout | str = OnTimeout.cancel
    """"cancel", "skip" or "approve"."""

    def __post_init__(self) -> None:
        self.on_reject = _member(OnReject, "on_reject", self.on_reject)
        self.on_error = _member(OnError, "on_error", self.on_error)
        self.on_timeout = _member(OnTimeout, "on_timeout", self.on_timeout) or OnTimeout.cancel
        if whole_number("max_retries", self.max_retries, least=0) is None:
            raise InvalidInputError("max_retries is None; pass a number of retries, or 0 for none")
        is_number = isinstance(self.timeout, int | float) and not isinstance(self.timeout, bool)
        if self.timeout is not None and not (is_number and self.timeout >= 0):
            raise InvalidInputError(f"timeout is {self.timeout!r}; pass seconds, or None to wait without limit")

    def check(self, owner: str, supported: frozenset[str]) -> None:
        """Raise an InvalidInputError if a kind of review is set that `owner` does not support."""
        kinds = ("confirmation", "user_input", "output_review", "iteration_review")
        for kind in kinds:
            if getattr(self, f"requires_{kind}") and kind not in supported:
                can = ", ".join(f"requires_{each}" for each in kinds if each in supported) or "no review"
                raise InvalidInputError(f"{owner} does not support requires_{kind}; it supports {can}")


def _member(enum: Any, name: str, value: Any) -> Any:
    if value is None or value in tuple(enum):
        return None if value is None else enum(value)
    raise InvalidInputError(f"{name} is {value!r}; pass one of {', '.join(repr(each.value) for each in enum)}")


_OWN_OF_STEPS = {"max_retries", "timeout"}
_FLAT = {each.name: each.name for each in fields(HumanReview) if each.name not in _OWN_OF_STEPS}
FLAT_KEYWORDS = _FLAT | {"hitl_max_retries": "max_retries", "hitl_timeout": "timeout"}
"""Settings of :class:`HumanReview` that steps and groups accept as keywords too, as agno 2 does."""


def takes_review_keywords(cls: C) -> C:
    """Make a class of steps accept the settings of `human_review` as keywords of its own."""
    init = cls.__init__

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        flat = {FLAT_KEYWORDS[name]: kwargs.pop(name) for name in [*kwargs] if name in FLAT_KEYWORDS}
        if flat:
            if kwargs.get("human_review") is not None:
                raise TypeError(
                    f"{cls.__name__}() got {next(iter(flat))!r} and human_review; put it in HumanReview(...)"
                )
            kwargs["human_review"] = HumanReview(**flat)
        init(self, *args, **kwargs)

    cls.__init__ = checked
    return cls


@suggest_on_unknown_kwarg({})
def pause(
    name: str | None = None,
    requires_confirmation: bool = False,
    confirmation_message: str | None = None,
    requires_user_input: bool = False,
    user_input_message: str | None = None,
    user_input_schema: Sequence[UserInputField | Mapping[str, Any]] | None = None,
) -> Callable[[F], F]:
    """Decorate a function with the human review of the steps that it is the executor of.

    Parameters
    ----------
    name : str, optional
        Name of the step, unless the step has one.
    requires_confirmation, confirmation_message, requires_user_input, user_input_message, user_input_schema
        As in :class:`HumanReview`.
    """
    review = HumanReview(
        requires_confirmation=requires_confirmation,
        confirmation_message=confirmation_message,
        requires_user_input=requires_user_input,
        user_input_message=user_input_message,
        user_input_schema=user_input_schema,
    )

    def decorate(function: F) -> F:
        function.step_name, function.human_review = name, review  # type: ignore[attr-defined]
        return function

    return decorate


class Questions:
    """The questions about one node at one place."""

    event_of: ClassVar[dict[str, RunEvent]] = {
        "route_selection": RunEvent.router_paused,
        "output_review": RunEvent.step_output_review,
        "iteration_review": RunEvent.step_output_review,
    }

    def __init__(self, node: Node, execution: WorkflowExecution) -> None:
        assert node.human_review is not None
        self.node, self.execution, self.review = node, execution, node.human_review
        self._has_asked = False

    def find(self, purpose: StepPurpose, path: str | None = None) -> StepRequirement | None:
        """Return the question about `path` if it was asked."""
        run = self.execution.context.run
        call_id = StepRequirement.call_id(purpose, path or self.execution.path)
        for each in run.requirements:
            if isinstance(each, StepRequirement) and each.run_id == run.run_id and each.tool.tool_call_id == call_id:
                return each
        return None

    def ask(
        self, purpose: StepPurpose, message: str | None, *, path: str | None = None, **values: Any
    ) -> StepRequirement:
        """Return the question about `path`, which is asked if that has not been done."""
        context, review = self.execution.context, self.review
        path = path or self.execution.path
        requirement = self.find(purpose, path)
        if requirement is None:
            requirement = StepRequirement.for_step(
                purpose,
                path,
                run_id=context.run_id,
                component_name=context.run.component_name,
                component_id=context.run.component_id,
                message=message,
                step_name=self.node.name,
                step_index=self.execution.index,
                step_type=self.node.step_type,
                on_reject=review.on_reject or self.node.default_on_reject,
                timeout_at=None if review.timeout is None else now() + review.timeout,
                on_timeout=None if review.timeout is None else review.on_timeout,
                **values,
            )
            context.run.requirements.append(requirement)
            self._has_asked = True
            event = self.event_of.get(purpose, RunEvent.step_paused)
            context.emit(event, step=path, details=_event_details(requirement))
        elif requirement.is_resolved and not requirement.tool.is_finished:
            requirement.tool.is_finished = True
            context.emit(RunEvent.step_continued, step=path)
        return requirement

    def wait_for(self, *requirements: StepRequirement) -> None:
        """Pause the run unless all questions have their answers."""
        if self._has_asked or not all(each.is_resolved for each in requirements):
            raise NestedRunPaused(self.execution.context.run)

    def before(self, attempt: int) -> list[StepRequirement]:
        """Return the answers to the questions before the step runs."""
        review, asked = self.review, list[StepRequirement]()
        if review.requires_confirmation and attempt == 0:
            asked.append(self.ask("confirmation", review.confirmation_message))
        if choices := self.node.selectable:
            if review.requires_user_input or attempt:
                multiple = review.allow_multiple_selections
                field = StepInputField.for_route(choices, multiple=multiple)
                values: dict[str, Any] = {"choices": choices, "allow_multiple_selections": multiple}
                asked.append(self.ask("route_selection", review.user_input_message, fields=[field], **values))
        elif review.requires_user_input and attempt == 0:
            schema = [StepInputField.from_any(each) for each in review.user_input_schema or ()]
            asked.append(self.ask("user_input", review.user_input_message, fields=schema))
        self.wait_for(*asked)
        return asked

    async def review_output(self, output: StepOutput, attempt: int) -> StepRequirement | None:
        """Return the answer to the review of an output, or None if it needs none."""
        requires = self.review.requires_output_review
        if callable(requires) and self.find("output_review") is None:
            requires = await call_sync_or_async(functools.partial(requires, output))
        if not requires:
            return None
        inner = [{"step_name": each.step_name, "content": to_text(each.content)} for each in output.steps]
        answer = self.ask(
            "output_review",
            self.review.output_review_message,
            output=None if output.content is None else to_text(output.content),
            steps=inner or None,
            choices=self.node.selectable or None,
            retry_count=attempt,
            max_retries=self.review.max_retries,
        )
        self.wait_for(answer)
        return answer

    async def run_with_errors(self, step_input: StepInput, decision: Any) -> StepOutput:
        """Run the node; if it fails, do what `on_error` says."""
        for attempt in count():
            path = f"{self.execution.path}[{attempt}]" if attempt else self.execution.path
            answer = self.find("error", path)
            if answer is None:
                try:
                    return await self.node.execute(step_input, self.execution, decision)
                except Exception as error:
                    policy = self.review.on_error
                    if policy in (None, OnError.fail) or failed_save(error) is not None:
                        raise
                    if policy is OnError.skip:
                        return await self.skipped(describe(error))
                    answer = self.ask(
                        "error", None, path=path, error=str(error), error_type=type(error).__name__, retry_count=attempt
                    )
            else:
                self.ask("error", None, path=path)
            self.wait_for(answer)
            if not answer.is_approved:
                return await self.skipped(answer.error_message)
        raise AssertionError

    async def skipped(self, error: str) -> StepOutput:
        """Return the output of a step that is skipped."""
        output = StepOutput(
            step_name=self.node.name,
            path=self.execution.path,
            kind=self.node.output_kind,
            iteration=self.execution.iteration,
            success=False,
            error=error,
            status=StepStatus.SKIPPED,
        )
        # At the path of a group is its decision.
        stored = self.execution.completed.get(self.execution.path)
        if not self.node.is_group and (stored is None or stored.status is not StepStatus.SKIPPED):
            await self.execution.record(output)
        return output

    def cancel_if(self, answer: StepRequirement) -> None:
        """End the workflow if that is what a rejection leads to."""
        if answer.rejection is OnReject.cancel:
            why = "nobody answered in time" if answer.is_timed_out else "a person rejected it"
            reason = f": {answer.note}" if answer.note else ""
            raise WorkflowRejected(f"the workflow ended at step {answer.path!r}, because {why}{reason}")


def _event_details(requirement: StepRequirement) -> dict[str, Any]:
    """Return the attributes of agno's events of a pause."""
    return {
        "requires_confirmation": requirement.requires_confirmation,
        "requires_user_input": requirement.requires_user_input,
        "requires_output_review": requirement.requires_output_review,
        "confirmation_message": requirement.message,
        "user_input_message": requirement.message,
        "output_review_message": requirement.message,
        "user_input_schema": requirement.user_input_schema,
        "available_choices": requirement.available_choices,
        "allow_multiple_selections": requirement.allow_multiple_selections,
    }


async def run_reviewed(node: Node, step_input: StepInput, execution: WorkflowExecution) -> StepOutput:
    """Run a node that has a `human_review`."""
    for attempt in count():
        place = replace(execution, path=f"{execution.path}[{attempt}]") if attempt else execution
        questions, decision = Questions(node, place), None
        for answer in questions.before(attempt):
            if not answer.is_approved:
                questions.cancel_if(answer)
                if answer.rejection is not OnReject.else_branch or not node.takes_else:
                    return await questions.skipped(_rejected(answer))
            if answer.purpose == "user_input" and answer.user_input:
                step_input = step_input.with_data(user_input=answer.user_input)
            decision = node.decision_of(answer)
        output = await questions.run_with_errors(step_input, decision)
        review = None if output.status is StepStatus.SKIPPED else await questions.review_output(output, attempt)
        if review is None:
            return output
        if review.is_approved:
            return await _edited(output, review, questions)
        questions.cancel_if(review)
        if review.rejection is not OnReject.retry:
            return await questions.skipped(_rejected(review))
        if attempt >= questions.review.max_retries:
            raise WorkflowRejected(f"the output of step {review.path!r} was rejected {attempt + 1} times")
        step_input = step_input.with_data(previous_output=review.values.get("output"), rejection_feedback=review.note)
    raise AssertionError


def _rejected(answer: StepRequirement) -> str:
    if answer.is_timed_out:
        return "nobody answered in time"
    return f"rejected: {answer.note}" if answer.note else "rejected"


async def _edited(output: StepOutput, review: StepRequirement, questions: Questions) -> StepOutput:
    """Return an approved output, with the content that a person gave it."""
    content = review.edited_output
    if content is None or content == output.content:
        return output
    output = replace(output, content=content)
    if not questions.node.is_group:
        await questions.execution.record(output)
    return output


def message_with_answers(text: str, data: Mapping[str, Any] | None) -> str:
    """Return the message for an agent with the values, and the feedback on its earlier output, that a person gave."""
    data, parts = data or {}, [text]
    if values := data.get("user_input"):
        parts.append("Values given by the user:\n" + "\n".join(f"- {name}: {value}" for name, value in values.items()))
    if previous := data.get("previous_output"):
        parts.append(f"This was your last answer:\n{previous}")
        parts.append(
            f"The reviewer rejected it{': ' if data.get('rejection_feedback') else '.'}"
            f"{data.get('rejection_feedback') or ''}"
        )
    return "\n\n".join(part for part in parts if part)
