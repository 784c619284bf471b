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
    assert frame[["runs", "errors", "input_tokens"]].loc["unknown"].to_list() == [2, 1, 5]
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


def test_two_groupings_count_pairs(db: InMemoryDb) -> None:
    shown = usage(["model", "user"], db=db)
    assert shown.df["runs"].to_dict() == {
        ("unknown", "anonymous"): 2, ("priced", "ada"): 1, ("priced", "bob"): 1,
    }  # fmt: skip
    assert shown.df["cost"].to_dict() == {
        ("unknown", "anonymous"): pytest.approx(float("nan"), nan_ok=True), ("priced", "ada"): 0.5,
        ("priced", "bob"): 0.25,
    }  # fmt: skip
    tokens, cost, duration, runs = shown.figure().axes
    assert [text.get_text() for text in cost.texts] == ["unknown"]
    assert [label.get_text() for label in runs.get_yticklabels()] == ["unknown", "priced"]
    # The lengths of the bars of each user, in the order of the models.
    lengths = [[bar.get_width() for bar in bars] for bars in runs.containers]
    assert lengths == [[2, 0], [0, 1], [0, 1]]
    assert tokens.get_title(loc="left") == "Tokens"
    assert duration.get_title(loc="left") == "Duration in seconds, median"


def test_any_name_is_in_the_legend_and_unknown_tokens_are_said() -> None:
    db = InMemoryDb()
    Agent(ScriptedModel([reply(1, None)], id="m"), name="_draft", db=db).run("1")
    away = Agent(ScriptedModel([ModelError("away")], id="m"), name="$a\nb$", db=db)
    with pytest.raises(ModelError):
        away.run("2")
    figure = usage(["agent", "user"], db=db).figure()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [r"\$a b\$", "_draft"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["unknown"]
    figure = usage(["model", "agent"], db=db).figure()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [r"\$a b\$", "_draft"]


def test_counts_have_whole_ticks_and_there_is_no_axis_for_unknown_costs() -> None:
    db = InMemoryDb()
    Agent(ScriptedModel([reply(1, None)]), db=db).run("1")
    tokens, duration, runs = usage("agent", db=db).figure().axes
    assert all(tick == int(tick) for axes in (tokens, runs) for tick in axes.get_xticks())
    assert [axes.get_title(loc="left") for axes in (tokens, duration, runs)] == [
        "Tokens",
        "Duration in seconds",
        "Runs",
    ]


def test_more_values_than_there_is_space_for_are_counted() -> None:
    db = InMemoryDb()
    for number in range(30):
        for _ in range(1 + (number == 29)):
            Agent(ScriptedModel([reply(1, 1.0)]), db=db).run("1", user_id=f"u{number:02}")
    figure = usage("user", db=db).figure()
    assert figure.get_suptitle() == "Shown: the 20 most frequent of 30 users"
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (labels[0], len(labels)) == ("u29", 20)


def test_filters_choose_runs(db: InMemoryDb) -> None:
    assert usage("user", db=db, user_id="ada").df["runs"].to_dict() == {"ada": 1}
    with pytest.raises(TypeError, match="user_id"):
        usage("user", db=db, user="ada")  # type: ignore[call-arg]


def test_an_empty_store_has_no_picture() -> None:
    shown = usage(db=InMemoryDb())
    assert (shown._repr_png_(), repr(shown)) == (None, "no runs yet")


def test_an_unknown_grouping_and_a_missing_matplotlib_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="by is 'week'; it must be one or two of day, model"):
        usage("week")  # type: ignore[arg-type]
    for by in ([], ["day", "day"], ["day", "model", "user"]):
        with pytest.raises(InvalidInputError, match=r"by is \[.*; pass one name, or a list of two different names"):
            usage(by)  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"pip install 'agno_nb\[plot\]'"):
        usage()
