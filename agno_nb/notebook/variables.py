"""Prompt variables: ``{name}`` is replaced by the value of the notebook's variable, and all other braces are kept.

Prompts contain JSON, code and formulas, so this is not ``str.format``: braces count only if they enclose nothing but
a name with attributes and constant indexes, and if the notebook defines the name.
"""

from __future__ import annotations

import hashlib
import io
import json
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from agno_nb.db.arrow_tables import is_a
from agno_nb.errors import InvalidInputError
from agno_nb.tools.result import COLUMN_LIMIT, describe
from agno_nb.types import Media, Variable, with_article

TEXT_LIMIT = 50_000
"""Characters of a variable that are inserted. A note in the prompt says how many are missing."""

FIRST_ROWS = 5
"""Rows of a DataFrame that are inserted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedPrompt:
    """A prompt with the values of its variables."""

    text: str
    variables: list[Variable] = field(default_factory=list)
    """Each expression once, in the order of the prompt."""
    images: list[Media] = field(default_factory=list)
    """The figures among the values, which are sent with the text."""
    warnings: list[str] = field(default_factory=list)
    """Messages for the user about undefined and shortened variables."""


def inject(
    text: str, namespace: Mapping[str, Any], *, sees_images: Callable[[], bool] = lambda: True
) -> InjectedPrompt:
    """Replace ``{name}``, ``{name.attr}``, ``{name[0]}`` and ``{name["key"]}`` by values of `namespace`.

    Undefined names and all other braces, including doubled ones (``{{name}}``), stay unchanged. Braces in values are
    not replaced. A DataFrame is replaced by its schema and first rows, a figure by an image. `sees_images`, which is
    called only if there is an image, returns whether the model accepts it. If a value cannot be read or converted to
    text, for example because a property raises an exception, InvalidInputError is raised.

    Examples
    --------
    >>> inject('Answer as {"city": ...}: where is {place[0]}?', {"place": ["the Colosseum"]}).text
    'Answer as {"city": ...}: where is the Colosseum?'
    """
    injection = _Injection(namespace, sees_images)
    replaced = _BRACES.sub(injection.replace, text)
    return InjectedPrompt(
        text=replaced,
        variables=list(injection.variables.values()),
        images=injection.images,
        warnings=injection.warnings,
    )


_NAME = r"[^\W\d]\w*"
_STEP = rf"""\.(?:{_NAME})|\[-?[0-9]{{1,9}}\]|\["[^"\\{{}}\n]*"\]|\['[^'\\{{}}\n]*'\]"""
_BRACES = re.compile(rf"\{{\{{[^{{}}\n]*\}}\}}|\{{(?P<name>{_NAME})(?P<path>(?:{_STEP})*)\}}")
# The text before a brace of a formula, such as \frac{a}{b} and x^{n}, or of a shell variable: ${HOME}.
_OTHER_LANGUAGE = re.compile(r"(?:\\[a-zA-Z]+\*?(?:[\[{][^\[\]{}]*[\]}])*|[\^$])\Z")


class _UndefinedName(Exception):
    """An expression has no value. The message says why."""


class _Injection:
    """The replacements in one prompt."""

    def __init__(self, namespace: Mapping[str, Any], sees_images: Callable[[], bool]) -> None:
        self.variables: dict[str, Variable] = {}
        self.images: list[Media] = []
        self.warnings: list[str] = []
        self._namespace = namespace
        self._sees_images = sees_images
        self._texts: dict[str, str | None] = {}

    def replace(self, match: re.Match[str]) -> str:
        if match["name"] is None:
            return match[0]
        expression = f"{match['name']}{match['path']}"
        if expression not in self._texts:
            self._texts[expression] = self._text_of(expression, match)
        text = self._texts[expression]
        if text is None:
            return match[0]
        variable = self.variables[expression]
        self.variables[expression] = replace(variable, chars=variable.chars + len(text))
        return text

    def _text_of(self, expression: str, match: re.Match[str]) -> str | None:
        name, path = match["name"], match["path"]
        if name not in self._namespace:
            before = match.string[max(0, match.start() - 80) : match.start()]
            if not path and not keyword.iskeyword(name) and not _OTHER_LANGUAGE.search(before):
                self.warnings.append(f"{{{expression}}} is sent unchanged: there is no variable {name!r}")
            return None
        try:
            value = _evaluate_path(self._namespace[name], path)
            content = _as_png(value)
            text = _value_text(value) if content is None else self._attach(expression, content)
        except _UndefinedName as missing:
            self.warnings.append(f"{{{expression}}} is sent unchanged: {missing}")
            return None
        except Exception as error:
            raise InvalidInputError(
                f"cannot read {{{expression}}} in the prompt: {type(error).__name__}: {error}"
            ) from error
        if cut := len(text) > TEXT_LIMIT:
            self.warnings.append(
                f"{{{expression}}} has {len(text):,} characters; the model gets the first {TEXT_LIMIT:,}"
            )
            text = f"{text[:TEXT_LIMIT]}\n… (cut here: {len(text) - TEXT_LIMIT:,} more characters)"
        self.variables[expression] = Variable(
            name=expression,
            type=_type_name(value),
            shape=tuple(map(int, value.shape)) if _is_array(value) else None,
            dtypes=_dtypes(value),
            hash=hashlib.sha256(content or text.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            cut=cut,
            chars=0,
        )
        return text

    def _attach(self, expression: str, content: bytes) -> str:
        """Attach an image, and return its placeholder."""
        if not self._sees_images():
            raise _UndefinedName("it is an image, which the model does not accept")
        filename = f"{re.sub('[^A-Za-z0-9]+', '_', expression).strip('_')}.png"
        self.images.append(Media(kind="image", content=content, mime_type="image/png", filename=filename))
        return f"[image {filename}]"


def _evaluate_path(value: Any, path: str) -> Any:
    for step in re.findall(_STEP, path):
        kind = type(value).__name__
        if step.startswith("."):
            attribute = step[1:]
            if attribute.startswith("_"):
                raise _UndefinedName(f"{attribute!r} is private")
            try:
                value = getattr(value, attribute)
            except AttributeError:
                raise _UndefinedName(f"{kind} has no attribute {attribute!r}") from None
            continue
        key = step[2:-2] if step[1] in "\"'" else int(step[1:-1])
        # Reading a missing key of a defaultdict would add it.
        if isinstance(value, Mapping) and key not in value:
            raise _UndefinedName(f"{kind} has no key {key!r}")
        try:
            value = value[key]
        except (IndexError, KeyError, TypeError):
            raise _UndefinedName(f"{kind} has no item {key!r}") from None
    return value


def _value_text(value: Any) -> str:
    """Return a value as text for a model."""
    if isinstance(value, str):
        return value
    if isinstance(value, ModuleType | FunctionType | BuiltinFunctionType | MethodType | type):
        raise _UndefinedName(f"it is {with_article(str(type(value).__name__))}, not a value")
    if (described := describe(value, first_rows=FIRST_ROWS)) is not None:
        return described
    if isinstance(value, dict | list | tuple):
        try:
            return json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return repr(value)
    return str(value)


def _as_png(value: Any) -> bytes | None:
    """Return a matplotlib figure or a Pillow image as PNG, or None for other values."""
    file = io.BytesIO()
    if is_a("matplotlib.axes", "Axes", value):
        value = value.get_figure()
    if is_a("matplotlib.figure", "Figure", value):
        # Without the name of the software, equal figures are equal bytes.
        value.savefig(file, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    elif is_a("PIL.Image", "Image", value):
        value.save(file, format="PNG")
    return file.getvalue() or None


def _is_array(value: Any) -> bool:
    return any(is_a(*kind, value) for kind in (("pandas", "DataFrame"), ("pandas", "Series"), ("numpy", "ndarray")))


def _dtypes(value: Any) -> dict[str, str] | None:
    if is_a("pandas", "DataFrame", value):
        return {str(name): str(dtype) for name, dtype in value.dtypes.iloc[:COLUMN_LIMIT].items()}
    return {"": str(value.dtype)} if _is_array(value) else None


def _type_name(value: Any) -> str:
    cls = type(value)
    library = cls.__module__.split(".")[0]
    return cls.__qualname__ if library == "builtins" else f"{library}.{cls.__qualname__}"
