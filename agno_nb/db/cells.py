"""What a notebook adds to a store: the variables in prompts, and which cell began which turn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from agno_nb.db.base import CellTurn
from agno_nb.db.encoding import Row, from_json
from agno_nb.db.memories import SqlMemories
from agno_nb.db.statements import Transaction
from agno_nb.types import RunOutput, RunStatus, Variable

VARIABLE_COLUMNS = (
    "run_id", "session_id", "variable_index", "name", "type", "shape", "dtypes", "hash", "cut", "chars",
)  # fmt: skip


class SqlCells(SqlMemories):
    """What a notebook asks of a store, in SQL."""

    @staticmethod
    @abstractmethod
    def _runs(
        connection: Transaction, where: str, parameters: Sequence[Any], *, limit: int | None = None
    ) -> list[RunOutput]:
        """Read the runs that `where` selects, the latest ones, oldest first."""

    def find_answer(self, context_hash: str) -> RunOutput | None:
        where = "context_hash = ? AND status = ? AND replay_of_run_id IS NULL"
        with self._transaction(write=False) as connection:
            runs = self._runs(connection, where, [context_hash, RunStatus.COMPLETED], limit=1)
        return runs[0] if runs else None

    def get_cell_turns(self, session_id: str, cell_id: str) -> list[CellTurn]:
        # The oldest attempt tells which cell began a turn. Other cells may have asked it again.
        sql = (
            "SELECT run_index, notebook, (SELECT MAX(run_index) FROM raw_runs WHERE session_id = ?) - run_index "
            "FROM raw_runs AS cell WHERE session_id = ? AND cell_id = ? AND run_index IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM raw_runs WHERE session_id = cell.session_id AND run_index = cell.run_index "
            "AND attempt < cell.attempt) ORDER BY run_index"
        )
        with self._transaction(write=False) as connection:
            rows = connection.execute(sql, [session_id, session_id, cell_id])
        return [CellTurn(run_index=index, notebook=path, num_later_turns=later) for index, path, later in rows]


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
