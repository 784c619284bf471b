"""Questions about the conversation itself, answered from the turns that are in the request and from nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from agno_nb.models.demo.arguments import fill
from agno_nb.models.demo.context import LABEL, Call, Context, Reply, Turn, listed, quoted
from agno_nb.models.demo.schema import as_list
from agno_nb.models.demo.summary import summarise
from agno_nb.models.demo.tool_results import parsed

_OPENS = re.compile(
    r"^(?:(?:and|so|ok|okay|now|hey|hi|please|well|but)[\s,]+)*"
    r"(?:what|which|how|repeat|say|remind|tell|can|could|do|did|show|list|give|write|summar|recap|sum|tl)"
)
"""A statement may speak of earlier messages too, and is not asking for them."""

_RECAP = r"(?:summar(?:y|ise|ize)|recap|sum up|tl;?dr)"
_OF_US = r"(?:conversation|session|chat|discussion|talk|so far|we|us|our|this|that|it)"
_MINE = r"^(?=.*\b(?:i|my|me|we|our|conversation|session)\b).*"
_SAID = r"(?:message|question|prompt|request|thing|ask|asked|say|said|tell you|told you|wrote|talk|discuss)"
_SPOKE = r"you (?:just )?(?:say|said|answer|answered|reply|replied|tell me|told me)"
_ANSWER = r"your (?:\w+ )?(?:answer|reply|response|message)"
_ANSWERED = rf"(?:{_SPOKE}|{_ANSWER})"
_ORDINALS = {word: place for place, word in enumerate(("first", "second", "third", "fourth", "fifth"))}
_START = r"(?:first|1st|start|beginning|initially|originally)"
_PREVIOUS = r"(?:last|previous|previously|before|earlier|just|prior|just now)"


_OTHERS = (
    r"\b(?:sessions|conversations|chats)\b"
    r"|\b(?:previous|past|earlier|other|last) (?:session|conversation|chat)\b"
)


def recall(context: Context) -> Reply | None:
    """Answer a question about the conversation."""
    if len(context.plain) > 200 or not _OPENS.match(context.plain):
        return None
    answer = next((answer for pattern, answer in _QUESTIONS if re.search(pattern, context.plain)), None)
    if answer is None:
        return None
    if (sessions := _sessions_from_tools(context)) is not None:
        return Reply(text=_told_sessions(sessions))
    is_of_others = re.search(_OTHERS, context.plain) is not None
    turns = context.earlier or _turns_from_tools(context)
    if (is_of_others or not turns) and (call := _history_call(context, is_of_others)):
        return Reply(calls=[call])
    if not turns and context.turn.calls:
        return None
    return Reply(text=answer(turns, context))


def _history_call(context: Context, is_of_others: bool) -> Call | None:
    """A call of a tool that reads what the context does not show: other sessions, or this one."""
    tool = context.tool("search", "session") if is_of_others else None
    if tool is None and not context.earlier:
        tool = context.tool("chat", "history") or context.tool("history")
    if tool is None or not context.may_call or context.turn.calls:
        return None
    filling = fill(tool, context.prompt)
    return None if filling.missing else Call(name=tool.name, arguments=filling.calls[0])


def _turns_from_tools(context: Context) -> list[Turn]:
    """The turns that a history tool returned, where it returned messages or exchanges."""
    turns: list[Turn] = []
    for call in context.turn.calls:
        value = parsed(call.result or "")
        for message in value if isinstance(value, list) else []:
            if (exchange := _exchange(message)) is not None:
                turns.append(exchange)
            elif not isinstance(message, dict) or not isinstance(content := message.get("content"), str):
                return []
            elif message.get("role") == "user":
                turns.append(Turn(prompt=content))
            elif message.get("role") == "assistant" and turns:
                turns[-1].answer = content
    if turns and turns[-1].prompt == context.prompt:
        turns.pop()
    return turns


def _exchange(value: Any) -> Turn | None:
    if not isinstance(value, dict) or not isinstance(prompt := value.get("user"), str):
        return None
    return Turn(prompt=prompt, answer=str(value.get("assistant") or "").replace(LABEL, "").strip())


def _sessions_from_tools(context: Context) -> list[tuple[str, list[Turn]]] | None:
    """The sessions that a search returned, each with its name or id and how it began; None where none searched."""
    search = next((call for call in context.turn.calls if "session" in call.name and call.result is not None), None)
    found = parsed(search.result or "") if search else None
    if not isinstance(found, list) or any(not isinstance(one, dict) or "runs" not in one for one in found):
        return None
    return [
        (
            str(one.get("session_name") or one.get("session_id")),
            [turn for run in as_list(one["runs"]) if (turn := _exchange(run)) is not None],
        )
        for one in found
    ]


def _told_sessions(sessions: list[tuple[str, list[Turn]]]) -> str:
    if not sessions:
        return "There is no other conversation of yours that I can read."
    lines = [
        f"- `{name}`: you said {listed([quoted(turn.prompt, 100) for turn in turns]) or 'nothing'}."
        for name, turns in sessions
    ]
    count = len(sessions)
    return f"I can read {count} earlier conversation{'s' * (count > 1)} of yours:\n\n" + "\n".join(lines)


def _none(context: Context) -> str:
    if summary := context.block("summary"):
        return f"No earlier message is in my context. The summary of our conversation says: {summary}"
    return "Nothing was said before this: it is the first message in my context."


def _first_question(turns: list[Turn], context: Context) -> str:
    return (
        f"The first thing you said to me, as far as my context goes, was {quoted(turns[0].prompt)}."
        if turns
        else _none(context)
    )


def _last_question(turns: list[Turn], context: Context) -> str:
    return f"Just before this you said {quoted(turns[-1].prompt)}." if turns else _none(context)


def _nth_question(turns: list[Turn], context: Context) -> str:
    ordinal = next(word for word in _ORDINALS if re.search(rf"\b{word}\b", context.plain))
    place = _ORDINALS[ordinal]
    said = [*turns, context.turn]
    if place >= len(said):
        return f"There is no {ordinal} message from you in my context; I see {len(said)}."
    return f"Your {ordinal} message in my context is {quoted(said[place].prompt)}."


def _first_answer(turns: list[Turn], context: Context) -> str:
    return _answer_of(turns[0]) if turns else _none(context)


def _last_answer(turns: list[Turn], context: Context) -> str:
    return turns[-1].answer or _answer_of(turns[-1]) if turns else _none(context)


def _answer_of(turn: Turn) -> str:
    if not turn.answer:
        return f"To {quoted(turn.prompt)} there is no answer in my context."
    return f"To {quoted(turn.prompt)} I answered: {turn.answer}"


def _all_questions(turns: list[Turn], context: Context) -> str:
    if not turns:
        return _none(context)
    lines = [f"{place}. {quoted(turn.prompt)}" for place, turn in enumerate(turns, start=1)]
    return "Before this you said:\n\n" + "\n".join(lines)


def _how_many(turns: list[Turn], context: Context) -> str:
    answers = sum(1 for turn in turns if turn.answer)
    if re.search(r"\bquestions?\b", context.plain):
        asked, said = sum(1 for turn in turns if "?" in turn.prompt), len(turns)
        return f"You asked {asked} question{'s' * (asked != 1)} before this one, in {said} message{'s' * (said != 1)}."
    if re.search(r"\btools?\b", context.plain):
        count = sum(len(turn.calls) for turn in turns)
        return f"I see {count} tool call{'s' * (count != 1)} in my context."
    return (
        f"This is turn {len(turns) + 1} in my context: {len(turns) + 1} message{'s' * (len(turns) > 0)} from you, "
        f"this one included, and {answers} answer{'s' * (answers != 1)} from me."
    )


def _tools_used(turns: list[Turn], context: Context) -> str:
    calls = [call for turn in turns for call in turn.calls]
    if not calls:
        return "No tool call is in my context." if turns else _none(context)
    made = [", ".join(f"{name}={value!r}" for name, value in call.arguments.items()) for call in calls]
    shown = listed([f"`{call.name}({given})`" for call, given in zip(calls[-12:], made[-12:], strict=True)])
    return f"I called {shown}."


def _summary(turns: list[Turn], context: Context) -> str:
    previous = context.block("summary")
    return summarise(turns, previous)[0] if turns or previous else _none(context)


def _other_sessions(turns: list[Turn], context: Context) -> str:
    """Answer a question about other sessions without a tool that reads them."""
    return f"I have no tool to read other conversations. {_summary(turns, context)}"


_QUESTIONS: tuple[tuple[str, Callable[[list[Turn], Context], str]], ...] = (
    (_OTHERS, _other_sessions),
    (rf"\b{_RECAP}\b.*\b{_OF_US}\b|^(?:please )?{_RECAP}(?: please)?$", _summary),
    (r"\bwhat (?:did|have|were) we (?:been )?(?:talk|discuss|cover|speak|chat)|\b(?:we|i) discuss(?:ed)?\b", _summary),
    (
        r"\bhow many (?:turns|questions|messages|times|prompts|tool calls)\b.*\b(?:i|we|you|so far|this|our|there)\b",
        _how_many,
    ),
    (r"\bhow many (?:turns|messages|questions)$|\bwhich turn\b", _how_many),
    (r"\b(?:which|what) tools? (?:did you|have you|were|was) (?:use|used|call|called)", _tools_used),
    (rf"\b{_START}\b.*\b{_ANSWERED}|{_ANSWERED}.*\b{_START}\b", _first_answer),
    (rf"^(?:please )?(?:repeat|say) (?:that|it|this|yourself|{_ANSWER})\b", _last_answer),
    (rf"\bwhat (?:did|was|were|have|had) .*{_ANSWERED}|\bwhat {_ANSWERED}|^(?:say )?what$", _last_answer),
    (rf"{_MINE}\b{_START}\b.*\b{_SAID}\b|{_MINE}\b{_SAID}\b.*\b{_START}\b", _first_question),
    (rf"{_MINE}\b(?:second|third|fourth|fifth)\b (?:\w+ )?{_SAID}\b", _nth_question),
    (rf"{_MINE}\b{_PREVIOUS}\b.*\b{_SAID}\b|{_MINE}\b{_SAID}\b.*\b{_PREVIOUS}\b", _last_question),
    (r"^what (?:was|is) the (?:last|previous) (?:question|message|prompt)\b", _last_question),
    (rf"\bwhat (?:all )?(?:did|have) i (?:already )?(?:just )?{_SAID}\b", _all_questions),
    (r"\b(?:list|show)(?: me)?(?: all)? my (?:questions|messages|prompts)\b", _all_questions),
)
