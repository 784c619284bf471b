"""Again and otherwise: a turn tried once more, one that was cut off brought to its end, a branch."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Literal, Unpack, cast, overload

from agno_nb._keywords import typed_kwargs
from agno_nb.db.base import Db
from agno_nb.db.encoding import check_ids
from agno_nb.errors import InvalidInputError, RunNotFoundError
from agno_nb.event_loop import uncancellable
from agno_nb.run.context import Emit, is_waiting
from agno_nb.run.entrypoints import AsyncRunStream, RunStream, StartRun, astart_run, start_run
from agno_nb.run.messages import INTERRUPTED_RESULT, repair_tool_pairs
from agno_nb.run.options import ContinueOptions, Input, RunOptions, TurnOptions, as_text
from agno_nb.run.session_methods import SessionMethods
from agno_nb.types import Message, RunOutput, RunStatus, new_id

CONTINUE_PROMPT = "You were interrupted. Go on exactly where you stopped, and do not repeat what you have said."


class Regeneration(SessionMethods):
    """The doors to runs that take up earlier ones. Nothing that was stored is changed or lost by them."""

    @abstractmethod
    def _start_prepared(
        self, prepare: Callable[[], tuple[str, RunOptions, list[Message]]], *, stream_events: bool
    ) -> StartRun:
        """Return how to run what `find`, called in a thread, says: input, options, and messages to begin with."""

    @overload
    def regenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunOutput: ...
    @overload
    def regenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunStream: ...
    @typed_kwargs(ContinueOptions)
    def regenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunOutput | RunStream:
        """Try a turn again: a new attempt with the same input, which supersedes the earlier ones and keeps their rows.

        Parameters
        ----------
        run_id : str, optional
            An attempt at the turn. The latest turn of the session where not given.
        session_id, user_id : str, optional
            As in :meth:`run`.
        from_partial : bool, optional
            Begin with what a run that was cut off had said, the results of its tools included, and go on from there.
            `content` is then the whole text.
        stream, stream_events : bool, optional
            As in :meth:`run`.
        **options
            See :class:`~agno_nb.run.options.ContinueOptions`.

        Raises
        ------
        RunNotFoundError
            There is no such run, or no turn in the session.
        InvalidInputError
            The run is part of another one; or it was not cut off and has nothing to go on with.
        RunError, SessionOwnershipError, StoreError
            As in :meth:`run`.
        """
        start = self._start_regeneration(
            run_id, session_id, user_id, from_partial, options, stream_events=stream_events
        )
        return start_run(start, stream=stream, method="regenerate")

    @overload
    def aregenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def aregenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> AsyncRunStream: ...
    @typed_kwargs(ContinueOptions)
    def aregenerate(
        self,
        run_id: str | None = None,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        from_partial: bool = False,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Try a turn again, awaited: the twin of :meth:`regenerate`."""
        start = self._start_regeneration(
            run_id, session_id, user_id, from_partial, options, stream_events=stream_events
        )
        return astart_run(start, stream=stream)

    @overload
    def continue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> RunOutput: ...
    @overload
    def continue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> RunStream: ...
    @typed_kwargs(TurnOptions)
    def continue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> RunOutput | RunStream:
        """Go on from a run in another way: a copy of the session up to that run, and `input` as its next turn.

        The session of the run stays as it is; the new one names it and the run (`forked_from_session_id`,
        `forked_from_run_id`).

        Parameters
        ----------
        run_id : str
            The run that is the last of what the new session knows. `session_id` is the session that it is in.
        input : str, pydantic model, dict or list
            What the user says next.
        stream, stream_events, **options
            As in :meth:`run`.

        Raises
        ------
        RunNotFoundError
            There is no such run.
        RunError, SessionOwnershipError, StoreError
            As in :meth:`run`.
        """
        start = self._start_branch(run_id, as_text(input), options, stream_events=stream_events)
        return start_run(start, stream=stream, method="continue_from")

    @overload
    def acontinue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def acontinue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> AsyncRunStream: ...
    @typed_kwargs(TurnOptions)
    def acontinue_from(
        self,
        run_id: str,
        input: Input,
        *,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[TurnOptions],
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Go on from a run in another way, awaited: the twin of :meth:`continue_from`."""
        start = self._start_branch(run_id, as_text(input), options, stream_events=stream_events)
        return astart_run(start, stream=stream)

    def _start_regeneration(
        self,
        run_id: str | None,
        session_id: str | None,
        user_id: str | None,
        from_partial: bool,
        options: ContinueOptions,
        *,
        stream_events: bool,
    ) -> StartRun:
        def prepare() -> tuple[str, RunOptions, list[Message]]:
            run = self._find_attempt(run_id, session_id, user_id)
            media = [media for message in run.messages if message.role == "user" for media in message.media]
            options_of_turn = {
                **options,
                "session_id": run.session_id,
                "run_index": run.run_index,
                "user_id": user_id,
                "metadata": run.metadata,
                "files": media,
            }
            return run.input, cast("RunOptions", options_of_turn), _partial_messages(run) if from_partial else []

        return self._start_prepared(prepare, stream_events=stream_events)

    def _start_branch(self, run_id: str, text: str, options: TurnOptions, *, stream_events: bool) -> StartRun:
        new_run_id, copies = new_id(), list[str]()

        def prepare() -> tuple[str, RunOptions, list[Message]]:
            run = self._find_attempt(run_id, options.get("session_id"), options.get("user_id"))
            copies.append(self.fork_session(run.session_id, at_run=run.run_id).session_id)
            return text, cast("RunOptions", {**options, "session_id": copies[0], "run_id": new_run_id}), []

        run_of_find = self._start_prepared(prepare, stream_events=stream_events)

        async def begin(emit: Emit) -> RunOutput:
            try:
                return await run_of_find(emit)
            except BaseException:
                for session_id in copies:
                    await uncancellable(asyncio.to_thread(discard_unused_copy, self.store, session_id, new_run_id))
                raise

        return begin

    def _find_attempt(self, run_id: str | None, session_id: str | None, user_id: str | None) -> RunOutput:
        """Return an attempt at a turn."""
        check_ids(run_id=run_id, session_id=session_id)
        store = self.store
        if run_id is not None:
            store.check_owner(self._user(user_id), session_id=session_id, run_id=run_id)
        if run_id is None:
            run = self.get_last_run_output(session_id, user_id=user_id)
            missing = f"no turn yet in session {self._resolve_session_id(session_id, user_id)!r}"
        else:
            run, missing = store.get_run(run_id, session_id), f"no run {run_id!r}"
        if run is None:
            raise RunNotFoundError(f"there is {missing} in {store.identity}")
        if run.run_index is None:
            raise InvalidInputError(f"run {run.run_id!r} is part of run {run.parent_run_id!r}; name that one")
        return run


def discard_unused_copy(store: Db, session_id: str, run_id: str) -> None:
    """Delete a copy of a session if the run that it was made for was refused or stopped before it was stored."""
    if store.get_run(run_id, session_id) is None:
        store.delete_session(session_id)


def _partial_messages(run: RunOutput) -> list[Message]:
    """Return copies of what followed the user's message in a run that was cut off, and what makes the model go on."""
    if run.status is RunStatus.PAUSED:
        raise InvalidInputError(f"run {run.run_id!r} is paused; resolve its requirements and use continue_run()")
    if is_waiting(run):
        raise InvalidInputError(
            f"run {run.run_id!r} was interrupted after a person had answered for its calls; use continue_run(), which "
            "asks again about calls that may have run"
        )
    if run.status is RunStatus.RUNNING and not run.interrupted:
        raise InvalidInputError(f"run {run.run_id!r} is still running, as far as can be told; stop it first")
    own_messages = [message for message in run.messages if message.role != "system" and not message.from_history][1:]
    if run.status is RunStatus.COMPLETED or not own_messages:
        state = "was not cut off" if run.status is RunStatus.COMPLETED else "had not said anything"
        raise InvalidInputError(
            f"run {run.run_id!r} {state}, so there is nothing to go on with; regenerate(), or `%agent retry`, tries "
            "its turn again"
        )
    place = max(place for place, message in enumerate(own_messages) if message.role != "tool")
    last = own_messages[place]
    # The new run decides on the latest calls: it asks for those that need a person. Others are not made again, because
    # nobody knows how far they came.
    is_open = last.finish_reason != "interrupted" and not all(call.is_finished for call in last.tool_calls)
    closed, latest = (own_messages[:place], own_messages[place:]) if is_open else (own_messages, [])
    for call in [call for message in closed for call in message.tool_calls if call.result is None]:
        call.result, call.tool_call_error = INTERRUPTED_RESULT, True
    # The tokens were paid for in the run in which they were said.
    messages = [replace(each, message_id=new_id(), metrics=None) for each in [*repair_tool_pairs(closed), *latest]]
    if messages[-1].role == "assistant" and not latest:
        messages.append(Message(role="user", content=CONTINUE_PROMPT))
    return messages
