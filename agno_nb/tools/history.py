"""Tools with which a model reads its conversation and earlier ones of the user, and changes the session state."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from functools import cache
from typing import Any

from agno_nb.tools.function import Tool
from agno_nb.types import RunOutput, completed_turns, shorten

PREVIEW_RUNS = 3
"""Number of first turns of each session in a list of past sessions."""
PREVIEW_CHARACTERS = 200
_FIRST_LOOK = 20


def get_chat_history(num_chats: int | None = None, run_context: Any = None) -> str:
    """Read the earlier exchanges of this conversation, oldest first.

    Parameters
    ----------
    num_chats : int
        Number of latest exchanges. Omit it for all of them.
    """
    count = None if num_chats is None else max(num_chats, 0)
    return _json([_exchange(run) for run in previous_turns(run_context, count)])


def get_tool_call_history(num_calls: int = 3, run_context: Any = None) -> str:
    """Read the tool calls of this conversation with their results, newest first.

    Parameters
    ----------
    num_calls : int
        Number of calls.
    """
    look = _FIRST_LOOK
    while True:
        turns = previous_turns(run_context, look)
        calls = [call for run in reversed(turns) for call in reversed(run.tools)]
        if len(calls) >= num_calls or len(turns) < look:
            break
        look *= 8
    return _json(
        [
            {"tool": call.tool_name, "arguments": call.tool_args or call.arguments, "result": call.result}
            for call in calls[: max(num_calls, 0)]
        ]
    )


@cache
def session_search_tools(num_sessions: int, num_preview_runs: int = PREVIEW_RUNS) -> list[Tool]:
    """Return tools that list the latest `num_sessions` sessions with their first runs, and read one of them."""

    def search_past_sessions(run_context: Any = None) -> str:
        """List the user's latest other conversations, newest first, with their first messages."""
        sessions = []
        for session in _past_sessions(run_context, num_sessions):
            turns = _first_turns(run_context, session.session_id, num_preview_runs)
            sessions.append(
                {
                    "session_id": session.session_id,
                    "session_name": session.session_name,
                    "created_at": datetime.fromtimestamp(session.created_at, UTC).isoformat(),
                    "runs": [_exchange(run, cut=PREVIEW_CHARACTERS) for run in turns],
                }
            )
        return _json(sessions)

    def read_past_session(session_id: str, num_runs: int | None = None, run_context: Any = None) -> str:
        """Read one of the user's other conversations, oldest first.

        Parameters
        ----------
        session_id : str
            From search_past_sessions.
        num_runs : int
            Number of first exchanges. Omit it for all of them.
        """
        session = run_context.db.get_session(session_id)
        if session is None or session.user_id != run_context.user_id:
            return f"The user has no conversation {session_id!r}."
        count = None if num_runs is None else max(num_runs, 0)
        return _json([_exchange(run) for run in _first_turns(run_context, session_id, count)])

    return [Tool(search_past_sessions), Tool(read_past_session)]


def update_session_state(session_state_updates: dict[str, Any], session_state: Any = None) -> str:
    """Set keys of the session's state, which is kept between turns.

    Parameters
    ----------
    session_state_updates : dict
        The keys to set, with their new values. Other keys stay as they are.
    """
    session_state.update(session_state_updates)
    return f"The session's state is now {json.dumps(session_state, ensure_ascii=False, default=str)}"


def _first_turns(context: Any, session_id: str, count: int | None) -> list[RunOutput]:
    """Return the first `count` completed turns of a session, oldest first; all if it is None."""
    if count is None:
        return completed_turns(context.db.get_runs(session_id))
    look = count
    while True:
        runs = context.db.get_runs(session_id, to_run_index=look - 1)
        turns = completed_turns(runs)
        # The numbers of turns may have gaps, where runs were deleted.
        if len(turns) >= count or not context.db.get_runs(session_id, from_run_index=look, limit=1):
            return turns[:count]
        look *= 4


def _past_sessions(context: Any, count: int) -> list[Any]:
    """Return the latest other sessions of the user; for anonymous users, sessions without an owner."""
    found: list[Any] = []
    for page in itertools.count(1):
        sessions = context.db.get_sessions(
            session_type=context.session.session_type, user_id=context.user_id, limit=count + 1, page=page
        )
        found += [
            session
            for session in sessions
            if session.session_id != context.session_id and session.user_id == context.user_id
        ]
        if len(found) >= count or len(sessions) <= count:
            break
    return found[:count]


def previous_turns(context: Any, count: int | None) -> list[RunOutput]:
    """Return the latest `count` completed turns before the current one, oldest first; all if `count` is None."""
    if context.db is None or count == 0:
        return []
    look = None if count is None else 2 * count + 2
    while True:
        runs = context.db.get_runs(context.session_id, limit=look)
        end = context.run_index
        turns = [run for run in completed_turns(runs) if end is None or run.run_index is None or run.run_index < end]
        if look is None or count is None or len(turns) >= count or len(runs) < look:
            return turns if count is None else turns[max(len(turns) - count, 0) :]
        look *= 4


def _exchange(run: RunOutput, *, cut: int | None = None) -> dict[str, str]:
    texts = {"user": run.input, "assistant": run.get_content_as_string()}
    return {who: text if cut is None else shorten(text, cut) for who, text in texts.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
