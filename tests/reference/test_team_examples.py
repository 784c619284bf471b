"""The examples of the page on team sessions, which are not on the page itself.

Each is written for agno, and only `agno` in its imports is replaced.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb.media import Image
from agno_nb.team import Team
from agno_nb.types import RunOutput, SessionType
from tests.reference.conftest import Reader, Server
from tests.reference.pages import _renamed

SETUP = """
from agno.agent import Agent
from agno.db.in_memory import InMemoryDb
from agno.models.openai import OpenAIChat
from agno.team import Team

db = InMemoryDb()
web = Agent(name="Web", role="Finds news", model=OpenAIChat(id="gpt-5-mini"))
finance = Agent(name="Finance", role="Knows prices", model=OpenAIChat(id="gpt-5-mini"))
"""
MULTI_USER = """
team = Team(members=[web, finance], model=OpenAIChat(id="gpt-5-mini"), db=db, add_history_to_context=True)

team.print_response("My name is Ada.", user_id="ada@example.com", session_id="ada 1")
team.print_response("My name is Bob.", user_id="bob@example.com", session_id="bob 1")
team.print_response("What is my name?", user_id="ada@example.com", session_id="ada 1")
team.print_response("What is my name?", user_id="bob@example.com", session_id="bob 1")
"""
SUMMARY = """
team = Team(
    members=[web, finance], model=OpenAIChat(id="gpt-5-mini"), db=db, session_id="s", enable_session_summaries=True
)
team.print_response("My name is Ada and I like tea.")
session_summary = team.get_session_summary(session_id="s")
"""
CUSTOM_SUMMARY = """
from agno.session import SessionSummaryManager

by_prompt = Team(members=[web], model=OpenAIChat(id="gpt-5-mini"), db=db, session_summary_prompt="Only the name.")
by_prompt.print_response("My name is Ada.", session_id="p")
by_manager = Team(
    members=[web],
    model=OpenAIChat(id="gpt-5-mini"),
    db=db,
    session_summary_manager=SessionSummaryManager(model=OpenAIChat(id="gpt-5-nano"), session_summary_prompt="Briefly."),
)
by_manager.print_response("My name is Bob.", session_id="m")
summaries = by_prompt.get_session_summary("p"), by_manager.get_session_summary("m")
"""
HISTORY = """
team = Team(
    members=[web, finance],
    model=OpenAIChat(id="gpt-5-mini"),
    db=db,
    session_id="s",
    add_history_to_context=True,
    num_history_runs=3,
    read_chat_history=True,
    read_tool_call_history=True,
)
team.print_response("Which prices do you know?")
team.print_response("What was my first question?")
chat_history = team.get_chat_history()
messages = team.get_messages_for_session()
"""
SEARCH = """
team = Team(
    members=[web],
    model=OpenAIChat(id="gpt-5-mini"),
    db=db,
    user_id="ada",
    search_session_history=True,
    num_history_sessions=2,
)
for number in (1, 2, 3):
    team.print_response(f"My lucky number is {number}.", session_id=f"session {number}")
team.print_response("What did I say in my earlier conversations?", session_id="session 4")
"""


@pytest.fixture
def reader(server: Server) -> Reader:
    reader = Reader("")
    typed(reader, SETUP)
    return reader


def typed(reader: Reader, example: str) -> None:
    exec(compile(_renamed(example), "example", "exec"), reader.names)


def test_a_session_connects_the_runs_of_a_team_and_without_one_a_run_stands_alone(
    reader: Reader, server: Server
) -> None:
    def team() -> Team:
        return Team(members=[reader["web"]], model=reader["web"].model, db=reader["db"], add_history_to_context=True)

    team().run("My name is Ada.")
    assert "Ada" not in team().run("What is my name?").content
    team().run("My name is Bob.", session_id="s")
    assert "Bob" in team().run("What is my name?", session_id="s").content
    assert reader["db"].get_session("s").session_type is SessionType.TEAM


def test_several_users_with_several_sessions(reader: Reader, server: Server) -> None:
    typed(reader, MULTI_USER)
    db = reader["db"]
    answers = {run["user_id"]: run["content"] for run in db.runs_df().to_dict("records") if run["run_index"] == 1}
    assert "Ada" in answers["ada@example.com"]
    assert "Bob" in answers["bob@example.com"]
    assert [one.by("user") for one in server.requests][2:] == [
        ["My name is Ada.", "What is my name?"],
        ["My name is Bob.", "What is my name?"],
    ]


def test_a_summary(reader: Reader, server: Server) -> None:
    typed(reader, SUMMARY)
    assert "Ada" in reader["session_summary"].summary
    assert reader["db"].get_session("s").summary == reader["session_summary"]


def test_a_summary_by_a_prompt_and_by_a_manager(reader: Reader, server: Server) -> None:
    typed(reader, CUSTOM_SUMMARY)
    assert ["Ada" in str(reader["summaries"][0]), "Bob" in str(reader["summaries"][1])] == [True, True]
    first, second = server.for_summaries
    assert "Only the name." in first.by("system")[0]
    assert (second.model, "Briefly." in second.by("system")[0]) == ("gpt-5-nano", True)


def test_history_in_the_context_and_by_tools(reader: Reader, server: Server) -> None:
    typed(reader, HISTORY)
    assert {"get_chat_history", "get_tool_call_history", "delegate_task_to_member"} <= server.requests[0].tools
    said = [(message.role, message.content) for message in reader["chat_history"]]
    assert [text for role, text in said if role == "user"] == [
        "Which prices do you know?",
        "What was my first question?",
    ]
    assert "Which prices do you know?" in str(said[-1][1])
    roles = {message.role for message in reader["messages"]}
    assert roles == {"system", "user", "assistant", "tool"}
    # The member that was asked is a run of the session as well.
    assert reader["db"].runs_df(session_id="s", agent="Finance")["input"].tolist() == ["Which prices do you know?"]


def test_tool_calls_in_reverse_order(reader: Reader) -> None:
    from agno_nb.testing import ScriptedModel, call

    team = Team(
        members=[reader["web"]],
        model=ScriptedModel(
            [
                [call("delegate_task_to_member", member_id="web", task=task) for task in ("first", "second")],
                "done",
                call("get_tool_call_history", num_calls=1),
                "read",
            ]
        ),
        db=reader["db"],
        read_tool_call_history=True,
    )
    team.run("Go", session_id="s")
    run = team.run("What did you do?", session_id="s")
    assert [one["arguments"]["task"] for one in json.loads(str(run.tools[0].result))] == ["second"]


def test_search_shows_the_last_two_other_sessions(reader: Reader, server: Server) -> None:
    typed(reader, SEARCH)
    (result,) = server.requests[-1].by("tool")
    assert [one["session_id"] for one in json.loads(result)] == ["session 3", "session 2"]


@pytest.mark.parametrize("flag", ["store_media", "store_tool_results", "store_history_messages"])
@pytest.mark.parametrize("stored", [True, False])
def test_what_is_stored_can_be_chosen_and_the_run_output_has_it_all(reader: Reader, flag: str, stored: bool) -> None:
    from agno_nb.testing import ScriptedModel, call

    asking: dict[str, Any] = {"store_tool_results": True, "store_media": True, "store_history_messages": False}
    team = Team(
        members=[reader["web"]],
        model=ScriptedModel(["Hello.", call("delegate_task_to_member", member_id="web", task="news"), "Nothing new."]),
        db=reader["db"],
        add_history_to_context=True,
        **{**asking, flag: stored},
    )
    team.run("Hi", session_id="s")
    picture = Image(content=b"\x89PNG\r\n\x1a\n0", mime_type="image/png")
    run: RunOutput = team.run("What is new in this picture?", session_id="s", images=[picture])
    own = [message for message in run.messages if not message.from_history]
    assert [message.role for message in own] == ["system", "user", "assistant", "tool", "assistant"]
    assert own[1].media != []
    assert run.tools[0].result is not None
    kept = reader["db"].messages_df(run_id=run.run_id)
    found = {
        "store_media": bool(kept["num_media"].sum()),
        "store_tool_results": "tool" in kept["role"].tolist(),
        "store_history_messages": bool(kept["from_history"].any()),
    }
    assert found[flag] is stored
