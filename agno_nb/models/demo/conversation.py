"""Questions about the conversation, and its summary, title and topics. Everything is quoted from the conversation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from agno_nb.models.demo.arguments import sample
from agno_nb.models.demo.context import LABEL, Call, Context, Reply, Turn, as_dict, as_list, listed, quoted
from agno_nb.models.demo.tokenizer import content_words, stem
from agno_nb.models.demo.tools import parsed
from agno_nb.models.demo.user_facts import facts

MAX_QUESTIONS = 6

_ASKED = re.compile(r'The user asked "[^"]*"(?: and got the answer "[^"]*")?\.')
_SPEAKER = re.compile(r"^(user|human|assistant): ?(.*)$", re.IGNORECASE)
_OTHER_SESSIONS = re.compile(
    r"\b(?:sessions|conversations|chats)\b|\b(?:last|other|past|previous) (?:session|conversation|chat)\b"
)
_SAID = r"\b(?:ask|asked|message|messages|prompt|question|questions|said|say|tell|told|wrote)\b"
_MINE = r"\b(?:i|me|my|our|the|we)\b"


def recall(context: Context) -> Reply | None:
    """Answer a question about the conversation from the turns in the request, or with the agent's history tools."""
    is_question = re.match(
        r"(?:and |so |please )?(?:can|did|give|how|list|repeat|show|summar|tell|what|which)", context.plain
    )
    answer = next((answer for pattern, answer in _QUESTIONS if re.search(pattern, context.plain)), None)
    if not is_question or answer is None or len(context.plain) > 200:
        return None
    results = [parsed(call.result) for call in context.turn.calls]
    sessions = [one for result in results for one in as_list(result) if "runs" in as_dict(one)]
    if sessions or (context.turn.calls and "session" in context.turn.calls[0].name):
        return Reply(text=_past_sessions(sessions))
    turns = context.earlier or [turn for result in results for turn in map(_exchange, as_list(result)) if turn]
    about_others = _OTHER_SESSIONS.search(context.plain) is not None
    tool = context.tool("search", "session") if about_others else None if turns else context.tool("history")
    if tool and context.can_call:
        return Reply(calls=[Call(name=tool.name)])
    if about_others:
        return Reply(text="I have no tool to read other sessions.")
    if turns:
        return Reply(text=answer(turns, context))
    if summary := context.block("summary"):
        return Reply(text=f"The summary of our conversation says: {summary}")
    return None if context.turn.calls else Reply(text="This is the first message that I can see in this session.")


def _exchange(value: Any) -> Turn | None:
    item = as_dict(value)
    if not isinstance(item.get("user"), str):
        return None
    return Turn(prompt=item["user"], answer=str(item.get("assistant") or "").replace(LABEL, "").strip())


def _past_sessions(sessions: list[dict[str, Any]]) -> str:
    if not sessions:
        return "You have no other sessions that I can read."
    lines = []
    for session in sessions:
        prompts = [quoted(turn.prompt, 100) for turn in map(_exchange, as_list(session["runs"])) if turn]
        lines.append(f"- `{session.get('session_name') or session.get('session_id')}`: you said {listed(prompts)}.")
    return f"I can read {len(sessions)} earlier session{'s' * (len(sessions) > 1)}:\n\n" + "\n".join(lines)


_QUESTIONS: tuple[tuple[str, Callable[[list[Turn], Context], str]], ...] = (
    (
        r"\b(?:summary|summari[sz]e|recap)\b|\bwhat (?:did|have|were) (?:we|i) (?:been )?(?:talk|discuss)|"
        + _OTHER_SESSIONS.pattern,
        lambda turns, context: summarize(turns, context.block("summary")),
    ),
    (rf"{_MINE}.*\bfirst\b.*{_SAID}|{_MINE}.*{_SAID}.*\bfirst\b",
     lambda turns, context: f"Your first message that I can see was {quoted(turns[0].prompt)}."),
    (rf"{_MINE}.*\b(?:last|previous)\b.*{_SAID}|\bi\b.*{_SAID}.*\b(?:before|just now|last)\b",
     lambda turns, context: f"Your previous message was {quoted(turns[-1].prompt)}."),
    (r"^(?:please )?repeat (?:that|your)\b|\bwhat (?:did|was) you(?:r last)? (?:answer|say)\b",
     lambda turns, context: turns[-1].answer or "I have not answered yet."),
    (rf"\bwhat (?:did|have) i (?:just )?{_SAID}|^(?:list|show)(?: me)? my {_SAID}",
     lambda turns, context: "You said:\n\n" + "\n".join(f"- {quoted(turn.prompt)}" for turn in turns)),
)  # fmt: skip


def summary_for_program(context: Context) -> Reply | None:
    """Write the summary or the title of a transcript, for the request of a program."""
    schema = context.output_schema
    turns = transcript(f"{context.system}\n{context.turn.prompt}")
    asks_for_summary = "summar" in (context.system or context.turn.prompt).lower()
    text = summarize(turns or context.turns, context.block("summary"))
    if schema is None:
        return Reply(text=text if asks_for_summary else title(turns), is_for_program=True) if turns else None
    if "summary" not in as_dict(schema.get("properties")):
        return None
    topics = subjects(" ".join(turn.prompt for turn in turns))[:5]
    value = sample(schema, text, {"summary": text, "topics": topics, "title": title(turns)})
    return Reply(text=json.dumps(value, ensure_ascii=False), is_for_program=True)


def transcript(text: str) -> list[Turn]:
    """Read a conversation written as "User: …" and "Assistant: …"."""
    turns: list[Turn] = []
    speaker = ""
    for line in text.splitlines():
        if match := _SPEAKER.match(line.strip()):
            speaker, line = match[1].lower(), match[2]
            if speaker != "assistant":
                turns.append(Turn(prompt=""))
        elif re.fullmatch(r"\s*</?[a-z_]+>\s*", line):
            speaker = ""
        if turns and speaker == "assistant":
            turns[-1].answer = f"{turns[-1].answer}\n{line}".replace(LABEL, "").strip()
        elif turns and speaker:
            turns[-1].prompt = f"{turns[-1].prompt}\n{line}".strip()
    return [turn for turn in turns if turn.prompt]


def summarize(turns: list[Turn], previous: str = "") -> str:
    """Summarize turns in a few sentences, which continue the `previous` summary."""
    asked = _ASKED.findall(previous)
    told = " ".join(_ASKED.sub("", previous).split())
    for turn in turns:
        if found := facts(turn.prompt):
            told = " ".join([told, *(fact.third_person for fact in found if fact.third_person not in told)]).strip()
        else:
            # Only the results of tools and sums are news; the rest is about the conversation itself.
            is_result = " answers:" in turn.answer or " = " in turn.answer
            answer = f" and got the answer {quoted(turn.answer, 160)}" if is_result else ""
            asked.append(f"The user asked {quoted(turn.prompt, 100)}{answer}.")
    return " ".join([told, *asked[-MAX_QUESTIONS:]]).strip() or "Nothing has been said yet."


def subjects(text: str) -> list[str]:
    """The content words of a text, without the usual ones of an introduction."""
    return [word for word in content_words(text) if stem(word) not in {"nam", "name", "lik", "like", "favorit"}]


def title(turns: list[Turn]) -> str:
    """A title of at most five words."""
    text = " ".join(next(filter(None, (subjects(turn.prompt) for turn in turns)), ["new", "session"])[:5])
    return text[:1].upper() + text[1:60]
