"""How the demo model leads a team: each part of a prompt goes to the member whose role has words of it."""

from __future__ import annotations

import re

from agno_nb.models.demo.context import LABEL, Call, Context, Reply
from agno_nb.models.demo.tokenizer import stems, words

ONE, ALL = "delegate_task_to_member", "delegate_task_to_members"

_PARTS = re.compile(
    r"(?<=[.?!;])\s+"
    r"|,?\s+(?:and|then|and then)\s+(?=(?:how|what|who|when|where|which|why|is|are|do|does|can|write|list|find|count"
    r"|compute|calculate|compare|show|tell|describe|say|give|draw|name|ask)\b)",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"^(?:and|but|also|again|what about|how about|the same)\b", re.IGNORECASE)


def delegate(context: Context) -> Reply | None:
    """Give the prompt, or its parts, to the members that have to do with it."""
    if not context.may_call or context.turn.calls:
        return None
    offered = {tool.name for tool in context.tools}
    if ALL in offered:
        return Reply(calls=[Call(name=ALL, arguments={"task": context.question})])
    if ONE not in offered:
        return None
    calls = [Call(name=ONE, arguments={"member_id": who, "task": what}) for who, what in _tasks(context)]
    return Reply(calls=calls) if calls else None


def report_members(context: Context) -> Reply | None:
    """Tell what the members said, each under its name."""
    calls = context.turn.calls
    if not calls or any(call.name not in (ONE, ALL) or call.result is None for call in calls):
        return None
    said = []
    for call in calls:
        text = re.sub(r"\n{3,}", "\n\n", (call.result or "").replace(LABEL, "")).strip()
        if call.name == ALL:
            said.append(re.sub(r"^([\w-]+): ", r"**\1**: ", text, flags=re.MULTILINE))
        else:
            said.append(f"**{call.arguments.get('member_id')}**: {text}")
    return Reply(text="\n\n".join(said))


def _tasks(context: Context) -> list[tuple[str, str]]:
    members = dict(re.findall(r"^- ([^:\n]+): (.*)$", context.block("team_members"), re.MULTILINE))
    tasks: dict[str, list[str]] = {}
    last: str | None = None
    unclaimed = ""
    for part in _PARTS.split(context.question):
        said = stems(part)
        scores = {who: len(said & stems(f"{' '.join(words(who))} {role}")) for who, role in members.items()}
        best = max(scores, key=lambda who: scores[who], default=None)
        if best is not None and scores[best] > 0:
            last = best
        if last is None:
            # Who it is for is said by a later part.
            unclaimed = f"{unclaimed} {part}".strip()
        else:
            tasks.setdefault(last, []).append(f"{unclaimed} {part}".strip())
            unclaimed = ""
    if len(tasks) == 1:
        return [(who, context.question) for who in tasks]
    if not tasks and _GOES_ON.match(context.plain):
        # "And tomorrow?" is for whoever was asked before.
        before = next((turn.calls for turn in reversed(context.earlier) if turn.calls), [])
        tasks = {str(call.arguments.get("member_id")): [context.question] for call in before if call.name == ONE}
    return [(who, " ".join(parts)) for who, parts in tasks.items() if who in members]
