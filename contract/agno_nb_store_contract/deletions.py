"""Deleting runs, and finding runs in all sessions."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import InvalidInputError, SessionBusyError, SessionNotFoundError
from agno_nb.types import Media, Message, Metrics, RunEvent, RunStatus, Session, SessionSummary, SessionType
from agno_nb_store_contract.conversation import START, answering, begin, calling, end, say


def talk(db: Db, *texts: str, session_id: str = "s1", **fields: Any) -> None:
    """Write a turn for each text, 10 seconds apart, whose run has the text as its ID."""
    for place, text in enumerate(texts):
        fields |= {"run_id": text, "session_id": session_id, "created_at": START + 10 * place}
        say(db, text, **fields)


def summarise(db: Db, to_run_index: int) -> None:
    db.add_summary(
        SessionSummary(
            session_id="s1",
            summary=f"up to {to_run_index}",
            from_run_index=0,
            to_run_index=to_run_index,
            updated_at=START + 10 * to_run_index + 5,
        )
    )


def inputs(db: Db, **arguments: Any) -> list[str]:
    return [run.input for run in db.get_runs(**arguments)]


class DeletionsContract:
    """Deleting runs, and finding runs in all sessions."""

    def test_a_deleted_run_takes_its_rows_and_its_nested_runs_along(self, db: Db) -> None:
        talk(db, "kept")
        turn, _ = begin(db, "turn", run_id="turn", created_at=START + 10)
        inner, _ = begin(db, "inner", run_id="inner", nested=True, parent_run_id="turn", root_run_id="turn")
        innermost, _ = begin(db, "innermost", run_id="deep", nested=True, parent_run_id="inner", root_run_id="turn")
        for run in (innermost, inner):
            end(db, run, calling("f"), answering(), Message(role="assistant", content="42"))
        db.add_event(inner, RunEvent.model_request_retried, "Retried")
        end(db, turn, Message(role="assistant", content="42"))
        assert db.delete_run("turn") is True
        assert inputs(db, session_id="s1") == ["kept"]
        assert [message.content for message in db.get_messages("s1")] == ["kept", "answer to kept"]
        assert (len(db.tool_calls_df()), set(db.events_df()["run_id"])) == (0, {"kept"})
        assert db.verify() == []
        assert db.delete_run("turn") is False

    def test_a_nested_run_is_deleted_without_its_turn(self, db: Db) -> None:
        turn, _ = begin(db, "turn", run_id="turn")
        inner, _ = begin(db, "inner", run_id="inner", nested=True, parent_run_id="turn", root_run_id="turn")
        for run in (inner, turn):
            end(db, run, Message(role="assistant", content="done"))
        assert db.delete_run("inner") is True
        assert inputs(db, session_id="s1") == ["turn"]
        assert db.verify() == []

    def test_a_nested_run_of_a_paused_turn_is_not_deleted(self, db: Db) -> None:
        turn, _ = begin(db, "turn", run_id="turn")
        inner, _ = begin(db, "inner", run_id="inner", nested=True, parent_run_id="turn", root_run_id="turn")
        for run in (inner, turn):
            end(db, run, Message(role="assistant", content="May I?"), status=RunStatus.PAUSED)
        with pytest.raises(SessionBusyError, match="run 'inner' is part of run 'turn', which is paused"):
            db.delete_run("inner")
        assert db.delete_run("turn") is True
        assert inputs(db, session_id="s1") == []

    def test_a_summary_of_a_turn_that_was_deleted_in_the_meantime_is_not_stored(self, db: Db) -> None:
        talk(db, "a", "b", "c")
        summarise(db, 1)
        previous = db.get_summary("s1")
        db.delete_run("a")
        summary = SessionSummary(session_id="s1", summary="all", to_run_index=2)
        with pytest.raises(SessionNotFoundError, match="a turn or a summary that it is based on was deleted"):
            db.add_summary(summary, run_ids=["a", "b", "c"])
        with pytest.raises(SessionNotFoundError, match="a turn or a summary that it is based on was deleted"):
            db.add_summary(summary, run_ids=["c"], previous=previous)
        assert db.summaries_df().empty
        assert db.add_summary(summary, run_ids=["b", "c"]).version == 0

    def test_other_turns_keep_their_numbers(self, db: Db) -> None:
        talk(db, "a", "b", "c", "d")
        db.delete_runs(["b", "nobody"])
        say(db, "e", created_at=START + 40)
        assert [(run.input, run.run_index) for run in db.get_runs("s1")] == [("a", 0), ("c", 2), ("d", 3), ("e", 4)]
        assert [message.content for message in db.get_messages("s1", last_n_runs=3) if message.role == "user"] == [
            "c",
            "d",
            "e",
        ]
        _, opened = begin(db, "now", query=ContextQuery(num_history_runs=3), created_at=START + 50)
        assert opened.turns == [(2, "c"), (3, "d"), (4, db.get_runs("s1", limit=2)[0].run_id)]
        assert db.verify() == []

    def test_the_next_turn_does_not_see_the_deleted_one(self, db: Db) -> None:
        talk(db, "a", "b")
        assert db.delete_run("b") is True
        run, opened = begin(db, "now", query=ContextQuery(num_history_runs=5), created_at=START + 20)
        assert [message.content for message in opened.history] == ["a", "answer to a"]
        assert run.run_index == 1

    def test_without_the_latest_attempt_the_one_before_is_current(self, db: Db) -> None:
        talk(db, "a", "b")
        say(db, "again", run_id="again", run_index=0, created_at=START + 20)
        assert db.delete_run("again") is True
        assert [message.content for message in db.get_messages("s1") if message.role == "user"] == ["a", "b"]
        assert db.runs_df()["stale"].tolist() == [False, False]
        assert db.verify() == []

    def test_summaries_of_a_deleted_turn_are_deleted(self, db: Db) -> None:
        talk(db, "a", "b", "c")
        for turn in range(3):
            summarise(db, turn)
        db.delete_run("b")
        assert db.summaries_df()["summary"].tolist() == ["up to 0"]
        assert db.verify() == []

    def test_media_of_a_deleted_run_stay_if_another_has_them(self, db: Db) -> None:
        for place, content in enumerate((b"one", b"both", b"both")):
            run_id = f"r{place}"
            run, _ = begin(db, run_id, run_id=run_id, created_at=START + 10 * place)
            media = [Media(kind="image", content=content, mime_type="image/png")]
            end(db, run, Message(role="tool", content="", media=media), Message(role="assistant", content="Seen."))
        db.delete_runs(["r0", "r1"])
        (run,) = db.get_runs("s1")
        assert [media.content for message in run.messages for media in message.media] == [b"both"]
        assert [problem for problem in db.verify() if "media" in problem] == []

    def test_a_cached_answer_is_deleted_with_its_run(self, db: Db) -> None:
        talk(db, "a", context_hash="h")
        assert db.find_cached_run("h") is not None
        db.delete_run("a")
        assert db.find_cached_run("h") is None

    @pytest.mark.parametrize(("user_id", "is_deleted"), [("ada", True), (None, True), ("bob", False), ("", False)])
    def test_a_user_deletes_runs_of_own_sessions_only(self, db: Db, user_id: str | None, is_deleted: bool) -> None:
        talk(db, "a", user_id="ada")
        assert db.delete_run("a", user_id) is is_deleted
        assert (db.get_run("a") is None) is is_deleted

    def test_a_run_in_progress_is_not_deleted_nor_anything_with_it(self, db: Db) -> None:
        talk(db, "a")
        run, _ = begin(db, "b", run_id="b", created_at=START + 10)
        with pytest.raises(SessionBusyError, match="run 'b' is still running"):
            db.delete_runs(["a", "b"])
        assert inputs(db, session_id="s1") == ["a", "b"]
        end(db, run, Message(role="assistant", content="done"))
        db.delete_runs(["a", "b"])
        assert db.get_runs("s1") == []
        assert db.get_session("s1") is not None

    def test_a_text_is_no_list_of_runs(self, db: Db) -> None:
        with pytest.raises(InvalidInputError, match="use delete_run"):
            db.delete_runs("r1")

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ({}, ["a", "b", "c", "d"]),
            ({"session_id": "s1"}, ["a", "c"]),
            ({"user_id": "bob"}, ["d"]),
            ({"user_id": ""}, []),
            ({"agent_id": "x"}, ["a", "b"]),
            ({"team_id": "x"}, ["c"]),
            ({"workflow_id": "x"}, []),
            ({"status": RunStatus.ERROR}, ["d"]),
            ({"status": "COMPLETED", "agent_id": "x", "session_id": "s2"}, ["b"]),
            ({"limit": 3}, ["b", "c", "d"]),
            ({"limit": 3, "page": 2}, ["a"]),
            ({"session_id": "s1", "limit": 1, "page": 2}, ["a"]),
            ({"limit": 2, "sort_order": "asc"}, ["a", "b"]),
            ({"limit": 2, "page": 2, "sort_order": "asc"}, ["c", "d"]),
            ({"sort_by": "created_at"}, ["d", "c", "b", "a"]),
            ({"sort_by": "ended_at", "sort_order": "asc", "limit": 1}, ["a"]),
        ],
        ids=str,
    )
    def test_runs_of_all_sessions_are_found(self, db: Db, arguments: dict[str, Any], found: list[str]) -> None:
        agent = {"component_id": "x"}
        say(db, "a", session_id="s1", created_at=START, **agent)
        say(db, "b", session_id="s2", created_at=START + 10, **agent)
        say(db, "c", session_id="s1", created_at=START + 20, kind=SessionType.TEAM, **agent)
        say(db, "d", session_id="s3", created_at=START + 30, status=RunStatus.ERROR, user_id="bob")
        assert inputs(db, **arguments) == found

    def test_runs_of_all_sessions_are_whole(self, db: Db) -> None:
        for session_id in ("s1", "s2"):
            run, _ = begin(db, "n?", session=Session(session_id=session_id), session_id=session_id)
            usage = Metrics(input_tokens=1, output_tokens=1)
            end(db, run, calling("f"), answering(), Message(role="assistant", content="42", metrics=usage))
        assert db.get_runs() == [*db.get_runs("s1"), *db.get_runs("s2")]

    @pytest.mark.parametrize(
        "arguments",
        [
            {"session_id": ""},
            {"session_id": 5},
            {"status": "DONE"},
            {"sort_by": "input"},
            {"sort_order": "up"},
            {"page": 1},
        ],
        ids=str,
    )
    def test_a_search_that_makes_no_sense_is_refused(self, db: Db, arguments: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError):
            db.get_runs(**arguments)
