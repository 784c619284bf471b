"""Annotate runs, and use good ones as examples."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel, annotate, annotate_df, annotations_df, as_examples, runs_df
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.types import RunOutput


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


@pytest.fixture
def runs(db: InMemoryDb) -> list[RunOutput]:
    agent = Agent(ScriptedModel(["4", "6", "9"]), db=db, session_id="s")
    return [agent.run(question) for question in ("2 + 2?", "3 + 3?", "4 + 4?")]


def test_a_run_is_annotated_by_itself_or_by_its_id(db: InMemoryDb, runs: list[RunOutput]) -> None:
    annotate(runs[0], label="good", by="ada", db=db)
    annotate(runs[2].run_id, label="wrong", score=0, comment="It is 8.", db=db)
    found = annotations_df(db=db)
    assert found["run_id"].tolist() == [runs[0].run_id, runs[2].run_id]
    assert found["label"].tolist() == ["good", "wrong"]
    assert found["score"].fillna(-1).tolist() == [-1, 0]
    assert runs_df(db=db, label="wrong")["content"].tolist() == ["9"]


@pytest.mark.parametrize(
    ("run", "values", "message"),
    [
        ("nowhere", {"label": "good"}, "there is no run 'nowhere' in this store"),
        (None, {"label": "good"}, "None is neither a run nor the ID of one"),
        ("", {"label": "good"}, "'' is neither a run nor the ID of one"),
        ("nowhere", {}, "is empty; pass a label, score or comment"),
    ],
    ids=str,
)
def test_what_cannot_be_annotated_is_refused(
    db: InMemoryDb, runs: list[RunOutput], run: Any, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        annotate(run, **values, db=db)
    assert annotations_df(db=db).empty


def test_a_table_is_stored_once_however_often_the_cell_runs(db: InMemoryDb, runs: list[RunOutput]) -> None:
    table = runs_df(db=db)[["run_id", "content"]].assign(label=["good", None, " "], score=[1, None, 0.5])
    added = annotate_df(table, by="ada", db=db)
    assert added[["run_id", "score"]].values.tolist() == [[runs[0].run_id, 1.0], [runs[2].run_id, 0.5]]
    assert added["label"].isna().tolist() == [False, True]
    assert annotate_df(table, by="ada", db=db).empty
    assert annotate_df(table, by="bob", db=db)["annotated_by"].tolist() == ["bob", "bob"]
    table.loc[0, "score"] = 0.25
    assert annotate_df(table, by="ada", db=db)["score"].tolist() == [0.25]
    assert len(annotations_df(db=db)) == 5


def test_a_column_of_authors_takes_precedence(db: InMemoryDb, runs: list[RunOutput]) -> None:
    table = pd.DataFrame({"run_id": [run.run_id for run in runs[:2]], "label": "good", "annotated_by": ["cy", None]})
    assert annotate_df(table, by="ada", db=db)["annotated_by"].tolist() == ["cy", "ada"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame({"run": ["r"], "label": ["good"]}), "the DataFrame has the columns run, label; it needs run_id"),
        (pd.DataFrame({"run_id": ["r"], "labels": ["good"]}), "it needs run_id, and label, score or comment"),
        (pd.DataFrame(), "the DataFrame has the columns none"),
        (
            pd.DataFrame({"run_id": ["r"], "label": ["good"]}),
            "there is no run 'r' in this store, .*; pass run_ids of runs_df",
        ),
        (pd.DataFrame({"run_id": [None], "label": ["good"]}), "None is neither a run"),
        (pd.DataFrame({"run_id": ["r"], "score": ["high"]}), "score of run 'r' is 'high'"),
    ],
    ids=["no run_id", "no values", "empty", "unknown run", "null run", "no number"],
)
def test_a_table_that_cannot_be_stored_is_refused(db: InMemoryDb, table: pd.DataFrame, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        annotate_df(table, db=db)
    assert annotations_df(db=db).empty


def test_good_runs_become_examples_of_another_agent(db: InMemoryDb, runs: list[RunOutput]) -> None:
    for run in runs[:2]:
        annotate(run, label="good", db=db)
    model = ScriptedModel(["10"])
    Agent(model, additional_input=as_examples(runs_df(db=db, label="good"), db=db)).run("5 + 5?")
    said = [(message.role, message.content) for message in model.requests[0].messages]
    assert said == [
        ("user", "2 + 2?"), ("assistant", "4"), ("user", "3 + 3?"), ("assistant", "6"), ("user", "5 + 5?"),
    ]  # fmt: skip
    assert [each.content for each in as_examples([runs[0].run_id, runs[1]], db=db)] == ["2 + 2?", "4", "3 + 3?", "6"]


def test_a_run_without_an_answer_is_no_example(db: InMemoryDb) -> None:
    agent = Agent(ScriptedModel([]), db=db)
    with pytest.raises(RunError) as failure:
        agent.run("Hello")
    assert failure.value.run_output is not None
    with pytest.raises(InvalidInputError, match=r"has no answer \(it is ERROR\); leave it out"):
        as_examples(failure.value.run_output, db=db)
    with pytest.raises(InvalidInputError, match="there is no run 'nowhere'"):
        as_examples("nowhere", db=db)
    with pytest.raises(InvalidInputError, match="the DataFrame has no column run_id"):
        as_examples(pd.DataFrame({"id": ["r"]}), db=db)
