"""``{name}`` in a prompt becomes the value of the notebook's variable; every other brace stays as it was typed.

A prompt holds JSON, code and formulas, so this is not ``str.format``: a pair of braces counts only if a name, an
attribute or a constant index stands between them and nothing else, and if the notebook defines it.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from agno_nb.errors import InvalidInputError
from agno_nb.tools.extract import extract, is_a

TEXT_LIMIT = 50_000
"""Characters that one variable may put into a prompt. The rest is cut off, and the prompt says so."""

FIRST_ROWS = 5
"""Rows of a DataFrame that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedVariable:
    """What was put into a prompt, as it is stored with the run."""

    name: str
    """The expression between the braces, as in ``df`` or ``config["model"]``."""
    type: str
    """As in ``str`` or ``pandas.DataFrame``."""
    shape: tuple[int, ...] | None
    """Of a DataFrame, Series or array."""
    hash: str
    """First 16 hex digits of the SHA-256 of the text that was put in."""
    cut: bool
    """Whether the text was longer than :data:`TEXT_LIMIT`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A prompt with the values of its variables."""

    text: str
    variables: list[InjectedVariable] = field(default_factory=list)
    """Each expression once, in the order of the prompt."""
    warnings: list[str] = field(default_factory=list)
    """Sentences for the user: what looks like a variable and was left as typed, and what was cut."""


def inject(text: str, namespace: Mapping[str, Any]) -> Injected:
    """Replace ``{name}``, ``{name.attr}``, ``{name[0]}`` and ``{name["key"]}`` by values of `namespace`.

    What is not defined stays as typed, and so does every other use of braces, doubled ones (``{{name}}``) included.
    A value is never searched for braces again. A DataFrame becomes its schema and first rows.

    Parameters
    ----------
    text : str
        The prompt.
    namespace : mapping
        The notebook's variables.

    Returns
    -------
    Injected

    Raises
    ------
    InvalidInputError
        A value is defined and fails when it is read or turned into text, as a property of your own class may.

    Examples
    --------
    >>> inject('Answer as {"city": ...}: where is {place[0]}?', {"place": ["the Colosseum"]}).text
    'Answer as {"city": ...}: where is the Colosseum?'
    """
    injection = _Injection(namespace)
    replaced = _BRACES.sub(injection.replace, text)
    return Injected(text=replaced, variables=injection.variables, warnings=injection.warnings)


_NAME = r"[^\W\d]\w*"
_STEP = rf"""\.(?:{_NAME})|\[-?[0-9]{{1,9}}\]|\["[^"\\{{}}\n]*"\]|\['[^'\\{{}}\n]*'\]"""
_BRACES = re.compile(rf"\{{\{{[^{{}}\n]*\}}\}}|\{{(?P<name>{_NAME})(?P<path>(?:{_STEP})*)\}}")
# Before the brace of a formula, as in \frac{a}{b} and x^{n}, or of a shell's variable: ${HOME}.
_OTHER_LANGUAGE = re.compile(r"(?:\\[a-zA-Z]+\*?(?:[\[{][^\[\]{}]*[\]}])*|[\^$])\Z")


class _Missing(Exception):
    """An expression that leads nowhere. Its text says why."""


class _Injection:
    """The replacements in one prompt."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.variables: list[InjectedVariable] = []
        self.warnings: list[str] = []
        self._namespace = namespace
        self._texts: dict[str, str | None] = {}

    def replace(self, match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        expression = f"{match['name']}{match['path']}"
        if expression not in self._texts:
            self._texts[expression] = self._text_of(expression, match)
        text = self._texts[expression]
        return match[0] if text is None else text

    def _text_of(self, expression: str, match: re.Match[str]) -> str | None:
        name, path = match["name"], match["path"]
        if name not in self._namespace:
            before = match.string[max(0, match.start() - 80) : match.start()]
            if not path and not keyword.iskeyword(name) and not _OTHER_LANGUAGE.search(before):
                self.warnings.append(f"{{{expression}}} is sent as it is: there is no variable {name!r}")
            return None
        try:
            value = _look_up(self._namespace[name], path)
            text = _value_text(value)
        except _Missing as missing:
            self.warnings.append(f"{{{expression}}} is sent as it is: {missing}")
            return None
        except Exception as error:
            raise InvalidInputError(
                f"{{{expression}}} in the prompt could not be read: {type(error).__name__}: {error}"
            ) from error
        if cut := len(text) > TEXT_LIMIT:
            self.warnings.append(
                f"{{{expression}}} has {len(text):,} characters; the model gets the first {TEXT_LIMIT:,}"
            )
            text = f"{text[:TEXT_LIMIT]}\n… (cut here: {len(text) - TEXT_LIMIT:,} more characters)"
        self.variables.append(
            InjectedVariable(
                name=expression,
                type=_type_name(value),
                shape=tuple(map(int, value.shape)) if _is_array(value) else None,
                hash=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
                cut=cut,
            )
        )
        return text


def _look_up(value: Any, path: str) -> Any:
    for step in re.findall(_STEP, path):
        kind = type(value).__name__
        if step.startswith("."):
            attribute = step[1:]
            if attribute.startswith("_"):
                raise _Missing(f"{attribute!r} is private")
            try:
                value = getattr(value, attribute)
            except AttributeError:
                raise _Missing(f"{kind} has no attribute {attribute!r}") from None
            continue
        key = step[2:-2] if step[1] in "\"'" else int(step[1:-1])
        # Asking a defaultdict for a key would put it there.
        if isinstance(value, Mapping) and key not in value:
            raise _Missing(f"{kind} has no key {key!r}")
        try:
            value = value[key]
        except (IndexError, KeyError, TypeError):
            raise _Missing(f"{kind} has no item {key!r}") from None
    return value


def _value_text(value: Any) -> str:
    """Write a value for a model to read."""
    if isinstance(value, str):
        return value
    if isinstance(value, ModuleType | FunctionType | BuiltinFunctionType | MethodType | type):
        raise _Missing(f"it is a {type(value).__name__}, not a value")
    if (described := extract(value, first_rows=FIRST_ROWS)) is not None:
        return described
    if isinstance(value, dict | list | tuple):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return repr(value)
    return str(value)


def _is_array(value: Any) -> bool:
    return any(is_a(*kind, value) for kind in (("pandas", "DataFrame"), ("pandas", "Series"), ("numpy", "ndarray")))


def _type_name(value: Any) -> str:
    cls = type(value)
    library = cls.__module__.split(".")[0]
    return cls.__qualname__ if library == "builtins" else f"{library}.{cls.__qualname__}"
