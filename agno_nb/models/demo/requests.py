"""Read the bodies of the two APIs into a :class:`Context`.

Nothing is refused here that has a meaning: a field of another type than expected counts as absent, as servers that
people have do it.
"""

from __future__ import annotations

import json
from typing import Any

from agno_nb.models.demo.attachments import attachment
from agno_nb.models.demo.context import ANY_OBJECT, LABEL, Call, Context, Turn
from agno_nb.models.demo.schema import as_dict, as_list
from agno_nb.types import JsonDict, ToolSpec


def read_chat(body: JsonDict) -> Context:
    """Read a request of the Chat Completions API."""
    reader = _Reader()
    for message in map(as_dict, as_list(body.get("messages"))):
        role, text = message.get("role"), text_of(message.get("content"))
        if role in ("system", "developer"):
            reader.system.append(text)
        elif role == "user":
            reader.user(text, attachments(message.get("content")))
        elif role == "assistant":
            reader.assistant(text)
            for call in map(as_dict, as_list(message.get("tool_calls"))):
                function = as_dict(call.get("function"))
                reader.call(call.get("id"), function.get("name"), function.get("arguments"))
        elif role == "tool":
            reader.result(message.get("tool_call_id"), text)
    form = as_dict(body.get("response_format"))
    tools = [as_dict(as_dict(tool).get("function")) for tool in as_list(body.get("tools"))]
    choice = as_dict(body.get("tool_choice"))
    return reader.context(
        body,
        tools=tools,
        tool_choice=as_dict(choice.get("function")).get("name") or choice.get("type") or body.get("tool_choice"),
        output_schema=_output_schema(form, as_dict(form.get("json_schema")).get("schema")),
    )


def read_responses(body: JsonDict) -> Context:
    """Read a request of the Responses API."""
    reader = _Reader()
    reader.system.append(text_of(body.get("instructions")))
    given = body.get("input")
    for item in [{"role": "user", "content": given}] if isinstance(given, str) else map(as_dict, as_list(given)):
        role = item.get("role")
        if role in ("system", "developer"):
            reader.system.append(text_of(item.get("content")))
        elif role == "user":
            reader.user(text_of(item.get("content")), attachments(item.get("content")))
        elif role == "assistant":
            reader.assistant(text_of(item.get("content")))
        elif item.get("type") == "function_call":
            reader.call(item.get("call_id"), item.get("name"), item.get("arguments"))
        elif item.get("type") == "function_call_output":
            reader.result(item.get("call_id"), text_of(item.get("output")))
    form = as_dict(as_dict(body.get("text")).get("format"))
    choice = as_dict(body.get("tool_choice"))
    return reader.context(
        body,
        tools=[as_dict(tool) for tool in as_list(body.get("tools"))],
        tool_choice=choice.get("name") or choice.get("type") or body.get("tool_choice"),
        output_schema=_output_schema(form, form.get("schema")),
    )


def text_of(content: Any) -> str:
    """The text of a content."""
    if isinstance(content, str):
        return content
    return "\n".join(text for part in as_list(content) if (text := _text(part)) is not None)


def attachments(content: Any) -> list[str]:
    """What a content holds besides text, each in words: "an image (image/png, 2.1 kB)"."""
    return [attachment(as_dict(part)) for part in as_list(content) if _text(part) is None]


def _text(part: Any) -> str | None:
    text = part if isinstance(part, str) else as_dict(part).get("text", as_dict(part).get("refusal"))
    return text if isinstance(text, str) else None


def _output_schema(form: JsonDict, schema: Any) -> JsonDict | None:
    if form.get("type") == "json_schema":
        return as_dict(schema)
    return ANY_OBJECT if form.get("type") == "json_object" else None


class _Reader:
    """Puts the messages of a request into turns, as they come."""

    def __init__(self) -> None:
        self.system: list[str] = []
        self.turns: list[Turn] = []
        self.calls: dict[str, Call] = {}

    def turn(self) -> Turn:
        if not self.turns:
            self.turns.append(Turn(prompt=""))
        return self.turns[-1]

    def user(self, text: str, attached: list[str]) -> None:
        # Two user messages in a row, a context and a question say, are one turn.
        if self.turns and not self.turns[-1].answer and not self.turns[-1].calls:
            self.turns[-1].prompt = f"{self.turns[-1].prompt}\n{text}".strip()
            self.turns[-1].attachments += attached
        else:
            self.turns.append(Turn(prompt=text, attachments=attached))

    def assistant(self, text: str) -> None:
        if spoken := text.replace(LABEL, "").strip():
            turn = self.turn()
            turn.answer = f"{turn.answer}\n{spoken}".strip()

    def call(self, call_id: Any, name: Any, arguments: Any) -> None:
        call = Call(name=str(name or ""), arguments=_arguments(arguments))
        self.calls[str(call_id)] = call
        self.turn().calls.append(call)

    def result(self, call_id: Any, text: str) -> None:
        call = self.calls.get(str(call_id))
        if call is not None:
            call.result = text

    def context(
        self, body: JsonDict, *, tools: list[JsonDict], tool_choice: Any, output_schema: JsonDict | None
    ) -> Context:
        self.turn()
        offered = [
            ToolSpec(
                name=str(tool["name"]),
                description=str(tool.get("description") or ""),
                parameters=as_dict(tool.get("parameters")),
            )
            for tool in tools
            if isinstance(tool.get("name"), str) and tool["name"]
        ]
        if any(tool.name == tool_choice for tool in offered):
            # To insist on one tool is to offer that one only.
            offered, tool_choice = [tool for tool in offered if tool.name == tool_choice], "required"
        return Context(
            system="\n\n".join(text for text in self.system if text),
            turns=self.turns,
            tools=offered,
            tool_choice=tool_choice if tool_choice in ("none", "required") else "auto",
            parallel_tool_calls=body.get("parallel_tool_calls") is not False,
            output_schema=output_schema,
        )


def _arguments(text: Any) -> JsonDict:
    try:
        value = json.loads(text or "{}", parse_constant=str) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return as_dict(value)
