"""Limits on what a model may cost."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError

Period = Literal["run", "session", "notebook", "day"]


@suggest_on_unknown_kwarg({})
@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent: in money, in tokens, or in both.

    It is looked at before each request to a model. What the store has of the period counts, with summaries and
    memories, and so does the run that goes on with all that is nested in it; other runs count when they end. The
    request that goes over the limit is answered, and the next one is not made.

    Parameters
    ----------
    usd : float, optional
        US dollars. A model whose price is not known is not asked then.
    tokens : int, optional
        Sent and come back.
    per : {"session", "run", "notebook", "day"}, optional
        What it is for: one session; one run with all that is nested in it; all runs of the notebook, or where the front
        end does not tell which one it is, of this process; all runs in the store since midnight.

    Raises
    ------
    InvalidInputError
        It limits nothing, or cannot be kept.

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
            raise InvalidInputError("a budget limits nothing: give it usd=... or tokens=..., as in Budget(usd=0.50)")
        for name, value in (("usd", self.usd), ("tokens", self.tokens)):
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                raise InvalidInputError(f"{name} of a budget is {value!r}; it must be a number, 0 or more")
        if self.per not in get_args(Period):
            raise InvalidInputError(f"a budget is per {self.per!r}; it must be one of {', '.join(get_args(Period))}")
