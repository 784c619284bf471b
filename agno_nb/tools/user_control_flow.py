"""A toolkit with which the model asks the user for values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import Hook
from agno_nb.tools.toolkit import Toolkit
from agno_nb.types import Media, ToolCall, UserInputField

_INSTRUCTIONS = (
    "If you need values that only the user knows, call get_user_input with a field for each of them, and do not ask in "
    "your answer. Leave out values that you know, and never ask twice for the same one."
)
_JSON_TYPES = {
    **{"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"},
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object")},
}


class RequestedField(TypedDict):
    """A field that the model asks for."""

    field_name: str
    field_type: str
    field_description: str


class QuestionTool(Tool):
    """A tool whose arguments are questions. Its result is the answers by name, as JSON."""

    def questions(self, call: ToolCall) -> list[UserInputField]:
        """Return the fields for the answers to a call with valid arguments."""
        raise NotImplementedError

    def input_fields(self, call: ToolCall) -> list[UserInputField]:
        return self.questions(call)

    def parse_arguments(self, call: ToolCall, user_input: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return super().parse_arguments(call)

    async def call(
        self,
        call: ToolCall,
        injected: Mapping[str, Any],
        user_input: Mapping[str, Any] | None = None,
        *,
        hooks: Sequence[Hook] = (),
        sees_images: bool = False,
    ) -> list[Media]:
        call.value = dict(user_input or {})
        call.result = json.dumps(call.value, ensure_ascii=False)
        return []

    @property
    def _user_parameters(self) -> frozenset[str]:
        return frozenset()


class _GetUserInput(QuestionTool):
    def questions(self, call: ToolCall) -> list[UserInputField]:
        fields: list[RequestedField] = self.parse_arguments(call)["user_input_fields"]
        return [
            UserInputField(
                name=each["field_name"],
                description=each["field_description"],
                schema={"type": kind} if (kind := _JSON_TYPES.get(each["field_type"])) else {},
            )
            for each in fields
        ]


class UserControlFlowTools(Toolkit):
    """The tool `get_user_input`, which pauses the run until a person has filled in the fields that the model asks for.

    Parameters
    ----------
    instructions : str, optional
        In place of the default instructions.
    add_instructions : bool, default True
        Add the instructions to the system prompt.
    enable_get_user_input, all : bool, optional
        If both are False, the toolkit is empty.
    **settings
        See :class:`Toolkit`.
    """

    def __init__(
        self,
        instructions: str | None = None,
        add_instructions: bool = True,
        enable_get_user_input: bool = True,
        all: bool = False,
        **settings: Any,
    ) -> None:
        tools = [_GetUserInput(self.get_user_input, requires_user_input=True)] if all or enable_get_user_input else []
        super().__init__(
            **{"name": "user_control_flow_tools", **settings},
            tools=tools,
            instructions=instructions or _INSTRUCTIONS,
            add_instructions=add_instructions,
        )

    def get_user_input(self, user_input_fields: list[RequestedField]) -> str:
        """Ask the user to fill in a form.

        Args:
            user_input_fields: The fields of the form. Types are str, int, float, bool, list or dict.
        """
        raise NotImplementedError("a person answers this call")
