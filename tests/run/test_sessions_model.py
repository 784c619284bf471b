"""Random sequences of operations on sessions, compared with a simple model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import ModelError, SessionOwnershipError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.session import SessionSummaryManager
from agno_nb.testing import FunctionModel
from agno_nb.types import Message, Metrics, RunStatus

HISTORY_RUNS = 2


@dataclass(frozen=True)
class Try:
    """One run, as it is expected."""

    serial: int
    """Place in time among all runs."""
    attempt: int
    agent: str
    user: str | None
    text: str
    status: RunStatus


@dataclass
class Version:
    """One version of a summary, as it is expected."""

    text: str
    from_run_index: int
    to_run_index: int
    holds: bool = True


@dataclass
class Thread:
    """One session, as it is expected."""

    owner: str | None
    name: str | None = None
    turns: dict[int, list[Try]] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)
    forked_from: str | None = None

    def current(self) -> Iterator[tuple[int, Try]]:
        for turn in sorted(self.turns):
            yield turn, self.turns[turn][-1]

    def completed(self, before: int) -> list[tuple[int, Try]]:
        return [(turn, run) for turn, run in self.current() if turn < before and run.status is RunStatus.COMPLETED]

    def tries(self) -> list[tuple[int, Try]]:
        return sorted(((turn, run) for turn in self.turns for run in self.turns[turn]), key=lambda one: one[1].serial)

    def is_stale(self, turn: int, run: Try) -> bool:
        return any(other.attempt > 0 and other.serial > run.serial and at < turn for at, other in self.tries())

    def state(self) -> dict[str, Any]:
        """The state after all changes that no new attempt has reverted."""
        tries = self.tries()
        left = [
            run.text
            for turn, run in tries
            if not any(other.attempt > 0 and other.serial > run.serial and at <= turn for at, other in tries)
        ]
        return {**dict.fromkeys(left, True), "last": left[-1]} if left else {}

    def summary(self) -> Version | None:
        return next((version for version in reversed(self.versions) if version.holds), None)


class Actor(Model):
    """Repeats the prompt and then follows it: answers, fails, or stalls."""

    id, provider = "actor", "test"
    ending = RunStatus.COMPLETED
    asked: list[Message]

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        self.asked = request.messages
        answer = f"re: {request.messages[-1].content}"
        yield Delta(content=answer)
        if self.ending is RunStatus.ERROR:
            raise ModelError("told to fail")
        if self.ending is RunStatus.CANCELLED:
            await asyncio.Event().wait()
        yield ModelResponse(content=answer, metrics=Metrics(input_tokens=1))


def write_summary(messages: list[Message], tools: Any) -> str:
    """Summarise as the model of the test does: by what users said, on from the summary before."""
    said = "\n".join(message.content or "" for message in messages)
    before = re.findall(r"<previous_summary>\n(.*)\n</previous_summary>", said)
    return json.dumps({"summary": " ".join([*before, *re.findall(r"^User: (.*)$", said, re.MULTILINE)]), "topics": []})


USERS = st.sampled_from([None, "ada", "bob"])
NAMES = st.sampled_from(["a", "b"])
AGENTS = st.sampled_from(["first", "second"])
ENDINGS = st.sampled_from([RunStatus.COMPLETED, RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED])
PLACES = st.integers(0, 7)


def is_any(what: str) -> Callable[[Any], Any]:
    return precondition(lambda machine: any(getattr(thread, what) for thread in machine.threads.values()))


class Sessions(RuleBasedStateMachine):
    """The store and the agents on one side, `threads` on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.db = InMemoryDb()
        self.actor = Actor()
        self.agents = {
            name: Agent(self.actor, id=name, db=self.db, add_history_to_context=True, num_history_runs=HISTORY_RUNS)
            for name in ("first", "second")
        }
        self.manager = SessionSummaryManager(FunctionModel(write_summary))
        self.threads: dict[str, Thread] = {}
        self.serial = 0

    def some(self, place: int) -> tuple[str, Thread]:
        """One of the sessions that have turns."""
        several = [item for item in self.threads.items() if item[1].turns]
        return several[place % len(several)]

    @rule(session_id=NAMES, user=USERS, agent=AGENTS, ending=ENDINGS)
    def run(self, session_id: str, user: str | None, agent: str, ending: RunStatus) -> None:
        thread = self.threads.get(session_id, Thread(owner=user))
        if thread.owner not in (None, user):
            with pytest.raises(SessionOwnershipError):
                self.agents[agent].run("let me in", session_id=session_id, user_id=user)
            self.compare(session_id)
            return
        thread.owner = user
        self.threads[session_id] = thread
        self.take(session_id, max(thread.turns, default=-1) + 1, agent, ending)

    @is_any("turns")
    @rule(place=PLACES, turn=PLACES, agent=AGENTS, ending=ENDINGS)
    def run_a_turn_again(self, place: int, turn: int, agent: str, ending: RunStatus) -> None:
        session_id, thread = self.some(place)
        turn = sorted(thread.turns)[turn % len(thread.turns)]
        for version in thread.versions:
            version.holds = version.holds and version.to_run_index < turn
        self.take(session_id, turn, agent, ending, again=True)

    def take(self, session_id: str, turn: int, name: str, ending: RunStatus, *, again: bool = False) -> None:
        """Run, and check the result."""
        thread, agent = self.threads[session_id], self.agents[name]
        self.serial += 1
        text = f"t{self.serial}"
        self.actor.ending = ending
        state = {"last": text, text: True}
        options: dict[str, Any] = {"session_id": session_id, "user_id": thread.owner, "session_state": state}
        with agent.run(text, stream=True, run_index=turn if again else None, **options) as events:
            assert next(events).content == f"re: {text}"
            if ending is RunStatus.ERROR:
                with pytest.raises(ModelError, match="told to fail"):
                    list(events)
            elif ending is RunStatus.CANCELLED:
                events.drain()
            else:
                list(events)
        history = [said for _, run in thread.completed(before=turn)[-HISTORY_RUNS:] for said in said_in(run)]
        assert [message.content for message in self.actor.asked] == [*history, text]
        attempt = thread.turns[turn][-1].attempt + 1 if again else 0
        run = Try(serial=self.serial, attempt=attempt, agent=name, user=thread.owner, text=text, status=ending)
        thread.turns.setdefault(turn, []).append(run)
        self.compare(session_id)

    @is_any("turns")
    @rule(place=PLACES, name=st.sampled_from(["Plans", "plans 50%", "Trip_1"]), user=USERS)
    def rename(self, place: int, name: str, user: str | None) -> None:
        session_id, thread = self.some(place)
        renamed = self.db.rename_session(session_id, session_name=name, user_id=user)
        assert (renamed is not None) == (user in (None, thread.owner))
        if renamed is not None:
            thread.name = name
        self.compare(session_id)
        named = {one for one, other in self.threads.items() if name.lower() in (other.name or "").lower()}
        assert {one.session_id for one in self.db.get_sessions(session_name=name.upper())} == named

    @is_any("turns")
    @rule(place=PLACES, user=USERS)
    def delete(self, place: int, user: str | None) -> None:
        session_id, thread = self.some(place)
        deleted = self.db.delete_session(session_id, user_id=user)
        assert deleted == (user in (None, thread.owner))
        if deleted:
            del self.threads[session_id]
            assert self.db.get_session(session_id) is None
            assert self.db.get_runs(session_id) == []

    @is_any("turns")
    @rule(place=PLACES)
    def summarise(self, place: int) -> None:
        session_id, thread = self.some(place)
        session = self.db.get_session(session_id)
        assert session is not None
        made = self.manager.create_session_summary(session)
        last = thread.summary()
        new = [
            (turn, run)
            for turn, run in thread.completed(before=len(thread.turns))
            if last is None or turn > last.to_run_index
        ]
        assert (made is not None) == bool(new)
        if new:
            first = new[0][0] if last is None else last.from_run_index
            text = " ".join([*([last.text] if last else []), *(run.text for _, run in new)])
            thread.versions.append(Version(text, first, new[-1][0]))
        self.compare(session_id)

    @is_any("turns")
    @rule(place=PLACES, turn=PLACES)
    def fork(self, place: int, turn: int) -> None:
        session_id, thread = self.some(place)
        turn = sorted(thread.turns)[turn % len(thread.turns)]
        fork = self.db.fork_session(session_id, to_run_index=turn)
        assert fork is not None
        self.threads[fork.session_id] = replace(
            thread,
            turns={at: [run] for at, run in thread.current() if at <= turn},
            versions=[replace(one) for one in thread.versions if one.holds and one.to_run_index <= turn],
            forked_from=session_id,
        )
        self.compare(session_id)
        self.compare(fork.session_id)

    def compare(self, session_id: str) -> None:
        """Compare what the objects of one session say."""
        thread, session = self.threads[session_id], self.db.get_session(session_id)
        assert session is not None
        assert (session.user_id, session.session_name, session.session_state, session.forked_from_session_id) == (
            thread.owner,
            thread.name,
            thread.state(),
            thread.forked_from,
        )
        assert [(run.run_index, run.attempt, run.input, run.status) for run in session.runs] == [
            (turn, run.attempt, run.text, run.status) for turn, run in thread.tries()
        ]
        assert [message.content for message in session.messages] == [
            said for _, run in thread.current() for said in said_in(run)
        ]
        assert session.metrics.input_tokens == tokens(thread)
        summary = thread.summary()
        assert str(session.summary) == (summary.text if summary else "None")

    def teardown(self) -> None:
        """Compare what the frames say of all sessions."""
        assert rows(self.db.sessions_df(), "session_id user_id session_name num_runs input_tokens") == ordered(
            (session_id, thread.owner, thread.name, len(thread.turns), tokens(thread))
            for session_id, thread in self.threads.items()
        )
        runs = self.db.runs_df()
        runs["is_current"] = runs["superseded_by"].isna()
        assert rows(runs, "session_id run_index attempt component_id user_id input status is_current stale") == ordered(
            (session_id, turn, run.attempt, run.agent, run.user, run.text, run.status, is_current, is_stale)
            for session_id, thread in self.threads.items()
            for turn, run in thread.tries()
            for is_current, is_stale in [(run is thread.turns[turn][-1], thread.is_stale(turn, run))]
        )
        assert rows(self.db.messages_df(), "session_id content") == ordered(
            (session_id, said)
            for session_id, thread in self.threads.items()
            for _, run in thread.tries()
            for said in said_in(run)
        )
        assert rows(self.db.summaries_df(), "session_id from_run_index to_run_index summary") == ordered(
            (session_id, one.from_run_index, one.to_run_index, one.text)
            for session_id, thread in self.threads.items()
            for one in thread.versions
        )
        for user in ("ada", "bob"):
            theirs = {session_id for session_id, thread in self.threads.items() if thread.owner == user}
            assert {session.session_id for session in self.db.get_sessions(user_id=user)} == theirs


def said_in(run: Try) -> tuple[str, str]:
    # Received text is kept, however the run ended.
    return run.text, f"re: {run.text}"


def tokens(thread: Thread) -> int | None:
    """Tokens of all attempts: one for each that has an answer, None if none has."""
    return sum(run.status is RunStatus.COMPLETED for _, run in thread.tries()) or None


def ordered(several: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(several, key=lambda row: [str(value) for value in row])


def rows(frame: Any, columns: str) -> list[tuple[Any, ...]]:
    """The rows of some columns, sorted, with None for nulls."""
    chosen = frame[columns.split()].astype(object)
    return ordered(chosen.where(chosen.notna(), None).itertuples(index=False, name=None))


def test_whatever_happens_the_store_and_the_frames_say_what_happened() -> None:
    run_state_machine_as_test(
        Sessions, settings=settings(max_examples=20, stateful_step_count=12, deadline=None, database=None)
    )
