"""Teams: an agent whose tools are its members.

The leader is an agent with all of an agent's parameters, and delegates tasks to its members with a tool. A member's
work is a run of its own, nested in the leader's: in the same session, stored with it and cancelled with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.agent import ALIASES, DEPRECATED, Agent, RunOutput, RunResponse
from agno_nb.agent.model_calls import ModelCaller
from agno_nb.errors import AgnoNbError, InvalidInputError, NestedRunPaused, StoreError, failed_save
from agno_nb.models.base import Model
from agno_nb.run.context import RunContext
from agno_nb.run.continue_run import last_assistant_message
from agno_nb.tools import Tool
from agno_nb.tools.history import previous_turns
from agno_nb.types import Message, RunEvent, RunStatus, SessionType, ToolCall

__all__ = ["RunOutput", "RunResponse", "Team"]

DELEGATE_TO_ONE, DELEGATE_TO_ALL = "delegate_task_to_member", "delegate_task_to_members"

_LEADER_PROMPTS = {
    DELEGATE_TO_ONE: (
        "You lead a team. Give tasks to its members by the tool delegate_task_to_member, several in one answer where "
        "none needs what another finds. A member knows only what you write in its task. What no member is needed for, "
        "answer yourself."
    ),
    DELEGATE_TO_ALL: (
        "You lead a team. Give a task to all of its members at once by the tool delegate_task_to_members. They know "
        "only what you write in it. Make one answer of theirs."
    ),
}


@suggest_on_unknown_kwarg(ALIASES, DEPRECATED)
@dataclass(eq=False, repr=False)
class Team(Agent):
    """A leader that delegates tasks to its members and answers for them.

    Members without a model use the team's, and members without a store run in the team's session. All share the
    session's state.

    Raises
    ------
    InvalidInputError
        There are no members, a member is not an agent or team, or two members have the same ID.

    Examples
    --------
    >>> from agno_nb.agent.agent import Agent
    >>> from agno_nb.team.team import Team
    >>> from agno_nb.testing import ScriptedModel, call
    >>> poet = Agent(ScriptedModel(["Leaves fall."]), name="poet", role="Writes haiku")
    >>> leader = ScriptedModel([call("delegate_task_to_member", member_id="poet", task="Autumn"), "Here: Leaves fall."])
    >>> run = Team([poet], model=leader).run("A haiku on autumn, please")
    >>> run.content, [member.content for member in run.member_responses]
    ('Here: Leaves fall.', ['Leaves fall.'])
    """

    kind: ClassVar[SessionType] = SessionType.TEAM

    model: Model | str | None = field(default=None, kw_only=True)
    """Model of the leader and of members without one."""
    members: Sequence[Agent] = ()
    """Agents and teams."""
    _: KW_ONLY
    delegate_to_all_members: bool = False
    """Delegate each task to all members at once, with `delegate_task_to_members`."""
    respond_directly: bool = False
    """Return the members' answers as the team's answer. The leader only chooses members and tasks."""
    share_member_interactions: bool = False
    """Add the earlier tasks and answers of this run to each member's task."""
    add_team_history_to_members: bool = False
    """Add the inputs and answers of the session's latest runs to each member's task."""
    num_team_history_runs: int = 3
    """Number of latest runs to add."""
    store_member_responses: bool = True
    """Store the messages of members. Their runs, with tokens, cost and time, are always stored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.members, Agent) or not self.members:
            raise InvalidInputError(f"members of a team is {self.members!r}; pass a list of agents and teams")
        for member in self.members:
            if not isinstance(member, Agent):
                raise InvalidInputError(
                    f"{member!r} cannot be a member of a team: members are agents and teams; pass functions as tools"
                )
        ids = Counter(member.component_id for member in self.members)
        if duplicates := [each for each, count in ids.items() if count > 1]:
            raise InvalidInputError(f"two members of a team have the ID {duplicates[0]!r}; give each its own name")

    async def run_steps(self, context: RunContext) -> None:
        """Let the leader delegate tasks to the members until it answers."""
        context.stores_nested, context.team = self.store_member_responses, self
        await super().run_steps(context)

    async def run_member(self, member: Agent, task: str, context: RunContext) -> RunOutput:
        """Run a task with a member, nested in the run of `context`."""
        parts = [
            await asyncio.to_thread(self._team_history, context) if self.add_team_history_to_members else "",
            self._interactions(context) if self.share_member_interactions else "",
            task,
        ]
        return await member.arun("\n\n".join(part for part in parts if part), **context.child_options(member))

    async def _model_caller(self, context: RunContext) -> ModelCaller:
        caller = await super()._model_caller(context)
        context.default_model = caller.model
        return caller

    def _members_prompt(self, context: RunContext) -> str:
        members = [f"- {each.component_id}: {each.role or each.description or each.name}" for each in self.members]
        prompt = _LEADER_PROMPTS[DELEGATE_TO_ALL if self.delegate_to_all_members else DELEGATE_TO_ONE]
        return "\n".join([prompt, "<team_members>", *members, "</team_members>"])

    @property
    def parts(self) -> Sequence[Agent]:
        """The members."""
        return self.members

    def _builtin_tools(self, context: RunContext) -> list[Tool | Callable[..., Any]]:
        delegate = Tool(delegate_task_to_members) if self.delegate_to_all_members else _delegation_tool(*self._by_id)
        return [*super()._builtin_tools(context), delegate]

    @property
    def _by_id(self) -> dict[str, Agent]:
        return {member.component_id: member for member in self.members}

    def _team_history(self, context: RunContext) -> str:
        turns = previous_turns(context, self.num_team_history_runs)
        lines = [f"user: {turn.input}\nteam: {turn.get_content_as_string()}" for turn in turns]
        return "\n".join(["<team_history>", *lines, "</team_history>"]) if lines else ""

    def _interactions(self, context: RunContext) -> str:
        # Calls of the same batch do not see each other, so that they are the same when repeated after a pause.
        current_batch = _latest_calls(context)
        lines = [
            f"{call.tool_args.get('member_id', 'all members')} was asked: {call.tool_args.get('task')}\n"
            f"and said: {call.result}"
            for call in context.run.tools
            if call.tool_name in (DELEGATE_TO_ONE, DELEGATE_TO_ALL)
            and call.tool_call_id not in current_batch
            and not call.tool_call_error
        ]
        return "\n".join(["<member_interactions>", *lines, "</member_interactions>"]) if lines else ""

    def _is_final(self, context: RunContext) -> bool:
        calls = _latest_calls(context)
        if not self.respond_directly or any(
            call.tool_name not in (DELEGATE_TO_ONE, DELEGATE_TO_ALL) or call.tool_call_error for call in calls.values()
        ):
            return False
        runs = [
            run
            for run in context.run.nested_runs
            if run.parent_tool_call_id in calls and run.status is RunStatus.COMPLETED
        ]
        answers = "\n\n".join(run.get_content_as_string() for run in runs)
        context.run.content = answers
        if len(runs) == 1:
            context.run.content, context.run.content_type = runs[0].content, runs[0].content_type
        # Part of the team's messages, so that it is in the history of the next run.
        context.recorder.add_message(Message(role="assistant", content=answers))
        context.emit(RunEvent.run_content, content=answers)
        return True


def _latest_calls(context: RunContext) -> dict[str, ToolCall]:
    return {call.tool_call_id: call for call in last_assistant_message(context.run).tool_calls}


@cache
def _delegation_tool(*member_ids: str) -> Tool:
    """Create the tool that delegates a task to one of these members. Its schema lists them."""

    async def delegate_task_to_member(member_id: str, task: str, agent: Any, run_context: Any) -> str:
        """Delegate a task to a member of the team, and get its answer.

        Args:
            member_id: ID of the member.
            task: The task, with everything that the member needs to know.
        """
        run = await agent.run_member(agent._by_id[member_id], task, run_context)
        return str(run.get_content_as_string())

    delegate_task_to_member.__annotations__["member_id"] = Literal[member_ids]
    return Tool(delegate_task_to_member)


async def delegate_task_to_members(task: str, agent: Any, run_context: Any) -> str:
    """Delegate a task to all members of the team, and get their answers.

    Args:
        task: The task, with everything that the members need to know.
    """
    failures: list[AgnoNbError] = []
    unsaved: list[StoreError] = []
    paused: list[NestedRunPaused] = []

    async def run_one(member: Agent) -> str:
        try:
            run = await agent.run_member(member, task, run_context)
        except AgnoNbError as error:
            failures.append(error)
            if (failed := failed_save(error)) is not None:
                unsaved.append(failed)
            return f"{member.component_id} failed: {error}"
        except NestedRunPaused as waiting:
            # The other members continue; the tool ends when all have.
            paused.append(waiting)
            return ""
        return f"{member.component_id}: {run.get_content_as_string()}"

    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(run_one(member)) for member in agent.members]
    if unsaved:
        raise unsaved[0]
    if paused:
        raise paused[0]
    if len(failures) == len(answers):
        raise failures[0]
    return "\n\n".join(answer.result() for answer in answers)
