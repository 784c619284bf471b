"""Build the context report: the parts of the first request of a run, and the omitted parts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from agno_nb.types import ContextPart, ContextReport, JsonDict, Message, OmittedPart, ToolSpec, counted

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext


def build_context_report(
    context: RunContext,
    *,
    system: Sequence[tuple[str, str]],
    examples: Sequence[Message],
    history: Sequence[Message],
    max_tool_calls: int | None,
) -> ContextReport:
    """Describe the messages of a run's first request.

    Parameters
    ----------
    system : sequence of (source, text)
        The parts of the system message.
    history : sequence of Message
        The earlier messages that are sent, which may be fewer than ``context.opened.history``.
    """
    run, parts = context.run, list[ContextPart]()
    for source, text in system:
        name = _part_name(source, context)
        parts.append(ContextPart(source=source, role="system", name=name, chars=len(text), text=text))
    if examples:
        parts.append(_message_part("examples", examples))
    runs: dict[str | None, list[Message]] = {}
    for message in history:
        runs.setdefault(message.run_id, []).append(message)
    turns = {run_id: index for index, run_id in context.opened.turns}
    for run_id, messages in runs.items():
        parts.append(_message_part("history", messages, run_index=turns.get(run_id or ""), run_id=run_id))
    prompt_chars = len(run.input) - sum(map(attrgetter("chars"), run.variables))
    parts.append(ContextPart(source="prompt", role="user", chars=prompt_chars, text=run.input))
    for variable in run.variables:
        parts.append(ContextPart(source="variable", role="user", name=variable.name, chars=variable.chars))
    for media in context.message.media:
        name = " ".join(filter(None, (media.kind, media.filename or media.mime_type)))
        parts.append(ContextPart(source="media", role="user", name=name, chars=0))
    sent_turns = {index for run_id, index in turns.items() if run_id in runs}
    return ContextReport(parts=parts, omitted=list(_omitted_parts(context, sent_turns, history, max_tool_calls)))


def add_tools_to_report(report: ContextReport, tools: Sequence[ToolSpec], output_schema: JsonDict | None) -> None:
    """Add the tools and the output schema to a report."""
    if tools:
        described = "\n".join(json.dumps(describe_tool(tool), ensure_ascii=False) for tool in tools)
        names = ", ".join(tool.name for tool in tools)
        report.parts.append(ContextPart(source="tools", name=names, chars=len(described), text=described))
    if output_schema is not None:
        schema = json.dumps(output_schema, ensure_ascii=False)
        report.parts.append(ContextPart(source="output schema", chars=len(schema), text=schema))


def _part_name(source: str, context: RunContext) -> str | None:
    if source == "summary" and context.opened.summary is not None:
        covered = context.opened.summary
        return f"of turns {covered.from_run_index} to {covered.to_run_index}"
    return str(len(context.opened.memories)) if source == "memories" else None


def _message_part(
    source: str, messages: Sequence[Message], *, run_index: int | None = None, run_id: str | None = None
) -> ContextPart:
    lines = []
    for message in messages:
        if message.content:
            lines.append(f"{message.role}: {message.content}")
        if message.tool_calls:
            lines += [f"{message.role}: {call.tool_name}({call.arguments})" for call in message.tool_calls]
    text = "\n".join(lines)
    return ContextPart(source=source, run_index=run_index, run_id=run_id, chars=len(text), text=text)


def _omitted_parts(
    context: RunContext,
    sent_turns: set[int],
    history: Sequence[Message],
    max_tool_calls: int | None,
) -> Iterable[OmittedPart]:
    query, turn = context.query, context.run.run_index or 0
    first = min(sent_turns, default=turn)
    by_messages = query.num_history_messages is not None
    if query.num_history_runs == 0 and not by_messages:
        if turn:
            yield OmittedPart(what=_turn_range(range(turn)), why="history is not sent")
    else:
        most = query.num_history_messages if by_messages else query.num_history_runs
        full = len(context.opened.turns) == most or by_messages
        if first:
            why = f"history is the last {counted(most or 0, 'message' if by_messages else 'completed turn')}"
            yield OmittedPart(what=_turn_range(range(first)), why=why if full else "not completed")
        if gaps := [index for index in range(first, turn) if index not in sent_turns]:
            yield OmittedPart(what=_turn_range(gaps), why="not completed")
    if missing := _num_calls(context.opened.history) - _num_calls(history):
        yield OmittedPart(what=counted(missing, "tool call"), why=f"history has the last {max_tool_calls} of them")
    if context.opened.num_superseded:
        yield OmittedPart(
            what=counted(context.opened.num_superseded, "earlier attempt"),
            why="superseded by later ones at their turns",
        )
    if context.run.attempt:
        what = counted(context.run.attempt, "earlier attempt")
        yield OmittedPart(what=f"{what} at this turn, and what came after", why="this attempt takes their place")


def _turn_range(indexes: Sequence[int]) -> str:
    if len(indexes) == 1:
        return f"turn {indexes[0]}"
    together = indexes[-1] - indexes[0] + 1 == len(indexes)
    return f"turns {indexes[0]} to {indexes[-1]}" if together else f"turns {', '.join(map(str, indexes))}"


def _num_calls(messages: Iterable[Message]) -> int:
    return sum(map(len, map(attrgetter("tool_calls"), messages)))


def describe_tool(tool: ToolSpec) -> JsonDict:
    return {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
