"""What a paused run needs of a person. A requirement changes when a person answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from agno_nb.errors import InvalidInputError
from agno_nb.types.basics import JsonDict, brief, new_id
from agno_nb.types.messages import ToolCall

Need = Literal["confirmation", "user_input", "external_execution"]
"""What a tool may need of a person: leave, values for some of its arguments, or that they do the work."""


@dataclass(slots=True, kw_only=True)
class UserInputField:
    """One value that a person has to give before a tool can be called."""

    name: str
    """The tool's parameter."""
    description: str = ""
    schema: JsonDict = field(default_factory=dict)
    """JSON schema of the value."""
    value: Any = None
    """What was given."""
    is_given: bool = False

    @property
    def field_type(self) -> str:
        """The JSON type of the value, as in "string"; "any" where the schema does not say one."""
        said = self.schema.get("type")
        return said if isinstance(said, str) else "any"

    def give(self, value: Any) -> None:
        """Set the value.

        Raises
        ------
        InvalidInputError
            It is not what the schema asks for.
        """
        import jsonschema

        validator = jsonschema.validators.validator_for(self.schema)(self.schema)
        problem = next(validator.iter_errors(value), None)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InvalidInputError(f"{self.name} is {value!r}, which JSON cannot hold; give it as text") from None
        if problem is not None:
            raise InvalidInputError(f"{self.name} is {value!r}, and that is not what is asked for: {problem.message}")
        self.value, self.is_given = value, True


@dataclass(slots=True, kw_only=True, repr=False)
class Requirement:
    """What a paused run needs of a person before one of its tool calls can go on.

    It is resolved by :meth:`confirm` or :meth:`reject`, by :meth:`provide_user_input`, or by
    :meth:`set_external_execution_result`, whichever `kind` asks for; then the run is continued.
    """

    kind: Need
    tool: ToolCall
    """The call that waits, with its exact arguments."""
    run_id: str
    """The run that the call belongs to: the paused one, or one nested in it."""
    component_name: str | None = None
    """Who asks."""
    user_input_fields: list[UserInputField] = field(default_factory=list)
    """Of "user_input": what has to be given."""
    confirmed: bool | None = None
    """Of any kind: False when it was refused. Of "confirmation": True when it was allowed."""
    note: str | None = None
    """Why it was allowed or refused. Of a refusal the model is told."""
    result: str | None = None
    """Of "external_execution": what came of the call, as the model is told."""
    requirement_id: str = field(default_factory=new_id)
    started_at: float | None = None
    """When the approved call was started, in unix seconds. It is stored before the call runs. If the call has no
    result, the process ended in between, and the call may or may not have been carried out."""

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
        self._allow_again()
        self.confirmed, self.note = True, note

    def reject(self, note: str | None = None) -> None:
        """Refuse the call, whatever it needs.

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
        self.confirmed, self.note = False, note

    def provide_user_input(self, values: Mapping[str, Any]) -> None:
        """Give values that are asked for: all of them, or some now and some later.

        Raises
        ------
        InvalidInputError
            A name is not asked for, or a value is not what its schema says. Nothing was set.
        """
        self._answers("user_input", "provide_user_input()")
        asked = {each.name: each for each in self.user_input_fields}
        unknown = [name for name in values if name not in asked]
        if unknown:
            raise InvalidInputError(f"{self} does not ask for {unknown[0]!r}; it asks for {', '.join(asked)}")
        given = {name: replace(asked[name]) for name in values}
        for name, value in values.items():
            given[name].give(value)
        self._allow_again()
        self.user_input_fields = [given.get(each.name, each) for each in self.user_input_fields]
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
            raise InvalidInputError(f"the result of {self} is told to the model, so it must be text, not {result!r}")
        self.result, self.confirmed = result, None

    def take_answer(self, other: Requirement) -> None:
        """Answer as `other` was answered, which is the same requirement read at another time."""
        if other.is_resolved:
            self._allow_again()
        self.confirmed, self.note, self.result = other.confirmed, other.note, other.result
        self.user_input_fields = other.user_input_fields

    def ask_again(self) -> None:
        """Take the approval back, because the call was started and its result is unknown."""
        self.confirmed = None
        for each in self.user_input_fields:
            each.is_given = False

    def _allow_again(self) -> None:
        """Let a call run once more if it was started before and a person has been asked again since."""
        if not self.is_resolved:
            self.started_at = None

    def _answers(self, kind: Need, method: str) -> None:
        if self.kind != kind:
            raise InvalidInputError(
                f"{self} needs {self.kind.replace('_', ' ')}, which {method} does not give; use {_ANSWERS[self.kind]}"
            )
        if self.tool.result is not None:
            raise InvalidInputError(f"{self} was answered already, and the run went on; it cannot be answered again")

    @property
    def is_resolved(self) -> bool:
        """Whether everything that it asks for was given."""
        if self.confirmed is False or self.tool.result is not None:
            return True
        if self.kind == "confirmation":
            return self.confirmed is True
        if self.kind == "user_input":
            return all(each.is_given for each in self.user_input_fields)
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

    @property
    def confirmation_note(self) -> str | None:
        """agno's name for `note`."""
        return self.note

    @property
    def user_input_schema(self) -> list[UserInputField]:
        """agno's name for `user_input_fields`."""
        return self.user_input_fields

    @property
    def external_execution_result(self) -> str | None:
        """agno's name for `result`."""
        return self.result

    @property
    def short_id(self) -> str:
        """The end of `requirement_id`, by which people can name it."""
        return self.requirement_id[-6:]

    @property
    def question(self) -> str:
        """What is asked, in words. The arguments in it are the model's, exactly as it wrote them."""
        asker, called = self.component_name or "The agent", f"{self.tool.tool_name}({self.tool.arguments})"
        if self.started_at is not None:
            called += ". This call was started before and its result is unknown, so it may run a second time"
        if self.kind == "confirmation":
            return f"{asker} asks to call {called}"
        if self.kind == "external_execution":
            return f"{asker} asks you to carry out {called} and to tell what came of it"
        lines = [
            f"  {each.name} ({each.field_type})" + (f": {each.description}" if each.description else "")
            for each in self.user_input_fields
            if not each.is_given
        ]
        return "\n".join([f"{asker} asks for values to call {called} with:", *lines])

    def __str__(self) -> str:
        return f"requirement {self.requirement_id} ({self.tool.tool_name} of {self.component_name or 'the run'})"

    def __repr__(self) -> str:
        state = "resolved" if self.is_resolved else "open"
        return f"Requirement({self.kind}, {self.tool.tool_name}({brief(self.tool.arguments)}), {state})"


_ANSWERS: dict[Need, str] = {
    "confirmation": "confirm() or reject()",
    "user_input": "provide_user_input({...}) or reject()",
    "external_execution": "set_external_execution_result(...) or reject()",
}
