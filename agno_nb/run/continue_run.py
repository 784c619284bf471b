"""Continue paused and interrupted runs.

Continuing a run means to :func:`~agno_nb.run.execute.execute` it with its stored messages and the answers given. This
module finds the run and checks the answers before anything is changed. It also finds and repairs calls without results.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from agno_nb.db.encoding import check_ids
from agno_nb.db.process_id import runs_in_progress
from agno_nb.errors import InvalidInputError, RunNotContinuableError, RunNotFoundError, SessionOwnershipError
from agno_nb.run.context import RunContext, current_run, current_step, current_tool_call_id
from agno_nb.run.options import ContinueCall
from agno_nb.run.output_schema import restore_typed_outputs
from agno_nb.run.recorder import store_unstored
from agno_nb.types import (
    INTERRUPTED_RESULT,
    JsonDict,
    Message,
    Requirement,
    RunOutput,
    RunStatus,
    StepRequirement,
    ToolCall,
    now,
)

if TYPE_CHECKING:
    from agno_nb.db.base import ContextQuery, Db, OpenedRun
    from agno_nb.run.runnable import Runnable


async def find_run(runnable: Runnable, run_output: RunOutput | None, options: ContinueCall) -> RunOutput:
    """Return the run that ``runnable.continue_run()`` was called for, if it belongs to the user."""
    run_id, session_id, user_id = options.get("run_id"), options.get("session_id"), options.get("user_id")
    if (run_output is None) == (run_id is None):
        raise InvalidInputError(
            "continue_run() takes one run; pass the RunOutput, or run_id=... (with session_id=... if you know it)"
        )
    if not isinstance(run_output, RunOutput | None):
        raise InvalidInputError(f"{run_output!r} is not a RunOutput; to continue a run by its ID, pass run_id=...")
    check_ids(run_id=run_id, session_id=session_id)
    await store_unstored(runnable.current_db, needed=run_output)
    user_id = runnable.current_user_id if user_id is None else user_id
    if run_output is not None:
        run = run_output
        # Holding the object is enough to continue it, unless another user is passed.
        user_id = run.user_id if user_id is None else user_id
    else:
        assert run_id is not None
        run = await asyncio.to_thread(_stored_run, runnable, run_id, session_id, user_id)
    if run.user_id != user_id:
        who = "without a user_id" if user_id is None else f"as user {user_id!r}"
        raise SessionOwnershipError(
            f"run {run.run_id!r} belongs to user {run.user_id!r} and cannot be continued {who}; "
            f"pass user_id={run.user_id!r}"
        )
    _check_component(runnable, run)
    return run


async def prepare_paused_run(runnable: Runnable, run: RunOutput, options: ContinueCall, *, is_read: bool) -> None:
    """Check the answers to the requirements of a paused run. `is_read` says whether it was read from the store here."""
    _check_continuable(runnable, run)
    if not is_read and run.is_reloaded:
        await asyncio.to_thread(_add_nested_runs, runnable, run)
    apply_answers(run, _answers_in_tools(run, options.get("updated_tools") or ()))
    apply_answers(run, options.get("requirements") or ())
    for requirement in run.requirements:
        requirement.check_answer()
    for requirement in run.active_requirements:
        raise InvalidInputError(
            f"cannot continue run {run.run_id!r}: {requirement} still needs {requirement.kind.replace('_', ' ')}"
            f"{_missing_fields(requirement)} in {requirement.subject}"
        )
    _check_answers(runnable, run)


def _answers_in_tools(run: RunOutput, tools: Iterable[ToolCall]) -> list[Requirement]:
    """Return requirements with the answers that were set on copies of the run's tool calls.

    Some servers number the calls of each answer from 0, so a member of a team may have a call with the ID of the
    leader's. An answer is for one call: one of the run itself, or if it has no such call, one of a nested run.
    """
    left, answers = [*run.requirements], list[Requirement]()
    for call in tools:
        same_id = [each for each in left if _is_of(each, call)]
        found = [each for each in same_id if each.tool is call or _asks_same(each, call)]
        found = [each for each in found if each.tool is call] or found
        found = [each for each in found if each.run_id == run.run_id] or found
        if same_id and not found:
            raise InvalidInputError(
                f"the arguments of call {call.tool_call_id!r} in updated_tools are {call.arguments!r}, but a person is "
                f"asked about {same_id[0].subject}; answer the call as it is, or reject it with a note"
            )
        if len({each.run_id for each in found}) > 1:
            raise InvalidInputError(
                f"call {call.tool_call_id!r} in updated_tools may be one of {len(found)} nested runs; answer "
                "`requirements` instead"
            )
        if found:
            left = [each for each in left if each is not found[0]]
            answers.append(replace(found[0], tool=call))
    return answers


def _is_of(requirement: Requirement, call: ToolCall) -> bool:
    own = requirement.tool
    return own is call or (own.tool_call_id, own.tool_name) == (call.tool_call_id, call.tool_name)


def _asks_same(requirement: Requirement, call: ToolCall) -> bool:
    # The arguments of a step's requirement have a part of the answer, and its ID is its own.
    return isinstance(requirement, StepRequirement) or requirement.tool.arguments == call.arguments


def _missing_fields(requirement: Requirement) -> str:
    fields = requirement.user_input_fields or ()
    missing = [repr(each.name) for each in fields if not (each.is_given or each.has_default)]
    return f" for {', '.join(missing)}" if missing else ""


def store_of_run(runnable: Runnable, parent: RunContext | None) -> Db | None:
    """Return the store of a run. If it is nested and names none, that is the store of the run around it."""
    return parent.db if parent is not None and runnable.db is None else runnable.current_db


async def find_earlier_child(runnable: Runnable, text: str, parent: RunContext) -> RunOutput | None:
    """Return the nested run that a repeated tool call or step had started before the pause of `parent`.

    A tool whose nested run paused is called again from its start. Runs that it had already started are continued, or
    returned if they are completed, in place of new runs.
    """
    earlier = _take_pending_child(runnable, text, parent)
    if earlier is None and parent.run.is_reloaded:
        await _add_runs_of_other_sessions(runnable, parent)
        earlier = _take_pending_child(runnable, text, parent)
    if earlier is not None:
        restore_typed_outputs(runnable.output_schemas, [earlier])
        if earlier.status is not RunStatus.COMPLETED:
            parent.run.share_requirements(earlier)
    return earlier


async def _add_runs_of_other_sessions(runnable: Runnable, parent: RunContext) -> None:
    """Add the nested runs of `runnable` in other sessions, which are not read with the run that is continued."""
    if (db := store_of_run(runnable, parent)) is not None:
        child_runs = await asyncio.to_thread(db.get_child_runs, parent.run_id)
        known = {run.run_id for run in (*parent.run.nested_runs, *parent.pending_children)}
        parent.pending_children += [run for run in child_runs if run.run_id not in known]


def _take_pending_child(runnable: Runnable, text: str, parent: RunContext) -> RunOutput | None:
    run = next((run for run in _pending_children(runnable, parent) if run.input == text), None)
    if run is not None:
        parent.pending_children.remove(run)
        parent.add_child(run)
    return run


def _pending_children(runnable: Runnable, parent: RunContext) -> Iterator[RunOutput]:
    """Yield the runs of `runnable` that the current tool call or step had started before the pause."""
    identity = current_tool_call_id.get(), current_step.get(), runnable.kind, runnable.component_id
    for run in parent.pending_children:
        is_usable = run.status is RunStatus.COMPLETED or runnable.is_continuable(run)
        if is_usable and identity == (run.parent_tool_call_id, run.step, run.kind, run.component_id):
            yield run


async def find_earlier_input(
    runnable: Runnable, task: str, parent: RunContext, task_of: Callable[[str], str] = str
) -> str | None:
    """Return the input of the nested run that a repeated tool call or step had started with this task.

    An input ends with its task. What is before it, such as history, may have changed since the pause, and the nested
    run must not be started again because of that. `task_of` removes what may be behind it.
    """
    if not parent.is_continued:
        return None
    if parent.run.is_reloaded:
        await _add_runs_of_other_sessions(runnable, parent)
    end = f"\n\n{task_of(task)}"
    inputs = (run.input for run in _pending_children(runnable, parent))
    return next((each for each in inputs if f"\n\n{task_of(each)}".endswith(end)), None)


def is_waiting(run: RunOutput) -> bool:
    """Whether a run is paused, or was interrupted while it executed a call that a person had approved."""
    if run.status is not RunStatus.RUNNING or not run.interrupted:
        return run.status is RunStatus.PAUSED
    own = any(each.run_id == run.run_id and not each.tool.is_finished for each in run.requirements)
    return own or any(is_waiting(nested) for nested in run.nested_runs)


def interrupted_call_ids(run: RunOutput) -> frozenset[str]:
    """Return the IDs of the calls that a process that has died may have executed."""
    if run.status is not RunStatus.RUNNING:
        return frozenset()
    return frozenset(call.tool_call_id for call in run.tools if not call.is_finished)


def store_reopen(db: Db, run: RunOutput, query: ContextQuery) -> OpenedRun:
    """Reopen a run, and store which approved calls start now.

    If the process that started a call has died, it is unknown whether the call was executed, so approval is requested
    again.
    """
    approved = [each for each in run.requirements if each.run_id == run.run_id and each.starts_when_continued]
    interrupted = [each for each in approved if each.started_at is not None]
    starting = [each for each in approved if each.started_at is None]
    for each in starting:
        each.started_at = now()
    try:
        opened = db.reopen_run(run, query=query)
    except BaseException:
        for each in starting:
            each.started_at = None
        raise
    for each in interrupted:
        each.ask_again()
    return opened


def _stored_run(runnable: Runnable, run_id: str, session_id: str | None, user_id: str | None) -> RunOutput:
    store = runnable.current_db
    if store is None:
        raise InvalidInputError(f"cannot find run {run_id!r}: {runnable!r} has no store; pass the RunOutput instead")
    store.check_owner(user_id, session_id=session_id, run_id=run_id)
    run = store.get_run(run_id, session_id)
    if run is None:
        of_session = f" in session {session_id!r}" if session_id is not None else ""
        raise RunNotFoundError(f"there is no run {run_id!r}{of_session} in {store.identity}")
    return run


def _add_nested_runs(runnable: Runnable, run: RunOutput) -> None:
    """Read the nested runs of a reloaded run, which only some ways of reading it include."""
    store = store_of_run(runnable, current_run.get())
    if store is None:
        raise InvalidInputError(
            f"run {run.run_id!r} was read from a store, but {runnable!r} has no store to continue it in; set db=... to "
            "that store"
        )
    stored = store.get_run(run.run_id, run.session_id)
    known = {nested.run_id for nested in run.nested_runs}
    for nested in stored.nested_runs if stored is not None else []:
        if nested.run_id not in known:
            run.nested_runs.append(nested)
            run.share_requirements(nested)


def _check_continuable(runnable: Runnable, run: RunOutput) -> None:
    if run.status is RunStatus.RUNNING and run.run_id in runs_in_progress:
        # Continuing it would first wait for its end.
        raise RunNotContinuableError(f"run {run.run_id!r} is still running in process {os.getpid()}; stop it first")
    if not runnable.is_continuable(run):
        remedy = "stop it first" if run.status is RunStatus.RUNNING else "use regenerate() to run its turn again"
        raise RunNotContinuableError(
            f"cannot continue run {run.run_id!r}: it is {run.status}, not {' or '.join(sorted(runnable.continuable))}; "
            f"{remedy}"
        )


def _check_component(runnable: Runnable, run: RunOutput) -> None:
    if (run.kind, run.component_id) != (runnable.kind, runnable.component_id):
        raise RunNotContinuableError(
            f"run {run.run_id!r} belongs to {run.kind} {run.component_id!r}, not to {runnable.kind} "
            f"{runnable.component_id!r}; continue it with the {run.kind} that started it"
        )
    parent = current_run.get()
    if run.parent_run_id is not None and (parent is None or parent.run_id != run.parent_run_id):
        raise RunNotContinuableError(
            f"run {run.run_id!r} is part of run {run.parent_run_id!r}; continue that run instead"
        )


def _check_answers(runnable: Runnable, run: RunOutput) -> None:
    """Check the answers given to a run and to the paused runs of its members or steps."""
    runnable.validate_answers(run)
    for nested in run.nested_runs:
        of_nested = (
            part for part in runnable.parts if (part.kind, part.component_id) == (nested.kind, nested.component_id)
        )
        if nested.is_paused and (part := next(of_nested, None)) is not None:
            _check_answers(part, nested)


def apply_answers(run: RunOutput, requirements: Iterable[Requirement]) -> None:
    """Copy the answers of `requirements` to the requirements of a run that have the same IDs.

    Raises
    ------
    InvalidInputError
        The run has no such requirement, or has already continued with another answer.
    """
    own = {requirement.requirement_id: requirement for requirement in run.requirements}
    for requirement in requirements:
        own_requirement = own.get(requirement.requirement_id)
        if own_requirement is None:
            raise InvalidInputError(
                f"{requirement} does not belong to run {run.run_id!r}; answer the requirements in `run.requirements`"
            )
        if (
            own_requirement.tool.is_finished
            and requirement.has_answer
            and requirement.confirmed != own_requirement.confirmed
        ):
            raise InvalidInputError(
                f"cannot change the answer to {own_requirement}: the run has already continued with it"
            )
        requirement.check_answer()
        own_requirement.copy_answer_from(requirement)


def last_assistant_message(run: RunOutput) -> Message:
    """Return the model's latest message, which has the latest tool calls."""
    return next(message for message in reversed(run.messages) if message.role == "assistant")


def repair_tool_pairs(messages: Iterable[Message]) -> list[Message]:
    """Return `messages` with exactly one result after each tool call, and no result without a call.

    Strict providers reject anything else, and one rejected message would make the session unusable. A missing result
    is replaced by one that says so; a result without a call is left out.
    """
    result: list[Message] = []
    pending: dict[str, Message] = {}
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id is not None and pending.pop(message.tool_call_id, None) is not None:
                result.append(message)
            continue
        result += pending.values()
        result.append(message)
        pending = _interrupted_results(message) if message.tool_calls else {}
    return [*result, *pending.values()]


def _interrupted_results(message: Message) -> dict[str, Message]:
    return {
        call.tool_call_id: Message(
            role="tool",
            content=INTERRUPTED_RESULT,
            tool_call_id=call.tool_call_id,
            tool_name=call.tool_name,
            tool_call_error=True,
            run_id=message.run_id,
            from_history=message.from_history,
            created_at=message.created_at,
        )
        for call in message.tool_calls
    }


def pending_tool_calls(messages: list[Message]) -> list[tuple[ToolCall, Message]]:
    """Return the model's latest tool calls that have no result yet, each with the message for its result.

    The messages are inserted into `messages` in the order of the calls.
    """
    if not messages or (messages[-1].role != "tool" and not messages[-1].tool_calls):
        return []
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
    """Return the arguments that the user provided, or None if none were required."""
    if requirement is None or requirement.kind != "user_input":
        return None
    return {each.name: each.value for each in requirement.user_input_fields if each.is_given}


def rejection_message(requirement: Requirement) -> str:
    """Return the tool result for a call that the user rejected."""
    reason = f" They say: {requirement.note}" if requirement.note else ""
    if requirement.may_have_run:
        return f"This call was started before and its result is unknown. The user refused to run it again.{reason}"
    return f"The user refused this call, and it was not carried out.{reason}"
