"""The tools with which the leader of a team gives tasks to its members."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from agno_nb.errors import AgnoNbError, NestedRunPaused, StoreError, failed_save
from agno_nb.run.context import RunContext
from agno_nb.team.members import describe_members
from agno_nb.tools import Tool
from agno_nb.types import RunOutput

if TYPE_CHECKING:
    from agno_nb.agent.agent import Agent
    from agno_nb.team.team import Team

DELEGATE_TO_ONE, DELEGATE_TO_ALL = "delegate_task_to_member", "delegate_task_to_members"


@cache
def delegation_tool(*member_ids: str) -> Tool:
    """Create the tool that delegates a task to one of these members. Its schema lists them."""

    async def delegate_task_to_member(member_id: str, task: str, agent: Any, run_context: Any) -> str:
        """Delegate a task to a member of the team, and get its answer.

        Args:
            member_id: ID of the member.
            task: The task, with everything that the member needs to know.
        """
        run = await agent.run_member(agent.find_member(member_id, run_context), task, run_context)
        return str(run.get_content_as_string())

    delegate_task_to_member.__annotations__["member_id"] = Literal[member_ids]
    return Tool(delegate_task_to_member)


async def delegate_task_to_members(task: str, agent: Any, run_context: Any) -> str:
    """Delegate a task to all members of the team, and get their answers.

    Args:
        task: The task, with everything that the members need to know.
    """
    members = run_context.members
    outcomes = await run_members(agent, [(member, task) for member in members], run_context)
    failures = [each for each in outcomes if isinstance(each, AgnoNbError)]
    if failures and len(failures) == len(outcomes):
        raise failures[0]
    return "\n\n".join(
        f"{member.component_id} failed: {outcome}"
        if isinstance(outcome, AgnoNbError)
        else f"{member.component_id}: {outcome.get_content_as_string()}"
        for member, outcome in zip(members, outcomes, strict=True)
    )


def get_member_information(agent: Any, run_context: Any) -> str:
    """Get the members of the team, with their IDs and roles."""
    return describe_members(agent, run_context.members)


async def run_members(
    team: Team, tasks: Iterable[tuple[Agent, str]], context: RunContext
) -> list[RunOutput | AgnoNbError]:
    """Run tasks with members concurrently, and return the run of each, or its error.

    Raises
    ------
    NestedRunPaused
        A member waits for a person. The other members have finished.
    StoreError
        A run could not be stored.
    """
    unsaved: list[StoreError] = []
    paused: list[NestedRunPaused] = []

    async def run_one(member: Agent, task: str) -> RunOutput | AgnoNbError:
        try:
            return await team.run_member(member, task, context)
        except AgnoNbError as error:
            if (failed := failed_save(error)) is not None:
                unsaved.append(failed)
            return error
        except NestedRunPaused as waiting:
            # The other members continue; the tool ends when all have.
            paused.append(waiting)
            return waiting.run_output

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(run_one(member, task)) for member, task in tasks]
    if unsaved:
        raise unsaved[0]
    if paused:
        raise paused[0]
    return [each.result() for each in running]
