"""A key that somebody says does not reach the files of a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.testing.contract.redaction import KEY, tell_all


@pytest.mark.parametrize("make", [DuckDb, SqliteDb])
def test_a_key_is_not_in_the_files_of_the_store(make: type[Db], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    db = make(folder / "store.db")  # type: ignore[call-arg]
    tell_all(db, KEY)
    assert not [path.name for path in folder.iterdir() if KEY.encode() in path.read_bytes()]
    db.close()
