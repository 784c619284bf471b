"""Parameter types of tools, and a tool call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel

from agno_nb.tools import Tool
from agno_nb.types import ToolCall


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Point(BaseModel):
    x: float
    y: float = 0.0


@dataclass
class Box:
    width: int
    corner: Point


def called(function: Any, arguments: str = "{}", **injected: Any) -> ToolCall:
    made = ToolCall(tool_call_id="c", tool_name="t", arguments=arguments)
    asyncio.run((function if isinstance(function, Tool) else Tool(function)).call(made, injected))
    return made
