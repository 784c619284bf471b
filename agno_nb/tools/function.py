"""Functions as tools: their description for the model, argument validation, and calls."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, SupportsIndex

from agno_nb._agno_parts import OF_TOOLS
from agno_nb._keywords import nearest, suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError, describe, failed_save
from agno_nb.exceptions import AgentRunException
from agno_nb.tools.images import ToolResult, to_text_and_images
from agno_nb.tools.invoke import (
    Hook,
    call_sync_or_async,
    found_by_name,
    is_async,
    matching_kwargs,
    unwrap_partial,
    wrap_hook,
)
from agno_nb.tools.parameters import InvalidArguments, Parameters, SchemaParameters
from agno_nb.tools.result_cache import MISSING, ResultCache
from agno_nb.types import (
    Alias,
    ApprovalKind,
    FeedbackOption,
    FeedbackQuestion,
    JsonDict,
    Media,
    ToolCall,
    ToolSpec,
    UserInputField,
    valid_tool_name,
)

ALIASES = {"entrypoint": "function", "parameters": "json_schema"}


@suggest_on_unknown_kwarg(ALIASES, agno=OF_TOOLS)
@dataclass(eq=False, repr=False)
class Tool:
    """A function that the model may call.

    Parameters
    ----------
    function : callable
        A sync or async function, method, :func:`functools.partial`, callable object or generator (whose result is all
        that it yields). Type hints become the schema, and the docstring the descriptions. Sync functions run in a
        thread.
    name, description : str, optional
        Default to the function's name and docstring. Characters that providers reject in names become ``_``.
    stop_after_tool_call : bool, optional
        End the run after this batch of calls, with the result of this tool as the answer.
    show_result : bool, optional
        Include the result in the answer. Defaults to `stop_after_tool_call`.
    json_schema : dict, optional
        JSON schema of the parameters, in place of that of the type hints. The function is called with the arguments as
        they are in JSON. `parameters` is another name for it.
    instructions : str, optional
        Instructions for the use of the tool, added to the system prompt.
    add_instructions : bool, default True
        Add them.
    cache_results : bool, default False
        Return the stored result if the tool was called with the same arguments before. If the function has injected
        parameters, results are used for the same user and session only, and only if `run_context` is one of them;
        otherwise it is always called. Results that JSON cannot hold, errors and generators are not cached.
    cache_ttl : int, default 3600
        Seconds that a result is used.
    cache_dir : str, optional
        Directory for results that other processes use too, if the function can be imported by its name and its source
        can be read. Those of other functions and of methods stay in memory, where the latest 1000 are kept.
    pre_hook, post_hook : callable, optional
        Called before and after the function. Their parameters can be ``fc`` (the :class:`FunctionCall`) and those that
        are injected into tools. If `pre_hook` raises, the function is not called, and the model receives the error.
    tool_hooks : sequence of callable, optional
        Called around the function, the first one outermost. Their parameters can be ``function_name``,
        ``function_call`` (the next hook or the function, to be called with the arguments), ``arguments`` (a dict), and
        those that are injected into tools. Their return value is the result.
    requires_confirmation : bool, optional
        Each call needs the approval of a person.
    requires_user_input : bool, optional
        A person provides the arguments `user_input_fields`, which are hidden from the model.
    user_input_fields : sequence of str, optional
        Names of parameters. Defaults to all of them.
    external_execution : bool, optional
        The function is not called; a person provides the result.
    timeout_s : float, optional
        Seconds after which the model is sent an error as the result. Coroutines are then cancelled. Threads cannot be:
        a sync function continues, and its result is ignored.

    Raises
    ------
    InvalidInputError
        A parameter has a type without a JSON schema, the tool needs more than one kind of approval, or a setting is not
        valid.
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
    json_schema: JsonDict | None = None
    instructions: str | None = None
    add_instructions: bool = True
    cache_results: bool = False
    cache_ttl: int = 3600
    cache_dir: str | None = None
    _descriptions: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            shown = " ".join(repr(self.function).split())[:80]
            raise InvalidInputError(f"a tool must be a function, not {shown} of type {type(self.function).__name__}")
        if inspect.isclass(self.function):
            raise InvalidInputError(f"a tool must be a function, and {self.function!r} is a class; pass an instance")
        if self.timeout_s is not None and (not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0):
            raise InvalidInputError(f"timeout_s is {self.timeout_s!r}; pass a number of seconds greater than 0")
        target = unwrap_partial(self.function)
        documents = [inspect.getdoc(target)]
        if not hasattr(target, "__name__"):  # A callable object, whose __call__ has the more specific docstring.
            documents.insert(0, getattr(type(target).__call__, "__doc__", None))
        import docstring_parser

        parsed = [docstring_parser.parse(inspect.cleandoc(text)) for text in documents if text]
        texts = next(([d.short_description, d.long_description] for d in parsed if d.short_description), [])
        self.description = self.description or "\n\n".join(text for text in texts if text)
        for documented in reversed(parsed):
            self._descriptions |= {p.arg_name: p.description for p in documented.params if p.description}
        self.name = _valid_name(self.name or getattr(target, "__name__", type(target).__name__))
        self._check_approval_kind()
        self._cache = self._new_cache()
        _ = self.spec  # A tool without a schema should fail here, not in a run.

    entrypoint = Alias[Callable[..., Any]]("function")

    @classmethod
    def from_callable(cls, function: Callable[..., Any], name: str | None = None, **settings: Any) -> Self:
        """Return a tool for a function: agno's name for ``Tool(function, name=...)``."""
        return cls(function, name=name or "", **settings)

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # The decorator has replaced the function by this object, which is therefore pickled by name.
        bare = unwrap_partial(self.function)
        module, name = getattr(bare, "__module__", None), getattr(bare, "__qualname__", "")
        if found_by_name(module, name) is self:
            return found_by_name, (module, name)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        made = {name for name, value in vars(Tool).items() if isinstance(value, cached_property)} | {"_cache"}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache = self._new_cache()

    def _new_cache(self) -> ResultCache | None:
        return ResultCache(self.function, self.cache_ttl, self.cache_dir) if self.cache_results else None

    @property
    def approval_kind(self) -> ApprovalKind | None:
        """The kind of approval that each call needs."""
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
                f"tool {self.name!r} has no parameters and therefore no user input; remove requires_user_input"
            )

    @property
    def is_shown(self) -> bool:
        """Whether the result is included in the answer."""
        return self.stop_after_tool_call if self.show_result is None else self.show_result

    @cached_property
    def spec(self) -> ToolSpec:
        """The description that is sent to the model."""
        return ToolSpec(name=self.name, description=self.description, parameters=self._model_parameters.schema())

    @cached_property
    def parameters(self) -> Parameters:
        """The parameters filled in by the model or a person."""
        if self.json_schema is not None:
            return SchemaParameters(self.function, self.json_schema)
        return Parameters(self.function, name=self.name, descriptions=self._descriptions)

    @cached_property
    def _user_parameters(self) -> frozenset[str]:
        return frozenset(self.user_input_fields or self.parameters.names) if self.requires_user_input else frozenset()

    @cached_property
    def _model_parameters(self) -> Parameters:
        """The parameters filled in by the model."""
        if not self._user_parameters:
            return self.parameters
        if self.json_schema is not None:
            return SchemaParameters(self.function, self.json_schema, without=self._user_parameters)
        return Parameters(self.function, name=self.name, descriptions=self._descriptions, without=self._user_parameters)

    def input_fields(self, call: ToolCall) -> list[UserInputField]:
        """Return the fields that a person has to fill in before `call`."""
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
        sees_images: bool = False,
    ) -> list[Media]:
        """Execute `call` and set its result; return the images of the result if the model sees them.

        If the arguments are not valid or the function raises, the result is the error message for the model. `injected`
        has the values of injected parameters, `user_input` the arguments provided by a person, and `hooks` further tool
        hooks, which are called around the tool's own.
        """
        try:
            arguments = self.parse_arguments(call, user_input)
        except InvalidArguments as error:
            call.result, call.tool_call_error = str(error), True
            return []
        images: list[Media] = []
        function_call = FunctionCall(self, call, arguments)
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                call.value = await self._call(function_call, arguments, injected, hooks)
                call.result, images = await to_text_and_images(call.value, sees_images=sees_images)
                if self.post_hook is not None:
                    await call_sync_or_async(
                        self.post_hook, **matching_kwargs(self.post_hook, {**injected, "fc": function_call})
                    )
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            call.result, call.tool_call_error = "A run started by this tool was cancelled.", True
        except AgentRunException as request:
            call.result, call.tool_call_error = str(request), True
            raise
        except Exception as error:
            if (unsaved := failed_save(error)) is not None:
                raise unsaved from None
            call.result, call.tool_call_error = describe(error), True
            if deadline.expired():
                call.result = f"{self.name} did not finish within {self.timeout_s:g} seconds, so there is no result."
                if not is_async(self.function):
                    call.result += " It cannot be stopped and may still be running; continue without it."
        return [] if call.tool_call_error else images

    async def _call(
        self, call: FunctionCall, arguments: dict[str, Any], injected: Mapping[str, Any], hooks: Sequence[Hook]
    ) -> Any:
        if self.pre_hook is not None:
            await call_sync_or_async(self.pre_hook, **matching_kwargs(self.pre_hook, {**injected, "fc": call}))

        async def innermost(**arguments_of_call: Any) -> Any:
            kwargs = self.parameters.kwargs_for_call(arguments_of_call, injected)
            key = None
            if self._cache is not None:
                user_id = getattr(injected.get("run_context"), "user_id", None)
                key = self._cache.key(self.name, arguments_of_call, kwargs, user_id)
                if (cached := self._cache.get(key)) is not MISSING:
                    return cached
            value = await call_sync_or_async(
                self.function, *self.parameters.positional_arguments(arguments_of_call), **kwargs
            )
            if self._cache is not None:
                self._cache.put(key, value)
            return value

        next_call: Callable[..., Any] = innermost
        for hook in reversed([*hooks, *self.tool_hooks]):
            next_call = wrap_hook(hook, self.name, next_call, injected)
        return await next_call(**arguments)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def _valid_name(name: str) -> str:
    plain = valid_tool_name(name)
    if not plain or name == "<lambda>":
        raise InvalidInputError(
            f"{name!r} cannot be the name of a tool; use letters, digits and _, and name a lambda with tool(name=...)"
        )
    return plain


Function = Tool
"""agno's name."""


@suggest_on_unknown_kwarg({})
@dataclass
class FunctionCall:
    """A call of a tool as its hooks see it."""

    function: Tool
    call: ToolCall
    """The call as it is stored."""
    arguments: dict[str, Any]
    """The arguments as the function gets them."""

    result = Alias[str | None]("call.result", "The result that is sent to the model; hooks may replace it.")
    call_id = Alias[str]("call.tool_call_id")
    tool_name = Alias[str]("call.tool_name", "Name of the tool.")
    tool_call_error = Alias[bool]("call.tool_call_error", "Whether the call failed.")

    @property
    def error(self) -> str | None:
        """The error message, if the call failed."""
        return self.call.result if self.call.tool_call_error else None

    @property
    def tool_args(self) -> dict[str, Any]:
        """The arguments as the model wrote them."""
        return self.call.tool_args

    def get_call_str(self) -> str:
        """Return the call as text."""
        return f"{self.function.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})"


UserFeedbackOption, UserFeedbackQuestion = FeedbackOption, FeedbackQuestion
"""agno's names."""

__all__ = [
    "Function",
    "FunctionCall",
    "Hook",
    "Tool",
    "ToolResult",
    "UserFeedbackOption",
    "UserFeedbackQuestion",
    "UserInputField",
]
