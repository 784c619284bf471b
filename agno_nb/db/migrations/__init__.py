"""Migrations from older versions of the schema.

Each version after the first is a file in this folder, ``0002.sql`` and so on: portable SQL that turns a store of the
previous version into one that schema.sql would create. It may add tables, and columns that are null or have a default,
so that rows exported by older versions can still be imported. Views are recreated. schema.sql is changed in the same
commit, and a test compares the two.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from agno_nb.db import schema
from agno_nb.db.encoding import micros
from agno_nb.db.statements import Connection


def migrate(connection: Connection, migrations: Mapping[int, str], *, with_indexes: bool) -> None:
    """Migrate a store to the newest version in the open transaction, and with `with_indexes` add missing indexes."""
    ((current_version,),) = connection.execute("SELECT MAX(version) FROM raw_schema")
    for version in sorted(migrations):
        if version > current_version:
            for statement in schema.split(migrations[version]):
                connection.execute(statement)
            connection.execute("INSERT INTO raw_schema VALUES (?, ?)", [version, micros(time.time())])
    for statement in schema.statements("indexes.sql") if with_indexes else ():
        connection.execute(statement.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))
