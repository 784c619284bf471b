"""No public method, command or widget reads or changes a session of another user."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agno_nb import Agent, InMemoryDb, Team, Workflow, chat, trace
from agno_nb.db import schema
from agno_nb.db.base import Db
from agno_nb.db.queries import Search
from agno_nb.errors import InvalidInputError, SessionNotFoundError, SessionOwnershipError
from agno_nb.notebook.commands import COMMANDS
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.run.runnable import Runnable
from agno_nb.session import SessionSummaryManager
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Session
from agno_nb.widgets import browse as browse_module
from agno_nb.widgets.browse import Browser as BrowserPanel
from agno_nb.widgets.chat import Chat
from agno_nb.widgets.intents import intents_of
from tests.notebook.command_line import run_command
from tests.widgets.browser import Browser

ALICE = "alice's"
SECRET = "the launch code is 0000"


def echo(messages: list[Message], tools: Any) -> str:
    return f"re: {messages[-1].content}"


@contextmanager
def store_of_alice() -> Iterator[InMemoryDb]:
    """A store with a session of alice in which a run was completed and another one is paused."""
    db = InMemoryDb()

    @tool(requires_confirmation=True)
    def launch() -> str:
        """Launch it."""
        return "launched"

    agent = Agent(ScriptedModel([SECRET, call("launch")]), db=db, tools=[launch], user_id="alice", session_id=ALICE)
    agent.run(SECRET)
    agent.run("launch")
    yield db
    db.close()


@pytest.fixture
def db() -> Iterator[InMemoryDb]:
    with store_of_alice() as db:
        yield db


@pytest.fixture(scope="module")
def unchanged_db() -> Iterator[InMemoryDb]:
    """One store for many refused calls, each of which has to leave it as it was."""
    with store_of_alice() as db:
        before = rows(db)
        yield db
        assert rows(db) == before


def rows(db: Db) -> dict[str, list[str]]:
    """Every row of the store."""
    assert isinstance(db, InMemoryDb)
    with db._transaction(write=False) as connection:
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in schema.tables()}


def runs_of_alice(db: Db) -> tuple[str, str]:
    """The ids of the completed and the paused run."""
    completed, paused = db.get_runs(ALICE)
    return completed.run_id, paused.run_id


def agent(db: Db, user_id: str | None) -> Runnable:
    return Agent(FunctionModel(echo), db=db, user_id=user_id)


def team(db: Db, user_id: str | None) -> Runnable:
    return Team([Agent(FunctionModel(echo), name="member")], model=FunctionModel(echo), db=db, user_id=user_id)


def workflow(db: Db, user_id: str | None) -> Runnable:
    return Workflow([Agent(FunctionModel(echo), name="step")], db=db, user_id=user_id)


MAKERS = [agent, team, workflow]
NOT_OF_A_SESSION = {"start_new_session", "automatic_session_id", "cancel_run", "acancel_run"}
"""They make ids and read nothing, or stop a run of this process whose id the caller has, whoever the user of it is, as
docs/agents.md says: agno's have no user either, and a run that has not started has no owner to check."""


def parameters_of(name: str, cls: type) -> dict[str, inspect.Parameter]:
    function = getattr(cls, name)
    return dict(inspect.signature(function).parameters) if inspect.isroutine(function) else {}


def methods_of_sessions(cls: type) -> list[str]:
    """Every public method that takes the id of a session or run. A new one is found here too."""
    return [
        name
        for name in dir(cls)
        if name[0] != "_"
        and name not in NOT_OF_A_SESSION
        and {"session_id", "run_id", "at_run"} & parameters_of(name, cls).keys()
    ]


CASES = [
    pytest.param(make, name, id=f"{make.__name__}-{name}")
    for make, cls in zip(MAKERS, (Agent, Team, Workflow), strict=True)
    for name in methods_of_sessions(cls)
]


def arguments_for(name: str, cls: type, run_ids: tuple[str, str]) -> dict[str, Any]:
    """Arguments that name alice's session and run. A required parameter that is not here fails the test."""
    completed, paused = run_ids
    values: dict[str, Any] = {
        "input": "What did Alice say?",
        "session_name": "taken",
        "session_state_updates": {"taken": True},
        "run_id": paused if "continue_run" in name else completed,
        "at_run": completed,
        "session_id": ALICE,
    }
    given = {}
    for parameter in parameters_of(name, cls).values():
        if parameter.name in values and (parameter.name != "run_id" or name not in ("run", "arun")):
            given[parameter.name] = values[parameter.name]
        elif parameter.default is parameter.empty and parameter.name != "self":
            raise AssertionError(f"{name}() takes {parameter.name!r}: say in this test which value it gets")
    if "print_response" in name or name in ("run", "arun"):
        given.pop("run_id", None)
    return given


def called(runnable: Runnable, name: str, **arguments: Any) -> Any:
    """Call a sync or async method and return its result."""
    value = getattr(runnable, name)(**arguments)
    if inspect.isawaitable(value):

        async def main() -> Any:
            return await value

        return asyncio.run(main())
    return value


@pytest.mark.parametrize("named_by", ["the agent", "the call", "an empty call"])
@pytest.mark.parametrize(("make", "name"), CASES)
def test_a_session_of_another_user_is_closed_to_every_method(
    unchanged_db: InMemoryDb, make: Callable[[Db, str | None], Runnable], name: str, named_by: str
) -> None:
    db = unchanged_db
    runnable = make(db, "bob" if named_by == "the agent" else None)
    arguments = arguments_for(name, type(runnable), runs_of_alice(db))
    before = rows(db)
    if named_by != "the agent":
        arguments["user_id"] = "bob" if named_by == "the call" else ""
    refusals = (SessionOwnershipError, InvalidInputError) if named_by == "an empty call" else SessionOwnershipError
    optional = [
        parameter.name
        for parameter in parameters_of(name, type(runnable)).values()
        if parameter.name in ("session_id", "run_id", "at_run") and parameter.default is not parameter.empty
    ]
    # With both ids; then with one of them, and the session of the run or of the agent.
    for without in [None, *optional] if "continue_run" not in name else [None, "session_id"]:
        chosen = {key: value for key, value in arguments.items() if key != without}
        runnable.session_id = ALICE if "session_id" not in chosen else None
        with pytest.raises(refusals) as caught:
            called(runnable, name, **chosen)
        assert SECRET not in str(caught.value)
        assert rows(db) == before


@pytest.mark.parametrize(("make", "name"), CASES)
def test_every_method_that_takes_a_session_takes_a_user(
    unchanged_db: InMemoryDb, make: Callable[[Db, str | None], Runnable], name: str
) -> None:
    assert "user_id" in parameters_of(name, type(make(unchanged_db, None)))


@pytest.mark.parametrize("given", ["", 5])
@pytest.mark.parametrize(("make", "name"), CASES)
def test_what_is_no_id_is_refused_and_not_taken_for_the_agents_session(
    unchanged_db: InMemoryDb, make: Callable[[Db, str | None], Runnable], name: str, given: Any
) -> None:
    db = unchanged_db
    runnable = make(db, "alice")
    runnable.session_id = ALICE
    arguments = arguments_for(name, type(runnable), runs_of_alice(db))
    before = rows(db)
    for key in ("session_id", "run_id", "at_run"):
        if key in arguments and "print_response" not in name:
            with pytest.raises(InvalidInputError, match=f"{key} is (empty|''|5)"):
                called(runnable, name, **arguments | {key: given})
            assert rows(db) == before


def test_a_run_that_is_given_for_its_id_is_refused_with_its_id(db: Db) -> None:
    runnable = agent(db, "alice")
    run = runnable.run("hello", session_id=ALICE)
    with pytest.raises(InvalidInputError, match=rf"run_id is .*, and ids are text: give its run_id, '{run.run_id}'"):
        runnable.continue_from(run, "and now?")  # type: ignore[arg-type]
    session = runnable.get_session()
    with pytest.raises(InvalidInputError, match=rf"session_id is .*: give its session_id, \"{ALICE}\""):
        runnable.get_chat_history(session)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="session_id is None; pass the ID of the session to delete"):
        runnable.delete_session(None)  # type: ignore[arg-type]


def test_an_agent_without_a_user_works_on_every_session_as_a_store_does(db: Db) -> None:
    reader = Agent(FunctionModel(echo), db=db, session_id=ALICE)
    assert [message.content for message in reader.get_chat_history()][:2] == [SECRET, SECRET]
    assert reader.get_session(user_id="alice") is not None
    assert reader.update_session_state({"n": 1}) == {"n": 1}
    assert reader.delete_session(ALICE) is True


def test_the_user_of_the_call_counts_and_not_the_agents(db: Db) -> None:
    owner = Agent(FunctionModel(echo), db=db, session_id=ALICE, user_id="bob")
    assert owner.get_chat_history(user_id="alice")[0].content == SECRET
    assert owner.rename_session("plans", user_id="alice").session_name == "plans"


@pytest.mark.parametrize("make", MAKERS)
def test_without_an_id_each_user_has_the_session_of_their_own_last_run(
    make: Callable[[Db, str | None], Runnable],
) -> None:
    db = InMemoryDb()
    runnable = make(db, None)
    ids = {user: runnable.run(f"I am {user}", user_id=user).session_id for user in ("ada", "bob", None)}
    for user in ("ada", "bob"):
        assert [m.content for m in runnable.get_chat_history(user_id=user)][:1] == [f"I am {user}"]
        assert runnable.update_session_state({"who": user}, user_id=user) == {"who": user}
        assert runnable.rename_session(f"{user}'s", user_id=user).session_id == ids[user]
        last = runnable.get_last_run_output(user_id=user)
        assert last is not None
        assert last.input == f"I am {user}"
        assert runnable.regenerate(user_id=user).session_id == ids[user]
    anonymous = db.get_session(ids[None] or "")
    assert anonymous is not None
    assert (anonymous.session_state, anonymous.session_name, anonymous.user_id) == ({}, None, None)
    # Without a user: the session of the last run, whose it may be.
    assert runnable.get_session_name() == "bob's"
    for use in (runnable.get_session, runnable.get_chat_history, runnable.fork_session):
        with pytest.raises(InvalidInputError, match=r"has no session with user 'eve' yet"):
            use(user_id="eve")


def test_a_session_without_an_owner_is_open_until_it_is_claimed() -> None:
    db = InMemoryDb()
    Agent(FunctionModel(echo), db=db, session_id="s").run("nobody's")
    bob = Agent(FunctionModel(echo), db=db, session_id="s", user_id="bob")
    assert bob.get_chat_history()[0].content == "nobody's"
    assert bob.rename_session("found").session_name == "found"
    session = bob.get_session()
    assert session is not None
    Agent(FunctionModel(echo), db=db, session_id="s", user_id="alice").run("mine now")
    for read in ("runs", "messages", "metrics", "summary"):
        with pytest.raises(SessionOwnershipError, match="session 's' belongs to user 'alice', but user_id is 'bob'"):
            getattr(session, read)
    with pytest.raises(SessionOwnershipError):
        SessionSummaryManager(ScriptedModel([])).create_session_summary(session)
    with pytest.raises(SessionOwnershipError):
        bob.get_chat_history()


def test_session_objects_check_in_every_attribute_that_reads_the_store() -> None:
    reads = [name for name, value in vars(Session).items() if type(value).__name__ == "cached_property"]
    assert sorted(reads) == ["messages", "metrics", "runs", "summary"]


@pytest.mark.parametrize("user_id", ["bob", None, ""])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_refused_branch_leaves_no_copy(db: Db, user_id: str | None, awaited: bool) -> None:
    completed, _ = runs_of_alice(db)
    before = rows(db)
    guest = Agent(FunctionModel(echo), db=db, user_id=user_id)
    name = "acontinue_from" if awaited else "continue_from"
    with pytest.raises((SessionOwnershipError, InvalidInputError)):
        called(guest, name, run_id=completed, input="And then?")
    assert rows(db) == before


def test_a_branch_that_is_refused_for_something_else_leaves_no_copy(db: Db) -> None:
    completed, _ = runs_of_alice(db)
    before = rows(db)
    with pytest.raises(InvalidInputError, match="images contains an object"):
        agent(db, "alice").continue_from(completed, "And then?", images=["x.png"])  # type: ignore[list-item]
    assert rows(db) == before


def test_a_branch_whose_run_fails_is_kept(db: Db) -> None:
    completed, _ = runs_of_alice(db)
    run = agent(db, "alice").continue_from(completed, "And then?")
    assert (run.user_id, run.run_index, run.content) == ("alice", 1, "re: And then?")
    assert db.get_session(run.session_id) is not None


def test_a_run_for_an_empty_user_is_refused_and_not_anonymous(db: Db) -> None:
    for guest in (Agent(FunctionModel(echo), db=db, user_id=""), Agent(FunctionModel(echo), user_id="")):
        with pytest.raises(InvalidInputError, match="user_id is empty"):
            guest.run("Hello")


def test_memories_of_an_empty_user_are_nobodys() -> None:
    forgetful = Agent(FunctionModel(echo), db=InMemoryDb(), user_id="alice")
    assert forgetful.get_user_memories("") == []


def notebook_of(db: Db, user_id: str | None) -> Notebook:
    notebook = Notebook({}, Path.cwd(), AgnoNb())
    notebook.db = notebook.agent.db = db
    notebook.agent.model = FunctionModel(echo)
    notebook.use_user(user_id)
    return notebook


WORDS: dict[str, list[list[str]]] = {
    "resume": [[ALICE], ["alice"], ["Plans"]],
    "delete": [[ALICE, "--yes"], ["Plans", "--yes"]],
    "rename": [["taken"], []],
    "context": [["RUN"], ["0"], []],
    "fork": [[], ["0"]],
}
"""What each command is given to reach alice's session; nothing if it works on the current one."""
OF_NO_SESSION = {"sessions", "new", "pending", "approve", "reject", "answer", "use", "tools", "help"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - OF_NO_SESSION))
def test_every_command_refuses_a_session_of_another_user(db: Db, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    db.rename_session(ALICE, session_name="Plans")
    run_id = runs_of_alice(db)[0]
    before = rows(db)
    notebook = notebook_of(db, "bob")
    with pytest.raises(SessionOwnershipError):
        notebook.use_session(ALICE)
    notebook.session_id = ALICE  # As if it had been claimed since.
    for words in WORDS.get(name, [[]]):
        with pytest.raises(SessionOwnershipError):
            run_command(notebook, name, [run_id if word == "RUN" else word for word in words])
    assert (notebook.user_id, rows(db)) == ("bob", before)
    assert SECRET not in capsys.readouterr().out


def test_lists_and_pending_approvals_show_only_what_is_open_to_the_user(
    db: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = notebook_of(db, "bob")
    run_command(notebook, "sessions", [])
    run_command(notebook, "pending", [])
    with pytest.raises(InvalidInputError, match="no pending approvals"):
        run_command(notebook, "approve", [])
    shown = capsys.readouterr().out
    assert (SECRET in shown, ALICE in shown, "launch" in shown) == (False, False, False)
    run_command(notebook_of(db, None), "sessions", [])
    assert SECRET in capsys.readouterr().out


def test_a_notebook_without_a_user_takes_the_user_of_the_session_that_it_resumes(db: Db) -> None:
    notebook = notebook_of(db, None)
    run_command(notebook, "resume", [ALICE])
    assert (notebook.user_id, notebook.session_id) == ("alice", ALICE)
    Agent(FunctionModel(echo), db=db).run("nobody's", session_id="anonymous")
    run_command(notebook, "resume", ["anonymous"])
    assert (notebook.user_id, notebook.session_id) == ("alice", "anonymous")


FIELDS: dict[str, Any] = {
    "session_id": ALICE, "session_ids": [ALICE], "name": "taken", "question": "What did she say?", "again": None,
    "names": {}, "run_id": "RUN", "requirement_id": "q", "decision": "approve", "note": "", "values": {},
    "search": "", "offset": 0, "limit": 50, "label": "wrong", "comment": "", "annotation_id": "a",
}  # fmt: skip
SHOW_NOTHING = {"browse": {"find", "rows", "select", "leave"}, "chat": {"sessions", "new", "stop", "leave"}}


def intents(panel: type) -> list[str]:
    return sorted(set(intents_of(panel)) - SHOW_NOTHING[panel.kind])  # type: ignore[attr-defined]


@pytest.mark.parametrize("verb", intents(BrowserPanel))
def test_every_intent_of_the_session_browser_refuses_a_session_of_another_user(db: Db, verb: str) -> None:
    page = Browser(BrowserPanel(db, notebook_of(db, "bob"), Search()))
    assert (page.content["rows"], page.content["choices"]["user_id"]) == ([], [])
    before = rows(db)
    fields = {name: FIELDS[name] for name in intents_of(BrowserPanel)[verb].fields}
    assert "belongs to user 'alice', but user_id is 'bob'" in page.refusal(verb, **fields)
    assert rows(db) == before


def test_a_browser_lists_what_is_open_to_the_user_whatever_is_sought(db: Db) -> None:
    Agent(FunctionModel(echo), db=db).run("nobody's", session_id="anonymous")
    page = Browser(BrowserPanel(db, notebook_of(db, "bob"), Search()))
    for user_id in (None, "alice"):
        page.ask("find", **{**page.content["criteria"], "user_id": user_id})
        assert ALICE not in [row["session_id"] for row in page.content["rows"]]
    page.ask("find", **{**page.content["criteria"], "user_id": None})
    assert [row["session_id"] for row in page.content["rows"]] == ["anonymous"]


@pytest.mark.parametrize("verb", intents(Chat))
def test_every_intent_of_a_chat_refuses_a_session_that_was_claimed_meanwhile(verb: str) -> None:
    db = InMemoryDb()
    anyone = Agent(FunctionModel(echo), db=db)
    run = anyone.run("nobody's", session_id=ALICE)
    page = Browser(chat(Agent(FunctionModel(echo), db=db, user_id="bob"), session_id=ALICE))
    anyone.run(SECRET, session_id=ALICE, user_id="alice")
    before = rows(db)
    fields = {name: FIELDS[name] for name in intents_of(Chat)[verb].fields}
    fields |= {"run_id": run.run_id} if "run_id" in fields else {}
    assert "belongs to user 'alice'" in page.refusal(verb, **fields)
    assert rows(db) == before
    assert SECRET not in json.dumps(page.content)


def test_a_timeline_of_a_run_of_another_user_is_refused(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agno_nb.widgets.trace.current_notebook", lambda: notebook_of(db, "bob"))
    run_id = runs_of_alice(db)[0]
    with pytest.raises(SessionOwnershipError):
        trace(run_id)
    assert browse_module.Browser is BrowserPanel


def test_a_past_session_of_another_user_is_not_read_by_a_tool(db: Db) -> None:
    curious = Agent(ScriptedModel([call("read_past_session", session_id=ALICE), "done"]), db=db, user_id="bob")
    curious.search_past_sessions = True
    run = curious.run("What did she say?")
    assert run.tools[0].result == f"The user has no conversation {ALICE!r}."
    with pytest.raises(SessionNotFoundError):
        Agent(db=db, user_id="bob").get_session_state("gone")
