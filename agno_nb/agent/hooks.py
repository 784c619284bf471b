"""Hooks: functions that are called before and after a run, and may change or reject its input or its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from agno_nb.errors import AgnoNbError, InvalidInputError, RunError
from agno_nb.run.context import RunContext
from agno_nb.run.inputs import RunInput, as_text
from agno_nb.tools.invoke import call_sync_or_async, matching_kwargs
from agno_nb.types import RunEvent

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable

Hook = Callable[..., Any]


def check_hooks(hooks: Sequence[Any], name: str) -> None:
    """Raise an InvalidInputError if a hook is not a function."""
    for hook in hooks:
        if not callable(hook):
            raise InvalidInputError(f"{name} has {hook!r}; pass functions, for example a method of the object")


async def run_pre_hooks(hooks: Sequence[Hook], runnable: Runnable, context: RunContext) -> None:
    """Call hooks with the input of a run. If they change its content, that is sent as the user's message.

    Raises
    ------
    RunError
        A hook failed, or rejected the input with an InputCheckError.
    """
    run_input = RunInput(input_content=context.message.content or "", media=context.message.media)
    for hook in hooks:
        await _call(hook, "pre_hook", runnable, context, run_input=run_input)
    if run_input.input_content != (context.message.content or ""):
        context.message.content = as_text(run_input.input_content)
    context.message.media = list(run_input.media)


async def run_post_hooks(hooks: Sequence[Hook], runnable: Runnable, context: RunContext) -> None:
    """Call hooks with the run, of which they may change the content.

    Raises
    ------
    RunError
        A hook failed, or rejected the answer with an OutputCheckError.
    """
    for hook in hooks:
        await _call(hook, "post_hook", runnable, context, run_output=context.run)


async def _call(hook: Hook, kind: str, runnable: Runnable, context: RunContext, **values: Any) -> None:
    available = {
        "agent": runnable,
        "team": context.team,
        "session": context.session,
        "run_context": context,
        "session_state": context.session_state,
        "dependencies": context.dependencies,
        "metadata": context.metadata,
        "user_id": context.user_id,
        "debug_mode": False,
        **values,
    }
    name = getattr(hook, "__name__", type(hook).__name__)
    context.emit(RunEvent[f"{kind}_started"], details={f"{kind}_name": name})
    try:
        await call_sync_or_async(hook, **matching_kwargs(hook, available))
    except AgnoNbError:
        raise
    except Exception as error:
        shown = kind.replace("_", "-")
        raise RunError(f"{shown} {name!r} failed: {type(error).__name__}: {error}") from error
    context.emit(RunEvent[f"{kind}_completed"], details={f"{kind}_name": name})
