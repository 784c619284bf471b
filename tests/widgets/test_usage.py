"""The numbers and the chart of `usage()`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from agno_nb import Agent, DuckDb, InMemoryDb, ScriptedModel, Team, Workflow, collect, usage
from agno_nb.db.queries import unpriced_runs
from agno_nb.errors import InvalidInputError, ModelError
from agno_nb.models.base import ModelResponse
from agno_nb.types import Metrics, ToolCall
from agno_nb.widgets.usage import Usage


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
        "known_cost": 0.75,
        "num_unpriced_runs": 0,
    }
    assert frame[["runs", "errors", "input_tokens"]].loc["unknown"].to_list() == [2, 1, 5]
    assert frame["cost"].isna().tolist() == [False, True]
    assert frame["median_s"].gt(0).all()


@pytest.mark.parametrize("by", ["day", "week", "month", "model", "agent", "notebook", "user"])
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


def test_a_part_of_the_cost_that_is_known_is_shown_next_to_what_is_missing(db: InMemoryDb) -> None:
    shown = usage(["month", "user"], db=db, user_id=["ada", "bob"]), usage("month", db=db)
    assert [each.df[["cost", "known_cost"]].fillna(-1).sum().to_list() for each in shown] == [[0.75, 0.75], [-1, 0.75]]
    # Run 4 ended without an answer, so its cost is not unknown.
    assert [each.df["num_unpriced_runs"].sum() for each in shown] == [0, 1]
    notes = [[text.get_text() for text in each.figure().axes[1].texts] for each in shown]
    assert notes == [[], ["+?"]]
    tokens, cost, *_ = shown[1].figure().axes
    assert tokens.get_title(loc="left") == "Tokens"
    assert cost.get_title(loc="left") == "Cost in US dollars   (+? partly unknown)"
    assert [bar.get_height() for bars in cost.containers for bar in bars] == [0.75]


def test_tokens_that_a_server_did_not_report_are_unknown() -> None:
    db = InMemoryDb()
    Agent(ScriptedModel([reply(7, 0.5), ModelResponse(content="x")], id="m"), name="a", db=db).run("1", user_id="ada")
    Agent(ScriptedModel([ModelResponse(content="x")], id="m"), name="b", db=db).run("2", user_id="ada")
    tokens, cost, _, _ = usage("user", db=db).figure().axes
    assert [[text.get_text() for text in axes.texts] for axes in (tokens, cost)] == [["+ unknown"]] * 2
    by_agent = usage("agent", db=db)
    assert by_agent.df["input_tokens"].fillna(-1).to_dict() == {"a": 7, "b": -1}
    assert [text.get_text() for text in by_agent.figure().axes[0].texts] == ["unknown"]


def test_members_count_by_their_own_model_and_a_workflow_has_none() -> None:
    db = InMemoryDb()
    member = Agent(ScriptedModel([reply(3, 0.25)], id="small"), name="member")
    delegate = [
        ToolCall(
            tool_call_id="1", tool_name="delegate_task_to_member", arguments='{"member_id": "member", "task": "x"}'
        )
    ]
    answer = ModelResponse(tool_calls=delegate, metrics=Metrics(input_tokens=4, output_tokens=1, cost=0.5))
    Team([member], model=ScriptedModel([answer, reply(5, 0.5)], id="large"), name="team", db=db).run("1")
    Workflow([lambda step_input: "done"], name="line", db=db).run("2")
    shown = usage("model", db=db)
    columns = ["runs", "input_tokens", "cost", "num_unpriced_runs"]
    assert {model: row.to_list() for model, row in shown.df[columns].fillna(-1).iterrows()} == {
        "large": [1, 9, 1.0, 0], "small": [1, 3, 0.25, 0], "no model": [1, -1, -1, 0],
    }  # fmt: skip
    assert [axes.texts[:] for axes in shown.figure().axes] == [[]] * 4


def test_copies_in_a_fork_were_paid_for_once() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([reply(3, 0.25)]), db=db, session_id="1")
    agent.run("1")
    agent.fork_session("1")
    assert len(db.runs_df()) == 2
    assert usage("user", db=db).df[["runs", "input_tokens", "cost"]].to_numpy().tolist() == [[1, 3, 0.25]]


def test_days_weeks_and_months_are_in_the_time_zone_and_days_without_runs_have_a_place() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([reply(1, 1.0)] * 3), db=db, session_id="1")
    for _ in range(3):
        agent.run("x")
    # Saturday, Monday and Wednesday. In New York, the first is a Friday in January.
    days = ["2026-01-31 02:00", "2026-02-02 12:00", "2026-02-04 12:00"]
    runs = db.runs_df().assign(created_at=pd.to_datetime(days, utc=True))
    shown = Usage(["day"], runs, unpriced_runs(db))
    assert shown.df["runs"].to_dict() == {"2026-01-31": 1, "2026-02-02": 1, "2026-02-04": 1}
    labels = [label.get_text() for label in shown.figure().axes[0].get_xticklabels()]
    assert labels == ["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03", "2026-02-04"]
    assert [bar.get_height() for bar in shown.figure().axes[3].containers[0]] == [1, 0, 1, 0, 1]
    assert Usage(["week"], runs, unpriced_runs(db)).df["runs"].to_dict() == {"2026-01-26": 1, "2026-02-02": 2}
    assert Usage(["month"], runs, unpriced_runs(db)).df["runs"].to_dict() == {"2026-01": 1, "2026-02": 2}
    local = runs.assign(created_at=runs["created_at"].dt.tz_convert("America/New_York"))
    assert next(iter(Usage(["day"], local, unpriced_runs(db)).df.index)) == "2026-01-30"


def test_a_collection_is_grouped_by_its_files(tmp_path: Path) -> None:
    for name in ("ann", "ben"):
        Agent(ScriptedModel([reply(2, None)]), db=DuckDb(tmp_path / f"{name}.duckdb")).run("1", session_id="1")
    shown = usage("source", db=collect(tmp_path / "*.duckdb"))
    assert shown.df[["runs", "input_tokens", "num_unpriced_runs"]].astype(object).to_dict("index") == {
        name: {"runs": 1, "input_tokens": 2, "num_unpriced_runs": 1} for name in ("ann.duckdb", "ben.duckdb")
    }
    with pytest.raises(InvalidInputError, match=r"a single store has no sources; pass db=collect"):
        usage("source", db=InMemoryDb())


def test_any_name_is_in_the_legend_and_a_run_without_an_answer_has_no_unknown_tokens() -> None:
    db = InMemoryDb()
    Agent(ScriptedModel([reply(1, None)], id="m"), name="_draft", db=db).run("1")
    away = Agent(ScriptedModel([ModelError("away")], id="m"), name="$a\nb$", db=db)
    with pytest.raises(ModelError):
        away.run("2")
    figure = usage(["agent", "user"], db=db).figure()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [r"\$a b\$", "_draft"]
    assert [text.get_text() for text in figure.axes[0].texts] == []
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
    assert (shown._repr_png_(), repr(shown)) == (None, "no runs")


def test_an_unknown_grouping_and_a_missing_matplotlib_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInputError, match="by is 'tool'; it must be one or two of day, week, month, model"):
        usage("tool")  # type: ignore[arg-type]
    for by in ([], ["day", "day"], ["day", "model", "user"]):
        with pytest.raises(InvalidInputError, match=r"by is \[.*; pass one name, or a list of two different names"):
            usage(by)  # type: ignore[arg-type]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidInputError, match=r"pip install 'agno_nb\[plot\]'"):
        usage()
