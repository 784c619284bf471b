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

    from agno_nb.agent import Agent as Agent, RunOutput as RunOutput, RunResponse as RunResponse
    from agno_nb.collection import collect as collect
    from agno_nb.db import default_db as default_db
    from agno_nb.db.base import SessionType as SessionType
    from agno_nb.db.duckdb import AsyncDuckDb as AsyncDuckDb, DuckDb as DuckDb
    from agno_nb.db.in_memory import InMemoryDb as InMemoryDb
    from agno_nb.db.postgres import AsyncPostgresDb as AsyncPostgresDb, PostgresDb as PostgresDb
    from agno_nb.db.sqlite import AsyncSqliteDb as AsyncSqliteDb, SqliteDb as SqliteDb
    from agno_nb.experiments import (
        annotate as annotate,
        annotate_df as annotate_df,
        as_examples as as_examples,
        diff as diff,
    )
    from agno_nb.frames import (
        annotations_df as annotations_df,
        events_df as events_df,
        memories_df as memories_df,
        messages_df as messages_df,
        query as query,
        run_tree_df as run_tree_df,
        runs_df as runs_df,
        sessions_df as sessions_df,
        steps_df as steps_df,
        summaries_df as summaries_df,
        tool_calls_df as tool_calls_df,
        variables_df as variables_df,
    )
    from agno_nb.memory import MemoryManager as MemoryManager, UserMemory as UserMemory
    from agno_nb.models.demo import DemoModel as DemoModel
    from agno_nb.models.google import Gemini as Gemini
    from agno_nb.models.openai import OpenAIChat as OpenAIChat, OpenAIResponses as OpenAIResponses
    from agno_nb.notebook.cells import cells_df as cells_df
    from agno_nb.session import (
        AgentSession as AgentSession,
        SessionSummary as SessionSummary,
        SessionSummaryManager as SessionSummaryManager,
        TeamSession as TeamSession,
        WorkflowSession as WorkflowSession,
    )
    from agno_nb.team import Team as Team
    from agno_nb.testing import FunctionModel as FunctionModel, ScriptedModel as ScriptedModel
    from agno_nb.tools import SqlTools as SqlTools, Toolkit as Toolkit, tool as tool
    from agno_nb.types import Budget as Budget
    from agno_nb.widgets.browse import browse as browse
    from agno_nb.widgets.chat import chat as chat
    from agno_nb.widgets.trace import trace as trace
    from agno_nb.widgets.usage import usage as usage
    from agno_nb.workflow import (
        Condition as Condition,
        Loop as Loop,
        Parallel as Parallel,
        Router as Router,
        Step as Step,
        StepInput as StepInput,
        StepOutput as StepOutput,
        Steps as Steps,
        Workflow as Workflow,
    )

__version__ = "0.1.0"

# The public names of each module. The imports above are for type checkers; a test compares the two.
_MODULES = {
    "agent": "Agent RunOutput RunResponse",
    "collection": "collect",
    "db": "default_db",
    "db.base": "SessionType",
    "db.duckdb": "AsyncDuckDb DuckDb",
    "db.in_memory": "InMemoryDb",
    "db.postgres": "AsyncPostgresDb PostgresDb",
    "db.sqlite": "AsyncSqliteDb SqliteDb",
    "experiments": "annotate annotate_df as_examples diff",
    "frames": "annotations_df events_df memories_df messages_df query run_tree_df runs_df sessions_df steps_df "
    "summaries_df tool_calls_df variables_df",
    "memory": "MemoryManager UserMemory",
    "models.demo": "DemoModel",
    "models.google": "Gemini",
    "models.openai": "OpenAIChat OpenAIResponses",
    "notebook.cells": "cells_df",
    "session": "AgentSession SessionSummary SessionSummaryManager TeamSession WorkflowSession",
    "team": "Team",
    "testing": "FunctionModel ScriptedModel",
    "tools": "SqlTools Toolkit tool",
    "types": "Budget",
    "widgets.browse": "browse",
    "widgets.chat": "chat",
    "widgets.trace": "trace",
    "widgets.usage": "usage",
    "workflow": "Condition Loop Parallel Router Step StepInput StepOutput Steps Workflow",
}
_HOMES = dict(sorted((name, f"agno_nb.{module}") for module, names in _MODULES.items() for name in names.split()))

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
