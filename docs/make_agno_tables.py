"""Generate the tables of ``coming_from_agno.md`` that are data in the package and in its tests.

make docs
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path

from agno_nb._agno_parts import (
    MISSING_MODULES,
    MISSING_NAMES,
    OF_MANAGERS,
    OF_MODELS,
    OF_RUNNABLES,
    OF_SESSIONS,
    OF_TOOLS,
)

TARGET = Path(__file__).with_name("coming_from_agno.md")
NAMES = Path(__file__).parents[1] / "tests" / "agno" / "names.toml"


def document() -> str:
    text = TARGET.read_text(encoding="utf-8")
    modules = {f"agno.{name}": reason for name, reason in MISSING_MODULES.items()}
    tables = {
        "no effect": table("keyword | because", by_reason(OF_RUNNABLES.no_effect)),
        "no effect of models": table("keyword | because", by_reason(OF_MODELS.no_effect)),
        "no effect of managers": table("keyword | because", by_reason(OF_MANAGERS.no_effect)),
        "no effect of sessions": table("keyword | because", by_reason(OF_SESSIONS.no_effect)),
        "no effect of tools": table("keyword | because", by_reason(OF_TOOLS.no_effect)),
        "missing": table("agno | agno_nb has no", by_reason({**modules, **MISSING_NAMES, **OF_RUNNABLES.missing})),
        "missing of models": table("keyword | agno_nb has no", by_reason(OF_MODELS.missing)),
        "not here": table("names | part of agno", names_not_here()),
    }
    for mark, body in tables.items():
        start, end = f"<!-- {mark} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = f"{before}{start}\n{body}\n\n{end}{rest.partition(end)[2]}"
    return text


def table(header: str, rows: Iterable[tuple[list[str], str]]) -> str:
    lines = [f"| {', '.join(f'`{name}`' for name in names)} | {text} |" for names, text in rows]
    return "\n".join([f"| {header} |", "|---|---|", *lines])


def names_not_here() -> Iterator[tuple[list[str], str]]:
    for part, patterns in tomllib.loads(NAMES.read_text(encoding="utf-8"))["not_here"].items():
        # The table of missing parts has the others.
        if names := [name for name in patterns.split() if name not in OF_RUNNABLES.missing]:
            # Without the module, if there is a class.
            yield list(dict.fromkeys(re.sub(r"^[a-z_.]+\.(?=[A-Z])", "", name) for name in names)), part


def by_reason(reasons: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    order = list(dict.fromkeys(reasons.values()))
    for reason, names in groupby(sorted(reasons, key=lambda name: order.index(reasons[name])), key=reasons.__getitem__):
        yield list(names), reason


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
