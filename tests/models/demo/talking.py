"""A conversation with the rules: every answer is what a model would be sent and say, without the wire between."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agno_nb.models.demo.context import LABEL
from agno_nb.models.demo.engine import reply
from agno_nb.models.demo.requests import read_chat

JsonDict = dict[str, Any]
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}


def function(name: str, description: str = "", required: str = "", **properties: JsonDict) -> JsonDict:
    """A tool as a request lists it. `required` are names with spaces between."""
    parameters = {"type": "object", "properties": properties, "required": required.split()}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


@dataclass
class Talk:
    """Asks, does what the answer calls for, and remembers both as a session does."""

    tools: list[JsonDict] = field(default_factory=list)
    run: Callable[[str, JsonDict], str] = lambda name, arguments: "done"
    system: str = ""
    messages: list[JsonDict] = field(default_factory=list)
    calls: list[tuple[str, JsonDict]] = field(default_factory=list)
    """The calls of the last turn."""

    def ask(self, prompt: str, **request: Any) -> str:
        """Say `prompt` and return the answer without the label."""
        self.messages.append({"role": "user", "content": prompt})
        self.calls = []
        system = [{"role": "system", "content": self.system}] if self.system else []
        for _ in range(4):
            body = {"messages": [*system, *self.messages], "tools": self.tools, **request}
            answer = reply(read_chat(body))
            if not answer.calls:
                self.messages.append({"role": "assistant", "content": answer.text})
                return answer.text.removesuffix(LABEL).rstrip()
            self.do(answer.calls)
        raise AssertionError(f"the calls do not end: {self.calls}")

    def do(self, calls: list[Any]) -> None:
        made = [
            {
                "id": f"call_{len(self.messages)}_{place}",
                "type": "function",
                "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
            }
            for place, call in enumerate(calls)
        ]
        self.messages.append({"role": "assistant", "content": None, "tool_calls": made})
        for wire, call in zip(made, calls, strict=True):
            self.calls.append((call.name, call.arguments))
            result = self.run(call.name, call.arguments)
            self.messages.append({"role": "tool", "tool_call_id": wire["id"], "content": result})

    def called(self, prompt: str, **request: Any) -> list[tuple[str, JsonDict]]:
        """Say `prompt` and return the calls that it led to."""
        self.ask(prompt, **request)
        return self.calls
