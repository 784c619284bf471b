"""Objects of other packages, which are recognised by the names of their classes. The packages are never imported."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from agno_nb.errors import InvalidInputError
from agno_nb.types import with_type

if TYPE_CHECKING:
    from agno_nb.tools.invoke import ForeignFunction


class _Handler(NamedTuple):
    module: str
    """The module of this package that handles the objects."""
    is_toolkit: bool = False


_HANDLERS = {
    ("agno", "Function"): _Handler("agno_tools"),
    ("agno", "Toolkit"): _Handler("agno_tools", is_toolkit=True),
    ("langchain_core", "BaseTool"): _Handler("langchain_tools"),
    ("langchain_core", "BaseToolkit"): _Handler("langchain_tools", is_toolkit=True),
}
"""Handlers by the top package and the name of a class."""

_OF_MCP = "pass MCPTools(...) of agno_nb.tools.mcp with the command or URL of the server"
_OF_A_RUN = "pass a function that calls its run() and returns the content"
_REMEDIES = {
    ("agno", "MCPTools"): _OF_MCP,
    ("agno", "MultiMCPTools"): _OF_MCP,
    ("mcp", "ClientSession"): _OF_MCP,
    ("mcp", "Client"): _OF_MCP,
    ("mcp", "Tool"): _OF_MCP,
    ("mcp_types", "Tool"): _OF_MCP,
    ("fastmcp", "Client"): _OF_MCP,
    ("fastmcp", "Tool"): "pass its function, `tool.fn`",
    ("agno", "Agent"): _OF_A_RUN,
    ("agno", "Team"): _OF_A_RUN,
    ("agno", "Workflow"): _OF_A_RUN,
    ("agno_nb", "Runnable"): f"make it a member of a Team, or {_OF_A_RUN}",
    ("langchain_core", "Runnable"): "pass its `as_tool(name=..., description=...)`",
    ("pydantic_ai", "Tool"): "pass its function, `tool.function`",
    ("pydantic_ai", "AbstractToolset"): "pass the functions that were added to it",
    ("smolagents", "Tool"): "pass its method `tool.forward`",
    ("agents", "FunctionTool"): "pass the function that was decorated with @function_tool",
    ("llama_index", "FunctionTool"): "pass its function, `tool.fn`",
    ("llama_index", "BaseTool"): "pass a function that calls it",
    ("haystack", "Tool"): "pass its function, `tool.function`",
    ("crewai", "BaseTool"): "pass its method `tool._run`",
    ("dspy", "Tool"): "pass its function, `tool.func`",
    ("autogen_core", "BaseTool"): "pass the function that it was made of",
    ("semantic_kernel", "KernelFunction"): "pass the method that was decorated with @kernel_function",
}
"""What to pass instead of objects that cannot be tools, by the top package and the name of a class."""


def foreign_function(value: Any) -> ForeignFunction | None:
    """Return a function that calls another package's tool; None if `value` is a callable without such a class.

    Raises
    ------
    InvalidInputError
        `value` cannot be a tool.
    """
    handler, remedy = _lookup(value)
    if handler is not None and not handler.is_toolkit:
        function: ForeignFunction = _module(handler).function_of(value)
        return function
    if inspect.isclass(value):
        raise InvalidInputError(f"a tool must be a function, and {value!r} is a class; pass an instance")
    if handler is not None:
        remedy = "pass it in tools=[...], or one of its tools"
    elif isinstance(value, ModuleType):
        remedy = "pass the functions of the module that the model may call"
    if remedy is None and callable(value):
        return None
    remedy = remedy or "pass a function, or a toolkit with tools"
    raise InvalidInputError(f"a tool must be a function, not {with_type(value)}; {remedy}")


def foreign_members(value: Any) -> Iterable[Any] | None:
    """Return the tools of another package's toolkit; None if `value` is not one.

    Raises
    ------
    InvalidInputError
        `value` has tools, but is an agent or a connection.
    """
    handler, remedy = _lookup(value)
    if remedy is not None:
        foreign_function(value)
    if handler is None or not handler.is_toolkit:
        return None
    members: Iterable[Any] = _module(handler).members_of(value)
    return members


def is_foreign_tool(value: Any) -> bool:
    """Whether `value` is a tool or toolkit of another package."""
    return _lookup(value)[0] is not None


def _module(handler: _Handler) -> Any:
    return import_module(f"{__name__}.{handler.module}")


def _lookup(value: Any) -> tuple[_Handler | None, str | None]:
    """Return the handler of an object, or what to pass instead, by its most specific class."""
    for cls in type(value).__mro__:
        key = str(cls.__module__).partition(".")[0], cls.__name__
        if (remedy := _REMEDIES.get(key)) is not None:
            return None, remedy
        if (handler := _HANDLERS.get(key)) is not None:
            return handler, None
    return None, None
