"""Paused runs in every store."""

from __future__ import annotations

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.types import Message, Requirement, RunOutput, RunStatus, ToolCall, UserInputField
from agno_nb_store_contract.conversation import START, begin, end


def paused(db: Db, text: str = "delete it") -> RunOutput:
    """A run that waits for leave and for a value."""
    run, _ = begin(db, text)
    calls = [
        ToolCall(tool_call_id=f"c{n}", tool_name="delete", arguments='{"path": "a"}', created_at=START) for n in (1, 2)
    ]
    calls[1].user_input_schema = [UserInputField(name="copies", description="How many.", schema={"type": "integer"})]
    run.requirements = [
        Requirement(kind="confirmation", tool=calls[0], run_id=run.run_id, component_name="clerk"),
        Requirement(
            kind="user_input",
            tool=calls[1],
            run_id=run.run_id,
        ),
    ]
    return end(db, run, Message(role="assistant", tool_calls=calls), status=RunStatus.PAUSED)


def reread(db: Db, run: RunOutput) -> RunOutput:
    found = db.get_run(run.run_id, run.session_id)
    assert found is not None
    return found


def test_what_is_asked_comes_back_as_it_was_about_the_calls_of_the_run(db: Db) -> None:
    run = paused(db)
    again = reread(db, run)
    assert again.requirements == run.requirements
    assert [one.tool is call for one, call in zip(again.requirements, again.tools, strict=True)] == [True, True]


def test_what_was_said_before_a_pause_is_not_what_a_run_ends_with(db: Db) -> None:
    run, _ = begin(db)
    run.status, run.content, run.model, run.ended_at = RunStatus.PAUSED, "May I delete it?", "m", START
    db.end_run(run)
    run.status, run.content, run.model, run.ended_at = RunStatus.CANCELLED, None, None, START + 1
    db.end_run(run)
    again = reread(db, run)
    assert (again.status, again.content, again.model, again.ended_at) == (RunStatus.CANCELLED, None, None, START + 1)


def test_answers_are_kept_while_the_run_waits_for_the_others(db: Db) -> None:
    run = paused(db)
    run.requirements[0].confirm("it is old")
    db.save_approvals(run)
    again = reread(db, run)
    assert (again.status, again.requirements[0].confirmed, again.requirements[0].note) == (
        *(RunStatus.PAUSED, True, "it is old"),
    )
    again.requirements[1].provide_user_input({"copies": 2})
    db.save_approvals(again)
    assert reread(db, run).active_requirements == []


def test_answers_of_two_who_read_the_run_before_are_both_kept(db: Db) -> None:
    run = paused(db)
    first, second, third = reread(db, run), reread(db, run), reread(db, run)
    first.requirements[0].confirm("it is old")
    db.save_approvals(first)
    second.requirements[1].provide_user_input({"copies": 2})
    db.save_approvals(second)
    assert [second.active_requirements, reread(db, run).active_requirements] == [[], []]
    assert reread(db, run).requirements[0].note == "it is old"
    # Of two answers to one thing the later counts, and one who has none changes nothing.
    db.save_approvals(third)
    third.requirements[0].reject("still needed")
    db.save_approvals(third)
    again = reread(db, run)
    assert [(one.confirmed, one.note) for one in again.requirements] == [(False, "still needed"), (None, None)]
    assert again.requirements[1].user_input_fields[0].value == 2


def test_an_answer_that_is_not_one_is_not_stored(db: Db) -> None:
    run = paused(db)
    run.requirements[0].tool.result = "deleted by hand"
    with pytest.raises(InvalidInputError, match=r"result cannot resolve .*: it requires confirmation"):
        db.save_approvals(run)


def test_runs_around_a_nested_one_have_its_requirements(db: Db) -> None:
    outer, _ = begin(db, "outer")
    middle, _ = begin(db, "middle", nested=True, parent_run_id=outer.run_id, root_run_id=outer.run_id)
    inner, _ = begin(db, "inner", nested=True, parent_run_id=middle.run_id, root_run_id=outer.run_id)
    call = ToolCall(tool_call_id="c1", tool_name="delete", created_at=START)
    asked = Requirement(kind="confirmation", tool=call, run_id=inner.run_id)
    for run in (inner, middle, outer):
        run.requirements = [asked]
        messages = [Message(role="assistant", tool_calls=[call])] if run is inner else []
        end(db, run, *messages, status=RunStatus.PAUSED)
    stored = reread(db, outer)
    stored.requirements[0].confirm()
    # Only the outermost run is stored with the answer.
    db.save_approvals(stored)
    outer = reread(db, outer)
    (middle,) = outer.nested_runs
    (inner,) = middle.nested_runs
    assert outer.requirements[0] is middle.requirements[0] is inner.requirements[0]
    assert inner.tools[0] is outer.requirements[0].tool
    assert inner.tools[0].confirmed is True


def test_a_run_goes_on_once_and_with_its_answers(db: Db) -> None:
    run = paused(db)
    first, second = reread(db, run), reread(db, run)
    first.requirements[0].reject("no")
    db.reopen_run(first)
    again = reread(db, run)
    assert (again.status, again.ended_at, again.requirements[0].note) == (RunStatus.RUNNING, None, "no")
    with pytest.raises(RunNotContinuableError, match="is now RUNNING"):
        db.reopen_run(second)
    with pytest.raises(RunNotContinuableError, match="is no longer paused"):
        db.save_approvals(second)


def test_a_run_that_waits_for_something_else_by_now_is_read_again_first(db: Db) -> None:
    run = paused(db)
    outdated = reread(db, run)
    db.reopen_run(run)
    call = ToolCall(tool_call_id="c3", tool_name="delete")
    run.requirements.append(Requirement(kind="confirmation", tool=call, run_id=run.run_id))
    run.status = RunStatus.PAUSED
    db.end_run(run)
    with pytest.raises(RunNotContinuableError, match="now waits for other requirements"):
        db.reopen_run(outdated)
    assert reread(db, run).status is RunStatus.PAUSED


def test_a_superseded_run_does_not_go_on(db: Db) -> None:
    run = paused(db)
    newer, _ = begin(db, "again", run_index=0)
    with pytest.raises(RunNotContinuableError, match=f"superseded by run '{newer.run_id}'"):
        db.reopen_run(run)
    assert reread(db, run).status is RunStatus.PAUSED


def test_a_deleted_run_does_not_go_on(db: Db) -> None:
    run = paused(db)
    db.delete_session("s1")
    with pytest.raises(RunNotContinuableError, match="was deleted"):
        db.reopen_run(run)


def test_the_history_is_what_it_was_when_the_run_began(db: Db) -> None:
    query = ContextQuery(num_history_runs=5)
    end(db, begin(db, "one", created_at=100.0)[0], Message(role="assistant", content="1"))
    early = paused(db, "two")
    first, _ = begin(db, "one again", run_index=0)
    end(db, first, Message(role="assistant", content="1 again"))
    opened = db.reopen_run(early, query=query)
    assert [message.content for message in opened.history] == ["one", "1"]
    assert all(message.from_history for message in opened.history)


def test_the_runs_nested_in_it_come_along(db: Db) -> None:
    run = paused(db)
    of_run = {"parent_run_id": run.run_id, "parent_tool_call_id": "c1", "root_run_id": run.run_id}
    nested, _ = begin(db, "inner", nested=True, **of_run)
    end(db, nested, Message(role="assistant", content="done"))
    stored = db.get_run(run.run_id)
    assert stored is not None
    (found,) = stored.nested_runs
    assert (found.run_id, found.parent_tool_call_id, found.content) == (nested.run_id, "c1", "done")
