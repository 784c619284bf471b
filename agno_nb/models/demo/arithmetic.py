"""Sums that a prompt asks for, and what it wants done with the last number ("double it")."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

from agno_nb.models.demo.context import Context, Reply
from agno_nb.models.demo.tokenizer import NUMBER, number
from agno_nb.models.demo.tool_results import parsed

MOST_COUNTED = 1000

_SPOKEN = (
    (r"\bsquare root of (\d[\d.]*)", r"\1 ** 0.5"), (r"([\d.]+) ?(?:%|percent) of ", r"\1 / 100 * "),
    (r"\bto the power of\b|\^", "**"), (r"\bsquared\b", "** 2"), (r"\bcubed\b", "** 3"),
    (r"\bdivided by\b", "/"), (r"\b(?:times|multiplied by)\b|(?<=\d)\s*[x\u00d7]\s*(?=\d)", "*"),
    (r"\bplus\b", "+"), (r"\bminus\b|(?<=\d )[\u2212\u2013](?= \d)", "-"), (r"\u00f7", "/"),
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
)  # fmt: skip
_EXPRESSION = re.compile(r"[-(]*\d[\d.]*\)*(?:\s*(?:\*\*|[-+*/%])\s*[-(]*\d[\d.]*\)*)+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d|\d+-\d+-\d+")
_ASKS = re.compile(
    r"^(?:(?:and|now|then|please|so|hey|hi)[\s,]+)*"
    r"(?:(?:what|how much|calculate|compute|work out|evaluate|solve|tell me what|do you know what|can you)\b.*?)?$"
)
_WRITTEN = rf"(?<![\w.-]){NUMBER}(?!\w)"
_OPERATIONS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def calculate(context: Context) -> Reply | None:
    """Work out "what is 12 * 7?"."""
    if len(context.plain) > 300:
        return None
    text = context.plain
    for spoken, sign in _SPOKEN:
        text = re.sub(spoken, sign, text)
    match = _EXPRESSION.search(text)
    if match is None or _DATE.search(match[0]) or not _ASKS.match(text[: match.start()].strip()):
        return None
    if re.search(r"[a-z]{2,}", text[match.end() :].replace("equal", "").replace("please", "").replace("exactly", "")):
        return None
    return _answer(match[0].strip())


def go_on_calculating(context: Context) -> Reply | None:
    """Do what "double it" says with the last number that was said."""
    found = _operation(context.plain) if context.earlier and len(context.plain) < 80 else None
    last = _last_number(context) if found else None
    return _answer(found.replace("it", f"({last})" if last.startswith("-") else last)) if found and last else None


_ON_IT = (
    (r"(?:what(?:'s| is) )?(?:double|twice)(?: (?:it|that|this))?", "it * 2"),
    (r"(?:what(?:'s| is) )?triple(?: (?:it|that|this))?", "it * 3"),
    (r"(?:what(?:'s| is) )?(?:halve|half(?: of)?)(?: (?:it|that|this))?", "it / 2"),
    (r"square (?:it|that|this)|(?:it|that) squared", "it ** 2"),
    (r"negate (?:it|that|this)", "-1 * it"),
    (r"(?:add|plus) (N)(?: to (?:it|that|this))?|(?:what(?:'s| is) )?(?:it|that) plus (N)", "it + N"),
    (r"(?:subtract|take|minus) (N)(?: (?:away )?from (?:it|that|this))?|(?:it|that) minus (N)", "it - N"),
    (r"(?:multiply (?:it|that|this) by|times|(?:it|that) times) (N)", "it * N"),
    (r"(?:divide (?:it|that|this) by|divided by|(?:it|that) divided by) (N)", "it / N"),
)


def _operation(plain: str) -> str | None:
    asked = re.sub(r"^(?:(?:and|now|then|please|ok|so)[\s,]+)*|[\s,]+(?:please|now|again|then)$", "", plain)
    for pattern, expression in _ON_IT:
        if match := re.fullmatch(pattern.replace("N", r"-?[\d,]*\.?\d+"), asked):
            given = next((group for group in match.groups() if group), "")
            return expression.replace("N", given.replace(",", ""))
    return None


def _last_number(context: Context) -> str | None:
    for turn in reversed(context.earlier):
        for call in reversed(turn.calls):
            value = parsed(call.result or "")
            parts = value if isinstance(value, dict) else {}
            preferred = [parts.get(name) for name in ("mean", "average", "value", "total", "sum", "result", "count")]
            for part in [*preferred, *parts.values()]:
                if isinstance(part, int | float) and not isinstance(part, bool):
                    return _written(part)
        for text in (turn.answer, turn.prompt):
            if found := re.findall(rf"[:=] ({_WRITTEN})", text[-4000:]) or re.findall(_WRITTEN, text[-4000:])[-1:]:
                return _written(number(found[0]))
    return None


def _answer(expression: str) -> Reply | None:
    try:
        tree = ast.parse(expression.lstrip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    try:
        return Reply(text=f"{expression} = {_written(_evaluate(tree))}")
    except ZeroDivisionError:
        return Reply(text=f"{expression} has no value: it divides by zero.")
    except (OverflowError, ValueError, TypeError):
        return Reply(text=f"{expression} has no value that I can write down.")


def _evaluate(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return _OPERATIONS[type(node.op)](_evaluate(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left), _evaluate(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) * math.log10(abs(left) + 1) > 100:
            raise OverflowError
        return _OPERATIONS[type(node.op)](left, right)
    raise ValueError(ast.dump(node))


def _written(value: float) -> str:
    if isinstance(value, int) or (math.isfinite(value) and value == int(value) and abs(value) < 1e15):
        return str(int(value))
    if not math.isfinite(value):
        raise OverflowError
    return f"{value:.12g}"


def count(context: Context) -> Reply | None:
    """Count as far as is asked: a long answer, to watch it stream."""
    match = re.match(
        r"(?:please |now |can you )*count (?:slowly )?(?:up )?(?:from (\d{1,6}) )?to (\d{1,6})\b", context.plain
    )
    if match is None:
        return None
    first = int(match[1] or 1)
    last = min(int(match[2]), first + MOST_COUNTED - 1)
    stopped = f" … (I stop after {MOST_COUNTED:,} numbers.)" if last < int(match[2]) else ""
    return Reply(text=", ".join(str(number) for number in range(first, last + 1)) + stopped) if last >= first else None
