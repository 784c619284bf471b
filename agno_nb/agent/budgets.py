"""Budgets of a run: enforce them before each model request."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime

from agno_nb.errors import BudgetExceeded, InvalidInputError
from agno_nb.models.base import Model
from agno_nb.run.context import RunContext
from agno_nb.types import Budget, RunOutput, UsageTotals

_REMEDIES = {
    "run": "Ask for less at once",
    "session": "Begin a new session",
    "notebook": "Go on in another notebook",
    "day": "Go on tomorrow",
}


async def enforce_budgets(context: RunContext, model: Model) -> None:
    """Raise where a budget of the run, or of a run that it is nested in, is spent or cannot be kept.

    Raises
    ------
    BudgetExceeded
    InvalidInputError
        The price of the model is not known, or there is no store to look into.
    """
    owner: RunContext | None = context
    while owner is not None:
        for budget in owner.budgets:
            if budget.usd is not None and not model.is_priced:
                raise InvalidInputError(
                    f"the price of {model.id!r} at {model.provider} is not known, so a budget in money cannot be kept "
                    f"with it; limit the tokens with Agent(budget=Budget(tokens=..., per={budget.per!r})), or remove "
                    "the budget, in a notebook with `%agent --budget off`"
                )
            usage = await usage_so_far(budget, owner)
            if _is_exhausted(budget, usage):
                raise BudgetExceeded(_exhausted_message(budget, usage), budget=budget, usage=usage)
            if budget.usd is not None and usage.num_unpriced:
                warnings.warn(
                    f"the price of {usage.num_unpriced} earlier runs or summaries of this {budget.per} is not "
                    f"known; they do not count towards the budget of {_format_limit(budget)}",
                    stacklevel=1,
                )
        owner = owner.parent


async def usage_so_far(budget: Budget, owner: RunContext) -> UsageTotals:
    if budget.per == "run":
        return _usage_of_runs(_walk_runs(owner.run))
    if owner.db is None:
        raise InvalidInputError(
            f"a budget per {budget.per} is read from the store, and there is none: give db=..., or "
            "Budget(..., per='run')"
        )
    run_tree = list(_walk_runs(owner.root.run))
    notebook = owner.run.origin.notebook if budget.per == "notebook" else None
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    stored = await asyncio.to_thread(
        owner.db.get_usage,
        session_id=owner.session_id if budget.per == "session" else None,
        notebook=notebook,
        this_process=budget.per == "notebook" and notebook is None,
        since=midnight if budget.per == "day" else None,
        exclude_run_ids=[run.run_id for run in run_tree],
    )
    counted = [run for run in run_tree if run.session_id == owner.session_id] if budget.per == "session" else run_tree
    return stored + _usage_of_runs(counted)


def _walk_runs(run: RunOutput) -> Iterator[RunOutput]:
    yield run
    for nested in run.nested_runs:
        yield from _walk_runs(nested)


def _usage_of_runs(runs: Iterable[RunOutput]) -> UsageTotals:
    calls = [m.metrics for run in runs for m in run.messages if m.role == "assistant" and not m.from_history]
    metrics_list = [metrics for metrics in calls if metrics is not None]
    return UsageTotals(
        tokens=sum(metrics.total_tokens or 0 for metrics in metrics_list),
        usd=sum(metrics.cost or 0 for metrics in metrics_list),
        num_unpriced=sum(metrics.cost is None and metrics.input_tokens is not None for metrics in metrics_list),
    )


def _is_exhausted(budget: Budget, usage: UsageTotals) -> bool:
    return (budget.usd is not None and usage.usd >= budget.usd) or (
        budget.tokens is not None and usage.tokens >= budget.tokens
    )


def _format_limit(budget: Budget) -> str:
    limits = [_format_usd(budget.usd)] if budget.usd is not None else []
    limits += [f"{budget.tokens:,} tokens"] if budget.tokens is not None else []
    return " and ".join(limits)


def _format_usd(usd: float) -> str:
    return f"${usd:,.2f}" if round(usd, 2) == usd else f"${usd:,.4g}"


def _exhausted_message(budget: Budget, usage: UsageTotals) -> str:
    spent = [_format_usd(usage.usd)] if budget.usd is not None else []
    spent += [f"{usage.tokens:,} tokens"] if budget.tokens is not None else []
    unknown = f" (and what {usage.num_unpriced} more cost is not known)" if usage.num_unpriced else ""
    return (
        f"the budget of {_format_limit(budget)} for this {budget.per} is spent: {' and '.join(spent)} so far{unknown}. "
        f"{_REMEDIES[budget.per]}, or raise the budget."
    )
