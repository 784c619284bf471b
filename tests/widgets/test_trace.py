"""The timeline of a run, from the RunOutput and from the store."""

from __future__ import annotations

import asyncio

import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel, trace
from agno_nb.errors import InvalidInputError
from agno_nb.testing import call
from agno_nb.widgets.trace import Trace, run_html, timeline_of
from agno_nb.workflow import Step, Workflow
from tests.notebook.hostile import PAYLOADS
from tests.widgets.browser import Browser, live_in


def weigh(species: str) -> float:
    return 5076.0


def broken() -> str:
    raise RuntimeError("it broke")


def nested(db: InMemoryDb) -> Agent:
    inner = Agent(ScriptedModel(["from inside"] * 9), name="inner", db=db)

    async def delegate(task: str) -> str:
        return str((await inner.arun(task)).content)

    replies = [[call("weigh", species="Gentoo"), call("broken")], call("delegate", task="look"), "5076 g"]
    return Agent(ScriptedModel(replies * 3), name="outer", db=db, tools=[weigh, broken, delegate])


def test_a_run_is_its_model_calls_its_tools_and_the_runs_nested_in_it() -> None:
    db = InMemoryDb()
    run = nested(db).run("How heavy?", session_id="s")
    for shown in (run, db.get_run(run.run_id)):
        assert shown is not None
        timeline = timeline_of(shown, db)
        assert [(step.kind, step.name, step.depth) for step in timeline.steps][:2] == [
            ("run", "outer", 0),
            ("model", "scripted", 1),
        ]
        assert sorted((step.kind, step.name) for step in timeline.steps) == [
            *[("model", "scripted")] * 4,
            ("run", "inner"),
            ("run", "outer"),
            ("tool", "broken"),
            ("tool", "delegate"),
            ("tool", "weigh"),
        ]
        assert {step.name for step in timeline.steps if step.tone == "failed"} == {"broken"}
        assert all(0 <= step.started_at - timeline.started_at <= timeline.duration_s + 0.01 for step in timeline.steps)


def test_a_line_shows_what_the_model_was_sent_and_a_tool_s_arguments_and_result() -> None:
    run = Agent(ScriptedModel([call("weigh", species="Gentoo"), "5076 g"]), tools=[weigh]).run("How heavy?")
    page = Browser(trace(run))
    names = [step["name"] for step in page.content["timelines"][0]["steps"]]
    tool = page.ask("look", timeline=0, step=names.index("weigh"))
    assert tool == [
        {"title": "Arguments", "text": '{\n  "species": "Gentoo"\n}', "parts": []},
        {"title": "Result", "text": "5076.0", "parts": []},
    ]
    assert "there is no such line" in page.refusal("look", timeline=1, step=0)
    assert "there is no such line" in page.refusal("look", timeline=0, step=99)


def test_a_model_call_shows_by_source_what_was_sent_and_what_was_left_out() -> None:
    db = InMemoryDb()
    replies = ["Good.", "Fine.", call("weigh", species="Gentoo"), "5076 g"]
    fields = {"instructions": "Be brief.", "add_history_to_context": True, "num_history_runs": 1}
    agent = Agent(ScriptedModel(replies), db=db, tools=[weigh], **fields)
    for question in ("How are you?", "And now?"):
        agent.run(question, session_id="s")
    run = agent.run("How heavy?", session_id="s")
    for shown in (run, db.get_run(run.run_id)):
        assert shown is not None
        page = Browser(Trace([timeline_of(shown, db)]))
        calls = [n for n, step in enumerate(page.content["timelines"][0]["steps"]) if step["kind"] == "model"]
        first, second = (page.ask("look", timeline=0, step=step)[0] for step in calls)
        assert first["title"] == second["title"] == "Request"
        assert "Left out: turn 0 (history is the last 1 completed turn)." in first["text"]
        assert first["text"].startswith("About ")
        assert [(part["source"], part["detail"]) for part in first["parts"]] == [
            ("instructions", ""),
            ("history", "turn 1"),
            ("prompt", ""),
            ("tools", "weigh"),
        ]
        assert [part["text"] for part in first["parts"][:3]] == [
            "Be brief.",
            "user: And now?\nassistant: Fine.",
            "How heavy?",
        ]
        assert first["parts"][2]["size"] == "~3 tokens"
        # Its next request includes the messages since then.
        added = [(part["source"], part["detail"], part["text"]) for part in second["parts"][4:]]
        assert added == [("assistant", "", 'weigh({"species": "Gentoo"})'), ("tool result", "weigh", "5076.0")]


def test_a_run_without_a_receipt_shows_the_messages_that_were_sent() -> None:
    run = Agent(ScriptedModel([call("weigh", species="Gentoo"), "5076 g"]), tools=[weigh]).run("How heavy?")
    run.context_report = None
    page = Browser(trace(run))
    sent = page.ask("look", timeline=0, step=len(page.content["timelines"][0]["steps"]) - 1)[0]
    assert sent["title"] == "Request"
    assert [(part["source"], part["detail"], part["text"]) for part in sent["parts"]] == [
        ("prompt", "", "How heavy?"),
        ("assistant", "", 'weigh({"species": "Gentoo"})'),
        ("tool result", "weigh", "5076.0"),
    ]


def test_two_runs_stand_side_by_side_and_three_do_not() -> None:
    agent = Agent(ScriptedModel(["one", "two"]))
    runs = [agent.run("first"), agent.run("second")]
    panel = trace(*runs)
    assert panel.runs == runs
    assert [timeline["title"] for timeline in Browser(panel).content["timelines"]] == ["first", "second"]
    with pytest.raises(InvalidInputError, match="got 3"):
        trace(*runs, runs[0])
    with pytest.raises(InvalidInputError, match="there is no run 'x'"):
        trace("x")


def test_a_workflow_is_its_steps_and_who_took_them() -> None:
    db = InMemoryDb()
    steps = [Step(name=name, agent=Agent(ScriptedModel([name]), name=f"the {name}er")) for name in ("read", "print")]
    run = Workflow(name="flow", db=db, steps=steps).run("Go", session_id="s")
    assert [(step.kind, step.name, step.depth) for step in timeline_of(run, db).steps] == [
        ("run", "flow", 0),
        ("run", "read: the reader", 1),
        ("model", "scripted", 2),
        ("run", "print: the printer", 1),
        ("model", "scripted", 2),
    ]


def test_a_run_that_was_cut_off_has_a_timeline_too() -> None:
    async def cut() -> None:
        task = asyncio.ensure_future(agent.arun("Wait", session_id="s"))
        while db.runs_df().empty:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})

    db = InMemoryDb()

    async def wait() -> str:
        await asyncio.Event().wait()
        return ""

    agent = Agent(ScriptedModel([call("wait")]), db=db, tools=[wait])
    asyncio.run(cut())
    (run,) = db.get_runs("s")
    assert timeline_of(run, db).steps[0].state == "interrupted"


def test_hostile_runs_are_text_in_the_timeline() -> None:
    for payload in PAYLOADS:
        model = ScriptedModel([call(payload, text=payload), payload], id=payload)
        run = Agent(model, name=payload).run(payload)
        panel = trace(run)
        assert live_in(panel.static_view().bundle()["text/html"]) == set()
        assert live_in(run_html(run)) == set()


def test_a_run_id_is_looked_up_in_the_store_that_is_named() -> None:
    db = InMemoryDb()
    run = Agent(ScriptedModel(["Hello."]), db=db).run("Hi")
    assert [each.run_id for each in trace(run.run_id, db=db).runs] == [run.run_id]
    with pytest.raises(InvalidInputError, match="there is no run"):
        trace(run.run_id, db=InMemoryDb())
    with pytest.raises(InvalidInputError, match=r"^db is 'x.duckdb'; pass a store"):
        trace(run.run_id, db="x.duckdb")  # type: ignore[arg-type]
