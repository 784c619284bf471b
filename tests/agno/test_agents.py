"""Programs about agent sessions, in the form in which they are written for agno, have the effect that agno documents.

What is asserted is which prompts the server received together, and what the store holds.
"""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from agno_nb.agent import Agent, RunResponse
from agno_nb.db.base import AsyncDb, Db, SessionType
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.memory.v2 import Memory
from agno_nb.models.google.gemini import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.session import SessionSummaryManager
from agno_nb.session.summary import SessionSummaryManager as TheSame
from agno_nb.types import RunOutput
from agno_nb.utils.pprint import pprint_run_response
from tests.agno.conftest import Server

ADA, BOB = "ada@example.com", "bob@example.com"
Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture) -> str:
    """The output on one line, without the frames around messages."""
    return " ".join(re.sub("[─│╭╮╰╯┏┓┗┛━┃]", " ", capsys.readouterr().out).split())


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (OpenAIChat, "/v1/chat/completions"),
        (OpenAIResponses, "/v1/responses"),
    ],
    ids=["chat", "responses"],
)
def test_a_run_without_a_session_gets_ids_of_its_own(
    model: type[OpenAIChat | OpenAIResponses], path: str, server: Server
) -> None:
    runs = [Agent(model=model(id="gpt-5-mini")).run("Where do penguins sleep?") for _ in range(2)]

    assert len({run.run_id for run in runs} | {run.session_id for run in runs}) == 4
    assert all(run.content for run in runs)
    assert [run.user_id for run in runs] == [None, None]
    sent = [(one.path, one.model, one.by("user")) for one in server.requests]
    assert sent == [(path, "gpt-5-mini", ["Where do penguins sleep?"])] * 2


def test_a_run_is_printed(server: Server, capsys: Capture) -> None:
    agent = Agent(model=OpenAIChat(id="gpt-4o-mini"))
    agent.print_response("Where do penguins sleep?")
    assert [(one.model, len(one.messages)) for one in server.requests] == [("gpt-4o-mini", 1)]
    assert "Where do penguins sleep?" in printed(capsys)

    run = agent.run("And seals?")
    assert RunResponse is RunOutput
    pprint_run_response(run)
    assert " ".join(run.content.split()) in printed(capsys)


def print_two_conversations(agent: Agent) -> list[tuple[str, str, str]]:
    """Let two users talk in a session each; return user, session and prompt of each turn."""
    turns = [
        (ADA, "ada-1", "Name a penguin."),
        (ADA, "ada-1", "And a seal."),
        (BOB, "bob-1", "What is a quark?"),
        (BOB, "bob-1", "How small is it?"),
        (ADA, "ada-1", "What did we talk about?"),
    ]
    for user_id, session_id, prompt in turns:
        agent.print_response(prompt, user_id=user_id, session_id=session_id)
    return turns


def assert_two_users_have_a_session_each(turns: list[tuple[str, str, str]], server: Server, db: Db) -> None:
    prompts = [prompt for *_, prompt in turns]
    assert [one.by("user") for one in server.for_answers] == [
        prompts[:1],
        prompts[:2],
        prompts[2:3],
        prompts[2:4],
        # The last turn of the first user's session has nothing of the second user's.
        [*prompts[:2], prompts[4]],
    ]
    rows = db.runs_df()[["user_id", "session_id", "run_index", "input"]].values.tolist()
    assert rows == [[*turn[:2], index, turn[2]] for turn, index in zip(turns, [0, 1, 0, 1, 2], strict=True)]


def test_several_users_with_several_sessions(server: Server) -> None:
    db = SqliteDb(db_file="data/talks.db")
    agent = Agent(model=OpenAIChat(id="gpt-5-mini"), db=db, add_history_to_context=True, num_history_runs=3)

    assert_two_users_have_a_session_each(print_two_conversations(agent), server, db)
    assert {one.model for one in server.requests} == {"gpt-5-mini"}


def test_several_users_with_the_memory_of_the_first_agno(server: Server) -> None:
    with pytest.warns(DeprecationWarning, match="db=InMemoryDb|add_history_to_context") as warned:
        agent = Agent(
            model=OpenAIChat(id="gpt-4o-mini"), memory=Memory(), add_history_to_messages=True, num_history_runs=3
        )

    assert sorted(str(one.message).split("=")[0] for one in warned) == ["add_history_to_messages", "memory"]
    assert isinstance(agent.db, InMemoryDb)
    assert_two_users_have_a_session_each(print_two_conversations(agent), server, agent.db)


def test_a_summary(server: Server) -> None:
    db = SqliteDb(db_file="data/talks.db")
    agent = Agent(model=Gemini(id="gemini-2.0-flash-exp"), db=db, enable_session_summaries=True)
    prompts = ["What is a glacier?", "And an iceberg?"]
    for prompt in prompts:
        agent.print_response(prompt, stream=True, user_id=ADA, session_id="1001")

    summary = agent.get_session_summary(session_id="1001")
    assert summary is not None
    assert all(prompt in summary.summary for prompt in prompts)
    versions = db.summaries_df()
    assert versions[["session_id", "version", "from_run_index", "to_run_index"]].values.tolist() == [
        ["1001", 0, 0, 0],
        ["1001", 1, 0, 1],
    ]
    assert versions["summary"].iloc[-1] == summary.summary
    assert {one.model for one in server.requests} == {"gemini-2.0-flash-exp"}
    # The second version is made of the first and of the second run, and the second run knows the first by it.
    first = versions["summary"].iloc[0]
    assert first in server.for_summaries[1].by("system")[0]
    assert prompts[0] not in server.for_summaries[1].by("user")[0]
    assert first in server.for_answers[1].by("system")[0]


def test_a_summary_manager_with_its_own_model_and_prompt(server: Server) -> None:
    assert TheSame is SessionSummaryManager
    db = SqliteDb(db_file="talks.db")
    manager = SessionSummaryManager(
        model=OpenAIChat(id="gpt-5-mini"), session_summary_prompt="Say in a line who spoke about what."
    )
    agent = Agent(db=db, session_summary_manager=manager, enable_session_summaries=True)
    agent.run("My name is Ada.", session_id="s")
    summary = agent.get_session_summary("s")

    assert str(summary) == "The user's name is Ada."
    assert [one.model for one in server.for_answers] == ["demo"]
    (asked,) = server.for_summaries
    assert asked.model == "gpt-5-mini"
    assert "Say in a line who spoke about what." in asked.by("system")[0]
    session = db.get_session("s")
    assert session is not None
    assert session.summary == summary


def test_a_summary_prompt_of_the_agent(server: Server) -> None:
    agent = Agent(model=OpenAIChat(id="gpt-5-mini"), db=InMemoryDb(), session_summary_prompt="In a line.")
    agent.run("My name is Ada.", session_id="s")

    assert str(agent.get_session_summary("s")) == "The user's name is Ada."
    assert "In a line." in server.for_summaries[0].by("system")[0]


def test_history_in_the_context_and_with_a_tool(server: Server, capsys: Capture) -> None:
    agent = Agent(
        model=Gemini(id="gemini-2.0-flash-exp"),
        db=SqliteDb(db_file="data/talks.db"),
        add_history_to_context=True,
        num_history_runs=3,
        read_chat_history=True,
        description="You are cheerful and brief.",
    )
    prompts = ["Tell me about glaciers.", "What was my first message?"]
    for prompt in prompts:
        agent.print_response(prompt, stream=True)

    first, second = server.requests
    assert (first.tools, second.tools) == ({"get_chat_history"}, {"get_chat_history"})
    assert second.messages[:2] == [("system", "You are cheerful and brief."), ("user", prompts[0])]
    assert [role for role, _ in second.messages] == ["system", "user", "assistant", "user"]
    assert prompts[0] in printed(capsys).split(prompts[1])[-1]
    said = [message.content for message in agent.get_chat_history()]
    assert [said[0], said[2]] == prompts
    roles = [message.role for message in agent.get_messages_for_session()]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_tool_calls_are_read_newest_first(server: Server) -> None:
    from agno_nb.testing import ScriptedModel, call

    def weigh(item: str) -> str:
        """Weigh an item."""
        return f"{item}: 1 kg"

    answers = [call("weigh", item="tea"), "1 kg", call("weigh", item="salt"), "1 kg"]
    model = ScriptedModel([*answers, call("get_tool_call_history", num_calls=2), "Salt, then tea."])
    agent = Agent(model, db=InMemoryDb(), tools=[weigh], read_tool_call_history=True)
    agent.run("Weigh tea.")
    agent.run("Weigh salt.")
    run = agent.run("What did you weigh?")
    assert [one["arguments"]["item"] for one in json.loads(str(run.tools[0].result))] == ["salt", "tea"]


def test_search_shows_the_last_two_other_sessions(server: Server) -> None:
    db = SqliteDb(db_file="data/talks.db")
    agent = Agent(
        model=OpenAIChat(id="gpt-5-mini"), user_id=ADA, db=db, search_session_history=True, num_history_sessions=2
    )
    questions = [f"Which animals live in {place}?" for place in ("Peru", "Chad", "Laos", "Fiji")]
    for number, question in enumerate(questions):
        agent.print_response(question, session_id=f"s{number}")
    agent.print_response("What did I discuss in my previous conversations?", session_id="now")

    assert server.requests[0].tools == {"search_past_sessions", "read_past_session"}
    (result,) = server.requests[-1].by("tool")
    found = [(one["session_id"], [run["user"] for run in one["runs"]]) for one in json.loads(result)]
    assert found == [("s3", [questions[3]]), ("s2", [questions[2]])]
    assert db.tool_calls_df()[["tool_name", "session_id", "result"]].values.tolist() == [
        ["search_past_sessions", "now", result]
    ]


def test_a_persistent_session_and_one_with_an_id_of_the_caller(server: Server, postgres: Db, capsys: Capture) -> None:
    agent = Agent(db=postgres, session_id="ada-desk", add_history_to_context=True)
    agent.print_response("Hi, my name is Ada")
    agent.print_response("What's my name?")
    assert "your name is Ada" in printed(capsys)

    session_id = str(uuid4())
    agent.print_response("Tell me about the sea", session_id=session_id)
    agent.print_response("Tell me more", session_id=session_id)
    prompts = server.prompts
    assert [one.by("user") for one in server.requests] == [prompts[:1], prompts[:2], prompts[2:3], prompts[2:4]]
    counts = postgres.sessions_df()[["session_id", "num_runs"]].values.tolist()
    assert counts == [["ada-desk", 2], [session_id, 2]]


def test_history_is_sent_only_if_it_is_switched_on(server: Server, postgres: Db, capsys: Capture) -> None:
    for flags in ({}, {"add_history_to_context": True}):
        agent = Agent(db=postgres, session_id=f"colors {len(flags)}", **flags)
        agent.print_response("My favorite color is green")
        agent.print_response("What's my favorite color?")

    assert [len(one.by("user")) for one in server.requests] == [1, 1, 1, 2]
    assert "your favorite color is green" in printed(capsys)


def test_summaries_instead_of_history(server: Server, postgres: Db) -> None:
    agent = Agent(db=postgres, session_id="long", enable_session_summaries=True, add_session_summary_to_context=True)
    for number in range(20):
        agent.print_response(f"Fact {number}")
    summary = agent.get_session_summary()

    # However long the session is, a request holds the summary and the new message.
    assert [[role for role, _ in one.messages] for one in server.for_answers] == [["user"], *[["system", "user"]] * 19]
    versions = postgres.summaries_df()
    assert versions["to_run_index"].tolist() == list(range(20))
    assert summary is not None
    assert versions["summary"].iloc[-1] == summary.summary
    assert versions["summary"].iloc[-2] in server.for_answers[-1].by("system")[0]


@pytest.fixture
def talked(server: Server, postgres: Db) -> Agent:
    """An agent with summaries by a manager, and three sessions of two users."""
    manager = SessionSummaryManager(model=OpenAIChat(id="gpt-4o-mini"))
    agent = Agent(db=postgres, session_id="first", session_summary_manager=manager, add_session_summary_to_context=True)
    agent.run("My name is Ada.", user_id=ADA)
    agent.run("Hello", user_id=ADA, session_id="later")
    agent.run("Hello", user_id=BOB, session_id="theirs")
    return agent


def test_a_summary_manager_enables_summaries(talked: Agent, server: Server) -> None:
    talked.run("What is my name?", user_id=ADA)

    assert str(talked.get_session_summary("first")).startswith("The user's name is Ada.")
    assert {one.model for one in server.for_summaries} == {"gpt-4o-mini"}
    assert "The user's name is Ada." in server.for_answers[-1].by("system")[0]


def test_a_session_is_retrieved(talked: Agent, postgres: Db) -> None:
    talked.get_session_summary("first")  # Waits for the summary, unlike the methods of the store.
    session = postgres.get_session(session_id="first", session_type=SessionType.AGENT, user_id=ADA)
    assert session is not None
    assert (session.session_id, session.user_id, session.session_type) == ("first", ADA, SessionType.AGENT)
    assert [message.role for message in session.messages] == ["user", "assistant"]
    assert session.summary is not None
    assert session.summary.summary == str(session.summary)
    assert (session.session_name, session.component_id) == (None, talked.component_id)
    assert type(session.created_at) is int
    assert session.updated_at >= session.created_at
    assert postgres.get_session("first", SessionType.AGENT, BOB) is None
    assert postgres.get_session("first", SessionType.TEAM) is None


def test_sessions_are_listed_filtered_and_searched_by_name(talked: Agent, postgres: Db) -> None:
    def ids(**filters: object) -> list[str]:
        return [one.session_id for one in postgres.get_sessions(session_type=SessionType.AGENT, user_id=ADA, **filters)]

    assert ids(limit=10, sort_by="created_at", sort_order="desc") == ["later", "first"]
    assert ids(limit=1, page=2, sort_by="created_at", sort_order="asc") == ["later"]
    a_week_ago = int((datetime.now() - timedelta(days=7)).timestamp())
    assert ids(start_timestamp=a_week_ago, limit=20, sort_by="created_at", sort_order="asc") == ["first", "later"]
    assert ids(end_timestamp=a_week_ago) == []
    renamed = postgres.rename_session(
        session_id="first", session_type=SessionType.AGENT, session_name="Who is Ada?", user_id=ADA
    )
    assert renamed is not None
    assert renamed.session_name == "Who is Ada?"
    assert ids(session_name="Who is Ada?") == ["first"]


def test_a_session_is_deleted_with_all_that_belongs_to_it(talked: Agent, postgres: Db) -> None:
    assert not postgres.delete_session(session_id="first", user_id=BOB)
    assert postgres.delete_session(session_id="first", user_id=ADA)
    assert postgres.get_session("first") is None
    assert set(postgres.messages_df()["session_id"]) == {"later", "theirs"}


def test_several_users_awaited_with_memories(server: Server, postgres: Db) -> None:
    agent = Agent(db=postgres, update_memory_on_run=True, add_history_to_context=True)
    prompts = ["My name is Ada and I like chess", "I have a day off", "Hi, my name is Bob", "What could I do today?"]

    async def talk() -> None:
        await agent.aprint_response(prompts[0], user_id=ADA, session_id="ada-1")
        await agent.aprint_response(prompts[1], user_id=ADA, session_id="ada-2")
        await agent.aprint_response(prompts[2], user_id=BOB, session_id="bob-1")
        await agent.aprint_response(prompts[3], user_id=ADA, session_id="ada-1")

    asyncio.run(talk())
    sent = [one.by("user") for one in server.for_answers]
    assert sent == [prompts[:1], prompts[1:2], prompts[2:3], [prompts[0], prompts[3]]]
    counts = postgres.sessions_df()[["session_id", "num_runs"]].values.tolist()
    assert counts == [["ada-1", 2], ["ada-2", 1], ["bob-1", 1]]
    assert "The user likes chess." in [memory.memory for memory in agent.get_user_memories(ADA)]
    # Ada's facts are known in her next sessions, and in nobody else's.
    knows = ["likes chess" in "".join(one.by("system")) for one in server.for_answers]
    assert knows == [False, True, False, True]


def test_memories_and_history_together(server: Server, postgres: Db, capsys: Capture) -> None:
    agent = Agent(db=postgres, session_id="chat", add_history_to_context=True, update_memory_on_run=True)
    prompts = ["I love soup, especially borscht", "What food do I like?"]
    agent.print_response(prompts[0], user_id=ADA)
    agent.print_response(prompts[1], user_id=ADA, session_id="another")

    first, second = server.for_answers
    assert (first.by("user"), second.by("user")) == (prompts[:1], prompts[1:])
    (memory,) = agent.get_user_memories(ADA)
    assert memory.memory in second.by("system")[0]
    assert "soup" in printed(capsys).split(prompts[1])[-1]
    assert postgres.memories_df()[["user_id", "memory"]].values.tolist() == [[ADA, memory.memory]]


def test_an_awaited_store(server: Server, postgres: Db) -> None:
    db = AsyncDb(postgres)
    agent = Agent(db=db)

    async def manage() -> list[str]:
        await agent.arun("Hello", session_id="first", user_id=ADA)
        await agent.arun("Hello", session_id="other", user_id=ADA)
        session = await db.get_session(session_id="first", session_type=SessionType.AGENT)
        assert session is not None
        sessions = await db.get_sessions(session_type=SessionType.AGENT, user_id=ADA, limit=10)
        assert await db.delete_session(session_id="first")
        return [each.session_id for each in sessions]

    assert sorted(asyncio.run(manage())) == ["first", "other"]
    assert [one.session_id for one in asyncio.run(db.get_sessions())] == ["other"]


def test_a_store_in_memory_is_enough_for_a_conversation_and_without_one_nothing_is_kept(server: Server) -> None:
    for db in (None, InMemoryDb()):
        agent = Agent(model=OpenAIChat(id="gpt-5-mini"), db=db, add_history_to_context=True)
        runs = [agent.run(prompt) for prompt in ("My name is Ada.", "What is my name?")]
        assert runs[0].session_id == runs[1].session_id
    assert [len(one.by("user")) for one in server.requests] == [1, 1, 1, 2]
