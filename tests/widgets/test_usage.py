"""The numbers and the chart of `usage()`."""

from __future__ import annotations

import importlib.util

import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel, usage
from agno_nb.errors import InvalidInputError, ModelError
from agno_nb.models.base import ModelResponse
from agno_nb.types import Metrics


def reply(tokens: int, cost: float | None) -> ModelResponse:
    return ModelResponse(content="x", metrics=Metrics(input_tokens=tokens, output_tokens=1, cost=cost))


@pytest.fixture
def db() -> InMemoryDb:
    db = InMemoryDb()
    priced = Agent(ScriptedModel([reply(10, 0.5), reply(20, 0.25)], id="priced"), name="a", db=db)
    priced.run("1", user_id="ada", session_id="1")
    priced.run("2", user_id="bob", session_id="2")
    unknown = Agent(ScriptedModel([reply(5, None), ModelError("away")], id="unknown"), name="$b$", db=db)
    unknown.run("3", session_id="3")
    with pytest.raises(ModelError):
        unknown.run("4", session_id="3")
    return db


def test_runs_are_put_together_and_an_unknown_cost_is_not_zero(db: InMemoryDb) -> None:
    frame = usage("model", db=db).df
    assert frame.loc["priced"].drop(["median_s", "p95_s"]).to_dict() == {
        "runs": 2,
        "errors": 0,
        "input_tokens": 30,
        "output_tokens": 2,
        "cost": 0.75,
    }
    assert frame.loc["unknown", ["runs", "errors", "input_tokens"]].tolist() == [2, 1, 5]
    assert frame["cost"].isna().tolist() == [False, True]
    assert frame["median_s"].gt(0).all()


@pytest.mark.parametrize("by", ["day", "model", "agent", "notebook", "user"])
def test_every_grouping_counts_every_run_and_draws_a_picture(by: str, db: InMemoryDb) -> None:
    shown = usage(by, db=db)  # type: ignore[arg-type]
    assert (shown.df["runs"].sum(), shown.df["errors"].sum(), shown.df.index.name) == (4, 1, by)
    picture = shown._repr_png_()
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 150_000


def test_filters_choose_runs(db: InMemoryDb) -> None:
    assert usage("user", db=db, user_id="ada").df["runs"].to_dict() == {"ada": 1}
    with pytest.raises(TypeError, match="user_id"):
        usage("user", db=db, user="ada")  # type: ignore[call-arg]


def test_an_empty_store_has_no_picture() -> None:
    shown = usage(db=InMemoryDb())
    assert (shown._repr_png_(), repr(shown)) == (None, "no runs yet")


def test_an_unknown_grouping_and_a_missing_matplotlib_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="by is 'week'; it must be one of day, model"):
        usage("week")  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"pip install 'agno_nb\[plot\]'"):
        usage()
