"""The Postgres driver: connections, overlapping transactions, and tables as Arrow."""

from __future__ import annotations

import itertools
import re
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from adbc_driver_postgresql import dbapi
from psycopg import errors, sql
from psycopg.pq import TransactionStatus

from agno_nb.db import schema
from agno_nb.db.arrow_tables import with_all_columns
from agno_nb.db.driver import ConnectionPool, Driver
from agno_nb.db.duckdb import write_store
from agno_nb.db.encoding import micros
from agno_nb.db.migrations import migrate
from agno_nb.db.pushdown import ColumnFilter, filter_condition
from agno_nb.db.sandbox import interruptible
from agno_nb.db.sqlite import empty_store
from agno_nb.db.statements import Connection
from agno_nb.errors import NotAStoreError, StoreError, StoreLocked, UnstorableValueError
from agno_nb.redact import redact

if TYPE_CHECKING:
    import pyarrow as pa

    from agno_nb.db.postgres import PostgresUrl

_KEPT_CONNECTIONS = 4
"""A server has few connections, 100 by default, for all clients."""
_QUOTED_OR_MARK = re.compile(r"""('[^']*'|"[^"]*")|\?""")

C = TypeVar("C")
PostgresConnection = psycopg.Connection[tuple[Any, ...]]


class PostgresDriver(Driver):
    """Transactions on a Postgres database, whose writers may overlap.

    Writers of one session first lock its row in raw_sessions. A deletion affects several tables, and media shared by
    sessions, so it must be the only writer: it takes an exclusive lock on the store, and other writers a shared lock.
    """

    row_lock = "FOR UPDATE"

    def __init__(
        self, url: PostgresUrl, db_schema: str, timeout_s: float, *, migrations: Mapping[int, str] | None = None
    ) -> None:
        self._url = url
        self._schema = db_schema
        self._store = f"the store {url} (schema {db_schema!r})"
        self._migrations = schema.migrations() if migrations is None else migrations
        self._timeout_s = timeout_s
        # Postgres takes 0 for "no limit".
        self._timeout_ms = max(1, round(timeout_s * 1000))
        self._idle: ConnectionPool[PostgresConnection] = ConnectionPool(_KEPT_CONNECTIONS)

    @contextmanager
    def transaction(self, *, write: bool, exclusive: bool = False) -> Iterator[Connection]:
        with self._translate_errors():
            connection = self._begin(write=write, exclusive=exclusive)
            if connection is None:
                with empty_store() as empty:
                    yield empty
                return
            try:
                yield _PostgresTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
            self._idle.release(connection)

    def exclusive_transaction(self) -> AbstractContextManager[Connection]:
        return self.transaction(write=True, exclusive=True)

    def rows(self, columns_read: schema.ColumnsRead, column_filter: ColumnFilter | None = None) -> dict[str, pa.Table]:
        with self._translate_errors():
            connection = self._begin(write=False)
            if connection is None:
                return {}
            self._roll_back(connection)
            with closing(self._connected(dbapi.connect)) as tables, closing(tables.cursor()) as cursor:
                # All tables at the same moment.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute(f"SET LOCAL lock_timeout = {self._timeout_ms}")
                return {
                    table: with_all_columns(table, _fetch(cursor, self._selected(table, columns, column_filter)))
                    for table, columns in columns_read.items()
                }

    def _selected(self, table: str, columns: Collection[str], part: ColumnFilter | None) -> str:
        where, values = filter_condition(table, part)
        texts = iter(sql.Literal(value).as_string(None) for value in values)
        names = sql.SQL(", ").join(map(sql.Identifier, columns)).as_string(None)
        of_table = sql.Identifier(self._schema, table).as_string(None)
        return f"SELECT {names} FROM {of_table} WHERE {re.sub('[?]', lambda _: next(texts), where)}"

    def vacuum(self) -> None:
        with self._translate_errors():
            connection = self._begin(write=True)
            assert connection is not None
            try:
                connection.execute("COMMIT")
                for table in schema.tables():
                    connection.execute(f"VACUUM FULL {self._quoted}.{table}")
            except BaseException:
                self._roll_back(connection)
                raise
            self._idle.release(connection)

    def backup(self, path: Path, memories: pa.Table | None = None) -> None:
        write_store(path, self.tables(tuple(schema.tables())), memories)

    def close(self) -> None:
        self._idle.close()

    def _begin(self, *, write: bool, exclusive: bool = False) -> PostgresConnection | None:
        """Open a transaction on the store; return None if there is no store to read."""
        begin = self._opening_statements(write=write, exclusive=exclusive)
        while (connection := self._idle.acquire()) is not None:
            try:
                return self._at_version(connection, begin, write=write)
            except psycopg.OperationalError:
                # The server was restarted or closed the connection. Nothing has been done, so another one can be used.
                if not connection.closed:
                    raise
        return self._at_version(self._connect(), begin, write=write)

    def _at_version(self, connection: PostgresConnection, begin: str, *, write: bool) -> PostgresConnection | None:
        try:
            try:
                version = _last_value(connection, begin)
            except (errors.UndefinedTable, errors.InvalidSchemaName):
                connection.execute("ROLLBACK")
                if not write:
                    self._idle.release(connection)
                    return None
                self._create(connection)
                version = _last_value(connection, begin)
            if schema.is_older(version, self._store, newest=max(self._migrations, default=1)):
                connection.execute("ROLLBACK")
                self._migrate(connection)
                _last_value(connection, begin)
        except BaseException:
            self._roll_back(connection)
            raise
        return connection

    def _connect(self) -> PostgresConnection:
        return self._connected(
            psycopg.connect,
            autocommit=True,
            cursor_factory=psycopg.RawCursor,
            client_encoding="UTF8",
            fallback_application_name="agno_nb",
        )

    def _connected(self, connect: Callable[..., C], **options: Any) -> C:
        try:
            return connect(self._url.with_password(), **options)
        except (psycopg.Error, dbapi.Error) as error:
            message = f"{self._store} cannot be reached: {_server_message(error)}"
        # Without the error as its cause: some tracebacks show the variables of its frames, such as the password.
        raise StoreError(f"{message}; make sure that the server is running and that db_url is correct")

    def _roll_back(self, connection: PostgresConnection) -> None:
        """Roll back the transaction, and keep the connection if possible."""
        status = connection.info.transaction_status
        if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                connection.close()
        if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.release(connection)

    def _opening_statements(self, *, write: bool, exclusive: bool) -> str:
        """Return statements that open a transaction and select the version, in one round trip."""
        lock = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
        return "; ".join(
            [
                "BEGIN" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                f"SET LOCAL search_path TO {self._quoted}",
                f"SET LOCAL lock_timeout = {self._timeout_ms}",
                # A process that is suspended during a transaction must not keep a session locked.
                f"SET LOCAL idle_in_transaction_session_timeout = {self._timeout_ms}",
                *([f"SELECT {lock}({self._lock})"] if write else []),
                f"SELECT max(version) FROM {self._quoted}.raw_schema",
            ]
        )

    @property
    def _quoted(self) -> str:
        return sql.Identifier(self._schema).as_string(None)

    @property
    def _lock(self) -> int:
        return zlib.crc32(b"agno_nb " + self._schema.encode())

    def _create(self, connection: PostgresConnection) -> None:
        """Create schema and tables, unless another client does so at the same time."""
        with connection.transaction():
            connection.execute(f"SELECT pg_advisory_xact_lock({self._lock})")
            if connection.execute("SELECT to_regclass($1)", [f"{self._quoted}.raw_schema"]).fetchone() != (None,):
                return
            # An administrator may have created the schema for a user who is not allowed to.
            existing = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", [self._schema]).fetchone()
            if existing is None:
                connection.execute(f"CREATE SCHEMA {self._quoted}")
            connection.execute(f"SET LOCAL search_path TO {self._quoted}")
            for statement in [*schema.statements("schema.sql"), *schema.statements("indexes.sql")]:
                connection.execute(_in_postgres(statement))
            connection.execute("INSERT INTO raw_schema VALUES ($1, $2)", [schema.VERSION, micros(time.time())])

    def _migrate(self, connection: PostgresConnection) -> None:
        """Migrate the store to the newest version, in one transaction. Backups are up to the server."""
        with connection.transaction():
            connection.execute(f"SELECT pg_advisory_xact_lock({self._lock})")
            connection.execute(f"SET LOCAL search_path TO {self._quoted}")
            migrate(
                _PostgresTransaction(connection),
                {version: _in_postgres(text) for version, text in self._migrations.items()},
                with_indexes=True,
            )

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert errors of Postgres to ours, with a remedy."""
        try:
            yield
        except errors.LockNotAvailable as error:
            raise StoreLocked(
                f"timed out after {self._timeout_s:g} s waiting for a session in {self._store}, locked by another "
                "client; try again, or raise lock_timeout_s"
            ) from error
        except errors.InsufficientPrivilege as error:
            raise StoreError(
                f"{self._store} denies access to this user: {_server_message(error)}; ask its owner to grant CREATE on "
                "the database, or USAGE and CREATE on the schema, or pass another db_schema"
            ) from error
        except (errors.DuplicateTable, errors.DuplicateObject) as error:
            raise NotAStoreError(
                f"the schema {self._schema!r} of {self._url} has tables that agno_nb did not create "
                f"({_server_message(error)}); pass another db_schema. It was not changed."
            ) from error
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise UnstorableValueError(
                f"{self._store} does not take a value, and the current write is not stored ({_server_message(error)}); "
                "leave that value out"
            ) from error
        except (psycopg.Error, dbapi.Error) as error:
            raise StoreError(
                f"{self._store} failed, and the current write is not stored ({_server_message(error)}); make sure that "
                "the server is running, and try again"
            ) from error


class _PostgresTransaction(Connection):
    def __init__(self, connection: PostgresConnection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(_number_parameters(sql), parameters)
        return cursor.fetchall() if cursor.description else []

    def change(self, sql: str, parameters: Sequence[Any], /) -> int:
        return self._connection.execute(_number_parameters(sql), parameters).rowcount


def _in_postgres(statement: str) -> str:
    return re.sub(r"\bBLOB\b", "BYTEA", statement)


@lru_cache(maxsize=512)
def _number_parameters(statement: str) -> str:
    """Return the statement with $1, $2 and so on for each ``?`` that is not within quotes."""
    numbers = itertools.count(1)
    return _QUOTED_OR_MARK.sub(lambda match: match[1] or f"${next(numbers)}", statement)


def _last_value(connection: PostgresConnection, statements: str) -> Any:
    """Run several statements in one exchange; return the one value of the last."""
    cursor = connection.execute(statements, prepare=False)
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    return row[0] if row else None


def _server_message(error: Exception) -> str:
    """Return the server's message in one line, without quoted rows and without API keys."""
    diagnosis = getattr(error, "diag", None)
    text = (diagnosis.message_primary if diagnosis else None) or str(error)
    return redact(" ".join(text.split()))


def _fetch(cursor: dbapi.Cursor, statement: str) -> pa.Table:
    def work() -> pa.Table:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()

    return interruptible(cursor.adbc_cancel, work)
