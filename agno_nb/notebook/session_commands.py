"""The commands of ``%agent`` that are about sessions: list, change, name, delete, read and copy them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.error import StdinNotImplementedError
from IPython.display import display

from agno_nb.agent.summaries_and_memories import SummariesAndMemories
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.notebook.context_report import counted_tokens, report_bundle, report_with_texts
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.tables import ColumnKind, one_line, show_facts, show_note, show_table
from agno_nb.redact import displayable
from agno_nb.types import RunOutput, RunStatus, Session

Command = Callable[[Notebook, list[str]], None]

NUM_SESSIONS = 20
NUM_TURNS = 10
"""Turns that `history` shows where it is not told how many."""
TITLE_WIDTH = 60
"""Characters of a session's name, or of its first prompt, that are shown in a list."""

_SESSION_COLUMNS: dict[str, ColumnKind] = {
    "": "word",
    "session": "text",
    "agent": "word",
    "user": "word",
    "runs": "number",
    "tokens": "number",
    "last used": "word",
    "id": "text",
}
_SESSIONS_NOTE = "• is the current one. `%agent resume ID` goes on with another; `sessions_df()` has them all."
_RUN_COLUMNS: dict[str, ColumnKind] = {
    "turn": "number",
    "attempt": "number",
    "": "word",
    "asked": "text",
    "answer": "text",
    "tokens": "number",
    "cell": "word",
    "id": "text",
}


def _sessions(notebook: Notebook, words: list[str]) -> None:
    """``sessions``: list the latest sessions of the store."""
    frame = notebook.db.sessions_df(user_id=notebook.current_user_id, limit=NUM_SESSIONS)
    frame = frame.sort_values("updated_at", ascending=False)
    if frame.empty:
        show_facts({"sessions": "none yet; the first `%%agent` cell begins one"})
        return
    current = notebook.current_session_id()
    rows = [
        (
            "•" if session["session_id"] == current else "",
            _title(session["session_name"] or session["first_input"] or ""),
            session["component_name"] or session["component_id"] or "",
            session["user_id"] or "",
            f"{session['num_runs']:,}",
            "" if session["total_tokens"] is None else f"{session['total_tokens']:,}",
            f"{session['updated_at'].to_pydatetime().astimezone():%Y-%m-%d %H:%M}",
            session["session_id"],
        )
        for session in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    show_table(_SESSION_COLUMNS, rows, note=_SESSIONS_NOTE)


def _title(text: str) -> str:
    return one_line(text, TITLE_WIDTH)


def _new(notebook: Notebook, words: list[str]) -> None:
    """``new``: begin a new session with the next run."""
    notebook.start_new_session()


def _resume(notebook: Notebook, words: list[str]) -> None:
    """``resume [SESSION]``: go on with a session, by its name or a part of its id; else with this notebook's last."""
    if words:
        session = find_session(notebook, " ".join(words))
    else:
        if notebook.path is None:
            raise SessionNotFoundError(
                "the front end does not report the name of this notebook, so its last session is not known; "
                "`%agent sessions` lists all, and `%agent resume SESSION` continues one"
            )
        last = notebook.last_session_id()
        if last is None:
            raise SessionNotFoundError("this notebook has no earlier session in the store; `%agent sessions` lists all")
        session = find_session(notebook, last)
    if session.user_id not in (None, notebook.current_user_id):
        notebook.use_user(session.user_id)
    notebook.use_session(session.session_id)
    turns = len({run.run_index for run in session.runs if run.run_index is not None})
    of_user = f" of {session.user_id}" if session.user_id else ""
    show_note(f"going on with {_session_name(session)}{of_user}: {turns} turn{'' if turns == 1 else 's'} so far")


def _rename(notebook: Notebook, words: list[str]) -> None:
    """``rename [NAME]``: name the session; without a name, show the one that it has."""
    session = _current(notebook)
    if words:
        notebook.db.rename_session(session.session_id, session_name=" ".join(words))
    else:
        show_facts({"session": session.session_name or "has no name yet"})


def _delete(notebook: Notebook, words: list[str]) -> None:
    """``delete [SESSION] [--yes]``: delete a session with all its rows, the current one where none is named."""
    names = [word for word in words if word != "--yes"]
    session = find_session(notebook, " ".join(names)) if names else _current(notebook)
    if "--yes" not in words and not _confirm(f"Delete {_session_name(session)} with {len(session.runs)} runs? [y/N] "):
        show_note("nothing was deleted")
        return
    is_current = session.session_id == notebook.current_session_id()
    notebook.db.delete_session(session.session_id)
    if is_current:
        notebook.start_new_session()


def _confirm(question: str) -> bool:
    try:
        return input(displayable(question)).strip().lower() in ("y", "yes")
    except (StdinNotImplementedError, EOFError):
        raise InvalidInputError("nobody can be asked here whether to delete it: say so by --yes") from None


def _history(notebook: Notebook, words: list[str]) -> None:
    """``history [N]``: show what was said in the session, the latest N turns (10)."""
    count = _whole_number(words, "history", NUM_TURNS)
    turns = _turns(_current(notebook))
    shown = turns[len(turns) - min(count, len(turns)) :]
    rows = [(str(run.run_index), who, text) for run in shown for who, text in _last_text(run)]
    more = len(turns) - len(shown)
    note = f"{more} earlier turns are not shown; `messages_df()` has all" if more else "`messages_df()` has all of it"
    show_table({"turn": "number", "who": "word", "said": "lines"}, rows, note=note)


def _last_text(run: RunOutput) -> list[tuple[str, str]]:
    answer = run.get_content_as_string()
    calls = [("tool", f"{call.tool_name}({call.arguments}) → {_title(call.result or '')}") for call in run.tools]
    status = "interrupted" if run.interrupted else run.status.lower()
    state = "" if run.status is RunStatus.COMPLETED else f"({status})"
    return [("user", run.input), *calls, ("answer", " ".join(filter(None, (answer, state))))]


def _summary(notebook: Notebook, words: list[str]) -> None:
    """``summary``: show the session's summary; `%agent --summaries` has one kept."""
    runnable = notebook.runnable
    session = _current(notebook)
    settled = isinstance(runnable, SummariesAndMemories) and runnable.db is notebook.db
    if settled:
        user_id = notebook.current_user_id
        summary = runnable.get_session_summary(session.session_id, user_id=user_id)  # type: ignore[attr-defined]
    else:
        summary = session.summary
    if summary is None:
        show_note("the session has no summary; `%agent --summaries` keeps one from the next run on")
        return
    covers = f"turns {summary.from_run_index} to {summary.to_run_index}"
    show_facts({"summary": summary.summary, "topics": ", ".join(summary.topics) or "none", "covers": covers})


def _context(notebook: Notebook, words: list[str]) -> None:
    """``context [TURN or RUN]``: show what the model was sent, part by part, and what was left out and why."""
    run = _run(notebook, words)
    if run is None:
        raise InvalidInputError("nothing was asked in this session yet; ask in a `%%agent` cell first")
    receipt = report_with_texts(run, notebook.db)
    display(report_bundle(receipt, counted=counted_tokens(run)), raw=True)


def _run(notebook: Notebook, words: list[str]) -> RunOutput | None:
    if not words:
        latest = notebook.namespace.get("_agent")
        if isinstance(latest, RunOutput) and latest.context_report is not None:
            return latest
        turns = _turns(_current(notebook))
        return turns[-1] if turns else None
    if not words[0].isdecimal():
        notebook.db.check_owner(notebook.current_user_id, run_id=words[0])
        run_by_id = notebook.db.get_run(words[0])
        if run_by_id is None:
            raise InvalidInputError(f"there is no run {words[0]!r} in the store; `%agent runs` lists the session's")
        return run_by_id
    for run in _turns(_current(notebook)):
        if run.run_index == int(words[0]):
            return run
    raise InvalidInputError(f"the session has no turn {words[0]}; `%agent runs` lists those it has")


def _fork(notebook: Notebook, words: list[str]) -> None:
    """``fork [TURN]``: copy the session, up to and with a turn, and go on in the copy."""
    session = _current(notebook)
    turn = _whole_number(words, "fork", None) if words else None
    fork = notebook.db.fork_session(session.session_id, to_run_index=turn)
    assert fork is not None
    notebook.use_session(fork.session_id)
    show_note(f"in a copy of {_session_name(session)} now; `%agent resume {session.session_id}` goes back")


def _runs(notebook: Notebook, words: list[str]) -> None:
    """``runs``: list the runs of the session, every attempt at each turn."""
    session = _current(notebook)
    frame = notebook.db.runs_df(session_id=session.session_id).sort_values(["run_index", "attempt"])
    rows = [
        (
            "" if run["run_index"] is None else str(run["run_index"]),
            str(run["attempt"] + 1),
            _state(run),
            _title(run["input"]),
            _title(run["content"] or run["error"] or ""),
            "" if run["total_tokens"] is None else f"{run['total_tokens']:,}",
            # VS Code's begin with the notebook's path.
            (run["cell_id"] or "").rpartition("#")[2][:8],
            run["run_id"],
        )
        for run in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
    show_table(_RUN_COLUMNS, rows, note="`runs_df()` has more of each; `%agent context TURN` says what the model saw.")


def _state(run: dict[Any, Any]) -> str:
    if run["superseded_by"] is not None:
        return "superseded"
    status = "" if run["status"] == RunStatus.COMPLETED else str(run["status"]).lower()
    marks = (status, "stale" if run["stale"] else "", "replayed" if run["replay_of_run_id"] else "")
    return ", ".join(filter(None, marks))


def _whole_number(words: list[str], command: str, default: Any) -> Any:
    if not words:
        return default
    if len(words) > 1 or not words[0].isdecimal():
        raise InvalidInputError(f"`%agent {command}` takes one whole number, not {' '.join(words)!r}")
    return int(words[0])


def _turns(session: Session) -> list[RunOutput]:
    """Return the current attempt at each turn, oldest first."""
    current = {run.run_index: run for run in sorted(session.runs, key=lambda run: run.attempt)}
    current.pop(None, None)
    return [run for _, run in sorted(current.items(), key=lambda item: item[0] or 0)]


def _current(notebook: Notebook) -> Session:
    session = session_of_id(notebook, notebook.current_session_id())
    if session is None:
        raise SessionNotFoundError("nothing was said in this session yet; the next `%%agent` cell begins it")
    return session


def session_of_id(notebook: Notebook, session_id: str) -> Session | None:
    """Return a session of the store, or None.

    Raises
    ------
    SessionOwnershipError
        The session belongs to another user than the notebook's.
    """
    notebook.db.check_owner(notebook.current_user_id, session_id=session_id)
    return notebook.db.get_session(session_id)


def _session_name(session: Session) -> str:
    return f"session {session.session_name!r}" if session.session_name else f"session {session.session_id}"


def find_session(notebook: Notebook, name_or_id: str) -> Session:
    """Find a session of the store: by its id, by the beginning or end of that, or by its name.

    Raises
    ------
    SessionNotFoundError
        There is none.
    InvalidInputError
        There are several.
    SessionOwnershipError
        It belongs to another user than the notebook's.
    """
    exact = session_of_id(notebook, name_or_id)
    if exact is not None:
        return exact
    is_open, users = notebook.open_sessions()
    sql = (
        f"SELECT session_id, {is_open} FROM sessions "
        "WHERE session_name = ? OR starts_with(session_id, ?) OR ends_with(session_id, ?)"
    )
    rows = notebook.db.frame(sql, [*users, name_or_id, name_or_id, name_or_id]).to_pydict() if name_or_id else {}
    ids, opens = rows.values() if rows else ([], [])
    # Sessions of other users count only if there is none that is open to this one.
    matching_ids = [session_id for session_id, is_ours in zip(ids, opens, strict=True) if is_ours] or ids[:1]
    if len(matching_ids) > 1:
        raise InvalidInputError(
            f"{len(matching_ids)} sessions are called {name_or_id!r}; give the id: {', '.join(matching_ids[:5])}"
        )
    session = session_of_id(notebook, matching_ids[0]) if matching_ids else None
    if session is None:
        raise SessionNotFoundError(
            f"there is no session {name_or_id!r} in the store; `%agent sessions` lists the latest"
        )
    return session


SESSION_COMMANDS: dict[str, Command] = {
    "sessions": _sessions,
    "new": _new,
    "resume": _resume,
    "rename": _rename,
    "delete": _delete,
    "history": _history,
    "summary": _summary,
    "context": _context,
    "fork": _fork,
    "runs": _runs,
}
