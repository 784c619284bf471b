"""A tool of an MCP server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from agno_nb.tools.function import Tool
from agno_nb.tools.invoke import Hook
from agno_nb.tools.mcp.connection import ServerCall, current_call
from agno_nb.tools.mcp.schemas import problems
from agno_nb.tools.parameters import Parameters, SchemaParameters
from agno_nb.types import JsonDict, Media, RunEvent, ToolCall


class CallFailed(Exception):
    """The server returned an error as the result of a tool."""


class ServerParameters(SchemaParameters):
    """Parameters of a tool of a server, whose schema is not trusted."""

    def _problems(self, arguments: JsonDict) -> list[Any]:
        return problems(self._schema, arguments)


class ServerTool(Tool):
    """A tool of an MCP server. Its function sends the call to the server."""

    def _parameters_without(self, names: Collection[str] = ()) -> Parameters:
        return ServerParameters(self.function, self.json_schema or {}, without=names)

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
