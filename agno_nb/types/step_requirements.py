"""Requirements of paused workflows: steps that wait for approval, values, a choice, a review or a decision.

A :class:`StepRequirement` is a :class:`Requirement` whose "call" is the step: the call's name is the name of the step,
and its arguments are the values to show. So it is stored, displayed and answered like any other requirement.

The file is long because agno's requirement of a step has a method or attribute for each kind of question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, Self, cast

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types.basics import Alias, JsonDict, brief, to_plain_text
from agno_nb.types.messages import ToolCall
from agno_nb.types.requirements import JSON_TYPES, Requirement, UserInputField
from agno_nb.types.steps import StepOutput, last_name

StepPurpose = Literal["confirmation", "user_input", "route_selection", "output_review", "iteration_review", "error"]
"""What a step needs: approval, values, the choice of a route, a review of its output, or a decision about its error."""


class OnReject(StrEnum):
    """What happens to a step that a person rejects."""

    skip = "skip"
    """The step has no output, and the workflow continues."""
    cancel = "cancel"
    """The workflow ends, with the status CANCELLED."""
    else_branch = "else"
    """For conditions: `else_steps` run."""
    retry = "retry"
    """For reviews of outputs: the step runs again. For reviews of iterations: the loop continues."""


class OnError(StrEnum):
    """What happens if a step fails after all retries."""

    fail = "fail"
    """The run fails."""
    skip = "skip"
    """The workflow continues."""
    pause = "pause"
    """The run pauses until a person decides: retry or skip."""


class OnTimeout(StrEnum):
    """What happens without an answer in time. The time is compared when the run is continued."""

    cancel = "cancel"
    skip = "skip"
    approve = "approve"


_CALL_PREFIX = "step:"
"""How the call IDs of step requirements begin; the purpose and the path of the step follow."""
_SELECTION = "selection"
_OUTPUT = "output"

_TYPE_NAMES = {**JSON_TYPES, **{each: each for each in JSON_TYPES.values()}, "text": "string"}


@suggest_on_unknown_kwarg({})
class StepInputField(UserInputField):
    """A value that a person must provide before a step runs.

    Parameters
    ----------
    name : str
    field_type : {"str", "int", "float", "bool", "list", "dict"}, default "str"
    description : str, optional
    value : optional
        The value, if it is given already.
    required : bool, default True
        Whether the value must be given.
    allowed_values : sequence, optional

    Raises
    ------
    InvalidInputError
        There is no such `field_type`, or `value` is not of it.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        field_type: str = "str",
        description: str | None = None,
        value: Any = None,
        required: bool = True,
        allowed_values: Sequence[Any] | None = None,
    ) -> None:
        if field_type not in _TYPE_NAMES:
            raise InvalidInputError(f"field_type of {name!r} is {field_type!r}; pass one of {', '.join(JSON_TYPES)}")
        json_type = _TYPE_NAMES[field_type]
        schema: JsonDict = {"type": json_type} if required else {"type": [json_type, "null"], "default": None}
        if allowed_values is not None:
            schema["enum"] = [*allowed_values] if required else [*allowed_values, None]
        super().__init__(name=name, description=description or "", schema=schema)
        if value is not None:
            self.set_value(value)

    @classmethod
    def for_route(cls, choices: Sequence[str], *, multiple: bool) -> Self:
        """Return the field for the route of a router."""
        field, one = cls(_SELECTION), {"type": "string", "enum": [*choices]}
        field.schema = {"type": "array", "items": one, "minItems": 1} if multiple else one
        return field

    @classmethod
    def from_stored(cls, values: JsonDict) -> Self:
        """Return a field with the stored attributes of one."""
        field = object.__new__(cls)
        UserInputField.__init__(field, **values)
        return field

    @classmethod
    def from_any(cls, value: UserInputField | Mapping[str, Any]) -> UserInputField:
        """Return a new field like `value`, which is a field, or a dict with its `name` and `field_type`.

        Raises
        ------
        InvalidInputError
            It is neither.
        """
        if isinstance(value, UserInputField):
            return deepcopy(value)
        if not isinstance(value, Mapping) or "name" not in value:
            raise InvalidInputError(
                f"user_input_schema has {value!r}; pass UserInputField(name=..., field_type=...) or such a dict"
            )
        return cls(**value)

    @property
    def field_type(self) -> str:
        """Type of the value: "str", "int", "float", "bool", "list" or "dict"."""
        types = self.schema.get("type", "string")
        json_type = types if isinstance(types, str) else types[0]
        return next((name for name, each in JSON_TYPES.items() if each == json_type), json_type)

    @property
    def required(self) -> bool:
        """Whether a person has to fill in the field."""
        return not self.has_default

    @property
    def allowed_values(self) -> list[Any] | None:
        """The values that a person can choose from; None for any."""
        values = self.schema.get("enum")
        return None if values is None else [each for each in values if each is not None or self.required]


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False)
class StepRequirement(Requirement):
    """A step of a paused workflow that needs a person.

    Depending on the need, resolve it with :meth:`confirm`, :meth:`reject`, :meth:`set_user_input`, :meth:`select`,
    :meth:`edit`, :meth:`retry` or :meth:`skip`; then continue the run.
    """

    @classmethod
    def for_step(
        cls,
        purpose: StepPurpose,
        path: str,
        *,
        run_id: str,
        component_name: str | None,
        component_id: str | None,
        fields: Sequence[UserInputField] = (),
        **values: Any,
    ) -> Self:
        """Return a requirement of a workflow's run for the step at `path`. `values` that are None are left out."""
        arguments = json.dumps({name: each for name, each in values.items() if each is not None}, ensure_ascii=False)
        call = ToolCall(
            tool_call_id=cls.call_id(purpose, path),
            tool_name=last_name(path),
            arguments=arguments,
            user_input_schema=[*fields],
        )
        kind: Literal["confirmation", "user_input"] = "user_input" if fields else "confirmation"
        return cls(kind=kind, tool=call, run_id=run_id, component_name=component_name, component_id=component_id)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the requirement of a dict of :meth:`to_dict`."""
        made = super().from_dict(data)
        attributes = [
            {each.name: getattr(field, each.name) for each in fields(field)} for field in made.user_input_fields
        ]
        made.user_input_fields = [StepInputField.from_stored(each) for each in attributes]
        return made

    @staticmethod
    def call_id(purpose: StepPurpose, path: str) -> str:
        """Return the ID of the call that stands for a step."""
        return f"{_CALL_PREFIX}{purpose}:{path}"

    @staticmethod
    def is_call_id(tool_call_id: str) -> bool:
        """Whether a call stands for a step."""
        return tool_call_id.startswith(_CALL_PREFIX)

    @property
    def purpose(self) -> StepPurpose:
        """What the step needs."""
        return cast("StepPurpose", self.tool.tool_call_id.split(":", 2)[1])

    @property
    def path(self) -> str:
        """Path of the step."""
        return self.tool.tool_call_id.split(":", 2)[2]

    step_id = Alias[str]("path")

    @property
    def values(self) -> JsonDict:
        """The values to show: the message, the output under review, the choices; and what the answers mean."""
        values: JsonDict = json.loads(self.tool.arguments)
        return values

    def _set_value(self, name: str, value: Any) -> None:
        self.tool.arguments = json.dumps(self.values | {name: value}, ensure_ascii=False)

    @property
    def step_name(self) -> str:
        """Name of the step."""
        return str(self.values.get("step_name") or self.tool.tool_name)

    @property
    def step_index(self) -> int | None:
        """Position of the step in the workflow's list of steps, from 0; for a nested step, of the group around it."""
        return self.values.get("step_index")

    @property
    def step_type(self) -> str:
        """For example "Step" or "Router"."""
        return str(self.values.get("step_type", "Step"))

    @property
    def message(self) -> str | None:
        """The message of the step's settings to the person."""
        return self.values.get("message")

    confirmation_message = Alias[str | None]("message")
    user_input_message = Alias[str | None]("message")
    output_review_message = Alias[str | None]("message")

    @property
    def requires_confirmation(self) -> bool:
        """Whether a person decides if the step runs."""
        return self.purpose == "confirmation"

    @property
    def requires_user_input(self) -> bool:
        """Whether a person fills in fields of the step."""
        return self.purpose == "user_input"

    @property
    def requires_route_selection(self) -> bool:
        """Whether a person chooses the steps of a router."""
        return self.purpose == "route_selection"

    @property
    def requires_output_review(self) -> bool:
        """Whether a person reviews the output of the step or of a loop's iteration."""
        return self.purpose in ("output_review", "iteration_review")

    is_post_execution = requires_output_review
    # Calls of a step's agent or team have requirements of their own, in an ExecutorRequirement.
    requires_executor_input = needs_executor_resolution = False
    executor_id = executor_name = executor_type = executor_run_id = executor_session_id = executor_requirements = None

    @property
    def step_output(self) -> StepOutput | None:
        """For a review: the output of the step. The content is text."""
        if not self.requires_output_review:
            return None
        values = self.values
        inner = [StepOutput(each["content"], step_name=each["step_name"]) for each in values.get("steps", ())]
        return StepOutput(values.get("output"), step_name=self.step_name, path=self.path, steps=inner)

    @property
    def available_choices(self) -> list[str]:
        """For routers: the names of the steps to choose from."""
        return list(self.values.get("choices", ()))

    @property
    def allow_multiple_selections(self) -> bool:
        """Whether several routes can be chosen."""
        return bool(self.values.get("allow_multiple_selections"))

    @property
    def selected_choices(self) -> list[str] | None:
        """The routes that were chosen; None before that."""
        selected = [each.value for each in self.user_input_fields if each.name == _SELECTION and each.is_given]
        if not selected:
            return None
        return list(selected[0]) if isinstance(selected[0], list) else [selected[0]]

    @property
    def user_input(self) -> JsonDict | None:
        """The values given."""
        return {each.name: each.value for each in self.user_input_fields if each.is_given} or None

    @user_input.setter
    def user_input(self, values: Mapping[str, Any]) -> None:
        self.provide_user_input(values)

    @property
    def error_message(self) -> str:
        """Message of the error that the step failed with."""
        return str(self.values.get("error", ""))

    @property
    def error_type(self) -> str | None:
        """Class name of that error."""
        return self.values.get("error_type")

    @property
    def retry_count(self) -> int:
        """How often the step was run again because of earlier answers."""
        return int(self.values.get("retry_count", 0))

    @property
    def max_retries(self) -> int | None:
        """Maximum number of times that the step runs again after a rejection."""
        return self.values.get("max_retries")

    @property
    def on_reject(self) -> OnReject:
        """What a rejection leads to. It can be changed together with the answer."""
        return OnReject(self.values.get("on_reject", OnReject.skip))

    @on_reject.setter
    def on_reject(self, value: OnReject | str) -> None:
        self._set_value("on_reject", OnReject(value))

    @property
    def on_timeout(self) -> OnTimeout:
        """What happens if there is no answer in time."""
        return OnTimeout(self.values.get("on_timeout", OnTimeout.cancel))

    @property
    def timeout_at(self) -> datetime | None:
        """Time after which `on_timeout` applies."""
        seconds = self.values.get("timeout_at")
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

    @property
    def is_timed_out(self) -> bool:
        """Whether `on_timeout` applies, because there was no answer in time."""
        if self.timeout_at is None or datetime.now(UTC) < self.timeout_at:
            return False
        # Not `is_resolved`, which is true for all requirements after the run has continued.
        fields = self.user_input_fields
        is_answered = any(each.is_given for each in fields) and all(
            each.is_given or each.has_default for each in fields
        )
        return self.confirmed is None and not (self.kind == "user_input" and is_answered)

    @property
    def _is_resolved(self) -> bool:
        return super()._is_resolved or self.is_timed_out

    rejection_feedback = Alias[str | None]("note")

    @suggest_on_unknown_kwarg({"feedback": "note"})
    def reject(self, note: str | None = None) -> None:
        """Reject the step; `on_reject` says what happens then.

        Parameters
        ----------
        note : str, optional
            Reason. If the step runs again, it is sent to the step's agent.
        """
        super().reject(note)

    def edit(self, new_output: Any) -> None:
        """Approve the output of a step with changes.

        Raises
        ------
        InvalidInputError
            The requirement is not a review, or `new_output` cannot be written as JSON.
        """
        if not self.requires_output_review:
            raise InvalidInputError(f"{self} is not a review of an output; edit() cannot resolve it")
        edited = UserInputField(name=_OUTPUT)
        edited._set(new_output if isinstance(new_output, str) else edited.check(new_output), is_given=True)
        self.confirm()
        self.user_input_fields = [edited]

    @property
    def edited_output(self) -> Any:
        """The output that replaces the step's, or None."""
        edited = [each.value for each in self.user_input_fields if each.name == _OUTPUT and each.is_given]
        return edited[0] if edited and self.requires_output_review else None

    def set_user_input(self, validate: bool = True, **values: Any) -> None:
        """Set values, as :meth:`provide_user_input` does.

        Parameters
        ----------
        validate : bool, default True
            With False, values are not compared with the schema.
        """
        if validate:
            self.provide_user_input(values)
            return
        fields = {each.name: each for each in self.user_input_fields}
        for name, value in values.items():
            known = fields.get(name) or UserInputField(name=name)
            known._set(value, is_given=True)
            if name not in fields:
                self.user_input_fields.append(known)

    def get_user_input(self, field_name: str) -> Any:
        """Return a value given, or None."""
        return (self.user_input or {}).get(field_name)

    def select(self, *choices: str) -> None:
        """Choose the route of a router, or several if it allows that.

        Raises
        ------
        InvalidInputError
            The router has no such choice, or allows one only.
        """
        if len(choices) != 1 and not self.allow_multiple_selections:
            raise InvalidInputError(f"{self} takes one choice, got {len(choices)}; set allow_multiple_selections=True")
        self.provide_user_input({_SELECTION: [*choices] if self.allow_multiple_selections else choices[0]})

    def select_single(self, choice: str) -> None:
        """Choose one route; see :meth:`select`."""
        self.select(choice)

    def select_multiple(self, choices: Sequence[str]) -> None:
        """Choose several routes; see :meth:`select`."""
        self.select(*choices)

    def retry(self) -> None:
        """Run a failed step again."""
        self.confirm()

    def skip(self) -> None:
        """Continue without a failed step."""
        self.reject()

    @property
    def decision(self) -> Literal["retry", "skip"] | None:
        """For a failed step: the decision."""
        return None if self.confirmed is None else "retry" if self.confirmed else "skip"

    @property
    def needs_confirmation(self) -> bool:
        """Whether the decision if the step runs is missing."""
        return self.requires_confirmation and not self.is_resolved

    @property
    def needs_user_input(self) -> bool:
        """Whether the fields are not filled in yet."""
        return self.requires_user_input and not self.is_resolved

    @property
    def needs_route_selection(self) -> bool:
        """Whether the choice of steps is missing."""
        return self.requires_route_selection and not self.is_resolved

    @property
    def needs_output_review(self) -> bool:
        """Whether the review is missing."""
        return self.requires_output_review and not self.is_resolved

    @property
    def needs_decision(self) -> bool:
        """Whether the decision what to do after the error is missing."""
        return self.purpose == "error" and not self.is_resolved

    @property
    def is_approved(self) -> bool:
        """Whether the answer, or the time that has run out, lets the step continue."""
        if self.is_timed_out:
            return self.on_timeout is OnTimeout.approve
        return self.confirmed is not False

    @property
    def rejection(self) -> OnReject:
        """What the rejection, or the time that has run out, leads to."""
        return OnReject(self.on_timeout) if self.is_timed_out else self.on_reject

    def ask_again(self) -> None:
        """Keep the answer: a step whose process died runs again without another question."""

    @property
    def starts_when_continued(self) -> bool:
        """Whether continuing the run executes what was approved."""
        return self._is_resolved and not self.tool.is_finished

    @property
    def shown_arguments(self) -> str:
        """The values to show to a person, as JSON. The others say what the answers mean."""
        shown = {name: each for name, each in self.values.items() if name in ("message", "output", "error")}
        return json.dumps(shown, ensure_ascii=False)

    @property
    def subject(self) -> str:
        """What the requirement is about, in words."""
        return f"step {self.path!r}"

    def copy_answer_from(self, other: Requirement) -> None:
        if isinstance(other, StepRequirement) and other.has_answer and other.tool is not self.tool:
            self.on_reject = other.on_reject
            known = {each.name for each in self.user_input_fields}
            self.user_input_fields += [each for each in other.user_input_fields if each.name not in known]
        super().copy_answer_from(other)

    @property
    def question(self) -> str:
        """The question to show to a person."""
        asker, step, message = self.component_name or "The workflow", displayable(self.step_name), self.message
        intro = f"{asker}: {message}" if message else f"{asker} {_QUESTIONS[self.purpose].format(step=step)}"
        lines = [intro]
        if self.requires_output_review:
            lines.append(str(self.values.get("output") or ""))
        if self.purpose == "error":
            lines.append(f"{self.error_message} (approve to run the step again, reject to skip it)")
        lines += [f"  {each.name}{_described(each)}" for each in self.user_input_fields if not each.is_given]
        return "\n".join(lines)

    def __str__(self) -> str:
        return displayable(f"requirement {self.requirement_id} (step {self.path!r})")

    def __repr__(self) -> str:
        state = "resolved" if self.is_resolved else "open"
        return f"StepRequirement({self.purpose}, {brief(displayable(self.path))}, {state})"


_QUESTIONS: dict[StepPurpose, str] = {
    "confirmation": "asks to run step {step!r}",
    "user_input": "asks for values for step {step!r}",
    "route_selection": "asks for the route of {step!r}",
    "output_review": "asks to review the output of step {step!r}",
    "iteration_review": "asks to review an iteration of {step!r}; approve to end the loop",
    "error": "asks what to do about the failed step {step!r}",
}


def _described(field: UserInputField) -> str:
    choices = field.schema.get("enum") or field.schema.get("items", {}).get("enum")
    text = f" ({', '.join(to_plain_text(each) for each in choices)})" if choices else f" ({field.field_type})"
    return f"{text}: {field.description}" if field.description else text


@suggest_on_unknown_kwarg({})
@dataclass(frozen=True, kw_only=True)
class ExecutorRequirement:
    """A paused agent or team of a step, with the requirements of its calls, as agno shows them.

    Resolve `executor_requirements`. They are among the run's `requirements` too.
    """

    step_name: str
    step_id: str
    """Path of the step."""
    executor_name: str | None
    executor_type: str
    """"agent", "team" or "workflow"."""
    executor_run_id: str
    executor_id: str | None = None
    executor_session_id: str | None = None
    executor_requirements: list[Requirement] = field(default_factory=list)

    requires_executor_input = True
    requires_confirmation = requires_user_input = requires_route_selection = requires_output_review = False
    needs_confirmation = needs_user_input = needs_route_selection = needs_output_review = False

    @property
    def is_resolved(self) -> bool:
        """Whether all requirements of the executor's run are resolved."""
        return all(each.is_resolved for each in self.executor_requirements)

    @property
    def needs_executor_resolution(self) -> bool:
        """Whether a requirement of the executor's run is not resolved."""
        return not self.is_resolved
