"""What the runs of a store took: tokens, money, time and failures, as a frame and as a static picture of it."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.async_db import AsyncDb, as_sync
from agno_nb.db.base import Db
from agno_nb.db.frame_filters import RunFilters
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

By = Literal["day", "model", "agent", "notebook", "user"]
_COLUMNS = {"model": "model", "agent": "component_name", "notebook": "notebook", "user": "user_id"}
_MOST_BARS = 20
# Mid-tones, because the same picture is looked at on white and on black.
_INK = "#808080"
_BARS = ("#3f7fd0", "#a05fc8")
_FAILED = "#d0484f"


@typed_kwargs(RunFilters)
def usage(by: By = "day", *, db: Db | AsyncDb | None = None, **filters: Unpack[RunFilters]) -> Usage:
    """Show tokens, cost, latency and errors of the runs of a store.

    Parameters
    ----------
    by : {"day", "model", "agent", "notebook", "user"}
        What the runs are put together by. A day is one in UTC.
    db : Db, optional
        The store; the one of the notebook where not given.
    **filters
        Which runs: see :func:`agno_nb.frames.runs_df`.

    Returns
    -------
    Usage
        Shown as a picture, which stays in the saved notebook; ``.df`` is what it is drawn from.

    Raises
    ------
    InvalidInputError
        `by` is something else, or matplotlib is not there to draw with.

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
            "usage() draws with matplotlib, which is not installed: pip install 'agno_nb[plot]'. "
            "Without it, runs_df() has the same numbers."
        )
    return Usage(by, (as_sync(db) or default_db()).runs_df(**filters))


class Usage:
    """What runs took, made by :func:`usage`.

    Attributes
    ----------
    df : DataFrame
        A row for each day, model, agent, notebook or user, with `runs` and `errors` (turns and attempts, without what
        is nested in them), `input_tokens`, `output_tokens` and `cost` (of everything; the cost is null where any part
        is unknown), and the median and 95th percentile of `duration_s`, as `median_s` and `p95_s`.
    """

    def __init__(self, by: By, runs: pd.DataFrame) -> None:
        self.by = by
        self.df = _summed(by, runs)

    def figure(self) -> Figure:
        """Draw it anew."""
        return _figure(self.by, self.df)

    def __repr__(self) -> str:
        return displayable(self.df.to_string()) if len(self.df) else "no runs yet"

    def _repr_png_(self) -> bytes | None:
        if self.df.empty:
            return None
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=144, transparent=True, bbox_inches="tight")
        return file.getvalue()


def _summed(by: By, runs: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    key = runs["created_at"].dt.strftime("%Y-%m-%d") if by == "day" else runs[_COLUMNS[by]].fillna("none")
    if by == "notebook":
        key = key.str.rsplit("/", n=1).str[-1]
    runs = runs.assign(**{by: key.astype("str")})
    turns = runs[runs["run_index"].notna()]
    # A run in which no model answered has no cost, which is known.
    unknown = runs["cost"].isna() & runs["output_tokens"].notna()
    everything = runs.assign(unknown=unknown).groupby(by)
    of_turns = turns.assign(failed=turns["status"].eq("ERROR")).groupby(by)
    frame = pd.DataFrame(
        {
            "runs": of_turns.size(),
            "errors": of_turns["failed"].sum(),
            "input_tokens": everything["input_tokens"].sum(min_count=1),
            "output_tokens": everything["output_tokens"].sum(min_count=1),
            "cost": everything["cost"].sum(min_count=1).mask(everything["unknown"].any()),
            "median_s": of_turns["duration_s"].median(),
            "p95_s": of_turns["duration_s"].quantile(0.95),
        }
    )
    frame.index.name = by
    frame[["runs", "errors"]] = frame[["runs", "errors"]].fillna(0)
    frame = frame.astype({"runs": "Int64", "errors": "Int64", "input_tokens": "Int64", "output_tokens": "Int64"})
    return frame.sort_index() if by == "day" else frame.sort_values("runs", ascending=False)


def _figure(by: By, frame: pd.DataFrame) -> Figure:
    from matplotlib.figure import Figure

    frame = frame.tail(_MOST_BARS) if by == "day" else frame.head(_MOST_BARS)
    labels = [label if len(label) <= 18 else f"{label[:17]}…" for label in map(_plain, frame.index)]
    figure = Figure(figsize=(9, 5), layout="constrained")
    tokens, cost, latency, errors = figure.subplots(2, 2).flat
    _bars(tokens, "Tokens", labels, {"in": frame["input_tokens"], "out": frame["output_tokens"]})
    _bars(cost, "Cost in US dollars", labels, {"": frame["cost"]})
    _bars(latency, "Seconds a run takes", labels, {"median": frame["median_s"], "95 %": frame["p95_s"]})
    _bars(errors, "Runs", labels, {"all": frame["runs"], "failed": frame["errors"]})
    return figure


def _bars(axes: Any, title: str, labels: list[str], columns: dict[str, pd.Series[Any]]) -> None:
    width = 0.8 / len(columns)
    for place, (name, column) in enumerate(columns.items()):
        heights = [float("nan") if value != value else value for value in column.astype("float64")]
        at = [position + (place - (len(columns) - 1) / 2) * width for position in range(len(labels))]
        axes.bar(at, heights, width=width, color=_FAILED if name == "failed" else _BARS[place], label=name)
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.set_xticks(
        range(len(labels)), labels, rotation=30 if len(labels) > 3 else 0, ha="right" if len(labels) > 3 else "center"
    )
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    if len(columns) > 1:
        axes.legend(fontsize=8, frameon=False, labelcolor=_INK)
    if all(column.isna().all() for column in columns.values()):
        axes.set_yticks([])
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=_INK)


def _plain(label: object) -> str:
    # "$" begins a formula in matplotlib.
    return str(label).replace("$", r"\$")
