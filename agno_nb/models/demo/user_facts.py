"""What people say about themselves ("my favourite colour is blue"), and where it is looked up again."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass

from agno_nb.models.demo.context import Context, Reply, listed
from agno_nb.models.demo.tokenizer import content_words, stem, words
from agno_nb.types import JsonDict


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that a user said of themselves."""

    topic: str
    """What it is about: "name", "favourite colour", "likes"."""
    value: str
    you: str
    """As told to the user: "your name is Ada"."""
    user: str
    """As told to others: "The user's name is Ada."."""


_GREETING = re.compile(r"^(?:(?:hi|hello|hey|well|so|ok|okay|oh|and|but|also|by the way|please|btw)\b[\s,!]*)+", re.I)
_REMEMBER = re.compile(r"^(?:please\s+)?(?:remember|note|keep in mind|don't forget)(?:\s+that)?[\s:,]+", re.I)
_NAME = r"(?P<value>[^\W\d_][\w'-]*(?: [A-Z][\w'-]*){0,3})"
_THIRD = {"have": "has", "study": "studies", "teach": "teaches"}


def facts(text: str) -> list[Fact]:
    """What `text` says about its author. Questions say nothing.

    >>> [fact.you for fact in facts("Hi, my name is Mark and I like anime. Do you?")]
    ['your name is Mark', 'you like anime']
    """
    text = " ".join(text[:8000].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split(" "))
    sentences = re.findall(r"[^.!?;\n]+(?:[.!?;](?=\S)[^.!?;\n]*)*[.!?;\n]?", text)
    stated = [sentence for sentence in sentences if not sentence.rstrip().endswith("?")]
    clauses = [
        clause
        for sentence in stated
        for clause in re.split(r"(?:,?\s+(?:and|but)\s+|,\s*)(?=(?:i|i'm|my)\b)", sentence, flags=re.IGNORECASE)
    ]
    return [found for clause in clauses if (found := _fact(clause.strip())) is not None]


def of_the_user(text: str) -> list[Fact]:
    """What `text` says about "the user", as an assistant passes it on.

    >>> [fact.user for fact in of_the_user("The user's name is Bo. The user studies their cat.")]
    ["The user's name is Bo.", 'The user studies their cat.']
    """
    first = {third: verb for verb, third in _THIRD.items()} | {"is": "am", "does": "do"}

    def said(match: re.Match[str]) -> str:
        verb = match[1].lower()
        return f"I {first.get(verb) or verb.removesuffix('s')}"

    text = re.sub(r"\bthe user's\b", "my", text[:8000], flags=re.IGNORECASE)
    text = re.sub(r"\bthe user (\w+)", said, text, flags=re.IGNORECASE)
    return facts(re.sub(r"\btheir\b", "my", text, flags=re.IGNORECASE))


def is_only_facts(text: str) -> bool:
    """Whether everything that `text` says is about its author: nothing is asked, nothing is wanted."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if content_words(part)]
    return bool(sentences) and all(facts(sentence) for sentence in sentences)


def _fact(clause: str) -> Fact | None:
    clause = _GREETING.sub("", clause).rstrip(" .!;\n")
    is_asked_for = _REMEMBER.match(clause) is not None
    clause = _REMEMBER.sub("", clause)
    for pattern, read in _STATEMENTS:
        if match := re.match(pattern, clause, re.IGNORECASE):
            return read(match)
    if is_asked_for and clause:
        return Fact("note", clause, _turned(clause, "your"), f"{_turned(clause, 'their')}.")
    return None


def _turned(text: str, whose: str) -> str:
    return re.sub(r"\bmy\b", whose, text, flags=re.IGNORECASE)


def _named(match: re.Match[str]) -> Fact:
    name = match["value"]
    return Fact("name", name, f"your name is {name}", f"The user's name is {name}.")


def _owned(match: re.Match[str]) -> Fact:
    noun, verb, value = match["noun"].strip(), match["verb"].lower(), match["value"]
    if noun.lower() in ("name", "first name"):
        return Fact("name", value, f"your {noun} is {value}", f"The user's {noun} is {value}.")
    said = f"{noun} {verb} {_turned(value, 'your')}"
    return Fact(noun, value, f"your {said}", f"The user's {noun} {verb} {_turned(value, 'their')}.")


def _done(match: re.Match[str]) -> Fact:
    verb, value = match["verb"].lower(), match["value"]
    parts = verb.split(" ", 1)
    third = _THIRD.get(parts[0], parts[0] + "s")
    topic = {"like": "likes", "love": "likes", "enjoy": "likes", "adore": "likes", "prefer": "likes"}.get(
        parts[0], verb
    )
    return Fact(
        topic, value, f"you {verb} {_turned(value, 'your')}",
        f"The user {' '.join([third, *parts[1:]])} {_turned(value, 'their')}.",
    )  # fmt: skip


def _not_liked(match: re.Match[str]) -> Fact:
    value = match["value"]
    return Fact("dislikes", value, f"you do not like {value}", f"The user does not like {value}.")


def _been(match: re.Match[str]) -> Fact:
    value = match["value"]
    topic = "age" if value[0].isdigit() else "home" if value.startswith("from ") else "occupation"
    return Fact(topic, value, f"you are {value}", f"The user is {value}.")


_STATEMENTS = (
    (rf"(?:my name is|my name's|i am called|i'm called|call me)\s+{_NAME}$", _named),
    (r"(?:i am|i'm)\s+(?-i:(?P<value>[A-Z][\w'-]+(?: [A-Z][\w'-]+)?))$", _named),
    (r"my\s+(?P<noun>(?:[\w'-]+\s+){0,3}?[\w'-]+)\s+(?P<verb>is|are|was)\s+(?P<value>.+)", _owned),
    (
        r"i\s+(?:really\s+|also\s+|still\s+)*(?:don't|do not)\s+(?:really\s+)?(?:like|enjoy|love)\s+(?P<value>.+)",
        _not_liked,
    ),
    (
        r"i\s+(?:(?:really|also|still|mostly|usually|do|absolutely)\s+)*"
        r"(?P<verb>like|love|enjoy|prefer|hate|dislike|adore|live in|live near|live at|work as|work at|work for|work in"
        r"|work on|work with|come from|study|speak|play|own|have|drive|teach)"
        r"\s+(?!to know\b|a question\b|to ask\b)(?P<value>.+)",
        _done,
    ),
    (r"(?:i am|i'm)\s+(?P<value>\d+(?: years old)?|(?:a|an|the|from)\s+.+)", _been),
)


def known_facts(context: Context) -> list[Fact]:
    """What the user said of themselves in the turns before this one, newest first."""
    texts = [*(turn.prompt for turn in context.earlier), *context.shown_of_others]
    return [fact for text in reversed(texts) for fact in reversed(facts(text))]


def told(context: Context) -> list[tuple[str, str]]:
    """Sentences about the user that the system message brings, each with where it stands."""
    found = []
    for word, source in (("memor", "My memories of you say"), ("summary", "The summary of our conversation says")):
        lines = (line.strip(" -*\t\r\n") for line in re.split(r"\n|(?<=[.!?])\s+", context.block(word)))
        found += [(source, line.rstrip(".")) for line in lines if line]
    return found


def session_state(context: Context) -> JsonDict:
    """The session state that the system message shows."""
    text = context.block("session_state")
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text[:50_000])
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
    return {}


def acknowledge(context: Context) -> Reply | None:
    """Repeat what somebody says of themselves, so that they see what was understood."""
    if not is_only_facts(context.question):
        return None
    found = facts(context.question)
    greeting = "Hello, and noted" if re.match(r"(?:hi|hello|hey)\b", context.plain) else "Noted"
    later = "" if known_facts(context) else " Ask me about it later in this session."
    return Reply(text=f"{greeting}: {listed([fact.you for fact in found])}.{later}")


_ABOUT_ME = (
    r"(?:what(?:'s| is| was| are| were)|tell me|say|do you (?:know|remember|recall)|remind me(?: of)?)\s+(?:what\s+)?"
    r"(?:is\s+)?my\s+(?P<topic>[\w' -]{1,60}?)(?:\s+(?:is|are|called|named))?$",
    r"what(?:'s| is| are)(?: there)? (?:on|in) my (?P<topic>[\w' -]{1,60})$",
    r"(?P<topic>who) am i$",
    r"what\b[\w ]{0,40}\bdo i (?:also |really )?(?P<topic>like|love|enjoy|prefer|hate|dislike)\b",
    r"where do i (?P<topic>live|work)$|where am i (?P<topic2>living|from)$|where do i come (?P<topic3>from)$",
    r"(?P<topic>how old) am i$|what do i do(?: for a living| for work)?$",
    r"what do i (?P<topic>study|teach|play|speak|own|have|drive)$",
    r"what (?:do|can) you (?:know|remember|recall)(?: about me| of me)?$",
    r"what (?:have i told|did i tell) you about my?self$|what (?:have i told|did i tell) you about me$",
)
_LIKED = {"likes", "loves", "enjoys", "adores", "prefers"}
_TOPICS = {
    "who": {"name"}, "how old": {"age", "old"}, "like": _LIKED, "love": _LIKED, "enjoy": _LIKED, "prefer": _LIKED,
    "hate": {"hate", "dislikes", "dislike"}, "dislike": {"hate", "dislikes", "dislike"},
    "live": {"live", "home", "city", "address"}, "living": {"live", "home"}, "from": {"home", "come", "live"},
    "work": {"work"}, "job": {"work", "occupation", "job"}, "profession": {"work", "occupation"},
}  # fmt: skip


def recall_facts(context: Context) -> Reply | None:
    """Answer "what is my name?" from what the user said, the memories, the summary and the session state."""
    match = next((match for pattern in _ABOUT_ME if (match := re.search(pattern, context.plain))), None)
    if match is None:
        return None
    named = {name: text for name, text in match.groupdict().items() if text}
    topic = named.get("topic") or named.get("topic2") or named.get("topic3") or ""
    if not topic and re.match(r"what do i do", match[0]):
        topic = "job"
    said = known_facts(context)
    if not topic:
        return _everything(said, context)
    fitting = [fact for fact in said if _is_about(fact, topic)]
    if fitting:
        shown = list(reversed(dict.fromkeys(fitting))) if fitting[0].topic in ("likes", "dislikes") else fitting[:1]
        return Reply(text=f"You told me: {listed([fact.you for fact in shown])}.")
    asked = {stem(word) for word in words(topic)}
    for name, value in session_state(context).items():
        if asked & {stem(word) for word in words(name)}:
            return Reply(
                text=f"The session state says: `{name}` is {json.dumps(value, ensure_ascii=False, default=str)}."
            )
    alike = {stem(word) for word in _TOPICS.get(topic, ())} or asked
    for source, sentence in told(context):
        if alike & {stem(word) for word in words(sentence)}:
            return Reply(text=f"{source}: {sentence}.")
    subject = "that" if topic in _TOPICS else f"your {topic}"
    return Reply(text=f"You have not told me {subject}, as far as my context goes{_extent(context)}.")


def _is_about(fact: Fact, topic: str) -> bool:
    about = {stem(word) for word in words(fact.topic)}
    if fact.topic == "note":
        about |= {stem(word) for word in words(fact.value)}
    if alike := _TOPICS.get(topic):
        return bool(about & {stem(word) for word in alike})
    return {stem(word) for word in words(topic)} <= about


def _everything(said: list[Fact], context: Context) -> Reply:
    sentences = [fact.you for fact in reversed(said)]
    found = [f"You told me: {listed(list(dict.fromkeys(sentences)))}."] if said else []
    by_source: dict[str, list[str]] = {}
    for source, text in told(context)[:12]:
        by_source.setdefault(source, []).append(text)
    found += [f"{source}: {'; '.join(texts)}." for source, texts in by_source.items()]
    return Reply(text=" ".join(found) or f"Nothing about you stands in my context{_extent(context)}.")


def _extent(context: Context) -> str:
    count = len(context.earlier)
    return (
        " (this is its first message)"
        if not count
        else f" (it holds {count} earlier message{'s' * (count > 1)} of yours)"
    )
