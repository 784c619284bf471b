"""Session state: how runs change it, and how a new attempt at a turn reverts changes.

Each run stores its changes value by value, as a list of ``{"path": ["a", "b"], "before": 1, "after": 2}``. A path goes
through dicts. "before" is missing if the value was added, "after" if it was removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any

from agno_nb.db.encoding import Row, from_json, is_interrupt, micros, to_json
from agno_nb.db.statements import Transaction
from agno_nb.redact import warn
from agno_nb.types import JsonDict, RunOutput, Session

_MAX_COPY_ATTEMPTS = 1000
_MISSING = object()
"""Not equal to any value of a state."""


def changes(before: JsonDict, after: JsonDict) -> list[JsonDict]:
    """Return the changes that turn `before`, which was read from JSON, into `after`.

    If `after` cannot be written as JSON, there are none: the store then rejects it with an error.

    Examples
    --------
    >>> changes({"n": 1, "deep": {"x": 5}}, {"n": 2, "deep": {}})
    [{'path': ['n'], 'before': 1, 'after': 2}, {'path': ['deep', 'x'], 'before': 5}]
    """
    try:
        # A copy as it will be read: tuples become lists, and numbers that are keys become strings.
        return list(_changes(before, json.loads(json.dumps(after)), ()))
    except BaseException as error:
        if is_interrupt(error):
            raise
        return []


def _changes(before: JsonDict, after: JsonDict, above: Sequence[str]) -> Iterable[JsonDict]:
    for key in [*before, *(key for key in after if key not in before)]:
        was, is_now, path = before.get(key, _MISSING), after.get(key, _MISSING), [*above, key]
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from _changes(was, is_now, path)
        elif was != is_now:
            sides = {"before": was, "after": is_now}
            yield {"path": path, **{name: value for name, value in sides.items() if value is not _MISSING}}


def copy_state(state: JsonDict) -> JsonDict:
    """Return a copy of a state that other threads may be changing.

    If it cannot be copied, return it unchanged; the store then reports the value that cannot be stored.
    """
    for _ in range(_MAX_COPY_ATTEMPTS):
        try:
            return deepcopy(dict(state))
        except RecursionError:
            break
        except RuntimeError:  # Another thread has just added a key.
            continue
        except BaseException as error:  # A lock or a generator; and a `__deepcopy__` may raise anything.
            if is_interrupt(error):
                raise
            break
    return state


def revert(state: JsonDict, state_changes: Sequence[JsonDict]) -> JsonDict:
    """Return `state` with changes undone. Values that have been changed since then stay.

    Examples
    --------
    >>> made = changes({"n": 1, "m": 1}, {"n": 2, "m": 2})
    >>> revert({"n": 2, "m": 7}, made)
    {'n': 1, 'm': 7}
    """
    return _apply(state, state_changes[::-1], was="after", becomes="before")


def reapply(state: JsonDict, state_changes: Sequence[JsonDict]) -> JsonDict:
    """Return `state` with changes made again, apart from values that have been changed since then."""
    return _apply(state, state_changes, was="before", becomes="after")


def _apply(state: JsonDict, state_changes: Sequence[JsonDict], *, was: str, becomes: str) -> JsonDict:
    state = deepcopy(state) if state_changes else state
    for change in state_changes:
        *above, key = change["path"]
        place = _value_at(state, above)
        if isinstance(place, dict) and place.get(key, _MISSING) == change.get(was, _MISSING):
            _put(place, key, change.get(becomes, _MISSING))
    return state


def _value_at(state: JsonDict, path: Iterable[str]) -> Any:
    value: Any = state
    for name in path:
        value = value.get(name, _MISSING) if isinstance(value, dict) else _MISSING
    return value


def force_apply(state: JsonDict, state_changes: Iterable[JsonDict]) -> None:
    """Make changes to `state` in place, whatever its values are."""
    for change in state_changes:
        *above, key = change["path"]
        place = state
        for name in above:
            if not isinstance(place.get(name), dict):
                place[name] = {}
            place = place[name]
        _put(place, key, change.get("after", _MISSING))


def _put(place: JsonDict, key: str, value: Any) -> None:
    if value is _MISSING:
        place.pop(key, None)
    else:
        place[key] = deepcopy(value)


def merge_changes(now: JsonDict, before: JsonDict, after: JsonDict) -> JsonDict:
    """Return `now` with the changes from `before` to `after`. Dicts are merged by key, other values replaced.

    A dict that is no longer one in `now` is also replaced as a whole, so that no part of it is missing.

    Examples
    --------
    >>> merge_changes({"a": 1, "b": {"x": 5}}, {"b": {}, "c": 1}, {"b": {"y": 6}})
    {'a': 1, 'b': {'x': 5, 'y': 6}}
    """
    merged = {name: value for name, value in now.items() if name in after or name not in before}
    for name, value in after.items():
        there, was = now.get(name), before.get(name)
        if name in before and was == value:
            continue
        if isinstance(there, dict) and isinstance(was, dict) and isinstance(value, dict):
            value = merge_changes(there, was, value)
        merged[name] = value
    return merged


def store_state(
    connection: Transaction,
    session_id: str,
    session_state: JsonDict | None,
    base_state: JsonDict | None,
    *,
    gone: Exception | None,
) -> Row:
    """Store a session's state, and keep the changes that others have made to it since it was `base_state`.

    Return the changed columns of the session. If there is no such session, raise `gone`.
    """
    key = {"session_id": session_id}
    # In DuckDB, a RETURNING takes longer than a second statement.
    changed = connection.update("raw_sessions", {"updated_at": connection.now()}, key, gone=gone)
    if session_state is not None and (base_state is None or differs(session_state, base_state)):
        # As it will be read. This rejects arrays and other values that cannot be compared.
        state = from_json(to_json(session_state, "session_state"))
        if base_state is not None:
            sql = "SELECT session_state FROM raw_sessions WHERE session_id = ?"
            ((stored,),) = connection.execute(sql, [session_id])
            there = from_json(stored)
            if there != base_state:
                _warn_of_lost_updates(session_id, there, _changes(base_state, state, ()))
            state = merge_changes(there, base_state, state)
        changed |= connection.update("raw_sessions", {"session_state": state}, key)
    return changed


def differs(state: JsonDict, base_state: JsonDict) -> bool:
    """Whether a state has changed. If that cannot be determined, it has."""
    try:
        return bool(state != base_state)
    except Exception:  # An array, for example, or deeply nested values.
        return True


def _warn_of_lost_updates(session_id: str, now: JsonDict, state_changes: Iterable[JsonDict]) -> None:
    """Warn of values that another process has changed and that are now replaced."""
    for change in state_changes:
        there = _value_at(now, change["path"])
        if there != change.get("before", _MISSING) and there != change.get("after", _MISSING):
            name = "".join(f"[{key!r}]" for key in change["path"])
            warn(
                f"session_state{name} of session {session_id!r} was also changed by another process; the value of this "
                "run was kept"
            )


def revert_to_turn(connection: Transaction, session: Session, run: RunOutput, partial_of: str | None) -> None:
    """Revert the state of a session for a new attempt at a turn.

    The changes of that turn and of later ones are undone. The attempt `partial_of`, whose messages the run
    continues, is an exception: its changes are kept and become changes of the run itself.
    """
    assert run.run_index is not None
    before = after = state_before_later_turns(connection, session.session_id, run.run_index - 1, session.session_state)
    if partial_of is not None:
        after = reapply(before, _changes_of(connection, session.session_id, partial_of)[0])
    run.state_changes = changes(before, after)
    _replace(connection, session, after)


def reapply_run(connection: Transaction, session: Session, run: RunOutput) -> None:
    """Make the changes of a continued run again if a new attempt at an earlier turn has reverted them."""
    assert run.run_index is not None
    if _is_stale(connection, run.session_id, run.run_index, since=micros(run.ended_at or run.created_at)):
        _replace(connection, session, reapply(session.session_state, run.state_changes))


def state_before_later_turns(connection: Transaction, session_id: str, run_index: int, state: JsonDict) -> JsonDict:
    """Return the state of a session without the changes of the turns after one."""
    rows = connection.execute(
        "SELECT state_changes FROM raw_runs AS done WHERE session_id = ? AND run_index > ? "
        # Changes that a new attempt at that turn, or at an earlier one, has already reverted are left out.
        "AND state_changes IS NOT NULL AND NOT EXISTS (SELECT 1 FROM raw_runs AS again "
        "WHERE again.session_id = done.session_id AND again.run_id <> done.run_id AND again.attempt > 0 "
        "AND again.run_index <= done.run_index AND again.created_at >= COALESCE(done.ended_at, done.created_at)) "
        "ORDER BY COALESCE(ended_at, created_at) DESC",
        [session_id, run_index],
    )
    for (text,) in rows:
        state = revert(state, from_json(text))
    return state


def state_after_run(connection: Transaction, session_id: str, run_index: int, run_id: str, state: JsonDict) -> JsonDict:
    """Return the state of a session after an attempt at a turn. A stale attempt has no effect on it."""
    before = state_before_later_turns(connection, session_id, run_index - 1, state)
    made, ended_at = _changes_of(connection, session_id, run_id)
    return before if _is_stale(connection, session_id, run_index, since=ended_at) else reapply(before, made)


def _changes_of(connection: Transaction, session_id: str, run_id: str) -> tuple[list[JsonDict], int]:
    """Return the changes of a run, and its end in microseconds."""
    sql = "SELECT state_changes, COALESCE(ended_at, created_at) FROM raw_runs WHERE session_id = ? AND run_id = ?"
    ((text, ended_at),) = connection.execute(sql, [session_id, run_id])
    return from_json(text) or [], ended_at


def _is_stale(connection: Transaction, session_id: str, run_index: int, *, since: int) -> bool:
    """Whether an earlier turn was rerun at `since` (microseconds) or later."""
    sql = "SELECT 1 FROM raw_runs WHERE session_id = ? AND attempt > 0 AND run_index < ? AND created_at >= ? LIMIT 1"
    return bool(connection.execute(sql, [session_id, run_index, since]))


def _replace(connection: Transaction, session: Session, state: JsonDict) -> None:
    if state != session.session_state:
        connection.update("raw_sessions", {"session_state": state}, {"session_id": session.session_id})
        session.session_state = state


def merge_state(*layers: JsonDict | None) -> JsonDict:
    """Return a deep merge of dicts. Values of later dicts replace earlier values, unless both are dicts."""
    merged: JsonDict = {}
    for layer in layers:
        for key, value in (layer or {}).items():
            below = merged.get(key)
            both = isinstance(below, dict) and isinstance(value, dict)
            merged[key] = merge_state(below, value) if both else deepcopy(value)
    return merged
