"""Budgets and request limits, enforced before each model request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime

from agno_nb.errors import BudgetExceeded, InvalidInputError, RunLimitError
from agno_nb.models.base import Model
from agno_nb.redact import warn
from agno_nb.run.context import RunContext
from agno_nb.types import Budget, RunOutput, UsageTotals, counted

NESTED_REQUESTS = 20
"""A run and its nested runs together may make this many times its `request_limit` of model requests."""

_REMEDIES = {
    "run": "split the task",
    "session": "start a new session",
    "notebook": "continue in another notebook",
    "day": "continue tomorrow",
}


async def enforce_budgets(context: RunContext, model: Model) -> None:
    """Check the budgets of the run and of the runs that it is nested in.

    Raises
    ------
    BudgetExceeded
    InvalidInputError
        A budget cannot be checked, because the price of the model is unknown or there is no store.
    """
    for owner in (context, *context.outer_runs):
        for budget in owner.budgets:
            if budget.usd is not None and not model.is_priced:
                raise InvalidInputError(
                    f"cannot enforce a budget in US dollars: the price of {model.id!r} at {model.provider} is unknown; "
                    f"limit the tokens with Agent(budget=Budget(tokens=..., per={budget.per!r})), or remove the "
                    "budget, in a notebook with `%agent --budget off`"
                )
            usage = await usage_so_far(budget, owner)
            is_usd_spent = budget.usd is not None and usage.usd >= budget.usd
            if is_usd_spent or (budget.tokens is not None and usage.tokens >= budget.tokens):
                raise BudgetExceeded(_exhausted_message(budget, usage), budget=budget, usage=usage)
            if budget.usd is not None and usage.num_unpriced:
                warn(
                    f"earlier runs and summaries of this {budget.per} with an unknown price ({usage.num_unpriced}) do "
                    f"not count towards the budget of {_format_amounts(budget, budget.usd, budget.tokens)}"
                )


def count_request(context: RunContext) -> None:
    """Count a model request that is about to be sent.

    Without the bound on nested runs, agents that call each other would multiply their limits.

    Raises
    ------
    RunLimitError
        The run has reached its `request_limit`, or a run with its nested runs has reached `NESTED_REQUESTS` times its
        limit.
    """
    for owner in (context, *context.outer_runs):
        run, limit = owner.run, owner.request_limit
        component = repr(run.component_name or run.component_id)
        if limit is not None and owner is context and owner.num_requests >= limit:
            raise RunLimitError(
                f"run {run.run_id!r} of {component} made {counted(owner.num_requests, 'model request')}, as many as "
                f"request_limit={limit} allows; regenerate(from_partial=True), or `%agent continue`, continues with "
                f"{limit} more, and Agent(request_limit=...) sets another limit, or None for no limit"
            )
        total = owner.num_requests + owner.num_nested_requests
        if limit is not None and total >= limit * NESTED_REQUESTS:
            raise RunLimitError(
                f"run {run.run_id!r} of {component} and its nested runs made {total:,} model requests, "
                f"{NESTED_REQUESTS} times request_limit={limit}; check if agents call each other without end, or pass "
                "a higher request_limit, or None for no limit"
            )
    context.num_requests += 1
    for outer in context.outer_runs:
        outer.num_nested_requests += 1


def requests_of(run: RunOutput) -> tuple[int, int]:
    """Return the number of model requests of a run, and of the runs nested in it."""
    own = sum(m.role == "assistant" and m.metrics is not None and not m.from_history for m in run.messages)
    return own, sum(sum(requests_of(nested)) for nested in run.nested_runs)


async def usage_so_far(budget: Budget, owner: RunContext) -> UsageTotals:
    if budget.per == "run":
        return _usage_of_runs(_walk_runs(owner.run))
    if owner.db is None:
        raise InvalidInputError(
            f"cannot enforce a budget per {budget.per}: the agent has no store; set db=... or use "
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


def _format_amounts(budget: Budget, usd: float | None, tokens: int | None) -> str:
    """Describe the amounts that `budget` limits."""
    amounts = [_format_usd(usd)] if budget.usd is not None and usd is not None else []
    amounts += [f"{tokens:,} tokens"] if budget.tokens is not None else []
    return " and ".join(amounts)


def _format_usd(usd: float) -> str:
    return f"${usd:,.2f}" if round(usd, 2) == usd else f"${usd:,.4g}"


def _exhausted_message(budget: Budget, usage: UsageTotals) -> str:
    limit = _format_amounts(budget, budget.usd, budget.tokens)
    spent = _format_amounts(budget, usage.usd, usage.tokens)
    unknown = f", and {usage.num_unpriced} more of unknown cost" if usage.num_unpriced else ""
    return (
        f"the budget of {limit} for this {budget.per} is spent: {spent} so far{unknown}; {_REMEDIES[budget.per]} or "
        "raise the budget"
    )
