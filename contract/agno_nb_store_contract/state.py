"""The session state that new attempts and forks start from: the state before their turn."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.db.base import Db
from agno_nb.db.session_state import changes
from agno_nb.types import JsonDict, RunOutput, RunStatus, StepOutput
from agno_nb_store_contract.conversation import begin


def state(db: Db, session_id: str = "s1") -> JsonDict:
    session = db.get_session(session_id)
    assert session is not None
    return session.session_state


def turn(
    db: Db, *, status: RunStatus = RunStatus.COMPLETED, goes_on_from: str | None = None, to: JsonDict, **fields: Any
) -> RunOutput:
    """Write a run that sets keys of the state; None deletes a key."""
    run, opened = begin(db, goes_on_from=goes_on_from, **fields)
    return leave(db, run, opened.session.session_state, status=status, to=to)


def leave(
    db: Db, run: RunOutput, found: JsonDict, *, status: RunStatus = RunStatus.COMPLETED, to: JsonDict
) -> RunOutput:
    """End a run that started with the state `found` and sets some keys."""
    left = {key: value for key, value in {**found, **to}.items() if value is not None}
    run.status, run.ended_at = status, run.created_at + 2.0
    run.state_changes = [*run.state_changes, *changes(found, left)]
    db.end_run(run, session_state=left, base_state=found)
    return run


class StateContract:
    """The session state that new attempts and forks start from: the state before their turn."""

    def test_what_a_run_changed_in_the_state_is_stored_with_it(self, db: Db) -> None:
        run = turn(db, to={"n": 1, "é": {"x": 1}}, created_at=0.0)
        last = turn(db, to={"n": None, "é": {"x": 1, "y": (2,)}}, created_at=10.0)
        none = turn(db, to={}, created_at=20.0)
        assert [getattr(db.get_run(each.run_id), "state_changes", None) for each in (run, last, none)] == [
            [{"path": ["n"], "after": 1}, {"path": ["é"], "after": {"x": 1}}],
            [{"path": ["n"], "before": 1}, {"path": ["é", "y"], "after": [2]}],
            [],
        ]
        assert db.runs_df()["state_changes"].isna().tolist() == [False, False, True]

    def test_a_new_attempt_finds_the_state_as_its_turn_found_it(self, db: Db) -> None:
        for place in range(3):
            turn(db, to={"n": place + 1, f"only {place}": [place]}, created_at=10.0 * place)
        run, opened = begin(db, run_index=1, created_at=30.0)
        assert opened.session.session_state == state(db) == {"n": 1, "only 0": [0]}
        leave(db, run, opened.session.session_state, to={"n": 2})
        assert state(db) == {"n": 2, "only 0": [0]}
        _, opened = begin(db, run_index=0, created_at=40.0)
        assert opened.session.session_state == state(db) == {}

    def test_what_was_changed_otherwise_since_then_stays(self, db: Db) -> None:
        turn(db, to={"n": 1, "deep": {"a": 1}}, created_at=0.0)
        turn(db, to={"n": 2, "deep": {"a": 2, "b": 2}}, created_at=10.0)
        db.update_session_state("s1", {"n": 2, "deep": {"a": 9, "b": 2}, "else": 1})
        begin(db, run_index=1, created_at=20.0)
        assert state(db) == {"n": 1, "deep": {"a": 9}, "else": 1}

    @pytest.mark.parametrize("meanwhile", [{"deep": 5}, {}])
    def test_a_dict_that_was_replaced_meanwhile_is_stored_as_a_whole(self, db: Db, meanwhile: JsonDict) -> None:
        found = {"deep": {"a": 1, "b": {"x": 1}}}
        turn(db, to=found, created_at=0.0)
        db.update_session_state("s1", meanwhile)
        left = {"deep": {"a": 1, "b": {"x": 1, "y": 2}}}
        db.update_session_state("s1", left, base_state=found)
        assert state(db) == left

    def test_what_was_taken_back_is_not_taken_back_again(self, db: Db) -> None:
        turn(db, to={"mood": "good"}, created_at=0.0)
        turn(db, to={"mood": "bad"}, created_at=10.0)
        for created_at in (20.0, 30.0):
            turn(db, to={}, run_index=0, created_at=created_at)
            assert state(db) == ({} if created_at == 20.0 else {"mood": "bad"})
            db.update_session_state("s1", {"mood": "bad"})

    def test_what_a_stale_turn_changed_when_it_was_tried_again_is_taken_back(self, db: Db) -> None:
        for place in range(2):
            turn(db, to={"n": place + 1}, created_at=10.0 * place)
        turn(db, to={"n": 5}, run_index=0, created_at=20.0)
        turn(db, to={"n": 6}, run_index=1, created_at=30.0)
        begin(db, run_index=1, created_at=40.0)
        assert state(db) == {"n": 5}

    def test_an_attempt_that_goes_on_from_another_keeps_what_that_changed(self, db: Db) -> None:
        turn(db, to={"n": 1}, created_at=0.0)
        cut_off = turn(db, to={"n": 2, "m": 1}, created_at=10.0, status=RunStatus.CANCELLED)
        turn(db, to={"n": 3}, created_at=20.0)
        run = turn(db, to={"o": 1}, run_index=1, created_at=30.0, goes_on_from=cut_off.run_id)
        assert state(db) == {"n": 2, "m": 1, "o": 1}
        assert [change["path"] for change in run.state_changes] == [["n"], ["m"], ["o"]]
        begin(db, run_index=1, created_at=40.0)
        assert state(db) == {"n": 1}

    def test_a_fork_begins_with_the_state_of_its_point(self, db: Db) -> None:
        first = turn(db, to={"n": 1}, created_at=0.0)
        old = turn(db, to={"n": 2}, created_at=10.0)
        turn(db, to={"n": 3, "key": "é"}, created_at=20.0)
        turn(db, to={"n": 5}, run_index=1, created_at=30.0)
        now = state(db)
        points = ((0, None), (1, None), (None, None), (None, first.run_id), (None, old.run_id))
        forks = [db.fork_session("s1", to_run_index=index, at_run=run_id) for index, run_id in points]
        made = [fork for fork in forks if fork is not None]
        assert [fork.session_state for fork in made] == [{"n": 1}, {"n": 5}, {"n": 5}, {"n": 1}, {"n": 2}]
        assert state(db) == now == {"n": 5}
        # A turn of the fork can be run again.
        begin(db, run_index=1, session_id=made[-1].session_id, created_at=40.0)
        assert state(db, made[-1].session_id) == {"n": 1}

    def test_a_paused_run_goes_on_with_what_it_had_changed(self, db: Db) -> None:
        turn(db, to={"n": 1}, created_at=0.0)
        paused = turn(db, to={"m": 1}, created_at=10.0, status=RunStatus.PAUSED)
        turn(db, to={"n": 5}, run_index=0, created_at=20.0)
        assert state(db) == {"n": 5}
        opened = db.reopen_run(paused)
        assert opened.session.session_state == state(db) == {"n": 5, "m": 1}
        # It ended after the other run, so its changes are the ones to revert.
        paused.status, paused.ended_at = RunStatus.COMPLETED, 30.0
        db.end_run(paused)
        begin(db, run_index=0, created_at=40.0)
        assert state(db) == {}

    def test_what_the_steps_of_a_run_changed_is_taken_back_though_the_run_did_not_end(self, db: Db) -> None:
        run, opened = begin(db, created_at=0.0)
        found = stored = opened.session.session_state
        for place in range(2):
            left = {"n": place + 1}
            db.add_step(
                run,
                StepOutput(step_name="a", path=str(place)),
                place,
                session_state=left,
                base_state=stored,
                state_changes=changes(found, left),
            )
            stored = left
        assert state(db) == {"n": 2}
        begin(db, run_index=0, created_at=10.0)
        assert state(db) == {}

    def test_a_key_in_what_was_changed_is_not_stored(self, db: Db, monkeypatch: Any) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef0123456789abcdef")
        key = "sk-0123456789abcdef0123456789abcdef"
        turn(db, to={"said": [f"it is {key}"]}, created_at=0.0)
        assert key not in db.runs_df()["state_changes"][0]
        begin(db, run_index=0, created_at=10.0)
        assert state(db) == {}
