"""The rules of the demo model, in the order in which they are asked. The first that has a reply gives it.

A rule is a function of the request alone: no clock, no chance, no memory. The same request gets the same reply.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from agno_nb.models.demo import schema as schemas
from agno_nb.models.demo.arguments import MOST_CALLS
from agno_nb.models.demo.arithmetic import calculate, count, go_on_calculating
from agno_nb.models.demo.attachments import name_attachments
from agno_nb.models.demo.context import ANY_OBJECT, LABEL, Context, Reply
from agno_nb.models.demo.history_answers import recall
from agno_nb.models.demo.memory import change_state, manage_memories, note_facts
from agno_nb.models.demo.smalltalk import echo, entertain, greet, introduce, reflect, show_markdown
from agno_nb.models.demo.summary import summary_for_program
from agno_nb.models.demo.team import delegate, report_members
from agno_nb.models.demo.tool_results import (
    compare_earlier_results,
    compare_those,
    describe_frames,
    known_values,
    report_results,
    show_as_table,
)
from agno_nb.models.demo.toolbox import (
    answer_what_was_asked_for,
    ask_for_arguments,
    call_tools,
    follow_up,
    forced_call,
)
from agno_nb.models.demo.user_facts import acknowledge, recall_facts

Rule = Callable[[Context], Reply | None]

RULES: tuple[Rule, ...] = (
    # What a program asks.
    manage_memories,
    summary_for_program,
    # What stands in the context already.
    recall,
    note_facts,
    change_state,
    report_members,
    report_results,
    recall_facts,
    compare_those,
    show_as_table,
    name_attachments,
    # What is no question about anything.
    greet,
    introduce,
    acknowledge,
    entertain,
    # The members of a team, and the user's tools.
    delegate,
    answer_what_was_asked_for,
    go_on_calculating,
    follow_up,
    call_tools,
    compare_earlier_results,
    describe_frames,
    ask_for_arguments,
    # What rules can do by themselves.
    calculate,
    count,
    echo,
    show_markdown,
    reflect,
)

RULES_BEFORE_SCHEMA: tuple[Rule, ...] = (summary_for_program, note_facts, change_state, recall, follow_up, call_tools)
"""Asked for the calls to make before an answer that must follow a schema. What they would say in words is not used."""


def reply(context: Context) -> Reply:
    """Decide what to say or which tools to call."""
    found = _rest_of_what_was_cut_off(context) or _decided(context)
    if context.must_call and not found.calls:
        found = forced_call(context)
    return replace(found, calls=found.calls[: MOST_CALLS if context.parallel_tool_calls else 1])


def _rest_of_what_was_cut_off(context: Context) -> Reply | None:
    """Go on where an answer was cut off, when that is what is asked."""
    if not context.earlier or not context.plain.startswith("you were interrupted. go on"):
        return None
    *before, turn = context.earlier
    whole = _decided(replace(context, turns=[*before, replace(turn, answer="")]))
    return replace(whole, text=whole.text.removeprefix(turn.answer))


def _decided(context: Context) -> Reply:
    if context.output_schema is not None:
        replies = (rule(context) for rule in RULES_BEFORE_SCHEMA)
        usable = (reply for reply in replies if reply and (reply.calls or reply.for_program))
        return next(usable, None) or _structured(context)
    found = next(found for rule in RULES if (found := rule(context)) is not None)
    if found.calls or found.for_program or _has_introduced_itself(context):
        return found
    return Reply(text=f"{found.text}\n\n{LABEL}")


def _has_introduced_itself(context: Context) -> bool:
    # A session whose first turns are only there as a summary was told already.
    return any(turn.answer for turn in context.earlier) or bool(context.block("summary"))


def _structured(context: Context) -> Reply:
    if context.output_schema == ANY_OBJECT:
        said = _decided(replace(context, output_schema=None, tool_choice="none")).text.removesuffix(LABEL).rstrip()
        return Reply(text=json.dumps({"answer": said}, ensure_ascii=False), for_program=True)
    value = schemas.instance(context.output_schema or {}, context.prompt, known_values(context))
    return Reply(text=json.dumps(value, ensure_ascii=False), for_program=True)
