"""Runnables: base class of agents, teams and workflows, with their settings and copies."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from agno_nb._agno_parts import OF_RUNNABLES, AgnoKeywords, missing_attribute
from agno_nb._keywords import nearest
from agno_nb.db.base import AsyncDb, ContextQuery, Db
from agno_nb.db.encoding import check_json_object
from agno_nb.errors import InvalidInputError, UnknownArgumentError
from agno_nb.run import defaults
from agno_nb.run.background_tasks import BackgroundTask
from agno_nb.run.context import RunContext, current_run
from agno_nb.run.display_methods import DisplayMethods
from agno_nb.run.inputs import Input, as_text, validated
from agno_nb.run.options import RunOptions, first_set
from agno_nb.run.output_schema import OutputSchema
from agno_nb.run.run_methods import RunMethods
from agno_nb.run.session_methods import SessionMethods
from agno_nb.types import JsonDict, Message, RunOutput, RunStatus, SessionType, new_id


@dataclass(eq=False, repr=False, kw_only=True)
class Runnable(RunMethods, SessionMethods, DisplayMethods, ABC):
    """Base class of agents, teams and workflows. Subclasses implement :meth:`run_steps`."""

    kind: ClassVar[SessionType]
    agno_keywords: ClassVar[AgnoKeywords] = OF_RUNNABLES
    continuable: ClassVar[frozenset[RunStatus]] = frozenset({RunStatus.PAUSED})
    """Statuses of runs that can be continued."""
    continues_partial: ClassVar[bool] = True
    """Whether a new run can start from the partial output of an interrupted one."""

    name: str | None = None
    """Display name, stored with each run."""
    id: str | None = None
    """Stable ID; derived from the name by default."""
    description: str | None = None
    """Description in one sentence. It is the first part of the system prompt."""
    user_id: str | None = None
    """Default user of its runs. With None, an agent made in a notebook's cell uses the notebook's user."""
    session_id: str | None = None
    """Default session of its runs."""
    db: Db | AsyncDb | Literal[False] | None = None
    """Store for sessions. With None, an agent made in a notebook's cell uses the notebook's store, and any other agent
    stores nothing. With False, nothing is stored."""
    session_state: JsonDict | None = None
    """Initial state of a new session."""
    overwrite_db_session_state: bool = False
    """Start each run with `session_state` of the call over that of the agent, instead of the stored state."""
    metadata: JsonDict | None = None
    """Stored with each run, merged with the metadata of the call, and with each session that it creates."""
    dependencies: JsonDict | None = None
    """Values for ``{name}`` in instructions, and for tools as ``run_context.dependencies``. Never stored. Functions are
    called once per run; they may be async and take `agent`, `run_context` or `session_state`."""
    input_schema: Any = None
    """Schema that inputs must follow: a pydantic model, a TypedDict or a dataclass. They are checked before the run."""
    stream: bool | None = None
    """Default of `stream` in :meth:`run` and :meth:`arun`. Runs inside of other runs ignore it."""
    stream_events: bool | None = None
    """Default of `stream_events`."""
    store_media: bool = True
    """Store images, audio and files with their messages, in this run and in the runs nested in it."""
    store_events: bool = False
    """Keep the events of each run, and of the runs nested in it, as `events` of the :class:`RunOutput` in memory."""
    events_to_skip: Sequence[str] | None = None
    """Names of events that are not kept, such as ``RunEvent.tool_call_started``. With None, the text as it arrives."""

    _automatic_session_ids: dict[str | None, str] = field(init=False, default_factory=dict)
    _last_session_ids: dict[str | None, str] = field(init=False, default_factory=dict)
    """Session of each user's last run; under None, of the last run of any user."""
    _uses_notebook: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._uses_notebook = defaults.is_constructed_in_cell(self)
        for each in fields(self):
            # None stands for the default of a setting that does not accept None, such as num_history_runs.
            takes_none = each.default in (None, MISSING) or "None" in str(each.type)
            if not takes_none and getattr(self, each.name) is None:
                setattr(self, each.name, each.default)
        self.validate_settings()

    def validate_settings(self) -> None:
        """Raise an InvalidInputError if a setting is invalid."""
        if self.db is not False and not isinstance(self.db, Db | AsyncDb | None):
            raise InvalidInputError(
                f"db is {self.db!r}, of type {type(self.db).__name__}; pass a store such as DuckDb('talks.duckdb')"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, without objects created from them such as models and automatic session IDs."""
        created = {each.name for each in fields(self) if not each.init and _has_default(each)} - {"_uses_notebook"}
        return {name: value for name, value in self.__dict__.items() if name not in created}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for each in fields(self):
            if not each.init and _has_default(each):
                self.__dict__[each.name] = each.default if each.default_factory is MISSING else each.default_factory()
        self.__dict__.update(state)

    def __copy__(self) -> Self:
        # A shallow copy keeps the automatic sessions.
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = memo[id(self)] = object.__new__(type(self))
        # Shared, because they may be objects that cannot be copied, such as connections.
        memo[id(self.dependencies)] = self.dependencies
        other.__setstate__(deepcopy(self.__getstate__(), memo))
        return other

    def deep_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy without sessions of its own, with other values for some settings.

        Raises
        ------
        UnknownArgumentError
            `update` has a name that is not a setting.
        """
        other = deepcopy(self)
        changes, settings = update or {}, [each.name for each in fields(self) if each.init]
        for name in changes:
            if name not in settings:
                raise UnknownArgumentError(f"{self!r} has no setting {name!r}: {nearest(name, settings)}")
        for name in settings:  # In the order of the constructor.
            if name in changes:
                setattr(other, name, changes[name])
        other.validate_settings()
        return other

    def use_notebook_defaults(self) -> None:
        """Use the notebook's model, store and user if none is set, as an agent made in a cell does."""
        self._uses_notebook = True

    @property
    def model_name(self) -> str | None:
        """Name of its model, for runnables that are not an :class:`~agno_nb.agent.Agent`; None if it has none."""
        return None

    @property
    def parts(self) -> Sequence[Runnable]:
        """Members or steps that have nested runs."""
        return ()

    @property
    def output_schemas(self) -> Mapping[str, OutputSchema]:
        """Output schemas by name, including its parts'."""
        return {name: schema for part in self.parts for name, schema in part.output_schemas.items()}

    def check_storable(self, options: RunOptions | None = None) -> None:
        """Raise an InvalidInputError if state or metadata of the call, the runnable or its parts cannot be stored."""
        for name in ("session_state", "metadata"):
            if (value := (options or {}).get(name)) is not None:
                check_json_object(value, name)
            if (own := getattr(self, name)) is not None:
                check_json_object(own, f"{self!r}.{name}")
        for part in self.parts:
            part.check_storable()

    @abstractmethod
    async def run_steps(self, context: RunContext) -> None:
        """Execute one run: fill ``context.run`` with messages and the answer."""

    def describe_run(self, context: RunContext) -> None:
        """Set what the row of a new run has to say from its beginning, because a process may die during the run."""

    def is_continuable(self, run: RunOutput) -> bool:
        """Whether the status of `run` allows :meth:`continue_run`."""
        return run.status in self.continuable

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Return which parts of its session a run needs."""
        return ContextQuery()

    async def prepare_parts(self) -> None:
        """Let the tools of all parts become known, for :meth:`validate_answers`."""
        for part in self.parts:
            await part.prepare_parts()

    def validate_answers(self, run: RunOutput) -> None:
        """Check that a paused run can be continued with the answers to its requirements.

        Raises
        ------
        RunNotContinuableError
            The run needs a tool that no longer exists.
        InvalidInputError
            The tool does not accept the answers.
        """

    def background_tasks(self, context: RunContext) -> Iterable[BackgroundTask]:
        """Return the tasks to start when the turn of a completed run is over."""
        return ()

    def to_persisted(self, message: Message) -> Message | None:
        """Return the stored form of a message, or None to store nothing."""
        return message

    @property
    def component_id(self) -> str:
        """ID that sessions and runs are stored with."""
        if self.id is not None:
            return self.id
        return re.sub(r"[^a-z0-9]+", "-", (self.name or "").lower()).strip("-") or self.kind.value

    def automatic_session_id(self, user_id: str | None) -> str:
        """Return the ID of the automatic session of a user. Later runs without a session ID use the same one."""
        return self._automatic_session_ids.setdefault(user_id, new_id())

    def start_new_session(self, user_id: str | None = None) -> str:
        """Start a new automatic session for a user, and return its ID."""
        self._automatic_session_ids[user_id] = new_id()
        return self._automatic_session_ids[user_id]

    def _text_of(self, input: Input, options: dict[str, Any]) -> str:
        """Return an input as the text of the run. Messages around it are added to the options of the call."""
        return as_text(input if self.input_schema is None else validated(input, self.input_schema))

    def _streams(self, stream: bool | None, options: dict[str, Any]) -> bool | None:
        """Return `stream` of a call, or else the setting, and set `stream_events` of its options likewise.

        Runs inside of a run don't use the settings: a member or a step is called for its result.
        """
        if (self.stream is None and self.stream_events is None) or current_run.get() is not None:
            return stream
        options["stream_events"] = first_set(options.get("stream_events"), self.stream_events)
        return self.stream if stream is None else stream

    if not TYPE_CHECKING:  # Type checkers would accept any attribute.

        def __getattr__(self, name: str) -> Any:
            raise missing_attribute(self, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name or self.component_id!r})"


def _has_default(each: Field[Any]) -> bool:
    return each.default is not MISSING or each.default_factory is not MISSING
