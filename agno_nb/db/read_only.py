"""The gate for SQL of users and models: one statement that reads.

The statement's type is half of the gate: DuckDB calls a ``WITH`` that deletes a SELECT. The transaction, which is
read-only, and the engine, which has nothing to write to, are the other half.
"""

from __future__ import annotations

import re

import duckdb

from agno_nb.errors import QueryError

_SELECT, _EXPLAIN, _MULTI = (
    duckdb.StatementType.SELECT,
    duckdb.StatementType.EXPLAIN,
    duckdb.StatementType.MULTI,
)
STRINGS = re.compile(r"'[^']*'?|--[^\n]*|/\*.*?(?:\*/|\Z)|\$\$.*?(?:\$\$|\Z)", re.DOTALL)
"""Strings and comments."""

MAX_JOINS = 100
"""Joins of a query. DuckDB takes time that grows with the third power of their number to order them, 2 s for 100, and
does not look for interrupts while it does so."""
MAX_CONDITIONS = 5_000
MAX_NAME_PARTS = 20
_CONDITION = re.compile(r"\b(?:or|and)\b", re.IGNORECASE)
_LONG_NAME = re.compile(rf"(?:\.\s{{0,9}}\w+\s{{0,9}}){{{MAX_NAME_PARTS}}}")
_TOKEN = re.compile(r'"[^"]*"?|[(\[{]|[)\]}]|,|\w+')
_AFTER_FROM = frozenset(
    "select where group having window qualify order limit offset union except intersect using sample".split()
)
"""Words that end the list of tables after FROM."""
_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"\w*")


def read_only_statement(cursor: duckdb.DuckDBPyConnection, sql: str) -> tuple[duckdb.Statement, str | None]:
    """Return the one statement of `sql`, if it is one that reads, and the query in it, if it can be planned.

    Raises
    ------
    QueryError
        There is none, there are several, it does not only read, or it is too much for DuckDB's planner.
    """
    _check_size(sql)
    statements = cursor.extract_statements(sql)
    if len(statements) == 1:
        kind, text = _type_of(statements[0]), statements[0].query
        if kind == _SELECT:
            return statements[0], text
        explained = _explained(cursor, text) if kind in (_EXPLAIN, _MULTI) else None
        if explained is not None:
            return statements[0], explained if kind == _EXPLAIN else None
        # PIVOT: DuckDB looks the new columns up with a statement of its own, and then selects.
        if kind == _MULTI and _is_query(cursor, text):
            return statements[0], None
    raise QueryError(
        "only one statement that reads (SELECT, WITH, FROM, VALUES, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, SHOW, "
        "EXPLAIN) can be run"
    )


def _check_size(sql: str) -> None:
    """Refuse what takes DuckDB's planner minutes, in which it does not look for interrupts."""
    code = STRINGS.sub(" ", sql)
    if sum(1 for _ in _CONDITION.finditer(code)) > MAX_CONDITIONS:
        raise QueryError(
            f"the query has more than {MAX_CONDITIONS:,} conditions; use IN, or join a DataFrame of values"
        )
    if _LONG_NAME.search(code):
        raise QueryError(f"the query has a name of more than {MAX_NAME_PARTS} parts with dots between them")
    if _num_joins(code) > MAX_JOINS:
        raise too_many_joins()


def too_many_joins() -> QueryError:
    return QueryError(
        f"the query joins more than {MAX_JOINS} tables, or nests as deep; "
        "store a part of its result as a DataFrame first"
    )


def _num_joins(code: str) -> int:
    """Count the joins of SQL without strings and comments: JOIN, and the commas between tables after FROM."""
    count, before = 0, ""
    is_from = [False]
    """Whether the text is in a list of tables, for each open bracket."""
    for found in _TOKEN.finditer(code):
        token = found[0].lower()
        if token in "([{":
            is_from.append(False)
        elif token in ")]}":
            is_from = is_from[:-1] or [False]
        elif token == "join" or (token == "," and is_from[-1]):
            count += 1
        elif token == "from":
            # Not IS DISTINCT FROM.
            is_from[-1] = before != "distinct" or is_from[-1]
        elif token in _AFTER_FROM:
            is_from[-1] = False
        before = token
    return count


def _type_of(statement: duckdb.Statement) -> duckdb.StatementType | None:
    try:
        return statement.type
    except ValueError:
        # The client has no name for some types of statement, such as CONNECT.
        return None


def _is_query(cursor: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Tell whether a statement is a query: one that SUMMARIZE takes, which takes nothing that writes."""
    try:
        kinds = [[_type_of(each) for each in cursor.extract_statements(text)] for text in (sql, f"SUMMARIZE {sql}")]
    except (duckdb.Error, ValueError):
        return False
    return all(kind in ([_SELECT], [_MULTI]) for kind in kinds)


def _explained(cursor: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """Return the query that an EXPLAIN is of; None if it is of something else, which ANALYZE would run."""
    place = _after_space(sql, 0)
    if _word_at(sql, place) != "explain":
        return None
    while (word := _word_at(sql, place)) in ("explain", "analyze", "verbose"):
        place = _after_space(sql, place + len(word))
    if _is_query(cursor, sql[place:]):
        return sql[place:]
    # Options: EXPLAIN (FORMAT json) SELECT ...
    after = sql[sql.find(")", place) + 1 :]
    return after if sql.startswith("(", place) and _is_query(cursor, after) else None


def _word_at(sql: str, place: int) -> str:
    word = _WORD.match(sql, place)
    return word[0].lower() if word else ""


def _after_space(sql: str, place: int) -> int:
    """Return where white space and comments end."""
    while True:
        if space := _SPACE.match(sql, place):
            place = space.end()
        if sql.startswith("--", place):
            place = _end_of(sql, "\n", place)
        elif sql.startswith("/*", place):
            place = _end_of(sql, "*/", place)
        else:
            return place


def _end_of(sql: str, mark: str, place: int) -> int:
    found = sql.find(mark, place)
    return len(sql) if found == -1 else found + len(mark)
