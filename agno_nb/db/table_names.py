"""Table names that programs written for agno choose, and the files and schemas that they stand for.

All tables of a store are in one file, or one Postgres schema. Another `session_table` or `memory_table` is therefore
another file next to the given one, or another schema.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from agno_nb.errors import InvalidInputError

C = TypeVar("C", bound=type[Any])

SESSIONS = "agno_sessions"
MEMORIES = "agno_memories"
LONGEST_NAME = 63
"""Maximum length of a name in Postgres, in bytes. Longer names are truncated."""


class StoreNames(TypedDict, total=False):
    """Arguments of every store for programs written for agno."""

    session_table: str | None
    memory_table: str | None
    id: str | None


class TableOptions(StoreNames, total=False):
    """With agno's names of other tables, which have no effect and are not listed in signatures.

    Runs are stored with their sessions, and the version of the schema in every store. The others belong to parts of
    agno that this package does not have.
    """

    runs_table: str | None
    versions_table: str | None
    metrics_table: str | None
    eval_table: str | None
    knowledge_table: str | None
    culture_table: str | None
    traces_table: str | None
    spans_table: str | None
    components_table: str | None
    component_configs_table: str | None
    component_links_table: str | None
    learnings_table: str | None
    schedules_table: str | None
    schedule_runs_table: str | None
    approvals_table: str | None
    products_table: str | None
    sources_table: str | None
    projects_table: str | None
    tasks_table: str | None
    job_table: str | None
    sandbox_table: str | None
    auth_tokens_table: str | None
    service_accounts_table: str | None
    mcp_oauth_clients_table: str | None
    mcp_oauth_transactions_table: str | None
    mcp_oauth_codes_table: str | None
    mcp_oauth_refresh_tokens_table: str | None
    mcp_oauth_keys_table: str | None


UNUSED_TABLES = TableOptions.__annotations__.keys() - StoreNames.__annotations__.keys()


def ignore_unused_tables(cls: C) -> C:
    """Make the constructor of a store accept :data:`UNUSED_TABLES`."""
    init = cls.__init__

    @functools.wraps(init)
    def without_unused(self: object, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{name: value for name, value in kwargs.items() if name not in UNUSED_TABLES})

    cls.__init__ = without_unused
    return cls


@dataclass(frozen=True, slots=True)
class TableNames:
    """Names of the two tables that can be chosen; None stands for agno's default."""

    sessions: str | None = None
    memories: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> TableNames:
        """Read the names from the arguments of a store.

        Raises
        ------
        InvalidInputError
            A name is not a string, or empty.
        """
        for name, value in options.items():
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidInputError(f"{name} is {value!r}; pass a name, or leave it out")
        sessions, memories = options.get("session_table"), options.get("memory_table")
        return cls(None if sessions == SESSIONS else sessions, None if memories == MEMORIES else memories)

    def options(self) -> dict[str, str]:
        """Return the names as arguments of a store."""
        chosen = {"session_table": self.sessions, "memory_table": self.memories}
        return {name: value for name, value in chosen.items() if value is not None}

    def describe(self) -> str:
        """Return the names as they follow the other arguments in the repr of a store."""
        return "".join(f", {name}={value!r}" for name, value in self.options().items())

    @property
    def endings(self) -> tuple[str | None, str | None]:
        """Additions to the name of the file or schema, for the sessions and for the memories; None for no addition.

        A file that has the memories of a name never has the sessions of a name, so that stores, which read their
        memories while they use their sessions, cannot wait for each other.
        """
        sessions = None if self.sessions is None else _safe(self.sessions)
        return sessions, None if self.memories is None else f"{_safe(self.memories)}.memories"


def file_of(path: Path, ending: str | None) -> Path:
    """Return the file next to `path` for an ending of :attr:`TableNames.endings`.

    Examples
    --------
    >>> file_of(Path("data.db"), "selected").name
    'data.selected.db'
    """
    if ending is None:
        return path
    # Two dots keep names such as "lock" apart from the files that a database has next to a store without a suffix.
    return path.with_name(f"{path.stem}.{ending}{path.suffix}" if path.suffix else f"{path.name}..{ending}")


def schema_of(db_schema: str, ending: str | None) -> str:
    """Return the Postgres schema for an ending of :attr:`TableNames.endings`."""
    if ending is None:
        return db_schema
    name = f"{db_schema}.{ending}"
    return name if len(name.encode()) <= LONGEST_NAME else f"agno_nb.{_digest(name)}"


def _safe(name: str) -> str:
    """Return a part of a file name that is different for different names, even if the file system ignores case."""
    if re.fullmatch(r"[a-z0-9_-]{1,60}", name):
        return name
    # No name that is used as it is contains a dot.
    readable = re.sub(r"[^a-z0-9_-]+", "-", name.lower())[:40].strip("-")
    return f"{readable or 'table'}.{_digest(name)}"


def _digest(name: str) -> str:
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
