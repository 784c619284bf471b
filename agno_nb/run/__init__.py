"""The one pipeline that every agent, team and workflow runs on."""

from __future__ import annotations

from agno_nb._agno_parts import explain_missing_names
from agno_nb.run.context import RunContext
from agno_nb.types import RunStatus

__all__ = ["RunContext", "RunStatus"]

explain_missing_names(__name__)
