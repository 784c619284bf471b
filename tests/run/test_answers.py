"""A run continues with a person's answer, however it was set."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus, ToolCall, UserInputField
from agno_nb.workflow import Workflow
from tests.run.clerk import TOOLS, done
from tests.team.crew import ask

ASKED = [call("delete", path="a"), call("send", subject="hi"), call("shell", command="ls")]
"""Calls that a model asks for at once, each of which waits for a person."""


def agent(replies: list[Any], **settings: Any) -> Runnable:
    return Agent(ScriptedModel(replies), name="clerk", tools=TOOLS, **settings)


def team(replies: list[Any], **settings: Any) -> Runnable:
    """The member asks; the leader only passes the task on."""
    return Team([Agent(ScriptedModel(replies), name="clerk", tools=TOOLS)], model=FunctionModel(lead), **settings)


def lead(messages: list[Message], tools: Any) -> Reply:
    return "All done." if messages[-1].role == "tool" else ask("clerk", "do it")


def workflow(replies: list[Any], **settings: Any) -> Runnable:
    return Workflow([Agent(ScriptedModel(replies), name="clerk", tools=TOOLS)], name="flow", **settings)


make = pytest.mark.parametrize("make", [agent, team, workflow], ids=lambda make: make.__name__)
Make = Callable[..., Runnable]


def calls_of(run: RunOutput) -> list[Any]:
    """The tool calls of the run that asks, which may be nested."""
    return run.tools if run.kind == "agent" else run.nested_runs[0].tools


def by_attributes(run: RunOutput) -> None:
    """Answer as agno's documentation did at first: by attributes of the tool calls."""
    for waiting in run.tools_requiring_confirmation:
        waiting.confirmed = False
        waiting.confirmation_note = "keep it"
    for waiting in run.tools_requiring_user_input:
        for field in waiting.user_input_schema:
            field.value = {"to": "Bob", "copies": "2"}[field.name]
    for waiting in run.tools_awaiting_external_execution:
        waiting.result = "file.txt"


def by_calls_of_the_run(run: RunOutput) -> None:
    delete, send, shell = calls_of(run)
    delete.confirmed, delete.confirmation_note = False, "keep it"
    send.user_input_schema[0].value, send.user_input_schema[1].value = "Bob", 2
    shell.result = "file.txt"


def by_agno_names(run: RunOutput) -> None:
    delete, send, shell = run.requirements
    delete.confirmation, delete.confirmation_note = False, "keep it"
    send.user_input_schema[0].value, send.user_input_schema[1].value = "Bob", 2
    shell.external_execution_result = "file.txt"


def by_methods(run: RunOutput) -> None:
    delete, send, shell = run.requirements
    delete.reject("keep it")
    send.provide_user_input({"to": "Bob", "copies": "2"})
    shell.set_external_execution_result("file.txt")


answers = pytest.mark.parametrize(
    "answer", [by_attributes, by_calls_of_the_run, by_agno_names, by_methods], ids=lambda answer: answer.__name__
)


def check_done(run: RunOutput) -> None:
    assert run.status is RunStatus.COMPLETED
    assert [(tool.result, tool.confirmed) for tool in calls_of(run)] == [
        ("The user refused this call, and it was not carried out. They say: keep it", False),
        ("sent", None),
        ("file.txt", None),
    ]
    assert done == ["sent hi to Bob x2"]


@make
@answers
@pytest.mark.parametrize("db", [None, InMemoryDb], ids=["no store", "store"])
def test_attributes_count_as_answers(make: Make, answer: Callable[[RunOutput], None], db: Any) -> None:
    runnable = make([ASKED, "All done."], db=db and db())
    run = runnable.run("do it", session_id="s")
    assert [requirement.kind for requirement in run.active_requirements] == [
        *("confirmation", "user_input", "external_execution"),
    ]
    answer(run)
    assert run.active_requirements == []
    check_done(runnable.continue_run(run))


@make
@answers
@pytest.mark.parametrize("read", ["get_run_output", "get_last_run_output", "session", "get_runs", "turns alone"])
def test_a_run_that_was_read_again_takes_the_same_answers(
    make: Make, answer: Callable[[RunOutput], None], read: str, tmp_path: Path
) -> None:
    paused = make([ASKED], db=SqliteDb(tmp_path / "s.db")).run("do it", session_id="s")
    db = SqliteDb(tmp_path / "s.db")
    fresh = make(["All done."], db=db)
    session = fresh.get_session("s")
    assert session is not None
    run = {
        "get_run_output": lambda: fresh.get_run_output(paused.run_id),
        "get_last_run_output": lambda: fresh.get_last_run_output("s"),
        "session": lambda: session.runs[0],
        "get_runs": lambda: db.get_runs("s")[0],
        "turns alone": lambda: db.get_runs("s", from_run_index=0)[0],
    }[read]()
    assert run is not None
    if read == "turns alone" and answer is by_calls_of_the_run and make is not agent:
        assert run.nested_runs == []
        answer = by_methods
    answer(run)
    check_done(fresh.continue_run(run))
    again = db.get_run(paused.run_id)
    assert again is not None
    assert again.status is RunStatus.COMPLETED
    assert [(r.confirmed, r.note, r.result) for r in again.requirements] == [
        *((False, "keep it", None), (None, None, None), (None, None, "file.txt")),
    ]
    assert [field.value for field in again.requirements[1].user_input_fields] == ["Bob", 2]


@make
@answers
def test_answers_by_attributes_are_stored_while_others_are_missing(
    make: Make, answer: Callable[[RunOutput], None]
) -> None:
    db = DuckDb("store.duckdb")
    run = make([ASKED], db=db).run("do it", session_id="s")
    answer(run)
    # One of them is withdrawn, so that the run waits for it.
    run.requirements[0].confirmed = None
    db.save_approvals(run)
    db.close()
    fresh = make(["All done."], db=DuckDb("store.duckdb"))
    stored = fresh.get_run_output(run.run_id)
    assert stored is not None
    (open_one,) = stored.active_requirements
    open_one.reject("keep it")
    check_done(
        fresh.continue_run(run_id=run.run_id, session_id="s", requirements=[open_one]),
    )


@make
@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy], ids=["pickled", "copied"])
def test_a_copy_of_a_run_keeps_its_answers(make: Make, how: Callable[[Any], Any]) -> None:
    runnable = make([ASKED, "All done."])
    run = runnable.run("do it")
    by_attributes(run)
    made = how(run)
    check_done(runnable.continue_run(pickle.loads(made) if isinstance(made, bytes) else made))


def paused() -> RunOutput:
    return Agent(ScriptedModel([ASKED]), tools=TOOLS).run("do it")


def test_the_last_answer_counts() -> None:
    run = paused()
    delete, send, shell = run.requirements
    shell.set_external_execution_result("a")
    shell.tool.result = "b"
    assert shell.result == "b"
    shell.set_external_execution_result("c")
    assert (shell.tool.result, shell.is_resolved) == ("c", True)
    shell.reject("no")
    assert (shell.tool.result, shell.result, shell.is_resolved) == (None, None, True)
    shell.result = "d"
    with pytest.raises(InvalidInputError, match="was both rejected and answered"):
        shell.check_answer()
    shell.set_external_execution_result("d")
    shell.check_answer()
    delete.tool.confirmed = True
    assert delete.confirmed is delete.is_resolved() is True
    assert delete.is_resolved
    delete.confirmed = None
    assert delete.tool.confirmed is None
    send.provide_user_input({"to": "Bob"})
    send.user_input_fields[0].value = "Eve"
    assert [(field.value, field.is_given) for field in send.tool.user_input_schema] == [("Eve", True), (None, False)]
    send.reject()
    assert [field.is_given for field in send.tool.user_input_schema] == [False, False]


@pytest.mark.parametrize(
    ("set_wrong", "sentence"),
    [
        (
            lambda run: setattr(run.tools[0], "result", "gone"),
            "result cannot resolve .*: it requires confirmation",
        ),
        (lambda run: setattr(run.tools[1], "result", "sent"), "result cannot resolve .*: it requires user input"),
        (lambda run: setattr(run.tools[2], "result", {"files": 1}), r"is {'files': 1}; pass a string"),
        (lambda run: setattr(run.tools[2], "confirmed", True), "still needs external execution"),
        (lambda run: setattr(run.tools[1], "confirmed", True), "still needs user input"),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused_and_nothing_is_done(
    set_wrong: Callable[[RunOutput], None], sentence: str
) -> None:
    clerk = Agent(ScriptedModel([ASKED, "All done."]), tools=TOOLS, db=InMemoryDb())
    run = clerk.run("do it", session_id="s")
    delete, send, shell = run.requirements
    delete.confirm()
    if "requires confirmation" in sentence:
        delete.confirmed = None
    if "user input" not in sentence:
        send.provide_user_input({"to": "Bob", "copies": 1})
    if "external" not in sentence:
        shell.set_external_execution_result("x")
    set_wrong(run)
    with pytest.raises(InvalidInputError, match=sentence):
        clerk.continue_run(run)
    assert (run.status, done) == (RunStatus.PAUSED, [])


def test_a_value_is_checked_when_it_is_assigned() -> None:
    copies = paused().requirements[1].user_input_fields[1]
    with pytest.raises(InvalidInputError, match="invalid value 'many' for copies"):
        copies.value = "many"
    assert (copies.value, copies.is_given) == (None, False)
    copies.value = "2"
    assert (copies.value, copies.is_given) == (2, True)


def test_a_misspelt_answer_is_not_kept_in_silence() -> None:
    requirement = paused().requirements[0]
    with pytest.raises(AttributeError, match=r"no attribute 'confirmd'; resolve it with confirm\(\) or reject\(\)"):
        requirement.confirmd = True  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        requirement.tool.confirmd = True  # type: ignore[attr-defined]


def test_requirements_without_an_answer_do_not_remove_answers() -> None:
    db = InMemoryDb()
    clerk = Agent(ScriptedModel([ASKED, "All done."]), tools=TOOLS, db=db)
    run = clerk.run("do it", session_id="s")
    other = db.get_run(run.run_id)
    assert other is not None
    by_methods(run)
    run.requirements[1].user_input_fields[1].clear()
    other.requirements[1].user_input_fields[1].value = 2
    check_done(clerk.continue_run(run, requirements=other.requirements))


def test_a_call_that_was_done_is_not_approved_in_another_way_later() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), call("delete", path="b")])
    clerk = Agent(model, name="clerk", tools=TOOLS, db=db)
    first = clerk.run("delete both", session_id="s")
    early = db.get_run(first.run_id)
    assert early is not None
    first.requirements[0].confirm()
    second = clerk.continue_run(first)
    with pytest.raises(InvalidInputError, match="has already been answered, and the run has continued"):
        second.requirements[0].reject()
    early.requirements[0].reject()
    with pytest.raises(InvalidInputError, match="cannot change the answer to"):
        clerk.continue_run(second, requirements=early.requirements)


FIELDS: list[tuple[dict[str, Any], str, Any]] = [
    ({}, "12", 12),
    ({}, '"12"', "12"),
    ({}, "twelve", "twelve"),
    ({}, "null", None),
    ({}, "[1, 2]", [1, 2]),
    ({}, "NaN", "NaN"),
    ({}, "False", False),
    ({}, '"False"', "False"),
    ({}, "false?", "false?"),
    ({"type": "string"}, "False", "False"),
    ({"type": "boolean"}, "False", False),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "None", None),
    ({"enum": ["True", "False"]}, "True", "True"),
    ({}, "1e999", "1e999"),
    ({}, "007", "007"),
    ({}, "9" * 5000, "9" * 5000),
    ({}, "[" * 5000, "[" * 5000),
    ({}, "", ""),
    ({"type": "string"}, "12", "12"),
    ({"type": "string"}, "true", "true"),
    ({"type": "string"}, '"Bob Smith"', "Bob Smith"),
    ({"type": "integer"}, "12", 12),
    ({"type": "number"}, "1.5", 1.5),
    ({"type": "boolean"}, "true", True),
    ({"type": "array"}, '["a"]', ["a"]),
    ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", None),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "12", 12),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "twelve", "twelve"),
    ({"enum": ["1", "2"]}, "1", "1"),
    ({"enum": [1, 2]}, "1", 1),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, "3", 3),
]


@pytest.mark.parametrize(("schema", "text", "value"), FIELDS)
def test_text_is_json_if_that_fits_the_field_and_else_text(schema: dict[str, Any], text: str, value: Any) -> None:
    given = UserInputField(name="x", schema=schema)
    given.set_value(text)
    assert (given.value, type(given.value), given.is_given) == (value, type(value), True)
    again = UserInputField(name="x", schema=schema)
    again.set_value(given.to_text(given.value))
    assert (again.value, type(again.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, "abc"),
        ({"type": "integer"}, "1.5"),
        ({"type": "integer"}, ""),
        ({"type": "number"}, "NaN"),
        ({"enum": ["a"]}, "b"),
        ({}, {2023: 1}),
        ({}, {"a": [{2023: 1}]}),
        ({}, (1, 2)),
        ({}, object()),
        ({}, float("nan")),
    ],
)
def test_what_does_not_fit_a_field_is_refused(schema: dict[str, Any], value: Any) -> None:
    given = UserInputField(name="x", schema=schema)
    with pytest.raises(InvalidInputError, match=r"^(x is|invalid value .* for x: )"):
        given.value = value
    assert not given.is_given


READ: dict[str, Callable[[Agent, str], RunOutput | None]] = {
    "get_run_output": lambda agent, run_id: agent.get_run_output(run_id),
    "get_last_run_output": lambda agent, run_id: agent.get_last_run_output("s"),
    "session": lambda agent, run_id: agent.get_session("s").runs[-1],  # type: ignore[union-attr]
    "get_runs": lambda agent, run_id: agent.store.get_runs("s", from_run_index=1)[0],
    "unpickled": lambda agent, run_id: pickle.loads(pickle.dumps(agent.store.get_run(run_id))),
}


@pytest.mark.parametrize("read", READ)
def test_a_run_that_was_read_from_the_store_is_continued_with_the_history_of_its_session(
    read: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    settings: dict[str, Any] = {
        "name": "clerk",
        "tools": TOOLS,
        "add_history_to_context": True,
        "additional_input": [Message(role="user", content="an example")],
        "instructions": "Be brief.",
    }
    first = Agent(ScriptedModel(["Hello.", call("delete", path="a")]), db=SqliteDb(path), **settings)
    first.run("hello", session_id="s")
    paused = first.run("delete a", session_id="s")
    assert not paused.is_reloaded

    model = ScriptedModel([call("delete", path="b"), "Both are gone."])
    fresh = Agent(model, db=SqliteDb(path), **settings)
    run = READ[read](fresh, paused.run_id)
    assert run is not None
    assert run.is_reloaded
    run.requirements[0].confirm()
    run = fresh.continue_run(run)
    sent = ["Be brief.", "an example", "hello", "Hello.", "delete a", None, "a is gone"]
    assert [message.content for message in model.requests[0].messages] == sent
    # It paused again, and is continued with its current object.
    run.requirements[1].confirm()
    run = fresh.continue_run(run)
    assert [message.content for message in model.requests[1].messages] == [*sent, None, "b is gone"]
    assert (run.content, done) == ("Both are gone.", ["deleted a", "deleted b"])
    stored = fresh.get_run_output(run.run_id)
    assert stored is not None
    assert [message.content for message in stored.messages] == [
        *("Be brief.", "delete a", None, "a is gone", None, "b is gone", "Both are gone."),
    ]


def test_the_members_of_a_reloaded_team_have_their_history_too(tmp_path: Path) -> None:
    def office(replies: list[Any]) -> tuple[Team, ScriptedModel]:
        model = ScriptedModel(replies)
        clerk = Agent(model, name="clerk", tools=TOOLS, add_history_to_context=True)
        return Team([clerk], model=FunctionModel(lead), db=SqliteDb(tmp_path / "s.db"), session_id="s"), model

    first, _ = office(["Hello.", call("delete", path="a")])
    first.run("hello")
    first.run("delete a")
    fresh, model = office(["It is gone."])
    run = fresh.get_last_run_output("s")
    assert run is not None
    run.tools_requiring_confirmation[0].confirmed = True
    assert fresh.continue_run(run).content == "All done."
    assert [message.content for message in model.requests[0].messages] == [
        *("do it", "Hello.", "do it", None, "a is gone"),
    ]


def test_a_reloaded_run_is_not_continued_without_its_store() -> None:
    db = InMemoryDb()
    paused = Agent(ScriptedModel([call("delete", path="a")]), name="clerk", tools=TOOLS, db=db).run("go")
    run = db.get_run(paused.run_id)
    assert run is not None
    run.requirements[0].confirm()
    bare = Agent(ScriptedModel(["never"]), name="clerk", tools=TOOLS)
    with pytest.raises(InvalidInputError, match=r"was read from a store, but Agent\('clerk'\) has no store"):
        bare.continue_run(run)
    assert (run.status, done) == (RunStatus.PAUSED, [])


def test_a_model_that_gives_the_same_call_objects_again_is_asked_for_approval_again() -> None:
    again = [call("delete", path="a"), call("shell", command="ls")]
    clerk = Agent(FunctionModel(lambda messages, tools: "Done." if messages[-1].role == "tool" else again), tools=TOOLS)
    first = clerk.run("go")
    by_hand = first.requirements
    by_hand[0].confirm()
    by_hand[1].set_external_execution_result("x")
    assert clerk.continue_run(first).status is RunStatus.COMPLETED
    second = clerk.run("go")
    assert (second.status, len(second.active_requirements), done) == (RunStatus.PAUSED, 2, ["deleted a"])


@pytest.mark.parametrize(
    ("of_member", "of_team"),
    [({"store_tool_messages": False}, {}), ({}, {"store_member_responses": False})],
    ids=["tool messages", "member responses"],
)
def test_a_member_that_was_stored_without_its_calls_is_not_continued_from_the_store(
    of_member: dict[str, Any], of_team: dict[str, Any]
) -> None:
    db = InMemoryDb()
    clerk = Agent(ScriptedModel([call("delete", path="a"), "Gone."]), name="clerk", tools=TOOLS, **of_member)
    office = Team([clerk], model=FunctionModel(lead), db=db, session_id="s", **of_team)
    run = office.run("go")
    stored = office.get_run_output(run.run_id)
    assert stored is not None
    stored.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match="was stored without its tool calls"):
        office.continue_run(stored)
    assert [one.status for one in db.get_runs("s")] == [RunStatus.PAUSED] * 2
    # The approval is not lost: the object that run() returned can be continued.
    run.requirements[0].confirm()
    assert (office.continue_run(run).content, done) == ("All done.", ["deleted a"])


@pytest.mark.parametrize("kind", [team, workflow], ids=lambda kind: kind.__name__)
def test_a_tool_that_a_member_or_step_no_longer_has_is_named_before_anything_is_done(kind: Make) -> None:
    db = InMemoryDb()
    run = kind([call("delete", path="a")], db=db).run("do it", session_id="s")
    bare = Agent(ScriptedModel(["never"]), name="clerk")
    fresh = Team([bare], model=FunctionModel(lead), db=db) if kind is team else Workflow([bare], name="flow", db=db)
    stored = fresh.get_run_output(run.run_id)
    assert stored is not None
    stored.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=r"waits for tool 'delete', but Agent\('clerk'\) has no such tool"):
        fresh.continue_run(stored)
    assert {one.status for one in db.get_runs("s")} == {RunStatus.PAUSED}


def member_and_leader(same_id: str) -> tuple[Team, list[str]]:
    """A team whose leader and member ask for calls with the same ID, as with servers that number them by answer."""
    executed: list[str] = []

    @tool(requires_confirmation=True)
    def wipe(path: str) -> str:
        executed.append(path)
        return "wiped"

    def wiping(path: str) -> ToolCall:
        return replace(call("wipe", path=path), tool_call_id=same_id)

    member = Agent(ScriptedModel([wiping("member"), "Done."]), name="clerk", tools=[wipe])
    leader = ScriptedModel([[ask("clerk", "do it"), wiping("leader")], "All done."])
    return Team([member], model=leader, tools=[wipe], db=InMemoryDb()), executed


def test_an_approval_of_the_leaders_call_is_none_of_a_members_call_with_its_id() -> None:
    team, executed = member_and_leader("functions.wipe:0")
    run = team.run("go")
    copies = [replace(each, confirmed=True) for each in run.tools if each.tool_name == "wipe"]
    with pytest.raises(InvalidInputError, match=r"\(wipe of clerk\) still needs confirmation"):
        team.continue_run(run_id=run.run_id, session_id=run.session_id, updated_tools=copies)
    assert executed == []


@pytest.mark.parametrize("copies", [False, True], ids=["the run's own calls", "copies"])
def test_each_of_two_calls_with_one_id_has_its_own_answer(copies: bool) -> None:
    calls = [replace(call("delete", path=path), tool_call_id="0") for path in ("keep", "drop")]
    agent = Agent(ScriptedModel([calls, "Done."]), tools=TOOLS)
    run = agent.run("go")
    run.tools[0].confirmed, run.tools[1].confirmed = False, True
    answers = copy.deepcopy(run.tools) if copies else run.tools
    if copies:
        run.tools[0].confirmed = run.tools[1].confirmed = None
    done.clear()
    agent.continue_run(run, updated_tools=answers)
    assert (done, [each.tool_call_error for each in run.tools]) == (["deleted drop"], [True, False])


def test_a_copy_of_a_call_with_other_arguments_is_not_an_answer() -> None:
    agent = Agent(ScriptedModel([call("delete", path="a")]), tools=TOOLS, db=InMemoryDb())
    run = agent.run("go")
    edited = [replace(each, arguments='{"path": "b"}', confirmed=True) for each in run.tools]
    done.clear()
    with pytest.raises(InvalidInputError, match=r'\{"path": "b"\}\', but a person is asked about the call delete'):
        agent.continue_run(run_id=run.run_id, session_id=run.session_id, updated_tools=edited)
    stored = agent.get_run_output(run.run_id, run.session_id)
    assert (done, stored and stored.status) == ([], "PAUSED")
