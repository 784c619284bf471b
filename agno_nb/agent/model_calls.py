"""Requests to the model within a run: budgets, retries, fallback models and streaming."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from agno_nb.agent.budgets import count_request, enforce_budgets
from agno_nb.errors import ModelError, ModelLoadingError, ModelStreamError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse, join_characters, with_unique_ids
from agno_nb.models.fallback import FallbackConfig
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import LoadingWait, RetryPolicy
from agno_nb.run.context import RunContext
from agno_nb.run.recorder import PartialAnswer
from agno_nb.tools.invoke import call_sync_or_async
from agno_nb.types import Message, RunEvent


@dataclass(kw_only=True)
class ModelCaller:
    """Sends the model requests of one run."""

    model: Model
    """The model in use. A fallback model stays in use until the run ends."""
    fallbacks: FallbackConfig
    retry_policy: Callable[[Model], RetryPolicy]
    """Returns the policy for requests to a model, after a failed one."""
    context: RunContext
    _used_fallbacks: list[Model | str] = field(init=False, default_factory=list)
    _num_earlier_calls: int = field(init=False, default=0)
    """Number of calls of the models before the one in use."""

    def __post_init__(self) -> None:
        self._use_model(self.model)

    async def request(self, request: ModelRequest) -> Message:
        """Send a request, stream the answer, and append it to the run.

        If a request fails after some text has been streamed, it is not retried, because the text has been shown.

        Raises
        ------
        ModelError
        BudgetExceeded
            A budget is used up. The request was not sent.
        RunLimitError
            The run has reached its `request_limit`. The request was not sent.
        """
        failed: tuple[str, ModelError] | None = None
        while True:
            try:
                answer = await self._with_retries(request)
                if failed is not None and self.fallbacks.callback is not None:
                    await call_sync_or_async(self.fallbacks.callback, failed[0], self.model.id, failed[1])
                return answer
            except ModelError as error:
                candidates = () if self._has_streamed() else self.fallbacks.models_for(error)
                fallback = next((each for each in candidates if each not in self._used_fallbacks), None)
                if fallback is None:
                    raise
                self._used_fallbacks.append(fallback)
                failed = self.model.id, error
                # Resolving a model may request the server's list of models.
                model = await asyncio.to_thread(resolve_model, fallback)
                await self.context.record_event(
                    RunEvent.model_fallback_used,
                    f"{model.id} takes over from {self.model.id}. {error}",
                    details={**_error_details(error), "fallback_model": model.id, "fallback_provider": model.provider},
                    model=self.model.id,
                )
                self._use_model(model)
                self._num_earlier_calls = len(self.context.run.tools)

    async def report_missing_answer(self, answer: Message) -> None:
        """Record that the model only reasoned, so that its answer is empty."""
        is_cut = answer.finish_reason == "length"
        remedy = "raise its limit of tokens, or lower `reasoning_effort`" if is_cut else "ask again"
        until = " until it reached its limit of tokens" if is_cut else ""
        await self.context.record_event(
            RunEvent.answer_missing,
            f"{self.model.id} only reasoned{until}, and gave no answer; {remedy}",
            details={"finish_reason": answer.finish_reason, "reasoning_chars": len(answer.reasoning_content or "")},
            model=self.model.id,
        )

    async def report_cut_answer(self) -> None:
        """Record that the answer ends where a limit of tokens was reached."""
        name, limit = self.model.output_limit_name, self.model.output_limit
        reached = f"{name}={limit}" if limit else "the server's limit of output tokens or its context length"
        await self.context.record_event(
            RunEvent.model_notice,
            f"The answer is cut: it reached {reached}; raise the limit, or ask for a shorter answer",
            details={"finish_reason": "length"},
            model=self.model.id,
        )

    def _use_model(self, model: Model) -> None:
        self.model = model
        run = self.context.run
        if (run.model, run.model_provider) != (model.id, model.provider):
            run.model, run.model_provider, run.served_model = model.id, model.provider, None

    def _has_streamed(self) -> bool:
        partial = self.context.recorder.partial
        return partial is not None and partial.has_text

    async def _with_retries(self, request: ModelRequest) -> Message:
        for failures in itertools.count():
            await enforce_budgets(self.context, self.model)
            count_request(self.context)
            try:
                try:
                    return await self._stream_once(request)
                except ModelLoadingError as error:
                    if self._has_streamed():
                        raise
                    return await self._when_loaded(request, error)
            except ModelError as error:
                policy = self.retry_policy(self.model)
                wait_s = None if self._has_streamed() else policy.wait_s(error, failures)
                if wait_s is None:
                    raise
                retry, retries = failures + 1, policy.max_retries
                await self.context.record_event(
                    RunEvent.model_request_retried,
                    f"Trying again in {wait_s:.2g} s (retry {retry} of {retries}). {error}",
                    details={**_error_details(error), "retry": retry, "retries": retries, "wait_s": wait_s},
                    model=self.model.id,
                    duration_s=wait_s,
                )
                await asyncio.sleep(wait_s)
        raise AssertionError("unreachable")

    async def _when_loaded(self, request: ModelRequest, error: ModelLoadingError) -> Message:
        """Repeat a request while the server loads the model, up to a time limit. All that counts as one request."""
        loading = LoadingWait(self.model.loading_timeout)
        is_recorded = False
        while (wait_s := loading.wait_s(error)) is not None:
            if not is_recorded:
                is_recorded = True
                await self.context.record_event(
                    RunEvent.model_notice,
                    f"Waiting up to {self.model.loading_timeout:g} s. {error}",
                    details={**_error_details(error), "timeout_s": self.model.loading_timeout},
                    model=self.model.id,
                )
            await asyncio.sleep(wait_s)
            try:
                return await self._stream_once(request)
            except ModelLoadingError as still:
                if self._has_streamed():
                    raise
                error = still
        raise error

    async def _stream_once(self, request: ModelRequest) -> Message:
        context, model = self.context, self.model
        calls = context.run.tools[self._num_earlier_calls :]
        if calls and not all(call.is_read_from_text for call in calls):
            # A server that parsed one call parses all of them.
            request = replace(request, parse_text_tool_calls=False)
        started = time.perf_counter()
        time_to_first_token_s: float | None = None
        response: ModelResponse | None = None
        partial = context.recorder.partial = PartialAnswer(context.recorder, model.id)
        context.emit(RunEvent.model_request_started)
        # Exited last, so that a partial answer that is being stored is not stored after the complete one.
        async with partial, aclosing(join_characters(model.stream(request))) as pieces:
            async for piece in pieces:
                if time_to_first_token_s is None:
                    time_to_first_token_s = time.perf_counter() - started
                if isinstance(piece, Delta):
                    partial.add(piece.content, piece.reasoning_content, discards_content=piece.discards_content)
                    _emit_content(context, piece)
                else:
                    response = piece
        if response is None:
            raise ModelStreamError(f"{model!r} ended its stream without a complete response")
        # Show text that arrived only with the complete response.
        if response.content != partial.content or response.reasoning_content:
            rest = Delta(
                content="" if partial.content else response.content or "",
                reasoning_content="" if partial.reasoning_content else response.reasoning_content or "",
            )
            _emit_content(context, rest)
        context.run.served_model = response.model
        # Results and approvals are written into the calls, and a custom model may return the same objects again.
        tool_calls = [replace(call) for call in response.tool_calls]
        if tool_calls:
            with_unique_ids(tool_calls, {call.tool_call_id for each in request.messages for call in each.tool_calls})
        answer = Message(
            role="assistant",
            content=response.content,
            reasoning_content=response.reasoning_content,
            tool_calls=tool_calls,
            message_id=partial.message_id,
            finish_reason=response.finish_reason,
            model=response.model or model.id,
            metrics=replace(
                response.metrics, time_to_first_token_s=time_to_first_token_s, duration_s=time.perf_counter() - started
            ),
            provider_data=response.provider_data,
        )
        context.recorder.partial = None
        context.recorder.add_message(answer)
        context.emit(RunEvent.model_request_completed)
        if response.warning is not None:
            await context.record_event(RunEvent.model_notice, response.warning, details={}, model=model.id)
        return answer


def _emit_content(context: RunContext, piece: Delta) -> None:
    if piece.content or piece.reasoning_content or piece.discards_content:
        context.emit(
            RunEvent.run_content,
            content=piece.content,
            reasoning_content=piece.reasoning_content or None,
            discards_content=piece.discards_content,
        )


def _error_details(error: ModelError) -> dict[str, Any]:
    return {"error_type": type(error).__name__, "error": str(error), "status_code": error.status_code}
