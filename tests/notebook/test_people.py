"""Approvals and answers have the same effect through `%agent`, widgets and the keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb import Agent, Team, Workflow, chat
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelConnectionError, RunNotContinuableError, RunNotFoundError
from agno_nb.notebook import human_in_the_loop
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run.runnable import Runnable
from agno_nb.testing import FunctionModel, Reply, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus
from tests.notebook.command_line import run_command
from tests.widgets.browser import Browser

received: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_received() -> None:
    received.clear()


@tool(requires_user_input=True, user_input_fields=["value"])
def untyped(value) -> str:  # type: ignore[no-untyped-def]
    """Take anything."""
    received.append(value)
    return "taken"


@tool(requires_user_input=True, user_input_fields=["value"])
def whole_number(value: int) -> str:
    """Take a whole number."""
    received.append(value)
    return "taken"


@tool(requires_user_input=True, user_input_fields=["value"])
def words(value: str) -> str:
    """Take text."""
    received.append(value)
    return "taken"


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    received.append(path)
    return "deleted"


TOOLS: list[Any] = [untyped, whole_number, words, delete]


def asks_for(*calls: tuple[str, dict[str, Any]]) -> FunctionModel:
    def reply(messages: list[Message], tools: Any) -> Reply:
        if messages[-1].role == "tool":
            return "Done."
        return [call(name, **arguments) for name, arguments in calls]

    return FunctionModel(reply)


def waiting(*calls: tuple[str, dict[str, Any]]) -> tuple[Notebook, Agent, RunOutput]:
    """A notebook whose agent waits for a person."""
    agent = Agent(asks_for(*calls), name="clerk", tools=TOOLS, db=InMemoryDb())
    notebook = Notebook({"clerk": agent}, Path.cwd(), AgnoNb())
    return notebook, agent, agent.run("go", session_id="s")


def by_command(name: str, text: str) -> None:
    notebook, _, run = waiting((name, {}))
    run_command(notebook, "answer", [run.requirements[0].short_id, f"value={text}"])


def by_chat(name: str, text: str) -> None:
    _, agent, run = waiting((name, {}))
    page = Browser(chat(agent, session_id="s"))
    answer = {"run_id": run.run_id, "requirement_id": run.requirements[0].requirement_id, "note": ""}
    page.send({"id": "1", "verb": "decide", "fields": {**answer, "decision": "approve", "values": {"value": text}}})
    if "error" in (reply := page.answer()):
        raise InvalidInputError(reply["error"])


def by_keyboard(name: str, text: str) -> None:
    """An invalid value is requested again, and the test types no other."""
    notebook, agent, run = waiting((name, {}))
    typed = iter([text])

    def read(prompt: str) -> str:
        for one in typed:
            return one
        raise EOFError("asked again")

    human_in_the_loop.ask_at_prompt(notebook, agent, run, {}, read)


def by_method(name: str, text: str) -> None:
    _, agent, run = waiting((name, {}))
    run.requirements[0].provide_user_input({"value": text})
    agent.continue_run(run)


def by_attribute(name: str, text: str) -> None:
    _, agent, run = waiting((name, {}))
    run.requirements[0].user_input_fields[0].value = text
    agent.continue_run(run)


DOORS = [by_command, by_chat, by_keyboard, by_method, by_attribute]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("untyped", "12", 12),
        ("untyped", '"12"', "12"),
        ("untyped", "twelve", "twelve"),
        ("untyped", "null", None),
        ("untyped", "[1, 2]", [1, 2]),
        ("untyped", "NaN", "NaN"),
        ("words", "12", "12"),
        ("words", '"12 o\'clock"', "12 o'clock"),
        ("whole_number", "12", 12),
    ],
)
def test_an_answer_means_the_same_in_whichever_way_it_is_given(
    door: Callable[[str, str], None], name: str, text: str, value: Any
) -> None:
    door(name, text)
    assert (received, [type(each) for each in received]) == ([value], [type(value)])


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_text_that_is_no_number_is_refused_in_whichever_way_it_is_given(door: Callable[[str, str], None]) -> None:
    refused = "asked again" if door is by_keyboard else "invalid value 'abc' for value"
    with pytest.raises((InvalidInputError, EOFError), match=refused):
        door("whole_number", "abc")
    assert received == []


def test_a_panel_shows_values_and_choices_as_they_are_typed() -> None:
    @tool(requires_user_input=True)
    def many(text: str, any_value, flag: bool, numbers: list[int]) -> str:  # type: ignore[no-untyped-def]
        """Take several values."""
        received.append((text, any_value, flag, numbers))
        return "taken"

    agent = Agent(asks_for(("many", {}), ("delete", {"path": "a"})), tools=[many, delete], db=InMemoryDb())
    run = agent.run("go", session_id="s")
    fill, allow = run.requirements
    fill.provide_user_input({"text": '"12"', "any_value": '"12"', "flag": "true", "numbers": [1]})
    agent.store.save_approvals(run)
    page = Browser(chat(agent, session_id="s"))
    (need, _) = page.turns[0]["pending"]
    shown = {field["name"]: field["value"] for field in need["fields"]}
    assert shown == {"text": "12", "any_value": '"12"', "flag": "true", "numbers": "[1]"}
    decide = {"run_id": run.run_id, "note": "", "decision": "approve"}
    page.ask("decide", requirement_id=fill.requirement_id, values=shown, **decide)
    page.ask("decide", requirement_id=allow.requirement_id, values={}, **{**decide, "note": "it is old"})
    assert received[0] == ("12", "12", True, [1])
    stored = agent.store.get_run(run.run_id)
    assert stored is not None
    assert [(one.confirmed, one.note) for one in stored.requirements] == [(None, None), (True, "it is old")]


def test_a_result_that_was_not_sent_is_not_an_empty_result() -> None:
    @tool(external_execution=True)
    def shell(command: str) -> str:
        """Run a command."""
        raise AssertionError("it is carried out by a person")

    agent = Agent(asks_for(("shell", {"command": "ls"})), tools=[shell], db=InMemoryDb())
    run = agent.run("go", session_id="s")
    page = Browser(chat(agent, session_id="s"))
    decide = {"run_id": run.run_id, "requirement_id": run.requirements[0].requirement_id, "decision": "approve"}
    assert "no result was sent" in page.refusal("decide", note="", values={}, **decide)
    page.ask("decide", note="", values={"result": ""}, **decide)
    assert page.turns[0]["status"] == "COMPLETED"


@pytest.mark.parametrize("door", ["command", "panel"])
def test_two_people_who_answer_at_once_lose_no_answer_and_the_later_one_continues(door: str) -> None:
    notebook, agent, run = waiting(("delete", {"path": "a"}), ("whole_number", {}))
    allow, _ = run.requirements
    # Another person has read the run before, and answers its other part.
    early = agent.store.get_run(run.run_id)
    assert early is not None
    if door == "command":
        run_command(notebook, "approve", [allow.short_id])
        early.requirements[1].provide_user_input({"value": 2})
        human_in_the_loop._continue_or_save(notebook, agent.store, early)
    else:
        page = Browser(chat(agent, session_id="s"))
        decide = {"run_id": run.run_id, "requirement_id": allow.requirement_id, "decision": "approve"}
        page.ask("decide", note="", values={}, **decide)
        early.requirements[1].provide_user_input({"value": 2})
        agent.store.save_approvals(early)
        assert early.active_requirements == []
        agent.continue_run(early)
    assert sorted(map(str, received)) == ["2", "a"]


def test_answers_that_were_typed_before_an_interrupt_are_kept() -> None:
    notebook, agent, run = waiting(("whole_number", {}), ("delete", {"path": "a"}))
    typed = iter(["12"])

    def read(prompt: str) -> str:
        for one in typed:
            return one
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        human_in_the_loop.ask_at_prompt(notebook, agent, run, {}, read)
    stored = agent.store.get_run(run.run_id)
    assert stored is not None
    assert [one.kind for one in stored.active_requirements] == ["confirmation"]
    run_command(notebook, "approve", [])
    assert received == [12, "a"]


def test_a_command_that_is_run_again_does_not_answer_the_next_thing_that_waits() -> None:
    notebook, agent, run = waiting(("delete", {"path": "a"}))
    other = agent.run("go", session_id="t")
    named = run.requirements[0].short_id
    run_command(notebook, "approve", [named])
    for words in (["approve", named], ["reject", named], ["answer", named, "done"]):
        with pytest.raises(InvalidInputError, match=rf"no pending approval '{named}'; pending: "):
            run_command(notebook, words[0], words[1:])
    stored = agent.store.get_run(other.run_id)
    assert stored is not None
    assert (stored.status, received) == (RunStatus.PAUSED, ["a"])
    run_command(notebook, "approve", ["it", "is", "old"])
    assert received == ["a", "a"]


@pytest.mark.parametrize("own_user", ["ada", None], ids=["user of the agent", "user of the cell"])
def test_a_run_of_a_cell_with_another_user_is_approved_without_choosing_the_user(own_user: str | None) -> None:
    notebook, agent, _ = waiting(("delete", {"path": "a"}))
    agent.user_id = own_user
    run = agent.run("go", user_id="ada", session_id="t")
    if own_user is None:
        with pytest.raises(InvalidInputError, match=f"no pending approval '{run.requirements[0].short_id}'"):
            run_command(notebook, "approve", [run.requirements[0].short_id])
        notebook.note_run(agent, run)
    run_command(notebook, "approve", [run.requirements[0].short_id])
    assert received == ["a"]


def test_runs_of_other_users_are_not_listed_after_a_user_was_chosen() -> None:
    notebook, agent, _ = waiting(("delete", {"path": "a"}))
    agent.user_id = "bob"
    run = agent.run("go", session_id="t")
    notebook.note_run(agent, run)
    notebook.use_user("ada")
    with pytest.raises(InvalidInputError, match="no pending approvals in this store"):
        run_command(notebook, "approve", [])


def runnable_of(kind: str, db: Db) -> Runnable:
    """An agent that waits for a person, alone, as the member of a team or as the step of a workflow."""
    asking = asks_for(("delete", {"path": "a"}))
    match kind:
        case "agent":
            return Agent(asking, name="clerk", tools=TOOLS, db=db)
        case "team":
            return Team([Agent(asking, name="clerk", tools=TOOLS)], model=FunctionModel(lead), db=db)
    return Workflow([Agent(asking, name="clerk", tools=TOOLS)], db=db)


def lead(messages: list[Message], tools: Any) -> Reply:
    if messages[-1].role == "tool":
        return "All done."
    return call("delegate_task_to_member", member_id="clerk", task="delete a")


@pytest.mark.parametrize("kind", ["agent", "team", "workflow"])
@pytest.mark.parametrize("first", ["original", "fork"])
def test_a_call_that_waits_in_a_session_and_in_its_fork_is_named_in_each(kind: str, first: str) -> None:
    before = runnable_of(kind, DuckDb("store.duckdb"))
    run = before.run("go", session_id="s")
    fork = before.fork_session("s")
    before.store.close()
    # As after a restart of the kernel: all that is known is in the store.
    runnable = runnable_of(kind, DuckDb("store.duckdb"))
    notebook = Notebook({"runnable": runnable}, Path.cwd(), AgnoNb())
    pending = {
        waits.session_id: one
        for _, waits in human_in_the_loop._pending_runs(notebook)
        for one in waits.active_requirements
    }
    order = ["s", fork.session_id] if first == "original" else [fork.session_id, "s"]
    for number, session_id in enumerate(order, 1):
        run_command(notebook, "approve", [pending[session_id].short_id])
        assert received == ["a"] * number
        statuses = [runnable.store.get_runs(each)[0].status for each in order]
        assert statuses == [RunStatus.COMPLETED] * number + [RunStatus.PAUSED] * (2 - number)
    # The object returned by run() belongs to the original, which has continued.
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError):
        runnable.continue_run(run)


@pytest.mark.parametrize("command", ["retry", "continue"])
def test_a_session_without_turns_has_nothing_to_repeat(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = Notebook({}, Path.cwd(), AgnoNb())
    notebook.db = InMemoryDb()
    notebook.use_session("new")
    with pytest.raises(RunNotFoundError, match="no turn yet in session 'new'; run a `%%agent` cell first"):
        run_command(notebook, command, [])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("is_stored", "note"), [(True, "`%agent continue` continues"), (False, "")], ids=str)
def test_a_note_names_the_commands_that_continue_the_last_turn(
    is_stored: bool, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = Notebook({}, Path.cwd(), AgnoNb())
    notebook.db = InMemoryDb()
    # Not the agent that answers cells: for example that of `%%agent -m MODEL`.
    agent = Agent(FunctionModel(lambda messages, tools: "Hello."), db=notebook.db)
    run = agent.run("Hello")
    notebook.latest = (agent, run) if is_stored else None
    error = ModelConnectionError("lost")
    error.run_output = run
    human_in_the_loop.show_how_to_continue(notebook, error)
    out = capsys.readouterr().out
    assert (note in out, bool(out)) == (True, is_stored)
