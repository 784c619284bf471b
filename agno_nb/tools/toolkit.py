"""Toolkits, and the tools of an agent by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.tools.function import Tool


@suggest_on_unknown_kwarg({})
class Toolkit:
    """A group of tools.

    Agents also accept any object with a list `tools`. Subclasses pass their methods:

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
        return f"{displayable(self.name)}(tools={[each.name for each in self.tools]})"


@suggest_on_unknown_kwarg({})
def resolve_tools(tools: Iterable[Any], *, tool_cache: list[Tool]) -> dict[str, Tool]:
    """Return tools, callables, toolkits (objects with `tools` or `functions`), and lists of these as tools by name.

    `tool_cache` has the tools created from plain functions by earlier calls; new ones are added.
    """
    by_name: dict[str, Tool] = {}
    for tool in _flatten(tools, tool_cache):
        if tool.name in by_name:
            raise InvalidInputError(f"two tools have the name {tool.name!r}; rename one with tool(name=...)")
        by_name[tool.name] = tool
    return by_name


def _flatten(tools: Iterable[Any], tool_cache: list[Tool]) -> Iterator[Tool]:
    for item in tools:
        members = item if isinstance(item, list | tuple) else getattr(item, "tools", getattr(item, "functions", None))
        if isinstance(item, Tool):
            yield item
        elif isinstance(members, Mapping):
            yield from _flatten(members.values(), tool_cache)
        elif isinstance(members, Iterable):
            yield from _flatten(members, tool_cache)
        else:
            yield _to_tool(item, tool_cache)


def _to_tool(function: Callable[..., Any], tool_cache: list[Tool]) -> Tool:
    for tool in tool_cache:
        # Each access to a method creates a new object, which is equal to the earlier ones.
        if tool.function == function:
            return tool
    tool_cache.append(Tool(function))
    return tool_cache[-1]
