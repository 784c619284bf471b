"""Whether file locks work where a store is.

Home directories on NFS may have no locks (ENOLCK, ENOTSUP), or a lock never returns because the server's lock manager
does not answer. SQLite reports the first as a store in use, and neither database has a time limit for the second.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path

from agno_nb.errors import NoFileLocksError

try:
    import fcntl
except ImportError:  # Windows has other locks.
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
TIME_LIMIT_S = 5.0
"""Time after which a lock is considered not to return, in seconds."""


class _Probe(threading.Thread):
    """Locks a new file in a folder. A daemon, because the call may never return."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="agno_nb-lock-probe", daemon=True)
        self._folder = folder
        self.error: OSError | None = None

    def run(self) -> None:
        try:
            # Not the store itself: closing it would release this process's locks on it.
            with tempfile.TemporaryFile(dir=self._folder) as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.error = error


_stuck: dict[Path, _Probe] = {}
"""Probes that have not returned, by folder."""


def check_file_locks(store: Path) -> None:
    """Refuse a store in a folder without working locks.

    A folder in which this process may not create files is not checked.

    Raises
    ------
    NoFileLocksError
    """
    folder = store.parent
    if fcntl is None or not os.access(folder, os.W_OK):
        return
    probe = _stuck.pop(folder, None)
    if probe is None:
        probe = _Probe(folder)
        probe.start()
        probe.join(TIME_LIMIT_S)
    if probe.is_alive():
        _stuck[folder] = probe
        raise no_locks_error(store, f"a lock did not return within {TIME_LIMIT_S:g} s")
    if probe.error is not None and probe.error.errno in _NO_LOCKS:
        raise no_locks_error(store, os.strerror(probe.error.errno))


def no_locks_error(store: Path, reason: str) -> NoFileLocksError:
    """Return the error that a store cannot be used because its file system has no locks."""
    return NoFileLocksError(
        f"the store {store} cannot be used: its folder has no working file locks, like some NFS home directories "
        f"({reason}); set db_file (`%agent --db PATH`, or the environment variable AGNO_NB_DB) to a path on a local "
        f"disk, for example '/var/tmp/{store.name}', or use PostgresDb(db_url=...)"
    )
