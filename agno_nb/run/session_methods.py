"""Methods of agents, teams and workflows to read, name, fork and delete their sessions.

Each method has an async version with the prefix ``a``, which runs it in a worker thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, overload

from agno_nb._keywords import explain_wrong_arguments, suggest_in_methods
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.db.encoding import check_ids
from agno_nb.db.model_usage import details_of_session
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.run import defaults
from agno_nb.run.background_tasks import when_updated
from agno_nb.run.defaults import NotebookDefaults
from agno_nb.run.options import first_set
from agno_nb.run.output_schema import OutputSchema, restore_typed_outputs
from agno_nb.types import (
    JsonDict,
    Message,
    Metrics,
    Role,
    RunOutput,
    RunStatus,
    Session,
    latest_messages,
    whole_number,
)

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def async_variant(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Return the async version of a blocking method."""
    name = method.__name__

    async def variant(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Looked up in the object, because the method may be decorated or overridden.
        return await asyncio.to_thread(getattr(self, name), *args, **kwargs)

    variant.__name__ = f"a{name}"
    return async_version_of(method)(variant)


def async_version_of(method: Callable[..., Any]) -> Callable[[F], F]:
    """Give an async method the documentation of its blocking version."""

    def document(variant: F) -> F:
        _, _, details = (inspect.getdoc(method) or "").partition("\n\n")
        summary = f"Async version of :meth:`{method.__name__}`."
        if "stream_events" in inspect.signature(method).parameters:
            summary += " With ``stream=True`` it returns an async iterator, which is not awaited."
        variant.__doc__ = f"{summary}\n\n{details}" if details else summary
        return variant

    return document


@suggest_in_methods()
class SessionMethods:
    """Methods of a runnable that read and change its sessions.

    `session_id` defaults to the session of the user's last run, or of the last run if there is no user. `user_id`
    defaults to the runnable's user. If there is a user, every method raises a
    :class:`~agno_nb.errors.SessionOwnershipError` for a session of another user, before it reads or writes anything.
    Without a user, the methods accept every session, as the methods of a store do.
    """

    db: Db | AsyncDb | Literal[False] | None
    session_id: str | None
    user_id: str | None
    _last_session_ids: dict[str | None, str]
    _uses_notebook: bool

    @property
    def notebook_defaults(self) -> NotebookDefaults | None:
        """The defaults of the notebook, for an agent, team or workflow that uses them."""
        return defaults.of_notebook() if self._uses_notebook and defaults.of_notebook is not None else None

    @property
    def current_db(self) -> Db | None:
        """The store of the next run: its own, or the notebook's. None if nothing is stored."""
        if self.db is None and (notebook := self.notebook_defaults) is not None:
            return notebook.db
        return self.db if isinstance(self.db, Db) else as_sync(self.db or None)

    @property
    def current_user_id(self) -> str | None:
        """The user of the next run: its own, or the notebook's."""
        if self.user_id is None and (notebook := self.notebook_defaults) is not None:
            return notebook.user_id
        return self.user_id

    @property
    def store(self) -> Db:
        """The store. Without one, an InvalidInputError is raised."""
        db = self.current_db
        if db is None:
            raise InvalidInputError(f"{self!r} has no store, so its sessions are not stored; set db=...")
        return db

    @property
    def output_schemas(self) -> Mapping[str, OutputSchema]:
        """Output schemas by name."""
        return {}

    def get_session(
        self, session_id: str | None = None, user_id: str | None = None, runs_limit: int | None = None
    ) -> Session | None:
        """Return the session, or None if there is no session with that ID.

        If `user_id` is passed, a session without an owner is not returned. With `runs_limit`, the session has only
        that many of its latest turns.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user.
        """
        session = self.store.get_session(self._checked_id(session_id, user_id), user_id=user_id)
        if session is None:
            return None
        session.runs_limit = whole_number("runs_limit", runs_limit, least=0)
        return self._found(session, session_id, user_id)

    def save_session(self, session: Session, *, user_id: str | None = None) -> Session:
        """Store the name, state and metadata of a session, and return it.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user. Nothing was stored.
        """
        self.store.check_owner(self._user(user_id), session_id=session.session_id)
        return self._found(self.store.upsert_session(session), session.session_id, user_id)

    def get_session_messages(
        self,
        session_id: str | None = None,
        *,
        agent_id: str | None = None,
        team_id: str | None = None,
        last_n_runs: int | None = None,
        limit: int | None = None,
        skip_roles: Collection[Role] | None = None,
        skip_statuses: Collection[RunStatus | str] | None = None,
        skip_history_messages: bool = True,
        member_ids: Collection[str] | None = None,
        skip_member_messages: bool = True,
        user_id: str | None = None,
    ) -> list[Message]:
        """Return the messages of the current attempt of each turn of a session, oldest first.

        Only the first system message is returned.

        Parameters
        ----------
        session_id : str, optional
        agent_id, team_id : str, optional
            Only messages of turns of this agent or team.
        last_n_runs : int, optional
            Maximum number of turns, latest first.
        limit : int, optional
            Maximum number of messages, latest first. If it is 2 or more, the system message counts as one of them. Tool
            results whose calls are beyond the limit are left out.
        skip_roles : collection of str, optional
            Roles to leave out.
        skip_statuses : collection of str, optional
            Statuses of turns to leave out. Default: none.
        skip_history_messages : bool
            Whether to leave out the copies of earlier messages that a run was sent, if they were stored.
        member_ids : collection of str, optional
            Only messages of runs of these members, which are nested runs.
        skip_member_messages : bool
            Whether to leave out the messages of nested runs, if no `member_ids` are given.
        user_id : str, optional
            Defaults to the runnable's user.

        Raises
        ------
        InvalidInputError
            `limit` or `last_n_runs` is not a number.
        SessionNotFoundError
        SessionOwnershipError
            The session belongs to another user.
        """
        last_n_runs, limit = whole_number("last_n_runs", last_n_runs), whole_number("limit", limit)
        session = self._require_session(session_id, user_id)
        of_members = bool(member_ids) or not skip_member_messages
        if agent_id or team_id or of_members or skip_statuses or not skip_history_messages:
            return session.get_messages(
                agent_id=agent_id,
                team_id=team_id,
                last_n_runs=last_n_runs,
                limit=limit,
                skip_roles=skip_roles,
                skip_statuses=skip_statuses or (),
                skip_history_messages=skip_history_messages,
                member_ids=member_ids,
                skip_member_messages=skip_member_messages,
            )
        known, skipped = session.session_id, skip_roles or ()

        def latest(last_n: int | None) -> list[Message]:
            messages = self.store.get_messages(known, last_n_runs=last_n)
            return [each for each in messages if not each.from_history and each.role not in skipped]

        if limit is None:
            return latest_messages(latest(last_n_runs), None)
        count = max(limit, 0)
        # As many turns usually have enough messages.
        messages = latest(count if last_n_runs is None else min(count, last_n_runs))
        if sum(message.role != "system" for message in messages) < count:
            messages = latest(last_n_runs)
        return latest_messages(messages, count)

    get_messages_for_session = get_session_messages

    def get_chat_history(
        self, session_id: str | None = None, *, last_n_runs: int | None = None, user_id: str | None = None
    ) -> list[Message]:
        """Return the user and assistant messages, oldest first, without tool messages and instructions."""
        messages = self.get_session_messages(
            session_id, last_n_runs=last_n_runs, skip_roles=("system", "tool"), user_id=user_id
        )
        return [message for message in messages if message.content]

    def get_session_state(self, session_id: str | None = None, *, user_id: str | None = None) -> JsonDict:
        """Return the stored state of a session."""
        return self._require_session(session_id, user_id).session_state

    def update_session_state(
        self, session_state_updates: JsonDict, session_id: str | None = None, *, user_id: str | None = None
    ) -> JsonDict:
        """Set keys of a session's state, store it, and return it.

        Raises
        ------
        SessionNotFoundError
        InvalidInputError
            A value cannot be converted to JSON. Nothing was changed.
        """
        session = self._require_session(session_id, user_id)
        changed = self.store.update_session_state(
            session.session_id, {**session.session_state, **session_state_updates}, base_state=session.session_state
        )
        if changed is None:
            raise SessionNotFoundError(f"session {session.session_id!r} has been deleted")
        return changed.session_state

    def get_session_name(self, session_id: str | None = None, *, user_id: str | None = None) -> str | None:
        """Return the name of a session, or None."""
        return self._require_session(session_id, user_id).session_name

    def rename_session(
        self, session_name: str, session_id: str | None = None, *, user_id: str | None = None
    ) -> Session:
        """Give a session a name."""
        known = self._checked_id(session_id, user_id)
        return self._found(self.store.rename_session(known, session_name=session_name), session_id, user_id)

    def set_session_name(
        self,
        session_id: str | None = None,
        *,
        autogenerate: bool = False,
        session_name: str | None = None,
        user_id: str | None = None,
    ) -> Session:
        """Name a session: `session_name`, or a name generated by the model with `autogenerate`.

        Raises
        ------
        InvalidInputError
            Neither or both are passed.
        ModelError
            The model failed to generate a name.
        """
        if autogenerate == bool(session_name):
            raise InvalidInputError(
                "pass either session_name=..., or autogenerate=True to let the model name the session"
            )
        if session_name:
            return self.rename_session(session_name, session_id, user_id=user_id)
        session = self._require_session(session_id, user_id)
        found = self.generate_session_name(session)
        current = self._require_session(session_id, user_id)
        # Keep a name that was set while the model was generating one.
        if current.session_name != session.session_name:
            return current
        return self.rename_session(found, session_id, user_id=user_id)

    def generate_session_name(self, session: Session) -> str:
        """Return a name for a session, generated by the model; the session is not changed."""
        raise InvalidInputError(f"cannot generate a session name: {self!r} has no model; pass session_name=...")

    def get_session_metrics(self, session_id: str | None = None, *, user_id: str | None = None) -> Metrics:
        """Return the tokens, cost and total duration of all runs of a session.

        Its `details` have the usage by model, with that of summaries and memories, after pending updates.
        """
        session, store = self._require_session(session_id, user_id), self.store
        metrics, known = session.metrics, session.session_id
        metrics.source = when_updated, store, known, session.user_id, details_of_session, store, known
        return metrics

    @explain_wrong_arguments("pass the session_id, as in delete_session('plans')")
    def delete_session(self, session_id: str, user_id: str | None = None) -> bool:
        """Delete a session with all its rows, and return whether it existed.

        If `user_id` is passed, a session without an owner is not deleted.

        Raises
        ------
        SessionOwnershipError
            The session belongs to another user. Nothing was deleted.
        """
        if not session_id:
            raise InvalidInputError(f"session_id is {session_id!r}; pass the ID of the session to delete")
        return self.store.delete_session(self._checked_id(session_id, user_id), user_id=user_id)

    @overload
    def fork_session(
        self,
        session_id: str | None = None,
        *,
        source_session_id: None = None,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> Session: ...
    @overload
    def fork_session(
        self,
        *,
        source_session_id: str,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> str: ...
    def fork_session(
        self,
        session_id: str | None = None,
        *,
        source_session_id: str | None = None,
        user_id: str | None = None,
        to_run_index: int | None = None,
        at_run: str | None = None,
    ) -> Session | str:
        """Copy a session, and return the new session; with `source_session_id`, only its ID, as in agno.

        Parameters
        ----------
        source_session_id : str, optional
            Another name of `session_id`.
        session_id, user_id : str, optional
            The session to copy; defaults to the session of `at_run`.
        to_run_index : int, optional
            The last turn to copy.
        at_run : str, optional
            ID of the last run to copy, instead of `to_run_index`. It may be a superseded attempt.

        Raises
        ------
        SessionNotFoundError
        RunNotFoundError
            The session has no such turn.
        SessionOwnershipError
            The session belongs to another user. Nothing was copied.
        """
        if session_id is not None and source_session_id is not None:
            raise InvalidInputError("fork_session() got both session_id and source_session_id; pass one of them")
        if source_session_id is not None:
            fork = self.fork_session(source_session_id, user_id=user_id, to_run_index=to_run_index, at_run=at_run)
            return fork.session_id
        if session_id is None and at_run is not None:
            self.store.check_owner(self._user(user_id), run_id=at_run)
            run = self.store.get_run(at_run)
            session_id = run.session_id if run is not None else None
        copied = self.store.fork_session(
            self._checked_id(session_id, user_id), user_id=user_id, to_run_index=to_run_index, at_run=at_run
        )
        return self._found(copied, session_id, user_id)

    def get_run_output(
        self, run_id: str, session_id: str | None = None, *, user_id: str | None = None
    ) -> RunOutput | None:
        """Return a run by its ID, or None.

        Raises
        ------
        SessionOwnershipError
            The run is in a session of another user.
        """
        self.store.check_owner(self._user(user_id), session_id=session_id, run_id=run_id)
        run = self.store.get_run(run_id, session_id)
        restore_typed_outputs(self.output_schemas, [run] if run is not None else [])
        return run

    def get_last_run_output(self, session_id: str | None = None, *, user_id: str | None = None) -> RunOutput | None:
        """Return the current attempt of the latest turn of a session, or None if the session has no turn."""
        known = self._checked_id(session_id, user_id)
        turn, index = None, 0
        while found := self.store.get_runs(known, from_run_index=index, limit=1):
            turn = found[0]
            if not turn.attempt:
                break
            # The run that started last regenerated a turn, which may have later turns.
            index = (turn.run_index or 0) + 1
        # Read again with its nested runs.
        last = self.store.get_run(turn.run_id, known) if turn is not None else None
        restore_typed_outputs(self.output_schemas, [last] if last is not None else [])
        return last

    aget_session = async_variant(get_session)
    aget_session_messages = async_variant(get_session_messages)
    aget_messages_for_session = async_variant(get_session_messages)
    aget_chat_history = async_variant(get_chat_history)
    aget_session_state = async_variant(get_session_state)
    aupdate_session_state = async_variant(update_session_state)
    aget_session_name = async_variant(get_session_name)
    aset_session_name = async_variant(set_session_name)
    arename_session = async_variant(rename_session)
    aget_session_metrics = async_variant(get_session_metrics)
    asave_session = async_variant(save_session)
    adelete_session = async_variant(delete_session)
    afork_session = async_variant(fork_session)
    aget_run_output = async_variant(get_run_output)
    aget_last_run_output = async_variant(get_last_run_output)

    def _resolve_session_id(self, session_id: str | None, user_id: str | None) -> str:
        user = self._user(user_id)
        # "" is rejected, and doesn't stand for the agent's session.
        known: str | None = first_set(session_id, self.session_id, self._last_session_ids.get(user))
        check_ids(session_id=known)
        if known is None:
            with_user = "" if user is None else f" with user {user!r}"
            raise InvalidInputError(f"{self!r} has no session{with_user} yet; pass session_id=...")
        return known

    def _user(self, user_id: str | None) -> str | None:
        """Return the user of a call: its `user_id`, which may be "", or else the runnable's."""
        return self.current_user_id if user_id is None else user_id

    def _checked_id(self, session_id: str | None, user_id: str | None) -> str:
        """Return the ID of the session of a call, after checking that the call's user has access to it."""
        known = self._resolve_session_id(session_id, user_id)
        self.store.check_owner(self._user(user_id), session_id=known)
        return known

    def _require_session(self, session_id: str | None, user_id: str | None = None) -> Session:
        return self._found(self.store.get_session(self._checked_id(session_id, user_id)), session_id, user_id)

    def _found(self, session: Session | None, session_id: str | None, user_id: str | None) -> Session:
        """Return a session that restores typed outputs when it reads runs; raise if there is none."""
        if session is None:
            known = self._resolve_session_id(session_id, user_id)
            raise SessionNotFoundError(f"there is no session {known!r} in {self.store!r}")
        session.restore_outputs = lambda runs: restore_typed_outputs(self.output_schemas, runs)
        # Later reads check the owner again, because the session may be claimed by then.
        session.read_for = self._user(user_id)
        return session
