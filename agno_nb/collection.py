"""Several stores read as one, for example the submissions of a class or the stores of a team."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import sandbox, schema
from agno_nb.db.duckdb import FileDriver
from agno_nb.db.file_names import LOCK, expand, os_error, path_in_use
from agno_nb.db.frame_reader import TIMEOUT_S, FrameReader
from agno_nb.db.sql_frames import DYNAMIC
from agno_nb.db.sqlite import SqliteDriver
from agno_nb.db.sqlite_connections import LOG, SHARED
from agno_nb.errors import InvalidInputError, StoreError
from agno_nb.types import counted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from agno_nb.db.pushdown import Pushdown


_SQLITE = b"SQLite format 3\0"
_TIMEOUT_S = 15.0
_NEIGHBORS = (LOCK, ".wal", LOG, SHARED)
"""Suffixes of files next to a store."""


class Collection(FrameReader):
    """Several stores as one set of DataFrames, each with a column `source` in front, created by :func:`collect`.

    All rows have been read, and no files are open.

    Attributes
    ----------
    sources : DataFrame
        A row for each file: `source`, `path`, number of `runs`, and `error`, which is null if the file could be read.
    """

    sources: pd.DataFrame

    def __init__(self, stores: Mapping[str, Mapping[str, pa.Table]], sources: pd.DataFrame) -> None:
        self._stores = stores
        self.sources = sources
        self._views: dict[str, pa.Table] = {}

    def arrow(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        frames: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = TIMEOUT_S,
        max_rows: int | None = None,
        max_memory: int | None = None,
    ) -> pa.Table:
        limits: dict[str, Any] = {"timeout_s": timeout_s, "max_rows": max_rows, "max_memory": max_memory}
        words = set(re.findall(r"\w+", sql.casefold()))
        named = schema.views().keys() if words & DYNAMIC else words
        return sandbox.run(lambda _: self._tables(named), sql, parameters, frames or {}, views=False, **limits)

    def frame(self, sql: str, parameters: Sequence[Any] = (), *, pushdown: Pushdown | None = None) -> pa.Table:
        import pyarrow as pa

        # Each store is queried separately, because different sessions of two stores may have the same ID.
        return pa.concat_tables([self._read_store(source, sql, parameters) for source in self._stores])

    def _read_store(self, source: str, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        import pyarrow as pa

        table = sandbox.run(lambda _: self._stores[source], sql, parameters, {})
        return table.add_column(0, "source", pa.array([source] * table.num_rows, pa.string()))

    def _tables(self, named: AbstractSet[str]) -> dict[str, pa.Table]:
        """Return the views. Those that are not `named` have no rows, unless they have been read before."""
        first = next(iter(self._stores))
        views = {}
        for view in schema.views():
            if view not in self._views and view in named:
                self._views[view] = self.frame(f"FROM {view}")
            views[view] = self._views[view] if view in self._views else self._read_store(first, f"FROM {view} LIMIT 0")
        return views

    def __len__(self) -> int:
        return len(self._stores)

    def __repr__(self) -> str:
        names = ", ".join(list(self._stores)[:5]) + ", …" * (len(self) > 5)
        return f"Collection of {counted(len(self), 'store')}: {names}"


@suggest_on_unknown_kwarg({})
def collect(stores: str | Path | Iterable[str | Path]) -> Collection:
    """Read several stores, in DuckDB or SQLite files, as one set of DataFrames with a `source` column.

    Files are opened one at a time and read-only. None is changed, and no files are created next to them. A file that
    cannot be read is left out with a warning, and listed in `sources` of the result.

    Parameters
    ----------
    stores : str, Path or iterable of them
        Paths or patterns such as ``"submissions/*/agno_nb.duckdb"``. ``**`` matches any number of folders. `source` is
        the path without the part that all paths have in common.

    Returns
    -------
    Collection
        It has `sessions_df`, `runs_df`, the other DataFrames, `query` and `sources`.

    Raises
    ------
    InvalidInputError
        A path doesn't exist, or a pattern matches no file.
    StoreError
        None of the files could be read.

    Examples
    --------
    >>> from agno_nb import DuckDb
    >>> for name in ("ann", "ben"):
    ...     DuckDb(f"submissions/{name}/agno_nb.duckdb").create()
    >>> collect("submissions/*/agno_nb.duckdb").sources["source"].tolist()
    ['ann', 'ben']
    """
    import pandas as pd

    paths = _paths(stores)
    tables_by_source: dict[str, dict[str, pa.Table]] = {}
    rows = []
    for path, source in zip(paths, _sources(paths), strict=True):
        error = None
        try:
            tables_by_source[source] = _read_tables(path)
        except (StoreError, InvalidInputError) as problem:
            error = str(problem)
        num_runs = tables_by_source[source]["raw_runs"].num_rows if error is None else None
        rows.append({"source": source, "path": _printable(str(path)), "runs": num_runs, "error": error})
    errors = [row["error"] for row in rows if row["error"] is not None]
    if not tables_by_source:
        raise StoreError(f"none of the {len(paths)} files could be read: {'; '.join(map(str, errors))}")
    if errors:
        warnings.warn(f"{len(errors)} of {len(paths)} files are left out: {'; '.join(map(str, errors))}", stacklevel=2)
    sources = pd.DataFrame(rows).astype({"source": "str", "path": "str", "runs": "Int64", "error": "str"})
    return Collection(tables_by_source, sources)


def _read_tables(path: Path) -> dict[str, pa.Table]:
    """Read the tables of a store, without contents of media and without creating files next to it."""
    driver = (SqliteDriver if _is_sqlite(path) else FileDriver)(path, _TIMEOUT_S, read_only=True)
    return driver.tables([table for table in schema.tables() if table != "raw_media"])


def _is_sqlite(path: Path) -> bool:
    # A file in use is not opened, because closing it would release the locks of this process on it (POSIX).
    if Path(f"{path_in_use(path, LOCK)}{LOCK}").exists():
        return False
    if Path(f"{path_in_use(path, LOG)}{LOG}").exists():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise os_error(path, error) from error


def _paths(stores: str | Path | Iterable[str | Path]) -> list[Path]:
    paths = []
    for pattern in [stores] if isinstance(stores, str | Path) else stores:
        text = str(Path(expand(pattern)))
        # A path with brackets that exists is not a pattern.
        matches = [text] if Path(text).exists() else sorted(glob(text, recursive=True))
        matches = [match for match in matches if match == text or not match.endswith(_NEIGHBORS)]
        if not matches:
            raise InvalidInputError(f"there is no file {text!r}; pass a path or a pattern, for example 'work/*.duckdb'")
        paths += [Path(match).resolve() for match in matches]
    if not paths:
        raise InvalidInputError("collect() got no files; pass paths or a pattern, for example 'work/*/agno_nb.duckdb'")
    return list(dict.fromkeys(paths))


def _sources(paths: Sequence[Path]) -> list[str]:
    """Return the paths without the folders and the name that all of them have in common."""
    if len(paths) == 1:
        return [_printable(paths[0].name)]
    shared = Path(os.path.commonpath(paths))
    relative = [path.relative_to(shared) for path in paths]
    if len({path.name for path in paths}) == 1 and all(len(path.parts) > 1 for path in relative):
        relative = [path.parent for path in relative]
    return [_printable(path.as_posix()) for path in relative]


def _printable(path: str) -> str:
    """Return a path as a valid string, with bytes that are not UTF-8 as escape sequences."""
    return path.encode("utf-8", "backslashreplace").decode()
