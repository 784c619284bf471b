"""Tokens, cost, duration and failures of the runs of a store, as a DataFrame and as a static chart."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

By = Literal["day", "model", "agent", "notebook", "user"]

_COLUMNS = {"model": "model", "agent": "component_name", "notebook": "notebook", "user": "user_id"}
_MISSING = {"model": "unknown model", "agent": "unnamed", "notebook": "no notebook", "user": "anonymous"}
"""Labels of runs without a value."""
_MAX_BARS = 20
_MAX_COLORS = 8
_LABEL_CHARS = 24
# Mid-tones, because the same chart is read on white and on black.
_INK = "#808080"
_COLORS = ("#3f7fd0", "#a05fc8", "#3f9a5d", "#d08a2f", "#c8608f", "#4fa3b5", "#9a8f3f", "#8a8a8a")
_FAILED = "#d0484f"


@typed_kwargs(RunFilters)
def usage(by: By | Sequence[By] = "day", *, db: Db | AsyncDb | None = None, **filters: Unpack[RunFilters]) -> Usage:
    """Show tokens, cost, duration and failures of the runs of a store.

    Parameters
    ----------
    by : {"day", "model", "agent", "notebook", "user"} or a list of two of them
        How the runs are grouped. Days are in UTC. With two, the chart has a bar for each value of the first and
        a color for each value of the second.
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
    return Usage(keys, (as_sync(db) or default_db()).runs_df(**filters))


class Usage:
    """Usage of the runs of a store, created by :func:`usage`.

    Attributes
    ----------
    df : DataFrame
        A row for each day, model, agent, notebook or user, or for each pair of them. `runs` and `errors` count
        attempts, without nested runs. `input_tokens`, `output_tokens` and `cost` include nested runs; the cost is null
        if any part of it is unknown. `median_s` and `p95_s` are the median and the 95th percentile of `duration_s`.
    """

    def __init__(self, by: Sequence[By], runs: pd.DataFrame) -> None:
        self.by = tuple(by)
        self.df = _usage_frame(self.by, runs)

    def figure(self) -> Figure:
        """Draw the chart."""
        return _figure(self.df)

    def __repr__(self) -> str:
        return displayable(self.df.to_string()) if len(self.df) else "no runs yet"

    def _repr_png_(self) -> bytes | None:
        if self.df.empty:
            return None
        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=144, transparent=True, bbox_inches="tight")
        return file.getvalue()


def _usage_frame(by: Sequence[By], runs: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    runs = runs.assign(**{key: _labels(key, runs) for key in by})
    keys = list(by) if len(by) > 1 else by[0]
    turns = runs[runs["run_index"].notna()]
    # A run without a model response costs nothing, so its cost is not unknown.
    unknown = runs["cost"].isna() & runs["output_tokens"].notna()
    all_runs = runs.assign(unknown=unknown).groupby(keys)
    attempts = turns.assign(failed=turns["status"].eq("ERROR")).groupby(keys)
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
    frame.index.names = list(by)
    frame[["runs", "errors"]] = frame[["runs", "errors"]].fillna(0)
    frame = frame.astype({"runs": "Int64", "errors": "Int64", "input_tokens": "Int64", "output_tokens": "Int64"})
    return frame.sort_index() if by[0] == "day" else frame.sort_values("runs", ascending=False, kind="stable")


def _labels(key: By, runs: pd.DataFrame) -> pd.Series[str]:
    if key == "day":
        days: pd.Series[str] = runs["created_at"].dt.strftime("%Y-%m-%d").astype("str")
        return days
    labels: pd.Series[str] = runs[_COLUMNS[key]].fillna(_MISSING[key]).astype("str")
    if key == "notebook":
        labels = labels.map(lambda path: path.rpartition("/")[2])
    return labels


def _figure(frame: pd.DataFrame) -> Figure:
    """Draw a panel for each measure. There is none for the cost if no cost is known."""
    from matplotlib.figure import Figure

    frame, title = _shown(frame)
    of_pairs = frame.index.nlevels > 1
    panels = _panels_of_pairs(frame) if of_pairs else _panels(frame)
    panels = {name: bars for name, bars in panels.items() if name != _COST or bars.notna().any(axis=None)}
    by_day = frame.index.names[0] == "day"
    num_bars = max(len(bars) for bars in panels.values())
    height = 2.6 if by_day else 1.2 + 0.24 * num_bars
    figure = Figure(figsize=(9, 2 * height if len(panels) == 4 else height), layout="constrained")
    axes = figure.subplots(2, 2).flat if len(panels) == 4 else figure.subplots(1, len(panels)).flat
    for each, (name, bars) in zip(axes, panels.items(), strict=True):
        # In a table of pairs, a pair without runs has no value either.
        is_unknown = (bars.isna() & panels[_RUNS].notna()).any(axis=1) if of_pairs else bars.isna().all(axis=1)
        _draw(each, name, bars, is_unknown, is_vertical=by_day, is_stacked=not name.startswith(_DURATION))
        if len(bars.columns) > 1 and not of_pairs:
            each.legend(loc="lower right", bbox_to_anchor=(1, 1), **_LEGEND, ncols=2)
    if of_pairs:
        handles, names = each.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper right", **_LEGEND, ncols=4)
    if title:
        figure.suptitle(title, fontsize=8, color=_INK, x=0.01, ha="left")
    return figure


_TOKENS, _COST, _DURATION, _RUNS = "Tokens", "Cost in US dollars", "Duration in seconds", "Runs"


def _panels(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    tokens = frame[["input_tokens", "output_tokens"]].set_axis(["input", "output"], axis=1)
    runs = frame.assign(completed=frame["runs"] - frame["errors"])[["completed", "errors"]]
    return {
        _TOKENS: tokens,
        _COST: frame[["cost"]],
        _DURATION: frame[["median_s", "p95_s"]].set_axis(["median", "p95"], axis=1),
        _RUNS: runs.set_axis(["not failed", "failed"], axis=1),
    }


def _panels_of_pairs(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    frame = frame.assign(tokens=frame["input_tokens"].fillna(0) + frame["output_tokens"].fillna(0))
    measures = {_TOKENS: "tokens", _COST: "cost", f"{_DURATION}, median": "median_s", _RUNS: "runs"}
    return {name: frame[column].unstack(sort=False) for name, column in measures.items()}


def _shown(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows that there is space for, and a note on the others."""
    notes = []
    for level, limit in enumerate((_MAX_BARS, _MAX_COLORS)[: frame.index.nlevels]):
        name, values = frame.index.names[level], frame.index.get_level_values(level)
        totals = frame.groupby(values, sort=False)["runs"].sum()
        if len(totals) > limit:
            kept = totals.index[-limit:] if name == "day" else totals.nlargest(limit).index
            frame = frame[values.isin(kept)]
            which = "latest" if name == "day" else "most frequent"
            notes.append(f"the {limit} {which} of {len(totals)} {name}s")
    return frame, f"Shown: {', '.join(notes)}" if notes else ""


def _draw(
    axes: Axes, title: str, bars: pd.DataFrame, is_unknown: pd.Series[bool], *, is_vertical: bool, is_stacked: bool
) -> None:
    """Draw bars, one row of `bars` at each tick and one color for each of its columns."""
    from matplotlib.ticker import MaxNLocator

    places = range(len(bars))
    ends = [0.0] * len(bars)
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
        ends = [end + length for end, length in zip(ends, lengths, strict=True)]
    for place in [place for place in places if is_unknown.iloc[place]]:
        words = "+ unknown" if ends[place] else "unknown"
        if is_vertical:
            axes.annotate(words, (place, ends[place]), xytext=(0, 2), ha="center", **_NOTE)
        else:
            axes.annotate(words, (ends[place], place), xytext=(3, 0), va="center", **_NOTE)
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    labels = [_escaped(label) for label in bars.index]
    if is_vertical:
        tilted: Mapping[str, Any] = {"rotation": 30, "ha": "right"} if len(labels) > 3 else {}
        axes.set_xticks([*places], labels, **tilted)
    else:
        axes.set_yticks([*places], labels)
        axes.invert_yaxis()
    values = axes.yaxis if is_vertical else axes.xaxis
    is_counted = title in (_TOKENS, _RUNS)
    values.set_major_locator(MaxNLocator(nbins=5, integer=is_counted))
    if is_counted:
        values.set_major_formatter("{x:,.0f}")
    (axes.set_ylim if is_vertical else axes.set_xlim)(0, None if any(ends) else 1)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)


_NOTE: Mapping[str, Any] = {"fontsize": 7, "color": _INK, "textcoords": "offset points"}
_LEGEND: Mapping[str, Any] = {"fontsize": 7, "frameon": False, "labelcolor": _INK}


def _escaped(label: object) -> str:
    """Return a label in which "$" does not start a formula."""
    return shorten(str(label), _LABEL_CHARS).replace("$", r"\$")
