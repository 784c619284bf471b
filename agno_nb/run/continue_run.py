"""Pauses: what a run waits for, and how it is taken up again.

To continue a run is to :func:`~agno_nb.run.execute.execute` it with the messages that it has and the answers that were
given. This module finds the run and checks the answers before anything is changed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from agno_nb.db.async_db import as_sync
from agno_nb.db.encoding import check_ids
from agno_nb.db.process_id import runs_in_progress
from agno_nb.errors import InvalidInputError, RunNotContinuableError, RunNotFoundError, SessionOwnershipError
from agno_nb.run.context import Emit, current_run
from agno_nb.run.execute import execute
from agno_nb.run.options import ContinueOptions, RunOptions
from agno_nb.run.recorder import store_unstored
from agno_nb.types import JsonDict, Message, Requirement, RunOutput, RunStatus, ToolCall

if TYPE_CHECKING:
    from agno_nb.run.runnable import Runnable


async def continue_paused_run(
    runnable: Runnable,
    run_output: RunOutput | None,
    options: ContinueOptions,
    emit_to: Emit,
    *,
    run_id: str | None,
    session_id: str | None,
    user_id: str | None,
    requirements: Sequence[Requirement] | None,
) -> RunOutput:
    """Do what :meth:`agno_nb.run.runnable.Runnable.continue_run` says. Runs on the background loop."""
    if (run_output is None) == (run_id is None):
        raise InvalidInputError("say which run to continue: by the RunOutput, or by run_id=... (and session_id=...)")
    if not isinstance(run_output, RunOutput | None):
        raise InvalidInputError(f"{run_output!r} is no RunOutput; to continue a run by its id give run_id=...")
    check_ids(run_id=run_id, session_id=session_id)
    await store_unstored(as_sync(runnable.db), needed=run_output)
    user_id = runnable.user_id if user_id is None else user_id
    if run_output is not None:
        run = run_output
        # Whoever has the object may go on with it, unless they say that they are somebody else.
        user_id = run.user_id if user_id is None else user_id
    else:
        assert run_id is not None
        if (store := as_sync(runnable.db)) is not None:
            await asyncio.to_thread(store.check_owner, user_id, session_id=session_id, run_id=run_id)
        run = await asyncio.to_thread(_stored_run, runnable, run_id, session_id)
    if run.user_id != user_id:
        raise SessionOwnershipError(
            f"run {run.run_id!r} belongs to user {run.user_id!r}, and it was to be continued by "
            f"{'nobody in particular' if user_id is None else f'user {user_id!r}'}; give user_id={run.user_id!r}"
        )
    _check_kind(runnable, run)
    if run_output is not None and run.is_reloaded:
        await asyncio.to_thread(_add_nested_runs, runnable, run)
    apply_answers(run, requirements or ())
    for requirement in run.requirements:
        requirement.check_answer()
    for requirement in run.active_requirements:
        raise InvalidInputError(
            f"run {run.run_id!r} cannot go on: {requirement} still needs {requirement.kind.replace('_', ' ')}"
            f"{_missing_fields(requirement)}. "
            f"Its call is {requirement.tool.tool_name}({requirement.tool.arguments})"
        )
    _check_answers(runnable, run)
    return await execute(runnable, run.input, cast("RunOptions", options), emit_to, run)


def _missing_fields(requirement: Requirement) -> str:
    fields = requirement.user_input_fields or ()
    missing = [repr(each.name) for each in fields if not (each.is_given or each.has_default)]
    return f" for {', '.join(missing)}" if missing else ""


def _stored_run(runnable: Runnable, run_id: str, session_id: str | None) -> RunOutput:
    store = as_sync(runnable.db)
    if store is None:
        raise InvalidInputError(f"{runnable!r} has no store to find run {run_id!r} in: continue the RunOutput itself")
    run = store.get_run(run_id, session_id)
    if run is None:
        of_session = f" in session {session_id!r}" if session_id is not None else ""
        raise RunNotFoundError(f"there is no run {run_id!r}{of_session} in {store.identity}")
    return run


def _add_nested_runs(runnable: Runnable, run: RunOutput) -> None:
    """Read the nested runs of a reloaded run, which only some ways of reading it include."""
    parent = current_run.get()
    store = as_sync(runnable.db) or (parent.db if parent is not None else None)
    if store is None:
        raise InvalidInputError(
            f"run {run.run_id!r} was read from a store, and {runnable!r} has none to continue it in; give it that "
            "store with db=..."
        )
    stored = store.get_run(run.run_id, run.session_id)
    known = {nested.run_id for nested in run.nested_runs}
    for nested in stored.nested_runs if stored is not None else []:
        if nested.run_id not in known:
            run.nested_runs.append(nested)
            run.share_requirements(nested)


def _check_kind(runnable: Runnable, run: RunOutput) -> None:
    if run.status is RunStatus.RUNNING and run.run_id in runs_in_progress:
        # To continue it would first wait for it to end.
        raise RunNotContinuableError(f"run {run.run_id!r} still goes on, in process {os.getpid()}; stop it first")
    if not runnable.is_continuable(run):
        raise RunNotContinuableError(
            f"run {run.run_id!r} is {run.status} and not {' or '.join(sorted(runnable.continuable))}, so there is "
            "nothing to continue"
        )
    if (run.kind, run.component_id) != (runnable.kind, runnable.component_id):
        raise RunNotContinuableError(
            f"run {run.run_id!r} is of {run.kind} {run.component_id!r}, and not of {runnable.kind} "
            f"{runnable.component_id!r}; let that one continue it"
        )
    parent = current_run.get()
    if run.parent_run_id is not None and (parent is None or parent.run_id != run.parent_run_id):
        raise RunNotContinuableError(
            f"run {run.run_id!r} is part of run {run.parent_run_id!r}, which waits for it; continue that one"
        )


def _check_answers(runnable: Runnable, run: RunOutput) -> None:
    """Check the answers to a run, and to those nested in it that parts of `runnable` answer."""
    runnable.validate_answers(run)
    for nested in run.nested_runs:
        of_nested = (
            part for part in runnable.parts if (part.kind, part.component_id) == (nested.kind, nested.component_id)
        )
        if nested.is_paused and (part := next(of_nested, None)) is not None:
            _check_answers(part, nested)


def apply_answers(run: RunOutput, requirements: Iterable[Requirement]) -> None:
    """Take over the answers of `requirements` into the requirements of a run that have the same ids.

    Raises
    ------
    InvalidInputError
        The run has no such requirement, or went on with another answer.
    """
    own = {requirement.requirement_id: requirement for requirement in run.requirements}
    for requirement in requirements:
        own_requirement = own.get(requirement.requirement_id)
        if own_requirement is None:
            raise InvalidInputError(
                f"{requirement} is not one of run {run.run_id!r}: answer those in its `requirements`"
            )
        if (
            own_requirement.tool.is_finished
            and requirement.has_answer
            and requirement.confirmed != own_requirement.confirmed
        ):
            raise InvalidInputError(f"{own_requirement} has already been answered, and the run has continued")
        requirement.check_answer()
        own_requirement.copy_answer_from(requirement)


def pending_tool_calls(messages: list[Message]) -> list[tuple[ToolCall, Message]]:
    """Return the calls of the latest answer of the model that were not carried out, with the message for each result.

    The messages are put into their places, in the order of the calls, whichever others are there already.
    """
    last = next((place for place in reversed(range(len(messages))) if messages[place].role != "tool"), None)
    if last is None or not messages[last].tool_calls or messages[last].from_history:
        return []
    results = {message.tool_call_id: message for message in messages[last + 1 :]}
    calls = messages[last].tool_calls
    messages[last + 1 :] = [
        results.get(call.tool_call_id) or Message(role="tool", tool_call_id=call.tool_call_id, tool_name=call.tool_name)
        for call in calls
    ]
    return [
        (call, message)
        for call, message in zip(calls, messages[last + 1 :], strict=True)
        if call.tool_call_id not in results
    ]


def user_input_args(requirement: Requirement | None) -> JsonDict | None:
    """Return the arguments that a person gave, where any were asked for."""
    if requirement is None or requirement.kind != "user_input":
        return None
    return {each.name: each.value for each in requirement.user_input_fields if each.is_given}


def rejection_message(requirement: Requirement) -> str:
    """Tell the model that a person refused a call."""
    reason = f" They say: {requirement.note}" if requirement.note else ""
    if requirement.may_have_run:
        return f"This call was started before and its result is unknown. The user refused to run it again.{reason}"
    return f"The user refused this call, and it was not carried out.{reason}"
