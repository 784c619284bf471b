"""``%agent`` where people are asked: what waits, its answers, a turn again, a turn that was cut off."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Unpack, cast

from IPython.core.error import StdinNotImplementedError

from agno_nb.db.async_db import as_sync
from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.approvals import answer_command
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.notebook import Notebook, bind_store
from agno_nb.notebook.tables import show_facts, show_questions
from agno_nb.printing import RunDisplay, choose_display, drive
from agno_nb.redact import displayable
from agno_nb.run.continue_run import is_waiting
from agno_nb.run.entrypoints import RunStream
from agno_nb.run.options import ContinueOptions, RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.types import Requirement, RunOutput

_AN_ID = re.compile(r"(?=.*[0-9])[0-9a-f]{6}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""An id of a requirement, whole or as it is shown. A word such as "facade" is not one."""

NO_PROMPT_MESSAGE = (
    "This front end cannot ask in the middle of a cell, so the run stays paused: answer by the commands above."
)


def show_pending(notebook: Notebook, words: list[str]) -> None:
    """``pending``: list what paused runs of this store and user wait for."""
    waiting = [requirement for _, run in _pending_runs(notebook) for requirement in run.active_requirements]
    if not waiting:
        show_facts({"pending": "nothing waits for you"})
        return
    show_questions(waiting)


def approve_pending(notebook: Notebook, words: list[str]) -> None:
    """``approve [ID] [NOTE]``: allow what a paused run asks for, and go on with it."""
    db, run, requirement, rest = _select_requirement(notebook, words)
    if requirement.kind != "confirmation":
        needed = "values" if requirement.kind == "user_input" else "the result of the call"
        raise InvalidInputError(
            f"{requirement.tool.tool_name} needs {needed}, not an approval; use `{answer_command(requirement)}`"
        )
    requirement.confirm(" ".join(rest) or None)
    _continue_or_save(notebook, db, run)


def reject_pending(notebook: Notebook, words: list[str]) -> None:
    """``reject [ID] [NOTE]``: refuse what a paused run asks for, tell the model why, and go on."""
    db, run, requirement, rest = _select_requirement(notebook, words)
    requirement.reject(" ".join(rest) or None)
    _continue_or_save(notebook, db, run)


def answer_pending(notebook: Notebook, words: list[str]) -> None:
    """``answer [ID] NAME=VALUE … or RESULT``: give values that a paused run asks for, or what came of a call."""
    db, run, requirement, rest = _select_requirement(notebook, words, has_answer=True)
    if requirement.kind == "user_input":
        requirement.provide_user_input(_parse_values(requirement, rest))
    else:
        if not rest:
            raise InvalidInputError(f"say what came of it: `%agent answer {requirement.short_id} RESULT`")
        requirement.set_external_execution_result(" ".join(rest))
    _continue_or_save(notebook, db, run)


def retry_last(notebook: Notebook, words: list[str]) -> None:
    """``retry``: run the last turn of the session again, as a new attempt."""
    _regenerate(notebook, from_partial=False)


def continue_last(notebook: Notebook, words: list[str]) -> None:
    """``continue``: go on where the last run was interrupted, with what it had said and done."""
    session_id = notebook.current_session_id()
    for _, run in _pending_runs(notebook):
        if run.interrupted and run.session_id == session_id:
            if run.active_requirements:
                show_questions(run.active_requirements)
            else:
                _continue_run(notebook, _find_runnable(notebook, run), run)
            return
    _regenerate(notebook, from_partial=True)


def show_approval_widget(runnable: Runnable, run: RunOutput, display: RunDisplay) -> None:
    """Put the panel of a paused run into the output that shows it, where there is one."""
    if run.is_paused and isinstance(display, LiveAnswer):
        from agno_nb.widgets.approvals import show_approval

        show_approval(runnable, run, display.display_id)


def ask_at_prompt(
    notebook: Notebook,
    runnable: Runnable,
    run: RunOutput,
    options: RunOptions,
    read: Callable[[str], str] = input,
) -> RunOutput:
    """Ask whoever sits at the keyboard for all that a run needs, as often as it pauses; return it when it has ended.

    It goes on by the agent, and with the options, that it was begun with. Where the front end cannot ask, the run stays
    paused, and a sentence says how to go on.
    """
    continue_options = {name: value for name, value in options.items() if name in ContinueOptions.__annotations__}
    while run.is_paused:
        try:
            for requirement in run.active_requirements:
                _prompt_for(requirement, read)
        except StdinNotImplementedError:
            print(NO_PROMPT_MESSAGE)
            return run
        except KeyboardInterrupt:
            # The answers that were typed before it are not asked for again.
            runnable.store.save_approvals(run)
            raise
        run = _continue_run(notebook, runnable, run, has_widget=False, **cast("ContinueOptions", continue_options))
    return run


def _prompt_for(requirement: Requirement, read: Callable[[str], str]) -> None:
    print(displayable(requirement.question))
    if requirement.kind == "confirmation":
        reply = read("Allow it? [y, or why not] ").strip()
        if reply.lower() in ("y", "yes"):
            requirement.confirm()
        else:
            requirement.reject(None if reply.lower() in ("", "n", "no") else reply)
    elif requirement.kind == "external_execution":
        requirement.set_external_execution_result(read("What came of it? "))
    else:
        for each in requirement.user_input_fields:
            while not each.is_given:
                try:
                    each.set_value(read(f"{each.name}: "))
                except InvalidInputError as error:
                    print(error)


def _stores(notebook: Notebook) -> list[Db]:
    """Return the notebook's store, and those of the user's own agents."""
    stores = [notebook.db, *(as_sync(runnable.db) for runnable in notebook.runnables())]
    return list({store.identity: store for store in stores if store is not None}.values())


def _pending_runs(notebook: Notebook) -> list[tuple[Db, RunOutput]]:
    user_id = notebook.current_user_id
    pending = []
    for store in _stores(notebook):
        frame = store.runs_df(status=["PAUSED", "RUNNING"])
        # A nested run waits as a part of the run around it; one with a newer attempt waits for nothing any more.
        of_user = frame["user_id"].isna() if user_id is None else frame["user_id"] == user_id
        is_waiting_status = (frame["status"] == "PAUSED") | frame["interrupted"]
        frame = frame[of_user & is_waiting_status & frame["parent_run_id"].isna() & frame["superseded_by"].isna()]
        runs = [store.get_run(*ids) for ids in frame[["run_id", "session_id"]].itertuples(index=False, name=None)]
        pending += [(store, run) for run in runs if run is not None and is_waiting(run)]
    for _, run in pending:
        _ask_again(run)
    return pending


def _ask_again(run: RunOutput) -> None:
    """Withdraw the approval of calls that a process started before it died: they may run a second time."""
    if run.interrupted:
        for requirement in run.requirements:
            if requirement.was_started:
                requirement.ask_again()


def _select_requirement(
    notebook: Notebook, words: list[str], *, has_answer: bool = False
) -> tuple[Db, RunOutput, Requirement, list[str]]:
    """Return the requirement that the first word names, or the only one there is, its run, and the other words.

    With `has_answer` the words hold an answer, so that a single one is not an id.
    """
    pending = [(db, run, one) for db, run in _pending_runs(notebook) for one in run.active_requirements]
    if not pending:
        raise InvalidInputError("nothing waits for you in this store")
    matches = [each for each in pending if words and _matches_id(each[2], words[0])]
    if len(matches) == 1:
        return (*matches[0], words[1:])
    ids = ", ".join(requirement.short_id for _, _, requirement in pending)
    if not matches and _AN_ID.fullmatch(" ".join(words[: 1 if len(words) > has_answer else 0])):
        # A cell that is run again must not answer the next thing that waits.
        raise InvalidInputError(f"nothing waits for you as {words[0]!r}; what waits is {ids}")
    if len(pending) == 1:
        return (*pending[0], words)
    unknown = f"no pending call has the ID {words[0]!r}; " if words and not matches else ""
    raise InvalidInputError(
        f"{unknown}several things wait for you, so say which: {ids}. `%agent pending` shows what they are"
    )


def _matches_id(requirement: Requirement, word: str) -> bool:
    return len(word) >= 4 and requirement.requirement_id.endswith(word.lower())


def _parse_values(requirement: Requirement, words: list[str]) -> dict[str, str]:
    """Read NAME=VALUE pairs. A value goes on until the next name, so that text needs no quotes."""
    fields = {each.name: each for each in requirement.user_input_fields}
    texts: dict[str, str] = {}
    last = None
    for word in words:
        name, equals, text = word.partition("=")
        if equals and (name in fields or last is None):
            last, texts[name] = name, text
        elif last is None:
            raise InvalidInputError(f"{word!r} is not NAME=VALUE. {requirement.question}")
        else:
            texts[last] += f" {word}"
    return {name: _unquoted(text) for name, text in texts.items()}


def _unquoted(text: str) -> str:
    """Remove the quotes around a value. A JSON string keeps them: the field parses it."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    try:
        json.loads(text)
    except ValueError:
        return text[1:-1]
    return text


def _continue_or_save(notebook: Notebook, db: Db, run: RunOutput) -> None:
    """Continue a run whose requirements are all resolved, and show it; else keep the answers, and say what is left."""
    if run.active_requirements:
        db.save_approvals(run)
    # The last answer may have been stored by somebody else, who was waiting for this one.
    if run.active_requirements:
        show_questions(run.active_requirements)
    else:
        _continue_run(notebook, _find_runnable(notebook, run), run)


def _continue_run(
    notebook: Notebook,
    runnable: Runnable,
    run: RunOutput,
    *,
    has_widget: bool = True,
    **options: Unpack[ContinueOptions],
) -> RunOutput:
    # By its ids: an agent that was made again since then finds the conversation in the store.
    events = runnable.continue_run(
        run_id=run.run_id,
        session_id=run.session_id,
        requirements=run.requirements,
        user_id=run.user_id,
        stream=True,
        stream_events=True,
        **options,
    )
    return _show_run(notebook, runnable, events, has_widget=has_widget)


def _regenerate(notebook: Notebook, *, from_partial: bool) -> None:
    options = notebook.options(session_id=None, user_id=None)
    session_id = options.get("session_id") or notebook.current_session_id()
    events = notebook.runnable.regenerate(
        session_id=session_id,
        user_id=options.get("user_id"),
        from_partial=from_partial,
        stream=True,
        stream_events=True,
    )
    _show_run(notebook, notebook.runnable, events)


def _show_run(notebook: Notebook, runnable: Runnable, events: RunStream, *, has_widget: bool = True) -> RunOutput:
    display = choose_display(None, live=True)
    run = drive(events, display)
    notebook.namespace["_agent"] = run
    if has_widget:
        show_approval_widget(runnable, run, display)
    return run


def _find_runnable(notebook: Notebook, run: RunOutput) -> Runnable:
    """Find who asked: the notebook's agent, or one of the user's."""
    runnable = notebook.runnable_of(run.kind, run.component_id)
    if runnable is None:
        raise InvalidInputError(
            f"run {run.run_id!r} is of {run.kind} {run.component_id!r}, and this notebook has none of that name; "
            "make it again, and then answer"
        )
    return bind_store(runnable, notebook.db)


COMMANDS: dict[str, Callable[[Notebook, list[str]], None]] = {
    "pending": show_pending,
    "approve": approve_pending,
    "reject": reject_pending,
    "answer": answer_pending,
    "retry": retry_last,
    "continue": continue_last,
}
