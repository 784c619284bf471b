"""The commands of ``%agent`` that resolve pending requirements, retry the last turn or continue an interrupted one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Unpack, cast

from IPython.core.error import StdinNotImplementedError

from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError, ModelError, RunInterrupted, RunNotFoundError
from agno_nb.notebook.displays import show_facts, show_note, show_questions
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.render import answer_command
from agno_nb.printing import RunDisplay, choose_display, drive
from agno_nb.redact import displayable
from agno_nb.run.continue_run import is_waiting
from agno_nb.run.entrypoints import RunStream
from agno_nb.run.options import ContinueOptions, RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.types import Requirement, RunOutput

_ID = re.compile(r"(?=.*[0-9])[0-9a-f]{6}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""An id of a requirement, in full or as displayed. A word such as "facade" is not an id."""

NO_PROMPT_MESSAGE = (
    "This front end cannot prompt for input while a cell runs, so the run stays paused; use the commands above."
)


def show_pending(notebook: Notebook) -> None:
    """Show what the paused runs of the notebook's user, and of the users of its cells, are waiting for."""
    pending = [requirement for _, run in _pending_runs(notebook) for requirement in run.active_requirements]
    if pending:
        show_questions(pending)
    else:
        show_facts({"pending": "no pending approvals"})


def approve(notebook: Notebook, words: list[str]) -> None:
    db, run, requirement, rest = _select_requirement(notebook, words)
    if requirement.kind != "confirmation":
        needed = "values" if requirement.kind == "user_input" else "the result of the call"
        raise InvalidInputError(
            f"{requirement.tool.tool_name} needs {needed}, not an approval; use `{answer_command(requirement)}`"
        )
    requirement.confirm(" ".join(rest) or None)
    requirement.resolved_by = notebook.current_user_id
    _continue_or_save(notebook, db, run)


def reject(notebook: Notebook, words: list[str]) -> None:
    db, run, requirement, rest = _select_requirement(notebook, words)
    requirement.reject(" ".join(rest) or None)
    requirement.resolved_by = notebook.current_user_id
    _continue_or_save(notebook, db, run)


def answer(notebook: Notebook, words: list[str]) -> None:
    db, run, requirement, rest = _select_requirement(notebook, words, has_answer=True)
    if requirement.kind == "user_input":
        requirement.provide_user_input(_parse_values(requirement, rest))
    elif rest:
        requirement.set_external_execution_result(" ".join(rest))
    else:
        short_id = requirement.short_id
        raise InvalidInputError(f"no result given for {short_id}; run `%agent answer {short_id} RESULT`")
    requirement.resolved_by = notebook.current_user_id
    _continue_or_save(notebook, db, run)


def retry(notebook: Notebook) -> None:
    _regenerate(notebook, from_partial=False)


def continue_last(notebook: Notebook) -> None:
    _regenerate(notebook, from_partial=True)


def show_how_to_continue(notebook: Notebook, error: BaseException) -> None:
    """Show the commands that continue or repeat an answer that was interrupted, or whose model failed after a part."""
    run = error.run_output if isinstance(error, ModelError | RunInterrupted) else None
    # The commands work on the last stored turn of the notebook.
    latest = notebook.latest and notebook.latest[1]
    if run is not None and run.content is not None and latest is not None and latest.run_id == run.run_id:
        assert notebook.latest is not None
        continues = "`%agent continue` continues the answer; " if notebook.latest[0].continues_partial else ""
        show_note(f"{continues}`%agent retry` starts it again")


def show_approval_widget(runnable: Runnable, run: RunOutput, display: RunDisplay) -> None:
    """Show the approval widget of a paused run in the output of the cell."""
    if run.is_paused and isinstance(display, LiveAnswer):
        from agno_nb.widgets.approvals import show_approval

        show_approval(runnable, run, display.display_id)


def ask_at_prompt(
    notebook: Notebook,
    runnable: Runnable,
    run: RunOutput,
    options: RunOptions,
    read: Callable[[str], str] | None = None,
) -> RunOutput:
    """Resolve all requirements of a run at the keyboard until it has ended, and return the run.

    It continues with the same agent and options. If the front end cannot prompt for input, the run stays paused.
    """
    # Looked up here, because a kernel replaces `input` while a cell is executed.
    read = read or input
    continue_options = {name: value for name, value in options.items() if name in ContinueOptions.__annotations__}
    while run.is_paused:
        try:
            for requirement in run.active_requirements:
                _prompt_for(requirement, read)
                requirement.resolved_by = notebook.current_user_id
        except StdinNotImplementedError:
            print(NO_PROMPT_MESSAGE)
            return run
        except KeyboardInterrupt:
            # Keep the answers that were typed before the interrupt.
            runnable.store.save_approvals(run)
            raise
        run, _ = _continue_run(notebook, runnable, run, **cast("ContinueOptions", continue_options))
    return run


def _prompt_for(requirement: Requirement, read: Callable[[str], str]) -> None:
    print(displayable(requirement.question))
    if requirement.kind == "confirmation":
        reply = read("Approve? [y, or the reason why not] ").strip()
        if reply.lower() in ("y", "yes"):
            requirement.confirm()
        else:
            requirement.reject(None if reply.lower() in ("", "n", "no") else reply)
    elif requirement.kind == "external_execution":
        requirement.set_external_execution_result(read("Result: "))
    else:
        for each in requirement.user_input_fields:
            while not each.is_given:
                try:
                    each.set_value(read(f"{each.name}: "))
                except InvalidInputError as error:
                    print(error)


def _pending_runs(notebook: Notebook) -> list[tuple[Db, RunOutput]]:
    """Return the paused and interrupted runs of the users in the stores of the notebook and of the user's agents."""
    user_ids = _user_ids(notebook)
    pending = []
    for store in notebook.stores():
        frame = store.runs_df(status=["PAUSED", "RUNNING"])
        # A nested run waits as part of its parent, and a superseded attempt no longer waits.
        of_users = frame["user_id"].isin(user_ids - {None}) | (frame["user_id"].isna() & (None in user_ids))
        is_pending = (frame["status"] == "PAUSED") | frame["interrupted"]
        frame = frame[of_users & is_pending & frame["parent_run_id"].isna() & frame["superseded_by"].isna()]
        runs = [store.get_run(*ids) for ids in frame[["run_id", "session_id"]].itertuples(index=False, name=None)]
        pending += [(store, run) for run in runs if run is not None and is_waiting(run)]
    for requirement in (each for _, run in pending if run.interrupted for each in run.requirements):
        # The process died after it had started the call, which may run a second time.
        if requirement.was_started:
            requirement.ask_again()
    return pending


def _user_ids(notebook: Notebook) -> set[str | None]:
    """Return the notebook's user, and the users for whom its cells have run otherwise.

    These are the user of the latest run, for example of ``%%agent -u ada``, unless another one was chosen since. If the
    notebook has no user, they are also those of its agents.
    """
    user_ids = {notebook.current_user_id}
    if notebook.latest is not None:
        user_ids.add(notebook.latest[1].user_id)
    if notebook.user_id is None:
        user_ids |= {each.user_id for each in notebook.runnables()}
    return user_ids


def _select_requirement(
    notebook: Notebook, words: list[str], *, has_answer: bool = False
) -> tuple[Db, RunOutput, Requirement, list[str]]:
    """Return the requirement named by the first word, or the only one; with its store, its run and the other words.

    With `has_answer` the words contain an answer, so a single word is not an id.
    """
    pending = [(db, run, each) for db, run in _pending_runs(notebook) for each in run.active_requirements]
    if not pending:
        raise InvalidInputError("no pending approvals in this store")
    end_of_id = words[0].lower() if words and len(words[0]) >= 4 else None
    matches = [each for each in pending if end_of_id and each[2].requirement_id.endswith(end_of_id)]
    if len(matches) == 1:
        return (*matches[0], words[1:])
    ids = ", ".join(requirement.short_id for _, _, requirement in pending)
    if not matches and _ID.fullmatch(" ".join(words[: 1 if len(words) > has_answer else 0])):
        # A cell that is run again must not resolve another requirement.
        raise InvalidInputError(f"no pending approval {words[0]!r}; pending: {ids}")
    if len(pending) == 1:
        return (*pending[0], words)
    unknown = f"no pending call has the ID {words[0]!r}; " if words and not matches else ""
    raise InvalidInputError(f"{unknown}several approvals are pending; pass one of the ids {ids} (see `%agent pending`)")


def _parse_values(requirement: Requirement, words: list[str]) -> dict[str, str]:
    """Parse NAME=VALUE pairs. A value ends at the next name, so text needs no quotes."""
    fields = {each.name: each for each in requirement.user_input_fields}
    texts: dict[str, str] = {}
    last = None
    for word in words:
        name, equals, text = word.partition("=")
        if equals and (name in fields or last is None):
            last, texts[name] = name, text
        elif last is None:
            raise InvalidInputError(f"expected NAME=VALUE, got {word!r}; {requirement.question}")
        else:
            texts[last] += f" {word}"
    return {name: _unquoted(text) for name, text in texts.items()}


def _unquoted(text: str) -> str:
    """Remove the quotes around a value, unless it is a JSON string, which its field parses."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        return text
    try:
        json.loads(text)
    except ValueError:
        return text[1:-1]
    return text


def _continue_or_save(notebook: Notebook, db: Db, run: RunOutput) -> None:
    """Continue a run if all its requirements are resolved; otherwise save the answers and show what is left."""
    if run.active_requirements:
        db.save_approvals(run)
    # Saving also reads answers that others have stored, and one of them may have been the last.
    if run.active_requirements:
        show_questions(run.active_requirements)
        return
    runnable = _runnable_of(notebook, run)
    show_approval_widget(runnable, *_continue_run(notebook, runnable, run))


def _runnable_of(notebook: Notebook, run: RunOutput) -> Runnable:
    """Return the agent, team or workflow that made a run."""
    runnable = notebook.runnable_of(run.kind, run.component_id)
    if runnable is None:
        raise InvalidInputError(
            f"cannot continue run {run.run_id!r}: this notebook has no {run.kind} {run.component_id!r}; "
            "define it again, then repeat the command"
        )
    runnable.use_notebook_defaults()
    return runnable


def _continue_run(
    notebook: Notebook, runnable: Runnable, run: RunOutput, **options: Unpack[ContinueOptions]
) -> tuple[RunOutput, RunDisplay]:
    # By its ids: an agent that has been redefined since then finds the conversation in the store.
    events = runnable.continue_run(
        run_id=run.run_id,
        session_id=run.session_id,
        requirements=run.requirements,
        user_id=run.user_id,
        stream=True,
        stream_events=True,
        **options,
    )
    return _show_run(notebook, events)


def _regenerate(notebook: Notebook, *, from_partial: bool) -> None:
    runnable, session_id, user_id = _last_session(notebook)
    if from_partial and not runnable.continues_partial:
        raise InvalidInputError(f"{runnable!r} cannot continue a partial answer; start it again with `%agent retry`")
    if from_partial:
        for db, run in _pending_runs(notebook):
            if run.interrupted and run.session_id == session_id:
                if run.active_requirements:
                    show_questions(run.active_requirements)
                else:
                    _continue_or_save(notebook, db, run)
                return
    if runnable.get_last_run_output(session_id, user_id=user_id) is None:
        raise RunNotFoundError(f"there is no turn yet in session {session_id!r}; run a `%%agent` cell first")
    if runnable is not notebook.runnable:
        show_note(f"the last run is of {runnable.kind} {runnable.name or runnable.component_id}")
    events = runnable.regenerate(
        session_id=session_id, user_id=user_id, from_partial=from_partial, stream=True, stream_events=True
    )
    try:
        shown = _show_run(notebook, events)
    except (ModelError, RunInterrupted) as error:
        show_how_to_continue(notebook, error)
        raise
    show_approval_widget(runnable, *shown)


def _last_session(notebook: Notebook) -> tuple[Runnable, str, str | None]:
    """Return the runnable, the session and the user of the latest run, unless others were chosen since.

    After a restart of the kernel, the latest run of the notebook is read from its stores.
    """
    if notebook.latest is not None:
        runnable, run = notebook.latest
        if not any(runnable is each for each in notebook.runnables()) and runnable.name:
            # It may have been defined again, for example with a corrected tool.
            runnable = notebook.runnable_of(run.kind, run.component_id) or runnable
        return runnable, run.session_id, run.user_id
    session_id = notebook.current_session_id()
    if notebook.session_id is not None:
        last = notebook.runnable.get_last_run_output(session_id, user_id=notebook.current_user_id)
        if last is not None:
            made_by = notebook.runnable_of(last.kind, last.component_id) or notebook.runnable
            return made_by, session_id, notebook.user_id
    elif not notebook.has_choice and (last := notebook.last_stored_run()) is not None:
        runnable = _runnable_of(notebook, last)
        if runnable is notebook.runnable:
            notebook.use_session(last.session_id)
        return runnable, last.session_id, last.user_id
    return notebook.runnable, session_id, notebook.user_id


def _show_run(notebook: Notebook, events: RunStream) -> tuple[RunOutput, RunDisplay]:
    display = choose_display(None, live=True)
    run = drive(events, display)
    notebook.namespace["_agent"] = run
    return run, display
