"""Continue runs that are not paused: completed and failed ones, from any of their messages.

agno's ``continue_run()`` takes such runs with `input`, `continue_from`, `regenerate` and `fork`. The run is not
changed: a new attempt at its turn starts from a part of its messages, or a new turn if both are to stay in the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.run.continue_run import is_waiting, repair_tool_pairs
from agno_nb.run.inputs import input_messages
from agno_nb.run.options import ContinueCall, ContinueOptions, RunOptions, first_set
from agno_nb.types import INTERRUPTED_RESULT, JsonDict, Message, RunOutput, RunStatus, SessionType, new_id

CONTINUE_PROMPT = "You were interrupted. Go on exactly where you stopped, and do not repeat what you have said."
LINEAGE = ("forked_from_run_id", "forked_from_message_index", "forked_from_run_index", "regenerated_from")
"""Keys of the metadata of a run that say which run it started from."""
_REWINDING = ("input", "continue_from", "fork", "regenerate", "replace_original", "additional_instructions")


@dataclass(frozen=True, kw_only=True)
class Rewind:
    """The start of a new run from the messages of another one."""

    text: str
    """The user's message."""
    partial_messages: Sequence[Message]
    options: RunOptions


def is_rewound(run: RunOutput, options: ContinueCall) -> bool:
    """Whether ``continue_run()`` starts a new run from `run`, because it is not paused or the call says so.

    Without any option, a run that had been paused is not: a second approval must not run it again.
    """
    if run.kind is SessionType.WORKFLOW:
        return False
    if _has_options(options):
        return True
    was_cut = run.interrupted and run.status is RunStatus.RUNNING and not is_waiting(run)
    return was_cut or (run.status in (RunStatus.COMPLETED, RunStatus.ERROR) and not run.requirements)


def _has_options(options: ContinueCall) -> bool:
    # Not `in`, because continue_from=0 equals False.
    return any(not (value is None or value is False or value == "end") for value in map(options.get, _REWINDING))


def rewind(run: RunOutput, options: ContinueCall) -> Rewind:
    """Return how the new run starts.

    Raises
    ------
    InvalidInputError
        The options contradict each other, or there is no user message to start from.
    RunNotContinuableError
        The run has not ended.
    """
    regenerates, replaces = options.get("regenerate"), options.get("replace_original")
    boundary = first_set(options.get("continue_from"), "end")
    added = first_set(options.get("additional_instructions"), options.get("input"))
    if run.run_index is None:
        raise InvalidInputError(f"run {run.run_id!r} is part of run {run.parent_run_id!r}; continue that run instead")
    if run.status is RunStatus.RUNNING and not run.interrupted:
        raise RunNotContinuableError(f"run {run.run_id!r} appears to be still running; stop it first")
    if run.status is RunStatus.PAUSED:
        raise InvalidInputError(
            f"run {run.run_id!r} is paused; resolve its requirements and call continue_run() without other options"
        )
    if replaces is not None and not regenerates:
        raise InvalidInputError("replace_original needs regenerate=True")
    if regenerates and (boundary != "end" or options.get("fork")):
        raise InvalidInputError("regenerate=True cannot be combined with continue_from or fork; leave one of them out")
    own = [message for message in run.messages if not message.from_history]
    # A completed run without a new message has nothing to add to its answer, and is answered again.
    answers_again = regenerates or (boundary == "end" and added is None)
    index = _without_answer(own) if answers_again else _index(own, boundary)
    index = _pair_safe(own, index)
    kept = [message for message in own[:index] if message.role != "system"]
    passed = [replace(each, message_id=new_id()) for each in kept[: len(input_messages(run))]]
    last = max((place for place, each in enumerate(passed) if each.role == "user"), default=None)
    if last is None and added is None:
        raise InvalidInputError(f"continue_from={boundary!r} keeps no user message of the run; pass input=... too")
    around: tuple[list[Message], list[Message]] = (passed, [])
    if last is None:
        text, added = str(added), None
    else:
        text, around = passed[last].content or run.input, (passed[:last], passed[last + 1 :])
    answers = kept[len(passed) :]
    messages = [replace(each, message_id=new_id(), metrics=None) for each in repair_tool_pairs(answers)]
    if added is not None:
        messages.append(Message(role="user", content=added))
    lineage: JsonDict = {"forked_from_run_id": run.run_id, "forked_from_message_index": index}
    if regenerates:
        lineage["regenerated_from"] = run.run_id
    is_new_turn = options.get("fork") or replaces is False
    if is_new_turn:
        # The messages of the source are those of the new run, so they are not history.
        lineage["forked_from_run_index"] = (run.metadata or {}).get("forked_from_run_index", run.run_index)
    new = RunOptions(
        session_id=run.session_id,
        user_id=run.user_id,
        run_index=None if is_new_turn else run.run_index,
        metadata={**(run.metadata or {}), **(options.get("metadata") or {}), **lineage},
        files=passed[last].media if last is not None else [],
    )
    if any(around):
        new = cast("RunOptions", new | {"messages": around})
    kept_options = {*ContinueOptions.__annotations__, "origin"}
    passed_on: Any = {name: value for name, value in options.items() if name in kept_options}
    if run.status is not RunStatus.COMPLETED and not _has_options(options):
        # All that it did before it failed or its process died is kept.
        messages = partial_messages(run) if len([each for each in own if each.role != "system"]) > 1 else []
    return Rewind(text=text, partial_messages=messages, options=passed_on | new)


def _without_answer(messages: Sequence[Message]) -> int:
    """Return the number of messages before the answer. Tool calls and their results are kept."""
    index = len(messages)
    while index and messages[index - 1].role == "assistant" and not messages[index - 1].tool_calls:
        index -= 1
    return index


def _index(messages: Sequence[Message], boundary: Any) -> int:
    """Return the number of messages to keep."""
    if boundary == "end":
        return len(messages)
    if boundary == "last_user":
        return max((place for place, each in enumerate(messages, 1) if each.role == "user"), default=0)
    if isinstance(boundary, int) and not isinstance(boundary, bool) and 0 <= boundary <= len(messages):
        return boundary
    raise InvalidInputError(
        f'continue_from is {boundary!r}; pass "end", "last_user", or a number of messages from 0 to {len(messages)}'
    )


def _pair_safe(messages: Sequence[Message], index: int) -> int:
    """Return `index`, or the place before the tool calls whose results it would cut off."""
    start = index
    while start and messages[start - 1].role == "tool":
        start -= 1
    if start and messages[start - 1].tool_calls and index - start < len(messages[start - 1].tool_calls):
        return start - 1
    return index


def partial_messages(run: RunOutput) -> list[Message]:
    """Return copies of the messages of an interrupted run after the user's, with a prompt to continue if needed."""
    if run.status is RunStatus.PAUSED:
        raise InvalidInputError(f"run {run.run_id!r} is paused; resolve its requirements and call continue_run()")
    if is_waiting(run):
        raise InvalidInputError(
            f"run {run.run_id!r} was interrupted after a person had answered for its calls; use continue_run(), which "
            "asks again about calls that may have run"
        )
    if run.status is RunStatus.RUNNING and not run.interrupted:
        raise InvalidInputError(f"run {run.run_id!r} appears to be still running; stop it first")
    own_messages = [message for message in run.messages if message.role != "system" and not message.from_history]
    own_messages = own_messages[len(input_messages(run)) :]
    if run.status is RunStatus.COMPLETED or not own_messages:
        why = "it was not interrupted" if run.status is RunStatus.COMPLETED else "it has no partial output"
        raise InvalidInputError(
            f"cannot continue run {run.run_id!r}: {why}; use regenerate() or '%agent retry' to run the turn again"
        )
    place = max(place for place, message in enumerate(own_messages) if message.role != "tool")
    last = own_messages[place]
    # The new run decides about the latest calls and requests approval for them if needed. Earlier calls are not
    # repeated, because it is unknown how far they got.
    is_open = last.finish_reason != "interrupted" and not all(call.is_finished for call in last.tool_calls)
    closed, latest = (own_messages[:place], own_messages[place:]) if is_open else (own_messages, [])
    for call in [call for message in closed for call in message.tool_calls if call.result is None]:
        call.result, call.tool_call_error = INTERRUPTED_RESULT, True
    # The tokens of these messages are counted in the interrupted run.
    messages = [replace(each, message_id=new_id(), metrics=None) for each in [*repair_tool_pairs(closed), *latest]]
    if messages[-1].role == "assistant" and not latest:
        messages.append(Message(role="user", content=CONTINUE_PROMPT))
    return messages
