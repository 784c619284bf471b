"""A tool of an MCP server, and the check of its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agno_nb.redact import displayable
from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import Hook
from agno_nb.tools.mcp.connection import ServerCall, current_call
from agno_nb.types import JsonDict, Media, RunEvent, ToolCall, import_jsonschema, shorten

MAX_SCHEMA = 100_000
"""Length limit of a schema as JSON, which is part of each request."""


class CallFailed(Exception):
    """The server returned an error as the result of a tool."""


class ServerTool(Tool):
    """A tool of an MCP server. Its function sends the call to the server."""

    def parse_arguments(self, call: ToolCall, user_input: Mapping[str, Any] | None = None) -> dict[str, Any]:
        # What a person has filled in answers the server's questions, and is not an argument.
        return super().parse_arguments(call)

    async def call(
        self,
        call: ToolCall,
        injected: Mapping[str, Any],
        user_input: Mapping[str, Any] | None = None,
        *,
        hooks: Sequence[Hook] = (),
        sees_images: bool = False,
    ) -> list[Media]:
        context = injected.get("run_context")

        def report(text: str, values: JsonDict) -> None:
            if context is not None:
                context.emit(RunEvent.tool_call_progress, tool=call, content=text, details=values)

        in_progress = ServerCall(
            on_progress=report, fields=call.user_input_schema, values=dict(user_input or {}), injected=injected
        )
        token = current_call.set(in_progress)
        try:
            images = await super().call(call, injected, hooks=hooks, sees_images=sees_images)
        finally:
            current_call.reset(token)
        if in_progress.error is not None and call.tool_call_error:
            call.result = in_progress.error  # Without the name of an exception.
        return images


def schema_problem(schema: JsonDict) -> str | None:
    """Return why a schema cannot be used: it is not valid, refers to other documents, or is too long."""
    try:
        written = json.dumps(schema)
        import_jsonschema().validators.validator_for(schema).check_schema(schema)
        if schema.get("type", "object") != "object" or not isinstance(schema.get("properties", {}), dict):
            return "its schema does not describe an object"
        if any(not reference.startswith("#") for reference in _references(schema)):
            return "its schema refers to another document"
    except RecursionError:
        return "its schema is nested too deeply"
    except Exception as error:
        return f"its schema is not valid: {shorten(displayable(str(error)).partition(chr(10))[0], 200)}"
    return f"its schema has more than {MAX_SCHEMA:,} characters" if len(written) > MAX_SCHEMA else None


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for each in schema for found in _references(each)]
    if not isinstance(schema, dict):
        return []
    own = [value for key, value in schema.items() if key in ("$ref", "$dynamicRef") and isinstance(value, str)]
    return own + [found for each in schema.values() for found in _references(each)]
