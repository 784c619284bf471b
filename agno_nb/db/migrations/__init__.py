"""From an older version of the schema to the newest.

A version after the first is a file in this folder, ``0002.sql`` and so on: statements in the portable SQL of schema.sql
that make of a store of the version before what schema.sql makes of nothing. They may add tables, and columns that are
null or have a default, so that rows exported by older versions can still be imported. Views are not migrated but made
anew. schema.sql is changed in the same commit, and a test holds the two together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from agno_nb.db import schema
from agno_nb.db.encoding import micros
from agno_nb.db.statements import Connection


def migrate(connection: Connection, migrations: Mapping[int, str]) -> None:
    """Bring a store to the newest version, in the one transaction that `connection` is."""
    ((current_version,),) = connection.execute("SELECT MAX(version) FROM raw_schema")
    for version in sorted(migrations):
        if version > current_version:
            for statement in schema.split(migrations[version]):
                connection.execute(statement)
            connection.execute("INSERT INTO raw_schema VALUES (?, ?)", [version, micros(time.time())])
