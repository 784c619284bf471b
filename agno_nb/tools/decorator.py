"""The ``@tool`` decorator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

from agno_nb._agno_parts import OF_TOOLS
from agno_nb._keywords import translate
from agno_nb.tools.function import ALIASES, Tool
from agno_nb.tools.invoke import Hook
from agno_nb.types import JsonDict


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    name: str | None = "",
    description: str | None = "",
    requires_confirmation: bool | None = False,
    requires_user_input: bool | None = False,
    user_input_fields: Sequence[str] | None = (),
    external_execution: bool | None = False,
    stop_after_tool_call: bool | None = False,
    show_result: bool | None = None,
    pre_hook: Hook | None = None,
    post_hook: Hook | None = None,
    tool_hooks: Sequence[Hook] = (),
    timeout_s: float | None = None,
    parameters: JsonDict | None = None,
    instructions: str | None = None,
    add_instructions: bool = True,
    cache_results: bool = False,
    cache_ttl: int = 3600,
    cache_dir: str | None = None,
    strict: bool | None = None,
    external_execution_silent: bool | None = None,
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
    aliases = {name: target for name, target in ALIASES.items() if target != "function"}
    settings = translate(settings, known=known, aliases=aliases, deprecated=(), of="@tool()", agno=OF_TOOLS)
    # agno's default of each setting is None.
    settings = {name: value for name, value in settings.items() if value is not None}
    return lambda decorated: Tool(decorated, **settings)
