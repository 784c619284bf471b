"""Tokens, cost, latency and errors of the runs of a store, as a DataFrame and as a static chart."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.db.frame_definitions import RunFilters
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types import shorten

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

By = Literal["day", "model", "agent", "notebook", "user"]
_COLUMNS = {"model": "model", "agent": "component_name", "notebook": "notebook", "user": "user_id"}
_MAX_BARS = 20
# Mid-tones, because the same chart is read on white and on black.
_INK = "#808080"
_BARS = ("#3f7fd0", "#a05fc8")
_FAILED = "#d0484f"


@typed_kwargs(RunFilters)
def usage(by: By = "day", *, db: Db | AsyncDb | None = None, **filters: Unpack[RunFilters]) -> Usage:
    """Show tokens, cost, latency and errors of the runs of a store.

    Parameters
    ----------
    by : {"day", "model", "agent", "notebook", "user"}
        How the runs are grouped. Days are in UTC.
    db : Db, optional
        The store. Defaults to the notebook's.
    **filters
        Filters of the runs: see :func:`agno_nb.frames.runs_df`.

    Returns
    -------
    Usage
        Displayed as a chart, which is saved in the notebook; ``.df`` has its data.

    Raises
    ------
    InvalidInputError
        `by` is unknown, or matplotlib is not installed.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb
    >>> db = InMemoryDb()
    >>> run = Agent("demo", name="guide", db=db).run("Hello")
    >>> usage("agent", db=db).df["runs"].to_dict()
    {'guide': 1}
    """
    if by not in get_args(By):
        raise InvalidInputError(f"by is {by!r}; it must be one of {', '.join(get_args(By))}")
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidInputError(
            "usage() needs matplotlib, which is not installed; run pip install 'agno_nb[plot]', or use runs_df()"
        )
    return Usage(by, (as_sync(db) or default_db()).runs_df(**filters))


class Usage:
    """Usage of the runs of a store, created by :func:`usage`.

    Attributes
    ----------
    df : DataFrame
        A row for each day, model, agent, notebook or user. `runs` and `errors` count attempts, without nested runs.
        `input_tokens`, `output_tokens` and `cost` include nested runs; the cost is null if any part of it is unknown.
        `median_s` and `p95_s` are the median and the 95th percentile of `duration_s`.
    """

    def __init__(self, by: By, runs: pd.DataFrame) -> None:
        self.by = by
        self.df = _usage_frame(by, runs)

    def figure(self) -> Figure:
        """Draw the chart."""
        return _figure(self.by, self.df)

    def __repr__(self) -> str:
        return displayable(self.df.to_string()) if len(self.df) else "no runs yet"

    def _repr_png_(self) -> bytes | None:
        if self.df.empty:
            return None
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=144, transparent=True, bbox_inches="tight")
        return file.getvalue()


def _usage_frame(by: By, runs: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    key = runs["created_at"].dt.strftime("%Y-%m-%d") if by == "day" else runs[_COLUMNS[by]].fillna("none")
    if by == "notebook":
        key = key.str.rsplit("/", n=1).str[-1]
    runs = runs.assign(**{by: key.astype("str")})
    turns = runs[runs["run_index"].notna()]
    # A run without a model response costs nothing, so its cost is not unknown.
    unknown = runs["cost"].isna() & runs["output_tokens"].notna()
    all_runs = runs.assign(unknown=unknown).groupby(by)
    attempts = turns.assign(failed=turns["status"].eq("ERROR")).groupby(by)
    frame = pd.DataFrame(
        {
            "runs": attempts.size(),
            "errors": attempts["failed"].sum(),
            "input_tokens": all_runs["input_tokens"].sum(min_count=1),
            "output_tokens": all_runs["output_tokens"].sum(min_count=1),
            "cost": all_runs["cost"].sum(min_count=1).mask(all_runs["unknown"].any()),
            "median_s": attempts["duration_s"].median(),
            "p95_s": attempts["duration_s"].quantile(0.95),
        }
    )
    frame.index.name = by
    frame[["runs", "errors"]] = frame[["runs", "errors"]].fillna(0)
    frame = frame.astype({"runs": "Int64", "errors": "Int64", "input_tokens": "Int64", "output_tokens": "Int64"})
    return frame.sort_index() if by == "day" else frame.sort_values("runs", ascending=False)


def _figure(by: By, frame: pd.DataFrame) -> Figure:
    from matplotlib.figure import Figure

    frame = frame.tail(_MAX_BARS) if by == "day" else frame.head(_MAX_BARS)
    # "$" starts a formula in matplotlib.
    labels = [shorten(str(label), 18).replace("$", r"\$") for label in frame.index]
    figure = Figure(figsize=(9, 5), layout="constrained")
    tokens, cost, latency, errors = figure.subplots(2, 2).flat
    _bars(tokens, "Tokens", labels, {"in": frame["input_tokens"], "out": frame["output_tokens"]})
    _bars(cost, "Cost in US dollars", labels, {"": frame["cost"]})
    _bars(latency, "Duration of runs in seconds", labels, {"median": frame["median_s"], "95 %": frame["p95_s"]})
    _bars(errors, "Runs", labels, {"all": frame["runs"], "failed": frame["errors"]})
    return figure


def _bars(axes: Any, title: str, labels: list[str], columns: dict[str, pd.Series[Any]]) -> None:
    width = 0.8 / len(columns)
    for place, (name, column) in enumerate(columns.items()):
        heights = [float("nan") if value != value else value for value in column.astype("float64")]
        at = [position + (place - (len(columns) - 1) / 2) * width for position in range(len(labels))]
        axes.bar(at, heights, width=width, color=_FAILED if name == "failed" else _BARS[place], label=name)
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    slanted = {"rotation": 30, "ha": "right"} if len(labels) > 3 else {}
    axes.set_xticks(range(len(labels)), labels, **slanted)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    if len(columns) > 1:
        axes.legend(fontsize=8, frameon=False, labelcolor=_INK)
    if all(column.isna().all() for column in columns.values()):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "unknown", transform=axes.transAxes, ha="center", color=_INK)
