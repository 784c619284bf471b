"""agno's path of the runs and events of teams."""

from agno_nb.run.inputs import RunInput as TeamRunInput
from agno_nb.types import RunEvent as TeamRunEvent, RunOutput as TeamRunOutput, RunOutputEvent as TeamRunOutputEvent

__all__ = ["TeamRunEvent", "TeamRunInput", "TeamRunOutput", "TeamRunOutputEvent"]
