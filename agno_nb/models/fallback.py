"""Fallback models by the kind of failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ContextLengthError, ModelError, ModelRateLimitError
from agno_nb.models.base import Model
from agno_nb.models.retry import is_provider_error


@suggest_on_unknown_kwarg({})
@dataclass
class FallbackConfig:
    """Models to use if a model fails before its answer has started, in this order. Each change is an event.

    Examples
    --------
    >>> from agno_nb import Agent
    >>> config = FallbackConfig(on_error=["openai:gpt-5-mini"], on_context_overflow=["google:gemini-2.5-flash"])
    >>> agent = Agent("openai:gpt-5", fallback_config=config)
    """

    on_error: Sequence[Model | str] | None = ()
    """After failures of the provider, which include rate limits if they have no list of their own."""
    on_rate_limit: Sequence[Model | str] | None = ()
    """After rate limits."""
    on_context_overflow: Sequence[Model | str] | None = ()
    """If the request exceeds the context length of the model."""
    callback: Callable[..., Any] | None = None
    """Called with the ID of the failed model, the ID of its fallback, and the error, when the fallback has answered."""

    def models_for(self, error: ModelError) -> Sequence[Model | str]:
        """Return the models to use after a failure."""
        if isinstance(error, ContextLengthError):
            return self.on_context_overflow or ()
        if isinstance(error, ModelRateLimitError) and self.on_rate_limit:
            return self.on_rate_limit
        return self.on_error or () if is_provider_error(error) else ()
