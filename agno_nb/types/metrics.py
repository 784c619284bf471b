"""Tokens, cost and time of model calls, runs and sessions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.types.basics import Alias

TOKEN_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

MAX_TOKENS = 10**12
"""Largest token count of one request or run that is accepted. A 64-bit sum holds nine million of them."""
MAX_COST = 10**9
"""Largest price of one request or run that is accepted, in US dollars."""
_MAX_SECONDS = 10**9


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class Metrics:
    """Tokens, cost and time of a model call, a run or a session.

    Counts that the server did not report are None, and so is `cost` if the price of any part is unknown.
    """

    input_tokens: int | None = None
    """All input tokens, including cached ones."""
    output_tokens: int | None = None
    """All output tokens, including reasoning."""
    cache_read_tokens: int | None = None
    """The cached part of `input_tokens`."""
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    """The reasoning part of `output_tokens`."""
    cost: float | None = None
    """US dollars."""
    time_to_first_token_s: float | None = None
    duration_s: float | None = None

    @property
    def total_tokens(self) -> int | None:
        return _sum_known([self.input_tokens, self.output_tokens])

    time_to_first_token = Alias[float | None]("time_to_first_token_s")
    duration = Alias[float | None]("duration_s")

    @classmethod
    def total(cls, parts: Iterable[Metrics]) -> Metrics:
        """Add up the tokens and cost of `parts`.

        Token counts are sums of the known values. The cost is known only if every part's is. Times are not added,
        because parts may overlap.
        """
        parts = list(parts)
        counts = {name: _sum_known(getattr(part, name) for part in parts) for name in TOKEN_COUNTS}
        costs = [part.cost for part in parts]
        known = bool(costs) and None not in costs
        return cls(**counts, cost=sum(cost for cost in costs if cost is not None) if known else None)

    def drop_impossible(self) -> Metrics:
        """Return a copy with None in place of impossible values.

        Servers may report counts of 2**63, NaN, negative prices or text, which would break every sum they are part of.
        The limits are `MAX_TOKENS` and `MAX_COST`.
        """
        return Metrics(
            **{name: to_count(getattr(self, name)) for name in TOKEN_COUNTS},
            cost=to_amount(self.cost, MAX_COST),
            time_to_first_token_s=to_amount(self.time_to_first_token_s, _MAX_SECONDS),
            duration_s=to_amount(self.duration_s, _MAX_SECONDS),
        )

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return f"Metrics({', '.join(f'{name}={value:.6g}' for name, value in values.items() if value is not None)})"


def to_count(value: object) -> int | None:
    """Return a token count as an int, or None if `value` is not a whole number from 0 to `MAX_TOKENS`."""
    amount = to_amount(value, MAX_TOKENS)
    return int(amount) if amount is not None and amount.is_integer() else None


def to_amount(value: object, maximum: float) -> float | None:
    """Return `value` as a float, or None if it is not a number from 0 to `maximum`."""
    if value is None or isinstance(value, bool) or not isinstance(value, Real):
        return None
    # Compare before converting: an integer of 400 digits does not fit into a float.
    number: Any = value
    return abs(float(number)) if 0 <= number <= maximum else None


def _sum_known(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class UsageTotals:
    """Tokens and cost counted towards a budget."""

    tokens: int = 0
    """Input and output tokens."""
    usd: float = 0.0
    num_unpriced: int = 0
    """Number of runs, summaries and memory updates with an unknown price, which are not in `usd`."""

    def __add__(self, other: UsageTotals) -> UsageTotals:
        return UsageTotals(
            tokens=self.tokens + other.tokens,
            usd=self.usd + other.usd,
            num_unpriced=self.num_unpriced + other.num_unpriced,
        )
