"""A function as a tool: its signature as JSON schema, its arguments checked, its result as text."""

from __future__ import annotations

import asyncio
import inspect
import json
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NotRequired, overload

import docstring_parser
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from typing_extensions import TypedDict

from agno_nb._keywords import nearest
from agno_nb._loop import in_thread
from agno_nb.errors import InvalidInputError
from agno_nb.tools.result import to_text
from agno_nb.types import JsonDict, Need, ToolCall, ToolSpec, UserInputField

INJECTED = ("agent", "run_context", "session_state")
"""Parameters that the runtime fills. The model does not hear of them."""


@dataclass(eq=False, repr=False)
class Tool:
    """A function that the model may call.

    Parameters
    ----------
    function : callable
        Sync or async. Its type hints become the schema, its docstring the descriptions. A sync function runs in a
        thread of its own.
    name, description : str, optional
        Instead of the function's name and docstring.
    requires_confirmation : bool, optional
        A person has to allow each call.
    requires_user_input : bool, optional
        A person has to give the arguments `user_input_fields`, of which the model does not hear.
    user_input_fields : sequence of str, optional
        Names of parameters; all of them where not given.
    external_execution : bool, optional
        The function is not called: a person tells what came of it.

    Raises
    ------
    InvalidInputError
        A parameter's type cannot be described to a model, or more than one thing is asked of a person.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    requires_confirmation: bool = False
    requires_user_input: bool = False
    user_input_fields: Sequence[str] = ()
    external_execution: bool = False
    _descriptions: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidInputError(f"a tool must be a function, not {self.function!r}")
        documented = docstring_parser.parse(inspect.getdoc(self.function) or "")
        texts = [documented.short_description, documented.long_description]
        self.name = self.name or getattr(self.function, "__name__", type(self.function).__name__)
        self.description = self.description or "\n\n".join(text for text in texts if text)
        self._descriptions = {p.arg_name: p.description for p in documented.params if p.description}
        if not self.name.replace("-", "_").isidentifier() or len(self.name) > 64:
            raise InvalidInputError(
                f"{self.name!r} cannot be the name of a tool: use letters, digits and _, and give a lambda a name "
                f"with tool(name=...)"
            )
        self._check_need()
        _ = self.spec  # So that a tool that cannot be described fails here and not in a run.

    @property
    def need(self) -> Need | None:
        """What each call needs of a person."""
        if self.requires_confirmation:
            return "confirmation"
        if self.requires_user_input:
            return "user_input"
        return "external_execution" if self.external_execution else None

    def _check_need(self) -> None:
        said = [self.requires_confirmation, self.requires_user_input, self.external_execution]
        if sum(map(bool, said)) > 1:
            raise InvalidInputError(
                f"tool {self.name!r} has more than one of requires_confirmation, requires_user_input and "
                "external_execution; choose one"
            )
        if self.user_input_fields and not self.requires_user_input:
            raise InvalidInputError(f"tool {self.name!r} has user_input_fields; it needs requires_user_input=True too")
        own = [name for name in self._parameters if name not in INJECTED]
        unknown = [name for name in self.user_input_fields if name not in own]
        if unknown:
            raise InvalidInputError(
                f"tool {self.name!r} has no parameter {unknown[0]!r} for user_input_fields: {nearest(unknown[0], own)}"
            )
        if self.requires_user_input and not own:
            raise InvalidInputError(f"tool {self.name!r} takes no arguments, so there is no user input to require")

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model is told of it."""
        schema = self._of_the_model.json_schema()
        _without_titles(schema)
        return ToolSpec(name=self.name, description=self.description, parameters=schema)

    def asked_fields(self) -> list[UserInputField]:
        """Return what a person has to give before each call."""
        if not self.requires_user_input:
            return []
        schema = self._arguments.json_schema()
        _without_titles(schema)
        shared = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        return [
            UserInputField(name=name, description=described.get("description", ""), schema={**described, **shared})
            for name, described in schema["properties"].items()
            if name in self._from_people
        ]

    def problem(self, call: ToolCall, given: Mapping[str, Any] | None = None) -> str | None:
        """Say what is wrong with the arguments that the model wrote and a person gave; None where nothing is."""
        try:
            self._checked(call, given)
        except ValidationError as error:
            return self._explain(error)
        return None

    def _checked(self, call: ToolCall, given: Mapping[str, Any] | None) -> dict[str, Any]:
        if given is None:
            return self._of_the_model.validate_json(call.arguments or "{}")
        return self._arguments.validate_json(json.dumps({**call.tool_args, **given}))

    async def call(self, call: ToolCall, injected: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
        """Do what `call` asks for, and write into it what came of it.

        An exception of the function, or arguments that it does not take, are told to the model as the result. `given`
        are the arguments that a person gave.
        """
        try:
            arguments = self._checked(call, given)
        except ValidationError as error:
            call.result, call.tool_call_error = self._explain(error), True
            return
        arguments |= {name: injected[name] for name in self._parameters if name in INJECTED and name in injected}
        try:
            if inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(
                getattr(self.function, "__call__", None)  # noqa: B004 - an object with an async __call__
            ):
                call.value = await self.function(**arguments)
            else:
                call.value = await in_thread(self.function, **arguments)
                if inspect.isawaitable(call.value):
                    call.value = await call.value
            call.result = to_text(call.value)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            call.result, call.tool_call_error = "A run that this tool had begun was cancelled.", True
        except Exception as error:
            call.result, call.tool_call_error = f"{type(error).__name__}: {error}", True

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    @cached_property
    def _from_people(self) -> frozenset[str]:
        if not self.requires_user_input:
            return frozenset()
        return frozenset(self.user_input_fields or (name for name in self._parameters if name not in INJECTED))

    @cached_property
    def _of_the_model(self) -> TypeAdapter[dict[str, Any]]:
        """The arguments that the model writes: all but those that a person gives."""
        return self._adapter(without=self._from_people) if self._from_people else self._arguments

    @cached_property
    def _arguments(self) -> TypeAdapter[dict[str, Any]]:
        return self._adapter()

    def _adapter(self, without: Collection[str] = ()) -> TypeAdapter[dict[str, Any]]:
        # A TypedDict, because any parameter name may be one of its keys; a pydantic model refuses some.
        hinted = self.function if inspect.isroutine(self.function) else type(self.function).__call__
        try:
            hints = typing.get_type_hints(hinted, include_extras=True)
        except NameError as error:
            raise InvalidInputError(f"the type hints of tool {self.name!r} cannot be read: {error}") from error
        keys: dict[str, Any] = {}
        for name, parameter in self._parameters.items():
            if name in INJECTED or name in without:
                continue
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise InvalidInputError(f"tool {self.name!r} has a parameter {parameter!s}, which a model cannot fill")
            keys[name] = self._key(hints.get(name, Any), parameter)
        make: Any = TypedDict  # Type checkers know only literal ones.
        typed = make("Arguments", keys)
        typed.__pydantic_config__ = ConfigDict(extra="forbid")
        try:
            return TypeAdapter(typed)
        except PydanticUserError as error:
            raise InvalidInputError(
                f"tool {self.name!r} has a parameter of a type that a model cannot fill ({error}); "
                f"use str, numbers, bool, list, dict, Literal, an enum, a dataclass or a pydantic model"
            ) from error

    def _key(self, annotation: Any, parameter: inspect.Parameter) -> Any:
        extra: JsonDict = {}
        if parameter.default is not parameter.empty and _is_json(parameter.default):
            extra["default"] = parameter.default
        description = self._descriptions.get(parameter.name)
        key = typing.Annotated[annotation, Field(description=description, json_schema_extra=extra or None)]
        return key if parameter.default is parameter.empty else NotRequired[key]

    def _explain(self, error: ValidationError) -> str:
        lines = [
            f"- {'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        return f"{self.name} does not take these arguments:\n" + "\n".join(lines)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    requires_confirmation: bool = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] = (),
    external_execution: bool = False,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **said: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a function a tool. Plain functions may be given to an agent as they are; this is for saying more.

    The keywords are those of :class:`Tool`.

    Examples
    --------
    >>> @tool(name="add")
    ... def plus(a: int, b: int = 1) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> plus.spec.parameters["required"]
    ['a']
    """
    if function is not None:
        return Tool(function)
    return lambda decorated: Tool(decorated, **said)


def toolbox(tools: Iterable[Tool | Callable[..., Any]], *, made: list[Tool]) -> dict[str, Tool]:
    """Return the tools by name.

    Parameters
    ----------
    tools : iterable of Tool or callable
    made : list of Tool
        The caller's memory: what was made of plain functions before is taken from here, and what is made is added.

    Raises
    ------
    InvalidInputError
        Two tools have one name.
    """
    box: dict[str, Tool] = {}
    for given in tools:
        one = given if isinstance(given, Tool) else _made_of(given, made)
        if one.name in box:
            raise InvalidInputError(f"two tools are called {one.name!r}; give one another name with tool(name=...)")
        box[one.name] = one
    return box


def _made_of(function: Callable[..., Any], made: list[Tool]) -> Tool:
    for tool in made:
        if tool.function is function:
            return tool
    made.append(Tool(function))
    return made[-1]


def _without_titles(schema: Any) -> None:
    """Take away the titles that pydantic makes up from names: they tell the model nothing and cost tokens."""
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for key, value in schema.items():
            named = value.values() if key in ("properties", "$defs") and isinstance(value, dict) else [value]
            for part in named:
                _without_titles(part)
    elif isinstance(schema, Sequence) and not isinstance(schema, str):
        for part in schema:
            _without_titles(part)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
