"""Keyword arguments that help: aliases that stay accepted, and unknown names that are told what they are near to."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from agno_nb.errors import UnknownArgumentError

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def nearest(name: str, known: Collection[str]) -> str:
    """Return a clause for an error that names what `name` was probably meant to be.

    Examples
    --------
    >>> nearest("intructions", ["instructions", "model"])
    'did you mean "instructions"?'
    >>> nearest("xyz", ["instructions", "model"])
    'known: instructions, model'
    """
    # At the usual 0.6 "message" is taken for "images", and a wrong guess is worse than none.
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known))}"


def translate(
    given: Mapping[str, Any],
    *,
    known: Collection[str],
    aliases: Mapping[str, str],
    deprecated: Collection[str],
    of: str,
) -> dict[str, Any]:
    """Rename aliases in `given`.

    Raises
    ------
    UnknownArgumentError
        For a name that is neither known nor an alias.
    TypeError
        For one that is given under two names.
    """
    result: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known and name not in aliases:
            raise UnknownArgumentError(f"{of} has no argument {name!r}: {nearest(name, [*known, *aliases])}")
        target = name if name in known else aliases[name]
        if name in deprecated:
            warnings.warn(f"{name}= is now called {target}=", DeprecationWarning, stacklevel=4)
        if target in result:
            raise TypeError(f"{of} got {target!r} twice: {name!r} is another name of it")
        result[target] = value
    return result


def forgiving(aliases: Mapping[str, str], deprecated: Collection[str] = ()) -> Callable[[C], C]:
    """Make the constructor of a class accept `aliases` and explain unknown names."""

    def decorate(cls: C) -> C:
        construct = cls.__init__  # type: ignore[misc]
        known = [name for name in inspect.signature(construct).parameters if name != "self"]

        @functools.wraps(construct)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            construct(
                self,
                *args,
                **translate(kwargs, known=known, aliases=aliases, deprecated=deprecated, of=f"{cls.__name__}()"),
            )

        cls.__init__ = init  # type: ignore[misc]
        return cls

    return decorate


def takes(options: type[Any], aliases: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Give a function that ends in ``**options: Unpack[options]`` a signature that lists them, and check names."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        known = [*options.__annotations__, *(p.name for p in own if p.name != "self")]
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation.__forward_arg__)
            for name, annotation in options.__annotations__.items()
        ]

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            named = translate(kwargs, known=known, aliases=aliases or {}, deprecated=(), of=f"{function.__name__}()")
            return function(*args, **named)

        checked.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate
