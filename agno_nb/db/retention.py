"""The part of the contract of a store that keeps it in order: deleting, checking, copying, moving."""

from __future__ import annotations

from abc import abstractmethod
from datetime import date
from pathlib import Path

from agno_nb.db.frame_reader import FrameReader
from agno_nb.types import Session


class Maintenance(FrameReader):
    """What every store can do with all that it holds."""

    @abstractmethod
    def purge_sessions(self, before: str | date, user_id: str | None = None) -> int:
        """Delete the sessions in which nothing happened since `before`; return how many.

        Parameters
        ----------
        before : str or datetime
            The latest change of a session is compared with it. A time without a zone is in UTC.
        """

    @abstractmethod
    def vacuum(self) -> None:
        """Give the space of what was deleted back, and leave nothing of it in the store's files."""

    @abstractmethod
    def backup(self, path: str | Path) -> None:
        """Copy the store as it is at this moment into a file that is not there yet.

        The copy is a store: of the same kind where this one is a file, else a DuckDB file.

        Raises
        ------
        InvalidInputError
            There is something at `path`.
        """

    @abstractmethod
    def snapshot(self, path: str | Path) -> None:
        """Copy the store as it is at this moment into a file for other programs to open.

        As :meth:`backup`, but a snapshot that is there already is replaced, in one step.

        Raises
        ------
        InvalidInputError
            What is at `path` is not a snapshot: another file, or a store that was worked with under that name.
        """

    @abstractmethod
    def verify(self) -> list[str]:
        """Check that the rows fit together; return a sentence for each kind of problem, none for a sound store."""

    @abstractmethod
    def export_session(self, session_id: str, path: str | Path, user_id: str | None = None) -> None:
        """Write a session with all its rows and media into a file, one JSON object to a line.

        Raises
        ------
        SessionNotFoundError
            There is none of that id and owner.
        """

    @abstractmethod
    def import_session(self, path: str | Path) -> Session:
        """Store the session that :meth:`export_session` wrote, with the ids that it had; return it.

        Raises
        ------
        InvalidInputError
            The file is not a session, or the store has one of that id already. Nothing was written.
        """

    @abstractmethod
    def export_parquet(self, folder: str | Path) -> None:
        """Write everything into a folder, one Parquet file for each table of schema.sql.

        Raises
        ------
        InvalidInputError
            There is something in the folder.
        """

    @abstractmethod
    def import_parquet(self, folder: str | Path) -> int:
        """Store everything that :meth:`export_parquet` wrote, with the ids that it had; return how many sessions.

        Raises
        ------
        InvalidInputError
            The folder holds something else, or the store has some of it already. Nothing was written.
        """
