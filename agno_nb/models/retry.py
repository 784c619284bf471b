"""Retries of model requests: which failures are transient, and how long to wait."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from agno_nb.errors import (
    InvalidInputError,
    ModelConnectionError,
    ModelError,
    ModelLoadingError,
    ModelRateLimitError,
    ModelServerError,
    ModelStreamError,
)

MAX_WAIT_S = 60.0
"""If a server asks to wait longer than this, the request fails."""

_POLL_S = 1.0
"""Seconds between two requests to a server that is loading the model."""

_JITTER = 0.25
"""Waits are extended randomly by up to this fraction, so that clients don't retry at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and when a request is retried."""

    max_retries: int = 2
    delay_s: float = 1.0
    """Seconds before the first retry, unless the server asks for another wait."""
    exponential: bool = True
    """Whether each wait is twice the previous one."""

    def __post_init__(self) -> None:
        for name, value in (("retries", self.max_retries), ("delay_between_retries", self.delay_s)):
            if not isinstance(value, int | float) or value < 0:
                raise InvalidInputError(f"{name} is {value!r}; pass a number, 0 or more")

    def wait_s(self, error: ModelError, failures: int) -> float | None:
        """Return the seconds to wait after `error` and `failures` earlier ones; None if it should not be retried."""
        if failures >= self.max_retries or not is_transient(error):
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= MAX_WAIT_S else None
        wait_s = self.delay_s * (2**failures if self.exponential else 1)
        return min(wait_s * (1 + _JITTER * random.random()), MAX_WAIT_S)


class LoadingWait:
    """The wait of one request for a server that is loading the model. Its time starts with the first such error."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline: float | None = None

    def wait_s(self, error: ModelError) -> float | None:
        """Return the seconds until the next request, or None for another error, or if the time is over."""
        if not isinstance(error, ModelLoadingError):
            return None
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._timeout_s
        remaining = self._deadline - now
        return None if remaining <= 0 else min(_POLL_S, remaining)


def is_transient(error: ModelError) -> bool:
    """Whether a retry may succeed: after rate limits, and failures of the connection or the server."""
    if isinstance(error, ModelLoadingError):
        return False  # It was waited for.
    has_no_quota = error.code == "insufficient_quota" or error.status_code == 402
    return isinstance(error, ModelRateLimitError | ModelConnectionError | ModelServerError) and not has_no_quota


def is_provider_error(error: ModelError) -> bool:
    """Whether another provider may succeed. A rejected key or request has to be fixed by the user."""
    return isinstance(error, ModelRateLimitError | ModelConnectionError | ModelServerError | ModelStreamError)
