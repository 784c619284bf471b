"""Results of tools that are used again for the same arguments."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from agno_nb.redact import warn
from agno_nb.tools.invoke import found_by_name
from agno_nb.types import new_id

MISSING: Any = object()
"""What :meth:`ResultCache.get` returns if there is no result."""

_MAX_ENTRIES = 1_000
"""Number of results of a tool that are kept in memory, the latest ones."""


class ResultCache:
    """Results of a function for `ttl` seconds: in memory or, with `directory`, in files that processes share.

    Files are used for functions that can be imported by name, because no other process has the object of a method or
    the variables of a local function. Their results, which may be the mail of one mailbox, stay in memory.
    """

    def __init__(self, function: Callable[..., Any], ttl: float, directory: str | None = None) -> None:
        self._function, self._ttl, self._directory = function, ttl, directory
        self._entries: dict[str, tuple[float, str]] = {}

    def key(
        self, name: str, arguments: Mapping[str, Any], kwargs: Mapping[str, Any], user_id: str | None
    ) -> str | None:
        """Return the key of a call; None if its arguments are not JSON.

        The result of a function with injected parameters, which are in `kwargs` only, may depend on the session, and
        that of a method, whose object may read who runs it, on the user.
        """
        context = kwargs.get("run_context")
        own = kwargs.keys() <= arguments.keys()
        scope = None if own else [getattr(context, "user_id", None), getattr(context, "session_id", None)]
        if not own and context is None:
            return None
        owner = [user_id] if self._files is None else self._description
        with suppress(TypeError, ValueError, RecursionError):
            text = json.dumps([name, owner, arguments, scope], sort_keys=True)
            return hashlib.sha256(text.encode()).hexdigest()
        return None

    @cached_property
    def _description(self) -> list[str | None]:
        """What tells the function from others of its name: tools may share a directory, and functions are edited."""
        return [self._function.__module__, self._function.__qualname__, inspect.getsource(self._function)]

    @cached_property
    def _files(self) -> Path | None:
        """The directory, if the results are stored in files. A decorated function has its name after the first call."""
        if self._directory is None:
            return None
        found = found_by_name(getattr(self._function, "__module__", None), getattr(self._function, "__qualname__", ""))
        with suppress(OSError, TypeError):
            if self._function in (found, getattr(found, "function", None)) and self._description:
                return Path(self._directory).expanduser()
        return None

    def get(self, key: str | None) -> Any:
        """Return a value, or `MISSING`."""
        entry = self._read(key) if key is not None else None
        if entry is None or not 0 <= time.time() - entry[0] < self._ttl:
            return MISSING
        return json.loads(entry[1])

    def put(self, key: str | None, value: Any) -> None:
        """Store a value that JSON can hold. Others are left out."""
        if key is None:
            return
        with suppress(TypeError, ValueError, RecursionError):
            text = json.dumps(value, allow_nan=False)
            if json.loads(text) != value:
                return  # For example tuples and keys that are numbers.
            entry = time.time(), text
            if self._files is None:
                self._keep(key, entry)
                return
            try:
                self._write(self._files, key, json.dumps(entry))
            except OSError as error:
                # The function has been called, and must not be called again because its result is not cached.
                warn(f"cannot cache the result of a tool in {str(self._files)!r}: {error}; choose another cache_dir")

    def _keep(self, key: str, entry: tuple[float, str]) -> None:
        """Keep an entry in memory, and drop those that have expired or are too many. The oldest one is the first."""
        others = self._entries.items()
        kept = [(each, old) for each, old in others if each != key and entry[0] - old[0] < self._ttl]
        self._entries = dict([*kept, (key, entry)][-_MAX_ENTRIES:])

    @staticmethod
    def _write(directory: Path, key: str, text: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Another process must not read half of it.
        draft = directory / f"{key}.{new_id()}"
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(directory / f"{key}.json")
        finally:
            draft.unlink(missing_ok=True)

    def _read(self, key: str) -> tuple[float, str] | None:
        if self._files is None:
            return self._entries.get(key)
        with suppress(OSError, ValueError, TypeError):
            created_at, text = json.loads((self._files / f"{key}.json").read_text(encoding="utf-8"))
            return float(created_at), str(text)
        return None
