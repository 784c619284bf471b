"""Programs about team and workflow sessions, in the form in which they are written for agno."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.media import Image
from agno_nb.models.openai import OpenAIChat
from agno_nb.session import SessionSummaryManager
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import RunOutput, SessionType
from agno_nb.workflow import Step, Workflow
from tests.agno.conftest import Server


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()


@pytest.fixture
def members(server: Server) -> list[Agent]:
    model = OpenAIChat(id="gpt-5-mini")
    return [
        Agent(name="Web", role="Finds news", model=model),
        Agent(name="Finance", role="Knows prices", model=model),
    ]


def team_of(members: list[Agent], db: InMemoryDb, **options: Any) -> Team:
    return Team(members=[*members], model=OpenAIChat(id="gpt-5-mini"), db=db, **options)


def test_a_session_connects_the_runs_of_a_team_and_without_one_a_run_stands_alone(
    members: list[Agent], db: InMemoryDb
) -> None:
    def team() -> Team:
        return team_of(members, db, add_history_to_context=True)

    team().run("My name is Ada.")
    assert "Ada" not in team().run("What is my name?").content
    team().run("My name is Bob.", session_id="s")
    assert "Bob" in team().run("What is my name?", session_id="s").content
    session = db.get_session("s")
    assert session is not None
    assert session.session_type is SessionType.TEAM


def test_several_users_with_several_sessions(members: list[Agent], db: InMemoryDb, server: Server) -> None:
    team = team_of(members, db, add_history_to_context=True)
    for user in ("ada", "bob"):
        team.print_response(f"My name is {user.title()}.", user_id=user, session_id=f"{user} 1")
    for user in ("ada", "bob"):
        team.print_response("What is my name?", user_id=user, session_id=f"{user} 1")

    answers = {run["user_id"]: run["content"] for run in db.runs_df().to_dict("records") if run["run_index"] == 1}
    assert "Ada" in answers["ada"]
    assert "Bob" in answers["bob"]
    assert [one.by("user") for one in server.requests][2:] == [
        ["My name is Ada.", "What is my name?"],
        ["My name is Bob.", "What is my name?"],
    ]


def test_a_summary(members: list[Agent], db: InMemoryDb) -> None:
    team = team_of(members, db, session_id="s", enable_session_summaries=True)
    team.print_response("My name is Ada and I like tea.")

    summary = team.get_session_summary(session_id="s")
    assert summary is not None
    assert "Ada" in summary.summary
    session = db.get_session("s")
    assert session is not None
    assert session.summary == summary


def test_a_summary_by_a_prompt_and_by_a_manager(members: list[Agent], db: InMemoryDb, server: Server) -> None:
    by_prompt = team_of(members, db, session_summary_prompt="Only the name.")
    by_prompt.print_response("My name is Ada.", session_id="p")
    manager = SessionSummaryManager(model=OpenAIChat(id="gpt-5-nano"), session_summary_prompt="Briefly.")
    by_manager = team_of(members, db, session_summary_manager=manager)
    by_manager.print_response("My name is Bob.", session_id="m")

    assert "Ada" in str(by_prompt.get_session_summary("p"))
    assert "Bob" in str(by_manager.get_session_summary("m"))
    first, second = server.for_summaries
    assert "Only the name." in first.by("system")[0]
    assert (second.model, "Briefly." in second.by("system")[0]) == ("gpt-5-nano", True)


def test_history_in_the_context_and_by_tools(members: list[Agent], db: InMemoryDb, server: Server) -> None:
    team = team_of(
        members,
        db,
        session_id="s",
        add_history_to_context=True,
        num_history_runs=3,
        read_chat_history=True,
        read_tool_call_history=True,
    )
    questions = ["Which prices do you know?", "What was my first question?"]
    for question in questions:
        team.print_response(question)

    assert {"get_chat_history", "get_tool_call_history", "delegate_task_to_member"} <= server.requests[0].tools
    said = [(message.role, message.content) for message in team.get_chat_history()]
    assert [text for role, text in said if role == "user"] == questions
    assert questions[0] in str(said[-1][1])
    assert {message.role for message in team.get_messages_for_session()} == {"system", "user", "assistant", "tool"}
    # The member that was asked is a run of the session as well.
    assert db.runs_df(session_id="s", agent="Finance")["input"].tolist() == questions[:1]


def test_tool_calls_in_reverse_order(members: list[Agent], db: InMemoryDb) -> None:
    model = ScriptedModel(
        [
            [call("delegate_task_to_member", member_id="web", task=task) for task in ("first", "second")],
            "done",
            call("get_tool_call_history", num_calls=1),
            "read",
        ]
    )
    team = Team(members=members[:1], model=model, db=db, read_tool_call_history=True)
    team.run("Go", session_id="s")
    run = team.run("What did you do?", session_id="s")
    assert [one["arguments"]["task"] for one in json.loads(str(run.tools[0].result))] == ["second"]


def test_search_shows_the_last_two_other_sessions(members: list[Agent], db: InMemoryDb, server: Server) -> None:
    team = team_of(members[:1], db, user_id="ada", search_session_history=True, num_history_sessions=2)
    for number in (1, 2, 3):
        team.print_response(f"My lucky number is {number}.", session_id=f"session {number}")
    team.print_response("What did I say in my earlier conversations?", session_id="session 4")

    (result,) = server.requests[-1].by("tool")
    assert [one["session_id"] for one in json.loads(result)] == ["session 3", "session 2"]


@pytest.mark.parametrize("flag", ["store_media", "store_tool_results", "store_history_messages"])
@pytest.mark.parametrize("stored", [True, False], ids=["stored", "not stored"])
def test_what_is_stored_can_be_chosen_and_the_run_output_has_it_all(
    members: list[Agent], db: InMemoryDb, flag: str, stored: bool
) -> None:
    flags: dict[str, Any] = {"store_tool_results": True, "store_media": True, "store_history_messages": False}
    team = Team(
        members=members[:1],
        model=ScriptedModel(["Hello.", call("delegate_task_to_member", member_id="web", task="news"), "Nothing new."]),
        db=db,
        add_history_to_context=True,
        **{**flags, flag: stored},
    )
    team.run("Hi", session_id="s")
    picture = Image(content=b"\x89PNG\r\n\x1a\n0", mime_type="image/png")
    run: RunOutput = team.run("What is new in this picture?", session_id="s", images=[picture])
    own = [message for message in run.messages if not message.from_history]
    assert [message.role for message in own] == ["system", "user", "assistant", "tool", "assistant"]
    assert own[1].media != []
    assert run.tools[0].result is not None
    kept = db.messages_df(run_id=run.run_id)
    found = {
        "store_media": bool(kept["num_media"].sum()),
        "store_tool_results": "tool" in kept["role"].tolist(),
        "store_history_messages": bool(kept["from_history"].any()),
    }
    assert found[flag] is stored


def test_a_workflow_session_has_the_input_and_output_of_each_run(members: list[Agent], db: InMemoryDb) -> None:
    workflow = Workflow(name="Desk", steps=[Step(name="Look up", agent=members[0])], db=db)
    runs = [workflow.run(question, session_id="w") for question in ("What is new?", "And today?")]

    session = db.get_session("w", SessionType.WORKFLOW)
    assert session is not None
    turns = [(run.run_id, run.input, run.content) for run in session.runs if run.parent_run_id is None]
    assert turns == [(run.run_id, run.input, run.content) for run in runs]
    assert runs[0].run_id != runs[1].run_id
    assert all([step.step_name for step in run.step_results] == ["Look up"] for run in runs)
