"""Processes of several users who share a folder. Without root, they are all the same user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OWNER, COLLEAGUE, GROUP = 20_001, 20_002, 30_000

# Imported first, because another user cannot read a Python that is in a home directory: what a turn needs, and for code
# that reads frames what they need, which takes longer.
_BEFORE = """
import os, sys, tempfile
from pathlib import Path
from agno_nb import DuckDb, SqliteDb, collect
from agno_nb.errors import AgnoNbError
from agno_nb_store_contract.conversation import begin, end, say
import agno_nb.db.maintenance, concurrent.futures.thread
with tempfile.TemporaryDirectory() as folder:
    db = {"DuckDb": DuckDb, "SqliteDb": SqliteDb}[sys.argv[3]](Path(folder) / "store")
    say(db, "x")
    db.get_runs("s1")
    if "_df()" in sys.argv[5]:
        import pyarrow.parquet
        db.runs_df(), db.query("from runs"), collect(db.db_file).runs_df(), db.verify()
    db.close()
os.umask(0o022)
if int(sys.argv[1]):
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[1]))
    os.environ["HOME"] = "/nonexistent"
kind, path = {"DuckDb": DuckDb, "SqliteDb": SqliteDb}[sys.argv[3]], sys.argv[4]
"""


def start_as(user: int, code: str, kind: str, path: Path) -> subprocess.Popen[str]:
    """Run code as a user, with a store's class `kind` and its file `path`."""
    ids = [user, GROUP] if os.geteuid() == 0 else [0, 0]
    return subprocess.Popen(
        [sys.executable, "-c", _BEFORE + code, *map(str, ids), kind, str(path), code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def told_by(user: int, code: str, kind: str, path: Path, *, code_of_exit: int = 0) -> str:
    """Run code as a user; return its output."""
    process = start_as(user, code, kind, path)
    told, complaints = process.communicate(timeout=120)
    assert (process.returncode, complaints) == (code_of_exit, "")
    return told.rstrip("\n")
