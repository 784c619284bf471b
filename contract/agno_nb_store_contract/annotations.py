"""Annotations of runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError
from agno_nb.types import Annotation
from agno_nb_store_contract.conversation import START, say


class AnnotationsContract:
    """Annotations of runs."""

    def test_annotations_are_read_as_they_were_added(self, db: Db) -> None:
        run = say(db, "hello", run_id="r1")
        added = db.add_annotations(
            [
                Annotation(
                    "r1", label="good", score=0.5, comment="Polite, 'ja'.", annotated_by="ada", created_at=START
                ),
                Annotation("r1", score=1, created_at=START + 1),
            ]
        )
        assert [each.session_id for each in added] == [run.session_id] * 2
        assert db.get_annotations("r1") == added
        assert db.get_annotations("elsewhere") == []
        assert (added[0].label, added[0].score, added[0].comment) == ("good", 0.5, "Polite, 'ja'.")

    def test_all_of_several_annotations_are_stored_or_none(self, db: Db) -> None:
        say(db, "hello", run_id="r1")
        with pytest.raises(InvalidInputError, match="there is no run 'r2' in this store"):
            db.add_annotations([Annotation("r1", label="good"), Annotation("r2", label="good")])
        assert db.get_annotations("r1") == []

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({}, "is empty; pass a label, score or comment"),
            ({"annotated_by": "ada"}, "is empty; pass a label, score or comment"),
            ({"label": " "}, "label of run 'r1' is ' '"),
            ({"label": 3}, "label of run 'r1' is 3"),
            ({"score": float("nan")}, "score of run 'r1' is nan; pass a finite number"),
            ({"score": "high"}, "score of run 'r1' is 'high'; pass a finite number"),
            ({"score": True}, "score of run 'r1' is True; pass a finite number"),
        ],
        ids=str,
    )
    def test_values_that_mean_nothing_are_refused(self, db: Db, values: dict[str, Any], message: str) -> None:
        say(db, "hello", run_id="r1")
        with pytest.raises(InvalidInputError, match=message):
            db.add_annotations([replace(Annotation("r1"), **values)])
        assert db.get_annotations("r1") == []

    def test_another_user_cannot_annotate_or_delete(self, db: Db) -> None:
        say(db, "hello", run_id="r1", user_id="ada")
        with pytest.raises(InvalidInputError, match="in a session of user 'bob'"):
            db.add_annotations([Annotation("r1", label="good")], user_id="bob")
        (mine,) = db.add_annotations([Annotation("r1", label="good")], user_id="ada")
        assert db.delete_annotations([mine.annotation_id], user_id="bob") == 0
        assert db.get_annotations("r1") == [mine]
        assert db.delete_annotations([mine.annotation_id, "unknown"], user_id="ada") == 1
        assert db.get_annotations("r1") == []

    def test_a_deleted_run_or_session_takes_its_annotations_along(self, db: Db) -> None:
        for run_id, session_id in (("r1", "s1"), ("r2", "s1"), ("r3", "s2")):
            say(db, "hello", run_id=run_id, session_id=session_id)
            db.add_annotations([Annotation(run_id, label="good")])
        db.delete_run("r1")
        assert db.annotations_df()["run_id"].tolist() == ["r2", "r3"]
        db.delete_session("s1")
        assert db.annotations_df()["run_id"].tolist() == ["r3"]
        assert db.verify() == []

    def test_a_fork_has_no_annotations_of_its_own(self, db: Db) -> None:
        say(db, "hello", run_id="r1")
        db.add_annotations([Annotation("r1", label="good")])
        fork = db.fork_session("s1")
        assert fork is not None
        assert db.annotations_df(session_id=fork.session_id).empty

    def test_frames_select_by_annotation(self, db: Db) -> None:
        for place, run_id in enumerate(("r1", "r2", "r3")):
            say(db, run_id, run_id=run_id, created_at=START + 10 * place, user_id="ada")
        db.add_annotations(
            [
                Annotation("r1", label="good", annotated_by="ada", created_at=START + 40),
                Annotation("r2", label="bad", annotated_by="ada", created_at=START + 41),
                Annotation("r3", label="good", annotated_by="bob", created_at=START + 42),
            ]
        )
        assert db.runs_df(label="good")["run_id"].tolist() == ["r1", "r3"]
        assert db.runs_df(label=["good", "bad"], limit=1)["run_id"].tolist() == ["r3"]
        assert db.run_tree_df(label="bad")["run_id"].tolist() == ["r2"]
        assert db.annotations_df(annotated_by="ada", label="good")["run_id"].tolist() == ["r1"]
        assert db.annotations_df(session_id="s1", limit=2)["run_id"].tolist() == ["r2", "r3"]
        assert db.annotations_df(user_id="bob").empty
        assert db.query("select count(*) as n from annotations where label = 'good'").df()["n"].tolist() == [2]

    def test_an_exported_session_keeps_its_annotations(self, db: Db, tmp_path: Any) -> None:
        say(db, "hello", run_id="r1")
        added = db.add_annotations([Annotation("r1", label="good")])
        db.export_session("s1", tmp_path / "session.jsonl")
        db.delete_session("s1")
        db.import_session(tmp_path / "session.jsonl")
        assert db.get_annotations("r1") == added
