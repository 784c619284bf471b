"""Extractive summaries: what was asked, what was told, which tools answered. Every word of them was said."""

from __future__ import annotations

import json
import re
from collections import Counter

from agno_nb.models.demo import schema as schemas
from agno_nb.models.demo.context import ANY_OBJECT, LABEL, Context, Reply, Turn, listed, quoted
from agno_nb.models.demo.facts import facts
from agno_nb.models.demo.words import content_words, literals, stem

MOST_QUESTIONS = 6
MOST_TOPICS = 5

_SPEAKER = re.compile(
    r"^\s*(?:[-*>]\s*)?(?:\[|\*\*)?(?P<who>user|human|assistant|ai|model|agent|tool)(?:\]|\*\*)?\s*:"
    r"(?:\*\*)?[ \t]*(?P<said>.*)$",
    re.IGNORECASE,
)


def summary_for_program(context: Context) -> Reply | None:
    """Answer a request for a session's summary, or its title, that a program and not a person made."""
    request = f"{context.system}\n{context.prompt}"
    conversation = transcript(request)
    asks_for_summary = re.search(r"\bsummar(?:y|ise|ize)", request, re.IGNORECASE) is not None
    properties = schemas.as_dict((context.output_schema or {}).get("properties"))
    if context.output_schema is None:
        if asks_for_summary and conversation:
            return Reply(text=summarise(conversation, _previous(context))[0], for_program=True)
        is_title = re.search(r"\b(?:name|title)\b", context.plain + context.system.lower()) and re.search(
            r"\b(?:session|conversation|chat)\b", request, re.IGNORECASE
        )
        return Reply(text=title(conversation), for_program=True) if is_title and conversation else None
    is_free = context.output_schema == ANY_OBJECT and asks_for_summary and bool(conversation)
    if "summary" not in properties and not is_free:
        return None
    turns = conversation or context.turns
    text, topics = summarise(turns, _previous(context))
    known = {"summary": text, "topics": topics, "title": title(turns), "session_name": title(turns)}
    value = {"summary": text, "topics": topics} if is_free else schemas.instance(context.output_schema, text, known)
    return Reply(text=json.dumps(value, ensure_ascii=False), for_program=True)


_ABOUT_US = re.compile(r"\b(?:i|my|me|we|our|you|your)\b", re.IGNORECASE)


def transcript(text: str) -> list[Turn]:
    """Read a conversation that is written out as "User: …", "Assistant: …"."""
    turns: list[Turn] = []
    speaker = ""
    for line in text.splitlines():
        if re.match(r"\s*</?[a-z_]+>\s*$", line):
            speaker = ""
            continue
        said = line.strip()
        if match := _SPEAKER.match(line):
            speaker = "user" if match["who"].lower() in ("user", "human") else match["who"].lower()
            said = match["said"].strip()
            if speaker == "user":
                turns.append(Turn(prompt=""))
        if not turns or not said:
            continue
        if speaker == "user":
            turns[-1].prompt = f"{turns[-1].prompt}\n{said}".strip()
        elif speaker and speaker != "tool":
            turns[-1].answer = f"{turns[-1].answer}\n{said}".replace(LABEL, "").strip()
    return [turn for turn in turns if turn.prompt]


def summarise(turns: list[Turn], previous: str = "") -> tuple[str, list[str]]:
    """Condense turns into a few sentences and topics, on from a `previous` summary."""
    sentences = [_shortened(previous, 600)] if previous else []
    asked = [turn for turn in turns if not turn.prompt or not facts(turn.prompt)]
    questions = [quoted(turn.prompt, 100) for turn in asked if turn.prompt.strip()]
    if len(questions) > MOST_QUESTIONS:
        left_out = len(questions) - MOST_QUESTIONS
        questions = [*questions[: MOST_QUESTIONS - 2], *questions[-2:], f"{left_out} more"]
    if questions:
        sentences.append(f"The user asked {listed(questions)}.")
    told = list(dict.fromkeys(fact.user for turn in turns for fact in facts(turn.prompt)))
    sentences += told[:MOST_QUESTIONS]
    tools = Counter(call.name for turn in turns for call in turn.calls)
    if tools:
        used = listed([f"{name} ({count} call{'s' * (count > 1)})" for name, count in tools.items()])
        sentences.append(f"Tools used: {used}.")
    # What they asked about themselves or the conversation is told by the facts and the questions.
    answered = [turn for turn in asked if turn.answer and (turn.calls or not re.search(_ABOUT_US, turn.prompt))]
    sentences += [f"The answer to {quoted(turn.prompt, 60)} was: {_ended(turn.answer)}" for turn in answered[-3:]]
    return " ".join(sentences) or "Nothing was said yet.", topics(turns)


def topics(turns: list[Turn]) -> list[str]:
    """The words that the user spoke of most, names first."""
    text = ". ".join(turn.prompt for turn in turns)
    counted: Counter[str] = Counter()
    spoken: dict[str, str] = {}
    for turn in turns:
        names = [literal.value for literal in literals(turn.prompt) if literal.kind == "name"]
        for word in [*names, *content_words(turn.prompt)]:
            if len(word) < 3 or word.isdigit() or word.lower() in _EMPTY:
                continue
            counted[stem(word)] += 3 if word in names else 1
            spoken.setdefault(stem(word), word)
    order = {spoken_stem: place for place, spoken_stem in enumerate(spoken)}
    best = sorted(counted, key=lambda one: (-counted[one], order[one]))[:MOST_TOPICS]
    return [spoken[one] for one in best] or content_words(text)[:1]


_EMPTY = frozenset(
    """ask asked question answer conversation summary summarise summarize message first last previous name favourite
    favorite tell love something thing""".split()
)


def title(turns: list[Turn]) -> str:
    """A name of a few words for a conversation."""
    spoken = next((found for turn in turns if (found := content_words(turn.prompt))), ["new", "conversation"])
    text = " ".join(spoken[:5])
    return text[:1].upper() + text[1:60]


def _previous(context: Context) -> str:
    return context.block("summary")


def _ended(text: str) -> str:
    line = _shortened(text, 160)
    return line if line[-1:] in tuple(".!?…") else f"{line}."


def _shortened(text: str, limit: int) -> str:
    rows = [
        re.sub(r"\s*\|\s*", " ", line).strip() + ";" if line.startswith("|") else line for line in text.splitlines()
    ]
    line = " ".join(" ".join(row for row in rows if row.strip(" -:;")).replace("`", "").split()).rstrip(";")
    if len(line) <= limit:
        return line
    cut = line[:limit]
    end = max(cut.rfind(". "), cut.rfind("? "))
    return cut[: end + 1] if end > limit // 2 else cut.rstrip() + "…"
