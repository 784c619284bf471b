"""Programs written for agno find our classes at agno's paths and by its names."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import agno_nb

# What agno has at a path, and our class or function.
PATHS = {
    "agno_nb.agent.Agent": "agno_nb.agent.agent.Agent",
    "agno_nb.db.BaseDb": "agno_nb.db.base.Db",
    "agno_nb.db.SessionType": "agno_nb.types.SessionType",
    "agno_nb.db.base.AsyncBaseDb": "agno_nb.db.base.AsyncDb",
    "agno_nb.db.base.BaseDb": "agno_nb.db.base.Db",
    "agno_nb.db.base.SessionType": "agno_nb.types.SessionType",
    "agno_nb.db.async_postgres.AsyncPostgresDb": "agno_nb.db.postgres.AsyncPostgresDb",
    "agno_nb.db.in_memory.in_memory_db.InMemoryDb": "agno_nb.db.in_memory.InMemoryDb",
    "agno_nb.db.postgres.async_postgres.AsyncPostgresDb": "agno_nb.db.postgres.AsyncPostgresDb",
    "agno_nb.db.postgres.postgres.PostgresDb": "agno_nb.db.postgres.PostgresDb",
    "agno_nb.db.sqlite.async_sqlite.AsyncSqliteDb": "agno_nb.db.sqlite.AsyncSqliteDb",
    "agno_nb.db.sqlite.sqlite.SqliteDb": "agno_nb.db.sqlite.SqliteDb",
    "agno_nb.db.schemas.UserMemory": "agno_nb.types.UserMemory",
    "agno_nb.db.schemas.memory.UserMemory": "agno_nb.types.UserMemory",
    "agno_nb.memory.UserMemory": "agno_nb.types.UserMemory",
    "agno_nb.memory.manager.MemoryManager": "agno_nb.memory.MemoryManager",
    "agno_nb.metrics.RunMetrics": "agno_nb.types.Metrics",
    "agno_nb.models.message.Message": "agno_nb.types.Message",
    "agno_nb.models.metrics.Metrics": "agno_nb.types.Metrics",
    "agno_nb.models.response.ModelResponse": "agno_nb.models.base.ModelResponse",
    "agno_nb.models.response.ToolExecution": "agno_nb.types.ToolCall",
    "agno_nb.run.RunContext": "agno_nb.run.context.RunContext",
    "agno_nb.run.RunStatus": "agno_nb.types.RunStatus",
    "agno_nb.run.agent.RunEvent": "agno_nb.types.RunEvent",
    "agno_nb.run.agent.RunOutput": "agno_nb.types.RunOutput",
    "agno_nb.run.base.RunContext": "agno_nb.run.context.RunContext",
    "agno_nb.run.base.RunStatus": "agno_nb.types.RunStatus",
    "agno_nb.run.requirement.RunRequirement": "agno_nb.types.Requirement",
    "agno_nb.run.team.TeamRunEvent": "agno_nb.types.TeamRunEvent",
    "agno_nb.run.team.TeamRunOutput": "agno_nb.types.RunOutput",
    "agno_nb.run.workflow.WorkflowRunEvent": "agno_nb.types.WorkflowRunEvent",
    "agno_nb.run.workflow.WorkflowRunOutput": "agno_nb.types.RunOutput",
    "agno_nb.session.agent.AgentSession": "agno_nb.types.AgentSession",
    "agno_nb.session.team.TeamSession": "agno_nb.types.TeamSession",
    "agno_nb.session.workflow.WorkflowSession": "agno_nb.types.WorkflowSession",
    "agno_nb.team.Team": "agno_nb.team.team.Team",
    "agno_nb.tools.Function": "agno_nb.tools.function.Tool",
    "agno_nb.tools.decorator.tool": "agno_nb.tools.tool",
    "agno_nb.tools.function.Function": "agno_nb.tools.function.Tool",
    "agno_nb.tools.function.ToolResult": "agno_nb.tools.ToolResult",
    "agno_nb.tools.toolkit.Toolkit": "agno_nb.tools.Toolkit",
    "agno_nb.workflow.condition.Condition": "agno_nb.workflow.Condition",
    "agno_nb.workflow.loop.Loop": "agno_nb.workflow.Loop",
    "agno_nb.workflow.parallel.Parallel": "agno_nb.workflow.Parallel",
    "agno_nb.workflow.router.Router": "agno_nb.workflow.Router",
    "agno_nb.workflow.step.Step": "agno_nb.workflow.Step",
    "agno_nb.workflow.steps.Steps": "agno_nb.workflow.Steps",
    "agno_nb.workflow.types.StepInput": "agno_nb.workflow.StepInput",
    "agno_nb.workflow.types.StepOutput": "agno_nb.types.StepOutput",
}


def at(path: str) -> object:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize(("path", "ours"), PATHS.items())
def test_a_path_of_agno_has_our_object(path: str, ours: str) -> None:
    assert at(path) is at(ours)


def test_a_module_that_only_repeats_names_is_short() -> None:
    """A module with a docstring, imports, aliases and `__all__`, and nothing else, has at most ten lines."""
    root = Path(agno_nb.__file__).parent
    long = []
    for path in root.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        body = ast.parse(text).body
        if path.name != "__init__.py" and all(
            isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign) for node in body
        ):
            is_alias = any(
                isinstance(node, ast.ImportFrom) and (node.module or "").startswith("agno_nb") for node in body
            )
            if is_alias and "__all__" in text and len(text.splitlines()) > 10:
                long.append(path.relative_to(root).as_posix())
    assert long == []
