"""The tool with which a model changes the session state."""

from __future__ import annotations

import json
from typing import Any


def update_session_state(session_state_updates: dict[str, Any], session_state: Any = None) -> str:
    """Set keys of the session's state, which is kept between turns.

    Parameters
    ----------
    session_state_updates : dict
        The keys to set, with their new values. Other keys stay as they are.
    """
    session_state.update(session_state_updates)
    return f"The session's state is now {json.dumps(session_state, ensure_ascii=False, default=str)}"
