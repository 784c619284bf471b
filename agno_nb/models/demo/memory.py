"""Keep facts about the user with the memory tools that the request offers."""

from __future__ import annotations

import json
import re

from agno_nb.models.demo.arguments import fill, parameters
from agno_nb.models.demo.context import Call, Context, Reply, Turn, listed
from agno_nb.models.demo.schema import as_dict
from agno_nb.models.demo.summary import transcript
from agno_nb.models.demo.tokenizer import content_words, stem, words
from agno_nb.models.demo.tool_results import is_failure
from agno_nb.models.demo.user_facts import Fact, facts, of_the_user, session_state
from agno_nb.types import JsonDict, ToolSpec


def manage_memories(context: Context) -> Reply | None:
    """Do a memory manager's work: add what is new, update what changed, delete what is to be forgotten."""
    add = context.tool("add_memory")
    if add is None or not context.may_call:
        return None
    if context.turn.calls:
        done = sum(1 for call in context.turn.calls if call.result is not None)
        return Reply(text=f"{done} {'memory was' if done == 1 else 'memories were'} changed.", for_program=True)
    turns = transcript(context.prompt) or [Turn(prompt=context.prompt)]
    # What an agent passes on speaks of the user, and what the user says of themselves.
    found = list(dict.fromkeys(fact for turn in turns for fact in facts(turn.prompt) or of_the_user(turn.prompt)))
    known = _stored(context.system)
    calls = [call for fact in found if (call := _keep(context, add, fact, known)) is not None]
    calls += _forget(context, known)
    if not calls:
        return Reply(text="The message says nothing new about the user.", for_program=True)
    return Reply(calls=calls)


def note_facts(context: Context) -> Reply | None:
    """Pass on what the user says of themselves, where the agent has a tool to keep it."""
    tool = context.tool("update", "memory")
    found = facts(context.question)
    if tool is None or not found or not context.may_call:
        return None
    if any(call.name == tool.name for call in context.turn.calls):
        return Reply(text=f"Noted, and passed to `{tool.name}`: {listed([fact.you for fact in found])}.")
    return Reply(calls=[_call(tool, " ".join(fact.user for fact in found), [fact.topic for fact in found])])


def change_state(context: Context) -> Reply | None:
    """Set, or lengthen and shorten, what the session state holds, where the agent has a tool for it."""
    tool = context.tool("update", "state")
    if tool is None or not context.may_call:
        return None
    if context.turn.calls:
        return _changed(tool, context.turn.calls)
    match = re.match(
        r"(?:please )?(?:(?P<set>set|change)|(?P<add>add|put)|(?P<remove>remove|take|delete)) (?P<first>.+?) "
        r"(?:to|on|from|off) (?:my |the )?(?P<second>.+)$",
        context.prompt.strip(" .!"),
        re.IGNORECASE,
    )
    wanted = next((one for one in parameters(tool) if one.type == "object"), None)
    if match is None or wanted is None:
        return None
    state = session_state(context)
    if match["set"]:
        name, value = _key(re.sub(r"^(?:my|the) ", "", match["first"]), state), match["second"].strip("\"'")
        return Reply(calls=[Call(name=tool.name, arguments={wanted.name: {name: value}})])
    name, item = _key(match["second"], state), match["first"].strip("\"'")
    before = state.get(name, [])
    if not isinstance(before, list):
        return None
    after = [*before, item] if match["add"] else [one for one in before if one != item]
    return Reply(calls=[Call(name=tool.name, arguments={wanted.name: {name: after}})])


def _changed(tool: ToolSpec, calls: list[Call]) -> Reply | None:
    """Say what was set, once it was."""
    if any(call.name != tool.name or call.result is None or is_failure(call) for call in calls):
        return None
    made = {
        name: value for call in calls for change in call.arguments.values() for name, value in as_dict(change).items()
    }
    said = [f"`{name}` is now {json.dumps(value, ensure_ascii=False)}" for name, value in made.items()]
    return Reply(text=f"Done: {listed(said)}.") if said else None


def _key(spoken: str, state: JsonDict) -> str:
    """The key of the state that is meant: one that is there, else a new one."""
    said = {stem(word) for word in words(spoken)}
    there = next((key for key in state if {stem(word) for word in words(key)} == said), None)
    return there or "_".join(words(spoken.lower()))


def _keep(context: Context, add: ToolSpec, fact: Fact, known: dict[str, str]) -> Call | None:
    if any(fact.user.rstrip(".").lower() in text.lower() for text in known.values()):
        return None
    update = context.tool("update_memory")
    about = f"the user's {fact.topic} ".lower()
    outdated = next((name for name, text in known.items() if about in f"{text.lower()} "), None)
    if update is None or outdated is None or outdated.startswith("line "):
        return _call(add, fact.user, [fact.topic])
    call = _call(update, fact.user, [fact.topic])
    call.arguments = {**_identified(update, outdated), **call.arguments}
    return call


def _forget(context: Context, known: dict[str, str]) -> list[Call]:
    delete = context.tool("delete_memory")
    match = re.search(r"\b(?:forget|delete|remove)\b (?:that |about |my |the )*(.+)", context.plain)
    if delete is None or match is None:
        return []
    wanted = {stem(word) for word in content_words(match[1])} - {"user"}
    alike = {name: len(wanted & {stem(word) for word in words(text)}) for name, text in known.items()}
    most = max(alike.values(), default=0)
    return [
        Call(name=delete.name, arguments=_identified(delete, name))
        for name, count in alike.items()
        if 0 < count == most and not name.startswith("line ") and _identified(delete, name)
    ]


def _identified(tool: ToolSpec, memory_id: str) -> dict[str, object]:
    name = next((one.name for one in parameters(tool) if "id" in words(one.name.lower())), None)
    return {name: memory_id} if name else {}


def _call(tool: ToolSpec, text: str, topics: list[str]) -> Call:
    """A call that gives `text` to the tool's first text parameter and `topics` to one of that name."""
    wanted = [one for one in parameters(tool) if "id" not in words(one.name.lower())]
    arguments: dict[str, object] = {}
    for one in wanted:
        if one.type == "string" and not arguments:
            arguments[one.name] = text
        elif one.type == "array" and "topics" in one.name:
            arguments[one.name] = list(dict.fromkeys(topics))
    rest = fill(tool, text)
    return Call(name=tool.name, arguments={**{one.name: None for one in rest.missing if not one.required}, **arguments})


def _stored(system: str) -> dict[str, str]:
    """The memories that the system message lists, by their ids; by "line N" where it gives none.

    A list is what has bullets or ids: the rest are instructions, which may hold a memory as an example.
    """
    found = {}
    for place, line in enumerate(system.splitlines()):
        match = re.match(
            r"\s*[-*]?\s*[\[(<]?(?:(?:memory_)?id\s*[=:]\s*)?[\"']?([\w-]{1,64})[\"']?[\])>]?\s*[:,|-]?\s+(.+)",
            line,
            re.I,
        )
        has_id = match is not None and re.search(r"\d|\bid\b", line[: match.start(2)], re.IGNORECASE) is not None
        if match and has_id:
            found[match[1]] = match[2]
        elif re.match(r"\s*[-*]\s", line):
            found[f"line {place}"] = line.strip(" -*")
    return found
