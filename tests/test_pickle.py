"""Objects are pickled and deep-copied as settings, without keys, connections and process state."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.duckdb import AsyncDuckDb, DuckDb
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.postgres import AsyncPostgresDb, PostgresDb, PostgresUrl
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import BudgetExceeded, InvalidInputError, ModelError, NestedRunPaused, QueryInterrupted
from agno_nb.memory import MemoryManager
from agno_nb.models.demo import DemoModel
from agno_nb.models.google import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, Toolkit, tool
from agno_nb.types import Budget, RunOutput, ToolCall, UsageTotals
from agno_nb.workflow import Parallel, Step, StepInput, StepOutput, Workflow
from tests.fakes.http import FakeServer
from tests.fakes.strict import says
from tests.models.asking import ask

KEY = "a-secret-of-no-known-shape"
OTHER_KEY = "another-secret-of-no-known-shape"


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@tool
def decorated(n: int) -> int:
    """Return n."""
    return n


def plus_one(n: int) -> int:
    """Add one."""
    return n + 1


def shout(step_input: StepInput) -> StepOutput:
    return StepOutput(content=step_input.message.upper())


class Shop(Toolkit):
    def __init__(self) -> None:
        super().__init__(tools=[self.price])

    def price(self, item: str) -> int:
        """Look up a price."""
        return len(item)


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses, Gemini])
def test_a_pickled_model_holds_no_key_and_reads_its_environment_again(
    kind: type[OpenAIModel], server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = kind(
        "m",
        base_url=server.base_url.replace("://", "://ada:pass-word@"),
        temperature=0.5,
        extra_headers={"api-key": KEY, "X-Title": "lesson", "X-Odd": KEY, "Cookie": "session"},
        extra_body={"user": "ada", "deep": [{"token": "t", "max_tokens": 3, "author": "b"}, KEY]},
    )
    server.will_say(says("One."), says("Two."), says("Three."))
    ask(model)

    pickled = pickle.dumps(model)
    for secret in (KEY, "pass-word", "Cookie", "Basic"):
        assert secret.encode() not in pickled
    assert KEY.encode() not in pickle.dumps(kind("m", api_key=KEY, base_url=server.base_url))
    other = pickle.loads(pickled)
    assert (type(other), other.id, other.temperature, other.provider) == (kind, "m", 0.5, model.provider)
    assert other.base_url == server.base_url
    assert other.extra_headers == {"X-Title": "lesson"}
    assert other.extra_body == {"user": "ada", "deep": [{"max_tokens": 3, "author": "b"}]}

    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    ask(again(other))
    assert server.requests[1].headers["authorization"] == f"Bearer {OTHER_KEY}"
    ask(copy.deepcopy(model))
    assert server.requests[2].headers["authorization"] == server.requests[0].headers["authorization"]
    assert server.requests[2].headers["api-key"] == KEY


@pytest.fixture
def server() -> Any:
    with FakeServer() as fake:
        yield fake


def test_a_function_that_gives_the_key_is_not_pickled() -> None:
    assert again(OpenAIChat("m", api_key=lambda: KEY)).api_key is None
    assert copy.copy(OpenAIChat("m", api_key=KEY)).api_key is not None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgresql://ada:pass%2Fword@h:1/x", "postgresql://ada@h:1/x"),
        ("postgresql+psycopg://ada:pass@word@h/x?sslmode=require", "postgresql://ada@h/x?sslmode=require"),
        (
            "postgresql://h/x?user=ada&password=pass-word&application_name=a@b",
            "postgresql://h/x?user=ada&application_name=a@b",
        ),
        ("postgresql://h/x?sslpassword=pass-word", "postgresql://h/x"),
        ("postgresql://:pass-word@h/x", "postgresql://h/x"),
        ("postgresql://ada@h", "postgresql://ada@h/"),
        ("postgresql://h1:1,h2:2/x", "postgresql://h1:1,h2:2/x"),
    ],
)
def test_a_pickled_postgres_store_has_no_password(url: str, kept: str) -> None:
    for kind in (PostgresDb, AsyncPostgresDb):
        db = kind(url, db_schema="talks", lock_timeout_s=3)
        pickled = pickle.dumps(db)
        assert b"pass" not in pickled.replace(b"application", b"")
        other = pickle.loads(pickled)
        other, db = getattr(other, "sync", other), getattr(db, "sync", db)
        assert (other.identity, other.db_schema, other.lock_timeout_s) == (db.identity, "talks", 3)
        assert other._url.with_password() == kept
    assert PostgresUrl.parse(url).without_password() == kept


def test_stores_pickle_as_their_settings_and_copies_are_the_same_store() -> None:
    for db in (DuckDb("a.duckdb", lock_timeout_s=3), SqliteDb("a.db", lock_timeout_s=3)):
        db.create()
        assert (again(db).identity, again(db).lock_timeout_s) == (db.identity, 3)
        assert again(db).get_sessions() == []
        assert copy.deepcopy(db) is db
    assert again(AsyncDuckDb("a.duckdb")).sync.identity == DuckDb("a.duckdb").identity
    memory = InMemoryDb()
    assert copy.deepcopy(memory) is memory
    with pytest.raises(TypeError, match="cannot pickle an InMemoryDb, because it lives in this process only"):
        pickle.dumps(memory)


@pytest.mark.parametrize("copied", [again, copy.deepcopy], ids=["pickle", "deepcopy"])
def test_agents_teams_and_workflows_run_as_before(copied: Any) -> None:
    db = DuckDb("talks.duckdb")
    tools = [plus_one, decorated, Shop(), Tool(plus_one, name="more")]
    settings: Any = {"memory_manager": MemoryManager(), "budget": Budget(tokens=10**6)}
    agent = Agent("demo", name="clerk", db=db, tools=tools, session_id="s", **settings)
    first = agent.run("hello")
    other = copied(agent)
    assert other.run("hello").content == first.content
    assert (other.name, other.db.identity, len(other.tools)) == ("clerk", db.identity, 4)
    assert len(db.get_runs("s")) == 2

    script = [call("delegate_task_to_member", member_id="clerk", task="x"), "Done."]
    team = Team([agent], model=ScriptedModel(script), name="team", db=db)
    assert copied(team).run("go").content == "Done."
    flow = Workflow(steps=[Step(name="one", executor=shout), Parallel(shout, shout)], db=db, name="flow")
    flow.run("a")
    assert copied(flow).run("abc").content is not None


def test_what_was_made_of_the_settings_stays_here() -> None:
    agent = Agent("demo", name="clerk")
    agent.run("hello")
    other = again(agent)
    assert other._resolved is None
    assert other.automatic_session_id(None) != agent.automatic_session_id(None)
    assert copy.copy(agent).automatic_session_id(None) == agent.automatic_session_id(None)
    connection = object()
    assert copy.deepcopy(Agent("demo", dependencies={"c": connection})).dependencies["c"] is connection


def test_sessions_and_runs_pickle_as_values() -> None:
    db = DuckDb("talks.duckdb")
    agent = Agent(ScriptedModel([call("lock"), "Done."]), tools=[lock], db=db, session_id="s")
    run = agent.run("hi")
    session = agent.get_session("s")
    for copied in (again, copy.deepcopy):
        other = copied(run)
        assert (other.content, other.tools[0].result, other.tools[0].value) == ("Done.", run.tools[0].result, None)
        assert [each.content for each in copied(session).messages] == [each.content for each in session.messages]
        assert copied(session).session_id == "s"


def lock() -> object:
    """Return what cannot be pickled."""
    import threading

    return threading.Lock()


def test_a_stream_says_why_it_is_not_pickled() -> None:
    with Agent("demo").run("hello", stream=True) as events, pytest.raises(TypeError, match="cannot pickle the stream"):
        pickle.dumps(events)


def test_errors_come_back_from_another_process_whole() -> None:
    run = RunOutput(run_id="r", session_id="s", content="half")
    spent = BudgetExceeded("spent", budget=Budget(usd=1), usage=UsageTotals(tokens=1, usd=1.0))
    failed = ModelError("no", status_code=500, code="x")
    failed.run_output, failed.retry_after_s = run, 3.0
    for error in (spent, failed, InvalidInputError("bad"), QueryInterrupted("stop"), NestedRunPaused(run)):
        other = again(error)
        assert (type(other), other.args, str(other)) == (type(error), error.args, str(error))
    assert again(spent).budget == Budget(usd=1)
    assert (again(failed).status_code, again(failed).run_output.content) == (500, "half")


def test_a_worker_process_runs_an_agent_that_it_was_sent(tmp_path: Any) -> None:
    db = DuckDb(tmp_path / "talks.duckdb")
    path = tmp_path / "agent.pickle"
    path.write_bytes(pickle.dumps(Agent(DemoModel(), name="clerk", db=db, session_id="s", tools=[plus_one, decorated])))
    script = f"import pickle; pickle.load(open({str(path)!r}, 'rb')).run('hello')"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)
    assert [run.status for run in db.get_runs("s")] == ["COMPLETED"]


def test_a_tool_call_keeps_everything_else() -> None:
    made = ToolCall(tool_call_id="c", tool_name="f", arguments='{"a": 1}', result="r", extra={"x": 1}, duration_s=2.0)
    assert again(made) == made


@pytest.mark.parametrize("url", ["postgresql://ada:pass-word@h/x", "talks/postgresql:/ada:pass-word@h/x"])
def test_a_url_in_the_place_of_a_file_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError, match="@h/x") as by_file:
        DuckDb(url)
    with pytest.raises(InvalidInputError) as by_url:
        SqliteDb(db_url="postgresql://ada:pass-word@h/x")
    assert "pass-word" not in f"{by_file.value}{by_url.value}"
