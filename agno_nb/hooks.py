"""agno's path of the decorator for hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["hook"]


@overload
def hook(function: F) -> F: ...
@overload
def hook(*, run_in_background: bool = False) -> Callable[[F], F]: ...
def hook(function: Callable[..., Any] | None = None, *, run_in_background: bool = False) -> Any:
    """Mark a function in `pre_hooks` or `post_hooks` as a hook. The function is returned unchanged.

    Parameters
    ----------
    run_in_background : bool
        A setting for agno's server. Without the server it has no effect: the run waits for its hooks, in agno and here.

    Examples
    --------
    >>> @hook(run_in_background=True)
    ... def notify(run_output):
    ...     print(run_output.content)
    >>> notify.__name__
    'notify'
    """
    return (lambda decorated: decorated) if function is None else function
