"""Annotate runs with labels, scores and comments, one at a time or from a DataFrame, and use good ones as examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.arrow_tables import is_a
from agno_nb.db.base import AsyncDb, Db
from agno_nb.errors import InvalidInputError
from agno_nb.experiments.runs import find_run, run_id_of, store_of
from agno_nb.types import Annotation, Message, RunOutput, RunStatus

if TYPE_CHECKING:
    import pandas as pd

_VALUES = ("label", "score", "comment")


@suggest_on_unknown_kwarg({"annotated_by": "by"})
def annotate(
    run: RunOutput | str,
    *,
    label: str | None = None,
    score: float | None = None,
    comment: str | None = None,
    by: str | None = None,
    db: Db | AsyncDb | None = None,
) -> Annotation:
    """Annotate a run. Earlier annotations stay; ``annotations_df()`` has all of them.

    Parameters
    ----------
    run : RunOutput or str
        The run or its ID.
    label : str, optional
        For example "good" or "wrong".
    score : float, optional
        A number, for example from 0 to 1.
    comment : str, optional
    by : str, optional
        Name or user ID of who annotates.
    db : Db, optional
        The store that has the run; defaults to the notebook's.

    Raises
    ------
    InvalidInputError
        The store has no such run, a value is not valid, or there is none.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb, ScriptedModel, annotate, runs_df
    >>> db = InMemoryDb()
    >>> run = Agent(ScriptedModel(["4"]), db=db).run("2 + 2?")
    >>> annotate(run, label="good", by="ada", db=db).label
    'good'
    >>> len(runs_df(db=db, label="good"))
    1
    """
    annotation = Annotation(run_id_of(run), label=label, score=score, comment=comment, annotated_by=by)
    return store_of(db).add_annotations([annotation])[0]


@suggest_on_unknown_kwarg({"annotated_by": "by"})
def annotate_df(df: pd.DataFrame, *, by: str | None = None, db: Db | AsyncDb | None = None) -> pd.DataFrame:
    """Annotate the runs of a DataFrame, for example of a table that was labelled in a spreadsheet.

    A row that has already been stored, with the same values and the same author, is not stored again.

    Parameters
    ----------
    df : DataFrame
        It has a column `run_id` and at least one of `label`, `score` and `comment`; rows in which they are null are
        left out. `annotated_by`, if there is such a column, takes precedence over `by`. Other columns are ignored.
    by : str, optional
        Name or user ID of who annotates.
    db : Db, optional
        The store that has the runs; defaults to the notebook's.

    Returns
    -------
    DataFrame
        The annotations that were added, with the columns of ``annotations_df()``.

    Raises
    ------
    InvalidInputError
        A column is missing, a value is not valid, or the store has no such run. Nothing was stored.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb, ScriptedModel, annotate_df, runs_df
    >>> db = InMemoryDb()
    >>> _ = Agent(ScriptedModel(["4"]), db=db).run("2 + 2?")
    >>> added = annotate_df(runs_df(db=db).assign(score=1.0), by="ada", db=db)
    >>> added["score"].tolist()
    [1.0]
    """
    store, there = store_of(db), set(map(str, df.columns))
    if "run_id" not in there or there.isdisjoint(_VALUES):
        raise InvalidInputError(
            f"the DataFrame has the columns {', '.join(map(str, df.columns)) or 'none'}; it needs run_id, and label, "
            "score or comment"
        )
    columns = [name for name in ("run_id", *_VALUES, "annotated_by") if name in there]
    annotations = [_from_row(dict(zip(columns, row, strict=True)), by) for row in _plain_rows(df[columns])]
    wanted = [each for each in annotations if each is not None]
    run_ids = list(dict.fromkeys(each.run_id for each in wanted))
    known = store.annotations_df(run_id=run_ids)
    stored = {_key(*row) for row in _plain_rows(known[["run_id", *_VALUES, "annotated_by"]])}
    new = [each for each in wanted if _key_of(each) not in stored]
    added = {each.annotation_id for each in store.add_annotations(new)}
    after = store.annotations_df(run_id=run_ids)
    return after[after["annotation_id"].isin(added)].reset_index(drop=True)


@suggest_on_unknown_kwarg({})
def as_examples(
    runs: RunOutput | str | Iterable[RunOutput | str] | pd.DataFrame, *, db: Db | AsyncDb | None = None
) -> list[Message]:
    """Return runs as examples for an agent's `additional_input`: the user's message and the answer of each.

    Parameters
    ----------
    runs : RunOutput, str, iterable of them, or DataFrame
        Runs, their IDs, or a DataFrame with a column `run_id`, such as ``runs_df(label="good")``.
    db : Db, optional
        The store that has the runs; defaults to the notebook's.

    Raises
    ------
    InvalidInputError
        A run has no answer, or the store has no such run.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb, ScriptedModel, as_examples
    >>> db = InMemoryDb()
    >>> run = Agent(ScriptedModel(["4"]), db=db).run("2 + 2?")
    >>> [(message.role, message.content) for message in as_examples(run, db=db)]
    [('user', '2 + 2?'), ('assistant', '4')]
    """
    messages = []
    for each in _listed(runs):
        run = find_run(each, db)
        if run.status is not RunStatus.COMPLETED or not run.get_content_as_string().strip():
            raise InvalidInputError(f"run {run.run_id!r} has no answer (it is {run.status}); leave it out")
        messages += [
            Message(role="user", content=run.input),
            Message(role="assistant", content=run.get_content_as_string()),
        ]
    return messages


def _listed(runs: Any) -> list[Any]:
    if is_a("pandas", "DataFrame", runs):
        if "run_id" not in runs:
            raise InvalidInputError("the DataFrame has no column run_id; pass one such as runs_df(label='good')")
        return list(runs["run_id"])
    return [runs] if isinstance(runs, RunOutput | str) else list(runs)


def _plain_rows(df: pd.DataFrame) -> Iterable[tuple[Any, ...]]:
    """Yield the rows with None for null, and Python's numbers for numpy's."""
    for row in df.astype(object).itertuples(index=False, name=None):
        yield tuple(None if _is_null(each) else each.item() if hasattr(each, "item") else each for each in row)


def _is_null(value: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def _from_row(row: dict[str, Any], by: str | None) -> Annotation | None:
    """Return the annotation of a row, or None if it has none."""
    for name in ("label", "comment"):
        if isinstance(row.get(name), str) and not row[name].strip():
            row[name] = None  # An empty cell of a spreadsheet.
    if all(row.get(name) is None for name in _VALUES):
        return None
    author = by if row.get("annotated_by") is None else row["annotated_by"]
    values: dict[str, Any] = {name: row.get(name) for name in _VALUES}
    return Annotation(run_id_of(row["run_id"]), annotated_by=author, **values)


def _key(run_id: str, label: str | None, score: float | None, comment: str | None, by: str | None) -> tuple[Any, ...]:
    return run_id, label, None if score is None else float(score), comment, by


def _key_of(each: Annotation) -> tuple[Any, ...]:
    each.check()
    return _key(each.run_id, each.label, each.score, each.comment, each.annotated_by)
