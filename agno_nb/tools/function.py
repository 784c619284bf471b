"""A function as a tool: what the model is told of it, its arguments checked, its result as text."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import re
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import docstring_parser

from agno_nb._loop import in_thread
from agno_nb.errors import InvalidInputError
from agno_nb.tools.arguments import INJECTED, Arguments, BadArguments
from agno_nb.tools.result import to_text
from agno_nb.types import ToolCall, ToolSpec

Hook = Callable[..., Any]

_LONGEST_NAME = 64
"""What providers take: https://platform.openai.com/docs/api-reference/chat/create#chat-create-tools"""


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
        ``function_call`` (what goes on, to be called with the arguments), ``arguments`` (a dict) and what tools are
        injected. What a hook returns is the result.
    timeout_s : float, optional
        Seconds after which the model is told that there is no result. A coroutine is cancelled then. A thread cannot
        be: a sync function goes on by itself, and what it returns is not seen.

    Raises
    ------
    InvalidInputError
        A parameter's type cannot be described to a model, or a setting cannot be used.
    """

    function: Callable[..., Any]
    name: str = ""
    description: str = ""
    stop_after_tool_call: bool = False
    show_result: bool | None = None
    pre_hook: Hook | None = None
    post_hook: Hook | None = None
    tool_hooks: Sequence[Hook] = ()
    timeout_s: float | None = None
    _descriptions: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise InvalidInputError(f"a tool must be a function, not {self.function!r}")
        if inspect.isclass(self.function):
            raise InvalidInputError(
                f"a tool must be a function, and {self.function!r} is a class: give an object of it"
            )
        if self.timeout_s is not None and self.timeout_s <= 0:
            raise InvalidInputError(f"timeout_s is {self.timeout_s!r}; it must be more than 0 seconds")
        plain = _plain(self.function)
        documents = [inspect.getdoc(plain)]
        if not hasattr(plain, "__name__"):  # An object with __call__, which may say more than its class.
            documents.insert(0, getattr(type(plain).__call__, "__doc__", None))
        parsed = [docstring_parser.parse(inspect.cleandoc(text)) for text in documents if text]
        texts = next(([d.short_description, d.long_description] for d in parsed if d.short_description), [])
        self.description = self.description or "\n\n".join(text for text in texts if text)
        for documented in reversed(parsed):
            self._descriptions |= {p.arg_name: p.description for p in documented.params if p.description}
        self.name = _valid_name(self.name or getattr(plain, "__name__", type(plain).__name__))
        _ = self.spec  # So that a tool that cannot be described fails here and not in a run.

    @property
    def is_shown(self) -> bool:
        """Whether the result is a part of the answer."""
        return self.stop_after_tool_call if self.show_result is None else self.show_result

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model is told of it."""
        return ToolSpec(name=self.name, description=self.description, parameters=self.arguments.schema())

    @cached_property
    def arguments(self) -> Arguments:
        """The parameters that the model fills."""
        return Arguments(self.function, name=self.name, descriptions=self._descriptions)

    async def call(self, call: ToolCall, injected: Mapping[str, Any], *, hooks: Sequence[Hook] = ()) -> None:
        """Do what `call` asks for, and write into it what came of it.

        An exception of the function, or arguments that it does not take, are told to the model as the result.

        Parameters
        ----------
        call : ToolCall
        injected : mapping
            Values of the parameters that the runtime fills.
        hooks : sequence of callable, optional
            Tool hooks around those of the tool.
        """
        try:
            arguments = self.arguments.parse(call.arguments)
        except BadArguments as error:
            call.result, call.tool_call_error = f"{self.name} does not take these arguments:\n{error}", True
            return
        deadline = asyncio.timeout(self.timeout_s)
        try:
            async with deadline:
                call.value = await self._call(call, arguments, injected, hooks)
                call.result = to_text(call.value)
                if self.post_hook is not None:
                    await _ended(self.post_hook, **_wanted(self.post_hook, {**injected, "fc": call}))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            call.result, call.tool_call_error = "A run that this tool had begun was cancelled.", True
        except GeneratorExit:
            raise
        except BaseException as error:
            # A tool that exits must not end the loop of everybody's runs, so its exception is told as any other.
            call.result, call.tool_call_error = f"{type(error).__name__}: {error}", True
            if deadline.expired():
                call.result = f"{self.name} did not end within {self.timeout_s:g} seconds, so there is no result."
                if not _is_async(self.function):
                    call.result += " It cannot be stopped and may still be at work; go on without it."

    async def _call(
        self, call: ToolCall, arguments: dict[str, Any], injected: Mapping[str, Any], hooks: Sequence[Hook]
    ) -> Any:
        if self.pre_hook is not None:
            await _ended(self.pre_hook, **_wanted(self.pre_hook, {**injected, "fc": call}))

        async def innermost(**given: Any) -> Any:
            return await _ended(
                self.function, *self.arguments.positional(given), **self.arguments.filled(given, injected)
            )

        going_on: Callable[..., Any] = innermost
        for hook in reversed([*hooks, *self.tool_hooks]):
            going_on = _around(hook, self.name, going_on, injected)
        return await going_on(**arguments)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    stop_after_tool_call: bool = False,
    show_result: bool | None = None,
    pre_hook: Hook | None = None,
    post_hook: Hook | None = None,
    tool_hooks: Sequence[Hook] = (),
    timeout_s: float | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **settings: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a function a tool. Plain functions may be given to an agent as they are; this is for saying more.

    Parameters
    ----------
    function : callable, optional
        Left out where the decorator has settings.
    **settings
        Those of :class:`Tool`.

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
    return lambda decorated: Tool(decorated, **settings)


class Toolkit:
    """Tools that belong together, to be given to an agent as one.

    Any object with a list `tools` is a toolkit too. Subclasses hand their methods over:

    Examples
    --------
    >>> class Shop(Toolkit):
    ...     def __init__(self, prices):
    ...         super().__init__(tools=[self.price_of])
    ...         self.prices = prices
    ...     def price_of(self, item: str) -> float:
    ...         "Look up what an item costs, in euros."
    ...         return self.prices[item]
    >>> Shop({"tea": 2.5})
    Shop(tools=['price_of'])
    """

    def __init__(self, name: str | None = None, tools: Iterable[Tool | Callable[..., Any]] = ()) -> None:
        self.name = name or type(self).__name__
        self.tools = [each if isinstance(each, Tool) else Tool(each) for each in tools]

    def __repr__(self) -> str:
        return f"{self.name}(tools={[each.name for each in self.tools]})"


def toolbox(tools: Iterable[Any], *, made: list[Tool]) -> dict[str, Tool]:
    """Return the tools by name.

    Parameters
    ----------
    tools : iterable
        Tools, callables, toolkits (objects with `tools` or `functions`), and lists of all these.
    made : list of Tool
        The caller's memory: what was made of plain functions before is taken from here, and what is made is added.

    Raises
    ------
    InvalidInputError
        Two tools have one name.
    """
    box: dict[str, Tool] = {}
    for one in _flat(tools, made):
        if one.name in box:
            raise InvalidInputError(f"two tools are called {one.name!r}; give one another name with tool(name=...)")
        box[one.name] = one
    return box


def _flat(tools: Iterable[Any], made: list[Tool]) -> Iterator[Tool]:
    for given in tools:
        within = (
            given if isinstance(given, list | tuple) else getattr(given, "tools", getattr(given, "functions", None))
        )
        if isinstance(given, Tool):
            yield given
        elif isinstance(within, Mapping):
            yield from _flat(within.values(), made)
        elif isinstance(within, Iterable):
            yield from _flat(within, made)
        else:
            yield _made_of(given, made)


def _made_of(function: Callable[..., Any], made: list[Tool]) -> Tool:
    for tool in made:
        # A method is made anew whenever it is looked up, and is equal to itself.
        if tool.function == function:
            return tool
    made.append(Tool(function))
    return made[-1]


def _valid_name(name: str) -> str:
    """Make a name that every provider takes; letters lose their accents."""
    plain = unicodedata.normalize("NFKD", name)
    plain = re.sub(r"[^\w-]+", "_", "".join(c for c in plain if not unicodedata.combining(c)), flags=re.ASCII)
    plain = plain.strip("_")[:_LONGEST_NAME]
    if not plain or name == "<lambda>":
        raise InvalidInputError(
            f"{name!r} cannot be the name of a tool: use letters, digits and _, and give a lambda a name "
            f"with tool(name=...)"
        )
    return plain


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a partial is a part of."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_async(function: Callable[..., Any]) -> bool:
    several = (_plain(function), getattr(_plain(function), "__call__", None))  # noqa: B004 - an async __call__
    return any(inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each) for each in several)


async def _ended(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call a sync function in a thread, an async one here, a generator to its end; return what it comes to."""
    if _is_async(function):
        value = function(*args, **kwargs)
    else:
        value = await in_thread(_exhausted, function, *args, **kwargs)
    if inspect.isawaitable(value):
        value = await value
    if isinstance(value, AsyncIterator):
        return _together([each async for each in value])
    return value


def _exhausted(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    value = function(*args, **kwargs)
    return _together(list(value)) if inspect.isgenerator(value) else value


def _together(pieces: list[Any]) -> Any:
    """Join what a generator yielded where it is text; a list of it where it is not."""
    return "".join(pieces) if pieces and all(isinstance(piece, str) for piece in pieces) else pieces


def _around(hook: Hook, name: str, inner: Callable[..., Any], injected: Mapping[str, Any]) -> Callable[..., Any]:
    """Put a hook around what goes on. A sync hook runs in a thread, from where it calls what goes on as it pleases."""
    loop = asyncio.get_running_loop()

    async def outer(**given: Any) -> Any:
        begun: list[concurrent.futures.Future[Any]] = []

        def blocking(**given: Any) -> Any:
            begun.append(asyncio.run_coroutine_threadsafe(inner(**given), loop))
            return begun[-1].result()

        going_on = inner if _is_async(hook) else blocking
        offered = {
            **injected,
            **dict.fromkeys(("function_name", "name"), name),
            **dict.fromkeys(("function_call", "function", "func"), going_on),
            **dict.fromkeys(("arguments", "args"), given),
        }
        try:
            return await _ended(hook, **_wanted(hook, offered))
        finally:
            for each in begun:
                each.cancel()

    return outer


def _wanted(hook: Hook, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a hook has parameters for, by name."""
    parameters = inspect.signature(hook).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(offered)
    return {parameter.name: offered[parameter.name] for parameter in parameters if parameter.name in offered}


__all__ = ["INJECTED", "Tool", "Toolkit", "tool", "toolbox"]
