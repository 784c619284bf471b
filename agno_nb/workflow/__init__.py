"""Workflows: a fixed order of steps executed by agents, teams, functions and other workflows."""

from __future__ import annotations

from agno_nb._agno_parts import explain_missing_names
from agno_nb.types import OnError, OnReject, OnTimeout, StepOutput
from agno_nb.workflow.agent import WorkflowAgent
from agno_nb.workflow.cel import CEL_AVAILABLE, validate_cel_expression
from agno_nb.workflow.condition import Condition
from agno_nb.workflow.human_review import HumanReview, pause
from agno_nb.workflow.loop import Loop
from agno_nb.workflow.parallel import Parallel
from agno_nb.workflow.router import Router
from agno_nb.workflow.step import Step
from agno_nb.workflow.steps import Steps
from agno_nb.workflow.types import StepInput, WorkflowExecutionInput
from agno_nb.workflow.workflow import RunOutput, Workflow

__all__ = [
    "CEL_AVAILABLE",
    "Condition",
    "HumanReview",
    "Loop",
    "OnError",
    "OnReject",
    "OnTimeout",
    "Parallel",
    "Router",
    "RunOutput",
    "Step",
    "StepInput",
    "StepOutput",
    "Steps",
    "Workflow",
    "WorkflowAgent",
    "WorkflowExecutionInput",
    "pause",
    "validate_cel_expression",
]

explain_missing_names(__name__, "agno_nb.workflow.types", "agno_nb.workflow.workflow")
