"""Equivalent agents, teams and workflows, for tests of the shared pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.models.base import Model
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel
from agno_nb.types import RunOutput
from agno_nb.workflow import Workflow

Make = Callable[..., Runnable]

_OF_THE_STEP = {"instructions", "tools", "add_history_to_context"}


def agent(model: Model, **said: Any) -> Runnable:
    return Agent(model, **said)


def team(model: Model, **said: Any) -> Runnable:
    """The model leads, and has nothing to do for its member."""
    return Team([Agent(ScriptedModel([]), name="idle")], model=model, **said)


def workflow(model: Model, **said: Any) -> Runnable:
    """The model answers in the only step."""
    of_the_step = {name: value for name, value in said.items() if name in _OF_THE_STEP}
    others = {name: value for name, value in said.items() if name not in _OF_THE_STEP}
    return Workflow([Agent(model, name="step", **of_the_step)], **others)


kind = pytest.mark.parametrize("make", [agent, team, workflow], ids=lambda make: make.__name__)


def talk(run: RunOutput) -> RunOutput:
    """The run in which the model talks."""
    return run.nested_runs[0] if run.kind == "workflow" else run
