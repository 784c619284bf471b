"""Every Python example about agents on the reference pages runs with the documented effect.

Only `agno` in the imports is replaced. The prompts are not repeated here: what is asserted is which of them the server
was sent together, and what the store holds.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import AsyncDb, Db, SessionType
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.types import Session
from tests.reference.conftest import Pages, Reader, Server
from tests.reference.pages import examples

SESSIONS, OLD_SESSIONS, STATE, OVERVIEW, TEAMS = (f"agno-docs-{number:03}" for number in range(5))

THE_USER = "[email\N{NO-BREAK SPACE}protected]"
"""What the page was left with where it had addresses."""


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The output on one line, without the frames around messages."""
    return " ".join(re.sub("[─│╭╮╰╯┏┓┗┛━┃]", " ", capsys.readouterr().out).split())


def test_the_pages_hold_so_many_examples(pages: Pages) -> None:
    found = {name: len(examples(page)) for name, page in pages.items()}
    assert found == {SESSIONS: 6, OLD_SESSIONS: 2, STATE: 14, OVERVIEW: 1, TEAMS: 0}


def test_examples_are_cut_out_where_python_ends_and_only_our_name_is_put_in() -> None:
    page = (
        "Agno does it all.\n1\n\nThe example\n\nfile.py\n    from agno.agent import Agent\n\n    # agno agent\n"
        "    agent = Agent(\n        name='agno',\n    )\n2\n\nRun the example\n\npython file.py\n"
        "Call Agent.run()\nTeam.run()\n, or so.\nx = 1\nSkip to main content"
    )
    assert examples(page) == [
        "from agno_nb.agent import Agent\n\n# agno agent\nagent = Agent(\n    name='agno',\n)",
        "x = 1",
    ]


@pytest.mark.parametrize(
    ("page", "model", "path"),
    [(SESSIONS, "gpt-5-mini", "/v1/chat/completions"), (OVERVIEW, "gpt-5.2", "/v1/responses")],
)
def test_a_single_run(
    page: str, model: str, path: str, pages: Pages, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    readers = [Reader(pages[page]), Reader(pages[page])]
    for reader in readers:
        reader.types(0)

    runs = [reader["response"] for reader in readers]
    assert len({run.run_id for run in runs} | {run.session_id for run in runs}) == 4
    printed = capsys.readouterr().out
    assert all(said in printed for run in runs for said in (run.content, run.run_id, run.session_id))
    assert [(one.path, one.model, one.by("user")) for one in server.requests] == [(path, model, [runs[0].input])] * 2


def test_a_single_run_of_the_first_agno(pages: Pages, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    Reader(pages[OLD_SESSIONS]).types(0)

    assert [(one.model, len(one.messages)) for one in server.requests] == [("gpt-4o-mini", 1)]
    assert server.prompts[0] in printed(capsys)


def assert_two_users_have_a_session_each(reader: Reader, server: Server, db: Db) -> None:
    assert [one.by("user") for one in server.for_answers] == [
        server.prompts[:1],
        server.prompts[:2],
        server.prompts[2:3],
        server.prompts[2:4],
        # The summary of the first user's conversation has nothing of the second's.
        [*server.prompts[:2], server.prompts[4]],
    ]
    assert db.runs_df()[["user_id", "session_id", "run_index", "input"]].values.tolist() == [
        [reader[f"user_{user}_id"], reader[f"user_{user}_session_id"], turn, prompt]
        for user, turn, prompt in zip([1, 1, 2, 2, 1], [0, 1, 0, 1, 2], server.prompts, strict=True)
    ]


def test_several_users_with_several_sessions(pages: Pages, server: Server) -> None:
    reader = Reader(pages[SESSIONS])
    reader.types(1)

    assert_two_users_have_a_session_each(reader, server, reader["db"])
    assert {one.model for one in server.requests} == {"gpt-5-mini"}


def test_several_users_with_the_memory_of_the_first_agno(pages: Pages, server: Server) -> None:
    reader = Reader(pages[OLD_SESSIONS])
    with pytest.warns(DeprecationWarning, match="db=InMemoryDb|add_history_to_context") as warned:
        reader.types(1)

    assert ["memory=" in str(one.message) or "add_history_to_messages" in str(one.message) for one in warned] == [
        True,
        True,
    ]
    assert isinstance(reader["agent"].db, InMemoryDb)
    assert_two_users_have_a_session_each(reader, server, reader["agent"].db)


def test_a_summary(pages: Pages, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Reader(pages[SESSIONS])
    reader.types(2)

    summary = reader["session_summary"]
    assert f"Session summary: {summary.summary}" in printed(capsys)
    assert all(prompt in summary.summary for prompt in server.prompts)
    versions = reader["db"].summaries_df()
    assert versions[["session_id", "version", "from_run_index", "to_run_index"]].values.tolist() == [
        [reader["session_id"], 0, 0, 0],
        [reader["session_id"], 1, 0, 1],
    ]
    assert versions["summary"].iloc[-1] == summary.summary
    assert {one.model for one in server.requests} == {"gemini-2.0-flash-exp"}
    # The second version is made of the first and of the second run, and the second run knows the first by it.
    first = versions["summary"].iloc[0]
    assert first in server.for_summaries[1].by("system")[0]
    assert server.prompts[0] not in server.for_summaries[1].by("user")[0]
    assert first in server.for_answers[1].by("system")[0]


def test_a_summary_manager_with_its_own_model_and_prompt(pages: Pages, server: Server) -> None:
    reader = Reader(pages[SESSIONS])
    reader.types(3)
    agent: Agent = reader["agent"]
    agent.run("My name is Ada.", session_id="s")
    summary = agent.get_session_summary("s")

    assert str(summary) == "The user's name is Ada."
    assert [one.model for one in server.for_answers] == ["demo"]
    (asked,) = server.for_summaries
    assert asked.model == "gpt-5-mini"
    assert reader["session_summary_manager"].session_summary_prompt in asked.by("system")[0]
    assert reader["db"].get_session("s").summary == summary


def test_history_in_the_context_and_by_a_tool(pages: Pages, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Reader(pages[SESSIONS])
    reader.types(4)
    agent: Agent = reader["agent"]

    first, second = server.requests
    assert (first.tools, second.tools) == ({"get_chat_history"}, {"get_chat_history"})
    assert second.messages[:2] == [("system", agent.description), ("user", server.prompts[0])]
    assert [role for role, _ in second.messages] == ["system", "user", "assistant", "user"]
    assert server.prompts[0] in printed(capsys).split(server.prompts[1])[-1]
    # The methods that the page names.
    said = [message.content for message in agent.get_chat_history()]
    assert [said[0], said[2]] == server.prompts
    roles = [message.role for message in agent.get_messages_for_session()]
    assert roles == ["system", "user", "assistant", "user", "assistant"]


def test_search_shows_the_last_two_other_sessions(pages: Pages, server: Server, working_directory: Path) -> None:
    (working_directory / "tmp").mkdir()
    (working_directory / "tmp" / "data.db").touch()
    reader = Reader(pages[SESSIONS])
    reader.types(5)

    assert server.requests[0].tools == {"search_past_sessions", "read_past_session"}
    (result,) = server.requests[-1].by("tool")
    found = [(one["session_id"], [run["user"] for run in one["runs"]]) for one in json.loads(result)]
    assert found == [
        (reader["session_4_id"], [server.prompts[3]]),
        (reader["session_3_id"], [server.prompts[2]]),
    ]
    assert reader["db"].tool_calls_df()[["tool_name", "session_id", "result"]].values.tolist() == [
        ["search_past_sessions", reader["session_5_id"], result]
    ]


def test_a_persistent_session_and_sessions_by_their_ids(
    pages: Pages, server: Server, postgres: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(pages[STATE])
    reader.types(0)
    assert "your name is Alice" in printed(capsys)
    reader.types(1)

    prompts = server.prompts
    assert [one.by("user") for one in server.requests] == [prompts[:1], prompts[:2], prompts[2:3], prompts[2:4]]
    assert postgres.sessions_df()[["session_id", "num_runs"]].values.tolist() == [
        [reader["agent"].session_id, 2],
        [reader["session_id"], 2],
    ]


def test_history_in_the_context(pages: Pages, server: Server, postgres: Db, capsys: pytest.CaptureFixture[str]) -> None:
    reader = Reader(pages[STATE], {"db": postgres, "Agent": Agent})
    reader.types(2)

    assert server.requests[1].by("user") == server.prompts
    assert "your favorite color is blue" in printed(capsys)


def test_summaries_instead_of_history(pages: Pages, server: Server, postgres: Db) -> None:
    reader = Reader(pages[STATE])
    reader.types(3)
    summary = reader["agent"].get_session_summary()

    # However long the session is, a request holds the summary and the new message.
    assert len(server.for_answers) == 50
    roles = [[role for role, _ in one.messages] for one in server.for_answers]
    assert roles == [["user"], *[["system", "user"]] * 49]
    versions = postgres.summaries_df()
    assert versions["to_run_index"].tolist() == list(range(50))
    assert versions["summary"].iloc[-1] == summary.summary
    assert versions["summary"].iloc[-2] in server.for_answers[-1].by("system")[0]


def test_a_summary_manager_enables_summaries(pages: Pages, server: Server, postgres: Db) -> None:
    reader = Reader(pages[STATE], {"db": postgres, "Agent": Agent})
    reader.types(4)
    reader["agent"].run("My name is Ada.")
    reader["agent"].run("What is my name?")

    assert str(reader["agent"].get_session_summary()).startswith("The user's name is Ada.")
    assert {one.model for one in server.for_summaries} == {"gpt-4o-mini"}
    assert "The user's name is Ada." in server.for_answers[1].by("system")[0]


@pytest.fixture
def talked(pages: Pages, server: Server, postgres: Db) -> Reader:
    """A reader who has talked in the session that the examples then manage."""
    reader = Reader(pages[STATE], {"db": postgres, "Agent": Agent})
    reader.types(4)
    agent: Agent = reader["agent"]
    agent.run("Hello", user_id=THE_USER)
    agent.run("Hello", user_id=THE_USER, session_id="later")
    agent.run("Hello", user_id="somebody else", session_id="theirs")
    return reader


def test_a_session_is_retrieved_listed_renamed_found_and_deleted(
    talked: Reader, postgres: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    talked.types(5)
    session = talked["session"]
    assert (session.session_id, session.user_id, session.session_type) == ("session_123", THE_USER, SessionType.AGENT)
    assert capsys.readouterr().out == f"Session: session_123\nMessages: 2\nCreated: {session.created_at}\n"

    talked.types(6)
    assert [one.session_id for one in talked["sessions"]] == ["later", "session_123"]
    assert capsys.readouterr().out == "later: 2 messages\nsession_123: 2 messages\n"

    talked.types(7)
    assert talked["updated_session"].session_name == postgres.get_session("session_123").session_name
    talked.types(11)
    assert [one.session_id for one in talked["sessions"]] == ["session_123"]

    talked.types(8)
    assert postgres.get_session("session_123") is None
    assert set(postgres.messages_df()["session_id"]) == {"later", "theirs"}


def test_the_type_of_a_session(pages: Pages, server: Server, postgres: Db) -> None:
    reader = Reader(pages[STATE], {"db": postgres})
    reader.types(9)

    session = postgres.get_session("agent_session")
    assert session is not None
    assert session.session_type is SessionType.AGENT


def test_a_session_has_the_fields_that_the_page_lists(pages: Pages, talked: Reader, postgres: Db) -> None:
    listed = re.search(r"^class Session:\n((?:    .*\n)+)", pages[STATE], re.MULTILINE)
    assert listed is not None
    fields = re.findall(r"^    (\w+):", listed[1], re.MULTILINE)
    session = postgres.get_session("session_123")
    assert isinstance(session, Session)
    assert len(fields) == 9
    assert [name for name in fields if not hasattr(session, name)] == []


def test_several_users_awaited_with_memories(
    pages: Pages, server: Server, postgres: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(pages[STATE])
    reader.types(10)

    prompts = server.prompts
    assert [one.by("user") for one in server.for_answers] == [
        prompts[:1],
        prompts[1:2],
        prompts[2:3],
        [prompts[0], prompts[3]],
    ]
    assert postgres.sessions_df()[["session_id", "num_runs"]].values.tolist() == [
        ["mark_session_1", 2],
        ["mark_session_2", 1],
        ["john_session_1", 1],
    ]
    remembered = [memory.memory for memory in reader["chat_agent"].get_user_memories(THE_USER)]
    assert "The user likes anime." in remembered
    # Facts from one session are known in the next ones.
    assert [("likes anime" in "".join(one.by("system"))) for one in server.for_answers] == [False, True, True, True]


def test_memories_and_history_together(
    pages: Pages, server: Server, postgres: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(pages[STATE], {"db": postgres, "Agent": Agent})
    reader.types(12)

    first, second = server.for_answers
    assert (first.by("user"), second.by("user")) == (server.prompts[:1], server.prompts[1:])
    (memory,) = reader["agent"].get_user_memories(THE_USER)
    assert memory.memory in second.by("system")[0]
    assert "pizza" in printed(capsys).split(server.prompts[1])[-1]
    assert postgres.memories_df()[["user_id", "memory"]].values.tolist() == [[THE_USER, memory.memory]]


def test_an_awaited_store(pages: Pages, server: Server, postgres: Db) -> None:
    db = AsyncDb(postgres)
    agent = Agent(db=db)
    for session_id, user_id in (("session_123", None), ("other", THE_USER)):
        asyncio.run(agent.arun("Hello", session_id=session_id, user_id=user_id))
    reader = Reader(pages[STATE], {"db": db, "SessionType": SessionType})
    reader.types(13)

    assert [one.session_id for one in asyncio.run(db.get_sessions())] == ["other"]


def test_the_whole_page_typed_into_one_interpreter(
    pages: Pages, server: Server, postgres: Db, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(pages[STATE], {"db": postgres})
    reader.types(*range(13))
    reader.names["db"] = AsyncDb(postgres)
    reader.types(13)

    assert set(postgres.runs_df()["status"]) == {"COMPLETED"}
    assert len(server.for_answers) == len(postgres.runs_df())
