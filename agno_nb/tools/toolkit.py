"""Tools that belong together, and all that an agent has, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from agno_nb._keywords import forgiving
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.tools.function import Tool


@forgiving({})
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
        return f"{displayable(self.name)}(tools={[each.name for each in self.tools]})"


@forgiving({})
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
