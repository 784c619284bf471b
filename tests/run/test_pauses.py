"""People in the loop: a run that waits for somebody, and goes on when it was answered."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import (
    InvalidInputError,
    NestedRunPaused,
    RunNotContinuableError,
    RunNotFoundError,
    SessionOwnershipError,
)
from agno_nb.models.base import ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.run.context import INTERRUPTED_RESULT
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import Tool, tool
from agno_nb.types import Message, Metrics, RunEvent, RunOutput, RunStatus, ToolSpec
from tests.fakes.http import Answer, sse_events
from tests.fakes.strict import StrictServer, calls, says

done: list[str] = []


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    done.append(f"deleted {path}")
    return f"{path} is gone"


@tool(requires_user_input=True, user_input_fields=["to", "copies"])
def send(subject: str, to: str, copies: int = 1) -> str:
    """Send a letter.

    Args:
        to: Who gets it.
    """
    done.append(f"sent {subject} to {to} x{copies}")
    return "sent"


@tool(external_execution=True)
def shell(command: str) -> str:
    """Run a command."""
    raise AssertionError("it is carried out by a person")


def look(path: str) -> str:
    """Look at a file."""
    done.append(f"looked at {path}")
    return "4 bytes"


TOOLS: list[Any] = [delete, send, shell, look]


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


def family(asks: Callable[..., Any], db: Db | None, replies: list[Any], inner_replies: list[Any]) -> Agent:
    """An agent with a tool that asks another agent, which has a tool that must be confirmed."""
    inner = Agent(ScriptedModel(inner_replies), name="inner", tools=TOOLS)

    def ask(question: str) -> str:
        """Ask the expert."""
        done.append(f"asked {question}")
        return f"They say: {inner.run(question).content}"

    async def aask(question: str) -> str:
        """Ask the expert."""
        done.append(f"asked {question}")
        return f"They say: {(await inner.arun(question)).content}"

    return Agent(ScriptedModel(replies), name="outer", tools=[{"ask": ask, "aask": aask}[asks.__name__], look], db=db)


def ask() -> None: ...
def aask() -> None: ...


@pytest.mark.parametrize("asks", [ask, aask], ids=["sync", "async"])
@pytest.mark.parametrize("stored", [False, True], ids=["unstored", "stored"])
def test_a_pause_in_a_nested_run_pauses_the_run_around_it(asks: Callable[..., Any], stored: bool) -> None:
    db = InMemoryDb() if stored else None
    asking = [call(asks.__name__, question="delete a?"), call("look", path="b")]
    agent = family(asks, db, [asking, "All said."], [call("delete", path="a"), "Deleted it."])
    events = list(agent.run("go", stream=True, stream_events=True))
    run = events[-1].run_output
    assert run is not None
    ended = [(event.component_name, event.event) for event in events if event.is_final]
    assert ended == [("inner", RunEvent.run_paused), ("outer", RunEvent.run_paused)]
    (requirement,) = run.requirements
    (nested,) = run.nested_runs
    assert (requirement.component_name, requirement.run_id) == ("inner", nested.run_id)
    assert (nested.parent_run_id, nested.parent_tool_call_id) == (run.run_id, run.tools[0].tool_call_id)

    requirement.confirm()
    events = list(agent.continue_run(run, stream=True, stream_events=True))
    again = [event.component_name for event in events if event.event is RunEvent.run_continued]
    assert again == ["outer", "inner"]
    assert run.content == "All said."
    assert [t.result for t in run.tools] == ["They say: Deleted it.", "4 bytes"]
    # The tool is called again from its beginning; the run that it began goes on.
    assert sorted(done) == sorted(["asked delete a?", "looked at b", "asked delete a?", "deleted a"])


def test_a_nested_pause_is_continued_from_the_store_by_new_agents() -> None:
    db = InMemoryDb()
    first = family(ask, db, [call("ask", question="delete a?"), "unused"], [call("delete", path="a"), "unused"])
    paused = first.run("go", session_id="s")
    second = family(ask, db, ["All said."], ["Deleted it."])
    stored = db.get_run(paused.run_id, "s")
    assert stored is not None
    for requirement in stored.active_requirements:
        requirement.confirm()
    run = second.continue_run(run_id=paused.run_id, session_id="s", requirements=stored.requirements)
    assert (run.status, run.content) == (RunStatus.COMPLETED, "All said.")
    assert [t.result for t in run.tools] == ["They say: Deleted it."]
    outer, inner = db.get_runs("s")
    assert (inner.status, inner.content, inner.parent_run_id) == (RunStatus.COMPLETED, "Deleted it.", outer.run_id)
    assert [r.confirmed for r in outer.requirements] == [r.confirmed for r in inner.requirements] == [True]


def paused_run(db: Db | None = None, *, user_id: str | None = None, reply: str = "Done.") -> tuple[Agent, RunOutput]:
    agent = Agent(ScriptedModel([call("delete", path="a"), reply]), name="clerk", tools=TOOLS, db=db)
    return agent, agent.run("delete a", session_id="s", user_id=user_id)


def test_an_unresolved_requirement_is_named_with_its_call() -> None:
    agent, run = paused_run()
    with pytest.raises(InvalidInputError, match=r'still needs confirmation.* Its call is delete\(\{"path": "a"\}\)'):
        agent.continue_run(run)
    assert (run.status, done) == (RunStatus.PAUSED, [])
    run.requirements[0].confirm()
    assert agent.continue_run(run_response=run).content == "Done."  # type: ignore[call-overload] # agno's name.


def test_a_run_that_is_not_paused_cannot_be_continued() -> None:
    agent, run = paused_run(InMemoryDb())
    run.requirements[0].confirm()
    agent.continue_run(run)
    with pytest.raises(RunNotContinuableError, match="is COMPLETED and not PAUSED"):
        agent.continue_run(run)
    with pytest.raises(RunNotContinuableError, match="is COMPLETED and not PAUSED"):
        agent.continue_run(run_id=run.run_id)
    with pytest.raises(RunNotFoundError, match="there is no run 'nonsense' in session 's'"):
        agent.continue_run(run_id="nonsense", session_id="s")
    with pytest.raises(InvalidInputError, match="say which run to continue"):
        agent.continue_run()


def test_only_its_user_continues_a_run() -> None:
    db = InMemoryDb()
    agent, run = paused_run(db, user_id="ada")
    run.requirements[0].confirm()
    with pytest.raises(SessionOwnershipError, match=r"belongs to user 'ada'.* by user 'bob'; give user_id='ada'"):
        agent.continue_run(run, user_id="bob")
    with pytest.raises(SessionOwnershipError, match="by nobody in particular"):
        agent.continue_run(run_id=run.run_id, requirements=run.requirements)
    assert done == []
    assert agent.continue_run(run_id=run.run_id, requirements=run.requirements, user_id="ada").content == "Done."


def test_a_run_is_continued_by_the_agent_that_was_asked() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    other = Agent(ScriptedModel([]), name="cook", tools=TOOLS, db=db)
    with pytest.raises(RunNotContinuableError, match="is of agent 'clerk', and not of agent 'cook'"):
        other.continue_run(run)


def test_a_tool_that_is_gone_or_takes_other_arguments_is_told_before_anything_is_done() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=r"waits for tool 'delete'.* has no such tool"):
        Agent(ScriptedModel([]), name="clerk", tools=[look], db=db).continue_run(run)

    def delete(file: str) -> str:
        raise AssertionError("it does not take these arguments")

    with pytest.raises(InvalidInputError, match="delete does not take these arguments"):
        Agent(ScriptedModel([]), name="clerk", tools=[delete], db=db).continue_run(run)
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.status is RunStatus.PAUSED
    # What was refused needs no tool.
    run.requirements[0].reject()
    assert Agent(ScriptedModel(["Fine."]), name="clerk", db=db).continue_run(run).content == "Fine."


def test_after_a_newer_attempt_the_old_one_cannot_be_continued() -> None:
    agent, run = paused_run(InMemoryDb(), reply="Second try.")
    newer = agent.regenerate(run.run_id)
    assert (newer.run_index, newer.attempt, newer.content) == (0, 1, "Second try.")
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=f"superseded by run '{newer.run_id}'"):
        agent.continue_run(run)
    assert done == []


CONTINUE = """
import json, sys
from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import RunNotContinuableError
from agno_nb.models.base import ModelResponse
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.run.context import INTERRUPTED_RESULT
from agno_nb.testing import ScriptedModel
from agno_nb.tools import tool

@tool(requires_confirmation=True)
def delete(path: str) -> str:
    with open("done.txt", "a") as file:
        file.write("deleted\\n")
    return "gone"

agent = Agent(ScriptedModel(["Done."]), name="clerk", tools=[delete], db=DuckDb("store.duckdb"))
run = agent.get_run_output(sys.argv[1])
run.requirements[0].confirm()
print("ready", flush=True)
sys.stdin.readline()
try:
    print(agent.continue_run(run).content)
except RunNotContinuableError as error:
    print(type(error).__name__)
"""


def test_of_two_processes_only_one_continues(python: str) -> None:
    _, run = paused_run(DuckDb("store.duckdb"))
    command, pipe = [python, "-c", CONTINUE, run.run_id], subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n"] * 2
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[0].strip() for child in children]
    assert sorted(said) == ["Done.", "RunNotContinuableError"]
    assert Path("done.txt").read_text() == "deleted\n"


def test_what_is_asked_is_checked_when_it_is_given() -> None:
    agent = Agent(ScriptedModel([[call("send", subject="hi"), call("delete", path="a")]]), tools=TOOLS)
    run = agent.run("send it")
    fill = next(r for r in run.requirements if r.kind == "user_input")
    ask = next(r for r in run.requirements if r.kind == "confirmation")
    assert [(f.name, f.description, f.field_type) for f in fill.user_input_fields] == [
        ("to", "Who gets it.", "string"),
        ("copies", "", "integer"),
    ]
    with pytest.raises(InvalidInputError, match="does not ask for 'subject'; it asks for to, copies"):
        fill.provide_user_input({"subject": "other"})
    with pytest.raises(InvalidInputError, match="copies is 'many', and that is not what is asked for"):
        fill.provide_user_input({"to": "Bob", "copies": "many"})
    assert [f.is_given for f in fill.user_input_fields] == [False, False]
    with pytest.raises(InvalidInputError, match=r"needs user input, which confirm\(\) does not give"):
        fill.confirm()
    with pytest.raises(ValueError, match=r"use confirm\(\) or reject\(\)"):
        ask.set_external_execution_result("x")
    assert (ask.needs_confirmation, fill.needs_user_input, run.tools_requiring_confirmation) == (True, True, [ask.tool])


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


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"requires_confirmation": True, "external_execution": True}, "choose one"),
        ({"user_input_fields": ["to"]}, "it needs requires_user_input=True too"),
        ({"requires_user_input": True, "user_input_fields": ["too"]}, 'did you mean "to"?'),
    ],
)
def test_a_tool_that_asks_for_what_cannot_be_is_refused(said: dict[str, Any], problem: str) -> None:
    def letter(to: str) -> str:
        return to

    with pytest.raises(InvalidInputError) as refused:
        Tool(letter, **said)
    assert problem in str(refused.value)


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


def test_an_interrupted_continuation_leaves_a_cancelled_run() -> None:
    db = InMemoryDb()
    _, run = paused_run(db)
    run.requirements[0].confirm()
    begun, release = threading.Event(), threading.Event()

    def slow(path: str) -> str:
        begun.set()
        release.wait(30)
        return "too late"

    agent = Agent(ScriptedModel(["never"]), name="clerk", tools=[tool(name="delete")(slow)], db=db)
    with agent.continue_run(run, stream=True):
        assert begun.wait(10)
    release.set()
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.status, stored.tools[0].result) == (RunStatus.CANCELLED, INTERRUPTED_RESULT)
    with pytest.raises(RunNotContinuableError, match="is CANCELLED"):
        agent.continue_run(run_id=run.run_id)


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


def test_a_run_stored_without_its_tool_calls_is_continued_as_an_object_only() -> None:
    db = InMemoryDb()
    model = ScriptedModel([call("delete", path="a"), "Done."])
    agent = Agent(model, tools=TOOLS, db=db, store_tool_messages=False)
    run = agent.run("delete a")
    run.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match="stored without its tool calls"):
        agent.continue_run(run_id=run.run_id, requirements=run.requirements)
    assert agent.continue_run(run).content == "Done."


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


def test_a_tool_may_answer_for_people_itself() -> None:
    inner = Agent(ScriptedModel([call("delete", path="a"), "Deleted it."]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert."""
        try:
            run = inner.run("delete a")
        except NestedRunPaused as paused:
            run = paused.run_output
            run.requirements[0].confirm()
            run = inner.continue_run(run)
        return str(run.content)

    run = Agent(ScriptedModel([call("ask"), "All said."]), tools=[ask]).run("go")
    assert (run.status, run.tools[0].result, run.requirements) == (RunStatus.COMPLETED, "Deleted it.", [])


def test_a_nested_run_is_continued_by_the_run_around_it() -> None:
    inner = Agent(ScriptedModel([call("delete", path="a")]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert."""
        return str(inner.run("delete a").content)

    run = Agent(ScriptedModel([call("ask")]), tools=[ask]).run("go")
    (nested,) = run.nested_runs
    nested.requirements[0].confirm()
    with pytest.raises(RunNotContinuableError, match=f"is part of run '{run.run_id}', which waits for it"):
        inner.continue_run(nested)


def test_inner_runs_that_had_ended_are_not_run_again() -> None:
    inner = Agent(ScriptedModel(["Ready.", call("delete", path="a"), "Deleted it."]), name="inner", tools=TOOLS)

    def ask() -> str:
        """Ask the expert twice."""
        return f"{inner.run('ready?').content} {inner.run('delete a').content}"

    agent = Agent(ScriptedModel([call("ask"), "All said."]), tools=[ask], db=InMemoryDb())
    run = agent.run("go")
    run.requirements[0].confirm()
    run = agent.continue_run(run)
    assert run.tools[0].result == "Ready. Deleted it."
    assert [nested.status for nested in run.nested_runs] == [RunStatus.COMPLETED] * 2


def test_a_pause_inside_a_pause_inside_a_run_comes_out() -> None:
    def outermost(replies: list[list[Any]], db: Db) -> Agent:
        deepest = Agent(ScriptedModel(replies[2]), name="deepest", tools=TOOLS)

        def deeper() -> str:
            """Ask further."""
            return str(deepest.run("delete a").content)

        middle = Agent(ScriptedModel(replies[1]), name="middle", tools=[deeper])

        def deep() -> str:
            """Ask."""
            return str(middle.run("ask further").content)

        return Agent(ScriptedModel(replies[0]), name="outermost", tools=[deep], db=db)

    db = InMemoryDb()
    paused = outermost([[call("deep")], [call("deeper")], [call("delete", path="a")]], db).run("go", session_id="s")
    stored = db.get_run(paused.run_id)
    assert stored is not None
    assert [r.component_name for r in stored.requirements] == ["deepest"]
    stored.requirements[0].confirm()
    agent = outermost([["Outer."], ["Middle."], ["Deep."]], db)
    run = agent.continue_run(run_id=paused.run_id, requirements=stored.requirements)
    assert (run.content, run.tools[0].result, done) == ("Outer.", "Middle.", ["deleted a"])
    assert {one.status for one in db.get_runs("s")} == {RunStatus.COMPLETED}


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
    again = agent.regenerate(go_on=True)
    # How far the tool came is not known, so it is not called again.
    assert (again.content, again.interrupted, again.tools[0].result) == ("Better.", False, INTERRUPTED_RESULT)
    assert again.messages[-2].content == INTERRUPTED_RESULT


@pytest.mark.parametrize("reloaded", [False, True], ids=["object", "store"])
def test_a_tool_that_asks_two_agents_at_once_gets_both_answers(reloaded: bool) -> None:
    async def both() -> str:
        """Ask both."""
        runs = await asyncio.gather(*(agent.arun("delete it") for agent in inner))
        return " ".join(str(run.content) for run in runs)

    # Which of the two pauses first, and whether the other is stopped by that, is up to the loop.
    inner = [
        Agent(FunctionModel(deletes_once), name="ada", tools=TOOLS),
        Agent(FunctionModel(deletes_once), name="bob", tools=TOOLS),
    ]
    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("both"), "All said."]), tools=[both], db=db, session_id="s")
    run = agent.run("go")
    while run.is_paused:
        if reloaded:
            stored = db.get_run(run.run_id)
            assert stored is not None
            run = stored
        for requirement in run.active_requirements:
            requirement.confirm()
        ids = {"run_id": run.run_id, "requirements": run.requirements}
        run = agent.continue_run(**ids) if reloaded else agent.continue_run(run)
    assert (run.content, run.tools[0].result) == ("All said.", "Done. Done.")
    assert done == ["deleted a", "deleted a"]
    completed = [nested.component_name for nested in run.nested_runs if nested.status is RunStatus.COMPLETED]
    assert sorted(map(str, completed)) == ["ada", "bob"]


def deletes_once(messages: list[Message], tools: list[ToolSpec]) -> Any:
    return "Done." if messages[-1].role == "tool" else call("delete", path="a")


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
