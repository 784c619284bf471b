"""Requirements of paused runs: tool calls that need approval, user input or external execution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types.basics import Alias, Flag, JsonDict, brief, new_id
from agno_nb.types.dicts import DictMethods
from agno_nb.types.json_schema import import_jsonschema
from agno_nb.types.messages import ToolCall

ApprovalKind = Literal["confirmation", "user_input", "external_execution"]
"""A tool call may need approval, values of some arguments, or its execution by a person."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class UserInputField(DictMethods):
    """A value that a person must provide before a tool is called.

    Assigning to `value` checks the value and marks the field as given, as :meth:`set_value` does.
    """

    name: str
    """The tool's parameter."""
    description: str = ""
    schema: JsonDict = field(default_factory=dict)
    """JSON schema of the value."""
    value: Any = None
    is_given: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        # While a field is created or unpickled, `is_given` comes last.
        if name == "value" and hasattr(self, "is_given"):
            self.set_value(value)
        else:
            object.__setattr__(self, name, value)

    @property
    def field_type(self) -> str:
        """JSON type of the value, for example "string"; "any" if the schema has none."""
        schema_type = self.schema.get("type")
        return schema_type if isinstance(schema_type, str) else "any"

    @property
    def has_default(self) -> bool:
        """Whether the tool's parameter has a default, which is used if no value is given."""
        return "default" in self.schema

    def set_value(self, value: Any) -> None:
        """Set the value. Strings are parsed with :meth:`parse`.

        Raises
        ------
        InvalidInputError
            The value does not match the schema.
        """
        self._set(self.check(value), is_given=True)

    def check(self, value: Any) -> Any:
        """Return `value` as :meth:`set_value` would set it, with the same errors."""
        value = self.parse(value) if isinstance(value, str) else value
        if not _is_json(value):
            raise InvalidInputError(f"{self.name} is {value!r}, which cannot be written as JSON; pass it as a string")
        if (problem := self._problem(value)) is not None:
            raise InvalidInputError(f"invalid value {value!r} for {self.name}: {problem}")
        return value

    def parse(self, text: str) -> Any:
        """Return the value that `text` stands for: parsed JSON if it matches the schema, otherwise the text.

        ``True``, ``False`` and ``None`` are read like ``true``, ``false`` and ``null``.

        Examples
        --------
        >>> [UserInputField(name="x").parse(text) for text in ("12", '"12"', "[1]", "twelve")]
        [12, '12', [1], 'twelve']
        >>> UserInputField(name="x", schema={"type": "string"}).parse("12")
        '12'
        >>> UserInputField(name="x", schema={"type": "boolean"}).parse("False")
        False
        """
        try:
            value = json.loads(_PYTHON_WORDS.get(text, text))
        except (ValueError, RecursionError):
            return text
        # json.loads() also accepts NaN, and reads 1e999 as infinity.
        return value if _is_json(value) and self._problem(value) is None else text

    def to_text(self, value: Any) -> str:
        """Return text from which :meth:`parse` returns `value`."""
        if isinstance(value, str) and self.parse(value) == value:
            return value
        return json.dumps(value, ensure_ascii=False)

    def clear(self) -> None:
        """Remove the value."""
        self._set(None, is_given=False)

    def _set(self, value: Any, *, is_given: bool) -> None:
        object.__setattr__(self, "value", value)
        self.is_given = is_given

    def _problem(self, value: Any) -> str | None:
        validator = import_jsonschema().validators.validator_for(self.schema)(self.schema)
        problem = next(validator.iter_errors(value), None)
        return None if problem is None else str(problem.message)


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class FeedbackOption(DictMethods):
    """An option of a question."""

    label: str
    description: str | None = None


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, frozen=True)
class FeedbackQuestion(DictMethods):
    """A question with options for a person, as the model asks it with the tool `ask_user`."""

    question: str
    header: str | None = None
    options: tuple[FeedbackOption, ...] = ()
    multi_select: bool = False
    """Whether more than one option may be selected."""
    selected_options: tuple[str, ...] | None = None
    """Labels of the selected options; None without an answer."""

    def to_field(self) -> UserInputField:
        """Return the input field for the answer: the label of an option, or a list of labels."""
        labels = {"enum": [each.label for each in self.options]}
        several: JsonDict = {"type": "array", "items": labels}
        schema: JsonDict = several if self.multi_select else {"anyOf": [labels, {**several, "maxItems": 1}]}
        question = {
            "header": self.header,
            "options": [[each.label, each.description] for each in self.options],
            "multi_select": self.multi_select,
        }
        shown = "; ".join(
            f"{each.label} ({each.description})" if each.description else each.label for each in self.options
        )
        return UserInputField(name=self.question, description=shown, schema={**schema, _QUESTION: question})

    @classmethod
    def from_field(cls, field: UserInputField) -> FeedbackQuestion | None:
        """Return the question of an input field, or None if the field is not the answer to one."""
        question = field.schema.get(_QUESTION)
        if question is None:
            return None
        answer = field.value if isinstance(field.value, list) else [field.value]
        return cls(
            question=field.name,
            header=question["header"],
            options=tuple(FeedbackOption(label=label, description=text) for label, text in question["options"]),
            multi_select=question["multi_select"],
            selected_options=tuple(answer) if field.is_given else None,
        )


_QUESTION = "x-question"
"""The part of a field's JSON schema that has the question."""
_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def _is_json(value: Any) -> bool:
    """Whether a value survives a round trip through JSON. Tuples become lists, and numeric keys strings."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False)
class Requirement(DictMethods):
    """A tool call of a paused run that needs a person.

    Depending on `kind`, resolve it with :meth:`confirm`, :meth:`provide_user_input` or
    :meth:`set_external_execution_result`, or with :meth:`reject`; then continue the run. You can also set attributes,
    here or on the call: ``tool.confirmed``, ``tool.result``, and ``value`` of the input fields.
    """

    kind: ApprovalKind
    tool: ToolCall
    """The pending call with its exact arguments."""
    run_id: str
    """The run of the call: the paused run or one nested in it."""
    requirement_id: str = field(default_factory=new_id)
    component_name: str | None = None
    """Name of the agent that requested the call."""
    component_id: str | None = None
    """ID of that agent. None for requirements that an earlier version stored."""
    started_at: float | None = None
    """Unix time at which the approved call started, stored before it runs. If the call has no result, the process ended
    in between, and the call may or may not have run."""
    may_have_run: bool = False
    """Whether the call was started before, its result is unknown, and it needs a second approval."""

    # Answers are stored in the tool call, so that they can be set on either.
    user_input_fields = Alias[list[UserInputField]]("tool.user_input_schema", "For user input: the fields to fill in.")
    confirmed = Alias[bool | None]("tool.confirmed", "False if the call was rejected; True if it was approved.")
    note = Alias[str | None]("tool.confirmation_note", "Reason for the decision. Reasons for a rejection are sent.")
    resolved_by = Alias[str | None]("tool.resolved_by", "Who answered. Commands and widgets set the notebook's user.")

    member_agent_id = Alias[str | None]("component_id", "agno's name, which it sets for members of a team only.")
    member_agent_name = Alias[str | None]("component_name", "agno's name, which it sets for members of a team only.")
    member_run_id = Alias[str]("run_id", "agno's name, which it sets for members of a team only.")
    user_feedback_schema = Alias[list[FeedbackQuestion]](
        "tool.user_feedback_schema", "The questions of a call of `ask_user`; empty for other calls."
    )

    def __post_init__(self) -> None:
        self.tool.approval_kind = self.kind

    def __setattr__(self, name: str, value: Any) -> None:
        # A misspelt name must not create a new attribute.
        if name not in type(self).__dataclass_fields__ and not hasattr(type(self), name):
            raise AttributeError(
                f"a Requirement has no attribute {name!r}; resolve it with {_RESOLVING_METHODS[self.kind]}"
            )
        object.__setattr__(self, name, value)

    def confirm(self, note: str | None = None) -> None:
        """Allow the call, with exactly these arguments.

        Parameters
        ----------
        note : str, optional
            Reason, which is stored but not sent to the model.

        Raises
        ------
        InvalidInputError
            The requirement is of another kind, or the run has already continued.
        """
        self._check_open("confirmation", "confirm()")
        self.confirmed, self.note = True, note

    def reject(self, note: str | None = None) -> None:
        """Reject the call, whatever it needs. Values and results given before are removed.

        Parameters
        ----------
        note : str, optional
            Reason, which is sent to the model.

        Raises
        ------
        InvalidInputError
            The run has already continued.
        """
        self._check_open(self.kind, "reject()")
        self._clear_fields()
        self.result, self.confirmed, self.note = None, False, note

    def provide_user_input(self, values: Mapping[str, Any]) -> None:
        """Set some or all of the input fields. Fields with a default may be left out.

        Strings are parsed with :meth:`UserInputField.parse`.

        Raises
        ------
        InvalidInputError
            There is no such field, or a value does not match its schema. Nothing was set.
        """
        self._check_open("user_input", "provide_user_input()")
        fields = {each.name: each for each in self.user_input_fields}
        unknown = [name for name in values if name not in fields]
        if unknown:
            raise InvalidInputError(f"{self} has no input field {unknown[0]!r}; it has {', '.join(fields)}")
        checked = {name: fields[name].check(value) for name, value in values.items()}
        for name, value in checked.items():
            fields[name]._set(value, is_given=True)
        self.confirmed = None

    def provide_user_feedback(self, selections: Mapping[str, Sequence[str]]) -> None:
        """Answer some or all questions of a call of `ask_user`.

        Parameters
        ----------
        selections : dict
            For each question, the labels of the selected options. An empty list is an answer too.

        Raises
        ------
        InvalidInputError
            There is no such question or option, or the call asks no questions. Nothing was set.
        """
        if not self.user_feedback_schema:
            raise InvalidInputError(f"{self} has no questions; use {_RESOLVING_METHODS[self.kind]}")
        self.provide_user_input({name: [*labels] for name, labels in selections.items()})

    def set_external_execution_result(self, result: str) -> None:
        """Set the result of a call that you executed yourself.

        Parameters
        ----------
        result : str
            The result that is sent to the model.

        Raises
        ------
        InvalidInputError
            The requirement is of another kind, or `result` is not a string.
        """
        self._check_open("external_execution", "set_external_execution_result()")
        if not isinstance(result, str):
            raise self._not_text(result)
        self.confirmed, self.result = None, result

    def copy_answer_from(self, other: Requirement) -> None:
        """Copy the answer given to another copy of this requirement, if there is one."""
        if other.tool is self.tool or self.tool.is_finished:
            return
        if self.may_have_run and not other.may_have_run:
            return  # That answer was given before the question was asked a second time.
        if self.started_at is not None and other.started_at is None and other.may_have_run:
            self.ask_again()
        if not other.has_answer:
            return
        if other.confirmed is False:
            self._clear_fields()
            self.result = None
        self.confirmed, self.note, self.resolved_by = other.confirmed, other.note, other.resolved_by
        if other.result is not None:
            self.result = other.result
        answered_fields = {each.name: each for each in other.user_input_fields if each.is_given}
        for each in self.user_input_fields:
            if each.name in answered_fields:
                each._set(answered_fields[each.name].value, is_given=True)

    def check_answer(self) -> None:
        """Check an answer that may have been set through attributes; raise InvalidInputError if it is not valid."""
        result = self.tool.result
        if self.tool.is_finished:
            return
        if result is not None:
            self._check_kind("external_execution", "result")
            if not isinstance(result, str):
                raise self._not_text(result)
        if self.confirmed is False and (result is not None or any(each.is_given for each in self.user_input_fields)):
            raise InvalidInputError(
                f"{self} was both rejected and answered; call reject() again, or set `confirmed` to None to keep the "
                "answer"
            )

    def _clear_fields(self) -> None:
        for each in self.user_input_fields:
            each.clear()

    def ask_again(self) -> None:
        """Revoke the approval of a call that was started and whose result is unknown."""
        self.confirmed, self.resolved_by, self.started_at, self.may_have_run = None, None, None, True
        self._clear_fields()

    @property
    def starts_when_continued(self) -> bool:
        """Whether the call was approved, and its result is not known."""
        is_allowed = self.kind != "external_execution" and self.confirmed is not False
        return is_allowed and self._is_resolved and not self.tool.is_finished

    @property
    def shown_arguments(self) -> str:
        """The arguments to show to a person, as JSON."""
        return self.tool.arguments

    @property
    def subject(self) -> str:
        """What waits, for errors."""
        return f"the call {self.tool.tool_name}({self.tool.arguments})"

    @property
    def was_started(self) -> bool:
        """Whether the approved call was started and has no result."""
        return self.started_at is not None and not self.tool.is_finished

    def _check_open(self, kind: ApprovalKind, method: str) -> None:
        self._check_kind(kind, method)
        if self.tool.is_finished:
            raise InvalidInputError(f"{self} has already been answered, and the run has continued")

    def _check_kind(self, kind: ApprovalKind, how: str) -> None:
        if self.kind != kind:
            raise InvalidInputError(
                f"{how} cannot resolve {self}: it requires {self.kind.replace('_', ' ')}; use "
                f"{_RESOLVING_METHODS[self.kind]}"
            )

    def _not_text(self, result: object) -> InvalidInputError:
        return InvalidInputError(f"the result of {self} is {result!r}; pass a string, which is sent to the model")

    @property
    def has_answer(self) -> bool:
        """Whether a person gave an answer or a part of it."""
        return (
            self.confirmed is not None
            or self.result is not None
            or any(each.is_given for each in self.user_input_fields)
        )

    @property
    def is_resolved(self) -> Flag:
        """Whether the requirement has a complete answer. ``is_resolved()`` is the same."""
        return Flag(self._is_resolved)

    @property
    def _is_resolved(self) -> bool:
        if self.confirmed is False or self.tool.is_finished:
            return True
        if self.kind == "confirmation":
            return self.confirmed is True
        if self.kind == "user_input":
            # With one answer there, the fields that have a default need none.
            fields = self.user_input_fields
            return any(each.is_given for each in fields) and all(each.is_given or each.has_default for each in fields)
        return self.result is not None

    @property
    def needs_confirmation(self) -> bool:
        return self.kind == "confirmation" and not self.is_resolved

    @property
    def needs_user_input(self) -> bool:
        return self.kind == "user_input" and not self.is_resolved and not self.user_feedback_schema

    @property
    def needs_user_feedback(self) -> bool:
        return self.kind == "user_input" and not self.is_resolved and bool(self.user_feedback_schema)

    @property
    def created_at(self) -> datetime:
        """When the call was requested."""
        return datetime.fromtimestamp(self.tool.created_at, UTC)

    @property
    def pause_type(self) -> str:
        """agno's name of the kind: "confirmation", "user_input", "user_feedback" or "external_execution"."""
        return "user_feedback" if self.user_feedback_schema else self.kind

    @property
    def needs_external_execution(self) -> bool:
        return self.kind == "external_execution" and not self.is_resolved

    @property
    def result(self) -> str | None:
        """For external execution: the result that is sent to the model. Results of other calls are not answers."""
        is_answer = self.kind == "external_execution" and self.confirmed is not False
        return self.tool.result if is_answer else None

    @result.setter
    def result(self, value: str | None) -> None:
        if value is not None:
            self._check_kind("external_execution", "result")
        if self.kind == "external_execution" and not self.tool.is_finished:
            self.tool.result = value

    id = Alias[str]("requirement_id")
    tool_execution = Alias[ToolCall]("tool")
    confirmation = Alias[bool | None]("confirmed")
    confirmation_note = Alias[str | None]("note")
    user_input_schema = Alias[list[UserInputField]]("user_input_fields")
    external_execution_result = Alias[str | None]("result")

    @property
    def short_id(self) -> str:
        """The end of `requirement_id`, which identifies it in commands."""
        return self.requirement_id[-6:]

    @property
    def question(self) -> str:
        """The question to show to a person. It has the arguments exactly as the model wrote them."""
        asker, called = self.component_name or "The agent", f"{self.tool.tool_name}({self.tool.arguments})"
        if self.may_have_run:
            called += ". This call was started before and its result is unknown, so it may run a second time"
        if self.kind == "confirmation":
            return f"{asker} asks to call {called}"
        if self.kind == "external_execution":
            return f"{asker} asks you to execute {called} and to enter the result"
        lines = [f"{asker} asks for values to call {called} with:"]
        for each in self.user_input_fields:
            if not each.is_given:
                default = json.dumps(each.schema.get("default"), ensure_ascii=False)
                kind = f"{each.field_type}, default {default}" if each.has_default else each.field_type
                lines.append(f"  {each.name} ({kind})" + (f": {each.description}" if each.description else ""))
        return "\n".join(lines)

    def __str__(self) -> str:
        asker = self.component_name or "the run"
        return displayable(f"requirement {self.requirement_id} ({self.tool.tool_name} of {asker})")

    def __repr__(self) -> str:
        state = "resolved" if self.is_resolved else "open"
        call = f"{displayable(self.tool.tool_name)}({brief(self.tool.arguments)})"
        return f"Requirement({self.kind}, {call}, {state})"


_RESOLVING_METHODS: dict[ApprovalKind, str] = {
    "confirmation": "confirm() or reject()",
    "user_input": "provide_user_input({...}) or reject()",
    "external_execution": "set_external_execution_result(...) or reject()",
}
