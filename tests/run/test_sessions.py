"""Sessions of an agent: history tools, state, stored rows, and session methods in both versions."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, OutputSchemaError, SessionNotFoundError
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import Media, Message, Role, RunStatus


@pytest.fixture(params=["DuckDb", "InMemoryDb"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Db:
    return DuckDb(tmp_path / "store.duckdb") if request.param == "DuckDb" else InMemoryDb()


def echo(messages: list[Message], tools: Any) -> str:
    return f"re: {messages[-1].content}"


def said(messages: list[Message]) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in messages]


def result_of(agent: Agent, tool_name: str, **arguments: Any) -> Any:
    """The result that a tool of the agent sends to the model."""
    agent.model = ScriptedModel([call(tool_name, **arguments), "done"])
    run = agent.run("use the tool")
    assert not run.tools[0].tool_call_error, run.tools
    text = str(run.tools[0].result)
    return json.loads(text) if text[:1] in "[{" else text


def test_get_chat_history_counts_exchanges_newest_last(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s", read_chat_history=True)
    for text in ("q1", "q2", "q3"):
        agent.run(text)
    exchanges = [{"user": q, "assistant": f"re: {q}"} for q in ("q1", "q2", "q3")]
    assert result_of(agent, "get_chat_history", num_chats=2) == exchanges[1:]
    assert result_of(agent, "get_chat_history")[:3] == exchanges
    assert result_of(agent, "get_chat_history", num_chats=0) == []


def test_get_tool_call_history_is_newest_first_with_results(db: Db) -> None:
    def add(a: int) -> int:
        return a + 1

    model = ScriptedModel([[call("add", a=1), call("add", a=2)], "x", call("add", a=3), "y"])
    agent = Agent(model, db=db, session_id="s", tools=[add], read_tool_call_history=True)
    agent.run("q1"), agent.run("q2")
    calls = [{"tool": "add", "arguments": {"a": a}, "result": str(a + 1)} for a in (3, 2, 1)]
    assert result_of(agent, "get_tool_call_history") == calls
    assert result_of(agent, "get_tool_call_history", num_calls=1)[0]["tool"] == "get_tool_call_history"


def test_past_sessions_are_the_last_n_others_of_the_same_user(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, search_session_history=True, num_history_sessions=2)
    for number in range(1, 5):
        agent.run(f"about {number}", session_id=f"s{number}", user_id="ada")
    agent.run("about bob", session_id="b", user_id="bob")
    agent.run("about nobody", session_id="n")
    agent.run("before", session_id="now", user_id="ada")
    agent.session_id, agent.user_id = "now", "ada"
    found = result_of(agent, "search_past_sessions")
    assert [(one["session_id"], one["runs"]) for one in found] == [
        ("s4", [{"user": "about 4", "assistant": "re: about 4"}]),
        ("s3", [{"user": "about 3", "assistant": "re: about 3"}]),
    ]
    assert result_of(agent, "read_past_session", session_id="s1") == [{"user": "about 1", "assistant": "re: about 1"}]
    assert result_of(agent, "read_past_session", session_id="b") == "The user has no conversation 'b'."
    agent.session_id, agent.user_id = "fresh", None
    assert [one["session_id"] for one in result_of(agent, "search_past_sessions")] == ["n"]
    assert result_of(agent, "read_past_session", session_id="s1") == "The user has no conversation 's1'."


def test_past_sessions_are_read_from_their_beginning_and_no_further(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(messages: list[Message], tools: Any) -> str:
        if messages[-1].content in ("q0", "q2"):
            raise ModelError("no")
        return echo(messages, tools)

    agent = Agent(FunctionModel(answer), db=db, search_session_history=True)
    for number in range(40):
        with suppress(ModelError):
            agent.run(f"q{number}", session_id="long", user_id="ada")
    read: list[int] = []
    get_runs = db.get_runs

    def counted(*args: Any, **options: Any) -> Any:
        runs = get_runs(*args, **options)
        read.append(len(runs))
        return runs

    monkeypatch.setattr(db, "get_runs", counted)
    agent.session_id, agent.user_id = "now", "ada"
    exchanges = [{"user": f"q{number}", "assistant": f"re: q{number}"} for number in (1, *range(3, 40))]
    assert [one["runs"] for one in result_of(agent, "search_past_sessions")] == [exchanges[:3]]
    assert result_of(agent, "read_past_session", session_id="long", num_runs=2) == exchanges[:2]
    assert max(read) <= 12
    assert result_of(agent, "read_past_session", session_id="long", num_runs=0) == []
    assert result_of(agent, "read_past_session", session_id="long", num_runs=38) == exchanges
    assert result_of(agent, "read_past_session", session_id="long", num_runs=99) == exchanges
    assert result_of(agent, "read_past_session", session_id="long") == exchanges


def test_history_can_be_limited_by_messages_and_tool_calls(db: Db) -> None:
    def add(a: int) -> int:
        return a

    model = ScriptedModel([call("add", a=1), "a1", call("add", a=2), "a2", "a3", "a4"])
    agent = Agent(model, db=db, session_id="s", tools=[add], add_history_to_context=True)
    agent.run("q1"), agent.run("q2")
    agent.max_tool_calls_from_history = 1
    agent.run("q3")
    assert said(model.requests[-1].messages) == [
        ("user", "q1"),
        ("assistant", "a1"),
        ("user", "q2"),
        ("assistant", None),
        ("tool", "2"),
        ("assistant", "a2"),
        ("user", "q3"),
    ]
    agent.num_history_messages = 3
    agent.run("q4")
    assert said(model.requests[-1].messages)[-4:] == [
        ("assistant", "a2"),
        ("user", "q3"),
        ("assistant", "a3"),
        ("user", "q4"),
    ]


@pytest.mark.parametrize("last_n_runs", [None, 0, 1, 5, 99])
@pytest.mark.parametrize("skip_roles", [(), ("user",), ("assistant", "tool"), ("user", "assistant", "system")])
def test_the_latest_messages_are_the_last_of_all(
    last_n_runs: int | None, skip_roles: tuple[Role, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(messages: list[Message], tools: Any) -> Any:
        if messages[-1].content in ("q3", "q39"):
            raise ModelError("no")
        return call("double", n=2) if messages[-1].content in ("q5", "q37") else echo(messages, tools)

    def double(n: int) -> int:
        return 2 * n

    db = InMemoryDb()
    agent = Agent(FunctionModel(answer), db=db, session_id="s", tools=[double])
    for number in range(40):
        with suppress(ModelError):
            agent.run(f"q{number}")
    everything = agent.get_session_messages(last_n_runs=last_n_runs, skip_roles=skip_roles)
    for limit in (0, 1, 2, 7, 10, 1000):
        latest = agent.get_session_messages(last_n_runs=last_n_runs, skip_roles=skip_roles, limit=limit)
        assert latest == everything[max(0, len(everything) - limit) :]
    asked_for: list[int | None] = []
    get_messages = db.get_messages

    def noted(session_id: str, *, last_n_runs: int | None = None) -> list[Message]:
        asked_for.append(last_n_runs)
        return get_messages(session_id, last_n_runs=last_n_runs)

    monkeypatch.setattr(db, "get_messages", noted)
    assert len(agent.get_session_messages(limit=3)) == 3
    assert asked_for == [3]


def test_state_is_run_over_store_over_default_and_merged_key_by_key(db: Db) -> None:
    default = {"a": {"x": 1, "y": 1}, "list": [1]}
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_state=default)
    assert agent.run("1", session_state={"a": {"y": 2}}).session_state == {"a": {"x": 1, "y": 2}, "list": [1]}
    assert agent.run("2", session_state={"list": [2]}).session_state == {"a": {"x": 1, "y": 2}, "list": [2]}
    assert agent.run("3").session_state == {"a": {"x": 1, "y": 2}, "list": [2]}
    assert agent.get_session_state() == {"a": {"x": 1, "y": 2}, "list": [2]}
    assert default == {"a": {"x": 1, "y": 1}, "list": [1]}
    assert agent.update_session_state({"new": True}) == {"a": {"x": 1, "y": 2}, "list": [2], "new": True}
    assert agent.get_session_state()["new"] is True


def test_state_is_shown_changed_by_the_model_and_fills_instructions(db: Db) -> None:
    model = ScriptedModel([call("update_session_state", session_state_updates={"n": 2}), "done", "next"])
    agent = Agent(
        model,
        db=db,
        session_id="s",
        session_state={"n": 1, "who": "{n}"},
        instructions='Count from {n} for {who}, {unknown}, {"json": 1}.',
        enable_agentic_state=True,
    )
    agent.run("go")
    assert model.requests[0].messages[0].content == (
        'Count from 1 for {n}, {unknown}, {"json": 1}.\n\n<session_state>\n{"n": 1, "who": "{n}"}\n</session_state>'
    )
    agent.run("again")
    assert '"n": 2' in str(model.requests[-1].messages[0].content)


def test_what_is_not_to_be_stored_is_only_in_the_returned_run(db: Db) -> None:
    def secret() -> str:
        return "SECRET"

    model = ScriptedModel([call("secret"), "done"])
    agent = Agent(model, db=db, tools=[secret], store_tool_results=False, store_media=False, session_id="s")
    run = agent.run("go", images=[Media(kind="image", content=b"pixels", mime_type="image/png")])
    assert [message.role for message in run.messages] == ["user", "assistant", "tool", "assistant"]
    assert run.messages[0].media[0].content == b"pixels"
    assert run.tools[0].result == "SECRET"
    (stored,) = db.get_runs("s")
    assert said(stored.messages) == [("user", "go"), ("assistant", "done")]
    assert stored.messages[0].media == []
    assert stored.tools == []
    assert db.tool_calls_df().empty
    assert not db.messages_df()["content"].fillna("").str.contains("SECRET").any()


def test_history_messages_are_stored_when_asked_for(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s", add_history_to_context=True, store_history_messages=True)
    agent.run("q1"), agent.run("q2")
    last = db.get_runs("s")[-1]
    assert [(m.content, m.from_history) for m in last.messages] == [
        ("q1", True),
        ("re: q1", True),
        ("q2", False),
        ("re: q2", False),
    ]
    agent.run("q3")
    assert [m.content for m in agent.get_chat_history()] == ["q1", "re: q1", "q2", "re: q2", "q3", "re: q3"]


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_is_an_object_and_is_stored_as_json(db: Db) -> None:
    model = ScriptedModel(['```json\n{"name": "Ada", "age": 36}\n```'])
    run = Agent(model, db=db, output_schema=Person, session_id="s").run("who?")
    assert run.content == Person(name="Ada", age=36)
    assert model.requests[0].output_schema == Person.model_json_schema()
    (stored,) = db.get_runs("s")
    assert (stored.content, stored.content_type) == ({"name": "Ada", "age": 36}, "Person")


def test_a_wrong_answer_gets_one_chance_and_then_an_error_that_keeps_the_text(db: Db) -> None:
    model = ScriptedModel(['{"name": "Ada"}', '{"name": "Ada", "age": 36}', "no", "still no"])
    agent = Agent(model, db=db, session_id="s", output_schema=Person)
    assert agent.run("who?").content == Person(name="Ada", age=36)
    assert "- age: Field required" in str(model.requests[1].messages[-1].content)
    with pytest.raises(OutputSchemaError, match="not a valid Person") as caught:
        agent.run("who?")
    assert caught.value.run_output is not None
    assert caught.value.run_output.content == "still no"
    assert db.get_runs("s")[-1].status is RunStatus.ERROR


def test_a_json_schema_is_an_output_schema() -> None:
    schema = {"title": "Count", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    model = ScriptedModel(['{"n": "x"}', '{"n": 3}'])
    run = Agent(model).run("how many?", output_schema=schema)
    assert (run.content, run.content_type) == ({"n": 3}, "dict")
    assert "- n: 'x' is not of type 'integer'" in str(model.requests[1].messages[-1].content)


def test_accessors_look_at_the_session_last_talked_in(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, name="ada's")
    with pytest.raises(InvalidInputError, match="has no session yet"):
        agent.get_session()
    first = agent.run("q1", session_id="s")
    agent.run("q2", session_id="s")
    assert said(agent.get_chat_history()) == [
        ("user", "q1"),
        ("assistant", "re: q1"),
        ("user", "q2"),
        ("assistant", "re: q2"),
    ]
    assert said(agent.get_messages_for_session(last_n_runs=1)) == [("user", "q2"), ("assistant", "re: q2")]
    assert said(agent.get_session_messages("s", limit=1)) == [("assistant", "re: q2")]
    assert agent.get_session_name() is None
    assert agent.rename_session("plans").session_name == "plans"
    assert agent.set_session_name(session_name="other plans").session_name == "other plans"
    assert agent.get_session_name("s") == "other plans"
    assert agent.get_session_metrics().output_tokens == 4
    run = agent.get_run_output(first.run_id)
    assert run is not None
    assert run.content == "re: q1"
    last = agent.get_last_run_output()
    assert last is not None
    assert last.input == "q2"
    fork = agent.fork_session(to_run_index=0)
    assert (fork.forked_from_session_id, [r.input for r in fork.runs]) == ("s", ["q1"])
    assert agent.delete_session("s", user_id="somebody else") is False
    assert agent.delete_session("s") is True
    with pytest.raises(SessionNotFoundError, match="there is no session 's'"):
        agent.get_chat_history()


def test_a_name_can_be_found_by_the_model(db: Db) -> None:
    model = ScriptedModel(["Hello!", '"Greetings and robots."\nBecause…'])
    agent = Agent(model, db=db, session_id="s")
    agent.run("hi")
    assert agent.set_session_name(autogenerate=True).session_name == "Greetings and robots"
    with pytest.raises(InvalidInputError, match="pass either session_name"):
        agent.set_session_name()


def test_every_accessor_has_an_awaited_twin(db: Db) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s")

    async def main() -> None:
        await agent.arun("q1")
        session = await agent.aget_session()
        assert session is not None
        assert said(await agent.aget_chat_history()) == [("user", "q1"), ("assistant", "re: q1")]
        assert await agent.aupdate_session_state({"n": 1}) == {"n": 1}
        assert (await agent.arename_session("plans")).session_name == "plans"
        assert await agent.adelete_session("s")

    asyncio.run(main())
    verbs = ("get_", "set_session", "update_session", "rename_", "delete_", "fork_")
    names = [name for name in dir(Agent) if name.startswith(verbs)]
    assert [name for name in names if not hasattr(Agent, f"a{name}")] == []


def test_without_a_store_accessors_say_what_is_missing() -> None:
    agent = Agent(FunctionModel(echo))
    agent.run("hi")
    with pytest.raises(InvalidInputError, match="has no store"):
        agent.get_chat_history()


def test_a_name_that_is_given_while_the_model_looks_for_one_stays(db: Db) -> None:
    def name_it(messages: list[Message], tools: Any) -> str:
        db.rename_session("s", session_name="Mine")
        return "Generated"

    agent = Agent(FunctionModel(echo), db=db, session_id="s")
    agent.run("hello")
    agent.model = FunctionModel(name_it)
    assert agent.set_session_name(autogenerate=True).session_name == "Mine"
    assert agent.get_session_name() == "Mine"


def test_a_changed_state_keeps_what_a_run_changes_meanwhile(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(FunctionModel(echo), db=db, session_id="s", session_state={"n": 1})
    agent.run("hello")
    update = db.update_session_state

    def late(session_id: str, session_state: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        # Between the reading and the writing of the state a run ends.
        update(session_id, {"n": 1, "by the run": 2})
        return update(session_id, session_state, *args, **kwargs)

    monkeypatch.setattr(db, "update_session_state", late)
    assert agent.update_session_state({"mine": 3}) == {"n": 1, "by the run": 2, "mine": 3}
    assert agent.get_session_state() == {"n": 1, "by the run": 2, "mine": 3}
