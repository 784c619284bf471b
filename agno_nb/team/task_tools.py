"""The mode "tasks": the tools with which the leader works on the list of tasks, and when the work is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from agno_nb.errors import AgnoNbError, InvalidInputError
from agno_nb.run.context import RunContext
from agno_nb.team.delegation import run_members
from agno_nb.team.task import TASK_LIST_KEY, Task, TaskList, TaskStatus, load_task_list, save_task_list
from agno_nb.tools import Tool
from agno_nb.types import JsonDict, Message, RunStatus, TeamRunEvent, ToolCall, counted

if TYPE_CHECKING:
    from agno_nb.agent.agent import Agent
    from agno_nb.team.team import Team

EXECUTE_ONE, EXECUTE_SEVERAL = "execute_task", "execute_tasks_parallel"

_REMINDER = "The list of tasks is now:\n<task_list>\n"
_EXECUTABLE = (TaskStatus.pending, TaskStatus.in_progress)


def task_list_key(context: RunContext) -> str:
    """Return the key of the team's list in the session's state, which inner teams share with outer ones."""
    return TASK_LIST_KEY if context.enclosing_turn is None else f"{TASK_LIST_KEY}.{context.run.component_id}"


@contextmanager
def edit_tasks(context: RunContext) -> Iterator[TaskList]:
    """Read the list of tasks, and save it with its changes, of which events tell."""
    key = task_list_key(context)
    tasks = load_task_list(context.session_state, key)
    before = {task.id: task.status for task in tasks.tasks}
    yield tasks
    save_task_list(context.session_state, tasks, key)
    for task in tasks.tasks:
        details: JsonDict = {
            "task_id": task.id,
            "title": task.title,
            "assignee": task.assignee,
            "status": task.status.value,
        }
        if task.id not in before:
            details |= {"description": task.description, "dependencies": task.dependencies}
            context.emit(TeamRunEvent.task_created, details=details)
        elif (previous := before[task.id]) is not task.status:
            details |= {"previous_status": previous.value, "result": task.result}
            context.emit(TeamRunEvent.task_updated, details=details)


@cache
def task_tools(*member_ids: str) -> Sequence[Tool]:
    """Create the tools for the list of tasks of a team with these members."""
    functions: list[Callable[..., Any]] = [
        update_task_status,
        list_tasks,
        add_task_note,
        mark_all_complete,
        execute_tasks_parallel,
    ]
    return [_create_task_tool(member_ids), _execute_task_tool(member_ids), *(Tool(each) for each in functions)]


def _create_task_tool(member_ids: tuple[str, ...]) -> Tool:
    async def create_task(
        title: str,
        description: str = "",
        assignee: str = "",
        depends_on: list[str] | None = None,
        run_context: Any = None,
    ) -> str:
        """Add a task to the list. If it has a task with this title already, nothing is added.

        Args:
            title: The task in a few words.
            description: The task, with everything that the member needs to know.
            assignee: ID of the member that executes it. Omit it for your own work.
            depends_on: IDs of the tasks that have to be completed first. The member gets their results.
        """
        with edit_tasks(run_context) as tasks:
            for task in tasks.tasks:
                if task.title.strip().casefold() == title.strip().casefold():
                    return f"Task {task.id} has this title already; it is {task.status}."
            task = tasks.create_task(title, description, assignee, depends_on or ())
            return f"Task {task.id} was created; it is {task.status}."

    if member_ids:
        create_task.__annotations__["assignee"] = Literal[(*member_ids, "")]
    return Tool(create_task)


async def update_task_status(
    task_id: str,
    status: Literal["pending", "in_progress", "completed", "failed"],
    result: str | None = None,
    run_context: Any = None,
) -> str:
    """Set the status of a task, for example of one that you have done yourself, or that is to be executed again.

    Args:
        task_id: ID of the task.
        status: The new status.
        result: The result, if the task has ended.
    """
    with edit_tasks(run_context) as tasks:
        task = tasks.update_task(task_id, status=status, result=result)
        return f"Task {task.id} is now {task.status}."


async def list_tasks(run_context: Any = None) -> str:
    """List the tasks with their status, members, dependencies and results."""
    return load_task_list(run_context.session_state, task_list_key(run_context)).get_summary_string()


async def add_task_note(task_id: str, note: str, run_context: Any = None) -> str:
    """Add a note to a task, for example information for a later one.

    Args:
        task_id: ID of the task.
        note: The note.
    """
    with edit_tasks(run_context) as tasks:
        tasks.get_task(task_id).notes.append(note)
        return f"The note was added to task {task_id}."


async def mark_all_complete(summary: str, run_context: Any = None) -> str:
    """Declare that all work is done, and then write the answer for the user.

    Args:
        summary: The work in a few words. The user does not see it.
    """
    with edit_tasks(run_context) as tasks:
        tasks.goal_complete, tasks.completion_summary = True, summary
        return "All work is marked as done. Now write the answer for the user."


def _execute_task_tool(member_ids: tuple[str, ...]) -> Tool:
    async def execute_task(task_id: str, member_id: str, agent: Any, run_context: Any) -> str:
        """Let a member execute a task, and get its result.

        Args:
            task_id: ID of the task.
            member_id: ID of the member.
        """
        member = agent.find_member(member_id, run_context)
        with _executing(run_context, [task_id]):
            with edit_tasks(run_context) as tasks:
                task = _executable_task(tasks, task_id)
                tasks.update_task(task_id, status=TaskStatus.in_progress, assignee=member_id)
            (outcome,) = await _execute(agent, [(member, task)], run_context)
        if isinstance(outcome, AgnoNbError):
            raise outcome
        return outcome

    if member_ids:
        execute_task.__annotations__["member_id"] = Literal[member_ids]
    return Tool(execute_task)


async def execute_tasks_parallel(task_ids: list[str], agent: Any, run_context: Any) -> str:
    """Let the members that tasks were created for execute them at the same time, and get the results.

    Args:
        task_ids: IDs of the tasks. None of them may wait for another.
    """
    task_ids = list(dict.fromkeys(task_ids))
    with _executing(run_context, task_ids):
        with edit_tasks(run_context) as tasks:
            chosen = []
            for task in [_executable_task(tasks, each) for each in task_ids]:
                if task.assignee is None:
                    raise InvalidInputError(f"task {task.id!r} was created for no member; use execute_task for it")
                chosen.append((agent.find_member(task.assignee, run_context), task))
            for _, task in chosen:
                tasks.update_task(task.id, status=TaskStatus.in_progress)
        outcomes = await _execute(agent, chosen, run_context)
    if outcomes and all(isinstance(each, AgnoNbError) for each in outcomes):
        raise next(each for each in outcomes if isinstance(each, AgnoNbError))
    return "\n\n".join(
        f"Task {task.id} failed: {outcome}" if isinstance(outcome, AgnoNbError) else f"Task {task.id}: {outcome}"
        for (_, task), outcome in zip(chosen, outcomes, strict=True)
    )


_in_execution: set[tuple[str, str]] = set()
"""IDs of the runs and tasks of the calls in progress. The status of a task doesn't tell, because a call whose member
waits for a person is repeated."""


@contextmanager
def _executing(context: RunContext, task_ids: Sequence[str]) -> Iterator[None]:
    """Refuse tasks that another call of the same answer is executing."""
    claimed = {(context.run_id, each) for each in task_ids}
    for _, task_id in sorted(claimed & _in_execution):
        raise InvalidInputError(f"task {task_id!r} is being executed by another call; wait for its result")
    _in_execution.update(claimed)
    try:
        yield
    finally:
        _in_execution.difference_update(claimed)


def _executable_task(tasks: TaskList, task_id: str) -> Task:
    task = tasks.get_task(task_id)
    if task.status not in _EXECUTABLE:
        waits_for = f" for {', '.join(task.dependencies)}" if task.status is TaskStatus.blocked else ""
        raise InvalidInputError(f"task {task_id!r} is {task.status}{waits_for} and cannot be executed now")
    return task


async def _execute(team: Team, assigned: Sequence[tuple[Agent, Task]], context: RunContext) -> list[str | AgnoNbError]:
    """Execute tasks concurrently, save their results, and return the result or error of each.

    If a member waits for a person, all of them stay in progress: the tool is called again when the run is continued,
    and gets the results of those that are completed at once.
    """
    tasks = load_task_list(context.session_state, task_list_key(context))
    texts = [(member, tasks.text_for_member(task)) for member, task in assigned]
    outcomes: list[str | AgnoNbError] = [
        each if isinstance(each, AgnoNbError) else each.get_content_as_string()
        for each in await run_members(team, texts, context)
    ]
    with edit_tasks(context) as tasks:
        for (_, task), outcome in zip(assigned, outcomes, strict=True):
            status = TaskStatus.failed if isinstance(outcome, AgnoNbError) else TaskStatus.completed
            tasks.update_task(task.id, status=status, result=str(outcome))
    return outcomes


def executed_tasks(call: ToolCall, context: RunContext) -> Iterator[tuple[str, str, str | None]]:
    """Yield the member, task and result of each task that a call has executed."""
    ids = [call.tool_args["task_id"]] if call.tool_name == EXECUTE_ONE else call.tool_args["task_ids"]
    for task in load_task_list(context.session_state, task_list_key(context)).tasks:
        if task.id in ids:
            yield task.assignee or "", task.description or task.title, task.result


def begin(context: RunContext, max_iterations: int) -> None:
    """Begin a run. Its leader sees the tasks of earlier runs of the session, but its work is not done yet."""
    if load_task_list(context.session_state, task_list_key(context)).goal_complete:
        with edit_tasks(context) as tasks:
            tasks.goal_complete, tasks.completion_summary = False, None
    _report_start(context, 1, max_iterations)


def _report_start(context: RunContext, iteration: int, max_iterations: int) -> None:
    details = {"iteration": iteration, "max_iterations": max_iterations}
    context.emit(TeamRunEvent.task_iteration_started, details=details)


def end_iteration(context: RunContext, max_iterations: int, tool_call_limit: int | None) -> str | None:
    """Return the message with which the leader continues after an answer, or None if the run is over.

    It is over when the leader has declared it or all tasks are completed, when it has answered twice without a task or
    a tool call, or when a limit is reached.
    """
    run, own = context.run, _own_messages(context)
    if run.status is not RunStatus.RUNNING or own[-1].role == "tool" or run.is_cached:
        return None  # Paused, ended by a tool, or answered from the response cache.
    tasks = load_task_list(context.session_state, task_list_key(context))
    starts = _iteration_starts(own)
    iteration, summary = len(starts), tasks.get_summary_string()
    is_idle = len(starts) > 1 and not any(message.tool_calls for message in own[starts[-2] :])
    is_done = tasks.goal_complete or tasks.all_completed() or (not tasks.tasks and is_idle)
    is_at_limit = iteration >= max_iterations or (tool_call_limit is not None and len(run.tools) >= tool_call_limit)
    details = {"task_summary": summary, **tasks.to_dict()}
    context.emit(TeamRunEvent.task_state_updated, details=details)
    num_open = sum(task.status is not TaskStatus.completed for task in tasks.tasks)
    limit = f"max_iterations={max_iterations}" if iteration >= max_iterations else f"tool_call_limit={tool_call_limit}"
    context.emit(
        TeamRunEvent.task_iteration_completed,
        content=f"{limit} ends the run with {counted(num_open, 'open task')}" if is_at_limit and not is_done else None,
        details={"iteration": iteration, "max_iterations": max_iterations, "task_summary": summary},
    )
    if is_done or is_at_limit:
        return None
    _report_start(context, iteration + 1, max_iterations)
    return (
        f"{_REMINDER}{summary}\n</task_list>\n\nContinue with the tasks. When nothing is left to do, call "
        "mark_all_complete and write the answer."
    )


def _own_messages(context: RunContext) -> list[Message]:
    return [message for message in context.run.messages if not message.from_history]


def _iteration_starts(own: Sequence[Message]) -> list[int]:
    """Return where the iterations of a run begin among its messages: at its start and at each reminder."""
    reminders = [
        place
        for place, message in enumerate(own)
        if message.role == "user" and (message.content or "").startswith(_REMINDER)
    ]
    return [0, *reminders]
