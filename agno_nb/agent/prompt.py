"""Build what a run sends: the system prompt, and the messages of earlier runs."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from agno_nb.run.context import uncalled_function_error
from agno_nb.types import JsonDict, Message, SessionSummary, UserMemory, to_plain_text

_MEMORIES_PREFACE = "What is known of the user from other conversations. What they say in this one counts more."
_SUMMARY_PREFACE = "A summary of what was said before in this conversation. The messages that you see count more."


def build_system_prompt(
    *,
    description: str | None = None,
    role: str | None = None,
    instructions: str | Sequence[str] | None = None,
    members: str | None = None,
    values: Mapping[str, Any] = MappingProxyType({}),
    markdown: bool = False,
    memories: Sequence[UserMemory] = (),
    summary: SessionSummary | None = None,
    session_state: JsonDict | None = None,
) -> list[tuple[str, str]]:
    """Return the parts of the system message, each with its source; :func:`join_parts` joins them.

    Parameters
    ----------
    description, role, instructions
        Texts of the agent's author. ``{name}`` in them is replaced with the value of that name in `values`.
    members
        Description of a team's members, included without replacements.
    memories, summary
        Included without replacements.
    session_state : dict, optional
        Included without replacements; None to leave the state out.
    """
    paragraphs = [fill_template(description or "", values), fill_template(f"Your role: {role}" if role else "", values)]
    if isinstance(instructions, str):
        paragraphs.append(fill_template(instructions, values))
    elif instructions:
        lines = [fill_template(line, values) for line in instructions]
        paragraphs.append("\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0])
    if members:
        paragraphs.append(members)
    if markdown:
        paragraphs.append("Write your answer in Markdown.")
    parts = [("instructions", _paragraphs(paragraphs))]
    if memories:
        memory_lines = "\n".join(f"- {' '.join(memory.memory.split())}" for memory in memories)
        parts.append(("memories", f"{_MEMORIES_PREFACE}\n<user_memories>\n{memory_lines}\n</user_memories>"))
    if summary is not None:
        parts.append(("summary", f"{_SUMMARY_PREFACE}\n<session_summary>\n{summary.summary}\n</session_summary>"))
    if session_state is not None:
        state = json.dumps(session_state, ensure_ascii=False, default=to_plain_text)
        parts.append(("session state", f"<session_state>\n{state}\n</session_state>"))
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


def mark_as_history(messages: Iterable[Message]) -> list[Message]:
    """Return copies of messages, marked as part of an earlier run."""
    return [replace(message, from_history=True) for message in messages]
