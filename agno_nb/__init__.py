"""Agent sessions in Jupyter, stored in DuckDB and read as pandas DataFrames.

Load the extension with ``%load_ext agno_nb`` and chat with an agent in ``%%agent`` cells. Sessions, runs, messages and
tool calls are stored in a DuckDB file; :func:`runs_df` and :func:`messages_df` return them as DataFrames.

Public names are imported when first used, so that ``import agno_nb`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from agno_nb.agent import Agent as Agent
    from agno_nb.agent import RunOutput as RunOutput
    from agno_nb.agent import RunResponse as RunResponse
    from agno_nb.collection import collect as collect
    from agno_nb.db.base import SessionType as SessionType
    from agno_nb.db.duckdb import AsyncDuckDb as AsyncDuckDb
    from agno_nb.db.duckdb import DuckDb as DuckDb
    from agno_nb.db.in_memory import InMemoryDb as InMemoryDb
    from agno_nb.db.postgres import AsyncPostgresDb as AsyncPostgresDb
    from agno_nb.db.postgres import PostgresDb as PostgresDb
    from agno_nb.db.sqlite import AsyncSqliteDb as AsyncSqliteDb
    from agno_nb.db.sqlite import SqliteDb as SqliteDb
    from agno_nb.frames import events_df as events_df
    from agno_nb.frames import memories_df as memories_df
    from agno_nb.frames import messages_df as messages_df
    from agno_nb.frames import query as query
    from agno_nb.frames import run_tree_df as run_tree_df
    from agno_nb.frames import runs_df as runs_df
    from agno_nb.frames import sessions_df as sessions_df
    from agno_nb.frames import steps_df as steps_df
    from agno_nb.frames import summaries_df as summaries_df
    from agno_nb.frames import tool_calls_df as tool_calls_df
    from agno_nb.frames import variables_df as variables_df
    from agno_nb.memory import MemoryManager as MemoryManager
    from agno_nb.memory import UserMemory as UserMemory
    from agno_nb.models.demo import DemoModel as DemoModel
    from agno_nb.models.google import Gemini as Gemini
    from agno_nb.models.openai import OpenAIChat as OpenAIChat
    from agno_nb.models.openai import OpenAIResponses as OpenAIResponses
    from agno_nb.notebook.cells import cells_df as cells_df
    from agno_nb.session import AgentSession as AgentSession
    from agno_nb.session import SessionSummary as SessionSummary
    from agno_nb.session import SessionSummaryManager as SessionSummaryManager
    from agno_nb.session import TeamSession as TeamSession
    from agno_nb.session import WorkflowSession as WorkflowSession
    from agno_nb.team import Team as Team
    from agno_nb.testing import FunctionModel as FunctionModel
    from agno_nb.testing import ScriptedModel as ScriptedModel
    from agno_nb.tools import SqlTools as SqlTools
    from agno_nb.tools import Toolkit as Toolkit
    from agno_nb.tools import tool as tool
    from agno_nb.types import Budget as Budget
    from agno_nb.widgets.browse import browse as browse
    from agno_nb.widgets.chat import chat as chat
    from agno_nb.widgets.trace import trace as trace
    from agno_nb.widgets.usage import usage as usage
    from agno_nb.workflow import Condition as Condition
    from agno_nb.workflow import Loop as Loop
    from agno_nb.workflow import Parallel as Parallel
    from agno_nb.workflow import Router as Router
    from agno_nb.workflow import Step as Step
    from agno_nb.workflow import StepInput as StepInput
    from agno_nb.workflow import StepOutput as StepOutput
    from agno_nb.workflow import Steps as Steps
    from agno_nb.workflow import Workflow as Workflow

__version__ = "0.1.0"

# The module of each public name. The imports above are for type checkers; a test compares the two.
_HOMES = {
    "Agent": "agno_nb.agent",
    "AgentSession": "agno_nb.session",
    "AsyncDuckDb": "agno_nb.db.duckdb",
    "AsyncPostgresDb": "agno_nb.db.postgres",
    "AsyncSqliteDb": "agno_nb.db.sqlite",
    "Budget": "agno_nb.types",
    "Condition": "agno_nb.workflow",
    "DemoModel": "agno_nb.models.demo",
    "DuckDb": "agno_nb.db.duckdb",
    "FunctionModel": "agno_nb.testing",
    "Gemini": "agno_nb.models.google",
    "InMemoryDb": "agno_nb.db.in_memory",
    "Loop": "agno_nb.workflow",
    "MemoryManager": "agno_nb.memory",
    "OpenAIChat": "agno_nb.models.openai",
    "OpenAIResponses": "agno_nb.models.openai",
    "Parallel": "agno_nb.workflow",
    "PostgresDb": "agno_nb.db.postgres",
    "Router": "agno_nb.workflow",
    "RunOutput": "agno_nb.agent",
    "RunResponse": "agno_nb.agent",
    "ScriptedModel": "agno_nb.testing",
    "SessionSummary": "agno_nb.session",
    "SessionSummaryManager": "agno_nb.session",
    "SessionType": "agno_nb.db.base",
    "SqlTools": "agno_nb.tools",
    "SqliteDb": "agno_nb.db.sqlite",
    "Step": "agno_nb.workflow",
    "StepInput": "agno_nb.workflow",
    "StepOutput": "agno_nb.workflow",
    "Steps": "agno_nb.workflow",
    "Team": "agno_nb.team",
    "TeamSession": "agno_nb.session",
    "Toolkit": "agno_nb.tools",
    "UserMemory": "agno_nb.memory",
    "Workflow": "agno_nb.workflow",
    "WorkflowSession": "agno_nb.session",
    "browse": "agno_nb.widgets.browse",
    "cells_df": "agno_nb.notebook.cells",
    "chat": "agno_nb.widgets.chat",
    "collect": "agno_nb.collection",
    "events_df": "agno_nb.frames",
    "memories_df": "agno_nb.frames",
    "messages_df": "agno_nb.frames",
    "query": "agno_nb.frames",
    "run_tree_df": "agno_nb.frames",
    "runs_df": "agno_nb.frames",
    "sessions_df": "agno_nb.frames",
    "steps_df": "agno_nb.frames",
    "summaries_df": "agno_nb.frames",
    "tool": "agno_nb.tools",
    "tool_calls_df": "agno_nb.frames",
    "trace": "agno_nb.widgets.trace",
    "usage": "agno_nb.widgets.usage",
    "variables_df": "agno_nb.frames",
}

__all__ = [*_HOMES, "load_ipython_extension", "unload_ipython_extension"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Add the magics to the notebook: ``%load_ext agno_nb``."""
    from agno_nb.notebook import load_ipython_extension as load

    load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Remove the magics: ``%unload_ext agno_nb``."""
    from agno_nb.notebook import unload_ipython_extension as unload

    unload(ipython)
