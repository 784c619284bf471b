"""The path of a store's file: paths that cannot be used, and several paths of one file.

A database keeps its log, and DuckDb its lock, next to the path by which the file was opened. Two paths of one file (a
hard link, a symbolic link, a bind mount) would have two logs and two locks, and a write through one of them would
overwrite what the other holds. Within a process every path of a file therefore stands for the one that was used first.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from agno_nb.errors import InvalidInputError, StoreError, UnstorableValueError
from agno_nb.redact import without_userinfo

FileId = tuple[int, int]

LOCK = ".lock"
"""Suffix of the file next to a DuckDb that its users lock."""

# Joined to a folder, a URL has one slash left. A drive of Windows has one letter.
_URL = re.compile(r"(?:^|/)[A-Za-z][\w+.-]+:/")


@dataclass(frozen=True, slots=True)
class _Used:
    path: Path
    """The path by which this process uses the file."""
    is_only: bool = True
    """Whether other processes would use the same path, as far as one can tell."""


_used: dict[FileId, _Used] = {}
_used_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_used_lock.acquire, after_in_parent=_used_lock.release, after_in_child=_used_lock.release
    )


def store_path(db_file: str | Path) -> Path:
    """Return the absolute path of a store's file.

    Raises
    ------
    InvalidInputError
        The path is not a path, is empty, a URL or a database's name for memory, or contains a null character.
    """
    if not isinstance(db_file, str | os.PathLike):
        raise InvalidInputError(f"db_file is {db_file!r}; pass the path of a file")
    text = str(db_file)
    if _URL.search(text):
        # As the name of a file it would be shown with its password.
        store = "SqliteDb" if text.startswith("sqlite") else "PostgresDb"
        raise InvalidInputError(
            f"db_file is the URL {without_userinfo(text)!r}; pass the path of a file, or use {store}(db_url=...)"
        )
    if text.strip() in ("", ".") or text.strip().startswith((":memory:", "file::memory:")):
        raise InvalidInputError(f"db_file is {text!r}; for a store without a file, use InMemoryDb()")
    return Path(expand(text)).resolve()


def check_lock_timeout(lock_timeout_s: float) -> None:
    """Refuse a timeout that is not a number of seconds.

    Raises
    ------
    InvalidInputError
    """
    is_number = isinstance(lock_timeout_s, int | float) and not isinstance(lock_timeout_s, bool)
    if not is_number or not lock_timeout_s >= 0:
        raise InvalidInputError(f"lock_timeout_s is {lock_timeout_s!r}; pass a number of seconds, 0 or more")


def expand(path: str | Path) -> str:
    """Return a path with the user's home folder in place of ``~``.

    Raises
    ------
    InvalidInputError
        The path contains a null character.
    """
    if "\0" in str(path):
        raise InvalidInputError(f"{str(path)!r} contains a null character, which no path can")
    # Path.expanduser() would refuse a name such as "~a.db", which looks like a user's home folder.
    return os.path.expanduser(path)


def file_id(path: Path) -> FileId | None:
    """Return the identity of the file at a path, the same for all paths of the file; None if no file is found."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def exists(path: Path) -> bool:
    """Whether there is a file. Raises `OSError` if the folder may not be searched."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def path_in_use(path: Path, neighbor: str) -> Path:
    """Return the path by which this process uses the file at `path`: the first one that was used.

    Parameters
    ----------
    path : Path
    neighbor : str
        Ending of the file that the database keeps next to a path in use. Of several hard links in a folder, the one
        with that neighbor is used, because other processes use it.
    """
    found = file_id(path)
    if found is None:
        return path
    with _used_lock:
        used = _used.get(found)
        if used is None or file_id(used.path) != found:
            used = _used[found] = _choose(path.resolve(), neighbor)
        return used.path


def register(path: Path) -> None:
    """Note the path by which this process has just created a file."""
    if (found := file_id(path)) is not None:
        with _used_lock:
            _used[found] = _Used(path)


def check_links(path: Path) -> None:
    """Refuse to write to a file that may be in use through a hard link in another folder.

    Raises
    ------
    StoreError
    """
    found = file_id(path)
    used = _used.get(found) if found else None
    if used is not None and not used.is_only and (num_links := path.stat().st_nlink) > 1:
        others = ", ".join(map(str, _links(path)[1:])) or "in other folders"
        raise StoreError(
            f"{path} is one of {num_links} hard links to the same file (the others: {others}); written to through "
            "two of them, a store loses data. Delete the other links, or make a copy of the file and use that"
        )


def _choose(path: Path, neighbor: str) -> _Used:
    num_links = path.stat().st_nlink
    if num_links == 1:
        return _Used(path)
    links = _links(path)
    in_use = [link for link in links if Path(f"{link}{neighbor}").exists()]
    # Without any such file, every process chooses the same link.
    return _Used(min(in_use or links), is_only=bool(in_use) or num_links == len(links))


def _links(path: Path) -> list[Path]:
    """Return a path and the other hard links to its file in the same folder."""
    found = file_id(path)
    try:
        with os.scandir(path.parent) as entries:
            others = sorted(Path(entry.path) for entry in entries if found and entry.inode() == found[1])
    except OSError:
        others = []
    return [path, *(other for other in others if other != path and file_id(other) == found)]


def os_error(store: Path | None, error: OSError) -> StoreError:
    """Convert an error of the operating system to a `StoreError` that names the file in the way and the remedy."""
    reason = error.strerror or str(error)
    if error.filename is not None and str(error.filename) != str(store):
        reason = f"{error.filename}: {reason}"
    return store_failure(store, reason)


def unstorable_value(store: Path | None, reason: str) -> UnstorableValueError:
    """Return the error that a store does not take a value."""
    return UnstorableValueError(
        f"the store {store or 'in memory'} does not take a value: {reason.rstrip('.')}; what was being written is not "
        "stored. To continue, leave that value out"
    )


def store_failure(store: Path | None, reason: str) -> StoreError:
    """Return the error that a store could not be used, with the remedy that follows from the reason."""
    remedy = next((remedy for part, remedy in _REMEDIES.items() if part in reason.lower()), "try again")
    return StoreError(
        f"the store {store or 'in memory'} cannot be used: {reason.rstrip('.')}; what was being written is not stored. "
        f"To go on, {remedy}"
    )


_ELSEWHERE = "choose a db_file in a folder that you can write to (in a notebook: `%agent --db PATH`)"
_FULL = "make sure that the disk has space: it is full"
_DENIED = f"let the owner of that file give you access (chmod), or {_ELSEWHERE}"
_REMEDIES = {
    "no space left": _FULL,
    "disk is full": _FULL,
    "quota exceeded": "make sure that the disk has space: your quota is used up",
    "file too large": "make sure that the disk has space: the size of a file is limited",
    "name too long": "choose a shorter db_file",
    "permission denied": _DENIED,
    "not permitted": _DENIED,
    "read-only": _ELSEWHERE,
    "readonly": _ELSEWHERE,
    "not a directory": _ELSEWHERE,
    "file exists": _ELSEWHERE,
    "no such file": _ELSEWHERE,
}
"""What to do, by a part of the reason that DuckDB, SQLite or the system gives, in lower case."""
