"""Sessions: ownership, state, metrics, search, deletion."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import InvalidInputError, SessionNotFoundError, SessionOwnershipError
from agno_nb.types import (
    AgentSession,
    Message,
    Metrics,
    RunStatus,
    Session,
    SessionType,
    TeamSession,
    UserMemory,
    WorkflowSession,
)
from agno_nb_store_contract.conversation import answering, begin, calling, end, say


def ids(sessions: list[Session]) -> list[str]:
    return [session.session_id for session in sessions]


class SessionsContract:
    """Sessions: ownership, state, metrics, search, deletion."""

    @pytest.mark.parametrize(("owner", "other"), [("alice", "bob"), ("alice", None)])
    def test_a_session_is_closed_to_anybody_but_its_owner(self, db: Db, owner: str, other: str | None) -> None:
        say(db, "mine", user_id=owner)
        before = db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")
        with pytest.raises(SessionOwnershipError, match="session 's1' belongs to user 'alice'"):
            begin(db, "let me in", user_id=other, query=ContextQuery(num_history_runs=3))
        assert (db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")) == before

    @pytest.mark.parametrize("given", ["", 5, None])
    def test_what_is_no_id_is_refused(self, db: Db, tmp_path: Path, given: Any) -> None:
        say(db, "mine")
        memory = db.upsert_user_memory(UserMemory(user_id="alice", memory="Likes tea."))
        for use in (
            db.get_session,
            lambda session_id: db.rename_session(session_id, session_name="x"),
            lambda session_id: db.update_session_state(session_id, {}),
            db.fork_session,
            db.get_run,
            db.get_messages,
            db.get_session_metrics,
            db.get_summary,
            lambda session_id: db.export_session(session_id, tmp_path / "x.jsonl"),
            db.get_child_runs,
            db.delete_user_memory,
            lambda session_id: db.delete_sessions(["s1", session_id]),
            db.delete_session,
        ):
            with pytest.raises(InvalidInputError, match=r"_id is (empty|None|5, and ids are text)"):
                use(given)
        if given is not None:
            with pytest.raises(InvalidInputError, match=r"_id is (empty|5, and ids are text)"):
                db.check_owner("alice", run_id=given)
        assert [session.session_name for session in db.get_sessions()] == [None]
        assert db.get_user_memories() == [memory]

    def test_an_anonymous_session_is_claimed_once(self, db: Db) -> None:
        say(db, "nobody")
        say(db, "still nobody")
        say(db, "alice", user_id="alice")
        session = db.get_session("s1")
        assert session is not None
        assert session.user_id == "alice"
        assert [run.user_id for run in db.get_runs("s1")] == [None, None, "alice"]
        with pytest.raises(SessionOwnershipError):
            begin(db, "bob", user_id="bob")

    def test_check_owner_passes_for_the_owner_for_none_and_for_what_nobody_owns(self, db: Db) -> None:
        run = say(db, "mine", user_id="alice")
        other = say(db, "nobody's", session_id="s2")
        for ids in ({"session_id": "s1"}, {"run_id": run.run_id}, {"session_id": "s1", "run_id": run.run_id}):
            db.check_owner("alice", **ids)
            db.check_owner(None, **ids)
            for user_id in ("bob", "", "Alice", "alice "):
                with pytest.raises(SessionOwnershipError):
                    db.check_owner(user_id, **ids)
        db.check_owner("bob", session_id="s2")
        db.check_owner("bob", run_id=other.run_id)
        with pytest.raises(SessionOwnershipError, match="user_id '' matches no user"):
            db.check_owner("", session_id="s2")
        for anybody in ("bob", None, ""):
            db.check_owner(anybody, session_id="missing")
            db.check_owner(anybody, run_id="missing")

    @pytest.mark.parametrize("user_id", ["bob", ""])
    def test_no_method_finds_or_changes_a_session_for_another_user(self, db: Db, user_id: str, tmp_path: Path) -> None:
        say(db, "mine", user_id="alice")
        before = db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")
        methods = {
            name: inspect.signature(method).parameters
            for name, method in inspect.getmembers(Db, inspect.isfunction)
            if {"session_id", "user_id"} <= inspect.signature(method).parameters.keys()
        }
        assert {"get_session", "rename_session", "delete_session", "fork_session", "export_session"} <= methods.keys()
        values = {"session_name": "taken", "session_state": {"taken": True}, "path": tmp_path / "session.jsonl"}
        for name, parameters in methods.items():
            arguments = {key: value for key, value in values.items() if key in parameters}
            try:
                found = getattr(db, name)(session_id="s1", user_id=user_id, **arguments)
            except (SessionNotFoundError, SessionOwnershipError):
                found = None
            assert found is None or found is False or len(found) == 0, name
        assert list(tmp_path.glob("session.jsonl")) == []
        assert (db.get_session("s1"), db.get_runs("s1"), db.get_messages("s1")) == before
        assert len(db.get_sessions()) == 1

    def test_a_session_keeps_the_kind_of_its_first_run_and_each_run_has_its_own(self, db: Db) -> None:
        say(db, "one", kind=SessionType.TEAM, session=TeamSession(session_id="s1", session_type=SessionType.TEAM))
        say(db, "two", kind=SessionType.AGENT, session=AgentSession(session_id="s1"))
        workflow = WorkflowSession(session_id="s1", session_type=SessionType.WORKFLOW)
        query = ContextQuery(num_history_runs=9)
        run, opened = begin(db, "three", kind=SessionType.WORKFLOW, session=workflow, query=query)
        end(db, run, Message(role="assistant", content="3"))
        assert [message.content for message in opened.history if message.role == "user"] == ["one", "two"]
        begin(db, "a member", nested=True, kind=SessionType.AGENT, root_run_id=run.run_id)
        assert isinstance(opened.session, TeamSession)
        assert isinstance(db.get_session("s1"), TeamSession)
        assert db.get_session("s1", session_type="agent") is None
        assert db.sessions_df()["session_type"].tolist() == ["team"]
        assert db.runs_df(session_id="s1")["kind"].tolist() == ["team", "agent", "workflow", "agent"]
        assert [each.kind.value for each in db.get_runs("s1")] == ["team", "agent", "workflow", "agent"]
        assert db.verify() == []

    def test_a_session_is_stored_without_a_run_and_changed(self, db: Db) -> None:
        fresh = TeamSession(session_id="s1", session_type=SessionType.TEAM, session_name="N", component_id="t")
        fresh.session_state, fresh.metadata = {"n": 1}, {"tag": "x"}
        stored = db.upsert_session(fresh)
        assert stored == db.get_session("s1", session_type="team")
        assert (stored.session_name, stored.session_state, stored.metadata) == ("N", {"n": 1}, {"tag": "x"})
        assert stored.created_at == stored.updated_at > 0
        assert say(db, "hello", session_id="s1", user_id="ann").run_index == 0
        again = db.get_session("s1")
        assert again is not None
        again.session_name, again.session_state, again.metadata = None, {"n": 2}, None
        (changed,) = db.upsert_sessions([again])
        assert (changed.user_id, changed.session_name, changed.session_state, changed.metadata) == (
            "ann", None, {"n": 2}, None,
        )  # fmt: skip
        assert [run.input for run in changed.runs] == ["hello"]
        assert db.verify() == []

    @pytest.mark.parametrize("user_id", ["bob", None])
    def test_a_session_of_another_user_is_not_replaced(self, db: Db, user_id: str | None) -> None:
        say(db, "hello", user_id="ann")
        before = db.get_session("s1")
        with pytest.raises(SessionOwnershipError):
            db.upsert_session(AgentSession(session_id="s1", user_id=user_id, session_name="Mine"))
        with pytest.raises(InvalidInputError):
            db.upsert_session(AgentSession(session_id="s1", user_id="ann", session_state={"x": object()}))
        assert db.get_session("s1") == before

    def test_the_state_of_a_session_is_kept_until_it_is_replaced(self, db: Db) -> None:
        run, _ = begin(db, session=AgentSession(session_id="s1", session_state={"n": 0}))
        end(db, run, state={"n": 1, "é": [None, 1.5, True]})
        assert say(db, "b").run_index == 1
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"n": 1, "é": [None, 1.5, True]}

    def test_the_state_of_a_session_can_be_replaced_by_its_owner(self, db: Db) -> None:
        say(db, "a", user_id="ann", session=AgentSession(session_id="s1", session_state={"n": 0}))
        assert db.update_session_state("s1", {"n": 9}, user_id="bob") is None
        assert db.update_session_state("missing", {"n": 9}) is None
        changed = db.update_session_state("s1", {"m": [1]}, user_id="ann")
        assert changed is not None
        assert changed.session_state == {"m": [1]}
        assert changed == db.get_session("s1")

    def test_a_session_that_is_deleted_during_a_run_is_told_and_leaves_no_orphans(self, db: Db) -> None:
        run, _ = begin(db)
        assert db.delete_session("s1")
        answer = Message(role="assistant", content="late")
        run.messages.append(answer)
        for store in (db.add_messages, db.end_run):
            with pytest.raises(SessionNotFoundError, match="'s1' was deleted"):
                store(run, [answer])
        assert [db.query(f"SELECT * FROM {t}").arrow().num_rows for t in ("sessions", "runs", "messages")] == [0, 0, 0]

    def test_runs_at_the_same_time_change_what_they_changed_of_the_state(self, db: Db) -> None:
        end(db, begin(db)[0], state={"kept": 1, "gone": 1, "deep": {"a": 1}})
        first, opened = begin(db, "first")
        second, _ = begin(db, "second")
        found = opened.session.session_state
        db.end_run(first, session_state={"kept": 1, "mine": 1, "deep": {"a": 1, "b": 2}}, base_state=found)
        db.end_run(second, session_state={**found, "deep": {"a": 9}, "yours": [2]}, base_state=found)
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"kept": 1, "mine": 1, "yours": [2], "deep": {"a": 9, "b": 2}}

    def test_deleting_takes_all_rows_of_the_users_own_sessions(self, db: Db) -> None:
        for session_id, user_id in (("a", "alice"), ("b", "bob"), ("c", "alice"), ("d", "alice")):
            say(db, "x", [calling("f"), answering()], session_id=session_id, user_id=user_id)
        assert db.delete_session("a", user_id="bob") is False
        assert db.delete_session("a", user_id="") is False
        assert db.delete_session("a", user_id="alice") is True
        db.delete_sessions(["b", "c", "missing"], user_id="alice")
        db.delete_sessions([])
        with pytest.raises(InvalidInputError, match="session_ids is 'd'; pass a list"):
            db.delete_sessions("d")
        for table in ("sessions", "runs", "messages", "tool_calls"):
            found = (
                db.query(f"SELECT DISTINCT session_id FROM {table} ORDER BY session_id").arrow().column(0).to_pylist()
            )
            assert found == ["b", "d"], table

    def test_renaming(self, db: Db) -> None:
        say(db, "x", user_id="alice")
        assert db.rename_session("s1", session_name="No", user_id="bob") is None
        assert db.rename_session("s1", "team", "No") is None
        renamed = db.rename_session("s1", SessionType.AGENT, "Penguins", user_id="alice")
        assert renamed is not None
        assert renamed.session_name == "Penguins"
        assert renamed == db.get_session("s1")
        unnamed = db.rename_session("s1")
        assert unnamed is not None
        assert unnamed.session_name is None

    def test_sessions_are_found_by_what_is_asked(self, db: Db) -> None:
        team = TeamSession(session_id="c", session_type=SessionType.TEAM, component_id="t")
        for session in (
            Session(session_id="a", session_name="100% Penguins Ærø", component_id="x"),
            Session(session_id="b", session_name="100 penguins_too", component_id="x"),
            team,
        ):
            say(db, "x", session=session, session_id=session.session_id, user_id="bob" if session is team else "alice")
        made = db.get_sessions()[0].created_at
        assert ids(db.get_sessions()) == ["c", "b", "a"]
        assert ids(db.get_sessions(session_type="team")) == ["c"]
        assert ids(db.get_sessions(user_id="alice", sort_order="asc")) == ["a", "b"]
        assert ids(db.get_sessions(user_id="")) == []
        assert ids(db.get_sessions(component_id="x", sort_by="session_id")) == ["b", "a"]
        assert ids(db.get_sessions(session_name="PENGUINS", sort_by="created_at", sort_order="asc")) == ["a", "b"]
        assert ids(db.get_sessions(session_name="0%")) == ids(db.get_sessions(session_name="æRØ")) == ["a"]
        assert ids(db.get_sessions(session_name="s_t")) == ["b"]
        assert ids(db.get_sessions(sort_by="session_name")) == ["a", "b", "c"]
        assert ids(db.get_sessions(start_timestamp=made, end_timestamp=made))
        with pytest.raises(InvalidInputError, match="end_timestamp is '2026-01-31'; pass unix seconds"):
            db.get_sessions(end_timestamp="2026-01-31")  # type: ignore[arg-type]
        assert ids(db.get_sessions(start_timestamp=made + 100)) == ids(db.get_sessions(end_timestamp=made - 100)) == []
        assert ids(db.get_sessions(limit=2)) == ["c", "b"]
        assert ids(db.get_sessions(limit=2, page=2)) == ["a"]
        say(db, "y", session_id="a", user_id="alice")
        assert ids(db.get_sessions()) == ["a", "c", "b"]

    @pytest.mark.parametrize(
        "arguments",
        [{"sort_by": "input; DROP"}, {"sort_order": "up"}, {"page": 2}, {"page": 0, "limit": 1}, {"limit": -1},
         {"session_type": "crew"}],
    )  # fmt: skip
    def test_a_question_that_makes_no_sense_is_refused(self, db: Db, arguments: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError):
            db.get_sessions(**arguments)

    def test_metrics_of_a_session_are_the_sum_of_its_runs(self, db: Db) -> None:
        def spoken(cost: float | None) -> list[Message]:
            metrics = Metrics(input_tokens=10, output_tokens=1, cache_read_tokens=5, cost=cost)
            return [Message(role="assistant", content="x", metrics=metrics)]

        say(db, "a", spoken(0.5))
        say(db, "a2", spoken(0.25), run_index=0)
        begin(db, "running")
        end(db, begin(db, "refused key")[0], status=RunStatus.ERROR)
        assert db.get_session_metrics("s1") == Metrics(
            input_tokens=20, output_tokens=2, cache_read_tokens=10, cost=0.75, duration_s=6.0
        )
        say(db, "price unknown", spoken(None))
        assert db.get_session_metrics("s1").cost is None
        totals = db.query("SELECT num_runs, first_input, input_tokens, total_tokens, cost FROM sessions").arrow()
        assert totals.to_pylist() == [
            {"num_runs": 4, "first_input": "a2", "input_tokens": 30, "total_tokens": 33, "cost": None}
        ]

    def test_an_anonymous_session_that_many_claim_at_once_has_one_owner(self, db: Db) -> None:
        say(db, "nobody's")

        def claim(user_id: str) -> bool:
            try:
                say(db, "mine", user_id=user_id)
            except SessionOwnershipError:
                return False
            return True

        users = [f"user {n}" for n in range(8)]
        with ThreadPoolExecutor(8) as pool:
            claimed = list(pool.map(claim, users))
        session = db.get_session("s1")
        assert session is not None
        assert [user for user, has in zip(users, claimed, strict=True) if has] == [session.user_id]
        assert [run.user_id for run in db.get_runs("s1")] == [None, session.user_id]

    def test_sessions_that_are_deleted_while_others_write_leave_no_orphans(self, db: Db) -> None:
        def talk(n: int) -> None:
            run, _ = begin(db, "x", session_id=f"s{n % 4}")
            try:
                end(db, run, calling("f"), answering())
            except SessionNotFoundError:
                return

        with ThreadPoolExecutor(8) as pool:
            talks = [pool.submit(talk, n) for n in range(32)]
            deletes = [pool.submit(db.delete_sessions, [f"s{n}" for n in range(4)]) for _ in range(8)]
        assert [done.exception() for done in talks + deletes] == [None] * 40
        orphans = "SELECT count(*) AS n FROM {} WHERE session_id NOT IN (SELECT session_id FROM raw_sessions)"
        for table in ("raw_runs", "raw_messages", "raw_tool_calls"):
            assert db.arrow(orphans.format(table)).to_pylist() == [{"n": 0}]

    def test_a_session_is_read_with_its_latest_turns_or_without_runs(self, db: Db) -> None:
        for text in "abc":
            say(db, text)
        for limit, found in ((None, ["a", "b", "c"]), (2, ["b", "c"]), (0, [])):
            session = db.get_session("s1", runs_limit=limit)
            assert session is not None
            assert [run.input for run in session.runs] == found
        assert [[run.input for run in session.runs] for session in db.get_sessions(include_runs=False)] == [[]]
        assert [[run.input for run in session.runs] for session in db.get_sessions()] == [["a", "b", "c"]]
