"""The list of tasks as a value: dependencies, statuses, and the session's state."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.errors import InvalidInputError
from agno_nb.team.task import Task, TaskList, TaskStatus, load_task_list, save_task_list


def statuses(tasks: TaskList) -> list[str]:
    return [task.status.value for task in tasks.tasks]


def test_a_task_waits_for_the_tasks_that_it_depends_on() -> None:
    tasks = TaskList()
    tasks.create_task("a")
    tasks.create_task("b")
    tasks.create_task("c", dependencies=["1", "2"])
    tasks.create_task("d", dependencies=["3"])
    assert statuses(tasks) == ["pending", "pending", "blocked", "blocked"]
    tasks.update_task("1", status="completed")
    assert statuses(tasks) == ["completed", "pending", "blocked", "blocked"]
    tasks.update_task("2", status="completed")
    assert statuses(tasks) == ["completed", "completed", "pending", "blocked"]
    tasks.update_task("3", status="completed")
    assert statuses(tasks) == ["completed", "completed", "completed", "pending"]
    assert not tasks.all_terminal()


def test_a_task_fails_with_the_task_that_it_depends_on_and_waits_again_with_it() -> None:
    tasks = TaskList()
    tasks.create_task("a")
    tasks.create_task("b", dependencies=["1"])
    tasks.create_task("c", dependencies=["2"])
    tasks.update_task("1", status="failed", result="no network")
    assert statuses(tasks) == ["failed", "failed", "failed"]
    assert tasks.get_task("1").result == "no network"
    assert tasks.get_task("3").result == "A task that this one depends on has failed."
    assert (tasks.all_terminal(), tasks.all_completed()) == (True, False)
    tasks.update_task("1", status="pending")
    assert statuses(tasks) == ["pending", "blocked", "blocked"]
    assert tasks.get_task("3").result is None
    tasks.update_task("1", status="failed")
    tasks.update_task("2", status="completed", result="done by hand")
    assert statuses(tasks) == ["failed", "completed", "pending"]


def test_a_member_gets_the_results_of_the_tasks_that_its_task_depends_on() -> None:
    tasks = TaskList()
    tasks.create_task("Research", "Find facts on tea")
    write = tasks.create_task("Write", dependencies=["1"])
    assert tasks.text_for_member(write) == "Write"
    tasks.update_task("1", status="completed", result="It has caffeine.")
    assert tasks.text_for_member(write) == "Write\n\n<results>\nResearch: It has caffeine.\n</results>"
    assert tasks.text_for_member(tasks.get_task("1")) == "Find facts on tea"


def test_the_list_as_text_has_everything_that_the_leader_needs() -> None:
    tasks = TaskList()
    assert tasks.get_summary_string() == "There are no tasks yet."
    tasks.create_task("Research", assignee="reader")
    tasks.create_task("Write", dependencies=["1"])
    tasks.update_task("1", status="completed", result="x" * 300)
    tasks.get_task("2").notes += ["one", "two", "three", "four"]
    tasks.goal_complete, tasks.completion_summary = True, "All of it."
    assert tasks.get_summary_string().splitlines() == [
        "2 tasks: 1 completed, 1 pending",
        "[1] Research (reader): completed",
        f"    result: {'x' * 199}…",
        "[2] Write: pending",
        "    depends on: 1",
        "    note: two",
        "    note: three",
        "    note: four",
        "All work is done: All of it.",
    ]


def test_a_list_is_saved_in_the_state_and_read_from_it() -> None:
    tasks = TaskList(goal_complete=True, completion_summary="ok")
    tasks.tasks.append(Task(id="1", title="a", description="b", status=TaskStatus.failed, assignee="m", created_at=5.0))
    state: dict[str, Any] = {"other": 1}
    save_task_list(state, tasks)
    assert state == {
        "other": 1,
        "_team_tasks": {
            "tasks": [
                {
                    "id": "1",
                    "title": "a",
                    "description": "b",
                    "status": "failed",
                    "assignee": "m",
                    "dependencies": [],
                    "result": None,
                    "notes": [],
                    "created_at": 5.0,
                }
            ],
            "goal_complete": True,
            "completion_summary": "ok",
        },
    }
    assert load_task_list(state) == tasks
    assert load_task_list(None) == load_task_list({}) == TaskList()


@pytest.mark.parametrize(
    "data", [["a"], {"tasks": [3]}, {"tasks": [{"id": "1"}]}, {"tasks": [{"id": "1", "title": "a", "status": "new"}]}]
)
def test_a_state_without_a_readable_list_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInputError, match="remove its key '_team_tasks'"):
        load_task_list({"_team_tasks": data})


def test_unknown_tasks_are_refused_with_the_known_ones() -> None:
    tasks = TaskList()
    tasks.create_task("Research")
    with pytest.raises(InvalidInputError, match=r"there is no task '7'; the tasks are: 1 \(Research\)"):
        tasks.update_task("7", status="completed")
    with pytest.raises(InvalidInputError, match="there is no task '2'"):
        tasks.create_task("Write", dependencies=["2"])
    assert len(tasks.tasks) == 1
