"""The ``@tool`` decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

from agno_nb._keywords import translate
from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import Hook


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
    stop_after_tool_call: bool = False,
    show_result: bool | None = None,
    pre_hook: Hook | None = None,
    post_hook: Hook | None = None,
    tool_hooks: Sequence[Hook] = (),
    timeout_s: float | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(function: Callable[..., Any] | None = None, /, **settings: Any) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Turn a function into a tool with settings. Agents also accept plain functions.

    Parameters
    ----------
    function : callable, optional
        Omitted if the decorator has settings.
    **settings
        The settings of :class:`Tool`.

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
        return Tool(function, **settings)
    known = [name for name in inspect.signature(Tool).parameters if name != "function"]
    settings = translate(settings, known=known, aliases={}, deprecated=(), of="@tool()")
    return lambda decorated: Tool(decorated, **settings)
