"""What a paused run needs of a person. A requirement changes when a person answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types.basics import JsonDict, brief, new_id
from agno_nb.types.messages import ToolCall

ApprovalKind = Literal["confirmation", "user_input", "external_execution"]
"""What a tool may need of a person: leave, values for some of its arguments, or that they do the work."""


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class UserInputField:
    """One value that a person has to give before a tool can be called.

    Assigning to `value` checks the value and marks the field as given, as :meth:`set_value` does.
    """

    name: str
    """The tool's parameter."""
    description: str = ""
    schema: JsonDict = field(default_factory=dict)
    """JSON schema of the value."""
    value: Any = None
    """What was given."""
    is_given: bool = False

    def __setattr__(self, name: str, value: Any) -> None:
        # While a field is created or unpickled, `is_given` comes last.
        if name == "value" and hasattr(self, "is_given"):
            self.set_value(value)
        else:
            object.__setattr__(self, name, value)

    @property
    def field_type(self) -> str:
        """The JSON type of the value, as in "string"; "any" where the schema does not say one."""
        schema_type = self.schema.get("type")
        return schema_type if isinstance(schema_type, str) else "any"

    @property
    def has_default(self) -> bool:
        """Whether the tool's parameter has a default, which is used if no value is given."""
        return "default" in self.schema

    def set_value(self, value: Any) -> None:
        """Set the value. Text is parsed by :meth:`parse`.

        Raises
        ------
        InvalidInputError
            It is not what the schema asks for.
        """
        self._set(self.check(value), is_given=True)

    def check(self, value: Any) -> Any:
        """Return `value` as :meth:`set_value` sets it.

        Raises
        ------
        InvalidInputError
            It is not what the schema asks for.
        """
        value = self.parse(value) if isinstance(value, str) else value
        if not _is_json(value):
            raise InvalidInputError(f"{self.name} is {value!r}, which JSON cannot hold; give it as text")
        if (problem := self._problem(value)) is not None:
            raise InvalidInputError(f"{self.name} is {value!r}, and that is not what is asked for: {problem}")
        return value

    def parse(self, text: str) -> Any:
        """Return the value of typed text: its JSON if the text is JSON and fits the schema, else the text.

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
        # Python also reads NaN, and 1e999 as infinity.
        return value if _is_json(value) and self._problem(value) is None else text

    def to_text(self, value: Any) -> str:
        """Return text that :meth:`parse` reads as `value`."""
        if isinstance(value, str) and self.parse(value) == value:
            return value
        return json.dumps(value, ensure_ascii=False)

    def take(self, other: UserInputField) -> None:
        """Set the value that was given to another copy of the field."""
        self._set(other.value, is_given=other.is_given)

    def clear(self) -> None:
        """Remove the value."""
        self._set(None, is_given=False)

    @property
    def _default(self) -> str:
        return f", default {json.dumps(self.schema['default'], ensure_ascii=False)}" if self.has_default else ""

    def _set(self, value: Any, *, is_given: bool) -> None:
        object.__setattr__(self, "value", value)
        self.is_given = is_given

    def _problem(self, value: Any) -> str | None:
        import jsonschema

        validator = jsonschema.validators.validator_for(self.schema)(self.schema)
        problem = next(validator.iter_errors(value), None)
        return None if problem is None else str(problem.message)


_PYTHON_WORDS = {"True": "true", "False": "false", "None": "null"}


def _is_json(value: Any) -> bool:
    """Whether JSON holds a value as it is. Tuples would come back as lists, and keys that are numbers as text."""
    try:
        same: bool = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError):
        return False
    return same


class _Answer:
    """A field of a requirement that is kept in its tool call, so that it can be set on either of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, requirement: Requirement | None, owner: type[Requirement]) -> Any:
        return None if requirement is None else getattr(requirement.tool, self._name)

    def __set__(self, requirement: Requirement, value: Any) -> None:
        setattr(requirement.tool, self._name, value)


class _Fields(_Answer):
    def __set__(self, requirement: Requirement, value: Any) -> None:
        if value is not None:
            super().__set__(requirement, value)


class _Result(_Answer):
    """The result of an external execution. Results of other calls are not answers of a person."""

    def __get__(self, requirement: Requirement | None, owner: type[Requirement]) -> Any:
        if requirement is None or requirement.kind != "external_execution" or requirement.confirmed is False:
            return None
        return requirement.tool.result

    def __set__(self, requirement: Requirement, value: Any) -> None:
        if value is not None:
            requirement._check_kind("external_execution", "result")
        if requirement.kind == "external_execution" and not requirement.tool.is_finished:
            super().__set__(requirement, value)


# As the default of a dataclass field, a descriptor would not be a value of the field's type.
_FIELDS: Any = _Fields("user_input_schema")
_CONFIRMED: Any = _Answer("confirmed")
_NOTE: Any = _Answer("confirmation_note")
_RESULT: Any = _Result("result")


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False)
class Requirement:
    """What a paused run needs of a person before one of its tool calls can go on.

    It is resolved by :meth:`confirm` or :meth:`reject`, by :meth:`provide_user_input`, or by
    :meth:`set_external_execution_result`, whichever `kind` asks for; then the run is continued. Attributes can be set
    instead, here or on the call: ``tool.confirmed``, ``tool.result``, and ``value`` of the input fields.
    """

    kind: ApprovalKind
    tool: ToolCall
    """The call that waits, with its exact arguments."""
    run_id: str
    """The run that the call belongs to: the paused one, or one nested in it."""
    requirement_id: str = field(default_factory=new_id)
    component_name: str | None = None
    """Who asks."""
    user_input_fields: list[UserInputField] = _FIELDS
    """Of "user_input": what has to be given."""
    confirmed: bool | None = _CONFIRMED
    """Of any kind: False when it was refused. Of "confirmation": True when it was allowed."""
    note: str | None = _NOTE
    """Why it was allowed or refused. Of a refusal the model is told."""
    result: str | None = _RESULT
    """Of "external_execution": what came of the call, as the model is told."""
    started_at: float | None = None
    """When the approved call was started, in unix seconds. It is stored before the call runs. If the call has no
    result, the process ended in between, and the call may or may not have been carried out."""
    may_have_run: bool = False
    """Whether a person is asked a second time, because the call was started before and its result is unknown."""

    def __setattr__(self, name: str, value: Any) -> None:
        # A misspelt answer must not get lost in a new attribute.
        if name not in type(self).__dataclass_fields__ and not hasattr(type(self), name):
            raise AttributeError(
                f"a Requirement has no attribute {name!r}; answer it by {_RESOLVING_METHODS[self.kind]}"
            )
        object.__setattr__(self, name, value)

    def confirm(self, note: str | None = None) -> None:
        """Allow the call, with exactly these arguments.

        Parameters
        ----------
        note : str, optional
            Why. It is stored, and the model is not told.

        Raises
        ------
        InvalidInputError
            It is not leave that is asked for, or the call was answered already and the run went on.
        """
        self._answers("confirmation", "confirm()")
        self.confirmed, self.note = True, note

    def reject(self, note: str | None = None) -> None:
        """Refuse the call, whatever it needs. Values and a result that were given before are removed.

        Parameters
        ----------
        note : str, optional
            Why: the model is told.

        Raises
        ------
        InvalidInputError
            The call was answered already and the run went on.
        """
        self._answers(self.kind, "reject()")
        self._withdraw()
        self.confirmed, self.note = False, note

    def provide_user_input(self, values: Mapping[str, Any]) -> None:
        """Give values that are asked for: all of them, or some now and some later.

        Fields with a default may be left out. Text is parsed as :meth:`UserInputField.parse` says.

        Raises
        ------
        InvalidInputError
            A name is not asked for, or a value is not what its schema says. Nothing was set.
        """
        self._answers("user_input", "provide_user_input()")
        fields = {each.name: each for each in self.user_input_fields}
        unknown = [name for name in values if name not in fields]
        if unknown:
            raise InvalidInputError(f"{self} does not ask for {unknown[0]!r}; it asks for {', '.join(fields)}")
        checked = {name: fields[name].check(value) for name, value in values.items()}
        for name, value in checked.items():
            fields[name]._set(value, is_given=True)
        self.confirmed = None

    def set_external_execution_result(self, result: str) -> None:
        """Tell what came of the call, which you have carried out yourself.

        Parameters
        ----------
        result : str
            What the model is told.

        Raises
        ------
        InvalidInputError
            The call is not one that you carry out, or `result` is not text.
        """
        self._answers("external_execution", "set_external_execution_result()")
        if not isinstance(result, str):
            raise self._not_text(result)
        self.confirmed, self.result = None, result

    def copy_answer_from(self, other: Requirement) -> None:
        """Take over the answer that was given to another copy of this requirement. Without one, nothing changes."""
        if other.tool is self.tool or self.tool.is_finished:
            return
        if self.may_have_run and not other.may_have_run:
            return  # That answer was given before the question was asked a second time.
        if self.started_at is not None and other.started_at is None and other.may_have_run:
            self.ask_again()
        if not other.has_answer:
            return
        if other.confirmed is False:
            self._withdraw()
        self.confirmed, self.note = other.confirmed, other.note
        if other.result is not None:
            self.result = other.result
        answered_fields = {each.name: each for each in other.user_input_fields if each.is_given}
        for each in self.user_input_fields:
            if each.name in answered_fields:
                each.take(answered_fields[each.name])

    def check_answer(self) -> None:
        """Check an answer that may have been set as attributes.

        Raises
        ------
        InvalidInputError
            It is not an answer that this requirement takes.
        """
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

    def _withdraw(self) -> None:
        for each in self.user_input_fields:
            each.clear()
        self.result = None

    def ask_again(self) -> None:
        """Take the approval back, because the call was started and its result is unknown."""
        self.confirmed, self.started_at, self.may_have_run = None, None, True
        for each in self.user_input_fields:
            each.clear()

    @property
    def was_started(self) -> bool:
        """Whether the approved call was started and has no result."""
        return self.started_at is not None and not self.tool.is_finished

    def _answers(self, kind: ApprovalKind, method: str) -> None:
        self._check_kind(kind, method)
        if self.tool.is_finished:
            raise InvalidInputError(f"{self} was answered already, and the run went on; it cannot be answered again")

    def _check_kind(self, kind: ApprovalKind, how: str) -> None:
        if self.kind != kind:
            raise InvalidInputError(
                f"{self} needs {self.kind.replace('_', ' ')}, which {how} does not give; use "
                f"{_RESOLVING_METHODS[self.kind]}"
            )

    def _not_text(self, result: object) -> InvalidInputError:
        return InvalidInputError(f"the result of {self} is told to the model, so it must be text, not {result!r}")

    @property
    def has_answer(self) -> bool:
        """Whether a person gave an answer, or a part of it."""
        return (
            self.confirmed is not None
            or self.result is not None
            or any(each.is_given for each in self.user_input_fields)
        )

    @property
    def is_resolved(self) -> bool:
        """Whether everything that it asks for was given."""
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
        return self.kind == "user_input" and not self.is_resolved

    @property
    def needs_external_execution(self) -> bool:
        return self.kind == "external_execution" and not self.is_resolved

    @property
    def id(self) -> str:
        """agno's name for `requirement_id`."""
        return self.requirement_id

    @property
    def tool_execution(self) -> ToolCall:
        """agno's name for `tool`."""
        return self.tool

    @property
    def confirmation(self) -> bool | None:
        """agno's name for `confirmed`."""
        return self.confirmed

    @confirmation.setter
    def confirmation(self, value: bool | None) -> None:
        self.confirmed = value

    @property
    def confirmation_note(self) -> str | None:
        """agno's name for `note`."""
        return self.note

    @confirmation_note.setter
    def confirmation_note(self, value: str | None) -> None:
        self.note = value

    @property
    def user_input_schema(self) -> list[UserInputField]:
        """agno's name for `user_input_fields`."""
        return self.user_input_fields

    @user_input_schema.setter
    def user_input_schema(self, value: list[UserInputField]) -> None:
        self.user_input_fields = value

    @property
    def external_execution_result(self) -> str | None:
        """agno's name for `result`."""
        return self.result

    @external_execution_result.setter
    def external_execution_result(self, value: str | None) -> None:
        self.result = value

    @property
    def short_id(self) -> str:
        """The end of `requirement_id`, by which people can name it."""
        return self.requirement_id[-6:]

    @property
    def question(self) -> str:
        """What is asked, in words. The arguments in it are the model's, exactly as it wrote them."""
        asker, called = self.component_name or "The agent", f"{self.tool.tool_name}({self.tool.arguments})"
        if self.may_have_run:
            called += ". This call was started before and its result is unknown, so it may run a second time"
        if self.kind == "confirmation":
            return f"{asker} asks to call {called}"
        if self.kind == "external_execution":
            return f"{asker} asks you to carry out {called} and to tell what came of it"
        lines = [
            f"  {each.name} ({each.field_type}{each._default})" + (f": {each.description}" if each.description else "")
            for each in self.user_input_fields
            if not each.is_given
        ]
        return "\n".join([f"{asker} asks for values to call {called} with:", *lines])

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
