"""What a notebook asks of a store: which cell began which turn, and which answer is there already."""

from __future__ import annotations

from agno_nb.db.base import CellTurn
from agno_nb.db.memories import SqlMemories
from agno_nb.db.runs import select_runs
from agno_nb.types import RunOutput, RunStatus


class SqlCells(SqlMemories):
    """What a notebook asks of a store, in SQL."""

    def find_answer(self, context_hash: str) -> RunOutput | None:
        where = "context_hash = ? AND status = ? AND replay_of_run_id IS NULL"
        with self._transaction(write=False) as connection:
            runs = select_runs(connection, where, [context_hash, RunStatus.COMPLETED], limit=1)
        return runs[0] if runs else None

    def get_cell_turns(self, session_id: str, cell_id: str) -> list[CellTurn]:
        # The oldest attempt tells which cell began a turn. Other cells may have asked it again.
        sql = (
            "SELECT run_index, notebook, kernel_id, "
            "(SELECT MAX(run_index) FROM raw_runs WHERE session_id = ?) - run_index "
            "FROM raw_runs AS cell WHERE session_id = ? AND cell_id = ? AND run_index IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM raw_runs WHERE session_id = cell.session_id AND run_index = cell.run_index "
            "AND attempt < cell.attempt) ORDER BY run_index"
        )
        with self._transaction(write=False) as connection:
            rows = connection.execute(sql, [session_id, session_id, cell_id])
        return [
            CellTurn(run_index=index, notebook=path, kernel_id=kernel, num_later_turns=later)
            for index, path, kernel, later in rows
        ]
