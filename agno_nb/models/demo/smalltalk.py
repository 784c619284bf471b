"""What is left: greetings, stories, samples of Markdown, and the honest answer that this is beyond rules."""

from __future__ import annotations

import re

from agno_nb.models.demo.context import NO_KNOWLEDGE, Context, Reply, listed, quoted
from agno_nb.models.demo.tokenizer import content_words, stems, words
from agno_nb.models.demo.user_facts import known_facts, session_state

_KINDS = {
    "story": (
        "Every night, {a} counted the lights of the city and came up one short. On the last evening of the year the "
        "missing one was found: it had been glowing in the window behind, all along.",
        "A door stood at the edge of the map, and of all who passed only {a} knocked. Somebody on the other side "
        "knocked back.",
    ),
    "horror": (
        "The note on the desk said that {a} had left at noon. The handwriting was mine, and the ink was still wet.",
        "Something that looked like {a} waved from the window. We have no window.",
    ),
    "joke": (
        "Why did {a} bring a ladder to the data set? Somebody had said that the averages were high.",
        "{A} and a kernel meet in a notebook. Says the kernel: nice to see you, but did you run what is above?",
        "What is the favourite join of {a}? The outer one: nobody is left behind.",
    ),
    "haiku": (
        "{Some} in morning light\na row of numbers, waiting\nsomeone reads it twice",
        "Quiet cells below\n{some} goes by without a sound\nthe kernel listens",
    ),
    "poem": (
        "I asked {a} what it had seen,\nit showed me rows of grey and green,\nand said: to learn what data mean,\n"
        "first look at them, then make them clean.",
    ),
}
_WORDS_OF_KINDS = {
    "haiku": "haiku", "poem": "poem|verse|rhyme|limerick|song", "joke": "joke|pun|funny|laugh",
    "horror": "horror|scary", "story": "story|tale|fable",
}  # fmt: skip
_MORE = re.compile(r"^(?:and |now |tell me |please |give me )*(?:another(?: one)?|one more|again|more)(?: please)?$")


def entertain(context: Context) -> Reply | None:
    """Tell a tiny story, joke or verse out of a template, about the subject that was asked for."""
    kinds: list[str | None] = []
    for turn in context.turns:
        goes_on = _MORE.match(turn.prompt.lower().strip(" .!?")) and kinds
        kinds.append(kinds[-1] if goes_on else _kind(turn.prompt))
    kind = kinds.pop()
    described = [f"{tool.name} {tool.description}" for tool in context.tools]
    if kind is None or any(stems(_WORDS_OF_KINDS[kind]) & stems(tool) for tool in described):
        return None
    subject = next((found for turn in reversed(context.turns) if (found := _subject(turn.prompt))), "a penguin")
    bare = re.sub(r"^(?:an?|the)\s+", "", subject)
    template = _KINDS[kind][kinds.count(kind) % len(_KINDS[kind])]
    for name, value in (("{a}", subject), ("{A}", _capital(subject)), ("{some}", bare), ("{Some}", _capital(bare))):
        template = template.replace(name, value)
    return Reply(text=template)


def _kind(prompt: str) -> str | None:
    text = prompt.lower()[:500]
    if not re.search(r"\b(?:tell|write|share|give|make|compose|create|sing|another|know|a|an|me)\b", text):
        return None
    return next((kind for kind, spoken in _WORDS_OF_KINDS.items() if re.search(rf"\b(?:{spoken})s?\b", text)), None)


def _subject(prompt: str) -> str | None:
    if _kind(prompt) is None:
        return None
    match = re.search(
        r"\b(?:about|on|of|for|featuring|with)\s+((?:(?:an?|the)\s+)?[\w' -]{2,50}?)\s*(?:[.,!?;]|\bin\b|\bwith\b|$)",
        prompt[:500],
    )
    return match[1] if match else None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def show_markdown(context: Context) -> Reply | None:
    """Show a small sample of Markdown, so that it can be seen how a cell renders it."""
    wants = re.search(
        r"\b(?:show|give|write|make|render|create|draw|print|format|need|want|sample|example|some|in|as)\b",
        context.plain,
    )
    said = set(words(context.plain))
    is_whole = bool(said & {"markdown", "formatting"})
    shown = [sample for names, sample in _SAMPLES if is_whole or names & said]
    if not wants or not shown or len(said) > 30:
        return None
    return Reply(text="\n\n".join(["Here is a sample of what a cell can show:", *shown]))


_SAMPLES = (
    (
        {"heading", "headings", "bold", "italic"},
        "## A heading\n\nText can be **bold**, *italic* or `code`, and may [link](https://example.com/).",
    ),
    ({"list", "bullets", "bullet", "checklist"}, "- first point\n- second point\n  - and one below it"),
    (
        {"table", "tables"},
        "| what | symbol | value |\n|---|---|---:|\n| circle | π | 3.14159 |\n| growth | e | 2.71828 |",
    ),
    (
        {"code", "python", "snippet", "function", "script"},
        "```python\ndef mean(values):\n    return sum(values) / len(values)\n```",
    ),
)


def echo(context: Context) -> Reply | None:
    """Say what one is told to say."""
    match = re.match(
        r"\s*(?:please\s+)?(?:say|echo|repeat after me|(?:reply|answer|respond) with)\s*(?::|,)?\s+(.+)",
        context.prompt,
        re.I | re.DOTALL,
    )
    if match is None or any({"say", "echo", "repeat"} & set(words(tool.name.lower())) for tool in context.tools):
        return None
    said = re.sub(r"^(?:only|just|exactly|the words?)\s*:?\s+", "", match[1].strip())
    unquoted = re.fullmatch(r"[\"'“](.*)[\"'”]\s*[.!]?", said, re.DOTALL)
    return Reply(text=unquoted[1] if unquoted else said)


def greet(context: Context) -> Reply | None:
    """Greet back, thank back, part."""
    if _HELLO.fullmatch(context.plain):
        name = next((f", {fact.value}" for fact in known_facts(context) if fact.topic == "name"), "")
        return Reply(text=f"Hello{name}! {_abilities(context)}")
    if _THANKS.fullmatch(context.plain):
        return Reply(text="You are welcome.")
    return Reply(text="Goodbye. The session keeps what we said.") if _GOODBYE.fullmatch(context.plain) else None


_HELLO = re.compile(
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|greetings|howdy)"
    r"(?:[ ,!]+(?:there|again|you|all|demo|agent|world))*"
)
_THANKS = re.compile(
    r"(?:many )?(?:thanks|thank you|thx|cheers|great|nice|cool|perfect|ok|okay|good)"
    r"(?:[ ,!]+(?:a lot|so much|very much|then|thanks|thank you|job|work))*"
)
_GOODBYE = re.compile(r"(?:good ?bye|bye|see you|ciao|good night)(?:[ ,!]+\w+){0,3}")


def introduce(context: Context) -> Reply | None:
    """Say what this is, what it can do, and what its instructions are."""
    if re.search(r"\byour (?:instructions|system (?:message|prompt)|role)\b", context.plain):
        shown = re.sub(r"<([a-z_]+)\b[^<>]*>.*?</\1>", "", context.system[:20_000], flags=re.DOTALL).strip()
        return Reply(text=f"My instructions are {quoted(shown, 600)}." if shown else "I was given no instructions.")
    if re.search(r"\b(?:session state|your state)\b", context.plain):
        parts = [f"`{name}`: {value!r}" for name, value in session_state(context).items()]
        text = f"The session state holds {listed(parts)}." if parts else "No session state is in my context."
        return Reply(text=text)
    if not _WHO.search(context.plain):
        return None
    tools = [f"- `{tool.name}`: {_first_sentence(tool.description)}" for tool in context.tools[:8]]
    offered = "\n\nYour tools:\n\n" + "\n".join(tools) if tools else ""
    return Reply(text=f"I am the demo model: rules, no language model behind them. {_abilities(context)}{offered}")


_WHO = re.compile(
    r"^(?:help|who are you|what are you)\b|\bwhat (?:can|do) you do\b|\bwhat(?:'s| is) your name\b"
    r"|\b(?:which|what) tools\b|\bare you (?:an? )?(?:real|ai|llm|language model|human|bot)"
)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s|\n", text.strip(), maxsplit=1)[0][:160] or "(it does not say what it does)"


def _abilities(context: Context) -> str:
    names = [f"`{tool.name}`" for tool in context.tools[:4]]
    more = len(context.tools) - len(names)
    names += [f"{more} more" + " tools" * (more > 1)] if more > 0 else []
    if not names:
        return "I can recall this conversation, do sums, show Markdown, and call tools once you give me some."
    return f"I can call {listed(names)}, recall this conversation, do sums and show Markdown."


def reflect(context: Context) -> Reply:
    """Say honestly what was understood, and what can be done instead."""
    prompt = context.question
    if not content_words(prompt) and not words(prompt):
        return Reply(text=f"There are no words in your message. {_abilities(context)}")
    if re.match(r"(?:tell me more|more|go on|continue|elaborate)\b", context.plain) and context.earlier:
        return Reply(
            text=f"There is no more behind my rules than my last answer, to {quoted(context.earlier[-1].prompt, 100)}."
        )
    lines = [line for line in prompt.splitlines() if line.strip()]
    beyond = f" (and {len(lines) - 1} more lines)" if len(lines) > 1 else ""
    said = quoted(lines[0] if lines else prompt, 120) + beyond
    if _is_request(prompt):
        return Reply(text=f"{NO_KNOWLEDGE}, so I cannot answer {said}. {_abilities(context)}")
    return Reply(text=f"I read {said}, and will find it again when you ask what you said. {_abilities(context)}")


def _is_request(prompt: str) -> bool:
    return "?" in prompt or bool(_REQUEST & {word.lower() for word in words(prompt)[:2]})


_REQUEST = frozenset(
    """analyse analyze are calculate can compare could describe did do does draw explain find give how is list make plot
    predict search should show suggest tell translate what when where which who why will would write""".split()
)
