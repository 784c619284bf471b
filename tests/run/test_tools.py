"""All kinds of tools with a strict server and every entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel, BeforeValidator

from agno_nb import Agent, InMemoryDb, OpenAIChat, SqlTools
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import RunOutput, RunStatus
from tests.fakes.strict import StrictServer, calls, says
from tests.run.test_entrypoints import door


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@dataclass
class Box:
    width: int
    size: Size = Size.SMALL


class Order(BaseModel):
    item: str
    box: Box | None = None
    tags: list[str] = []


def order(order: Order, on: date, priority: Literal["low", "high"] = "low", copies: int = 1) -> dict[str, Any]:
    """Order something."""
    return {"item": order.item, "on": on, "copies": copies, "priority": priority}


async def weigh(kilos: Annotated[float, "How heavy it is."], session_state: dict[str, Any]) -> float:
    session_state["kilos"] = kilos
    return kilos


@tool(timeout_s=30)
def table() -> pd.DataFrame:
    """Show the stock."""
    return pd.DataFrame({"item": ["tea"] * 30})


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as fake:
        yield fake


@door
@pytest.mark.parametrize("provider", ["openai", "ollama"])
def test_a_strict_server_takes_every_tool_and_every_result(
    provider: str, door: Callable[..., RunOutput], server: StrictServer
) -> None:
    good = {"order": {"item": "tea", "box": {"width": "2"}}, "on": "2026-01-02", "copies": None}
    server.will_say(
        calls(("order", good), ("weigh", {"kilos": "2.5"}), ("table", {}), ("nosuch", {})),
        calls(("order", '{"order": {"item": 1}'), ("weigh", {}), first_id=5),
        says("Done."),
    )
    model = OpenAIChat("m", base_url=server.base_url, provider=provider, api_key="sk-test-not-a-key-0")
    frames = SqlTools(stock=pd.DataFrame({"item": ["tea"]}), history=True)
    agent = Agent(model, db=InMemoryDb(), tools=[order, weigh, [table], frames])

    run = door(agent, "Order tea", session_id="s")

    assert server.refused == []
    assert (run.status, run.content) == (RunStatus.COMPLETED, "Done. ")
    assert [(each.tool_name, each.tool_call_error) for each in run.tools] == [
        ("order", False),
        ("weigh", False),
        ("table", False),
        ("nosuch", True),
        ("order", True),
        ("weigh", True),
    ]
    told = [each.result or "" for each in run.tools]
    assert told[0] == '{"item": "tea", "on": "2026-01-02", "copies": 1, "priority": "low"}'
    assert told[1] == "2.5"
    assert told[2].startswith("DataFrame, 30 rows x 1 columns\nColumns: item (str)\nFirst 20 rows as CSV:\n")
    assert told[3].startswith("There is no tool 'nosuch'. The tools are: order, weigh, table, describe_table, run_sql")
    assert told[4].startswith("order does not take these arguments:\n- arguments: Invalid JSON: EOF while parsing")
    assert told[5] == "weigh does not take these arguments:\n- kilos: Field required"
    assert len(run.tools[2].value) == 30
    assert run.session_state == {"kilos": 2.5}
    assert [call.value for call in agent.store.get_runs("s")[0].tools] == [None] * 6


_parsed: list[Any] = []


def _note(value: Any) -> Any:
    _parsed.append(value)
    return value


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_arguments_are_parsed_once(is_confirmed: bool) -> None:
    """An approved call is parsed again when the run continues: before anything is changed, and for the call."""

    @tool(requires_confirmation=is_confirmed)
    def double(number: Annotated[int, BeforeValidator(_note)]) -> int:
        return number * 2

    agent = Agent(ScriptedModel([call("double", number=1), "2"]), db=InMemoryDb(), tools=[double])
    _parsed.clear()
    run = agent.run("Double 1")
    assert _parsed == [1]
    if is_confirmed:
        run.active_requirements[0].confirm()
        run = agent.continue_run(run)
        assert _parsed == [1, 1, 1]
    assert (run.tools[0].result, run.content) == ("2", "2")
