"""A team with a pausing member, a budget, and a server that sometimes fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.errors import BudgetExceeded
from agno_nb.models.openai import OpenAIChat
from agno_nb.team import Team
from agno_nb.tools import tool
from agno_nb.types import Budget, RunOutput, RunStatus
from tests.fakes.http import Answer, json_answer
from tests.fakes.strict import StrictServer, calls, says
from tests.run.test_entrypoints import door


@pytest.fixture
def server() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


@pytest.fixture(params=["in memory", "sqlite"])
def db(request: pytest.FixtureRequest, tmp_path: object) -> Db:
    return InMemoryDb() if request.param == "in memory" else SqliteDb(f"{tmp_path}/talks.db")


def busy() -> Answer:
    return json_answer({"error": {"message": "Busy"}}, status=503)


def crew(server: StrictServer, db: Db, sent: list[str], *, tokens: int) -> Team:
    """The team, as another process makes it too."""

    @tool(requires_confirmation=True)
    def send(to: str) -> str:
        """Send the letter."""
        sent.append(to)
        return f"sent to {to}"

    return Team(
        [Agent(name="writer", tools=[send], delay_between_retries=0)],
        model=OpenAIChat("strict", base_url=server.base_url, api_key="none"),
        name="Crew",
        db=db,
        session_id="s",
        budget=Budget(tokens=tokens, per="run"),
        delay_between_retries=0,
        add_history_to_context=True,
    )


def paused(server: StrictServer, db: Db, team: Team, run: Callable[..., RunOutput]) -> RunOutput:
    """Ask for a letter. The server fails once for the leader and once for the member, who then waits."""
    server.will_say(
        busy(),
        calls(("delegate_task_to_member", {"member_id": "writer", "task": "Write to Bob"}), tokens=100),
        busy(),
        calls(("send", {"to": "Bob"}), first_id=5, tokens=100),
    )
    waiting = run(team, "A letter to Bob")
    assert (waiting.status, server.refused) == (RunStatus.PAUSED, [])
    assert db.runs_df()[["component_name", "status", "total_tokens"]].values.tolist() == [
        ["Crew", "PAUSED", 100], ["writer", "PAUSED", 100],
    ]  # fmt: skip
    assert db.events_df(event="ModelRequestRetried")["component_name"].tolist() == ["Crew", "writer"]
    return waiting


@door
def test_a_pause_two_failures_and_a_budget_that_is_enough(
    door: Callable[..., RunOutput], server: StrictServer, db: Db
) -> None:
    sent: list[str] = []
    waiting = paused(server, db, crew(server, db, sent, tokens=450), door)
    (requirement,) = waiting.active_requirements
    requirement.confirm()
    server.will_say(busy(), says("It is sent.", tokens=100), busy(), says("Bob has it.", tokens=100))
    done = crew(server, db, sent, tokens=450).continue_run(
        run_id=waiting.run_id, session_id="s", requirements=[requirement]
    )
    assert (done.status, str(done.content).strip(), sent) == (RunStatus.COMPLETED, "Bob has it.", ["Bob"])
    tree = db.run_tree_df()
    # Nothing is counted twice: neither what was spent before the pause, nor what failed.
    assert tree[["path", "status", "tree_output_tokens"]].values.tolist() == [
        ["Crew", "COMPLETED", 400], ["Crew > writer", "COMPLETED", 200],
    ]  # fmt: skip
    assert db.events_df(event="ModelRequestRetried")["component_name"].tolist() == ["Crew", "writer", "writer", "Crew"]

    server.will_say(says("You are welcome.", tokens=100))
    assert crew(server, db, sent, tokens=450).run("Thanks").status is RunStatus.COMPLETED
    assert server.refused == []


def test_what_was_spent_before_a_pause_counts_after_it(server: StrictServer, db: Db) -> None:
    sent: list[str] = []
    team = crew(server, db, sent, tokens=250)
    waiting = paused(server, db, team, Team.run)
    waiting.active_requirements[0].confirm()
    server.will_say(busy(), says("It is sent.", tokens=100))
    with pytest.raises(BudgetExceeded, match="300 tokens so far"):
        team.continue_run(waiting)
    # The letter is sent, and known to be; only the leader's last word is missing.
    assert sent == ["Bob"]
    assert db.runs_df()[["component_name", "status", "total_tokens"]].values.tolist() == [
        ["Crew", "ERROR", 100], ["writer", "COMPLETED", 200],
    ]  # fmt: skip

    server.will_say(says("Bob has it.", tokens=100))
    assert str(crew(server, db, sent, tokens=250).run("And?").content).strip() == "Bob has it."
    assert server.refused == []
