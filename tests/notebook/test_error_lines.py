"""Errors name the lines of the notebook's cells that led to them, if a cell has several."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

DEFINITIONS = """\
from agno_nb import Agent, InMemoryDb, Workflow
agent = Agent("demo", db=InMemoryDb())

def grade(row):
    return agent.run("x", sesion_id=row)

def divide(step_input):
    return 1 / 0
"""
UNKNOWN = "UnknownArgumentError: run() has no argument 'sesion_id': did you mean \"session_id\"?"


@pytest.fixture
def shell(tmp_path: Path) -> InteractiveShell:
    shell = InteractiveShell(ipython_dir=str(tmp_path))
    shell.user_module.__name__ = "__main__"
    shell.user_ns["__name__"] = "__main__"
    shell.run_cell(DEFINITIONS)
    return shell


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        pytest.param("agent.run('x', sesion_id=1)", [UNKNOWN], id="one line"),
        pytest.param(
            "rows = [1, 2]\nfor row in rows:\n    agent.run(\n        'x', sesion_id=row)",
            [UNKNOWN, "  line 3: agent.run("],
            id="loop",
        ),
        pytest.param(
            "grade(1)",
            [UNKNOWN, "  line 1: grade(1)", '  line 5, in grade: return agent.run("x", sesion_id=row)'],
            id="function of another cell",
        ),
        pytest.param(
            "flow = Workflow([divide])\nflow.run('x')",
            [
                "RunError: the run failed in step 'divide': ZeroDivisionError: division by zero",
                "  line 2: flow.run('x')",
                "  line 8, in divide: return 1 / 0",
            ],
            id="cause in a step",
        ),
    ],
)
def test_the_lines_of_cells_follow_the_message(shell: InteractiveShell, cell: str, lines: list[str]) -> None:
    error = shell.run_cell(cell).error_in_exec
    assert error is not None
    assert error._render_traceback_() == lines
