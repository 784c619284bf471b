"""Extractive summaries: what was asked, what was told, which tools answered. Every word of them was said."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from agno_nb.models.demo import schema as schemas
from agno_nb.models.demo.context import ANY_OBJECT, LABEL, NO_ANSWERS, Context, Reply, Turn, listed, quoted
from agno_nb.models.demo.tokenizer import content_words, literals, stem
from agno_nb.models.demo.user_facts import facts

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
        if not conversation:
            return None
        # What is spoken of in the conversation is not what is asked for.
        if _TITLE.search(context.system or context.prompt) and not re.search(
            r"\bsummar", context.system, re.IGNORECASE
        ):
            return Reply(text=title(conversation), for_program=True)
        text = summarise(conversation, _previous(context))[0] if asks_for_summary else None
        return Reply(text=text, for_program=True) if text else None
    is_free = context.output_schema == ANY_OBJECT and asks_for_summary and bool(conversation)
    if "summary" not in properties and not is_free:
        return None
    turns = conversation or context.turns
    text, topics = summarise(turns, _previous(context))
    known = {"summary": text, "topics": topics, "title": title(turns), "session_name": title(turns)}
    value = {"summary": text, "topics": topics} if is_free else schemas.instance(context.output_schema, text, known)
    return Reply(text=json.dumps(value, ensure_ascii=False), for_program=True)


_TITLE = re.compile(
    r"\b(?:name|title)\b.*\b(?:session|conversation|chat)\b|\b(?:session|conversation|chat)\b.*\b(?:name|title)\b", re.I
)
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
    before = _read(previous)
    asked = [turn for turn in turns if not turn.prompt or not facts(turn.prompt)]
    questions = before.questions + [_said(turn.prompt, 100) for turn in asked if turn.prompt.strip()]
    told = list(dict.fromkeys(fact.user for turn in turns for fact in facts(turn.prompt)))
    tools = before.tools + Counter(call.name for turn in turns for call in turn.calls)
    # What they asked about themselves or the conversation is told by the facts and the questions.
    answered = [
        turn
        for turn in asked
        if turn.answer
        and not turn.answer.startswith(NO_ANSWERS)
        and (turn.calls or not re.search(_ABOUT_US, turn.prompt))
    ]
    answers = before.answers + [f"{_ANSWER} {_said(turn.prompt, 60)} was: {_ended(turn.answer)}" for turn in answered]
    sentences = [_shortened(before.told, 2000)] if before.told else []
    if questions:
        left_out = before.left_out + max(len(questions) - MOST_QUESTIONS, 0)
        shown = questions if not left_out else [*questions[: MOST_QUESTIONS - 2], *questions[-2:]]
        sentences.append(f"The user asked {listed([*shown, f'{left_out} more'] if left_out else shown)}.")
    sentences += [sentence for sentence in told[:MOST_QUESTIONS] if sentence not in before.told]
    if tools:
        used = listed([f"{name} ({count} call{'s' * (count > 1)})" for name, count in tools.items()])
        sentences.append(f"Tools used: {used}.")
    return " ".join([*sentences, *answers[-3:]]) or "Nothing was said yet.", topics(turns)


@dataclass(slots=True)
class _Earlier:
    """What a summary of ours says, taken apart again so that the next one is not a chain of sentences."""

    told: str
    questions: list[str] = field(default_factory=list)
    left_out: int = 0
    tools: Counter[str] = field(default_factory=Counter)
    answers: list[str] = field(default_factory=list)


_ANSWER = "The answer to"


def _read(summary: str) -> _Earlier:
    told, *answers = re.split(rf"(?={_ANSWER} \")", summary)
    earlier = _Earlier(told, answers=[answer.strip() for answer in answers])
    if asked := re.search(r'The user asked ((?:"[^"]*"|\d+ more|, | and )+)\. ?', earlier.told):
        earlier.questions = re.findall(r'"[^"]*"', asked[1])
        more = re.search(r"(\d+) more", asked[1])
        earlier.left_out = int(more[1]) if more else 0
        earlier.told = earlier.told.replace(asked[0], "", 1)
    if used := re.search(r"Tools used: ((?:[\w.-]+ \(\d+ calls?\)|, | and )+)\. ?", earlier.told):
        earlier.tools = Counter({name: int(count) for name, count in re.findall(r"([\w.-]+) \((\d+) call", used[1])})
        earlier.told = earlier.told.replace(used[0], "", 1)
    earlier.told = earlier.told.strip()
    return earlier


def _said(text: str, limit: int) -> str:
    return quoted(text.replace('"', "'"), limit)


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
    said = [content_words(turn.prompt) for turn in turns]
    telling = [[word for word in words if word.lower() not in _EMPTY] for words in said]
    spoken = next((words for words in [*telling, *said] if words), ["new", "conversation"])
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
