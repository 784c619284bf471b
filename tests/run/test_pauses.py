"""Human-in-the-loop: runs that pause, and continue once they are answered."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.models.base import ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import INTERRUPTED_RESULT, Metrics, RunOutput, RunStatus
from tests.fakes.http import Answer, sse_events
from tests.fakes.strict import StrictServer, calls, says
from tests.run.clerk import TOOLS, delete, done, paused_run, send


def continued(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    return agent.continue_run(*args, **options)


def continued_stream(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    events = list(agent.continue_run(*args, stream=True, **options))
    assert events[-1].run_output is not None
    return events[-1].run_output


def acontinued(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        return await agent.acontinue_run(*args, **options)

    return asyncio.run(main())


def acontinued_stream(agent: Agent, *args: Any, **options: Any) -> RunOutput:
    async def main() -> RunOutput:
        last = [event async for event in agent.acontinue_run(*args, stream=True, **options)][-1]
        assert last.run_output is not None
        return last.run_output

    return asyncio.run(main())


door = pytest.mark.parametrize(
    "door", [continued, continued_stream, acontinued, acontinued_stream], ids=lambda door: door.__name__
)


@door
def test_a_confirmed_call_is_carried_out_and_the_same_run_goes_on(door: Callable[..., RunOutput]) -> None:
    model = ScriptedModel([[call("delete", path="a"), call("look", path="b")], "Both done."])
    agent = Agent(model, name="clerk", tools=TOOLS, db=InMemoryDb())
    run = agent.run("delete a, look at b")
    assert (run.status, run.is_paused, run.content) == (RunStatus.PAUSED, True, None)
    # The other tool of the batch was carried out first.
    assert done == ["looked at b"]
    (requirement,) = run.requirements
    assert (requirement.kind, requirement.tool.tool_name, requirement.tool.tool_args) == (
        "confirmation",
        "delete",
        {"path": "a"},
    )
    requirement.confirm()
    run_id = run.run_id
    answered = door(agent, run)
    assert (answered.run_id, answered.status, answered.content) == (run_id, RunStatus.COMPLETED, "Both done.")
    assert done == ["looked at b", "deleted a"]
    assert [(m.role, m.content) for m in answered.messages] == [
        ("user", "delete a, look at b"),
        ("assistant", None),
        ("tool", "a is gone"),
        ("tool", "4 bytes"),
        ("assistant", "Both done."),
    ]


@door
def test_a_new_agent_continues_by_ids_what_is_in_the_store(door: Callable[..., RunOutput]) -> None:
    db = DuckDb("store.duckdb")
    calls = [call("delete", path="a"), call("send", subject="hi"), call("shell", command="ls"), call("look", path="b")]
    first = Agent(ScriptedModel(["Hello.", calls]), name="clerk", tools=TOOLS, db=db, add_history_to_context=True)
    first.run("hello", session_id="s", user_id="ada")
    paused = first.run("do it all", session_id="s", user_id="ada")

    stored = DuckDb("store.duckdb").get_run(paused.run_id)
    assert stored is not None
    assert [(r.kind, r.tool.tool_name, r.is_resolved) for r in stored.requirements] == [
        ("confirmation", "delete", False),
        ("user_input", "send", False),
        ("external_execution", "shell", False),
    ]
    ask, fill, carry_out = stored.requirements
    ask.reject("not that one")
    fill.provide_user_input({"to": "Bob"})
    fill.provide_user_input({"copies": 2})
    carry_out.set_external_execution_result("file.txt")

    model = ScriptedModel(["All done."])
    second = Agent(
        model, name="clerk", instructions="Other.", tools=TOOLS, db=DuckDb("store.duckdb"), add_history_to_context=True
    )
    run = door(second, run_id=paused.run_id, session_id="s", user_id="ada", requirements=stored.requirements)
    assert (run.run_id, run.status, run.content) == (paused.run_id, RunStatus.COMPLETED, "All done.")
    assert done == ["looked at b", "sent hi to Bob x2"]
    (request,) = model.requests
    assert [(m.role, m.content) for m in request.messages] == [
        ("user", "hello"),
        ("assistant", "Hello."),
        ("user", "do it all"),
        ("assistant", None),
        ("tool", "The user refused this call, and it was not carried out. They say: not that one"),
        ("tool", "sent"),
        ("tool", "file.txt"),
        ("tool", "4 bytes"),
    ]
    again = db.get_run(paused.run_id)
    assert again is not None
    assert [(m.role, m.content) for m in again.messages] == [(m.role, m.content) for m in run.messages[2:]]
    assert [r.is_resolved for r in again.requirements] == [True, True, True]
    assert [r.tool.result for r in again.requirements] == [t.result for t in again.tools[:3]]


def test_several_pauses_in_one_run() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), call("delete", path="b"), "Gone."])
    agent = Agent(model, tools=TOOLS, db=db)
    run = agent.run("delete a, then b")
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert run.status is RunStatus.PAUSED
    assert [r.tool.tool_args["path"] for r in run.active_requirements] == ["b"]
    for requirement in run.active_requirements:
        requirement.confirm()
    run = agent.continue_run(run)
    assert (run.status, run.content, done) == (RunStatus.COMPLETED, "Gone.", ["deleted a", "deleted b"])
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert [(r.tool.tool_args["path"], r.confirmed) for r in stored.requirements] == [("a", True), ("b", True)]


def test_what_a_person_gives_is_not_asked_of_the_model() -> None:
    assert send.spec.parameters == {
        "additionalProperties": False,
        "properties": {"subject": {"type": "string"}},
        "required": ["subject"],
        "type": "object",
    }


def test_arguments_that_the_tool_does_not_take_go_back_to_the_model_and_to_nobody_else() -> None:
    agent = Agent(ScriptedModel([call("delete", file="a"), "Sorry."]), tools=TOOLS)
    run = agent.run("delete a")
    assert (run.status, run.requirements, run.content) == (RunStatus.COMPLETED, [], "Sorry.")
    assert "does not take these arguments" in str(run.tools[0].result)


def test_tokens_are_counted_once_and_the_pause_is_not_duration() -> None:
    db = InMemoryDb()
    asking = ModelResponse(tool_calls=[call("delete", path="a")], metrics=Metrics(input_tokens=10, output_tokens=5))
    saying = ModelResponse(content="Done.", metrics=Metrics(input_tokens=20, output_tokens=5))
    agent = Agent(ScriptedModel([asking, saying]), tools=TOOLS, db=db)
    run = agent.run("delete a")
    assert run.metrics.input_tokens == 10
    first_s = run.metrics.duration_s or 0
    ended_at = run.ended_at or 0
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert (run.metrics.input_tokens, run.metrics.output_tokens) == (30, 10)
    total = agent.get_session_metrics()
    assert (total.input_tokens, total.output_tokens) == (30, 10)
    assert first_s < (run.metrics.duration_s or 0)
    assert run.created_at < ended_at < (run.ended_at or 0)


def test_the_session_goes_on_while_a_run_is_paused_and_the_run_keeps_its_context() -> None:
    db = InMemoryDb()
    replies = ["One.", call("delete", path="a"), "Three."]
    agent = Agent(ScriptedModel(replies), name="clerk", tools=TOOLS, db=db, add_history_to_context=True)
    agent.run("first", session_id="s")
    paused = agent.run("delete a", session_id="s")
    third = agent.run("third", session_id="s")
    # A run that waits is not history yet.
    assert [m.content for m in third.messages] == ["first", "One.", "third", "Three."]
    stored = db.get_run(paused.run_id)
    assert stored is not None
    stored.requirements[0].confirm()
    model = ScriptedModel(["Deleted.", "Four."])
    agent = Agent(model, name="clerk", tools=TOOLS, db=db, add_history_to_context=True)
    agent.continue_run(run_id=paused.run_id, requirements=stored.requirements)
    assert [m.content for m in model.requests[0].messages] == ["first", "One.", "delete a", None, "a is gone"]
    agent.run("fourth", session_id="s")
    assert [m.content for m in model.requests[1].messages] == [
        *["first", "One.", "delete a", None, "a is gone", "Deleted.", "third", "Three.", "fourth"]
    ]


def test_the_runs_frame_shows_what_is_asked() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    (shown,) = json.loads(db.runs_df()["requirements"][0])
    assert (shown["kind"], shown["tool_name"], shown["arguments"], shown["confirmed"]) == (
        *("confirmation", "delete", '{"path": "a"}', None),
    )
    run.requirements[0].reject("too risky")
    Agent(ScriptedModel(["Fine."]), name="clerk", tools=TOOLS, db=db).continue_run(run)
    (shown,) = json.loads(db.runs_df()["requirements"][0])
    assert (shown["confirmed"], shown["note"]) == (False, "too risky")


def test_a_paused_run_in_a_fork_is_continued_on_its_own() -> None:
    db = InMemoryDb()
    agent, run = paused_run(db)
    fork = agent.fork_session("s")
    (copy,) = fork.runs
    assert (fork.forked_from_run_id, copy.status, copy.requirements[0].run_id) == (
        *(run.run_id, RunStatus.PAUSED, copy.run_id),
    )
    copy.requirements[0].reject()
    again = Agent(ScriptedModel(["Not done."]), name="clerk", tools=TOOLS, db=db)
    assert again.continue_run(run_id=copy.run_id, requirements=copy.requirements).content == "Not done."
    run.requirements[0].confirm()
    assert (agent.continue_run(run).content, done) == ("Done.", ["deleted a"])


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_what_is_sent_after_a_pause_is_valid_for_a_strict_server(kind: Any) -> None:
    with StrictServer() as server:
        db = InMemoryDb()
        model = kind("strict", base_url=server.base_url, api_key="none")
        asks = [("delete", {"path": "a"}), ("look", {"path": "b"}), ("shell", {"command": "ls"})]
        if kind is OpenAIChat:
            server.will_say(calls(*asks), says("Meanwhile."), says("Done."))
        else:
            server.will_say(responses_call(*asks), responses_text("Meanwhile."), responses_text("Done."))
        agent = Agent(model, name="clerk", tools=TOOLS, db=db, session_id="s", add_history_to_context=True)
        paused = agent.run("do it")
        assert [r.tool.tool_name for r in paused.requirements] == ["delete", "shell"]
        assert agent.run("meanwhile?").content.strip() == "Meanwhile."
        stored = agent.get_run_output(paused.run_id)
        assert stored is not None
        stored.requirements[0].reject()
        stored.requirements[1].set_external_execution_result("file.txt")
        run = agent.continue_run(run_id=paused.run_id, requirements=stored.requirements)
        assert (run.content.strip(), server.refused, len(server.requests)) == ("Done.", [], 3)


def responses_call(*asked: tuple[str, dict[str, Any]]) -> Answer:
    items = [
        {
            "type": "function_call",
            "id": f"fc_{place}",
            "call_id": f"call_{place}",
            "name": name,
            "arguments": json.dumps(arguments),
            "status": "completed",
        }
        for place, (name, arguments) in enumerate(asked)
    ]
    return responses(items)


def responses_text(text: str) -> Answer:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return responses(
        [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}]
    )


def responses(items: list[dict[str, Any]]) -> Answer:
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.done", "sequence_number": 1, "output_index": place, "item": item}
        for place, item in enumerate(items)
    ]
    whole = {"id": "resp_1", "model": "m", "status": "completed", "output": items, "usage": None}
    return Answer(chunks=sse_events([*events, {"type": "response.completed", "sequence_number": 1, "response": whole}]))


def test_a_run_whose_process_died_says_so(python: str) -> None:
    program = """
import os
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.testing import FunctionModel, ScriptedModel, call
def die() -> str:
    os._exit(1)
Agent(ScriptedModel([call("die")]), tools=[die], db=DuckDb("store.duckdb"), session_id="s").run("go")
"""
    assert subprocess.run([python, "-c", program], check=False).returncode == 1
    db = DuckDb("store.duckdb")
    (run,) = db.get_runs("s")
    assert (run.status, run.interrupted) == (RunStatus.RUNNING, True)
    agent = Agent(ScriptedModel(["Better."]), db=db, session_id="s")
    again = agent.regenerate(from_partial=True)
    # How far the tool came is not known, so it is not called again.
    assert (again.content, again.interrupted, again.tools[0].result) == ("Better.", False, INTERRUPTED_RESULT)
    assert again.messages[-2].content == INTERRUPTED_RESULT


def test_what_was_shown_before_the_pause_is_in_the_answer() -> None:
    @tool(show_result=True)
    def table() -> str:
        """Show a table."""
        return "| a |"

    agent = Agent(ScriptedModel([call("table"), call("delete", path="a"), "Done."]), tools=[table, delete])
    run = agent.run("go")
    run.requirements[0].confirm()
    assert agent.continue_run(run).content == "| a |\n\nDone."


def test_a_call_that_is_to_end_the_run_waits_for_its_siblings() -> None:
    @tool(stop_after_tool_call=True)
    def last() -> str:
        """The last word."""
        return "enough"

    agent = Agent(ScriptedModel([[call("last"), call("delete", path="a")], "never"]), tools=[last, delete])
    run = agent.run("go")
    assert (run.status, [t.result for t in run.tools]) == (RunStatus.PAUSED, ["enough", None])
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert (run.status, [t.result for t in run.tools]) == (RunStatus.COMPLETED, ["enough", "a is gone"])
    assert run.messages[-1].role == "tool"
