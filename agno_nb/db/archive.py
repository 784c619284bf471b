"""Files of exported rows: a session as JSONL, or a whole store as Parquet. No SQL.

Files have all columns of the tables of schema.sql, so that imported rows are identical. Files of a newer version of the
schema are rejected. Columns that an older version lacks are null, so a new version may only add such columns.
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
    """Write a header line and a line for each row. An existing file is replaced in one step."""
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
        raise StoreError(f"cannot write the session to {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _to_json(value: Any) -> Any:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def read_jsonl(path: Path) -> Rows:
    """Read a file written by :func:`write_jsonl`.

    Raises
    ------
    InvalidInputError
        The file is of another kind, incomplete, or from a newer agno_nb.
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
        raise InvalidInputError(f"cannot read {path}: {error.strerror}") from error
    except InvalidInputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidInputError(f"{path} is not a complete exported session; run export_session() again") from None
    return rows


def write_parquet(folder: Path, tables: Mapping[str, pa.Table]) -> None:
    """Write a file for each table into an empty folder."""
    import pyarrow.parquet as pq

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInputError(f"{folder} is not empty; pass an empty folder or a new one")
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    except OSError as error:
        raise StoreError(f"cannot write the store to {folder}: {error.strerror or error}") from error


def read_parquet(folder: Path) -> Rows:
    """Read a folder written by :func:`write_parquet`.

    Raises
    ------
    InvalidInputError
        The folder is of another kind, lacks a file, or is from a newer agno_nb.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(name: str) -> list[Row]:
        try:
            rows: list[Row] = pq.read_table(folder / f"{name}.parquet", partitioning=None).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise InvalidInputError(
                f"{folder} is not a folder of export_parquet(): cannot read {name}.parquet ({error})"
            ) from error
        for row in rows[:1]:
            _check_columns(row, name, folder)
        columns = schema.tables()[name].columns
        return [{column: row.get(column) for column in columns} for row in rows]

    version = max((row["version"] for row in read("raw_schema")), default=0)
    _check_version(version, folder)
    there = {file.stem for file in folder.glob("*.parquet")}
    # A store of an older version may lack tables.
    table_names = [name for name in schema.tables() if name in there or version == schema.VERSION]
    return {name: read(name) for name in table_names if name != "raw_schema"}


def validate_rows(rows: Rows, source: Path) -> Rows:
    """Return the rows with JSON as values, as a transaction expects them.

    Raises
    ------
    InvalidInputError
        The content of media doesn't match its hash, or JSON is invalid.
    """
    for row in rows.get("raw_media", []):
        if row["content"] is None or hashlib.sha256(row["content"]).hexdigest() != row["media_id"]:
            raise InvalidInputError(f"{source} is damaged: the content of media {row['media_id']!r} has changed")
    try:
        return {
            table: [{name: _parse_json(name, value) for name, value in row.items()} for row in of_table]
            for table, of_table in rows.items()
        }
    except ValueError:
        raise InvalidInputError(f"{source} is damaged: it contains invalid JSON") from None


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
