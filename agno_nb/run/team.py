"""agno's path of the runs and events of teams, with a class for each event of a team's own run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_nb.run.inputs import RunInput as TeamRunInput
from agno_nb.types import (
    CustomEvent,
    RunOutput as TeamRunOutput,
    RunOutputEvent,
    SessionType,
    TeamRunEvent,
    event_classes,
)

_CLASSES = event_classes(SessionType.TEAM, TeamRunEvent, base="BaseTeamRunEvent", module=__name__)
globals().update(_CLASSES)
TeamRunOutputEvent: type[RunOutputEvent] = _CLASSES["BaseTeamRunEvent"]
__all__ = ["CustomEvent", "TeamRunEvent", "TeamRunInput", "TeamRunOutput", "TeamRunOutputEvent", *_CLASSES]

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[RunOutputEvent]: ...
