"""agno's path of the runs and events of teams."""

from agno_nb.types import RunEvent as TeamRunEvent
from agno_nb.types import RunOutput as TeamRunOutput
from agno_nb.types import RunOutputEvent as TeamRunOutputEvent

__all__ = ["TeamRunEvent", "TeamRunOutput", "TeamRunOutputEvent"]
