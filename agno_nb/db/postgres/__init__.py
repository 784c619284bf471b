"""A store in a Postgres database, for many users and machines.

Requires ``pip install 'agno_nb[postgres]'``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Unpack
from urllib.parse import parse_qsl, quote, unquote

from agno_nb._keywords import listed_kwargs, suggest_on_unknown_kwarg
from agno_nb.db.base import AsyncDb
from agno_nb.db.file_names import check_lock_timeout
from agno_nb.db.sql_store import SqlDb
from agno_nb.db.table_names import LONGEST_NAME, StoreNames, TableNames, TableOptions, ignore_unused_tables, schema_of
from agno_nb.errors import InvalidInputError
from agno_nb.redact import remember_secret


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class PostgresDb(SqlDb):
    """Sessions, runs, messages, summaries and memories in a Postgres database.

    Any number of processes on any number of machines may use one store at the same time. The first use connects.

    Parameters
    ----------
    db_url : str
        The database, for example ``postgresql://user:password@host:5432/name``. SQLAlchemy's driver names
        (``postgresql+psycopg://``) and the parameters of a libpq URL (``?sslmode=require``) are accepted.
    db_schema : str
        The schema of the tables. If it doesn't exist, the first write creates it. Until then the store is empty. Each
        schema is a separate store.
    lock_timeout_s : float
        Maximum time to wait for another user of the same session, in seconds.
    session_table : str, optional
        Stores of one schema with different names never see each other's sessions. A name other than agno's default,
        ``agno_sessions``, stands for a schema of its own.
    memory_table : str, optional
        Likewise for user memories: stores of one schema share them, unless their names differ. agno's default is
        ``agno_memories``.
    id : str, optional
        Identity of the store for your program; derived from its address by default.
    **tables
        Names of agno's other tables, such as `metrics_table`, have no effect.

    Raises
    ------
    InvalidInputError
        `db_url` is not the URL of a Postgres database.
    NotAStoreError
        On first use: the schema has other tables with the same names. They are not changed.
    StoreVersionError
        On first use: the store was written by a newer agno_nb. It is not changed.
    StoreLocked
        On any use: another client locked the session for longer than `lock_timeout_s`.
    StoreError
        On any use: the server cannot be reached, or denies access.

    Examples
    --------
    >>> PostgresDb("postgresql+psycopg://ai:secret@localhost:5532/ai")
    PostgresDb('postgresql://localhost:5532/ai', db_schema='agno_nb')
    """

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_url: str,
        *,
        db_schema: str = "agno_nb",
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        if not 0 < len(db_schema.encode()) <= LONGEST_NAME or "\0" in db_schema:
            raise InvalidInputError(f"db_schema is {db_schema!r}; pass a name of 1 to {LONGEST_NAME} bytes")
        try:
            from agno_nb.db.postgres_driver import PostgresDriver
        except ImportError as error:
            raise ImportError(f"PostgresDb requires pip install 'agno_nb[postgres]' ({error})") from error
        self.db_schema = db_schema
        check_lock_timeout(lock_timeout_s)
        self.lock_timeout_s = lock_timeout_s
        self._url = url = PostgresUrl.parse(db_url)
        names = TableNames.of(tables)
        of_sessions, of_memories = (schema_of(db_schema, ending) for ending in names.endings)
        memories = None
        if of_memories != of_sessions:
            memories = PostgresDb(db_url, db_schema=of_memories, lock_timeout_s=lock_timeout_s)
        self._schema = of_sessions
        driver = PostgresDriver(url, of_sessions, lock_timeout_s)
        super().__init__(driver, tables=names, memory_store=memories, id=tables.get("id"))

    def __reduce__(self) -> tuple[Any, ...]:
        # The unpickling process takes the password from PGPASSWORD or a pgpass file.
        make = partial(type(self), db_schema=self.db_schema, lock_timeout_s=self.lock_timeout_s, **self._options)
        return make, (self._url.without_password(),)

    @property
    def identity(self) -> str:
        return f"{self._url}, schema {self._schema!r}"

    def __repr__(self) -> str:
        return f"PostgresDb({str(self._url)!r}, db_schema={self.db_schema!r}{self._tables.describe()})"


@ignore_unused_tables
@suggest_on_unknown_kwarg({})
class AsyncPostgresDb(AsyncDb):
    """Async version of :class:`PostgresDb`, with the same arguments and methods."""

    @listed_kwargs(StoreNames)
    def __init__(
        self,
        db_url: str,
        *,
        db_schema: str = "agno_nb",
        lock_timeout_s: float = 15.0,
        **tables: Unpack[TableOptions],
    ) -> None:
        super().__init__(PostgresDb(db_url, db_schema=db_schema, lock_timeout_s=lock_timeout_s, **tables))


_SCHEME = r"(?:postgresql|postgres)(?:\+\w+)?://"
_REST = r"(?P<hosts>[^/?#@]*)(?:/(?P<database>[^/?#@]*))?(?:\?(?P<query>[^#]*=[^#]*)?)?"
# The second form accepts passwords with @, /, ? or # that are not written as %40 and so on.
_FORMS = [re.compile(f"{_SCHEME}(?:(?P<user>{user})@)?{_REST}") for user in ("[^/?#@]*", ".*")]


_PASSWORDS = ("password", "sslpassword", "oauth_client_secret")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """Address of a database. Its str() and repr() have neither user nor password."""

    hosts: str
    database: str
    _user: str = field(repr=False)
    _password: str = field(repr=False)
    _query: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> PostgresUrl:
        """Parse a URL, and redact its password from now on.

        Raises
        ------
        InvalidInputError
            The value is not the URL of a Postgres database. The message doesn't repeat it, because of the password.
        """
        match = next(filter(None, (form.fullmatch(url.strip()) for form in _FORMS)), None)
        if match is None:
            raise InvalidInputError(
                "db_url is not the URL of a Postgres database; pass a URL like 'postgresql://user:password@host:5432/name'"
            )
        hosts, database, query = (match[name] or "" for name in ("hosts", "database", "query"))
        user, _, password = (match["user"] or "").partition(":")
        # What libpq reads if the URL has no password. The variable may be gone when a server repeats it.
        remember_secret(os.environ.get("PGPASSWORD", ""))
        for name, value in [("password", password), *parse_qsl(query)]:
            if name in _PASSWORDS:
                # Servers repeat the decoded password, and users paste the encoded one.
                remember_secret(value)
                remember_secret(unquote(value))
        escaped_user, escaped_password = (quote(unquote(part), safe="") for part in (user, password))
        return cls(hosts, database, escaped_user, escaped_password, query)

    def with_password(self) -> str:
        """Return the URL for libpq. This is a method because tracebacks show the values of attributes."""
        password = f":{self._password}" if self._password else ""
        return self._url(self._user + password, self._query)

    def without_password(self) -> str:
        """Return the URL with the user, and without any password."""
        kept = [part for part in self._query.split("&") if unquote(part.partition("=")[0]) not in _PASSWORDS]
        return self._url(self._user, "&".join(kept))

    def _url(self, userinfo: str, query: str) -> str:
        at, question_mark = "@" if userinfo else "", "?" if query else ""
        return f"postgresql://{userinfo}{at}{self.hosts}/{self.database}{question_mark}{query}"

    def __str__(self) -> str:
        return f"postgresql://{self.hosts}/{unquote(self.database)}"
