"""Choose tools for a prompt by the words that they have in common, and report the results."""

from __future__ import annotations

import json
import re
from typing import Any

from agno_nb.models.demo.arguments import MAX_CALLS, SQL, Parameter, fill, parameters
from agno_nb.models.demo.context import MAX_CHARS, Call, Context, Reply, listed, quoted
from agno_nb.models.demo.tokenizer import is_content, mentioned, stem, stems, words
from agno_nb.types import JsonDict, ToolSpec, shorten

IN_NAME, IN_VALUES, IN_PARAMETERS, IN_DESCRIPTION = 3.0, 2.5, 2.0, 1.0
ENOUGH = 2.0
"""The sum of weights from which a tool counts as meant: one word of its name, or two of its description."""
MAX_RESULT_CHARS, MAX_PHRASES = 1500, 6
DELEGATE_TO_ONE, DELEGATE_TO_ALL = "delegate_task_to_member", "delegate_task_to_members"

_ASKED = re.compile(r"^`(\w[\w.-]*)`[^`]* needs `(\w+)`")
_FOLLOWS = re.compile(r"^(?:and|again|also|but|now|or|so|then|the same|what about|how about)\b")
_COMPARING = {"both", "cheaper", "cheapest", "each", "every"}
_LIMITS = {
    "how many",
    *"above after before below few most no not only over tomorrow under until why without".split(),
    *_COMPARING,
}
"""Stop words that change what is asked for."""
REPEAT = re.compile(r"(?:please )?repeat (?:after me|the (?:text|sentence|words?)|this:)(?!\w)")
_CHANGES = set(
    "add book buy cancel change clear create delete drop move order refund remove save schedule send set".split()
)
_REFUSED = re.compile(r"The user refused this call, and it was not carried out\.\s*(?:They say: )?")
_NEGATION = re.compile(r"\b(?:not?|without|except|excluding|neither|nor|unless|other than|\w+n't)\b", re.IGNORECASE)
_UNUSED = re.compile(r"n(?:f*[uln])*(?:f*k)?|[ul](?:f*[uln])*(?:(?<=[ln])f*k)?")
_FILLERS = set("calculate compare compute current describe display live number question result table value".split())
FAILED = re.compile(r"[\w.]*(?:Error|Exception)\b\s*[:(]|(?i:error|failed|traceback)\b[^\n:]{0,40}:")
_PARTS = re.compile(
    r"(?i)(?<=[.?!;])\s+|(?:,\s+|,?\s+(?:and|then)\s+)"
    r"(?=(?:how|what|who|when|where|which|why|is|are|do|does|can|write|list|find|count|compare|show|tell|describe)\b)"
)


def call_tools(context: Context) -> Reply | None:
    """Call the tools that the prompt is about if it has all required arguments, else ask for them."""
    if not context.can_call or REPEAT.match(context.plain):
        return None
    text, chosen = context.question, matching_tools(context.tools, context.question)
    asked = _ASKED.match(context.earlier[-1].answer) if context.earlier else None
    if asked and ("?" not in text or len(words(text)) <= 3) and all(tool.name == asked[1] for tool in chosen):
        # The prompt answers what the last answer asked for.
        answer = f'{asked[2]}: "{text}"' if len(words(text)) <= 3 else text
        chosen = [tool for tool in context.tools if tool.name == asked[1]]
        text = f"{context.earlier[-1].prompt}\n{answer}"
    # "Weather in Oslo and how much is tea?" has a city for one tool and an item for the other.
    calls = _in_parts(chosen if asked else context.tools, text) or _calls(chosen, text)
    if calls or not chosen:
        return _unless_negated(context, calls) if calls else None
    found, missing = fill(chosen[0], text)
    found_calls = [_call(chosen[0], one) for one in found]
    return _with_unused(context, found_calls, f"{_heading(found_calls[0])} {_ask_for(chosen[0], missing)}")


def _in_parts(tools: list[ToolSpec], text: str) -> list[Call]:
    """The calls for the parts of a prompt; none if a part has none."""
    calls: list[Call] = []
    for part in _PARTS.split(text):
        if not (new := _calls(matching_tools(tools, part), part)):
            return []
        for call in new:
            # "How many male ones on Dream, and how many female?" is about Dream twice.
            if not stems(part) - {"count"} - stems(" ".join(map(str, call.arguments.values()))):
                call.arguments = {one.name: one.arguments for one in calls}.get(call.name, {}) | call.arguments
            calls += [call] if call not in calls else []
    return calls


def _calls(tools: list[ToolSpec], text: str) -> list[Call]:
    filled = [(tool, *fill(tool, text)) for tool in tools]
    if not filled or filled[0][2]:
        return []
    return [_call(tool, arguments) for tool, found, missing in filled if not missing for arguments in found]


def _unless_negated(context: Context, calls: list[Call]) -> Reply:
    """Make the calls, unless the prompt excludes something that they would not exclude."""
    if negated := [phrase for phrase in unused(context, calls) if _NEGATION.search(phrase)]:
        names = listed(list(dict.fromkeys(f"`{call.name}`" for call in calls)))
        return Reply(text=f"I did not call {names}: no argument expresses {listed([*map(quoted, negated)])}.")
    return Reply(calls=calls)


def unused(context: Context, calls: list[Call]) -> list[str]:
    """The phrases of the prompt that are neither about the called tools nor among their arguments."""
    offered = {tool.name: tool for tool in context.tools}
    if any(call.name not in offered or call.name in (DELEGATE_TO_ONE, DELEGATE_TO_ALL) for call in calls):
        return []
    known, used = set[str](), set[str]()
    for call in calls:
        about = f"{call.name} {offered[call.name].description}"
        values = json.dumps(call.arguments, ensure_ascii=False)
        defaults = [one.schema.keys.get("default") for one in parameters(offered[call.name])]
        known |= {stem(word) for word in words(f"{about} {defaults}") if word.lower() not in _LIMITS}
        known |= {"how many"} if re.search("(?i)count|how many|number|total", about) else set()
        known |= _LIMITS if False in call.arguments.values() else set()
        used |= {stem(word) for word in [*words(values), *re.findall(r"[^\W_]+", values)]}
    known |= used
    if len({call.name for call in calls}) < len(calls):
        used = known = known | _COMPARING
    text = context.question[:MAX_CHARS].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    phrases = []
    for clause in re.split(r"[.?!;](?:\s+|$)", re.sub(r"(?<=\d),(?=\d{3})|(?<=\.\d)0+\b", "", text)):
        clause = re.sub(r"(?i)\bonly (?:the )?(?=(\w+))", lambda it: "" if stem(it[1]) in used else it[0], clause)
        found = list(re.finditer(r"how many\b|[^\W_]+(?:'[a-z]+)?", clause, re.IGNORECASE))
        spoken = [match[0].lower() for match in found]
        # "By island" is expressed by an argument, not by the description of the tool.
        pairs = zip(["", *spoken], spoken, strict=False)
        kinds = "".join(_kind(word, used if before in ("by", "per") else known) for before, word in pairs)
        phrases += [clause[found[run.start()].start() : found[run.end() - 1].end()] for run in _UNUSED.finditer(kinds)]
    return phrases


def _kind(word: str, known: set[str]) -> str:
    """Classify a word: n for a negation, l for a limit, k for a known word, u for an unknown one, f for a filler."""
    if word in _LIMITS or _NEGATION.fullmatch(word):
        return "f" if word in known else "n" if _NEGATION.fullmatch(word) else "l"
    return "f" if word in _FILLERS or not is_content(word) else "k" if stem(word) in known else "u"


def follow_up(context: Context) -> Reply | None:
    """Repeat earlier calls with new arguments: "and Adelie?"."""
    is_short = len(words(context.question)) <= 3 and "?" in context.question
    if not context.can_call or not (is_short or _FOLLOWS.match(context.plain)):
        return None
    offered = {tool.name: tool for tool in context.tools}
    made = ([call for call in turn.calls if call.name in offered] for turn in reversed(context.earlier))
    previous = next((calls for calls in made if calls), [])
    best = next(iter(matching_tools(context.tools, context.question)), None)
    # "And Gentoo?" is about the tool of the last question, even if another one has Gentoo among its values.
    is_sure = best and _by_words(_evidence(best, context.question)) >= ENOUGH
    if best and (is_sure or not previous) and all(call.name != best.name for call in previous):
        return None
    calls: list[Call] = []
    for earlier in previous:
        tool = offered[earlier.name]
        sentences = {one.name for one in parameters(tool) if one.takes_sentence}
        texts = (context.question, _FOLLOWS.sub("of", context.plain) if is_short else "")
        for arguments in next((found for text in texts if any(found := fill(tool, text)[0])), [{}]):
            new = {name: value for name, value in arguments.items() if name not in sentences}
            call = _call(tool, {**earlier.arguments, **new})
            if call not in calls and (new or re.search(r"\b(?:again|same)\b", context.plain)):
                calls.append(call)
    return _unless_negated(context, calls) if calls else None


def matching_tools(tools: list[ToolSpec], text: str) -> list[ToolSpec]:
    """The tools that `text` is about, best first. Each has words in common with it that the better ones don't."""
    if SQL.match(text.lstrip()) and (for_sql := [tool for tool in tools if "sql" in words(tool.name.lower())]):
        return for_sql[:1]
    named = [tool for tool in tools if re.search(rf"(?<!\w){re.escape(tool.name)}(?:\(|(?<=_\w)\b)", text)]
    if named:
        return named
    # "Which lessons are on Monday?" does not mean delete_lesson.
    changes = {tool.name: {stem(word) for word in words(tool.name.lower())[:1] if word in _CHANGES} for tool in tools}
    tools = [tool for tool in tools if changes[tool.name] <= {stem(word) for word in words(text)}]
    scored = [(tool, found) for tool in tools if sum((found := _evidence(tool, text)).values()) >= ENOUGH]
    scored.sort(key=lambda pair: (-_by_words(pair[1]), -sum(pair[1].values()), len(fill(pair[0], text)[1])))
    chosen: list[ToolSpec] = []
    explained: set[str] = set()
    for tool, found in scored:
        if not chosen or _by_words({word: found[word] for word in found.keys() - explained}) >= ENOUGH:
            chosen.append(tool)
        explained |= found.keys()
    # The words of a sentence that is passed on are not about other tools.
    passes_on = chosen and any(one.required and one.takes_sentence for one in parameters(chosen[0]))
    return chosen[:1] if passes_on else chosen


def _evidence(tool: ToolSpec, text: str) -> dict[str, float]:
    """The stems that `text` and `tool` have in common, with their weights."""
    said = stems(text)
    weights = dict.fromkeys(said & stems(tool.description[:2000]), IN_DESCRIPTION)
    for one in parameters(tool):
        weights.update(dict.fromkeys(said & stems(one.name), IN_PARAMETERS))
        for value in mentioned([value for value in one.schema.choices if isinstance(value, str)], text):
            weights.update(dict.fromkeys((said & stems(value)) or {stem(value)}, IN_VALUES))
    return {**weights, **dict.fromkeys(said & stems(tool.name), IN_NAME)}


def _by_words(evidence: dict[str, float]) -> float:
    return sum(weight for weight in evidence.values() if weight != IN_VALUES)


def _call(tool: ToolSpec, arguments: JsonDict) -> Call:
    """A call without the arguments that are the tool's defaults anyway."""
    defaults = [(one.name, one.schema.keys["default"]) for one in parameters(tool) if "default" in one.schema.keys]
    return Call(name=tool.name, arguments=dict(item for item in arguments.items() if item not in defaults))


def _ask_for(tool: ToolSpec, missing: list[Parameter]) -> str:
    names = listed([f"`{one.name}`" for one in missing])
    choices = {one.name: listed([*map(str, one.schema.choices[:MAX_CALLS])]) for one in missing}
    hints = [f" `{name}` can be {values}." for name, values in choices.items() if values]
    if "sql" in words(tool.name.lower()):
        hints = [" I cannot write SQL; send a `SELECT` statement."]
    return f"needs {names}, which I do not find in your message.{''.join(hints)}"


def report_results(context: Context) -> Reply | None:
    """Report the results of this turn's calls as they are, and the parts of the prompt that they don't consider."""
    done = [call for call in context.turn.calls if call.result is not None]
    return _with_unused(context, done, "\n\n".join(map(_report, done))) if done else None


def _with_unused(context: Context, calls: list[Call], text: str) -> Reply:
    found = list(dict.fromkeys(quoted(re.sub(r"[`*]", "", phrase), 80) for phrase in unused(context, calls)))
    if found:
        more = [f"{len(found) - MAX_PHRASES} more"] if len(found) > MAX_PHRASES else []
        text += f"\n\nNot considered: {listed([*found[:MAX_PHRASES], *more])}."
    return Reply(text=text)


def _report(call: Call) -> str:
    text, value = (call.result or "").strip(), parsed(call.result)
    if call.name == DELEGATE_TO_ONE:
        return f"**{call.arguments.get('member_id')}**: {text}"
    if call.name == DELEGATE_TO_ALL:
        return re.sub(r"^([\w-]+): ", r"**\1**: ", text, flags=re.MULTILINE)
    heading = _heading(call)
    if refused := _REFUSED.match(text):
        return f"{heading} was not called, because you rejected it: {text[refused.end() :]}".rstrip(": ")
    if FAILED.match(text):
        return f"{heading} failed: {_short(text, MAX_RESULT_CHARS)}"
    if isinstance(value, dict) and value and not any(isinstance(part, dict | list) for part in value.values()):
        new = dict(item for item in value.items() if item not in call.arguments.items()) or value
        return f"{heading} answers: {', '.join(f'{name} {_short(part)}' for name, part in new.items())}."
    if "\n" in text:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
        return f"{heading} answers:\n\n{fence}text\n{text[:MAX_RESULT_CHARS]}\n{fence}"
    return f"{heading} answers: {_short(text, MAX_RESULT_CHARS) or 'nothing'}"


def _heading(call: Call) -> str:
    arguments = ", ".join(f"{name} {_short(value)}" for name, value in call.arguments.items())
    return f"`{call.name}` ({arguments})" if arguments else f"`{call.name}`"


def parsed(result: str | None) -> Any:
    """The value of a result written as JSON; else its text."""
    text = (result or "").strip()
    try:
        return json.loads(text, parse_constant=str) if text[:1] in ("{", "[") else text
    except (ValueError, RecursionError):
        return text


def _short(value: Any, max_chars: int = 60) -> str:
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str), max_chars)


def delegate(context: Context) -> Reply | None:
    """Delegate the prompt, or its parts, to the team members whose roles share words with it."""
    offered = {tool.name for tool in context.tools} if context.can_call else set()
    if DELEGATE_TO_ALL in offered:
        return Reply(calls=[Call(name=DELEGATE_TO_ALL, arguments={"task": context.question})])
    if DELEGATE_TO_ONE not in offered:
        return None
    members = dict(re.findall(r"^- ([^:\n]+): (.*)$", context.block("team_members"), re.MULTILINE))
    tasks: dict[str, list[str]] = {}
    chosen = ""
    for part in _PARTS.split(context.question):
        scores = {who: len(stems(part) & stems(f"{who} {role}")) for who, role in members.items()}
        best = max(scores, key=lambda who: scores[who], default=None)
        chosen = best if best and scores[best] else chosen
        tasks[chosen] = [*tasks.get(chosen, tasks.pop("", [])), part]
    tasks.pop("", None)
    texts = {who: context.question if len(tasks) == 1 else " ".join(parts) for who, parts in tasks.items()}
    if not tasks and _FOLLOWS.match(context.plain):
        # "And tomorrow?" is for the members of the previous turn.
        before = next((turn.calls for turn in reversed(context.earlier) if turn.calls), [])
        asked = [str(call.arguments.get("member_id")) for call in before if call.name == DELEGATE_TO_ONE]
        texts = {who: context.question for who in asked if who in members}
    calls = [Call(name=DELEGATE_TO_ONE, arguments={"member_id": who, "task": task}) for who, task in texts.items()]
    return Reply(calls=calls) if calls else None
