"""Dependencies of a run: values, and functions that are called once per run to get them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_nb.errors import RunError
from agno_nb.event_loop import in_thread

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext
    from agno_nb.run.runnable import Runnable


async def resolve_dependencies(runnable: Runnable, context: RunContext) -> None:
    """Replace the functions among the dependencies of a run by what they return.

    A function may have parameters for `agent`, `team`, `workflow`, `run_context` and `session_state`. Async functions
    are awaited, others are called in a thread. A callable that needs other arguments is a value for tools, and stays.
    What a run around this one has resolved is not called again.

    Raises
    ------
    RunError
        A function failed.
    """
    if not any(map(callable, context.dependencies.values())):
        return
    inherited = context.parent.dependencies if context.parent is not None else {}
    injected = {
        "agent": runnable,
        "team": context.team,
        "workflow": runnable,
        "run_context": context,
        "session_state": context.session_state,
    }
    for name, value in context.dependencies.items():
        arguments = _arguments_for(value, injected)
        if arguments is None or (name in inherited and inherited[name] is value):
            continue
        try:
            result = await in_thread(value, **arguments)
            context.dependencies[name] = await result if inspect.isawaitable(result) else result
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise RunError(f"dependency {name!r} failed: {type(error).__name__}: {error}") from error


def _arguments_for(value: Any, injected: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments with which a dependency can be called; None for a value."""
    if not callable(value):
        return None
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    fixed = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if any(each.default is each.empty and each.name not in injected for each in fixed):
        return None
    return {each.name: injected[each.name] for each in fixed if each.name in injected}
