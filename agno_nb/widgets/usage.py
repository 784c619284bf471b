"""Tokens, cost, duration and failures of the runs of a store, as a DataFrame and as a static chart."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from typing_extensions import Unpack

from agno_nb._keywords import typed_kwargs
from agno_nb.db import default_db
from agno_nb.db.arrow_tables import TimeZone
from agno_nb.db.base import AsyncDb
from agno_nb.db.frame_definitions import RunFilters
from agno_nb.db.frame_reader import FrameReader
from agno_nb.db.queries import unpriced_runs
from agno_nb.errors import InvalidInputError
from agno_nb.redact import displayable
from agno_nb.types import one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

By = Literal["day", "week", "month", "model", "agent", "notebook", "user", "source"]

_COLUMNS = {
    "model": "model", "agent": "component_name", "notebook": "notebook", "user": "user_id", "source": "source",
}  # fmt: skip
_MISSING = {"model": "unknown model", "agent": "unnamed", "notebook": "no notebook", "user": "anonymous", "source": ""}
"""Labels of runs without a value."""
_TIMES = {"day": "D", "week": "7D", "month": "MS"}
"""Groupings by time, with the step between two groups."""
_MAX_BARS = 20
_MAX_COLORS = 8
_MAX_TIME_LABELS = 7
_LABEL_CHARS = 24
# Mid-tones, because the same chart is read on white and on black.
_INK = "#808080"
_COLORS = ("#3f7fd0", "#a05fc8", "#3f9a5d", "#d08a2f", "#c8608f", "#4fa3b5", "#9a8f3f", "#8a8a8a")
_FAILED = "#d0484f"


@typed_kwargs(RunFilters)
def usage(
    by: By | Sequence[By] = "day",
    *,
    db: FrameReader | AsyncDb | None = None,
    tz: TimeZone = "UTC",
    **filters: Unpack[RunFilters],
) -> Usage:
    """Show tokens, cost, duration and failures of the runs of a store.

    Parameters
    ----------
    by : {"day", "week", "month", "model", "agent", "notebook", "user", "source"} or a list of two of them
        How the runs are grouped. A week is labelled with its Monday. The source is the file, if `db` is a collection.
        With two, the chart has a bar for each value of the first and a color for each value of the second.
    db : Db or Collection, optional
        The store, or several. Defaults to the notebook's.
    tz : str, tzinfo or None
        Time zone of the days, weeks and months.
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
    >>> usage(["agent", "model"], db=db).df["runs"].to_dict()
    {('guide', 'demo'): 1}
    """
    keys = (by,) if isinstance(by, str) else tuple(by)
    for key in keys:
        if key not in get_args(By):
            raise InvalidInputError(f"by is {by!r}; it must be one or two of {', '.join(get_args(By))}")
    if len(set(keys)) != len(keys) or not 1 <= len(keys) <= 2:
        raise InvalidInputError(f"by is {by!r}; pass one name, or a list of two different names")
    if importlib.util.find_spec("matplotlib") is None:
        raise InvalidInputError(
            "usage() needs matplotlib, which is not installed; run pip install 'agno_nb[plot]', or use runs_df()"
        )
    reader = db.sync if isinstance(db, AsyncDb) else default_db() if db is None else db
    runs = reader.runs_df(tz=tz, **filters)
    if "source" in keys and "source" not in runs:
        raise InvalidInputError(f"by is {by!r}, but a single store has no sources; pass db=collect(...)")
    return Usage(keys, runs, unpriced_runs(reader))


class Usage:
    """Usage of the runs of a store, created by :func:`usage`.

    Attributes
    ----------
    df : DataFrame
        A row for each value of `by`, or for each pair of values. The rows of `runs_df()` are summed, so superseded
        attempts and nested runs count, each by its own model and agent. Copies in forks don't, because they were paid
        for once. `cost` is null if the cost of any run with a model answer is unknown; `known_cost` is the sum of the
        others, and `num_unpriced_runs` counts what is missing from it. `median_s` and `p95_s` are the median and the
        95th percentile of `duration_s`.
    """

    def __init__(self, by: Sequence[By], runs: pd.DataFrame, unpriced: pd.DataFrame) -> None:
        self.by = tuple(by)
        self._table = _usage_table(self.by, runs, unpriced)
        self.df = self._table.drop(columns="num_uncounted")

    def figure(self) -> Figure:
        """Draw the chart."""
        return _figure(self._table)

    def __repr__(self) -> str:
        return displayable(self.df.to_string()) if len(self.df) else "no runs"

    def _repr_png_(self) -> bytes | None:
        if self.df.empty:
            return None
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=144, transparent=True, bbox_inches="tight")
        return file.getvalue()


def _usage_table(by: Sequence[By], runs: pd.DataFrame, unpriced: pd.DataFrame) -> pd.DataFrame:
    """Return `Usage.df`, with the number of runs with a model answer whose tokens are unknown."""
    import pandas as pd

    runs = runs[runs["forked_from_run_id"].isna()].merge(unpriced.assign(unpriced=True), how="left")
    runs = runs.assign(
        failed=runs["status"].eq("ERROR"),
        unpriced=runs["unpriced"].notna(),
        uncounted=runs["unpriced"].notna() & runs["total_tokens"].isna(),
        **{key: _labels(key, runs) for key in by},
    )
    groups = runs.groupby([*by] if len(by) > 1 else by[0])
    frame = pd.DataFrame(
        {
            "runs": groups.size(),
            "errors": groups["failed"].sum(),
            "input_tokens": groups["input_tokens"].sum(min_count=1),
            "output_tokens": groups["output_tokens"].sum(min_count=1),
            "cost": groups["cost"].sum(min_count=1).mask(groups["unpriced"].any()),
            "known_cost": groups["cost"].sum(min_count=1),
            "num_unpriced_runs": groups["unpriced"].sum(),
            "median_s": groups["duration_s"].median(),
            "p95_s": groups["duration_s"].quantile(0.95),
            "num_uncounted": groups["uncounted"].sum(),
        }
    )
    frame.index.names = list(by)
    counts = ["runs", "errors", "input_tokens", "output_tokens", "num_unpriced_runs", "num_uncounted"]
    frame = frame.astype(dict.fromkeys(counts, "Int64"))
    return frame.sort_index() if by[0] in _TIMES else frame.sort_values("runs", ascending=False, kind="stable")


def _labels(key: By, runs: pd.DataFrame) -> pd.Series[str]:
    import pandas as pd

    if key in _TIMES:
        times = runs["created_at"]
        if key == "week":
            times = times.dt.tz_localize(None)
            times = times - pd.to_timedelta(times.dt.day_of_week, unit="D")
        dates: pd.Series[str] = times.dt.strftime("%Y-%m" if key == "month" else "%Y-%m-%d").astype("str")
        return dates
    if key == "model":
        # A workflow calls no model itself.
        runs = runs.assign(model=runs["model"].mask(runs["kind"].eq("workflow"), "no model"))
    labels: pd.Series[str] = runs[_COLUMNS[key]].fillna(_MISSING[key]).astype("str")
    if key == "notebook":
        labels = labels.map(lambda path: path.rpartition("/")[2])
    return labels


_TOKENS, _COST, _DURATION, _RUNS = "Tokens", "Cost in US dollars", "Duration in seconds", "Runs"


def _figure(frame: pd.DataFrame) -> Figure:
    """Draw a panel for each measure. There is none for the cost if nothing is known to have cost anything."""
    from matplotlib.figure import Figure

    of_pairs, by_time = frame.index.nlevels > 1, frame.index.names[0] in _TIMES
    frame, ticks, note = _shown(frame)
    panels = _panels_of_pairs(frame) if of_pairs else _panels(frame)
    if not (panels[_COST] > 0).any(axis=None):
        del panels[_COST]
    missing = frame[["num_uncounted", "num_unpriced_runs"]].groupby(level=0, sort=False).sum().reindex(ticks).fillna(0)
    unknown = {_TOKENS: missing["num_uncounted"].gt(0).tolist(), _COST: missing["num_unpriced_runs"].gt(0).tolist()}
    height = 2.6 if by_time else 1.2 + 0.24 * len(ticks)
    # Three panels in a row need space for their titles and legends.
    figure = Figure(figsize=(9, 2 * height) if len(panels) == 4 else (11, height), layout="constrained")
    axes = figure.subplots(2, 2).flat if len(panels) == 4 else figure.subplots(1, len(panels)).flat
    for each, (name, bars) in zip(axes, panels.items(), strict=True):
        is_unknown = unknown.get(name, [False] * len(ticks))
        _draw(each, bars.reindex(ticks), is_unknown, is_vertical=by_time, is_stacked=not name.startswith(_DURATION))
        title = f"{name}{_SOME_UNKNOWN}" if by_time and any(is_unknown) else name
        each.set_title(title, fontsize=10, color=_INK, loc="left")
        _scale(each.yaxis if by_time else each.xaxis, is_count=name in (_TOKENS, _RUNS))
        if len(bars.columns) > 1 and not of_pairs:
            each.legend(loc="lower right", bbox_to_anchor=(1, 1), **_LEGEND, ncols=2)
    if of_pairs:
        # By default matplotlib leaves out names that begin with an underscore.
        names = [_escaped(name) for name in bars.columns]
        figure.legend(each.containers, names, loc="outside upper right", **_LEGEND, ncols=4)
    if note:
        figure.suptitle(note, fontsize=8, color=_INK, x=0.01, ha="left")
    return figure


def _panels(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tokens = frame[["input_tokens", "output_tokens"]].set_axis(["input", "output"], axis=1)
    runs = frame.assign(completed=frame["runs"] - frame["errors"])[["completed", "errors"]]
    return {
        _TOKENS: tokens,
        _COST: frame[["known_cost"]],
        _DURATION: frame[["median_s", "p95_s"]].set_axis(["median", "p95"], axis=1),
        _RUNS: runs.set_axis(["not failed", "failed"], axis=1),
    }


def _panels_of_pairs(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    frame = frame.assign(tokens=frame[["input_tokens", "output_tokens"]].sum(axis=1, min_count=1))
    measures = {_TOKENS: "tokens", _COST: "known_cost", f"{_DURATION}, median": "median_s", _RUNS: "runs"}
    return {name: frame[column].unstack(sort=False) for name, column in measures.items()}


def _shown(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str], str]:
    """Return the rows that there is space for, the values along the axis, and a note on the others."""
    notes = []
    ticks: list[str] = []
    for level, limit in enumerate((_MAX_BARS, _MAX_COLORS)[: frame.index.nlevels]):
        name, values = frame.index.names[level], frame.index.get_level_values(level)
        totals = frame.groupby(values, sort=False)["runs"].sum()
        # A time without runs has an empty place on the axis.
        names = list(totals.index) if name not in _TIMES else sorted(totals.index) if level else _times(name, totals)
        if len(names) > limit:
            kept = names[-limit:] if name in _TIMES else list(totals.nlargest(limit).index)
            frame = frame[values.isin(kept)]
            notes.append(f"the {limit} {'latest' if name in _TIMES else 'most frequent'} of {len(names)} {name}s")
            names = kept
        ticks = ticks or names
    return frame, ticks, f"Shown: {', '.join(notes)}" if notes else ""


def _times(name: str, totals: pd.Series[int]) -> list[str]:
    """Return the labels of all days, weeks or months from the first to the last."""
    import pandas as pd

    times = pd.date_range(totals.index.min(), totals.index.max(), freq=_TIMES[name])
    return list(times.strftime("%Y-%m" if name == "month" else "%Y-%m-%d"))


def _draw(axes: Axes, bars: pd.DataFrame, is_unknown: Sequence[bool], *, is_vertical: bool, is_stacked: bool) -> None:
    """Draw bars, one row of `bars` at each tick and one color for each of its columns."""
    places = range(len(bars))
    ends = [0.0] * len(bars)
    longest: list[float] = []
    thickness = 0.8 if is_stacked else 0.8 / len(bars.columns)
    for number, name in enumerate(bars.columns):
        lengths = [float(value) for value in bars[name].astype("float64").fillna(0.0)]
        at = [place + (0 if is_stacked else (number - (len(bars.columns) - 1) / 2) * thickness) for place in places]
        look: Mapping[str, Any] = {
            "color": _FAILED if name == "failed" else _COLORS[number % len(_COLORS)], "label": _escaped(name),
        }  # fmt: skip
        if is_vertical:
            axes.bar(at, lengths, width=thickness, bottom=ends if is_stacked else 0, **look)
        else:
            axes.barh(at, lengths, height=thickness, left=ends if is_stacked else 0, **look)
        ends = [(end if is_stacked else 0) + length for end, length in zip(ends, lengths, strict=True)]
        longest += ends
    for place in [place for place in places if is_unknown[place]]:
        if is_vertical:
            words = "+?" if ends[place] else "?"
            axes.annotate(words, (place, ends[place]), xytext=(0, 2), ha="center", **_NOTE)
        else:
            words = "+ unknown" if ends[place] else "unknown"
            axes.annotate(words, (ends[place], place), xytext=(3, 0), va="center", **_NOTE)
    labels = [_escaped(label) for label in bars.index]
    if is_vertical:
        tilted: Mapping[str, Any] = {"rotation": 30, "ha": "right"} if len(labels) > 3 else {}
        step = -(-len(labels) // _MAX_TIME_LABELS)
        axes.set_xticks(places[::step], labels[::step], **tilted)
    else:
        axes.set_yticks([*places], labels)
        axes.invert_yaxis()
    # Space for what is written beyond the longest bar.
    (axes.set_ylim if is_vertical else axes.set_xlim)(0, max(longest, default=0) * (1.1 if is_vertical else 1.2) or 1)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)


def _scale(axis: Axis, *, is_count: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=5, integer=is_count, steps=[1, 2, 5, 10]))
    if is_count:
        axis.set_major_formatter("{x:,.0f}")


_SOME_UNKNOWN = "   (+? partly unknown)"
_NOTE: Mapping[str, Any] = {"fontsize": 7, "color": _INK, "textcoords": "offset points"}
_LEGEND: Mapping[str, Any] = {"fontsize": 7, "frameon": False, "labelcolor": _INK}


def _escaped(label: object) -> str:
    """Return a label of one line in which "$" does not start a formula."""
    return one_line(str(label), _LABEL_CHARS).replace("$", r"\$")
