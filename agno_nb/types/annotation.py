"""Annotations: what people and programs think of a run."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types.basics import new_id, now
from agno_nb.types.dicts import DictMethods


@suggest_on_unknown_kwarg({"by": "annotated_by"})
@dataclass
class Annotation(DictMethods):
    """A label, a score or a comment on a run."""

    run_id: str
    _: KW_ONLY
    label: str | None = None
    """For example "good" or "wrong"."""
    score: float | None = None
    """A number, for example from 0 to 1."""
    comment: str | None = None
    annotated_by: str | None = None
    """Name or user ID of who annotated."""
    session_id: str | None = None
    """Session of the run, once the annotation is stored."""
    annotation_id: str = field(default_factory=new_id)
    created_at: float = field(default_factory=now)
    """Unix time in seconds."""

    def check(self) -> None:
        """Raise an InvalidInputError if a value is not valid, or all of them are missing."""
        for name in ("label", "comment", "annotated_by"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise InvalidInputError(f"{name} of run {self.run_id!r} is {value!r}; pass text, or leave it None")
        score = self.score
        is_number = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
        if score is not None and not is_number:
            raise InvalidInputError(f"score of run {self.run_id!r} is {self.score!r}; pass a finite number")
        if self.label is None and self.score is None and self.comment is None:
            raise InvalidInputError(f"the annotation of run {self.run_id!r} is empty; pass a label, score or comment")
