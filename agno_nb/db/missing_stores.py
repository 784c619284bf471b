"""Stores that agno has and this package does not: using one raises an error that names the nearest store."""

from __future__ import annotations

from typing import Any, NoReturn

from agno_nb.errors import InvalidInputError

_FILE = "use SqliteDb(db_file=...) or DuckDb(db_file=...), which need no server"
_SERVER = "use PostgresDb(db_url=...) on a server, or SqliteDb(db_file=...) without one"


class MissingStore:
    """A store that this package does not have.

    Raises
    ------
    InvalidInputError
        Always. The message names a store to use instead.
    """

    remedy = _SERVER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._fail()

    def _fail(self) -> NoReturn:
        raise InvalidInputError(f"agno_nb has no {type(self).__name__}; {self.remedy}")


class JsonDb(MissingStore):
    """agno's store in JSON files."""

    remedy = f"{_FILE}; export_session() writes a session as JSON lines"


class GcsJsonDb(JsonDb):
    """agno's store in Google Cloud Storage."""


class MongoDb(MissingStore):
    """agno's store in MongoDB."""


class AsyncMongoDb(MissingStore):
    """agno's async store in MongoDB."""


class MySQLDb(MissingStore):
    """agno's store in MySQL."""


class AsyncMySQLDb(MissingStore):
    """agno's async store in MySQL."""


class RedisDb(MissingStore):
    """agno's store in Redis."""


class ValkeyDb(MissingStore):
    """agno's store in Valkey."""


class DynamoDb(MissingStore):
    """agno's store in DynamoDB."""


class FirestoreDb(MissingStore):
    """agno's store in Firestore."""


class SingleStoreDb(MissingStore):
    """agno's store in SingleStore."""


class SurrealDb(MissingStore):
    """agno's store in SurrealDB."""


class ClickhouseDb(MissingStore):
    """agno's store of traces in ClickHouse."""

    remedy = "runs are stored as they happen in every store; see runs_df(), run_tree_df() and events_df()"
