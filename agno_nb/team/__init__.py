"""Teams: an agent whose tools are its members."""

from __future__ import annotations

from agno_nb.team.mode import TeamMode
from agno_nb.team.team import RunOutput, RunResponse, Team

__all__ = ["RunOutput", "RunResponse", "Team", "TeamMode"]
