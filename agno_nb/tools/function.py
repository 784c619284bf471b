"""A function as a tool: what the model is told of it, its arguments checked, its result as text."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Any, SupportsIndex

import docstring_parser

from agno_nb._keywords import nearest, suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, describe, failed_save
from agno_nb.tools.invoke import Hook, call_sync_or_async, is_async, matching_kwargs, unwrap_partial, wrap_hook
from agno_nb.tools.parameters import InvalidArguments, Parameters
from agno_nb.tools.result import to_text
from agno_nb.types import ApprovalKind, ToolCall, ToolSpec, UserInputField, valid_tool_name


@suggest_on_unknown_kwarg({})
@dataclass(eq=False, repr=False)
class Tool:
    """A function that the model may call.

    Parameters
    ----------
    function : callable
        Sync or async, a method, a :func:`functools.partial`, an object that can be called, or a generator, of which
        the result is all that it yields. Its type hints become the schema, its docstring the descriptions. A sync
        function runs in a thread of its own.
    name, description : str, optional
        Instead of the function's name and docstring. Characters that no provider takes in a name become ``_``.
    stop_after_tool_call : bool, optional
        End the run when the calls of the batch are done, with what this tool returned as the answer.
    show_result : bool, optional
        Make what the tool returned a part of the answer. None: where `stop_after_tool_call` is set.
    pre_hook, post_hook : callable, optional
        Called before and after the function, with what they have parameters for: ``fc`` (the
        :class:`~agno_nb.types.ToolCall`) and what tools are injected. An exception of `pre_hook` keeps the function
        from being called, and is told to the model.
    tool_hooks : sequence of callable, optional
        Called around the function, the first one outermost, with what they have parameters for: ``function_name``,
        ``function_call`` (what goes on, to be called with the arguments), ``parameters`` (a dict) and what tools are
        injected. What a hook returns is the result.
    requires_confirmation : bool, optional
        A person has to allow each call.
    requires_user_input : bool, optional
        A person has to give the arguments `user_input_fields`, of which the model does not hear.
    user_input_fields : sequence of str, optional
        Names of parameters; all of them where not given.
    external_execution : bool, optional
        The function is not called: a person tells what came of it.
    timeout_s : float, optional
        Seconds after which the model is told that there is no result. A coroutine is cancelled then. A thread cannot
        be: a sync function goes on by itself, and what it returns is not seen.

    Raises
    ------
    InvalidInputError
        A parameter's type cannot be described to a model, more than one thing is asked of a person, or a setting cannot
        be used.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    requires_confirmation: bool = False
    requires_user_input: bool = False
    user_input_fields: Sequence[str] = ()
    external_execution: bool = False
    stop_after_tool_call: bool = False
    show_result: bool | None = None
    pre_hook: Hook | None = None
    post_hook: Hook | None = None
    tool_hooks: Sequence[Hook] = ()
    timeout_s: float | None = None
    _descriptions: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            # Of a DataFrame, say, the beginning.
            shown = " ".join(repr(self.function).split())[:80]
            raise InvalidInputError(f"a tool must be a function, not {shown} of type {type(self.function).__name__}")
        if inspect.isclass(self.function):
            raise InvalidInputError(
                f"a tool must be a function, and {self.function!r} is a class: give an object of it"
            )
        if self.timeout_s is not None and (not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0):
            raise InvalidInputError(f"timeout_s is {self.timeout_s!r}; it must be more than 0 seconds")
        target = unwrap_partial(self.function)
        documents = [inspect.getdoc(target)]
        if not hasattr(target, "__name__"):  # An object with __call__, which may say more than its class.
            documents.insert(0, getattr(type(target).__call__, "__doc__", None))
        parsed = [docstring_parser.parse(inspect.cleandoc(text)) for text in documents if text]
        texts = next(([d.short_description, d.long_description] for d in parsed if d.short_description), [])
        self.description = self.description or "\n\n".join(text for text in texts if text)
        for documented in reversed(parsed):
            self._descriptions |= {p.arg_name: p.description for p in documented.params if p.description}
        self.name = _valid_name(self.name or getattr(target, "__name__", type(target).__name__))
        self._check_approval_kind()
        _ = self.spec  # So that a tool that cannot be described fails here and not in a run.

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # A decorated function is found under its name, where this object stands in its place.
        bare = unwrap_partial(self.function)
        module, name = getattr(bare, "__module__", None), getattr(bare, "__qualname__", "")
        if _found(module, name) is self:
            return _found, (module, name)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        made = {name for name, value in vars(Tool).items() if isinstance(value, cached_property)}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @property
    def approval_kind(self) -> ApprovalKind | None:
        """What each call needs of a person."""
        if self.requires_confirmation:
            return "confirmation"
        if self.requires_user_input:
            return "user_input"
        return "external_execution" if self.external_execution else None

    def _check_approval_kind(self) -> None:
        settings = [self.requires_confirmation, self.requires_user_input, self.external_execution]
        if sum(map(bool, settings)) > 1:
            raise InvalidInputError(
                f"tool {self.name!r} has more than one of requires_confirmation, requires_user_input and "
                "external_execution; choose one"
            )
        if self.user_input_fields and not self.requires_user_input:
            raise InvalidInputError(f"tool {self.name!r} has user_input_fields; it needs requires_user_input=True too")
        own = self.parameters.names
        unknown = [name for name in self.user_input_fields if name not in own]
        if unknown:
            raise InvalidInputError(
                f"tool {self.name!r} has no parameter {unknown[0]!r} for user_input_fields: {nearest(unknown[0], own)}"
            )
        if self.requires_user_input and not own:
            raise InvalidInputError(
                f"tool {self.name!r} takes no arguments, so there is no user input to require: leave "
                "requires_user_input out"
            )

    @property
    def is_shown(self) -> bool:
        """Whether the result is a part of the answer."""
        return self.stop_after_tool_call if self.show_result is None else self.show_result

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model is told of it."""
        return ToolSpec(name=self.name, description=self.description, parameters=self._model_parameters.schema())

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters that the model fills, or a person."""
        return Parameters(self.function, name=self.name, descriptions=self._descriptions)

    @cached_property
    def _user_parameters(self) -> frozenset[str]:
        return frozenset(self.user_input_fields or self.parameters.names) if self.requires_user_input else frozenset()

    @cached_property
    def _model_parameters(self) -> Parameters:
        """The parameters that the model fills: all but those that a person does."""
        if not self._user_parameters:
            return self.parameters
        return Parameters(self.function, name=self.name, descriptions=self._descriptions, without=self._user_parameters)

    def input_fields(self) -> list[UserInputField]:
        """Return what a person has to give before each call."""
        schema = self.parameters.schema()
        shared = {"$defs": schema["$defs"]} if "$defs" in schema else {}
        return [
            UserInputField(name=name, description=described.get("description", ""), schema={**described, **shared})
            for name, described in schema["properties"].items()
            if name in self._user_parameters
        ]

    def parse_arguments(self, call: ToolCall, user_input: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments of a call, from the model and the user, as the types that the function expects.

        Raises
        ------
        InvalidArguments
            The function does not accept them. The message is for the model.
        """
        try:
            if user_input is None:
                return self._model_parameters.parse(call.arguments)
            return self.parameters.parse(json.dumps({**call.tool_args, **user_input}))
        except InvalidArguments as error:
            raise InvalidArguments(f"{self.name} does not take these arguments:\n{error}") from None
        except RecursionError:
            raise InvalidArguments(f"{self.name} does not take these arguments: they are nested too deeply") from None

    async def call(
        self,
        call: ToolCall,
        injected: Mapping[str, Any],
        user_input: Mapping[str, Any] | None = None,
        *,
        hooks: Sequence[Hook] = (),
    ) -> None:
        """Do what `call` asks for, and write into it what came of it.

        An exception of the function, or arguments that it does not take, are told to the model as the result.

        Parameters
        ----------
        call : ToolCall
        injected : mapping
            Values of the parameters that the runtime fills.
        user_input : mapping, optional
            The arguments that a person gave.
        hooks : sequence of callable, optional
            Tool hooks around those of the tool.
        """
        try:
            arguments = self.parse_arguments(call, user_input)
        except InvalidArguments as error:
            call.result, call.tool_call_error = str(error), True
            return
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                call.value = await self._call(call, arguments, injected, hooks)
                call.result = to_text(call.value)
                if self.post_hook is not None:
                    await call_sync_or_async(
                        self.post_hook, **matching_kwargs(self.post_hook, {**injected, "fc": call})
                    )
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            call.result, call.tool_call_error = "A run that this tool had begun was cancelled.", True
        except Exception as error:
            if (unsaved := failed_save(error)) is not None:
                raise unsaved from None
            call.result, call.tool_call_error = describe(error), True
            if deadline.expired():
                call.result = f"{self.name} did not end within {self.timeout_s:g} seconds, so there is no result."
                if not is_async(self.function):
                    call.result += " It cannot be stopped and may still be at work; go on without it."

    async def _call(
        self, call: ToolCall, arguments: dict[str, Any], injected: Mapping[str, Any], hooks: Sequence[Hook]
    ) -> Any:
        if self.pre_hook is not None:
            await call_sync_or_async(self.pre_hook, **matching_kwargs(self.pre_hook, {**injected, "fc": call}))

        async def innermost(**arguments_of_call: Any) -> Any:
            return await call_sync_or_async(
                self.function,
                *self.parameters.positional_arguments(arguments_of_call),
                **self.parameters.kwargs_for_call(arguments_of_call, injected),
            )

        next_call: Callable[..., Any] = innermost
        for hook in reversed([*hooks, *self.tool_hooks]):
            next_call = wrap_hook(hook, self.name, next_call, injected)
        return await next_call(**arguments)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def _found(module: str | None, name: str) -> Any:
    """Return what stands under a name in a module; None if nothing does."""
    return reduce(lambda holder, part: getattr(holder, part, None), name.split("."), sys.modules.get(module or ""))


def _valid_name(name: str) -> str:
    plain = valid_tool_name(name)
    if not plain or name == "<lambda>":
        raise InvalidInputError(
            f"{name!r} cannot be the name of a tool: use letters, digits and _, and give a lambda a name "
            f"with tool(name=...)"
        )
    return plain


Function = Tool
"""agno's name."""

__all__ = ["Function", "Hook", "Tool"]
