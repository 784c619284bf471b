"""Session classes and summaries."""

from __future__ import annotations

from agno_nb.session.summary import SessionSummaryManager
from agno_nb.types import AgentSession, Session, SessionSummary, TeamSession, WorkflowSession

__all__ = ["AgentSession", "Session", "SessionSummary", "SessionSummaryManager", "TeamSession", "WorkflowSession"]
