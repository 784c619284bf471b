"""Tokens, cost and time of a model call, a run or a session, and limits on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from enum import StrEnum
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types.basics import Alias, JsonDict

TOKEN_COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")

MAX_TOKENS = 10**12
"""Largest token count of one request or run that is accepted. A 64-bit sum holds nine million of them."""
MAX_COST = 10**9
"""Largest price of one request or run that is accepted, in US dollars."""
_MAX_SECONDS = 10**9


class ModelType(StrEnum):
    """What a model did: the keys of :attr:`Metrics.details`. Other ones than the first three never occur."""

    MODEL = "model"
    MEMORY_MODEL = "memory_model"
    SESSION_SUMMARY_MODEL = "session_summary_model"
    OUTPUT_MODEL = "output_model"
    PARSER_MODEL = "parser_model"
    REASONING_MODEL = "reasoning_model"
    LEARNING_MODEL = "learning_model"
    COMPRESSION_MODEL = "compression_model"
    COMPACTION_MODEL = "compaction_model"
    FOLLOWUP_MODEL = "followup_model"


class _WithSource:
    """A slot that is not a field, so that it costs nothing until it is read, and metrics with other ones are equal."""

    __slots__ = ("source",)

    if TYPE_CHECKING:  # mypy does not see slots of the base of a dataclass with slots.

        @property
        def source(self) -> tuple[Any, ...]:
            """The function that reads :attr:`Metrics.details`, and its arguments."""

        @source.setter
        def source(self, source: tuple[Any, ...]) -> None: ...


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class Metrics(_WithSource):
    """Tokens, cost and time of one model call, of a run, or of a session.

    Counts are None if the server did not report them, and `cost` is None if the price of any part is unknown. Unknown
    values are never stored as 0.
    """

    input_tokens: int | None = None
    """All tokens sent, including cached ones."""
    output_tokens: int | None = None
    """All tokens received, including reasoning."""
    cache_read_tokens: int | None = None
    """The part of `input_tokens` read from the provider's cache."""
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    """The reasoning part of `output_tokens`."""
    cost: float | None = None
    """US dollars."""
    time_to_first_token_s: float | None = None
    duration_s: float | None = None

    @property
    def total_tokens(self) -> int | None:
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    time_to_first_token = Alias[float | None]("time_to_first_token_s")
    duration = Alias[float | None]("duration_s")

    @property
    def details(self) -> dict[str, list[ModelMetrics]] | None:
        """For a run or a session: usage by model, in lists by :class:`ModelType`.

        It is read when it is accessed. The usage of summaries and memories is only here, and not in the other
        attributes. None for other metrics, and for copies.
        """
        if (source := getattr(self, "source", None)) is None:
            return None
        read, *arguments = source
        details: dict[str, list[ModelMetrics]] = read(*arguments)
        return details

    def to_dict(self) -> JsonDict:
        """Return what is known as a dict that JSON can represent, with times also under agno's names."""
        names = (*(each.name for each in fields(self)), "total_tokens", "time_to_first_token", "duration")
        found: JsonDict = {name: value for name in names if (value := getattr(self, name)) is not None}
        if details := self.details:
            found["details"] = {kind: [each.to_dict() for each in models] for kind, models in details.items()}
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the metrics of a dict of :meth:`to_dict`, also of agno's, without `details`."""
        named = {"time_to_first_token": "time_to_first_token_s", "duration": "duration_s"}
        found = {named.get(name, name): value for name, value in data.items()}
        return cls(**{each.name: found[each.name] for each in fields(cls) if each.name in found})

    @classmethod
    def total(cls, parts: Iterable[Metrics]) -> Self:
        """Add up the tokens and cost of `parts`.

        Tokens are the sum of the reported counts. The cost is known only if the cost of every part is. Times are left
        to the caller, because parts may overlap.
        """
        total, costs = cls(), list[float | None]()
        for part in parts:
            costs.append(part.cost)
            for name in TOKEN_COUNTS:
                if (count := getattr(part, name)) is not None:
                    setattr(total, name, (getattr(total, name) or 0) + count)
        known = [cost for cost in costs if cost is not None]
        total.cost = sum(known) if known and len(known) == len(costs) else None
        return total

    def drop_impossible(self) -> Metrics:
        """Return these metrics, or a copy in which impossible values are None if there are any.

        A server may report anything: counts of 2**63, NaN, negative or infinite prices, text. One such value would
        break every sum that includes it. The limits are `MAX_TOKENS` and `MAX_COST`.
        """
        for name, (kind, maximum) in _LIMITS.items():
            value: Any = getattr(self, name)
            # A float of zero may be negative.
            if value is not None and (
                type(value) is not kind or not 0 <= value <= maximum or (value == 0 and kind is float)
            ):
                break
        else:
            return self
        return Metrics(
            **{name: _to_count(getattr(self, name)) for name in TOKEN_COUNTS},
            cost=to_amount(self.cost, MAX_COST),
            time_to_first_token_s=to_amount(self.time_to_first_token_s, _MAX_SECONDS),
            duration_s=to_amount(self.duration_s, _MAX_SECONDS),
        )

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        # Without the source, which refers to a store.
        return None, {each.name: getattr(self, each.name) for each in fields(self)}

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        known = [
            f"{name}={value!r}" if isinstance(value, str) else f"{name}={value:.6g}"
            for name, value in values.items()
            if value is not None
        ]
        return f"{type(self).__name__}({', '.join(known)})"


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True, repr=False)
class ModelMetrics(Metrics):
    """The part of one model in the metrics of a run or a session."""

    id: str = ""
    """Name of the model."""
    provider: str | None = None
    """Model provider; None for updates of memories, which don't store it."""


def metrics_by_model(parts: Iterable[tuple[str, str | None, Metrics]]) -> list[ModelMetrics]:
    """Add up metrics, each with the name of its model and the provider, by these two."""
    of_models: dict[tuple[str, str | None], list[Metrics]] = {}
    for model, provider, metrics in parts:
        of_models.setdefault((model, provider), []).append(metrics)
    found = []
    for (model, provider), metrics_of_model in of_models.items():
        total = ModelMetrics.total(metrics_of_model)
        total.id, total.provider = model, provider
        found.append(total)
    return found


_LIMITS: dict[str, tuple[Any, float]] = {
    **dict.fromkeys(TOKEN_COUNTS, (int, MAX_TOKENS)),
    "cost": (float, MAX_COST),
    "time_to_first_token_s": (float, _MAX_SECONDS),
    "duration_s": (float, _MAX_SECONDS),
}


def _to_count(value: object) -> int | None:
    amount = to_amount(value, MAX_TOKENS)
    return int(amount) if amount is not None and amount.is_integer() else None


def to_amount(value: object, maximum: float) -> float | None:
    """Return `value` as a float, or None if it is not a number from 0 to `maximum`."""
    if value is None or isinstance(value, bool) or not isinstance(value, Real):
        return None
    # Compare before converting: an integer of 400 digits does not fit into a float.
    number: Any = value
    return abs(float(number)) if 0 <= number <= maximum else None


@suggest_on_unknown_kwarg({})
@dataclass(slots=True, kw_only=True)
class UsageTotals:
    """Tokens and cost of all model calls in a period."""

    tokens: int = 0
    """Sent and received."""
    usd: float = 0.0
    num_unpriced: int = 0
    """Number of runs, summaries and other calls whose price is unknown. They are not in `usd`."""

    def __add__(self, other: UsageTotals) -> UsageTotals:
        return UsageTotals(
            tokens=self.tokens + other.tokens,
            usd=self.usd + other.usd,
            num_unpriced=self.num_unpriced + other.num_unpriced,
        )


Period = Literal["run", "session", "notebook", "day"]


@suggest_on_unknown_kwarg({})
@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on cost, tokens, or both.

    Budgets are checked before each model request. The check counts everything stored for the period, including
    summaries and memories, plus the current run and the runs nested in it. Other runs count when they end. The request
    that exceeds the limit is completed; the next one is not sent.

    Parameters
    ----------
    usd : float, optional
        US dollars. Models without a known price are not called.
    tokens : int, optional
        Input and output tokens.
    per : {"session", "run", "notebook", "day"}, optional
        The period: the session; a run and the runs nested in it; all runs of the notebook (of this process if the front
        end doesn't report the notebook); all runs in the store since midnight. The default is "session".

    Raises
    ------
    InvalidInputError
        It limits nothing, or a value is not valid.

    Examples
    --------
    >>> Budget(0.5, per="day")
    Budget(usd=0.5, tokens=None, per='day')
    """

    usd: float | None = None
    _: KW_ONLY
    tokens: int | None = None
    per: Period = "session"

    def __post_init__(self) -> None:
        if self.usd is None and self.tokens is None:
            raise InvalidInputError("a budget needs a limit; pass usd=... or tokens=..., for example Budget(usd=0.50)")
        for name, value in (("usd", self.usd), ("tokens", self.tokens)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InvalidInputError(f"invalid budget {name}={value!r}; pass a number, 0 or more")
        if self.per not in get_args(Period):
            raise InvalidInputError(f"invalid budget per={self.per!r}; pass one of {', '.join(get_args(Period))}")
