"""Results of tools that are used again for the same arguments."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agno_nb.redact import warn
from agno_nb.tools.invoke import unwrap_partial
from agno_nb.types import new_id

MISSING: Any = object()
"""What :meth:`ResultCache.get` returns if there is no result."""


def result_key(
    function: Callable[..., Any],
    name: str,
    arguments: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    user_id: str | None,
) -> str | None:
    """Return the key of a call; None if its arguments are not JSON.

    The result of a function with injected parameters, which are in `kwargs` only, may depend on the session, and that
    of a method on its object, such as the mailbox of a user.
    """
    context = kwargs.get("run_context")
    own = kwargs.keys() <= arguments.keys()
    scope = None if own else [getattr(context, "user_id", None), getattr(context, "session_id", None)]
    if not own and context is None:
        return None
    bare = unwrap_partial(function)
    holder = getattr(bare, "__self__", None)
    # Tools of the same name may share a directory.
    owner = [getattr(bare, "__module__", None), getattr(bare, "__qualname__", type(bare).__qualname__)]
    owner += [] if holder is None else [type(holder).__module__, type(holder).__qualname__, user_id]
    with suppress(TypeError, ValueError, RecursionError):
        text = json.dumps([name, owner, arguments, scope], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
    return None


class ResultCache:
    """Values by key, for `ttl` seconds: in memory or, with `directory`, in files that processes share."""

    def __init__(self, ttl: float, directory: str | None = None) -> None:
        self._ttl = ttl
        self._directory = None if directory is None else Path(directory).expanduser()
        self._entries: dict[str, tuple[float, str]] = {}

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
            if self._directory is None:
                self._entries[key] = entry
                return
            try:
                self._write(self._directory, key, json.dumps(entry))
            except OSError as error:
                # The function has been called, and must not be called again because its result is not cached.
                warn(
                    f"cannot cache the result of a tool in {str(self._directory)!r}: {error}; choose another cache_dir"
                )

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
        if self._directory is None:
            return self._entries.get(key)
        with suppress(OSError, ValueError, TypeError):
            created_at, text = json.loads((self._directory / f"{key}.json").read_text(encoding="utf-8"))
            return float(created_at), str(text)
        return None
