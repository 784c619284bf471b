"""Keyword arguments: aliases, and errors for unknown names that suggest the closest known one."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from agno_nb.errors import UnknownArgumentError

C = TypeVar("C", bound=type[Any])
D = TypeVar("D", bound=Callable[..., Any])
F = TypeVar("F", bound=Callable[..., Any])


def nearest(name: str, known: Collection[str]) -> str:
    """Return the part of an error message that suggests a known name for `name`.

    Examples
    --------
    >>> nearest("intructions", ["instructions", "model"])
    'did you mean "instructions"?'
    >>> nearest("xyz", ["instructions", "model"])
    'known: instructions, model'
    """
    if not known:
        return "it takes none"
    # With the default of 0.6, "message" matches "images", and a wrong suggestion is worse than none.
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known))}"


def translate(
    kwargs: Mapping[str, Any],
    *,
    known: Collection[str],
    aliases: Mapping[str, str],
    deprecated: Collection[str],
    of: str,
) -> dict[str, Any]:
    """Rename aliases in `kwargs`.

    Raises
    ------
    UnknownArgumentError
        A name is neither known nor an alias.
    TypeError
        An argument is passed under two names.
    """
    result: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name not in known and name not in aliases:
            raise UnknownArgumentError(f"{of} has no argument {name!r}: {nearest(name, [*known, *aliases])}")
        target = name if name in known else aliases[name]
        if name in deprecated:
            warnings.warn(f"{name}= is now called {target}=", DeprecationWarning, stacklevel=4)
        if target in result:
            raise TypeError(f"{of} got {target!r} twice: {name!r} is another name of it")
        result[target] = value
    return result


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def suggest_on_unknown_kwarg(aliases: Mapping[str, str], deprecated: Collection[str] = ()) -> Callable[[D], D]:
    """Make a function or class accept `aliases`, and suggest the closest name for unknown keywords."""

    def decorate(target: D) -> D:
        cls: Any = target if isinstance(target, type) else None
        function: Callable[..., Any] = target if cls is None else cls.__init__
        parameters = inspect.signature(target).parameters.values()
        known = [each.name for each in parameters if each.kind in _NAMED and each.name != "self"]
        names = frozenset(known)

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            # A fast path, because values such as messages are created often.
            if not names.issuperset(kwargs):
                is_inherited = cls is not None and type(args[0]).__init__ is checked
                of = (type(args[0]) if is_inherited else target).__name__
                kwargs = translate(kwargs, known=known, aliases=aliases, deprecated=deprecated, of=f"{of}()")
            return function(*args, **kwargs)

        if cls is None:
            return checked  # type: ignore[return-value]
        cls.__init__ = checked
        return target

    return decorate


def explain_wrong_arguments(remedy: str) -> Callable[[F], F]:
    """Make a method raise an UnknownArgumentError with a remedy, and without an internal class, if a call is wrong."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                # Raised by the call itself: the function has not begun.
                if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                    raise
                problem = str(error).replace(f"{function.__qualname__}()", f"{function.__name__}()")
                raise UnknownArgumentError(f"{problem}; {remedy}") from None

        return checked  # type: ignore[return-value]

    return decorate


def suggest_in_methods(*names: str) -> Callable[[C], C]:
    """Make methods of a class, inherited or its own, name the nearest of unknown keywords."""

    def decorate(cls: C) -> C:
        for name in names:
            setattr(cls, name, suggest_on_unknown_kwarg({})(getattr(cls, name)))
        return cls

    return decorate


def typed_kwargs(options: type[Any], aliases: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Add the options of ``**options: Unpack[options]`` to a function's signature, and check names."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        known = [*options.__annotations__, *(p.name for p in own if p.name != "self")]
        option_parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation.__forward_arg__)
            for name, annotation in options.__annotations__.items()
        ]

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            translated = translate(
                kwargs, known=known, aliases=aliases or {}, deprecated=(), of=f"{function.__name__}()"
            )
            return function(*args, **translated)

        checked.__signature__ = signature.replace(parameters=[*own, *option_parameters])  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate
