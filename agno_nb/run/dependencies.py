"""Dependencies of a run: values, and functions that are called once per run to get them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agno_nb.errors import InvalidInputError, RunError
from agno_nb.event_loop import in_thread

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext
    from agno_nb.run.runnable import Runnable


PARAMETERS = ("agent", "team", "workflow", "run_context", "session_state")
"""Parameters that a function among the dependencies may have."""


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
    values = (runnable, context.team, runnable, context, context.session_state)
    injected = dict(zip(PARAMETERS, values, strict=True))
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
    if any(map(_is_unknown, parameters)):
        return None
    return {
        each.name: injected[each.name] for each in parameters if each.kind not in _VARIADIC and each.name in injected
    }


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _is_unknown(parameter: inspect.Parameter) -> bool:
    """Whether a function needs an argument that a run doesn't have."""
    is_required = parameter.default is parameter.empty and parameter.kind not in _VARIADIC
    return is_required and parameter.name not in PARAMETERS


def uncalled_function_error(name: str, function: Any) -> InvalidInputError:
    """Return the error that ``{name}`` stands for a function that cannot be called to get the value."""
    try:
        unknown = [each.name for each in inspect.signature(function).parameters.values() if _is_unknown(each)]
    except (TypeError, ValueError):
        unknown = []
    reason = f"with the parameter {unknown[0]!r}" if unknown else "that was not called"
    return InvalidInputError(
        f"{{{name}}} in the instructions is a function {reason}, so it has no value for the model; a function in "
        f"dependencies can only have the parameters {', '.join(PARAMETERS)}"
    )
