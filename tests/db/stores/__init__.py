"""Stores written by each released version of the schema: ``v1.jsonl`` and so on.

The first line of a file is what made the tables, each other line a row. ``python -m tests.db.stores`` writes the one of
the current version, which is done again whenever schema.sql changes, until that version is released; from then on its
file stays as it is.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.sql_store import SqlDb

_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_THEN = 1_700_001_000_000_000
"""After all times that are given, in microseconds; times of the clock become it."""

FOLDER = Path(__file__).parent
VERSIONS = {int(path.stem[1:]): path for path in sorted(FOLDER.glob("v*.jsonl"))}


class Stored(NamedTuple):
    """A store described by a file."""

    statements: dict[str, list[str]]
    """What made it: those of schema.sql, indexes.sql and views.sql."""
    rows: list[tuple[str, dict[str, Any]]]
    """Each with the name of its table."""


def statements() -> dict[str, list[str]]:
    return {name: schema.statements(name) for name in ("schema.sql", "indexes.sql", "views.sql")}


def read(version: int) -> Stored:
    first, *lines = VERSIONS[version].read_text(encoding="utf-8").splitlines()
    rows = []
    for line in lines:
        table, row = json.loads(line)
        if table == "raw_media":
            row["content"] = base64.b64decode(row["content"])
        rows.append((table, row))
    return Stored(json.loads(first), rows)


def write(db: Db) -> None:
    """Write the file of the current version with the rows of a store."""
    assert isinstance(db, SqlDb)
    lines = [json.dumps(statements())]
    for name, table in db._driver.tables(tuple(schema.tables())).items():
        for row in table.to_pylist():
            # Values that differ each time would change the file each time.
            row |= {column: _THEN for column, value in row.items() if isinstance(value, int) and value > _THEN}
            if "worker" in row:
                row["worker"] = "elsewhere:1:1"
            if name == "raw_media":
                row["content"] = base64.b64encode(row["content"]).decode("ascii")
            kept = {column: value for column, value in row.items() if value is not None}
            lines.append(json.dumps([name, kept], ensure_ascii=True))
    ids: dict[str, str] = {}
    text = _ID.sub(lambda found: ids.setdefault(found[0], f"id-{len(ids)}"), "\n".join(lines))
    (FOLDER / f"v{schema.VERSION}.jsonl").write_text(text + "\n", encoding="utf-8")
