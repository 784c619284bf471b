"""The context report of a run: the parts of its first request, and what was omitted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agno_nb.types import ContextPart, ContextReport, JsonDict, Message, OmittedPart, ToolSpec

if TYPE_CHECKING:
    from agno_nb.db.base import ContextQuery
    from agno_nb.run.context import RunContext


def build_context_report(
    context: RunContext,
    query: ContextQuery,
    *,
    system: Sequence[tuple[str, str]],
    examples: Sequence[Message],
    history: Sequence[Message],
    max_tool_calls: int | None,
) -> ContextReport:
    """Write down what the messages of a run's first request are made of.

    Parameters
    ----------
    query : ContextQuery
        What the session was asked for.
    system : sequence of (source, text)
        What the system message is made of.
    history : sequence of Message
        The earlier messages that are sent, of which ``context.history`` may have more.
    """
    parts = [
        ContextPart(source=source, role="system", name=_part_name(source, context), chars=len(text), text=text)
        for source, text in system
    ]
    if examples:
        parts.append(_message_part("examples", examples))
    runs: dict[str | None, list[Message]] = {}
    for message in history:
        runs.setdefault(message.run_id, []).append(message)
    turns = {run_id: index for index, run_id in context.turns}
    for run_id, messages in runs.items():
        parts.append(_message_part("history", messages, run_index=turns.get(run_id or ""), run_id=run_id))
    run = context.run
    variable_chars = sum(variable.chars for variable in run.variables)
    parts.append(ContextPart(source="prompt", role="user", chars=len(run.input) - variable_chars, text=run.input))
    parts += [
        ContextPart(source="variable", role="user", name=variable.name, chars=variable.chars)
        for variable in run.variables
    ]
    for media in context.message.media:
        name = " ".join(filter(None, (media.kind, media.filename or media.mime_type)))
        parts.append(ContextPart(source="media", role="user", name=name, chars=0))
    sent_turns = {index for run_id, index in turns.items() if run_id in runs}
    return ContextReport(parts=parts, omitted=list(_omitted_parts(context, query, sent_turns, history, max_tool_calls)))


def add_tools_to_report(report: ContextReport, tools: Sequence[ToolSpec], output_schema: JsonDict | None) -> None:
    """Write down what goes along with the messages."""
    if tools:
        described = "\n".join(json.dumps(describe_tool(tool), ensure_ascii=False) for tool in tools)
        names = ", ".join(tool.name for tool in tools)
        report.parts.append(ContextPart(source="tools", name=names, chars=len(described), text=described))
    if output_schema is not None:
        schema = json.dumps(output_schema, ensure_ascii=False)
        report.parts.append(ContextPart(source="output schema", chars=len(schema), text=schema))


def _part_name(source: str, context: RunContext) -> str | None:
    if source == "summary" and context.summary is not None:
        covered = context.summary
        return f"of turns {covered.from_run_index} to {covered.to_run_index}"
    return str(len(context.memories)) if source == "memories" else None


def _message_part(
    source: str, messages: Sequence[Message], *, run_index: int | None = None, run_id: str | None = None
) -> ContextPart:
    lines = []
    for message in messages:
        calls = [f"{call.tool_name}({call.arguments})" for call in message.tool_calls]
        lines += [f"{message.role}: {text}" for text in (message.content, *calls) if text]
    text = "\n".join(lines)
    return ContextPart(source=source, run_index=run_index, run_id=run_id, chars=len(text), text=text)


def _omitted_parts(
    context: RunContext,
    query: ContextQuery,
    sent_turns: set[int],
    history: Sequence[Message],
    max_tool_calls: int | None,
) -> Iterable[OmittedPart]:
    turn = context.run.run_index or 0
    first = min(sent_turns, default=turn)
    by_messages = query.num_history_messages is not None
    if query.num_history_runs == 0 and not by_messages:
        if turn:
            yield OmittedPart(what=_turn_range(range(turn)), why="history is not sent")
    else:
        most = query.num_history_messages if by_messages else query.num_history_runs
        full = len(context.turns) == most or by_messages
        if first:
            why = f"history is the last {most} {'messages' if by_messages else 'completed turns'}"
            yield OmittedPart(what=_turn_range(range(first)), why=why if full else "not completed")
        if gaps := [index for index in range(first, turn) if index not in sent_turns]:
            yield OmittedPart(what=_turn_range(gaps), why="not completed")
    if missing := len(_calls(context.history)) - len(_calls(history)):
        yield OmittedPart(what=_count(missing, "tool call"), why=f"history has the last {max_tool_calls} of them")
    if context.num_superseded:
        yield OmittedPart(
            what=_count(context.num_superseded, "earlier attempt"), why="superseded by later ones at their turns"
        )
    if context.run.attempt:
        what = _count(context.run.attempt, "earlier attempt")
        yield OmittedPart(what=f"{what} at this turn, and what came after", why="this attempt takes their place")


def _turn_range(indexes: Sequence[int]) -> str:
    if len(indexes) == 1:
        return f"turn {indexes[0]}"
    together = indexes[-1] - indexes[0] + 1 == len(indexes)
    return f"turns {indexes[0]} to {indexes[-1]}" if together else f"turns {', '.join(map(str, indexes))}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _calls(messages: Iterable[Message]) -> list[str]:
    return [call.tool_call_id for message in messages for call in message.tool_calls]


def describe_tool(tool: ToolSpec) -> JsonDict:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
