"""The variables of the notebook that were put into prompts, as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from agno_nb.db.encoding import Row, from_json, micros
from agno_nb.db.statements import Transaction
from agno_nb.types import RunOutput, Variable

VARIABLE_COLUMNS = (
    "run_id", "session_id", "variable_index", "name", "type", "shape", "dtypes", "hash", "cut", "chars",
    "created_at",
)  # fmt: skip


def select_variables(connection: Transaction, where: str, parameters: Sequence[Any]) -> dict[str, list[Variable]]:
    """Return the variables of each run that `where` selects, in the order of its prompt."""
    sql = f"SELECT {', '.join(VARIABLE_COLUMNS)} FROM raw_variables WHERE {where} ORDER BY variable_index"
    return _variables_from_rows(connection.execute(sql, parameters))


def variable_rows(run: RunOutput) -> list[Row]:
    return [
        {
            "run_id": run.run_id,
            "session_id": run.session_id,
            "variable_index": variable_index,
            "name": variable.name,
            "type": variable.type,
            "shape": variable.shape,
            "dtypes": variable.dtypes,
            "hash": variable.hash,
            "cut": variable.cut,
            "chars": variable.chars,
            "created_at": micros(run.created_at),
        }
        for variable_index, variable in enumerate(run.variables)
    ]


def _variables_from_rows(rows: Iterable[Sequence[Any]]) -> dict[str, list[Variable]]:
    """Return the variables of each run; `rows` are ordered by their place."""
    runs: dict[str, list[Variable]] = {}
    for values in rows:
        row = dict(zip(VARIABLE_COLUMNS, values, strict=True))
        shape = from_json(row["shape"])
        variable = Variable(
            **{name: row[name] for name in ("name", "type", "hash", "chars")},
            shape=None if shape is None else tuple(shape),
            dtypes=from_json(row["dtypes"]),
            cut=bool(row["cut"]),
        )
        runs.setdefault(row["run_id"], []).append(variable)
    return runs
