"""The list of tasks of a team in the mode "tasks". It is part of the session's state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types import JsonDict, counted, now, shorten

TASK_LIST_KEY = "_team_tasks"
"""Key of the session's state. A team that is a member of another one adds its ID."""

DEPENDENCY_FAILED = "A task that this one depends on has failed."
"""The result of a task that cannot be executed for this reason."""

RESULT_PREVIEW, NOTES_PREVIEW = 200, 3
"""Characters of a result and number of notes that the list shows of a task."""


class TaskStatus(StrEnum):
    """The status of a task."""

    pending = "pending"
    in_progress = "in_progress"
    completed = "completed"
    failed = "failed"
    blocked = "blocked"
    """It waits for the tasks that it depends on."""


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True)
class Task:
    """A task of a team."""

    id: str
    title: str
    description: str = ""
    status: TaskStatus = TaskStatus.pending
    assignee: str | None = None
    """ID of the member that executes it."""
    dependencies: list[str] = field(default_factory=list)
    """IDs of the tasks that have to be completed first."""
    result: str | None = None
    notes: list[str] = field(default_factory=list)
    created_at: float = field(default_factory=now)
    """Unix seconds."""

    def __post_init__(self) -> None:
        self.status = TaskStatus(self.status)

    def to_dict(self) -> JsonDict:
        return {**asdict(self), "status": self.status.value}


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True)
class TaskList:
    """Tasks with their dependencies, in the order in which they were created.

    Examples
    --------
    >>> tasks = TaskList()
    >>> draft = tasks.create_task("Draft")
    >>> review = tasks.create_task("Review", dependencies=[draft.id])
    >>> review.status
    <TaskStatus.blocked: 'blocked'>
    >>> _ = tasks.update_task(draft.id, status="completed", result="Leaves fall.")
    >>> print(tasks.get_summary_string())
    2 tasks: 1 completed, 1 pending
    [1] Draft: completed
        result: Leaves fall.
    [2] Review: pending
        depends on: 1
    """

    tasks: list[Task] = field(default_factory=list)
    goal_complete: bool = False
    """Whether the leader has declared that the work is done."""
    completion_summary: str | None = None

    def create_task(
        self, title: str, description: str = "", assignee: str | None = None, dependencies: Iterable[str] = ()
    ) -> Task:
        """Add a task and return it.

        Raises
        ------
        InvalidInputError
            A dependency is not in the list.
        """
        dependencies = list(dependencies)
        for each in dependencies:
            self.get_task(each)
        number = max((int(task.id) for task in self.tasks if task.id.isdecimal()), default=0) + 1
        task = Task(
            id=str(number), title=title, description=description, assignee=assignee or None, dependencies=dependencies
        )
        self.tasks.append(task)
        self._update_dependents()
        return task

    def get_task(self, task_id: str) -> Task:
        """Return a task.

        Raises
        ------
        InvalidInputError
            There is no such task.
        """
        for task in self.tasks:
            if task.id == task_id:
                return task
        known = ", ".join(f"{task.id} ({task.title})" for task in self.tasks) or "none"
        raise InvalidInputError(f"there is no task {task_id!r}; the tasks are: {known}")

    def update_task(
        self, task_id: str, *, status: TaskStatus | str, result: str | None = None, assignee: str | None = None
    ) -> Task:
        """Set the status of a task and, if passed, its result and assignee; return the task."""
        task = self.get_task(task_id)
        task.status, task.assignee = TaskStatus(status), assignee or task.assignee
        task.result = task.result if result is None else result
        if task.status is not TaskStatus.failed and task.result == DEPENDENCY_FAILED:
            task.result = None
        self._update_dependents()
        return task

    def text_for_member(self, task: Task) -> str:
        """Return the description of a task with the results of the tasks that it depends on."""
        results = [f"{each.title}: {each.result}" for each in map(self.get_task, task.dependencies) if each.result]
        text = task.description or task.title
        return "\n".join([text, "", "<results>", *results, "</results>"]) if results else text

    def all_terminal(self) -> bool:
        """Whether there are tasks, and all of them have been completed or have failed."""
        ended = (TaskStatus.completed, TaskStatus.failed)
        return bool(self.tasks) and all(task.status in ended for task in self.tasks)

    def all_completed(self) -> bool:
        """Whether there are tasks, and all of them have been completed."""
        return bool(self.tasks) and all(task.status is TaskStatus.completed for task in self.tasks)

    def get_summary_string(self) -> str:
        """Return the list as text, with the beginning of each result and the latest notes."""
        if not self.tasks:
            return "There are no tasks yet."
        counts = Counter(task.status.value for task in self.tasks)
        statuses = ", ".join(f"{count} {status}" for status, count in counts.items())
        lines = [f"{counted(len(self.tasks), 'task')}: {statuses}"]
        for task in self.tasks:
            assignee = f" ({task.assignee})" if task.assignee else ""
            lines.append(f"[{task.id}] {task.title}{assignee}: {task.status}")
            if task.dependencies:
                lines.append(f"    depends on: {', '.join(task.dependencies)}")
            if task.result:
                lines.append(f"    result: {shorten(task.result, RESULT_PREVIEW)}")
            lines += [f"    note: {note}" for note in task.notes[-NOTES_PREVIEW:]]
        if self.goal_complete:
            lines.append(f"All work is done: {self.completion_summary}")
        return "\n".join(lines)

    def to_dict(self) -> JsonDict:
        return {
            "tasks": [task.to_dict() for task in self.tasks],
            "goal_complete": self.goal_complete,
            "completion_summary": self.completion_summary,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskList:
        """Return the list that `data`, as returned by :meth:`to_dict`, describes."""
        try:
            return cls(**{**data, "tasks": [Task(**task) for task in data.get("tasks", [])]})
        except (AttributeError, TypeError, ValueError) as error:
            raise InvalidInputError(
                f"session_state has a list of tasks that cannot be read ({error}); remove its key {TASK_LIST_KEY!r}"
            ) from None

    def _update_dependents(self) -> None:
        """Set whether tasks wait for others. A task comes after its dependencies in the list."""
        status_of = {task.id: task.status for task in self.tasks}
        for task in self.tasks:
            is_waiting = task.status in (TaskStatus.pending, TaskStatus.blocked) or task.result == DEPENDENCY_FAILED
            if not is_waiting or not task.dependencies:
                continue
            needed = {status_of.get(each) for each in task.dependencies}
            if TaskStatus.failed in needed:
                task.status, task.result = TaskStatus.failed, DEPENDENCY_FAILED
            else:
                task.status = TaskStatus.pending if needed == {TaskStatus.completed} else TaskStatus.blocked
                task.result = None if task.result == DEPENDENCY_FAILED else task.result
            status_of[task.id] = task.status


def load_task_list(session_state: Mapping[str, Any] | None, key: str = TASK_LIST_KEY) -> TaskList:
    """Return the list of tasks in a session's state, or an empty one."""
    return TaskList.from_dict((session_state or {}).get(key) or {})


def save_task_list(session_state: JsonDict, task_list: TaskList, key: str = TASK_LIST_KEY) -> None:
    """Put a list of tasks into a session's state."""
    session_state[key] = task_list.to_dict()


def without_results(text: str) -> str:
    """Return the text of a task without the results that :meth:`TaskList.text_for_member` adds."""
    return text.rpartition("\n\n<results>\n")[0] if text.endswith("\n</results>") else text


__all__ = ["TASK_LIST_KEY", "Task", "TaskList", "TaskStatus", "load_task_list", "save_task_list"]
