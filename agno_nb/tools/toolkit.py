"""Toolkits, and the tools of an agent by name."""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agno_nb._keywords import nearest, suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable, warn
from agno_nb.tools.function import Tool


@suggest_on_unknown_kwarg({})
class Toolkit:
    """A group of tools.

    Agents also accept any object with a list `tools`. Subclasses pass their methods, or add them with :meth:`register`.

    Parameters
    ----------
    name, id : str, optional
        Default to the name of the class.
    tools : sequence of Tool or callable, optional
    async_tools : sequence of (callable, str), optional
        Async functions with the names of the tools that they replace. Tools of an agent may all be async.
    instructions : str, optional
        Instructions for the use of the tools.
    add_instructions : bool, default False
        Add them to the system prompt.
    include_tools, exclude_tools : sequence of str, optional
        Names of the tools to offer, or not to offer.
    requires_confirmation_tools, external_execution_required_tools : sequence of str, optional
        Names of tools whose calls need approval, or are executed by a person.
    stop_after_tool_call_tools, show_result_tools : sequence of str, optional
        Names of tools with these settings of :class:`Tool`.
    cache_results, cache_ttl, cache_dir : optional
        Settings of all tools; see :class:`Tool`.
    timeout : float, optional
        Kept as an attribute for subclasses. To limit the time of a call, use ``tool(timeout_s=...)``.
    auto_register : bool, default True
        If False, `tools` are offered only after :meth:`register` has been called with them.

    Raises
    ------
    InvalidInputError
        The toolkit is used, and there is no tool of a name in one of the lists.

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

    def __init__(
        self,
        name: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] | None = None,
        *,
        id: str | None = None,
        async_tools: Iterable[tuple[Callable[..., Any], str]] | None = None,
        instructions: str | None = None,
        add_instructions: bool = False,
        include_tools: Collection[str] | None = None,
        exclude_tools: Collection[str] | None = None,
        requires_confirmation_tools: Collection[str] | None = None,
        external_execution_required_tools: Collection[str] | None = None,
        stop_after_tool_call_tools: Collection[str] | None = None,
        show_result_tools: Collection[str] | None = None,
        cache_results: bool = False,
        cache_ttl: int = 3600,
        cache_dir: str | None = None,
        timeout: float | None = None,
        auto_register: bool = True,
    ) -> None:
        self.name = name or type(self).__name__
        self.id = id or re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")
        self.instructions, self.add_instructions = instructions, add_instructions
        self.timeout = getattr(self, "timeout", None) if timeout is None else timeout
        self._settings = {
            "requires_confirmation": [*(requires_confirmation_tools or ())],
            "external_execution": [*(external_execution_required_tools or ())],
            "stop_after_tool_call": [*(stop_after_tool_call_tools or ())],
            "show_result": [*(show_result_tools or ())],
        }
        self._cache = {"cache_results": True, "cache_ttl": cache_ttl, "cache_dir": cache_dir} if cache_results else {}
        self._included = [*include_tools] if include_tools else None
        self._excluded = [*(exclude_tools or ())]
        self.functions: dict[str, Tool] = {}
        """The tools by name."""
        named = [(each, None) for each in tools or ()] + [*(async_tools or ())] if auto_register else []
        for function, tool_name in named:
            self.register(function, tool_name)

    @property
    def tools(self) -> list[Tool]:
        """The tools, in the order in which they were added. Assigning a list replaces them."""
        # Not earlier, because a subclass may register tools after it has called this constructor.
        self._check_names()
        return [*self.functions.values()]

    @tools.setter
    def tools(self, tools: Iterable[Tool | Callable[..., Any]]) -> None:
        if "functions" in self.__dict__:  # Otherwise the constructor, which is called later, sets them.
            self.functions = {}
            for each in tools:
                self.register(each)

    def register(self, function: Tool | Callable[..., Any], name: str | None = None) -> None:
        """Add a tool, or replace the one of the same name.

        Parameters
        ----------
        function : callable or Tool
            A method that was decorated with ``@tool`` is bound to the toolkit.
        name : str, optional
            Defaults to the name of the function.
        """
        made = self._bound(function) if isinstance(function, Tool) else Tool(function)
        tool_name = name or made.name
        if tool_name in self._excluded or (self._included is not None and tool_name not in self._included):
            return
        changes: dict[str, Any] = {setting: True for setting, names in self._settings.items() if tool_name in names}
        changes |= self._cache
        if changes or tool_name != made.name:
            made = replace(made, name=tool_name, **changes)
        self.functions[made.name] = made

    def _bound(self, made: Tool) -> Tool:
        """Return a tool of this toolkit's class with its function as a method of this object."""
        of_class = (each for cls in type(self).__mro__ for each in vars(cls).values())
        if isinstance(made.function, types.FunctionType) and any(each is made for each in of_class):
            return replace(made, function=types.MethodType(made.function, self))
        return made

    def _check_names(self) -> None:
        lists = {f"{_ARGUMENTS.get(setting, setting)}_tools": names for setting, names in self._settings.items()}
        for setting, names in {"include_tools": self._included or (), **lists}.items():
            for name in names:
                if name not in self.functions and name not in self._excluded:
                    raise InvalidInputError(
                        f"toolkit {self.name!r} has no tool {name!r} for {setting}: {nearest(name, self.functions)}"
                    )

    def get_functions(self) -> dict[str, Tool]:
        """Return the tools by name."""
        return self.functions

    get_async_functions = get_functions

    def close(self) -> None:
        """Release what the toolkit holds, such as connections. Does nothing unless a subclass defines it."""

    def __repr__(self) -> str:
        return f"{displayable(self.name)}(tools={[*self.functions]})"


_LISTS = ("requires_confirmation", "external_execution", "stop_after_tool_call", "show_result")
_ARGUMENTS = {"external_execution": "external_execution_required"}
"""The beginnings of the names of a toolkit's lists that differ from the settings of a tool."""


@suggest_on_unknown_kwarg({})
def resolve_tools(tools: Iterable[Any], *, tool_cache: list[Tool]) -> dict[str, Tool]:
    """Return tools, callables, toolkits (objects with `tools` or `functions`), and lists of these as tools by name.

    Of two tools with the same name, the first one is used, with a warning. `tool_cache` has the tools created from
    plain functions by earlier calls; new ones are added.
    """
    by_name: dict[str, Tool] = {}
    for tool in _flatten(tools, tool_cache):
        if by_name.setdefault(tool.name, tool) is not tool and tool.name not in _reported_names:
            _reported_names.add(tool.name)
            warn(
                f"two tools have the name {tool.name!r}, and only the first one is used; rename one with tool(name=...)"
            )
    return by_name


_reported_names: set[str] = set()
"""Names of two tools that a warning has been shown for."""


def tool_instructions(tools: Iterable[Any]) -> list[str]:
    """Return the instructions of tools and toolkits that are to be added to the system prompt."""
    texts = []
    for item in tools:
        if isinstance(item, list | tuple):
            texts += tool_instructions(item)
            continue
        text = getattr(item, "instructions", None)
        if isinstance(text, str) and text.strip() and getattr(item, "add_instructions", False):
            texts.append(text)
        if isinstance(members := getattr(item, "tools", None), Sequence):
            texts += tool_instructions(members)
    return texts


def _flatten(tools: Iterable[Any], tool_cache: list[Tool]) -> Iterator[Tool]:
    for item in tools:
        members = item if isinstance(item, list | tuple) else getattr(item, "tools", getattr(item, "functions", None))
        if isinstance(item, Tool):
            yield item
        elif isinstance(members, Iterable):
            members = members.values() if isinstance(members, Mapping) else members
            settings = _settings_of(item)
            yield from Toolkit(tools=[*members], **settings).tools if settings else _flatten(members, tool_cache)
        else:
            yield _to_tool(item, tool_cache)


def _settings_of(item: object) -> dict[str, Any]:
    """Return the lists of another package's toolkit, such as agno's, so that its approvals are not lost.

    Of a :class:`Toolkit`, these are approvals that its class has, or that were set later.
    """
    approvals = [f"{_ARGUMENTS.get(each, each)}_tools" for each in _LISTS[:2]]
    others = ["include_tools", "exclude_tools", *(f"{each}_tools" for each in _LISTS[2:])]
    found: dict[str, Any] = {}
    for name in approvals if isinstance(item, Toolkit) else [*approvals, *others]:
        value = getattr(item, name, None)
        if isinstance(value, Collection) and value:
            found[name] = [value] if isinstance(value, str) else [*value]
    return found


def _to_tool(function: Callable[..., Any], tool_cache: list[Tool]) -> Tool:
    for tool in tool_cache:
        # Each access to a method creates a new object, which is equal to the earlier ones.
        if tool.function == function:
            return tool
    tool_cache.append(Tool(function))
    return tool_cache[-1]
