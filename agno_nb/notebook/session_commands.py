"""The commands of ``%agent`` that list, read, change, copy and delete sessions."""

from __future__ import annotations

from typing import Any

from IPython.core.error import StdinNotImplementedError
from IPython.display import display

from agno_nb.agent.summaries_and_memories import SummariesAndMemories
from agno_nb.db import queries
from agno_nb.errors import InvalidInputError, NoFileLocksError, SessionNotFoundError, StoreError
from agno_nb.notebook.displays import (
    ColumnKind,
    report_bundle,
    report_with_texts,
    show_facts,
    show_note,
    show_table,
)
from agno_nb.notebook.markdown import plain_title
from agno_nb.notebook.notebook import Notebook
from agno_nb.redact import displayable
from agno_nb.run_view import status_word
from agno_nb.types import RunOutput, RunStatus, Session, counted, current_attempts, one_line

NUM_SESSIONS = 20
NUM_TURNS = 10
"""Default number of turns that `history` shows."""
TITLE_LIMIT = 60
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
_RUN_COLUMNS: dict[str, ColumnKind] = {
    "turn": "number",
    "attempt": "number",
    "": "word",
    "prompt": "text",
    "answer": "text",
    "tokens": "number",
    "cell": "word",
    "id": "text",
}


def list_sessions(notebook: Notebook) -> None:
    frame = notebook.db.sessions_df(user_id=notebook.current_user_id, limit=NUM_SESSIONS)
    frame = frame.sort_values("updated_at", ascending=False)
    if frame.empty:
        show_facts({"sessions": "none yet; the first `%%agent` cell starts one"})
        return
    current = notebook.current_session_id()
    latest = queries.session_rows(notebook.db, frame["session_id"].tolist())
    states = {key: status_word(row["status"], interrupted=row["interrupted"]) for key, row in latest.items()}
    rows = [
        (
            "•" if session["session_id"] == current else "",
            with_state(
                _title(session["session_name"]) or plain_title(session["first_input"] or "", TITLE_LIMIT),
                states.get(session["session_id"], ""),
            ),
            session["component_name"] or session["component_id"] or "",
            session["user_id"] or "",
            _number(session["num_runs"]),
            _number(session["total_tokens"]),
            f"{session['updated_at'].to_pydatetime().astimezone():%Y-%m-%d %H:%M}",
            session["session_id"],
        )
        for session in _records(frame)
    ]
    resuming = "`%agent resume ID` resumes another; `sessions_df()` has all of them."
    is_listed = any(row[0] for row in rows)
    mark = "• is the current one." if is_listed else f"The current one, {current}, is not among these."
    show_table(_SESSION_COLUMNS, rows, note=f"{mark} {resuming}")


def with_state(title: str, state: str) -> str:
    """Return the title of a session with the state of its latest turn, if that did not complete."""
    return f"{title} ({state})" if state else title


def resume(notebook: Notebook, words: list[str]) -> None:
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
    turns = len(current_attempts(session.runs))
    of_user = f" of {session.user_id}" if session.user_id else ""
    show_note(f"resumed {_session_name(session)}{of_user}: {counted(turns, 'turn')} so far")


def show_previous_session(notebook: Notebook) -> None:
    """Show how to resume the notebook's last session, if there is one."""
    try:
        last = notebook.last_session_id()
    except NoFileLocksError as error:
        show_note(str(error))
        return
    except StoreError:
        return  # The first run will report what is wrong with the store.
    if last is not None:
        show_note("new session; `%agent resume` resumes this notebook's last one")


def rename(notebook: Notebook, words: list[str]) -> None:
    session = _current_session(notebook)
    if words:
        notebook.db.rename_session(session.session_id, session_name=" ".join(words))
        show_note(f"the session is now named {' '.join(words)}")
    else:
        show_facts({"session": session.session_name or "has no name yet"})


def delete(notebook: Notebook, words: list[str], yes: bool) -> None:
    session = find_session(notebook, " ".join(words)) if words else _current_session(notebook)
    if not yes and not _confirm(f"Delete {_session_name(session)} with {counted(len(session.runs), 'run')}? [y/N] "):
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
        raise InvalidInputError(
            "cannot prompt for confirmation in this front end; add --yes to delete the session"
        ) from None


def show_history(notebook: Notebook, count: int | None) -> None:
    turns = current_attempts(_current_session(notebook).runs)
    shown = turns[max(len(turns) - (NUM_TURNS if count is None else count), 0) :]
    rows = [(str(run.run_index), role, text) for run in shown for role, text in _messages(run)]
    earlier = len(turns) - len(shown)
    omitted = f"{counted(earlier, 'earlier turn')} not shown; `messages_df()` has all"
    note = omitted if earlier else "see also `messages_df()`"
    show_table({"turn": "number", "role": "word", "message": "lines"}, rows, note=note)


def _messages(run: RunOutput) -> list[tuple[str, str]]:
    calls = [("tool", f"{call.tool_name}({call.arguments}) → {_title(call.result)}") for call in run.tools]
    answer = run.get_content_as_string()
    if run.status is not RunStatus.COMPLETED:
        answer = f"{answer} ({status_word(run.status, interrupted=run.interrupted)})".lstrip()
    return [("user", run.input), *calls, ("assistant", answer)]


def show_summary(notebook: Notebook) -> None:
    runnable = notebook.runnable
    session = _current_session(notebook)
    summary = session.summary
    if isinstance(runnable, SummariesAndMemories) and runnable.current_db is notebook.db:
        # Waits for a summary in progress.
        user_id = notebook.current_user_id
        summary = runnable.get_session_summary(session.session_id, user_id=user_id)
    if summary is None:
        show_note("the session has no summary; `%agent --summaries` creates one with the next run")
        return
    covers = f"turns {summary.from_run_index} to {summary.to_run_index}"
    show_facts({"summary": summary.summary, "topics": ", ".join(summary.topics) or "none", "covers": covers})


def show_context(notebook: Notebook, turn_or_id: str | None) -> None:
    run = _latest_run(notebook) if turn_or_id is None else _run(notebook, turn_or_id)
    answers = (message for message in run.messages if message.role == "assistant" and not message.from_history)
    metrics = next((message.metrics for message in answers), None)
    report = report_with_texts(run, notebook.db)
    display(report_bundle(report, metrics.input_tokens if metrics else None), raw=True)


def _latest_run(notebook: Notebook) -> RunOutput:
    latest = notebook.namespace.get("_agent")
    if isinstance(latest, RunOutput) and latest.context_report is not None:
        return latest
    turns = current_attempts(_current_session(notebook).runs)
    if not turns:
        raise InvalidInputError("no messages in this session yet; send a prompt in a `%%agent` cell first")
    return turns[-1]


def _run(notebook: Notebook, turn_or_id: str) -> RunOutput:
    if not turn_or_id.isdecimal():
        notebook.db.check_owner(notebook.current_user_id, run_id=turn_or_id)
        run_by_id = notebook.db.get_run(turn_or_id)
        if run_by_id is None:
            raise InvalidInputError(f"there is no run {turn_or_id!r} in the store; `%agent runs` lists the session's")
        return run_by_id
    for run in current_attempts(_current_session(notebook).runs):
        if run.run_index == int(turn_or_id):
            return run
    raise InvalidInputError(f"the session has no turn {turn_or_id}; `%agent runs` lists its turns")


def fork(notebook: Notebook, turn: int | None) -> None:
    session = _current_session(notebook)
    copy = notebook.db.fork_session(session.session_id, to_run_index=turn)
    assert copy is not None
    notebook.use_session(copy.session_id)
    show_note(f"now in a copy of {_session_name(session)}; `%agent resume {session.session_id}` switches back")


def list_runs(notebook: Notebook) -> None:
    session = _current_session(notebook)
    frame = notebook.db.runs_df(session_id=session.session_id).sort_values(["run_index", "attempt"])
    rows = [
        (
            _number(run["run_index"]),
            str(run["attempt"] + 1),
            _state(run),
            _title(run["input"]),
            _title(run["content"] or run["error"]),
            _number(run["total_tokens"]),
            # The cell ids of VS Code start with the path of the notebook.
            (run["cell_id"] or "").rpartition("#")[2][:8],
            run["run_id"],
        )
        for run in _records(frame)
    ]
    show_table(_RUN_COLUMNS, rows, note="See also `runs_df()`; `%agent context TURN` shows the request of a turn.")


def _state(run: dict[Any, Any]) -> str:
    if run["superseded_by"] is not None:
        return "superseded"
    status = status_word(run["status"], interrupted=run["interrupted"])
    marks = (status, "stale" if run["stale"] else "", "cached" if run["replay_of_run_id"] else "")
    return ", ".join(filter(None, marks))


def _records(frame: Any) -> list[dict[Any, Any]]:
    """Return the rows of a DataFrame with None for missing values."""
    records: list[dict[Any, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return records


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _title(text: str | None) -> str:
    return one_line(text or "", TITLE_LIMIT)


def _current_session(notebook: Notebook) -> Session:
    session = session_of_id(notebook, notebook.current_session_id())
    if session is None:
        raise SessionNotFoundError("no messages in this session yet; the next `%%agent` cell starts it")
    return session


def session_of_id(notebook: Notebook, session_id: str) -> Session | None:
    """Return a session of the store, or None; raise SessionOwnershipError if it belongs to another user."""
    notebook.db.check_owner(notebook.current_user_id, session_id=session_id)
    return notebook.db.get_session(session_id)


def _session_name(session: Session) -> str:
    return f"session {session.session_name!r}" if session.session_name else f"session {session.session_id}"


def find_session(notebook: Notebook, name_or_id: str) -> Session:
    """Return a session of the user by its id, by the start or end of its id, or by its name.

    SessionNotFoundError is raised if none matches, and InvalidInputError if several match.
    """
    exact = session_of_id(notebook, name_or_id)
    if exact is not None:
        return exact
    found = queries.sessions_called(notebook.db, name_or_id, notebook.current_user_id) if name_or_id else []
    # Sessions of other users count only if the current user can open none.
    matching_ids = [session_id for session_id, is_open in found if is_open]
    matching_ids = matching_ids or [session_id for session_id, _ in found[:1]]
    if len(matching_ids) > 1:
        raise InvalidInputError(
            f"{len(matching_ids)} sessions match {name_or_id!r}; pass one of the ids {', '.join(matching_ids[:5])}"
        )
    session = session_of_id(notebook, matching_ids[0]) if matching_ids else None
    if session is None:
        raise SessionNotFoundError(
            f"there is no session {name_or_id!r} in the store; `%agent sessions` lists the latest"
        )
    return session
