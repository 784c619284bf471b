"""agno's path of the runs and events of agents, with a class for each event, such as `RunCompletedEvent`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agno_nb._agno_parts import explain_missing_names
from agno_nb.run.inputs import RunInput
from agno_nb.types import AGENT_EVENTS, CustomEvent, RunEvent, RunOutput, RunOutputEvent, SessionType, event_classes

_CLASSES = event_classes(SessionType.AGENT, AGENT_EVENTS, base="BaseAgentRunEvent", module=__name__)
globals().update(_CLASSES)
__all__ = ["CustomEvent", "RunEvent", "RunInput", "RunOutput", "RunOutputEvent", *_CLASSES]

explain_missing_names(__name__)

if TYPE_CHECKING:

    def __getattr__(name: str) -> type[RunOutputEvent]: ...
