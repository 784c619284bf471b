"""DataFrames and SQL queries."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import pytest

from agno_nb.db.base import Db
from agno_nb.db.frame_definitions import FRAMES
from agno_nb.errors import QueryError
from agno_nb.types import Annotation, Message, SessionSummary, StepOutput, UserMemory, Variable
from agno_nb_store_contract.conversation import answering, begin, calling, end, say

NAMED = Variable(name="n", type="int", hash="0" * 16, chars=1)


def fill(db: Db, session_ids: Sequence[str]) -> None:
    """Write at least one row of every frame for each session."""
    for session_id in session_ids:
        answer = Message(role="assistant", content="It is 42.")
        said = [calling("f"), answering(), answer]
        run = say(db, "How many?", said, session_id=session_id, user_id="ann", variables=[NAMED])
        db.add_step(run, StepOutput("42", step_name="count", path="count"), 0)
        db.add_summary(SessionSummary(session_id=session_id, summary="Numbers.", from_run_index=0, to_run_index=0))
        db.add_annotations([Annotation(run.run_id, label="good")])
    db.upsert_user_memory(UserMemory(user_id="ann", memory="Counts."))


def dtypes(db: Db, view: str) -> list[tuple[str, str]]:
    frame = getattr(db, f"{view}_df")()
    return [(name, str(dtype)) for name, dtype in frame.dtypes.items()]


class FramesContract:
    """DataFrames and SQL queries."""

    @pytest.mark.parametrize("view", FRAMES)
    def test_a_frame_has_its_columns_and_dtypes_with_rows_and_without(self, db: Db, view: str) -> None:
        assert dtypes(db, view) == list(FRAMES[view].columns.items())
        fill(db, ["s1"])
        assert dtypes(db, view) == list(FRAMES[view].columns.items())
        assert len(getattr(db, f"{view}_df")()) >= 1

    def test_a_frame_shows_what_was_written_and_deleted_since_the_last_one(self, db: Db) -> None:
        fill(db, ["s1", "s2"])
        assert db.runs_df()["session_id"].tolist() == ["s1", "s2"]
        assert db.messages_df(session_id="s1")["role"].tolist().count("tool") == 1
        run, _ = begin(db, "again", session_id="s2", user_id="ann")
        assert db.runs_df(session_id="s2")["status"].tolist() == ["COMPLETED", "RUNNING"]
        end(db, run, Message(role="assistant", content="done"))
        assert db.runs_df()["status"].tolist() == ["COMPLETED"] * 3
        assert db.runs_df(session_id=["s2"])["content"].tolist() == ["It is 42.", "done"]
        db.rename_session("s1", session_name="Tea")
        assert db.sessions_df(session_id="s1")["session_name"].tolist() == ["Tea"]
        db.delete_session("s2")
        assert set(db.messages_df()["session_id"]) == set(db.tool_calls_df()["session_id"]) == {"s1"}
        assert db.messages_df(session_id="s2").empty

    def test_current_attempts_are_those_in_the_conversation(self, db: Db) -> None:
        """The first turn was tried again, and a run in another session was nested in its first attempt."""
        for run_id, turn, model in (("r1", None, "old"), ("r2", None, "old"), ("r3", 0, "new")):
            run, _ = begin(db, "x", run_id=run_id, run_index=turn, model=model, variables=[NAMED])
            if run_id == "r1":
                nested, _ = begin(
                    db, "x", run_id="n1", session_id="s2", parent_run_id="r1", root_run_id="r1", nested=True
                )
                end(db, nested, Message(role="assistant", content="y"))
            end(db, run, calling("f"), answering())
            db.add_step(run, StepOutput(step_name="x"), 0)
        all_runs, current = {"r1", "n1", "r2", "r3"}, {"r2", "r3"}
        for view in ("runs", "run_tree", "messages", "events", "tool_calls", "steps", "variables"):
            read = getattr(db, f"{view}_df")
            own = all_runs - ({"n1"} if view in ("tool_calls", "steps", "variables") else set())
            assert set(read()["run_id"]) == set(read(attempts="all")["run_id"]) == own, view
            assert set(read(attempts="current")["run_id"]) == current, view
            assert set(read(attempts="current", session_id=["s1", "s2"])["run_id"]) == current, view
            assert set(read(attempts="current", run_id=["n1", "r1", "r2"])["run_id"]) == {"r2"}, view
            assert set(read(attempts="current", limit=100)["run_id"]) == current, view
            assert read(attempts="current", session_id="s2").empty, view
        assert db.runs_df(model="new")["run_id"].tolist() == ["r3"]
        assert set(db.run_tree_df(model=["new", "old"], attempts="current")["run_id"]) == current

    def test_a_session_has_changed_when_a_run_began_and_when_one_ended(self, db: Db) -> None:
        say(db, "first")
        (after_first,) = db.sessions_df()["updated_at"]
        run, _ = begin(db, "second", created_at=time.time() + 3600.0)
        frame = db.sessions_df()
        assert frame["updated_at"].tolist() == frame["last_run_at"].tolist() > [after_first]
        db.delete_session("s1")
        run, _ = begin(db, "third", created_at=0.0)
        (begun,) = db.sessions_df()["updated_at"]
        end(db, run)
        (ended,) = db.sessions_df()["updated_at"]
        session = db.get_session("s1")
        assert session is not None
        assert begun < ended
        assert session.updated_at == int(ended.timestamp())

    def test_frames_of_some_sessions_are_those_rows_of_the_whole(self, db: Db) -> None:
        fill(db, ["s1", 'it\'s \\ "quoted" ? %s $1', "s3"])
        say(db, "again", session_id="s3", run_index=0, user_id="ann")
        some = ['it\'s \\ "quoted" ? %s $1', "s3", "missing"]
        for view in set(FRAMES) - {"memories"}:
            read = getattr(db, f"{view}_df")
            whole = read()
            found = read(session_id=some)
            assert len(found) > 0
            assert found.equals(whole[whole["session_id"].isin(some)].reset_index(drop=True))
            assert read(session_id=[]).empty

    @pytest.mark.parametrize("view", FRAMES)
    def test_the_latest_rows_are_the_end_of_the_whole(self, db: Db, view: str) -> None:
        fill(db, ["s1", "s2"])
        asked, _ = begin(db, "crew", run_id="asked", session_id="s1", user_id="ann")
        nested, _ = begin(db, "inner", session_id="s3", parent_run_id="asked", user_id="ann", nested=True)
        say(db, "again", session_id="s2", run_index=0, user_id="ann", variables=[NAMED])
        end(db, nested, calling("g", "c2"), answering("c2"), Message(role="assistant", content="done"))
        end(db, asked, Message(role="assistant", content="done"))
        db.upsert_user_memory(UserMemory(user_id="ben", memory="Reads."))
        read = getattr(db, f"{view}_df")
        whole = read()
        for limit in (1, 2, 3, 100):
            assert read(limit=limit).equals(whole.tail(limit).reset_index(drop=True))
        if "session_id" in whole:
            of_one = whole[whole["session_id"] == "s2"]
            assert read(session_id="s2", limit=1).equals(of_one.tail(1).reset_index(drop=True))
        if "run_id" in whole:
            run_id = whole["run_id"].iloc[-1]
            of_one = whole[whole["run_id"] == run_id]
            assert read(run_id=run_id).equals(of_one.reset_index(drop=True))
            assert read(run_id=run_id, limit=1).equals(of_one.tail(1).reset_index(drop=True))

    @pytest.mark.parametrize("isolated", [False, True], ids=["in process", "isolated"])
    def test_a_query_joins_all_that_it_names_in_whatever_way(self, db: Db, isolated: bool) -> None:
        query = partial(db.query, isolated=isolated)
        fill(db, ["s1"])
        assert query("FROM runs JOIN Messages USING (run_id, session_id)").df()["role"].count() == 4
        assert len(query("FROM query_table('tool' || '_calls')").df()) == 1
        assert len(query("FROM query('FROM raw' || '_messages')").df()) == 4
        named = query('WITH x AS (SELECT count(*) AS n FROM "SUMMARIES") SELECT n, first_input FROM x, sessions')
        assert named.arrow().to_pylist() == [{"n": 1, "first_input": "How many?"}]
        assert "runs" in query("SHOW TABLES").df()["name"].tolist()

    @pytest.mark.parametrize("isolated", [False, True], ids=["in process", "isolated"])
    @pytest.mark.parametrize(
        "sql",
        ["DELETE FROM raw_runs", "WITH gone AS (DELETE FROM raw_runs RETURNING *) FROM gone", "FROM nowhere",
         "SELECT 1; DELETE FROM raw_runs", "FROM read_text('/etc/hostname')", "SELECT 'open"],
    )  # fmt: skip
    def test_a_query_only_reads(self, db: Db, sql: str, isolated: bool) -> None:
        fill(db, ["s1"])
        with pytest.raises(QueryError):
            db.query(sql, isolated=isolated)
        assert len(db.get_runs("s1")) == len(db.runs_df()) == 1
