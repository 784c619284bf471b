"""One request to a model within a run: what it may cost, what is done when it fails, what is shown as it arrives."""

from __future__ import annotations

import asyncio
import itertools
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from agno_nb.errors import BudgetExceeded, InvalidInputError, ModelError, ModelStreamError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse, join_characters
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import RetryPolicy, is_provider_error
from agno_nb.run.context import RunContext
from agno_nb.run.recorder import PartialSaver
from agno_nb.types import Budget, Message, RunEvent, RunOutput, UsageTotals


@dataclass(kw_only=True)
class ModelCaller:
    """Who answers the requests of one run.

    Parameters
    ----------
    model : Model
        In use. A model that takes over stays in use until the run ends.
    fallback_models : sequence of Model or str
        Who takes over when the provider fails for good, in this order.
    retry_policy : Retries
    context : RunContext
    """

    model: Model
    fallback_models: Sequence[Model | str]
    retry_policy: RetryPolicy
    context: RunContext
    _remaining_fallbacks: Iterator[Model | str] = field(init=False)

    def __post_init__(self) -> None:
        self._remaining_fallbacks = iter(self.fallback_models)
        self._use_model(self.model)

    async def request(self, request: ModelRequest) -> Message:
        """Send a request, pass on the answer as it arrives, and put it at the end of the run.

        A failure after the first word was shown is not tried again: the user has read it.

        Raises
        ------
        ModelError
        BudgetExceeded
            There is nothing left to spend. The request was not sent.
        RunLimitError
            The run has made as many requests as it may. The request was not sent.
        """
        while True:
            try:
                return await self._with_retries(request)
            except ModelError as error:
                fallback = (
                    next(self._remaining_fallbacks, None)
                    if is_provider_error(error) and not self._has_streamed()
                    else None
                )
                if fallback is None:
                    raise
                # Choosing may ask a server for the names of its models.
                model = await asyncio.to_thread(resolve_model, fallback)
                await self.context.record_event(
                    RunEvent.model_fallback_used,
                    f"{model.id} takes over from {self.model.id}. {error}",
                    details={**_error_details(error), "fallback_model": model.id, "fallback_provider": model.provider},
                    model=self.model.id,
                )
                self._use_model(model)

    def _use_model(self, model: Model) -> None:
        self.model = model
        self.context.run.model, self.context.run.model_provider = model.id, model.provider

    def _has_streamed(self) -> bool:
        partial = self.context.partial
        return partial is not None and bool(partial.content or partial.reasoning_content)

    async def _with_retries(self, request: ModelRequest) -> Message:
        for failures in itertools.count():
            await enforce_budgets(self.context, self.model)
            self.context.count_request()
            try:
                return await self._stream_once(request)
            except ModelError as error:
                wait_s = None if self._has_streamed() else self.retry_policy.wait_s(error, failures)
                if wait_s is None:
                    raise
                await self.context.record_event(
                    RunEvent.model_request_retried,
                    f"Trying again in {wait_s:.2g} s (retry {failures + 1} of {self.retry_policy.max_retries}). "
                    f"{error}",
                    details={
                        **_error_details(error),
                        "retry": failures + 1,
                        "retries": self.retry_policy.max_retries,
                        "wait_s": wait_s,
                    },
                    model=self.model.id,
                    duration_s=wait_s,
                )
                await asyncio.sleep(wait_s)
        raise AssertionError("counting has no end")

    async def _stream_once(self, request: ModelRequest) -> Message:
        context, model = self.context, self.model
        started = time.perf_counter()
        time_to_first_token_s: float | None = None
        response: ModelResponse | None = None
        partial = context.partial = Message(role="assistant", content="", model=model.id)
        context.emit(RunEvent.model_request_started)
        # Left last, so that a partial answer that is being stored is not stored after the whole one.
        async with (
            PartialSaver(context, partial) as saver,
            aclosing(join_characters(model.stream(request))) as pieces,
        ):
            async for piece in pieces:
                if time_to_first_token_s is None:
                    time_to_first_token_s = time.perf_counter() - started
                if isinstance(piece, Delta):
                    partial.content = (partial.content or "") + piece.content
                    partial.reasoning_content = (partial.reasoning_content or "") + piece.reasoning_content or None
                    _emit_content(context, piece.content, piece.reasoning_content)
                    saver.text_arrived()
                else:
                    response = piece
        if response is None:
            raise ModelStreamError(f"{model!r} ended its stream without a whole response")
        # What came only with the whole response is shown too.
        _emit_content(
            context,
            "" if partial.content else response.content or "",
            "" if partial.reasoning_content else response.reasoning_content or "",
        )
        metrics = response.metrics
        metrics.time_to_first_token_s, metrics.duration_s = time_to_first_token_s, time.perf_counter() - started
        answer = Message(
            role="assistant",
            content=response.content,
            reasoning_content=response.reasoning_content,
            # Results and approvals are written into the calls, and a model may give the same objects again.
            tool_calls=[replace(call) for call in response.tool_calls],
            message_id=partial.message_id,
            finish_reason=response.finish_reason,
            model=response.model or model.id,
            metrics=metrics,
            provider_data=response.provider_data,
        )
        context.partial = None
        context.add_message(answer)
        context.emit(RunEvent.model_request_completed)
        return answer


def _emit_content(context: RunContext, content: str, reasoning_content: str) -> None:
    if content or reasoning_content:
        context.emit(RunEvent.run_content, content=content, reasoning_content=reasoning_content or None)


def _error_details(error: ModelError) -> dict[str, Any]:
    return {"error_type": type(error).__name__, "error": str(error), "status_code": error.status_code}


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
                    f"with it: limit the tokens, Budget(tokens=..., per={budget.per!r})"
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
