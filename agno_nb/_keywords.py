"""Aliases of keyword arguments, and suggestions for unknown ones."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from operator import attrgetter
from typing import Any, TypeVar

from agno_nb._agno_parts import NONE_OF_AGNO, AgnoKeywords
from agno_nb.errors import UnknownArgumentError

C = TypeVar("C", bound=type[Any])
D = TypeVar("D", bound=Callable[..., Any])
F = TypeVar("F", bound=Callable[..., Any])


def nearest(name: str, known: Collection[str]) -> str:
    """Return a clause for an error that suggests the closest known name.

    Examples
    --------
    >>> nearest("intructions", ["instructions", "model"])
    'did you mean "instructions"?'
    >>> nearest("add_history", ["add_history_to_context", "read_chat_history"])
    'did you mean "add_history_to_context"?'
    >>> nearest("xyz", ["instructions", "model"])
    'known: instructions, model'
    """
    if not known:
        return "it takes none"
    # The start of a long name is too short to be close to it.
    if len(starts := [each for each in known if len(name) > 3 and each.startswith(name)]) == 1:
        return f'did you mean "{starts[0]}"?'
    # At the default cutoff of 0.6, "message" matches "images". A wrong guess is worse than none.
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f'did you mean "{close[0]}"?' if close else f"known: {', '.join(sorted(known))}"


def translate(
    kwargs: Mapping[str, Any],
    *,
    known: Collection[str],
    aliases: Mapping[str, str],
    deprecated: Collection[str],
    of: str,
    agno: AgnoKeywords = NONE_OF_AGNO,
) -> dict[str, Any]:
    """Rename aliases in `kwargs`, and leave out agno's keywords that have no effect.

    None and False, which switch a part of agno off, are accepted for parts that we do not have, and so is the only
    value of a keyword that has no other.

    Raises
    ------
    UnknownArgumentError
        A name is neither known nor an alias, or belongs to a part of agno that we do not have.
    TypeError
        An argument is passed under two names.
    """
    result: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name not in known and name not in aliases:
            if name in agno.no_effect or (name in agno.missing and (value is None or value is False)):
                continue
            if name in agno.fixed:
                only, remedy = agno.fixed[name]
                if value is None or value is only:
                    continue
                raise UnknownArgumentError(f"{of} got {name}={value!r}, and only {only!r} is possible; {remedy}")
            if name in agno.missing:
                raise UnknownArgumentError(f"{of} has no argument {name!r}: agno_nb has no {agno.missing[name]}")
            current = [each for each in [*known, *aliases] if each not in deprecated]
            raise UnknownArgumentError(f"{of} has no argument {name!r}: {nearest(name, current)}")
        target = name if name in known else aliases[name]
        if name in deprecated:
            warnings.warn(f"{name}= is now called {target}=", DeprecationWarning, stacklevel=4)
        if target in result:
            raise TypeError(f"{of} got {target!r} twice; {name!r} is another name for it")
        result[target] = value
    return result


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


_NOT_JOINED: Mapping[str, str] = {}


def suggest_on_unknown_kwarg(
    aliases: Mapping[str, str],
    deprecated: Collection[str] = (),
    *,
    joined: Mapping[str, str] = _NOT_JOINED,
    convert: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]] | None = None,
    agno: AgnoKeywords = NONE_OF_AGNO,
) -> Callable[[D], D]:
    """Make a function or the constructor of a class accept `aliases`, and suggest names for unknown keywords.

    The values of keywords in `joined` are added to the list in the parameter that it names. `convert` gets the class
    and the keywords of a call that has others than the parameters, and returns them under the names of parameters. The
    keywords of agno that have no effect or are missing are `agno`, or a class attribute `agno_keywords`.
    """

    def decorate(target: D) -> D:
        cls: Any = target if isinstance(target, type) else None
        function: Callable[..., Any] = target if cls is None else cls.__init__
        parameters = inspect.signature(target).parameters.values()
        known = [each.name for each in parameters if each.kind in _NAMED and each.name != "self"]
        names = frozenset(known)
        of_agno: AgnoKeywords = getattr(cls, "agno_keywords", agno)

        def renamed(owner: object, kwargs: Mapping[str, Any]) -> dict[str, Any]:
            is_inherited = cls is not None and type(owner).__init__ is checked
            of = (type(owner) if is_inherited else target).__name__
            accepted = [*known, *joined]
            kwargs = kwargs if convert is None else convert(cls, kwargs)
            found = translate(
                kwargs, known=accepted, aliases=aliases, deprecated=deprecated, of=f"{of}()", agno=of_agno
            )
            for name in [each for each in joined if each in found]:
                parts = found.pop(name) or ()
                parts = parts if isinstance(parts, list | tuple) else [parts]
                found[joined[name]] = [*found.get(joined[name], ()), *parts]
            return found

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if not names.issuperset(kwargs):
                kwargs = renamed(args[0] if cls is not None else None, kwargs)
            return function(*args, **kwargs)

        is_dataclass = (
            cls is not None and "__dataclass_params__" in vars(cls) and function.__code__.co_filename == "<string>"
        )
        if is_dataclass and all(each.init for each in fields(cls)):
            checked = functools.wraps(function)(_dataclass_init(cls, renamed))
        else:
            checked = functools.wraps(function)(wrapper)
        if cls is None:
            return checked  # type: ignore[return-value]
        cls.__init__ = checked
        return target

    return decorate


def _dataclass_init(cls: Any, renamed: Callable[[object, Mapping[str, Any]], dict[str, Any]]) -> Callable[..., None]:
    """Generate the ``__init__`` of a dataclass as `dataclass` does, but with ``**unknown``.

    Values such as messages are created often. A wrapper around ``__init__`` would double the calls.
    """
    original = cls.__init__

    def init_renamed(arguments: dict[str, Any]) -> None:
        self, unknown = arguments.pop("self"), arguments.pop("unknown")
        given = {name: value for name, value in arguments.items() if value is not namespace[f"_default_{name}"]}
        original(self, **renamed(self, given | unknown))  # A TypeError if an argument is missing.

    namespace: dict[str, Any] = {"_set": object.__setattr__, "_missing": MISSING, "_init_renamed": init_renamed}
    parameters, body = ["self"], list[str]()
    conditions = ["unknown"]
    for each in sorted(fields(cls), key=attrgetter("kw_only")):
        name = value = each.name
        namespace |= {f"_default_{name}": each.default, f"_new_{name}": each.default_factory}
        if each.kw_only and "*" not in parameters:
            parameters.append("*")
        parameters.append(f"{name}=_default_{name}")
        if each.default_factory is not MISSING:
            value = f"_new_{name}() if {name} is _missing else {name}"
        elif each.default is MISSING:
            conditions.append(f"{name} is _missing")
        body.append(f"_set(self, {name!r}, {value})" if cls.__dataclass_params__.frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    check = f"if {' or '.join(conditions)}: return _init_renamed(locals())"
    exec("\n ".join([f"def __init__({', '.join(parameters)}, **unknown):", check, *body]), namespace)
    init: Callable[..., None] = namespace["__init__"]
    return init


def explain_wrong_arguments(remedy: str) -> Callable[[F], F]:
    """Make a method raise an UnknownArgumentError with a remedy, and without an internal class, for a wrong call."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except TypeError as error:
                # Raised by the call itself if the function has not started.
                if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                    raise
                problem = str(error).replace(f"{function.__qualname__}()", f"{function.__name__}()")
                raise UnknownArgumentError(f"{problem}; {remedy}") from None

        return checked  # type: ignore[return-value]

    return decorate


def suggest_in_methods(*names: str, agno: AgnoKeywords = NONE_OF_AGNO) -> Callable[[C], C]:
    """Make methods of a class suggest names for unknown keywords; by default its own public ones that block."""

    def decorate(cls: C) -> C:
        own = (name for name, value in vars(cls).items() if name[0] != "_" and inspect.isfunction(value))
        for name in names or [name for name in own if not inspect.iscoroutinefunction(getattr(cls, name))]:
            setattr(cls, name, suggest_on_unknown_kwarg({}, agno=agno)(getattr(cls, name)))
        return cls

    return decorate


def listed_kwargs(options: type[Any]) -> Callable[[F], F]:
    """Give a function that ends in ``**options`` a signature that lists the keys of `options`."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        option_parameters = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation.__forward_arg__)
            for name, annotation in options.__annotations__.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *option_parameters])  # type: ignore[attr-defined]
        return function

    return decorate


def typed_kwargs(
    options: type[Any], aliases: Mapping[str, str] | None = None, *, agno: AgnoKeywords = NONE_OF_AGNO
) -> Callable[[F], F]:
    """Give a function that ends in ``**options`` a signature that lists the keys of `options`, and check the names."""
    return lambda function: suggest_on_unknown_kwarg(aliases or {}, agno=agno)(listed_kwargs(options)(function))
