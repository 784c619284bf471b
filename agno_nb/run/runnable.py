"""What an agent, a team and a workflow have in common: who they are, and the doors to the pipeline."""

from __future__ import annotations

import asyncio
import re
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Literal, Self, Unpack, overload

from agno_nb._keywords import typed_kwargs
from agno_nb.db.async_db import AsyncDb, as_sync
from agno_nb.db.base import ContextQuery, Db
from agno_nb.db.encoding import check_json_object
from agno_nb.errors import InvalidInputError
from agno_nb.event_loop import uncancellable
from agno_nb.run.background_tasks import BackgroundTask
from agno_nb.run.context import Emit, RunContext
from agno_nb.run.continue_run import continue_paused_run
from agno_nb.run.entrypoints import (
    AsyncRunStream,
    RunStream,
    StartRun,
    astart_run,
    filter_events,
    record_cell,
    start_run,
)
from agno_nb.run.execute import execute
from agno_nb.run.options import ContinueOptions, Input, RunOptions, as_text
from agno_nb.run.output_schema import OutputSchema
from agno_nb.run.recorder import store_unstored
from agno_nb.run.regenerate import Regeneration
from agno_nb.types import JsonDict, Message, Requirement, RunOutput, RunStatus, SessionType, new_id


@dataclass(eq=False, repr=False, kw_only=True)
class Runnable(Regeneration):
    """Something that answers in sessions. Subclasses write :meth:`run_steps`."""

    kind: ClassVar[SessionType]
    continuable: ClassVar[frozenset[RunStatus]] = frozenset({RunStatus.PAUSED})
    """States from which a run can go on."""

    name: str | None = None
    """What people call it. Shown, stored with each run, and used to find it again."""
    id: str | None = None
    """Its stable id. Made from the name where not given."""
    description: str | None = None
    """What it is, in a sentence; the first thing the model is told."""
    user_id: str | None = None
    """Who is talking, where the call does not say."""
    session_id: str | None = None
    """The conversation, where the call does not say."""
    db: Db | AsyncDb | None = None
    """Where sessions are stored. None: nothing is kept beyond the returned object."""
    session_state: JsonDict | None = None
    """What a new session's state begins with."""
    metadata: JsonDict | None = None
    """Stored with each run, under the metadata of the call, and with each session that it creates."""
    dependencies: JsonDict | None = None
    """Values for ``{name}`` in instructions, and for tools as ``run_context.dependencies``. Never stored. Functions,
    which may be async and take `agent`, `run_context` or `session_state`, are called once per run."""

    _automatic_session_ids: dict[str | None, str] = field(init=False, default_factory=dict)
    _last_session_ids: dict[str | None, str] = field(init=False, default_factory=dict)
    """The session of each user's last run, and under None that of the last run of anybody."""

    def __post_init__(self) -> None:
        for each in fields(self):
            # A setting that does not take None, such as num_history_runs, has its default then.
            takes_none = each.default in (None, MISSING) or "None" in str(each.type)
            if not takes_none and getattr(self, each.name) is None:
                setattr(self, each.name, each.default)
        self.validate_settings()

    def validate_settings(self) -> None:
        """Check what it was made of.

        Raises
        ------
        InvalidInputError
        """
        if not isinstance(self.db, Db | AsyncDb | None):
            raise InvalidInputError(
                f"db is {self.db!r}, of type {type(self.db).__name__}; give a store, such as DuckDb('talks.duckdb')"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, and nothing of what was made from them: models, sessions of this process."""
        made = {each.name for each in fields(self) if not each.init and _has_default(each)}
        return {name: value for name, value in self.__dict__.items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for each in fields(self):
            if not each.init and _has_default(each):
                self.__dict__[each.name] = each.default if each.default_factory is MISSING else each.default_factory()
        self.__dict__.update(state)

    def __copy__(self) -> Self:
        # It talks in the same sessions.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = memo[id(self)] = object.__new__(type(self))
        # Dependencies are objects of the user's program, such as connections.
        shared = {"dependencies": self.dependencies}
        state = {name: value for name, value in self.__getstate__().items() if name not in shared}
        other.__setstate__(shared | deepcopy(state, memo))
        return other

    @property
    def store(self) -> Db:
        """The store; an InvalidInputError where there is none."""
        db = as_sync(self.db)
        if db is None:
            raise InvalidInputError(f"{self!r} has no store, so its sessions are not kept: give it one by db=...")
        return db

    @property
    def parts(self) -> Sequence[Runnable]:
        """The runnables that answer within its runs."""
        return ()

    @property
    def output_schemas(self) -> Mapping[str, OutputSchema]:
        """Output schemas of its parts, by name."""
        return {name: schema for part in self.parts for name, schema in part.output_schemas.items()}

    def check_storable(self, options: RunOptions | None = None) -> None:
        """Check that the state and metadata of a call, of itself and of its parts can be stored.

        Raises
        ------
        InvalidInputError
        """
        for name, own in (("session_state", self.session_state), ("metadata", self.metadata)):
            for value, described in (((options or {}).get(name), name), (own, f"{self!r}.{name}")):
                if value is not None:
                    check_json_object(value, described)
        for part in self.parts:
            part.check_storable()

    @abstractmethod
    async def run_steps(self, context: RunContext) -> None:
        """Do the work of one run: fill ``context.run`` from the user's message to the answer."""

    def is_continuable(self, run: RunOutput) -> bool:
        """Whether :meth:`continue_run` can continue `run`, as far as its status tells."""
        return run.status in self.continuable

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Say what a run has to know of its session."""
        return ContextQuery()

    def validate_answers(self, run: RunOutput) -> None:
        """Check that a paused run can go on with the answers that its requirements were given.

        Raises
        ------
        RunNotContinuableError
            It needs a tool that is not there any more.
        InvalidInputError
            The answers are not what the tool takes.
        """

    def background_tasks(self, context: RunContext) -> Iterable[BackgroundTask]:
        """Say what is to be done after a completed run, off its critical path, once its turn is over."""
        return ()

    def to_persisted(self, message: Message) -> Message | None:
        """Return what is stored of a message, or None for nothing."""
        return message

    @property
    def component_id(self) -> str:
        """The id that sessions and runs are stored under."""
        if self.id is not None:
            return self.id
        return re.sub(r"[^a-z0-9]+", "-", (self.name or "").lower()).strip("-") or self.kind.value

    def automatic_session_id(self, user_id: str | None) -> str:
        """Return the session of a user who did not name one. It is made once, so that the conversation goes on."""
        return self._automatic_session_ids.setdefault(user_id, new_id())

    def start_new_session(self, user_id: str | None = None) -> str:
        """Begin a new automatic session for a user, and return its id."""
        self._automatic_session_ids[user_id] = new_id()
        return self._automatic_session_ids[user_id]

    @overload
    def run(
        self,
        input: Input,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[RunOptions],
    ) -> RunOutput: ...
    @overload
    def run(
        self, input: Input, *, stream: Literal[True], stream_events: bool = False, **options: Unpack[RunOptions]
    ) -> RunStream: ...
    @typed_kwargs(RunOptions)
    def run(
        self, input: Input, *, stream: bool | None = None, stream_events: bool = False, **options: Unpack[RunOptions]
    ) -> RunOutput | RunStream:
        """Answer `input`, in the session that it belongs to, and store all of it.

        Parameters
        ----------
        input : str, pydantic model, dict or list
            What the user says. An object is said and stored as its JSON.
        stream : bool, optional
            Return an iterator of events instead. Closing it early cancels the run.
        stream_events : bool, optional
            Events of every kind, and of nested runs, not only the pieces of text and the final one.
        **options
            See :class:`~agno_nb.run.options.RunOptions`.

        Returns
        -------
        RunOutput or iterator of RunOutputEvent

        Raises
        ------
        RunError
            The run failed; ``error.run_output`` holds what was said so far, and it is stored.
        SessionOwnershipError
            The session belongs to another user.
        StoreError
            The run could not be stored.
        """
        return start_run(self._start(input, options, stream_events=stream_events), stream=stream, method="run")

    @overload
    def arun(
        self,
        input: Input,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[RunOptions],
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def arun(
        self, input: Input, *, stream: Literal[True], stream_events: bool = False, **options: Unpack[RunOptions]
    ) -> AsyncRunStream: ...
    @typed_kwargs(RunOptions)
    def arun(
        self, input: Input, *, stream: bool | None = None, stream_events: bool = False, **options: Unpack[RunOptions]
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Answer `input`, awaited: the twin of :meth:`run`, for any event loop.

        With ``stream=True`` the async iterator is returned at once, and is not awaited.
        """
        return astart_run(self._start(input, options, stream_events=stream_events), stream=stream)

    @overload
    def continue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunOutput: ...
    @overload
    def continue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunStream: ...
    @typed_kwargs(ContinueOptions, {"run_response": "run_output"})
    def continue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> RunOutput | RunStream:
        """Go on with a paused run, all of whose requirements are resolved.

        Parameters
        ----------
        run_output : RunOutput, optional
            The run, as :meth:`run` returned it.
        run_id, session_id : str, optional
            Or its ids: it is then read from the store, in whichever process.
        requirements : sequence of Requirement, optional
            The answers, where they are not in `run_output`.
        user_id : str, optional
            Whose run it is. By ids a run is continued only for its user.
        stream, stream_events : bool, optional
            As in :meth:`run`.
        **options
            See :class:`~agno_nb.run.options.ContinueOptions`: what was said at the call of :meth:`run`.

        Returns
        -------
        RunOutput or iterator of RunOutputEvent
            The run, of the same `run_id`: completed, or paused again.

        Raises
        ------
        InvalidInputError
            A requirement is not resolved, or not one of this run. Nothing was changed.
        RunNotFoundError
            There is no such run.
        RunNotContinuableError
            The run is not paused, somebody else has continued it, its turn was tried again, or the tool that it waits
            for is not there any more. Nothing was changed.
        SessionOwnershipError
            The run belongs to another user.
        RunError
            As in :meth:`run`.
        """
        start = self._start_continue(
            run_output, options, run_id, session_id, requirements, user_id, stream_events=stream_events
        )
        return start_run(start, stream=stream, method="continue_run")

    @overload
    def acontinue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: Literal[False] | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> Coroutine[Any, Any, RunOutput]: ...
    @overload
    def acontinue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: Literal[True],
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> AsyncRunStream: ...
    @typed_kwargs(ContinueOptions, {"run_response": "run_output"})
    def acontinue_run(
        self,
        run_output: RunOutput | None = None,
        *,
        run_id: str | None = None,
        session_id: str | None = None,
        requirements: Sequence[Requirement] | None = None,
        user_id: str | None = None,
        stream: bool | None = None,
        stream_events: bool = False,
        **options: Unpack[ContinueOptions],
    ) -> Coroutine[Any, Any, RunOutput] | AsyncRunStream:
        """Go on with a paused run, awaited: the twin of :meth:`continue_run`."""
        start = self._start_continue(
            run_output, options, run_id, session_id, requirements, user_id, stream_events=stream_events
        )
        return astart_run(start, stream=stream)

    @typed_kwargs(RunOptions)
    def print_response(
        self, input: Input, *, stream: bool = True, show_message: bool = True, **options: Unpack[RunOptions]
    ) -> None:
        """Run and show the answer as it arrives: in a terminal by rich, in a notebook as the cell's output.

        Parameters
        ----------
        input : str, pydantic model, dict or list
            What the user says. An object is said and stored as its JSON.
        stream : bool, optional
            False shows the answer only when it is complete.
        show_message : bool, optional
            Show `input` above the answer.
        **options
            As in :meth:`run`, which also says what is raised.
        """
        from agno_nb.printing import print_stream

        events = self.run(input, stream=True, stream_events=True, **options)
        print_stream(events, message=as_text(input) if show_message else None, live=stream)

    @typed_kwargs(RunOptions)
    async def aprint_response(
        self, input: Input, *, stream: bool = True, show_message: bool = True, **options: Unpack[RunOptions]
    ) -> None:
        """Run and show the answer as it arrives: the awaited twin of :meth:`print_response`."""
        from agno_nb.printing import aprint_stream

        events = self.arun(input, stream=True, stream_events=True, **options)
        await aprint_stream(events, message=as_text(input) if show_message else None, live=stream)

    def _start(self, input: Input, options: RunOptions, *, stream_events: bool) -> StartRun:
        text = as_text(input)
        record_cell(options)

        def start(emit: Emit) -> Coroutine[Any, Any, RunOutput]:
            return execute(self, text, options, filter_events(emit, stream_events=stream_events))

        return start

    def _start_prepared(
        self, prepare: Callable[[], tuple[str, RunOptions, list[Message]]], *, stream_events: bool
    ) -> StartRun:
        """Return how to run what `prepare`, called in a thread, says: input, options, and messages to begin with."""
        caller_options: RunOptions = {}
        record_cell(caller_options)

        async def start(emit: Emit) -> RunOutput:
            await store_unstored(as_sync(self.db))
            # What is found may include a copy of a session, which must be known before the run is cancelled.
            text, options, partial_messages = await uncancellable(asyncio.to_thread(prepare))
            listener = filter_events(emit, stream_events=stream_events)
            return await execute(self, text, {**caller_options, **options}, listener, partial_messages=partial_messages)

        return start

    def _start_continue(
        self,
        run_output: RunOutput | None,
        options: ContinueOptions,
        run_id: str | None,
        session_id: str | None,
        requirements: Sequence[Requirement] | None,
        user_id: str | None,
        *,
        stream_events: bool,
    ) -> StartRun:
        def start(emit: Emit) -> Coroutine[Any, Any, RunOutput]:
            return continue_paused_run(
                self,
                run_output,
                options,
                filter_events(emit, stream_events=stream_events),
                run_id=run_id,
                session_id=session_id,
                user_id=user_id,
                requirements=requirements,
            )

        return start

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or self.component_id!r})"


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING
