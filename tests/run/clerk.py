"""An agent whose tools need approval, and a record of its calls."""

from __future__ import annotations

from typing import Any

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput

done: list[str] = []


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    done.append(f"deleted {path}")
    return f"{path} is gone"


@tool(requires_user_input=True, user_input_fields=["to", "copies"])
def send(subject: str, to: str, copies: int = 1) -> str:
    """Send a letter.

    Args:
        to: Who gets it.
    """
    done.append(f"sent {subject} to {to} x{copies}")
    return "sent"


@tool(external_execution=True)
def shell(command: str) -> str:
    """Run a command."""
    raise AssertionError("it is carried out by a person")


def look(path: str) -> str:
    """Look at a file."""
    done.append(f"looked at {path}")
    return "4 bytes"


TOOLS: list[Any] = [delete, send, shell, look]


def paused_run(db: Db | None = None, *, user_id: str | None = None, reply: str = "Done.") -> tuple[Agent, RunOutput]:
    agent = Agent(ScriptedModel([call("delete", path="a"), reply]), name="clerk", tools=TOOLS, db=db)
    return agent, agent.run("delete a", session_id="s", user_id=user_id)
