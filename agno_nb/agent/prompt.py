"""Build what a run sends: the system prompt and the messages of earlier runs, and the report of them.

The report lists the parts of the first request of a run, and the parts that were left out.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from agno_nb.run.context import RunContext, uncalled_function_error
from agno_nb.types import (
    ContextPart,
    ContextReport,
    JsonDict,
    Message,
    OmittedPart,
    SessionSummary,
    ToolSpec,
    UserMemory,
    counted,
    to_plain_text,
)

_NO_MEMORIES = "Nothing is known of the user from other conversations yet."
_MEMORIES_PREFACE = "What is known of the user from other conversations. What they say in this one counts more."
_SUMMARY_PREFACE = "A summary of what was said before in this conversation. The messages that you see count more."


def build_system_prompt(
    *,
    description: str | None = None,
    role: str | None = None,
    instructions: str | Sequence[str] | None = None,
    in_tags: bool = False,
    tool_instructions: Sequence[str] = (),
    members: str | None = None,
    facts: Sequence[str] = (),
    expected_output: str | None = None,
    additional_context: str | None = None,
    values: Mapping[str, Any] = MappingProxyType({}),
    memories: Sequence[UserMemory] | None = None,
    summary: SessionSummary | None = None,
    session_state: JsonDict | None = None,
    dependencies: JsonDict | None = None,
) -> list[tuple[str, str]]:
    """Return the parts of the system message, each with its source; :func:`join_parts` joins them.

    ``{name}`` in `description`, `role` and `instructions`, which are texts of the agent's author, is replaced with the
    value of that name in `values`. Everything else is included without replacements. `memories` are None if the agent
    has none, and empty if nothing is known of the user yet.
    """
    paragraphs = [fill_template(description, values)] if description else []
    if role:
        paragraphs.append(fill_template(f"Your role: {role}", values))
    if instructions:
        lines = [instructions] if isinstance(instructions, str) else instructions
        lines = [fill_template(line, values) for line in lines]
        text = "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0]
        paragraphs.append(f"<instructions>\n{text}\n</instructions>" if in_tags else text)
    paragraphs += [*tool_instructions, members or "", " ".join(facts)]
    if expected_output:
        paragraphs.append(f"The answer that is expected: {expected_output.strip()}")
    paragraphs.append(additional_context or "")
    parts = [("instructions", _paragraphs(paragraphs))]
    if memories:
        memory_lines = "\n".join(f"- {' '.join(memory.memory.split())}" for memory in memories)
        parts.append(("memories", f"{_MEMORIES_PREFACE}\n<user_memories>\n{memory_lines}\n</user_memories>"))
    elif memories is not None:
        parts.append(("memories", _NO_MEMORIES))
    if summary is not None:
        parts.append(("summary", f"{_SUMMARY_PREFACE}\n<session_summary>\n{summary.summary}\n</session_summary>"))
    for source, tag, value in (
        ("dependencies", "dependencies", dependencies),
        ("session state", "session_state", session_state),
    ):
        if value is not None:
            parts.append((source, f"<{tag}>\n{json.dumps(value, ensure_ascii=False, default=to_plain_text)}\n</{tag}>"))
    return [(source, text) for source, text in parts if text]


def join_parts(parts: Iterable[tuple[str, str]]) -> str | None:
    """Return the system message, or None if it is empty."""
    return _paragraphs(text for _, text in parts) or None


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(text.strip() for text in texts if text.strip())


def fill_template(text: str, values: Mapping[str, Any]) -> str:
    """Replace ``{name}`` if `values` has the name. Other braces are kept, and inserted values are not searched again.

    Examples
    --------
    >>> fill_template('Greet {user}. Answer as {"a": 1}, and never {this}.', {"user": "{this}", "this": 1})
    'Greet {this}. Answer as {"a": 1}, and never 1.'
    """
    if "{" not in text:
        return text
    return _NAME.sub(lambda match: _as_text(match[1], values[match[1]]) if match[1] in values else match[0], text)


def _as_text(name: str, value: Any) -> str:
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        raise uncalled_function_error(name, value)
    return str(value)


_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")


def trim_tool_calls(messages: Sequence[Message], limit: int) -> list[Message]:
    """Return messages of earlier runs with only the latest `limit` tool calls and their results."""
    ids = [(message.run_id, call.tool_call_id) for message in messages for call in message.tool_calls]
    kept = set(ids[len(ids) - min(max(limit, 0), len(ids)) :])
    result = []
    for message in messages:
        calls = [call for call in message.tool_calls if (message.run_id, call.tool_call_id) in kept]
        if message.role == "tool" and (message.run_id, message.tool_call_id) not in kept:
            continue
        if message.tool_calls and not calls and not message.content:
            continue
        result.append(replace(message, tool_calls=calls))
    return result


def build_context_report(
    context: RunContext,
    system: Sequence[tuple[str, str]],
    examples: Sequence[Message],
    history: Sequence[Message],
    others: Sequence[Message],
    *,
    max_tool_calls: int | None,
) -> ContextReport:
    """Describe the messages of a run's first request.

    `system` has the parts of the system message, each with its source. `history` are the earlier messages that are
    sent, which may be fewer than ``context.opened.history``, and `others` are the messages of the input around the
    user's last one.
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
    if others:
        parts.append(_message_part("messages", others))
    prompt = context.message.content or ""
    prompt_chars = len(prompt) - sum(map(attrgetter("chars"), run.variables))
    parts.append(ContextPart(source="prompt", role="user", chars=prompt_chars, text=prompt))
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
    context: RunContext, sent_turns: set[int], history: Sequence[Message], max_tool_calls: int | None
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
            yield OmittedPart(what=_turn_range(gaps), why="not completed, or deleted")
    if max_tool_calls is not None and (missing := _num_calls(context.opened.history) - _num_calls(history)):
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
