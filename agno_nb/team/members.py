"""The members of a team: their choice by a function, and their description for the leader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agno_nb.agent.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.run.context import RunContext, call_setting
from agno_nb.team.mode import TeamMode
from agno_nb.tools import resolve_tools
from agno_nb.types import with_type

if TYPE_CHECKING:
    from agno_nb.team.team import Team

MemberFactory = Callable[..., Any]
"""A function that returns the members for a run, with the parameters of :func:`~agno_nb.run.context.call_setting`."""

_FORWARDED = "A member knows only what you write in its task."
_UNCHANGED = "A member gets the user's message as it is, instead of the task that you write, so keep that short."

_PROMPTS = {
    TeamMode.coordinate: (
        "You lead a team. Give tasks to its members with the tool delegate_task_to_member, several in one answer if "
        "none needs the result of another. {sees} If no member is needed, answer yourself."
    ),
    TeamMode.route: (
        "You lead a team. Hand the whole request, with what the user wants of the answer, to the member that suits it"
        " best, with the tool delegate_task_to_member. {sees} The user gets the member's answer as it is, so write "
        "nothing besides the call. If no member is needed, answer yourself."
    ),
    TeamMode.broadcast: (
        "You lead a team. Give a task to all of its members at once with the tool delegate_task_to_members. {sees} "
        "Combine their answers into one."
    ),
    TeamMode.tasks: (
        "You lead a team, which works on a list of tasks. Divide the request into tasks with the tool create_task, "
        "each with the member that executes it, and with depends_on only if it needs the result of another task. "
        "Execute them with execute_task, or with execute_tasks_parallel if none needs the result of another. {sees} "
        "Read each result: if a task has failed, set it to pending and execute it again, with the same or another "
        "member. Report what you do yourself with update_task_status. When nothing is left to do, or the goal is out "
        "of reach, call mark_all_complete and then write the answer for the user from the results. If the request "
        "needs no task, answer at once and call mark_all_complete."
    ),
}


def check_members(members: Any) -> None:
    """Raise an InvalidInputError if `members` is not a list of agents and teams with different IDs."""
    if isinstance(members, Agent | str) or not isinstance(members, Sequence):
        raise InvalidInputError(f"members of a team is {members!r}; pass a list of agents and teams")
    for member in members:
        if not isinstance(member, Agent):
            raise InvalidInputError(
                f"{with_type(member)} cannot be a member of a team: members are agents and teams of agno_nb; pass "
                "functions as tools"
            )
    ids = Counter(member.component_id for member in members)
    if duplicates := [each for each, count in ids.items() if count > 1]:
        raise InvalidInputError(f"two members of a team have the ID {duplicates[0]!r}; give each its own name")


async def choose_members(team: Team, factory: MemberFactory, context: RunContext) -> Sequence[Agent]:
    """Call the function that returns the members of a run."""
    members: Sequence[Agent] | None = await call_setting("members", factory, team, context)
    check_members(members or [])
    return members or []


def leader_prompt(team: Team, members: Sequence[Agent]) -> str:
    """Return the part of the leader's system message about the team."""
    if not members:
        return "You lead a team that has no members at present. Answer yourself."
    is_unchanged = team.mode is not TeamMode.tasks and not team.determine_input_for_members
    prompt = _PROMPTS[TeamMode(str(team.mode))].replace("{sees}", _UNCHANGED if is_unchanged else _FORWARDED)
    return f"{prompt}\n{describe_members(team, members)}"


def describe_members(team: Team, members: Sequence[Agent]) -> str:
    """Return the list of members as the leader sees it: a line for each, with the members of inner teams below it."""
    lines = _member_lines(members, with_tools=team.add_member_tools_to_context)
    return "\n".join(["<team_members>", *lines, "</team_members>"])


def _member_lines(members: Iterable[Agent], *, with_tools: bool, indent: str = "") -> Iterator[str]:
    for each in members:
        # The leader cannot call a member of an inner team, and is told its name instead of its ID.
        called = (each.name or each.component_id) if indent else each.component_id
        yield f"{indent}- {called}: {each.role or each.description or each.name or called}"
        if with_tools and (names := resolve_tools(each.listed_tools, tool_cache=each._tool_cache)):
            yield f"{indent}  Tools: {', '.join(names)}"
        inner = [part for part in each.parts if isinstance(part, Agent)]
        yield from _member_lines(inner, with_tools=with_tools, indent=f"{indent}  ")
