"""Prompt variables: ``{name}`` is replaced by the value of the notebook's variable, and all other braces are kept.

Prompts contain JSON, code and formulas, so this is not ``str.format``: braces count only if they enclose nothing but
a name with attributes and constant indexes, and perhaps a conversion and a format, and if the notebook defines the
name. Calls are not evaluated, because a prompt may be pasted from anywhere.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import json
import keyword
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from agno_nb.db.arrow_tables import is_a
from agno_nb.errors import InvalidInputError
from agno_nb.tools.images import as_png
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
    """Messages for the user about undefined and shortened variables, and about calls."""


def inject(
    text: str, namespace: Mapping[str, Any], *, sees_images: Callable[[], bool] = lambda: True
) -> InjectedPrompt:
    """Replace ``{name}``, ``{name.attr}``, ``{name[0]}`` and ``{name["key"]}`` by values of `namespace`.

    All of them accept a conversion and a format: ``{name!r}``, ``{name:.2f}``. Undefined names and all other braces,
    including doubled ones (``{{name}}``) and f-strings, stay unchanged. Braces in values are not replaced. A
    call such as ``{len(name)}`` stays unchanged, too, with a warning. A DataFrame is replaced by its schema and first
    rows, a figure by an image. `sees_images`, which is called only if there is an image, returns whether the model
    accepts it. If a value cannot be read or converted to text, for example because a property raises an exception,
    InvalidInputError is raised.

    Examples
    --------
    >>> inject('Answer as {"city": ...}: where is {place[0]}?', {"place": ["the Colosseum"]}).text
    'Answer as {"city": ...}: where is the Colosseum?'
    >>> inject("{share:.1%} of {n:,} guests", {"share": 0.25, "n": 1000}).text
    '25.0% of 1,000 guests'
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
_FORMAT = r"(?:!(?P<conversion>[rsa]))?(?::(?P<spec>[^{}\n]+))?"
# A single quote can also be the sign of a derivative: y = f'(x).
_F_STRING = (
    r"(?:[(\[,=+]\s*|\b(?:return|yield|in|else)\s+)(?i:fr?|rf)"
    r"""(?:"{3}[^"]*"{3}|'{3}[^']*'{3}|"[^"\n]*"|'(?![\s(])[^'\n]*')"""
)
_BRACES = re.compile(
    "|".join(
        [
            _F_STRING,
            r"\{\{[^{}\n]*\}\}",
            rf"\{{(?P<name>{_NAME})(?P<path>(?:{_STEP})*){_FORMAT}\}}",
            r"\{(?P<code>[^{}\s][^{}\n]*\([^{}\n]*)\}",
        ]
    )
)
_SPEC = re.compile(
    r"""(?:(?:[^\w\s"'(\[]|[0_])?[<>=^])?[-+]?z?\#?0?[0-9]{0,3}[_,]?(?:\.[0-9]{1,3})?[bcdeEfFgGnosxX%]?"""
)
"""A format specification of Python, without letters and white space as fill characters: ``{x:x>0}`` is mathematics."""
_LITERAL = re.compile(r"-?(?:[A-Za-z]|(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)")
"""A format specification that is more likely the value of a dict: ``{x:1}``."""
_DATE_SPEC = re.compile(r"%[A-Za-z].*")
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
        if match["code"] is not None and _is_call(match["code"], self._namespace) and not _is_in_code(match):
            warning = (
                f"{match[0]} is sent unchanged: calls in prompts are not evaluated; assign the result to a variable "
                "first, and use its name"
            )
            self.warnings += [] if warning in self.warnings else [warning]
        if match["name"] is None or not _is_format(match):
            return match[0]
        expression = match[0][1:-1]
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
            if not path and not keyword.iskeyword(name) and not _is_in_other_language(match):
                self.warnings.append(f"{{{expression}}} is sent unchanged: there is no variable {name!r}")
            return None
        try:
            value = _evaluate_path(self._namespace[name], path)
            content = None
            if match["conversion"] or match["spec"]:
                text = _formatted(value, match["conversion"], match["spec"] or "")
            else:
                content = as_png(value)
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


def _is_format(match: re.Match[str]) -> bool:
    """Return whether the part after the name is a format, and not code, for example of a dict."""
    spec = match["spec"]
    if spec is None or _DATE_SPEC.fullmatch(spec):
        return True
    return _SPEC.fullmatch(spec) is not None and (match["conversion"] is not None or not _LITERAL.fullmatch(spec))


def _is_call(code: str, namespace: Mapping[str, Any]) -> bool:
    """Return whether the text is an expression with a call whose names are defined, at least one by the notebook."""
    expression = re.sub(rf"{_FORMAT}\Z", "", code)
    try:
        with warnings.catch_warnings():
            # About invalid escape sequences, for example.
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    names -= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own = {name for name in names if name in namespace and not name.startswith("_")}
    # A tuple in braces is a set.
    is_set = isinstance(nodes[1], ast.Tuple | ast.Starred)
    return (
        bool(own)
        and not is_set
        and all(name in own or hasattr(builtins, name) for name in names)
        and any(isinstance(node, ast.Call) for node in nodes)
    )


def _is_in_code(match: re.Match[str]) -> bool:
    """Return whether braces are in a fenced block of Markdown, or in another language."""
    return match.string.count("```", 0, match.start()) % 2 == 1 or _is_in_other_language(match)


def _is_in_other_language(match: re.Match[str]) -> bool:
    return _OTHER_LANGUAGE.search(match.string[max(0, match.start() - 80) : match.start()]) is not None


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


_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}


def _formatted(value: Any, conversion: str | None, spec: str) -> str:
    """Format a value like ``str.format``."""
    converted = _CONVERSIONS[conversion](value) if conversion else value
    try:
        return format(converted, spec)
    except (TypeError, ValueError) as error:
        raise _UndefinedName(str(error)) from None


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
