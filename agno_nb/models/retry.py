"""Which failures of a provider may pass, and how long to wait for that."""

from __future__ import annotations

import random
from dataclasses import dataclass

from agno_nb.errors import (
    InvalidInputError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelServerError,
    ModelStreamError,
)

MAX_WAIT_S = 60.0
"""When a server asks to wait longer than this, the user is told instead."""

_JITTER = 0.25
"""A wait of ours is longer by up to this part of it, so that many who failed together do not come back together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a request is sent again, and when."""

    max_retries: int = 2
    delay_s: float = 1.0
    """Seconds before the first time. Where the server says how long to wait, that counts."""
    exponential: bool = True
    """Whether each wait is twice as long as the one before."""

    def __post_init__(self) -> None:
        for name, value in (("retries", self.max_retries), ("delay_between_retries", self.delay_s)):
            if not isinstance(value, int | float) or value < 0:
                raise InvalidInputError(f"{name} is {value!r}; it must be a number, 0 or more")

    def wait_s(self, error: ModelError, failures: int) -> float | None:
        """Return how many seconds to wait after `failures` earlier ones and `error`; None not to try again."""
        if failures >= self.max_retries or not is_transient(error):
            return None
        if error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= MAX_WAIT_S else None
        wait_s = self.delay_s * (2**failures if self.exponential else 1)
        return min(wait_s * (1 + _JITTER * random.random()), MAX_WAIT_S)


def is_transient(error: ModelError) -> bool:
    """Whether the same request may be answered a little later: too many of them, no connection, a server's fault."""
    has_no_quota = error.code == "insufficient_quota" or error.status_code == 402
    return isinstance(error, ModelRateLimitError | ModelConnectionError | ModelServerError) and not has_no_quota


def is_provider_error(error: ModelError) -> bool:
    """Whether another provider may do better. A refused key or request is the user's to mend."""
    return isinstance(error, ModelRateLimitError | ModelConnectionError | ModelServerError | ModelStreamError)
