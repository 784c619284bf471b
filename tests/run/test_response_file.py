"""`save_response_to_file` writes each answer to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.errors import RunError
from agno_nb.run.output_schema import OutputSchema
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool
from agno_nb.types import RunStatus
from tests.run.kinds import Make, agent, team


class Tea(BaseModel):
    price: float


@pytest.mark.parametrize("make", [agent, team], ids=["agent", "team"])
def test_each_answer_replaces_the_file(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "new" / "answer.md"
    runnable = make(ScriptedModel(["One, ä.", "Two."]), save_response_to_file=str(path))
    runnable.run("Hi")
    assert path.read_text(encoding="utf-8") == "One, ä."
    runnable.run("Hi")
    assert path.read_text(encoding="utf-8") == "Two."


def test_names_in_the_path_are_replaced_without_leaving_the_folder(tmp_path: Path) -> None:
    path = str(tmp_path / "answers" / "{name}-{session_id}-{user_id}-{run_id}-{message}-{other}.md")
    writer = Agent(ScriptedModel(["Done."]), name="My agent", save_response_to_file=path)
    writer.run("Why / not?", session_id="../s", run_id="r1")
    assert [each.name for each in (tmp_path / "answers").iterdir()] == ["My_agent-_s-none-r1-Why_not_-{other}.md"]


def test_an_object_is_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "tea.json"
    Agent(ScriptedModel(['{"price": 2.5}']), output_schema=Tea, save_response_to_file=str(path)).run("Tea?")
    assert OutputSchema(Tea).parse(path.read_text(encoding="utf-8")) == Tea(price=2.5)


def test_a_paused_run_writes_its_answer_when_it_has_one(tmp_path: Path) -> None:
    def pay() -> str:
        return "paid"

    path = tmp_path / "answer.md"
    payer = Agent(
        ScriptedModel([call("pay"), "Paid."]),
        tools=[Tool(pay, requires_confirmation=True)],
        save_response_to_file=str(path),
    )
    run = payer.run("Pay")
    assert not path.exists()
    run.requirements[0].confirm()
    payer.continue_run(run)
    assert path.read_text(encoding="utf-8") == "Paid."


def test_a_file_that_cannot_be_written_ends_the_run_with_the_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / "file" / "answer.md")
    with pytest.raises(RunError, match=r"cannot write the answer to .*; correct save_response_to_file") as failure:
        Agent(ScriptedModel(["Done."]), save_response_to_file=path).run("Hi")
    run = failure.value.run_output
    assert run is not None
    assert (run.status, run.content) == (RunStatus.ERROR, "Done.")
