"""Stores outside of stores: a session as JSONL, and everything as Parquet. No SQL.

What is written is the rows of schema.sql, all columns of them, so that what is read back is the same to the byte. A
newer version of the schema is refused. An older one lacks columns, which then are null: a version may only add columns
that can be.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_nb.db import schema
from agno_nb.db.encoding import JSON_COLUMNS, Row
from agno_nb.errors import InvalidInputError, StoreError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = dict[str, list[Row]]
"""The rows of each table."""


def write_jsonl(path: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write a line that says what this is, and a line for each row. A file that is there is replaced at once."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"agno_nb": "session", "schema": schema.VERSION}) + "\n")
            for name, table in tables.items():
                for row in table.to_pylist():
                    kept = {column: _to_json(value) for column, value in row.items() if value is not None}
                    file.write(json.dumps({"table": name, "row": kept}, ensure_ascii=False) + "\n")
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"the session cannot be written to {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _to_json(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def read_jsonl(path: Path) -> Rows:
    """Read what :func:`write_jsonl` wrote.

    Raises
    ------
    InvalidInputError
        It is something else, is cut off, or is from a newer agno_nb.
    """
    rows: Rows = {}
    try:
        head, *lines = path.read_text(encoding="utf-8").split("\n")
        about = json.loads(head)
        if about.get("agno_nb") != "session" or lines[-1:] != [""]:
            raise ValueError
        _check_version(about["schema"], path)
        for line in lines[:-1]:
            record = json.loads(line)
            row = {name: record["row"].get(name) for name in schema.tables()[record["table"]].columns}
            _check_columns(record["row"], record["table"], path)
            if row.get("content") is not None and record["table"] == "raw_media":
                row["content"] = base64.b64decode(row["content"], validate=True)
            rows.setdefault(record["table"], []).append(row)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError(f"{path} is not a whole session as export_session writes it; export it again") from None
    return rows


def write_parquet(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write a file for each table into a folder of their own."""
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInputError(f"{folder} is not empty; give a folder that is, or one that is not there")
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    except OSError as error:
        raise StoreError(f"the store cannot be written to {folder}: {error.strerror or error}") from error


def read_parquet(folder: Path) -> Rows:
    """Read what :func:`write_parquet` wrote.

    Raises
    ------
    InvalidInputError
        It is something else, lacks a file, or is from a newer agno_nb.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(name: str) -> list[Row]:
        try:
            rows: list[Row] = pq.read_table(folder / f"{name}.parquet", partitioning=None).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(
                f"{folder} is not a store as export_parquet writes it: {name}.parquet cannot be read ({error})"
            ) from error
        for row in rows[:1]:
            _check_columns(row, name, folder)
        columns = schema.tables()[name].columns
        return [{column: row.get(column) for column in columns} for row in rows]

    version = max((row["version"] for row in read("raw_schema")), default=0)
    _check_version(version, folder)
    there = {file.stem for file in folder.glob("*.parquet")}
    # Tables that an older version did not have are not missed.
    table_names = [name for name in schema.tables() if name in there or version == schema.VERSION]
    return {name: read(name) for name in table_names if name != "raw_schema"}


def validate_rows(rows: Rows, source: Path) -> Rows:
    """Return the rows as a transaction takes them: JSON as values. Contents that are not what they are called raise."""
    for row in rows.get("raw_media", []):
        if row["content"] is None or hashlib.sha256(row["content"]).hexdigest() != row["media_id"]:
            raise InvalidInputError(f"{source} is damaged: the content of media {row['media_id']!r} is another one")
    try:
        return {
            table: [{name: _parse_json(name, value) for name, value in row.items()} for row in of_table]
            for table, of_table in rows.items()
        }
    except ValueError:
        raise InvalidInputError(f"{source} is damaged: JSON in it cannot be read") from None


def _parse_json(name: str, value: Any) -> Any:
    return json.loads(value) if name in JSON_COLUMNS and value is not None else value


def _check_version(version: int, source: Path) -> None:
    if version > schema.VERSION:
        raise InvalidInputError(
            f"{source} has version {version} of the store's schema, and this agno_nb knows versions up to "
            f"{schema.VERSION}; update agno_nb"
        )


def _check_columns(names: Iterable[str], table: str, source: Path) -> None:
    unknown = set(names) - set(schema.tables()[table].columns)
    if unknown:
        raise InvalidInputError(f"{source} has columns of {table} that are not in the schema: {', '.join(unknown)}")
