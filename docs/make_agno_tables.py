"""Generate the tables of ``coming_from_agno.md`` that are data in the package and in its tests.

make docs
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from agno_nb._agno_parts import MISSING_KEYWORDS, MISSING_MODULES, NO_EFFECT

TARGET = Path(__file__).with_name("coming_from_agno.md")
NAMES = Path(__file__).parents[1] / "tests" / "agno" / "names.toml"


def document() -> str:
    text = TARGET.read_text(encoding="utf-8")
    for mark, lines in (("no effect", no_effect()), ("missing", missing()), ("not here", not_here())):
        body = "\n".join(lines)
        text = re.sub(
            rf"(<!-- {mark} -->\n).*?(<!-- end -->)",
            lambda m, body=body: f"{m[1]}\n{body}\n\n{m[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def no_effect() -> Iterator[str]:
    yield "| keyword | because |\n|---|---|"
    for names, reason in by_reason(NO_EFFECT):
        yield f"| {code(names)} | {reason} |"


def missing() -> Iterator[str]:
    yield "| agno | missing, and the nearest thing here |\n|---|---|"
    modules = {f"agno.{name}": reason for name, reason in MISSING_MODULES.items()}
    for names, reason in by_reason({**modules, **MISSING_KEYWORDS}):
        yield f"| {code(names)} | {reason} |"


def not_here() -> Iterator[str]:
    yield "| agno | names |\n|---|---|"
    for part, patterns in tomllib.loads(NAMES.read_text(encoding="utf-8"))["not_here"].items():
        yield f"| {part} | {code(patterns.split())} |"


def by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    order = list(dict.fromkeys(reasons.values()))
    for reason, names in groupby(sorted(reasons, key=lambda name: order.index(reasons[name])), key=reasons.__getitem__):
        yield list(names), reason


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
