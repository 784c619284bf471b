"""The conversation: what users say about themselves, questions about it, and its summary, title and topics."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from agno_nb.models.demo.arguments import fill_schema, parameters
from agno_nb.models.demo.context import MAX_CHARS, Call, Context, Reply, Turn, listed, quoted
from agno_nb.models.demo.tokenizer import is_content, stem, stems, words
from agno_nb.models.demo.tools import FAILED, parsed
from agno_nb.types import JsonDict, ToolSpec, as_dict, as_list, json_object

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
    if len(context.plain) > 200:
        return None
    is_question = re.match(r"(?:\w+ )?(?:can|did|give|how|list|repeat|show|summar|tell|what|which)", context.plain)
    answer = next((answer for pattern, answer in _QUESTIONS if re.search(pattern, context.plain)), None)
    if not is_question or answer is None:
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
        return _with_unused(context, answer(turns, context), *(pattern for pattern, _ in _QUESTIONS))
    if summary := context.block("summary"):
        return Reply(text=f"The summary of our conversation says: {summary}")
    return None if context.turn.calls else Reply(text="This is the first message that I can see in this session.")


def _with_unused(context: Context, text: str, *known: str) -> Reply:
    """Answer, and name the words of the question that neither the answer nor the rule contains."""
    unused = stems(context.plain) - stems(" ".join([text, "so far called remind remember send", *known]))
    left = dict.fromkeys(quoted(word) for word in words(context.question) if is_content(word) and stem(word) in unused)
    return Reply(text=text + (f"\n\nNot considered: {listed([*left])}." if left else ""))


def _exchange(value: Any) -> Turn | None:
    item = as_dict(value)
    user, answer = item.get("user"), str(item.get("assistant") or "").strip()
    return Turn(prompt=user, answer=answer) if isinstance(user, str) else None


def _past_sessions(sessions: list[dict[str, Any]]) -> str:
    if not sessions:
        return "You have no other sessions that I can read."
    lines = []
    for session in sessions:
        prompts = [quoted(turn.prompt, 100) for turn in map(_exchange, as_list(session["runs"])) if turn]
        lines.append(f"- `{session.get('session_name') or session.get('session_id')}`: you said {listed(prompts)}.")
    return f"I can read {len(sessions)} earlier session{'s' * (len(sessions) > 1)}:\n\n" + "\n".join(lines)


_QUESTIONS: tuple[tuple[str, Callable[[list[Turn], Context], str]], ...] = (
    (r"^(?!.*:).*\b(?:summary|summarise|summarize|recap)\b|"
     r"\bwhat (?:did|have|were) (?:we|i) (?:been )?(?:talk|discuss)|" + _OTHER_SESSIONS.pattern,
     lambda turns, context: summarize(turns, context.block("summary"))),
    (rf"\bhow many\b.*{_SAID}",
     lambda turns, context: f"I can see {len(turns)} earlier message{'s' * (len(turns) > 1)} of yours."),
    (r"\bwhat\b(?=.*\b(?:answer|answered|result)\b).*\b(?:first|last|previous) (?:message|prompt|question)\b",
     lambda turns, context: f"You asked {quoted((it := turns[0 if 'first' in context.plain else -1]).prompt)}, "
     f"and I answered {quoted(it.answer)}."),
    (rf"{_MINE}.*\bfirst\b.*{_SAID}|{_MINE}.*{_SAID}.*\bfirst\b",
     lambda turns, context: f"Your first message that I can see was {quoted(turns[0].prompt)}."),
    (rf"{_MINE}.*\b(?:last|previous)\b.*{_SAID}|\bi\b.*{_SAID}.*\b(?:before|just now|last)\b",
     lambda turns, context: f"Your previous message was {quoted(turns[-1].prompt)}."),
    (r"^(?:please )?repeat (?:that|your)\b|\bwhat (?:did|was) you(?:r last)? (?:answer|say)\b",
     lambda turns, context: turns[-1].answer or "I have not answered yet."),
    (rf"\bwhat (?:did|have) i (?:just )?{_SAID}(?!.*\babout\b)|^(?:list|show)(?: me)? my {_SAID}",
     lambda turns, context: "You said:\n\n" + "\n".join(f"- {quoted(turn.prompt)}" for turn in turns)),
)  # fmt: skip


def summary_for_program(context: Context) -> Reply | None:
    """Write the summary or the title of a transcript, for the request of a program."""
    schema = context.output_schema
    turns = transcript(f"{context.system}\n{context.turn.prompt}")
    asks_for_summary = "summar" in (context.system or context.turn.prompt).lower()
    text = summarize(turns or context.turns, context.block("summary"))
    if schema is None:
        return Reply(text=text if asks_for_summary else title(turns)) if turns else None
    if "summary" not in as_dict(schema.get("properties")) or not (turns or asks_for_summary):
        return None
    topics = subjects(" ".join(turn.prompt for turn in turns))[:5]
    return fill_schema(schema, text, {"summary": text, "topics": topics, "title": title(turns)})


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
            turns[-1].answer = f"{turns[-1].answer}\n{line}".strip()
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
            is_news = " answers:" in turn.answer or " = " in turn.answer
            answer = f" and got the answer {quoted(turn.answer, 160)}" if is_news else ""
            asked.append(f"The user asked {quoted(turn.prompt, 100)}{answer}.")
    return " ".join([told, *asked[-MAX_QUESTIONS:]]).strip() or "Nothing has been said yet."


def subjects(text: str) -> list[str]:
    """The content words of a text in order, without repetition and without the usual ones of an introduction."""
    kept = {stem(word): word for word in reversed(words(text)) if is_content(word)}
    return [word for key, word in reversed(kept.items()) if key not in {"nam", "name", "lik", "like", "favorit"}]


def title(turns: list[Turn]) -> str:
    """A title of at most five words."""
    text = " ".join(next(filter(None, (subjects(turn.prompt) for turn in turns)), ["new", "session"])[:5])
    return text[:1].upper() + text[1:60]


class Fact(NamedTuple):
    """A statement of a user about themselves: "your name is Ada", "The user's name is Ada."."""

    second_person: str
    third_person: str


_STATEMENT = re.compile(
    r"(?i)(?:(?:hi|hello|hey|well|so|ok|oh|and|but|also|please|remember|that|actually|no|now)\b[\s,!:]*)*"
    r"(?:my (?P<noun>[\w' -]{1,60}? (?:is|are) .+)"
    r"|(?:i am|i'm) (?P<being>(?:an?|the|from|\d+)\b.+)"
    r"|i (?:really |also |now )*(?P<negation>do not |don't )?"
    r"(?P<verb>adore|dislike|drive|enjoy|hate|have|like|live|love|own|play|prefer|speak|study|teach|work)"
    r" (?P<object>.+))"
)
_NOTE = re.compile(r"(?:please )?remember:? (?:that )?(.+)", re.IGNORECASE)
_FORGET = re.compile(r"(?i)\b(?:forget|delete|remove) (?:that )?([^.;!?\n]+)")
_ABOUT_USER = re.compile(
    r"^who am i$|\b(?:what|when|where|who|how|which|tell me|remind me|do you know|do you remember)\b.*?"
    r"(?:\bmy (?P<noun>[\w' -]{1,60}?)(?: called)?"
    r"|\b(?:(?:am|do) i|(?:how|what|where|who) i(?: am)?) (?:really |also |now )?(?P<verb>[\w ]{1,60}))$"
)
_CHANGE = re.compile(
    r"(?i)(?:please )?(?P<verb>set|change|add|put|remove|delete) (?:the |my )?(?P<first>.+?) (?:to|on|from) "
    r"(?:the |my )?(?P<second>.+?)[.!]?$"
)


def facts(text: str) -> list[Fact]:
    """The statements of `text` about its author."""
    text = text[:MAX_CHARS].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = re.sub(r"\b(Dr|Mrs?|Ms|Prof|St)\. ", r"\1 ", text)
    sentences = re.findall(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]*)*[.!?]?", text)
    clauses = [
        clause.strip(" .!")
        for sentence in sentences
        if not sentence.endswith("?")
        for clause in re.split(r"(?:,?\s+(?:and|but)\s+|[,;]\s*)(?=(?:i|i'm|my)\b)", sentence, flags=re.IGNORECASE)
    ]
    return [fact for clause in clauses if (fact := _fact(clause)) is not None]


def _fact(clause: str) -> Fact | None:
    match = _STATEMENT.fullmatch(clause)
    if match is None:
        note = _NOTE.fullmatch(clause)
        return Fact(note[1], f"The user asked to remember: {note[1]}.") if note else None
    rest = match["noun"] or match["being"] or match["object"]
    your, their = (re.sub(r"\bmy\b", word, rest, flags=re.IGNORECASE) for word in ("your", "their"))
    if match["noun"]:
        return Fact(f"your {your}", f"The user's {their}.")
    if match["being"]:
        return Fact(f"you are {your}", f"The user is {their}.")
    verb = match["verb"].lower()
    third = {"have": "has", "study": "studies", "teach": "teaches"}.get(verb, f"{verb}s")
    if match["negation"]:
        verb, third = f"do not {verb}", f"does not {verb}"
    return Fact(f"you {verb} {your}", f"The user {third} {their}.")


def note_facts(context: Context) -> Reply | None:
    """Acknowledge facts, and pass them to the agent's memory tool if it has one."""
    found = facts(context.question)
    told, memories = _told(context.prompts_before), _sources(context)["My memories of you say"]
    forgotten = ([fact for fact in known if _forgets(context.question, fact)] for known in (told, memories))
    dropped = next(filter(None, forgotten), [])
    if not (found or dropped) or context.tool("add_memory"):
        return None
    tool = context.tool("update", "memory")
    noted = [f"Noted: {listed([fact.second_person for fact in found])}."] if found else []
    noted += [f"You want me to forget: {listed([fact.rstrip('.') for fact in dropped])}."] if dropped else []
    if tool and context.can_call:
        sentences = [f"Forget that {topic}." for topic in _FORGET.findall(context.question) if dropped]
        return Reply(calls=[_memory_call(tool, " ".join([*sentences, *(fact.third_person for fact in found)]))])
    if tool and tool.name in (call.name for call in context.turn.calls):
        return Reply(text=" ".join([*noted, f"I passed it to `{tool.name}`."]))
    sentences = [sentence for sentence in re.split(r"(?<=[.!?])\s+", context.question) if stems(sentence)]
    is_all = all(facts(sentence) or _FORGET.search(sentence) for sentence in sentences)
    noted += ["I can recall it if later requests contain it."] if found and not told else []
    return Reply(text=" ".join(noted)) if is_all and not context.turn.calls else None


def _told(prompts: list[str]) -> list[str]:
    """The facts in `prompts`, without those that a later one asks to forget."""
    told: list[str] = []
    for text in prompts:
        told = [fact for fact in told if not _forgets(text, fact)] + [fact.second_person for fact in facts(text)]
    return told


def _forgets(text: str, fact: str) -> bool:
    topics = (stems(topic) - {"user"} for topic in _FORGET.findall(text))
    return any(topic and topic <= stems(fact) for topic in topics)


def recall_facts(context: Context) -> Reply | None:
    """Answer a question about the user from their earlier prompts, the state, the memories and the summary."""
    told = _told([*context.prompts_before, context.question])
    if re.search(r"\bwhat (?:do|can) you (?:know|remember) about me$", context.plain):
        known = [f"You told me: {listed(told)}."] if told else []
        known += [f"{source}: {' '.join(sentences)}" for source, sentences in _sources(context).items() if sentences]
        return Reply(text=" ".join(known) or "I know nothing about you.")
    answers, rest = [], []
    for part in re.split(r"[?!.]\s+|,? and (?=(?:what|where|who|how|which|when)\b)", context.plain):
        if match := _ABOUT_USER.search(part):
            # "What is my name and city?" asks for two facts.
            topics = re.split(r",? and (?:my )?", match["noun"]) if match["noun"] else [match["verb"] or "name"]
            answers += [_recall_fact(context, told, topic, "" if match["noun"] else part) for topic in topics]
        elif not facts(part):
            rest.append(quoted(part))
    if answers and rest:
        answers.append(f"Ask the rest separately: {listed(rest)}.")
    elif not answers and (asked := stems(context.plain)):
        # "When is the exam?", after "Remember that the exam is on Friday"; other facts are about the user.
        notes = [fact for fact in told if asked <= stems(fact) and not fact.startswith("you")]
        answers = [f"You told me: {note}." for note in notes[-1:]]
    return _with_unused(context, " ".join(dict.fromkeys(answers))) if answers else None


def _recall_fact(context: Context, told: list[str], topic: str, part: str) -> str:
    known = [(fact, f"You told me: {fact}.") for fact in reversed(told)]
    state = (json_object(context.block("session_state")) or {}).items()
    values = {name: json.dumps(value, ensure_ascii=False) for name, value in state}
    known += [(name, f"The session state says: `{name}` is {value}.") for name, value in values.items()]
    known += [(one, f"{source}: {one}") for source, sentences in _sources(context).items() for one in sentences]
    asked = {stem(word) for word in words(topic)} - {"is", "are", "list"}
    subject = ("" if topic.startswith("the ") else "your ") + topic if not part else quoted(topic)
    seen = f"what you told me: {listed(told[-6:])}" if told else "the part of the session that I can see"
    missing = f"I find nothing about {subject} in {seen}."
    wrote = [text for text in context.prompts_before if (asked | stems(part)) & stems(text) and "?" not in text]
    missing = f"I have no rule that answers this, but you wrote {quoted(wrote[-1])}." if wrote else missing
    return next((answer for text, answer in known if asked <= {stem(word) for word in words(text)}), missing)


def _sources(context: Context) -> dict[str, list[str]]:
    """The sentences of the memories and of the summary."""
    blocks = {"My memories of you say": "memor", "The summary of our conversation says": "summary"}
    lines = {source: re.split(r"\n|(?<=[.!?])\s+", context.block(word)) for source, word in blocks.items()}
    return {source: [line.strip(" -*") for line in found if line.strip(" -*")] for source, found in lines.items()}


def change_state(context: Context) -> Reply | None:
    """Change the session state with the agent's tool for it: "Add eggs to my shopping list"."""
    tool = context.tool("update", "state")
    parameter = next((one.name for one in parameters(tool) if one.type == "object"), None) if tool else None
    if tool is None or parameter is None:
        return None
    done = [call for call in context.turn.calls if call.result is not None and not FAILED.match(call.result)]
    if made := {name: value for call in done for name, value in as_dict(call.arguments.get(parameter)).items()}:
        changes = [f"`{name}` is now {json.dumps(value, ensure_ascii=False)}" for name, value in made.items()]
        return Reply(text=f"Done: {listed(changes)}.")
    match = _CHANGE.fullmatch(context.question)
    if match is None or not context.can_call:
        return None
    state: JsonDict = json_object(context.block("session_state")) or {}
    is_set = match["verb"].lower() in ("set", "change")
    spoken, value = (match["first"], match["second"]) if is_set else (match["second"], match["first"].strip("\"'"))
    key = next((key for key in state if stems(key) == stems(spoken)), "_".join(words(spoken.lower())))
    changed: object = value.strip("\"'")
    if not is_set:
        items = state[key] if isinstance(state.get(key), list) else []
        changed = [item for item in items if item != value] + [value] * (match["verb"].lower() in ("add", "put"))
    return Reply(calls=[Call(name=tool.name, arguments={parameter: {key: changed}})])


def manage_memories(context: Context) -> Reply | None:
    """Do the work of a memory manager: add new facts, replace those that changed, delete those to forget."""
    add, update, delete = (context.tool(f"{verb}_memory") for verb in ("add", "update", "delete"))
    if add is None or update is None:
        return None
    if context.turn.calls:
        return Reply(text=f"Memories changed: {len(context.turn.calls)}.")
    known = dict(re.findall(r"^- \[(\w+)\] (.+)$", context.system, re.MULTILINE))
    # A manager without a tool to delete memories forgets those that are empty.
    calls = [_memory_call(delete or update, "", key) for key, text in known.items() if _forgets(context.question, text)]
    told = _FORGET.sub("", context.question)
    # An agent passes on sentences about "the user"; a user speaks in the first person.
    sentences = re.findall(r"\bthe user\b[^.\n]*\.", told, re.IGNORECASE)
    for sentence in sentences or [fact.third_person for fact in facts(told)]:
        text = sentence[:1].upper() + sentence[1:]
        topic = re.match(r"The user(?:'s (.+?) (?:is|are)\b| (?:does not )?(\w+))", text)
        subject = topic[1] or topic[2] if topic else ""
        old = next((key for key, other in known.items() if other.startswith(f"The user's {subject} ")), None)
        if text.lower() not in (other.lower() for other in known.values()):
            calls.append(_memory_call(update if old else add, text, old, subject))
    return Reply(calls=calls) if calls else Reply(text="There is nothing new about the user.")


def _memory_call(tool: ToolSpec, text: str, memory_id: str | None = None, topic: str = "") -> Call:
    values = {"memory_id": memory_id, "topics": [topic] if topic else None}
    arguments = {one.name: values.get(one.name, text) for one in parameters(tool)}
    return Call(name=tool.name, arguments={name: value for name, value in arguments.items() if value is not None})
