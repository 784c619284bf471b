"""What a notebook asks of a store: which cell began which turn, and which answer is there already."""

from __future__ import annotations

from agno_nb.db.base import CellTurn
from agno_nb.db.memories import SqlMemories
from agno_nb.db.runs import select_runs
from agno_nb.types import RunOutput, RunStatus


class SqlCells(SqlMemories):
    """What a notebook asks of a store, in SQL."""

    def find_cached_run(self, context_hash: str) -> RunOutput | None:
        # It may be in any session, and only the clock tells which of two sessions is the later one.
        sql = (
            "SELECT session_id, run_id FROM raw_runs WHERE context_hash = ? AND status = ? "
            "AND replay_of_run_id IS NULL ORDER BY created_at DESC, run_index DESC, attempt DESC, run_id DESC LIMIT 1"
        )
        with self._transaction(write=False) as connection:
            found = connection.execute(sql, [context_hash, RunStatus.COMPLETED])
            runs = select_runs(connection, "session_id = ? AND run_id = ?", found[0]) if found else []
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
