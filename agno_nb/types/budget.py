"""Limits on tokens and cost."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError

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
