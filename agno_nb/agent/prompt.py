"""What the model is sent: ``[system] [history] [user]``, valid for the strictest provider."""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from agno_nb.run.dependencies import uncalled_function_error
from agno_nb.types import JsonDict, RunOutput, SessionSummary, UserMemory, to_plain_text

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
    """Write what the system message is made of, each part with its source. :func:`join_parts` makes it one text.

    Parameters
    ----------
    description, role, instructions
        What the agent's author wrote. ``{name}`` in them becomes the value of that name in `values`.
    members
        What the leader of a team is told of its members. It is shown as it is.
    memories, summary
        What is known from elsewhere. It is shown as it is.
    session_state : dict, optional
        Shown as it is. None where the model is not to see it.
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
    """Return the system message; None when there is nothing to say."""
    return _paragraphs(text for _, text in parts) or None


def _paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(text.strip() for text in texts if text.strip())


def fill_template(text: str, values: Mapping[str, Any]) -> str:
    """Replace ``{name}`` where `values` has the name. Every other brace stays; what is put in is not searched again.

    Examples
    --------
    >>> fill_template('Greet {user}. Answer as {"a": 1}, and never {this}.', {"user": "{this}", "this": 1})
    'Greet {this}. Answer as {"a": 1}, and never 1.'
    """
    return _NAME.sub(lambda match: _as_text(match[1], values[match[1]]) if match[1] in values else match[0], text)


def _as_text(name: str, value: Any) -> str:
    if inspect.isroutine(value) or isinstance(value, functools.partial):
        raise uncalled_function_error(name, value)
    return str(value)


_NAME = re.compile(r"\{([A-Za-z_]\w*)\}")


def latest_text(run: RunOutput) -> str:
    """Return the latest text of the model in a run; empty if it has only called tools."""
    answers = (m for m in reversed(run.messages) if m.role == "assistant" and not m.from_history)
    return next((message.content for message in answers if message.content), "")


def requests_of(run: RunOutput) -> tuple[int, int]:
    """Return how many model requests a run made so far, and how many the runs nested in it."""
    own = sum(m.role == "assistant" and m.metrics is not None and not m.from_history for m in run.messages)
    return own, sum(sum(requests_of(nested)) for nested in run.nested_runs)
