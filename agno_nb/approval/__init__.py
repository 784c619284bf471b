"""agno's path of ``@approval``, which agno_nb does not have: a second store for requests of approval."""

from __future__ import annotations

from typing import NoReturn

from agno_nb._agno_parts import explain_missing_names
from agno_nb.errors import InvalidInputError

explain_missing_names(__name__)


def approval(*_: object, **__: object) -> NoReturn:
    """Raise an error that names the nearest thing: pauses are in the store with their runs.

    Raises
    ------
    InvalidInputError
    """
    raise InvalidInputError(
        "agno_nb has no table of approvals and no @approval; use @tool(requires_confirmation=True): the paused run is "
        "in the store, `runs_df()` lists it with the status PAUSED, any process continues it with "
        "continue_run(run_id=...), and `tool_calls_df()` has each decision with its reason and who made it"
    )
