"""The file that an agent writes its answers to: `save_response_to_file`."""

from __future__ import annotations

import re
from pathlib import Path

from agno_nb.errors import RunError
from agno_nb.types import RunOutput


def write_response(path: str, run: RunOutput) -> None:
    """Write the answer of a run to a file, as text or JSON. Its folder is created. Blocks.

    In `path`, ``{name}``, ``{session_id}``, ``{user_id}``, ``{run_id}`` and ``{message}`` are replaced. Their values
    cannot lead to another folder.

    Raises
    ------
    RunError
        The file cannot be written.
    """
    values = {
        "name": run.component_name,
        "session_id": run.session_id,
        "user_id": run.user_id,
        "run_id": run.run_id,
        "message": run.input,
    }
    names = "|".join(values)
    target = Path(re.sub(rf"\{{({names})\}}", lambda found: _file_name(values[found[1]]), path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(run.get_content_as_string(), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"cannot write the answer to {str(target)!r}: {error.strerror or error}; correct save_response_to_file, "
            "and read the answer in `error.run_output.content`"
        ) from error


def _file_name(value: str | None) -> str:
    """Return a value as a part of a file name."""
    return re.sub(r"[^\w-]+", "_", value or "")[:100] or "none"
