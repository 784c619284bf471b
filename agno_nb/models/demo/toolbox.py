"""Which of the user's tools a prompt asks for, and with what."""

from __future__ import annotations

import re

from agno_nb.models.demo import schema as schemas
from agno_nb.models.demo.arguments import MOST_CALLS, WHOLE_PROMPT, fill, parameters, without_defaults
from agno_nb.models.demo.context import Call, Context, Reply, listed
from agno_nb.models.demo.tokenizer import content_words, is_content, mentioned, stem, stems, words
from agno_nb.types import JsonDict, ToolSpec

IN_NAME, IN_VALUES, IN_PARAMETERS, IN_DESCRIPTION = 3.0, 2.5, 2.0, 1.0
ENOUGH = 2.0
"""Evidence that a tool needs: one word of its name, one of its values, or two words of what it says of itself."""

_ASKED = re.compile(r"`(\w[\w.-]*)` needs ")
_FOLLOWS = re.compile(
    r"^(?:and|but|or|also|ok|okay|now|then|so|please)?,?\s*"
    r"(?:and\b|what about|how about|(?:do |now )?(?:the )?same|again|instead|for|with|only|also|plus)?"
)
_QUERY = re.compile(r"\s*(?:select|with|from)\b.+\bfrom\b|\s*(?:describe|summarize)\s+select\b", re.I | re.S)
_GIVES_UP = re.compile(r"^(?:never ?mind|cancel|forget (?:it|that)|nothing|stop|no(?:ne)?|skip (?:it|that))\b")


def call_tools(context: Context) -> Reply | None:
    """Call every tool that the prompt asks for by name or by its words, if it says all that the call needs."""
    if not context.may_call or context.turn.calls:
        return None
    text = context.question
    chosen = matching(context.tools, text)
    filled = [(tool, fill(tool, text, identifiers(context))) for tool in chosen]
    calls = [
        Call(name=tool.name, arguments=without_defaults(tool, arguments))
        for tool, filling in filled
        if not filling.missing
        for arguments in filling.calls
    ]
    return _calling(calls)


def ask_for_arguments(context: Context) -> Reply | None:
    """Ask for what the best matching tool needs and the prompt does not say."""
    if not context.may_call or context.turn.calls:
        return None
    tool = next(iter(matching(context.tools, context.question)), None)
    return _ask(tool, [one.name for one in fill(tool, context.question).missing]) if tool else None


def answer_what_was_asked_for(context: Context) -> Reply | None:
    """Make the call for which the last answer asked something, with what the user says now."""
    asked = _ASKED.search(context.earlier[-1].answer) if context.earlier else None
    tool = next((tool for tool in context.tools if asked and tool.name == asked[1]), None)
    if tool is None or not context.may_call or context.turn.calls:
        return None
    if any(other is not tool for other in matching(context.tools, context.question)[:1]):
        return None
    if _GIVES_UP.match(context.plain):
        return Reply(text=f"Fine, I leave `{tool.name}` alone.")
    before = fill(tool, context.earlier[-1].prompt, identifiers(context))
    now = fill(tool, context.question, identifiers(context))
    names = [one.name for one in before.missing if one.name not in _given(now.calls)]
    said = context.question.strip(" .!?\n")
    is_value = 0 < len(words(said)) <= 4 and is_content(words(said)[0]) and not context.question.rstrip().endswith("?")
    if len(names) == 1 and is_value:
        parameter = next(one for one in before.missing if one.name == names[0])
        if parameter.type == "string" and not parameter.is_closed:
            now.calls = [{**arguments, names[0]: said} for arguments in now.calls]
    given = _given(now.calls)
    if not given & {one.name for one in before.missing}:
        return None
    calls = [without_defaults(tool, {**earlier, **later}) for earlier in before.calls for later in now.calls]
    missing = [one.name for one in before.missing if one.name not in given]
    return _ask(tool, missing) if missing else _calling([Call(name=tool.name, arguments=one) for one in calls])


def follow_up(context: Context) -> Reply | None:
    """Make the calls of an earlier turn again with what is new, for "and Adelie?"."""
    if not context.may_call or context.turn.calls or len(words(context.question)) > 9:
        return None
    opening = _FOLLOWS.match(context.plain)
    is_opened = opening is not None and opening.end() > 0
    offered = {tool.name for tool in context.tools}
    made = ([call for call in turn.calls if call.name in offered] for turn in reversed(context.earlier))
    previous = next((calls for calls in made if calls), None)
    if previous is None or not (is_opened or len(words(context.question)) <= 3):
        return None
    best = next(iter(matching(context.tools, context.question)), None)
    if best and all(call.name != best.name for call in previous) and not fill(best, context.question).missing:
        return None
    rest = context.plain[opening.end() :] if opening else context.plain
    if is_opened and re.fullmatch(r"(?:\W*(?:again|please|do|it|that|the|same|thing|once|more|run|call))*\W*", rest):
        return _calling([Call(name=call.name, arguments=call.arguments) for call in previous])
    calls = [call for earlier in previous for call in _changed(context, earlier)]
    return _calling(calls) if calls else None


def _changed(context: Context, earlier: Call) -> list[Call]:
    tool = next(tool for tool in context.tools if tool.name == earlier.name)
    wanted = parameters(tool)
    sentences = {one.name for one in wanted if set(words(one.name.lower())) & WHOLE_PROMPT}
    found = [
        {name: value for name, value in arguments.items() if name not in sentences}
        for arguments in fill(tool, context.question, identifiers(context)).calls
    ]
    if not any(found):
        # "and adelie?": a word that nothing knows stands for the text that was there before.
        new = [
            word
            for word in content_words(context.question)
            if stem(word) not in stems(f"{tool.name} {tool.description}")
        ]
        texts = [one for one in wanted if isinstance(earlier.arguments.get(one.name), str) and not one.is_closed]
        before = str(earlier.arguments[texts[0].name]) if texts else ""
        if len(new) != len(words(before)) or not new or re.search(r"\bthe\b", context.plain):
            return []
        value = " ".join(new)
        found = [{texts[0].name: value.title() if before.istitle() else value}]
    return [Call(name=tool.name, arguments=without_defaults(tool, {**earlier.arguments, **new})) for new in found]


def forced_call(context: Context) -> Reply:
    """Call a tool because the request insists on one. What the prompt does not say is made up, and says so."""
    tool = next(iter(matching(context.tools, context.question)), context.tools[0])
    told = fill(tool, context.question, identifiers(context)).calls
    made = schemas.instance(tool.parameters or {"type": "object"}, context.question, told[0] if told else {})
    return Reply(calls=[Call(name=tool.name, arguments=schemas.as_dict(made))])


def matching(tools: list[ToolSpec], text: str) -> list[ToolSpec]:
    """The tools that `text` asks for, best first; each has evidence that no better one has."""
    if _QUERY.match(text) and (asked := [tool for tool in tools if "sql" in words(tool.name.lower())]):
        return asked[:1]
    named = [
        tool for tool in tools if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", text) and not tool.name.isalpha()
    ]
    if named:
        return named
    scored = [(evidence(tool, text), tool) for tool in tools]
    scored = [(found, tool) for found, tool in scored if sum(found.values()) >= ENOUGH]
    scored.sort(key=lambda pair: (-sum(pair[0].values()), len(fill(pair[1], text).missing)))
    chosen: list[ToolSpec] = []
    explained: set[str] = set()
    for found, tool in scored:
        if not chosen or sum(weight for word, weight in found.items() if word not in explained) >= ENOUGH:
            chosen.append(tool)
        explained |= found.keys()
    if chosen and any(one.required and set(words(one.name.lower())) & WHOLE_PROMPT for one in parameters(chosen[0])):
        # What it is asked to search for, or to do, is its own business.
        return chosen[:1]
    return chosen


def evidence(tool: ToolSpec, text: str) -> dict[str, float]:
    """What in `text` speaks for `tool`: stems and how much they weigh."""
    said = stems(text)
    weights: dict[str, float] = dict.fromkeys(said & stems(tool.description[:2000]), IN_DESCRIPTION)
    for one in parameters(tool):
        about = {stem(word) for word in words(one.name) if is_content(word)}
        if isinstance(default := one.schema.get("default"), str):
            about |= {stem(word) for word in words(default) if len(word) > 2}
        weights.update(dict.fromkeys(said & about, IN_PARAMETERS))
        for value in mentioned([value for value in one.values if isinstance(value, str)], text):
            weights.update(dict.fromkeys((said & stems(value)) or {stem(value)}, IN_VALUES))
    weights.update(dict.fromkeys(said & stems(tool.name), IN_NAME))
    return weights


def identifiers(context: Context) -> list[str]:
    """Names in snake_case that stand in the prompt, the instructions, what the tools say and earlier results."""
    texts = [context.prompt[:20_000], context.system[:20_000], *(tool.description[:2000] for tool in context.tools)]
    texts += [call.result[:4000] for turn in context.turns[-3:] for call in turn.calls if call.result]
    texts += [str(value) for tool in context.tools for one in parameters(tool) for value in one.values]
    tool_names = {tool.name for tool in context.tools}
    found = [name for text in texts for name in re.findall(r"(?<![\w<])[a-z]+(?:_[a-z0-9]+)+(?![\w>])", text)]
    return [name for name in dict.fromkeys(found) if name not in tool_names]


def _given(calls: list[JsonDict]) -> set[str]:
    return {name for arguments in calls for name in arguments}


def _calling(calls: list[Call]) -> Reply | None:
    distinct: list[Call] = []
    for call in calls:
        if not any(call.same_as(other) for other in distinct):
            distinct.append(call)
    return Reply(calls=distinct) if distinct else None


def _ask(tool: ToolSpec, missing: list[str]) -> Reply:
    by_name = {one.name: one for one in parameters(tool)}
    hints = [
        f"`{name}` can be {listed([str(value) for value in by_name[name].values[:MOST_CALLS]], 'or')}."
        for name in missing
        if by_name[name].values
    ]
    needs = listed([f"`{name}`" for name in missing])
    sentences = [f"`{tool.name}` needs {needs}, which your message does not say, and I do not invent it.", *hints]
    return Reply(
        text=" ".join([*sentences, "What shall I take?" if len(missing) == 1 else "What shall I take for them?"])
    )
