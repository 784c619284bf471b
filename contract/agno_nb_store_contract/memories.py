"""Summaries of sessions and memories of users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import InvalidInputError, SessionNotFoundError
from agno_nb.types import Metrics, ModelMetrics, RunEvent, SessionSummary, UserMemory
from agno_nb_store_contract.conversation import START, begin, say


def summarise(db: Db, to_run_index: int, session_id: str = "s1", **fields: Any) -> SessionSummary:
    summary = SessionSummary(session_id=session_id, summary=f"up to {to_run_index}", from_run_index=0, **fields)
    return db.add_summary(replace(summary, to_run_index=to_run_index))


def shown(db: Db, num_history_runs: int = 0, **fields: Any) -> str | None:
    """Return the summary that is loaded for a run."""
    query = ContextQuery(num_history_runs=num_history_runs, summary=True)
    summary = begin(db, "now", query=query, **fields)[1].summary
    return summary.summary if summary else None


class MemoriesContract:
    """Summaries of sessions and memories of users."""

    def test_a_summary_comes_back_whole_and_every_version_is_kept(self, db: Db) -> None:
        say(db, "a")
        first = summarise(
            db, 0, topics=["letters", "é"], model="m", model_provider="p", updated_at=START,
            metrics=Metrics(input_tokens=5, output_tokens=2, cost=0.5, time_to_first_token_s=0.1, duration_s=0.25),
        )  # fmt: skip
        assert (first.version, db.get_summary("s1")) == (0, first)
        second = summarise(db, 0, updated_at=START + 1)
        assert (second.version, db.get_summary("s1")) == (1, second)
        assert db.summaries_df()["summary"].tolist() == ["up to 0", "up to 0"]
        session = db.get_session("s1")
        assert session is not None
        assert session.summary == second
        assert db.get_summary("s2") is None

    def test_a_summary_needs_a_session(self, db: Db) -> None:
        for session_id in ("s1", None):
            with pytest.raises(SessionNotFoundError, match=f"no session {session_id!r}"):
                db.add_summary(SessionSummary(session_id=session_id, summary="x"))

    def test_a_run_is_given_the_latest_summary_of_what_its_history_does_not_show(self, db: Db) -> None:
        for n in range(6):
            say(db, f"{n}")
        for to_run_index in (1, 3, 5):
            summarise(db, to_run_index)
        assert shown(db) == "up to 5"
        assert shown(db, 1) == "up to 3"
        assert shown(db, 2) == "up to 3"
        assert shown(db, 3) == "up to 1"
        assert shown(db, 99) is None
        assert shown(db, run_index=4) == "up to 3"
        # Turn 4 now has a newer attempt than the one that was summarized.
        assert shown(db) == "up to 3"
        assert begin(db, "now")[1].summary is None

    def test_a_summary_holds_until_a_turn_that_it_covers_is_tried_again(self, db: Db) -> None:
        for n in range(4):
            say(db, f"{n}")
        for to_run_index in (1, 3):
            summarise(db, to_run_index)
        say(db, "2 again", run_index=2)
        held = db.get_summary("s1")
        assert held is not None
        assert held.to_run_index == 1
        again = summarise(db, 3)
        latest = db.get_summary("s1")
        assert latest is not None
        assert (again.version, latest.version) == (2, 2)
        before = db.get_summary("s1", before_run_index=3)
        assert before is not None
        assert (before.to_run_index, db.get_summary("s1", before_run_index=1)) == (1, None)

    def test_the_summary_that_followed_a_run_is_found_when_it_holds_no_more(self, db: Db) -> None:
        runs = [say(db, "a", created_at=0.0), say(db, "b", created_at=10.0)]
        runs += [say(db, "a again", created_at=20.0, run_index=0), say(db, "b again", created_at=30.0, run_index=1)]
        for to_run_index, updated_at in ((0, 5.0), (0, 25.0), (1, 35.0), (1, 36.0)):
            text = f"{to_run_index} at {updated_at}"
            db.add_summary(
                SessionSummary(session_id="s1", summary=text, to_run_index=to_run_index, updated_at=updated_at)
            )
        found = [summary and summary.summary for summary in map(db.get_summary_after, runs)]
        assert found == ["0 at 5.0", None, "0 at 25.0", "1 at 35.0"]

    def test_the_usage_of_summaries_and_memories_is_found_by_model(self, db: Db) -> None:
        runs = [say(db, text, created_at=START + 10 * place) for place, text in enumerate("ab")]
        for place, run in enumerate(runs):
            usage = Metrics(input_tokens=10 + place, output_tokens=1, cost=0.5)
            summarise(db, place, model="w", model_provider="p", updated_at=START + 10 * place + 5, metrics=usage)
            db.add_event(run, RunEvent.memory_update_completed, "Updated", model="k", metrics=Metrics(input_tokens=7))
        db.add_event(runs[0], RunEvent.model_request_retried, "Retried", model="m")
        say(db, "another session", session_id="s2")
        first, of_session = db.get_background_details("s1", runs[0]), db.get_background_details("s1")
        assert first == {
            "memory_model": [ModelMetrics(id="k", input_tokens=7)],
            "session_summary_model": [ModelMetrics(id="w", provider="p", input_tokens=10, output_tokens=1, cost=0.5)],
        }
        assert of_session == {
            "memory_model": [ModelMetrics(id="k", input_tokens=14)],
            "session_summary_model": [ModelMetrics(id="w", provider="p", input_tokens=21, output_tokens=2, cost=1.0)],
        }
        assert db.get_background_details("s2") == {}

    def test_memories_are_of_a_user_and_across_sessions(self, db: Db) -> None:
        said = [
            UserMemory(memory="Likes TEA", user_id="ann", topics=["food"], input="I like tea", component_id="x"),
            UserMemory(memory="Was born in Ålesund", user_id="ann", topics=["place", "life"]),
            UserMemory(memory="Likes teapots", user_id="bob", topics=["food"], component_id="x"),
        ]
        kept = [db.upsert_user_memory(replace(memory, created_at=START + n)) for n, memory in enumerate(said)]
        tea, town, pots = kept
        assert db.get_user_memories() == kept
        assert db.get_user_memories("ann") == [tea, town]
        assert db.get_user_memories("") == []
        assert db.get_user_memories(component_id="x") == [tea, pots]
        assert db.get_user_memories(topics=["life", "place"]) == [town]
        assert db.get_user_memories(topics=["life", "food"]) == []
        assert db.get_user_memories(search_content="tea") == [tea, pots]
        assert db.get_user_memories("ann", search_content="åLESUND") == [town]
        assert db.get_user_memories(limit=2) == [tea, town]
        assert db.get_user_memories(limit=2, page=2) == [pots]
        query = ContextQuery(memories=True)
        assert begin(db, "x", session_id="new", user_id="ann", query=query)[1].memories == [tea, town]
        assert begin(db, "x", session_id="nobody's", query=query)[1].memories == []
        assert begin(db, "x", session_id="new", user_id="ann")[1].memories == []

    def test_a_memory_is_changed_and_deleted_only_as_it_was_read(self, db: Db) -> None:
        first = db.upsert_user_memory(UserMemory(memory="Likes tea", user_id="ann", memory_id="m1"))
        changed = db.update_user_memory(replace(first, memory="Likes coffee"), expected_updated_at=first.updated_at)
        assert changed is not None
        assert changed == replace(first, memory="Likes coffee", updated_at=changed.updated_at)
        assert changed.updated_at > first.updated_at
        assert db.update_user_memory(replace(first, memory="Late"), expected_updated_at=first.updated_at) is None
        assert db.update_user_memory(replace(changed, user_id="bob"), expected_updated_at=changed.updated_at) is None
        assert db.delete_user_memory("m1", "ann", expected_updated_at=first.updated_at) is False
        assert db.get_user_memories() == [changed]
        assert db.delete_user_memory("m1", "ann", expected_updated_at=changed.updated_at) is True
        assert db.update_user_memory(changed, expected_updated_at=changed.updated_at) is None
        assert db.get_user_memories() == []

    def test_a_memory_is_replaced_by_the_one_of_its_id_and_keeps_when_it_was_learnt(self, db: Db) -> None:
        first = db.upsert_user_memory(UserMemory(memory="Likes tea", user_id="ann", memory_id="m1", created_at=START))
        second = db.upsert_user_memory(
            UserMemory(memory="Likes coffee", user_id="ann", memory_id="m1", topics=["food"])
        )
        assert second == replace(first, memory="Likes coffee", topics=["food"], updated_at=second.updated_at)
        assert second.updated_at >= first.updated_at
        assert db.get_user_memories() == [second]

    @pytest.mark.parametrize("user_id", [None, "", "bob"])
    def test_a_memory_of_nobody_or_under_the_id_of_somebody_elses_is_refused(self, db: Db, user_id: str | None) -> None:
        kept = db.upsert_user_memory(UserMemory(memory="Likes tea", user_id="ann", memory_id="m1"))
        with pytest.raises(InvalidInputError, match="user"):
            db.upsert_user_memory(UserMemory(memory="Hates tea", user_id=user_id, memory_id="m1"))
        assert db.get_user_memories() == [kept]

    def test_deleting_memories(self, db: Db) -> None:
        for n, user_id in enumerate(("ann", "ann", "bob", "carol")):
            db.upsert_user_memory(UserMemory(memory="x", user_id=user_id, memory_id=f"m{n}"))
        assert db.delete_user_memory("m0", user_id="bob") is False
        assert db.delete_user_memory("m0", user_id="ann") is True
        assert db.delete_user_memory("m0") is False
        db.clear_memories("bob")
        assert [memory.memory_id for memory in db.get_user_memories()] == ["m1", "m3"]
        db.clear_memories()
        assert db.get_user_memories() == []

    def test_memories_are_stored_read_and_deleted_several_at_a_time(self, db: Db) -> None:
        topics = [["b", "a"], ["c"], []]
        said = [
            UserMemory(memory=f"{n}", user_id="ann", topics=each, memory_id=f"m{n}") for n, each in enumerate(topics)
        ]
        stored = db.upsert_memories([*said, UserMemory(memory="3", user_id="bob", topics=["a", "d"], memory_id="m3")])
        assert [memory.memory_id for memory in stored] == ["m0", "m1", "m2", "m3"]
        assert db.get_user_memory("m1") == db.get_user_memory("m1", "ann") == stored[1]
        assert db.get_user_memory("m1", "bob") is None
        assert (db.get_all_memory_topics(), db.get_all_memory_topics("ann")) == (["a", "b", "c", "d"], ["a", "b", "c"])
        stats, num_users = db.get_user_memory_stats()
        assert [(each["user_id"], each["total_memories"]) for each in stats] == [("bob", 1), ("ann", 3)]
        assert (stats[0]["last_memory_updated_at"], num_users) == (stored[3].updated_at, 2)
        assert db.get_user_memory_stats(limit=1, page=2) == (stats[1:], 2)
        assert db.get_user_memory_stats(user_id="bob") == (stats[:1], 1)
        db.delete_user_memories(["m0", "m3", "none"], "ann")
        assert [memory.memory_id for memory in db.get_user_memories()] == ["m1", "m2", "m3"]

    @pytest.mark.parametrize("arguments", [{"page": 2}, {"page": 0, "limit": 1}, {"limit": -1}])
    def test_a_page_that_makes_no_sense_is_refused(self, db: Db, arguments: dict[str, int]) -> None:
        with pytest.raises(InvalidInputError, match="pages count from 1 and need a limit"):
            db.get_user_memories(**arguments)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("arguments", "found"),
        [
            ({"agent_id": "x"}, ["b", "c"]),
            ({"team_id": "y"}, ["a"]),
            ({"agent_id": "x", "team_id": "y"}, []),
            ({"sort_by": "memory"}, ["c", "b", "a"]),
            ({"sort_by": "memory", "sort_order": "asc", "limit": 2, "page": 2}, ["c"]),
            ({"sort_order": "desc"}, ["a", "c", "b"]),
        ],
        ids=str,
    )
    def test_memories_by_creator_and_in_order(self, db: Db, arguments: dict[str, Any], found: list[str]) -> None:
        for place, (text, creator) in enumerate((("b", "x"), ("c", "x"), ("a", "y"))):
            db.upsert_user_memory(
                UserMemory(memory=text, user_id="ada", component_id=creator, created_at=START + place)
            )
        assert [memory.memory for memory in db.get_user_memories("ada", **arguments)] == found

    def test_a_summary_of_a_deleted_turn_is_not_stored(self, db: Db) -> None:
        turns = [say(db, text) for text in "ab"]
        db.delete_run(turns[1].run_id)
        with pytest.raises(SessionNotFoundError, match="a turn or a summary that it is based on was deleted"):
            summarise(db, 1)
