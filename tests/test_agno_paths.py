"""Programs written for agno find our classes at agno's paths and by its names."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

import agno_nb
from agno_nb.errors import InvalidInputError

# What agno has at a path, and our class or function.
PATHS = {
    "agno_nb.agent.Agent": "agno_nb.agent.agent.Agent",
    "agno_nb.agent.AgentSession": "agno_nb.types.AgentSession",
    "agno_nb.agent.Function": "agno_nb.tools.function.Tool",
    "agno_nb.agent.Message": "agno_nb.types.Message",
    "agno_nb.agent.RunCompletedEvent": "agno_nb.run.agent.RunCompletedEvent",
    "agno_nb.agent.RunEvent": "agno_nb.types.RunEvent",
    "agno_nb.agent.RunOutputEvent": "agno_nb.types.RunOutputEvent",
    "agno_nb.agent.Toolkit": "agno_nb.tools.Toolkit",
    "agno_nb.db.BaseDb": "agno_nb.db.base.Db",
    "agno_nb.db.SessionType": "agno_nb.types.SessionType",
    "agno_nb.db.async_postgres.AsyncPostgresDb": "agno_nb.db.postgres.AsyncPostgresDb",
    "agno_nb.db.base.AsyncBaseDb": "agno_nb.db.base.AsyncDb",
    "agno_nb.db.base.BaseDb": "agno_nb.db.base.Db",
    "agno_nb.db.base.SessionType": "agno_nb.types.SessionType",
    "agno_nb.db.in_memory.in_memory_db.InMemoryDb": "agno_nb.db.in_memory.InMemoryDb",
    "agno_nb.db.postgres.async_postgres.AsyncPostgresDb": "agno_nb.db.postgres.AsyncPostgresDb",
    "agno_nb.db.postgres.postgres.PostgresDb": "agno_nb.db.postgres.PostgresDb",
    "agno_nb.db.schemas.UserMemory": "agno_nb.types.UserMemory",
    "agno_nb.db.schemas.memory.UserMemory": "agno_nb.types.UserMemory",
    "agno_nb.db.sqlite.async_sqlite.AsyncSqliteDb": "agno_nb.db.sqlite.AsyncSqliteDb",
    "agno_nb.db.sqlite.sqlite.SqliteDb": "agno_nb.db.sqlite.SqliteDb",
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
    "agno_nb.run.agent.RunInput": "agno_nb.run.inputs.RunInput",
    "agno_nb.run.agent.RunOutput": "agno_nb.types.RunOutput",
    "agno_nb.run.base.RunContext": "agno_nb.run.context.RunContext",
    "agno_nb.run.base.RunStatus": "agno_nb.types.RunStatus",
    "agno_nb.run.requirement.RunRequirement": "agno_nb.types.Requirement",
    "agno_nb.run.team.TeamRunEvent": "agno_nb.types.TeamRunEvent",
    "agno_nb.run.team.TeamRunInput": "agno_nb.run.inputs.RunInput",
    "agno_nb.run.team.TeamRunOutput": "agno_nb.types.RunOutput",
    "agno_nb.run.workflow.WorkflowRunEvent": "agno_nb.types.WorkflowRunEvent",
    "agno_nb.run.workflow.WorkflowRunOutput": "agno_nb.types.RunOutput",
    "agno_nb.session.agent.AgentSession": "agno_nb.types.AgentSession",
    "agno_nb.session.team.TeamSession": "agno_nb.types.TeamSession",
    "agno_nb.session.workflow.WorkflowSession": "agno_nb.types.WorkflowSession",
    "agno_nb.team.RunCompletedEvent": "agno_nb.run.team.RunCompletedEvent",
    "agno_nb.team.Team": "agno_nb.team.team.Team",
    "agno_nb.team.TeamRunEvent": "agno_nb.types.TeamRunEvent",
    "agno_nb.team.TeamRunOutput": "agno_nb.types.RunOutput",
    "agno_nb.tools.Function": "agno_nb.tools.function.Tool",
    "agno_nb.tools.FunctionCall": "agno_nb.tools.function.FunctionCall",
    "agno_nb.tools.decorator.tool": "agno_nb.tools.tool",
    "agno_nb.tools.function.Function": "agno_nb.tools.function.Tool",
    "agno_nb.tools.function.ToolResult": "agno_nb.tools.ToolResult",
    "agno_nb.tools.function.UserInputField": "agno_nb.types.UserInputField",
    "agno_nb.tools.mcp.params.SSEClientParams": "agno_nb.tools.mcp.SSEClientParams",
    "agno_nb.tools.mcp.params.StreamableHTTPClientParams": "agno_nb.tools.mcp.StreamableHTTPClientParams",
    "agno_nb.tools.mcp.mcp.MCPTools": "agno_nb.tools.mcp.MCPTools",
    "agno_nb.tools.toolkit.Toolkit": "agno_nb.tools.Toolkit",
    "agno_nb.utils.pprint.apprint_run_response": "agno_nb.printing.apprint_run_response",
    "agno_nb.utils.pprint.pprint_run_response": "agno_nb.printing.pprint_run_response",
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
    """A module with a docstring, imports, aliases and `__all__`, and nothing else, has at most twelve lines."""
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
            if is_alias and "__all__" in text and len(text.splitlines()) > 12:
                long.append(path.relative_to(root).as_posix())
    assert long == []


def test_agnos_functions_for_messages_use_the_logging_module(caplog: pytest.LogCaptureFixture) -> None:
    from agno_nb.utils import log

    with caplog.at_level("DEBUG", logger="agno_nb"):
        log.log_debug("a %s", "b", center=True)
        log.log_info("c")
        log.log_warning("d")
        log.log_error("e", log_level=1)
        try:
            raise ValueError("x")
        except ValueError:
            log.log_exception("f")
    assert [(each.levelname, each.getMessage(), each.filename) for each in caplog.records] == [
        (level, text, "test_agno_paths.py")
        for level, text in zip(("DEBUG", "INFO", "WARNING", "ERROR", "ERROR"), ("a b", "c", "d", "e", "f"), strict=True)
    ]


def test_a_missing_part_is_named_with_the_nearest_thing() -> None:
    from agno_nb.approval import approval

    with pytest.raises(InvalidInputError, match="use @tool\\(requires_confirmation=True\\)"):
        approval(len)
