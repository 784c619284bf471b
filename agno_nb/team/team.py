"""Teams: an agent whose tools are its members.

The leader is an agent with all of an agent's parameters, and delegates tasks to its members with a tool. A member's
work is a run of its own, nested in the leader's: in the same session, stored with it and cancelled with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal

from agno_nb._keywords import nearest, suggest_on_unknown_kwarg
from agno_nb.agent.agent import ALIASES, DEPRECATED, Agent, RunOutput, RunResponse
from agno_nb.agent.model_calls import ModelCaller
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.run.context import RunContext
from agno_nb.run.continue_run import find_earlier_input, last_assistant_message
from agno_nb.team import task_tools
from agno_nb.team.delegation import (
    DELEGATE_TO_ALL,
    DELEGATE_TO_ONE,
    delegate_task_to_members,
    delegation_tool,
    get_member_information,
)
from agno_nb.team.members import MemberFactory, check_members, choose_members, describe_members, leader_prompt
from agno_nb.team.mode import TeamMode
from agno_nb.team.task import without_results
from agno_nb.tools import Tool
from agno_nb.tools.history import previous_turns
from agno_nb.types import Message, RunEvent, RunStatus, SessionType, ToolCall, whole_number

__all__ = ["RunOutput", "RunResponse", "Team", "TeamMode"]

_MODES_OF_FLAGS = {"respond_directly": TeamMode.route, "delegate_to_all_members": TeamMode.broadcast}


@suggest_on_unknown_kwarg(ALIASES, DEPRECATED)
@dataclass(eq=False, repr=False)
class Team(Agent):
    """A leader that delegates tasks to its members and answers for them.

    Members without a model use the team's, and members without a store run in the team's session. All share the
    session's state.

    Raises
    ------
    InvalidInputError
        A member is not an agent or team, or two members have the same ID.

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
    members: Sequence[Agent] | MemberFactory = ()
    """Agents and teams, or a function that returns them for each run, with parameters as in `instructions`. Without
    members, the leader works alone."""
    _: KW_ONLY
    respond_directly: bool = False
    """Return the members' answers as the team's answer: the mode "route". The leader only chooses members and tasks."""
    delegate_to_all_members: bool = False
    """Delegate each task to all members at once, with `delegate_task_to_members`: the mode "broadcast"."""
    # After its flags, because the constructor sets the fields in this order, and the last one wins.
    mode: TeamMode | Literal["coordinate", "route", "broadcast", "tasks"] | None = None
    """How the leader works with the members; by default, as the two flags say, or else "coordinate". Setting it sets
    the flags, and setting a flag sets the mode."""
    max_iterations: int = 10
    """Maximum number of answers of the leader in the mode "tasks"."""
    determine_input_for_members: bool = True
    """If False, members get the user's message unchanged instead of the task that the leader writes."""
    share_member_interactions: bool = False
    """Add the earlier tasks and answers of this run to each member's task."""
    add_team_history_to_members: bool = False
    """Add the inputs and answers of the session's latest runs to each member's task."""
    num_team_history_runs: int = 3
    """Number of latest runs to add."""
    add_member_tools_to_context: bool = False
    """Tell the leader the names of the members' tools."""
    get_member_information_tool: bool = False
    """Let the leader read the list of members again with the tool `get_member_information`."""
    store_member_responses: bool = True
    """Store the messages of members. Their runs, with tokens, cost and time, are always stored."""
    show_members_responses: bool = False
    """Let `print_response` display the whole answers of members in a terminal, instead of a line for each."""
    stream_member_events: bool = True
    """Include the events of members in the team's events."""

    _latest_members: Sequence[Agent] = field(init=False, default=())
    """Members of the latest run, if a function returned them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "mode" or name in _MODES_OF_FLAGS:
            self._set_mode(name, value)
        else:
            super().__setattr__(name, value)

    def validate_settings(self) -> None:
        super().validate_settings()
        whole_number("max_iterations", self.max_iterations, least=1)
        whole_number("num_team_history_runs", self.num_team_history_runs, least=0)
        if isinstance(self.members, Agent) or not callable(self.members):
            check_members(self.members)

    def _set_mode(self, name: str, value: Any) -> None:
        """Set the mode, or a flag, which switches its mode on or off; the mode and its flags always agree."""
        mode = current = self.__dict__.get("mode") or TeamMode.coordinate
        if (of_flag := _MODES_OF_FLAGS.get(name)) is not None:
            if value:
                mode = of_flag
            elif current is of_flag:
                mode = TeamMode.coordinate
        elif value is not None:
            modes = [each.value for each in TeamMode]
            if value not in modes:
                raise InvalidInputError(f"mode is {value!r}; {nearest(str(value), modes)}")
            mode = TeamMode(value)
        self.__dict__ |= {"mode": mode} | {flag: mode is each for flag, each in _MODES_OF_FLAGS.items()}

    async def run_steps(self, context: RunContext) -> None:
        """Let the leader delegate tasks to the members until it answers."""
        context.stores_nested, context.team = self.store_member_responses, self
        context.sends_nested_events = self.stream_member_events
        if callable(self.members):
            self._latest_members = await choose_members(self, self.members, context)
        context.members = self.parts
        if self.mode is TeamMode.tasks and not context.is_continued:
            task_tools.begin(context, self.max_iterations)
        await super().run_steps(context)

    async def run_member(self, member: Agent, task: str, context: RunContext) -> RunOutput:
        """Run a task with a member, nested in the run of `context`."""
        task = task if self.determine_input_for_members or self.mode is TeamMode.tasks else context.run.input
        text = await find_earlier_input(member, task, context, without_results)
        if text is None:
            history = await asyncio.to_thread(self._team_history, context) if self.add_team_history_to_members else ""
            interactions = self._interactions(context) if self.share_member_interactions else ""
            text = "\n\n".join(part for part in (history, interactions, task) if part)
        options = context.child_options(member)
        if self.respond_directly and member.output_schema is None:
            # The member's answer is the team's.
            options["output_schema"] = context.options.get("output_schema") or self.output_schema
        return await member.arun(text, **options)

    def find_member(self, member_id: str, context: RunContext) -> Agent:
        """Return a member of a run by its ID."""
        by_id: dict[str, Agent] = {member.component_id: member for member in context.members}
        if member_id not in by_id:
            raise InvalidInputError(f"there is no member {member_id!r}; {nearest(member_id, by_id)}")
        return by_id[member_id]

    def initialize_team(self) -> None:
        """Set the team's model as the model of members that have none, which a run does without it too."""
        for member in self.parts:
            if member.model is None:
                member.model = self.model
            if isinstance(member, Team):
                member.initialize_team()

    def get_members_system_message_content(
        self, indent: int = 0, run_context: RunContext | None = None, async_mode: bool = False
    ) -> str:
        """Return the list of members as the leader sees it.

        Parameters
        ----------
        indent, async_mode
            Accepted for programs written for agno; they have no effect.
        run_context : RunContext, optional
            The run whose members are listed, if a function returns them.
        """
        return describe_members(self, self.parts if run_context is None else run_context.members)

    @property
    def parts(self) -> Sequence[Agent]:
        """The members. If a function returns them, the members of the latest run."""
        return self._latest_members if callable(self.members) else self.members

    async def _model_caller(self, context: RunContext) -> ModelCaller:
        caller = await super()._model_caller(context)
        context.default_model = caller.model
        return caller

    def _members_prompt(self, context: RunContext) -> str | None:
        return leader_prompt(self, context.members)

    def _next_message(self, context: RunContext) -> str | None:
        if self.mode is not TeamMode.tasks:
            return None
        return task_tools.end_iteration(context, self.max_iterations, self.tool_call_limit)

    def _builtin_tools(self, context: RunContext) -> list[Tool | Callable[..., Any]]:
        tools, member_ids = super()._builtin_tools(context), [member.component_id for member in context.members]
        if self.mode is TeamMode.tasks:
            return [*tools, *task_tools.task_tools(*member_ids)]
        if not member_ids:
            return tools
        tools.append(Tool(delegate_task_to_members) if self.delegate_to_all_members else delegation_tool(*member_ids))
        return [*tools, get_member_information] if self.get_member_information_tool else tools

    def _team_history(self, context: RunContext) -> str:
        turns = previous_turns(context, self.num_team_history_runs)
        lines = [f"user: {turn.input}\nteam: {turn.get_content_as_string()}" for turn in turns]
        return "\n".join(["<team_history>", *lines, "</team_history>"]) if lines else ""

    def _interactions(self, context: RunContext) -> str:
        # Calls of the same batch do not see each other, so that they are the same when repeated after a pause.
        current_batch = _latest_calls(context)
        lines = [
            f"{member} was asked: {task}\nand said: {answer}"
            for call in context.run.tools
            if call.tool_call_id not in current_batch and not call.tool_call_error
            for member, task, answer in _exchanges(call, context)
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
        if len(runs) == 1 and self.parse_response:
            context.run.content, context.run.content_type = runs[0].content, runs[0].content_type
        # Part of the team's messages, so that it is in the history of the next run.
        context.recorder.add_message(Message(role="assistant", content=answers))
        context.emit(RunEvent.run_content, content=answers)
        return True


def _latest_calls(context: RunContext) -> dict[str, ToolCall]:
    return {call.tool_call_id: call for call in last_assistant_message(context.run).tool_calls}


def _exchanges(call: ToolCall, context: RunContext) -> Iterator[tuple[str, str, str | None]]:
    """Yield the member, task and answer of each run that a call of the leader has started."""
    if call.tool_name in (DELEGATE_TO_ONE, DELEGATE_TO_ALL):
        yield call.tool_args.get("member_id", "all members"), call.tool_args["task"], call.result
    elif call.tool_name in (task_tools.EXECUTE_ONE, task_tools.EXECUTE_SEVERAL):
        yield from task_tools.executed_tasks(call, context)
