"""Methods of agents, teams and workflows that run, continue and repeat a turn."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Unpack, overload

from agno_nb._agno_parts import OF_RUNNABLES
from agno_nb._keywords import typed_kwargs
from agno_nb.errors import InvalidInputError
from agno_nb.run.cancel import acancel_run, cancel_run
from agno_nb.run.entrypoints import (
    AsyncRunStream,
    RunStream,
    branch,
    continue_paused_run,
    regenerate_turn,
    start_run,
)
from agno_nb.run.execute import execute
from agno_nb.run.inputs import Input
from agno_nb.run.options import CONTINUE_ALIASES, OPTION_ALIASES, BranchCall, ContinueCall, RegenerateCall, RunCall
from agno_nb.run.session_methods import async_version_of
from agno_nb.types import RunOutput

NotStreamed: TypeAlias = Literal[False] | None
AwaitableRun: TypeAlias = Coroutine[Any, Any, RunOutput]


class RunMethods:
    """Methods that start a run, each with an async version."""

    if TYPE_CHECKING:
        _text_of: Any
        _streams: Any

    cancel_run = staticmethod(cancel_run)
    acancel_run = staticmethod(acancel_run)

    @overload
    def run(self, input: Input, *, stream: Literal[True], **options: Unpack[RunCall]) -> RunStream: ...
    @overload
    def run(self, input: Input, *, stream: NotStreamed = None, **options: Unpack[RunCall]) -> RunOutput: ...
    @typed_kwargs(RunCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    def run(self, input: Input, *, stream: bool | None = None, **options: Any) -> RunOutput | RunStream:
        """Run the agent, team or workflow on `input` and store the run in its session.

        Parameters
        ----------
        input : str, pydantic model, dict, list or Message
            The user's message. An object is sent and stored as JSON, and a list of strings as lines. Agents and teams
            also accept messages, or dicts such as ``{"role": "user", "content": "Hi"}``: the user's last one is the
            input, and the others are sent and stored with it, after the history. For a workflow, such dicts are JSON.
        stream : bool, optional
            Return an iterator of events; defaults to the setting. Closing it early cancels the run. The `content` of an
            event is shown at once; a later event with `discards_content` takes it back, if it was reasoning, a tool
            call or an invalid answer.
        stream_events : bool, default False
            Yield all events, including events of nested runs. By default only the content and the final event are
            yielded.
        yield_run_output : bool, default False
            Yield the RunOutput after the last event.
        background : bool, default False
            Only of :meth:`arun`: return when the run is stored, and let it continue. :meth:`get_run_output` reads it,
            and :meth:`cancel_run` stops it. Closing the caller's loop does not stop it, and the exit of the interpreter
            waits for it.
        **options
            See :class:`~agno_nb.run.options.RunOptions`.

        Returns
        -------
        RunOutput or iterator of RunOutputEvent

        Raises
        ------
        RunError
            The run failed. ``error.run_output`` has the partial output, which is stored.
        SessionOwnershipError
            The session belongs to another user.
        StoreError
            The run could not be stored.
        """
        text, stream = self._text_of(input, options), self._streams(stream, options)
        return start_run(execute, self, text, options, method="run", stream=stream)

    @overload
    def arun(self, input: Input, *, stream: Literal[True], **options: Unpack[RunCall]) -> AsyncRunStream: ...
    @overload
    def arun(
        self, input: Input, *, stream: NotStreamed = None, background: bool = False, **options: Unpack[RunCall]
    ) -> AwaitableRun: ...
    @async_version_of(run)
    @typed_kwargs(RunCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    def arun(
        self, input: Input, *, stream: bool | None = None, background: bool = False, **options: Any
    ) -> AwaitableRun | AsyncRunStream:
        text = self._text_of(input, options)
        if background:
            from agno_nb.run.background import start_in_background

            if stream:
                raise InvalidInputError("a background run has no stream; leave out stream=True or background=True")
            return start_run(start_in_background, self, text, options, method="run", stream=False, is_async=True)
        stream = self._streams(stream, options)
        return start_run(execute, self, text, options, method="run", stream=stream, is_async=True)

    @overload
    def continue_run(
        self, run_output: RunOutput | None = None, *, stream: Literal[True], **options: Unpack[ContinueCall]
    ) -> RunStream: ...
    @overload
    def continue_run(
        self, run_output: RunOutput | None = None, *, stream: NotStreamed = None, **options: Unpack[ContinueCall]
    ) -> RunOutput: ...
    @typed_kwargs(ContinueCall, CONTINUE_ALIASES, agno=OF_RUNNABLES)
    def continue_run(
        self, run_output: RunOutput | None = None, *, stream: bool | None = None, **options: Any
    ) -> RunOutput | RunStream:
        """Continue a paused run after its requirements are resolved, or a run that has ended from any of its messages.

        A run that has ended is not changed: a new attempt at its turn starts from its messages, up to `continue_from`,
        with `input` as a new user message. The history has the new attempt, and the store has both. Without `input`,
        the run is answered again.

        Parameters
        ----------
        run_output : RunOutput, optional
            The run, as returned by :meth:`run`.
        run_id, session_id : str, optional
            IDs of the run to read from the store, instead of `run_output`. Any process can continue it.
        requirements : sequence of Requirement, optional
            The answers, if they are not set in `run_output`.
        updated_tools : sequence of ToolCall, optional
            Copies of the run's `tools` with answers, instead of `requirements`.
        input : str, optional
            For a run that has ended: the user's next message.
        continue_from : {"end", "last_user"} or int, default "end"
            For a run that has ended: the part of its messages to keep: all, those up to the user's last one, or a
            number of messages, without history. Results are never separated from their calls.
        regenerate : bool, default False
            Keep all but the answer, and answer again.
        additional_instructions : str, optional
            With `regenerate`: a user message before the new answer.
        replace_original : bool, default True
            With `regenerate`: if False, the new run is a turn of its own, and the history has both.
        fork : bool, default False
            For a run that has ended, without `regenerate`: if True, the new run is a turn of its own, and the history
            has both.
        user_id : str, optional
            Owner of the run. Required to continue another user's run by its ID.
        metadata : dict, optional
            Merged over the metadata of the run.
        stream, stream_events : bool, optional
            As in :meth:`run`.
        **options
            See :class:`~agno_nb.run.options.ContinueOptions`. Options passed to :meth:`run` are not stored, so pass
            them again.

        Returns
        -------
        RunOutput or iterator of RunOutputEvent
            The run with the same `run_id`, completed or paused again.

        Raises
        ------
        InvalidInputError
            A requirement is not resolved, or belongs to another run. Nothing was changed.
        RunNotFoundError
            There is no such run.
        RunNotContinuableError
            The run is not paused, has been continued elsewhere, its turn was regenerated, or its tool no longer exists.
            Nothing was changed.
        SessionOwnershipError
            The run belongs to another user.
        RunError
            As in :meth:`run`.
        """
        stream = self._streams(stream, options)
        return start_run(continue_paused_run, self, run_output, options, method="continue_run", stream=stream)

    @overload
    def acontinue_run(
        self, run_output: RunOutput | None = None, *, stream: Literal[True], **options: Unpack[ContinueCall]
    ) -> AsyncRunStream: ...
    @overload
    def acontinue_run(
        self, run_output: RunOutput | None = None, *, stream: NotStreamed = None, **options: Unpack[ContinueCall]
    ) -> AwaitableRun: ...
    @async_version_of(continue_run)
    @typed_kwargs(ContinueCall, CONTINUE_ALIASES, agno=OF_RUNNABLES)
    def acontinue_run(
        self, run_output: RunOutput | None = None, *, stream: bool | None = None, **options: Any
    ) -> AwaitableRun | AsyncRunStream:
        stream = self._streams(stream, options)
        return start_run(
            continue_paused_run, self, run_output, options, method="continue_run", stream=stream, is_async=True
        )

    @overload
    def regenerate(
        self, run_id: str | None = None, *, stream: Literal[True], **options: Unpack[RegenerateCall]
    ) -> RunStream: ...
    @overload
    def regenerate(
        self, run_id: str | None = None, *, stream: NotStreamed = None, **options: Unpack[RegenerateCall]
    ) -> RunOutput: ...
    @typed_kwargs(RegenerateCall)
    def regenerate(
        self, run_id: str | None = None, *, stream: bool | None = None, **options: Any
    ) -> RunOutput | RunStream:
        """Run a turn again with the same input. The new attempt supersedes earlier ones, which stay in the store.

        Parameters
        ----------
        run_id : str, optional
            Any attempt at the turn; defaults to the latest turn of the session.
        session_id, user_id : str, optional
            As in :meth:`run`.
        from_partial : bool, default False
            Continue from the partial output of an interrupted run, including its tool results. `content` is then the
            whole text.
        stream, stream_events : bool, optional
            As in :meth:`run`.
        **options
            See :class:`~agno_nb.run.options.ContinueOptions`.

        Raises
        ------
        RunNotFoundError
            There is no such run, or the session has no turn.
        InvalidInputError
            The run is part of another run, or `from_partial` is set and the run was not interrupted.
        RunError, SessionOwnershipError, StoreError
            As in :meth:`run`.
        """
        stream = self._streams(stream, options)
        return start_run(regenerate_turn, self, run_id, options, method="regenerate", stream=stream)

    @overload
    def aregenerate(
        self, run_id: str | None = None, *, stream: Literal[True], **options: Unpack[RegenerateCall]
    ) -> AsyncRunStream: ...
    @overload
    def aregenerate(
        self, run_id: str | None = None, *, stream: NotStreamed = None, **options: Unpack[RegenerateCall]
    ) -> AwaitableRun: ...
    @async_version_of(regenerate)
    @typed_kwargs(RegenerateCall)
    def aregenerate(
        self, run_id: str | None = None, *, stream: bool | None = None, **options: Any
    ) -> AwaitableRun | AsyncRunStream:
        stream = self._streams(stream, options)
        return start_run(regenerate_turn, self, run_id, options, method="regenerate", stream=stream, is_async=True)

    @overload
    def continue_from(
        self, run_id: str, input: Input, *, stream: Literal[True], **options: Unpack[BranchCall]
    ) -> RunStream: ...
    @overload
    def continue_from(
        self, run_id: str, input: Input, *, stream: NotStreamed = None, **options: Unpack[BranchCall]
    ) -> RunOutput: ...
    @typed_kwargs(BranchCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    def continue_from(
        self, run_id: str, input: Input, *, stream: bool | None = None, **options: Any
    ) -> RunOutput | RunStream:
        """Branch from a run: copy its session up to that run, and run `input` as the next turn of the copy.

        The original session is not changed. The copy refers to it with `forked_from_session_id` and
        `forked_from_run_id`.

        Parameters
        ----------
        run_id : str
            The last run to copy. If `session_id` is passed, it is the session of that run.
        input : str, pydantic model, dict or list
            The user's next message.
        stream, stream_events, **options
            As in :meth:`run`.

        Raises
        ------
        RunNotFoundError
            There is no such run.
        RunError, SessionOwnershipError, StoreError
            As in :meth:`run`.
        """
        text, stream = self._text_of(input, options), self._streams(stream, options)
        return start_run(branch, self, run_id, text, options, method="continue_from", stream=stream)

    @overload
    def acontinue_from(
        self, run_id: str, input: Input, *, stream: Literal[True], **options: Unpack[BranchCall]
    ) -> AsyncRunStream: ...
    @overload
    def acontinue_from(
        self, run_id: str, input: Input, *, stream: NotStreamed = None, **options: Unpack[BranchCall]
    ) -> AwaitableRun: ...
    @async_version_of(continue_from)
    @typed_kwargs(BranchCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    def acontinue_from(
        self, run_id: str, input: Input, *, stream: bool | None = None, **options: Any
    ) -> AwaitableRun | AsyncRunStream:
        text, stream = self._text_of(input, options), self._streams(stream, options)
        return start_run(branch, self, run_id, text, options, method="continue_from", stream=stream, is_async=True)
