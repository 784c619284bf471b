"""`pprint_run_response` prints a run, and a stream as it arrives, in a terminal."""

from __future__ import annotations

import pytest

from agno_nb.agent import Agent
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.utils.pprint import pprint_run_response
from agno_nb.workflow import Step, Workflow

TEXT = "A list:\n\n- **one**\n- two"


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines between the borders of the panel."""
    return [line.strip("│ ") for line in capsys.readouterr().out.splitlines() if line.startswith("│")]


def test_a_run_is_printed_as_text_or_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    run = Agent(ScriptedModel([TEXT])).run("hi")
    pprint_run_response(run)
    assert shown(capsys) == ["A list:", "", "- **one**", "- two"]
    pprint_run_response(run, markdown=True)
    assert shown(capsys) == ["A list:", "", "• one", "• two"]


def test_a_stream_is_printed_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    pprint_run_response(Agent(ScriptedModel([TEXT])).run("hi", stream=True))
    assert shown(capsys) == ["A list:", "", "- **one**", "- two"]


def test_events_that_were_kept_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    events = list(Agent(ScriptedModel([TEXT])).run("hi", stream=True, stream_events=True))
    pprint_run_response(event for event in events)
    assert shown(capsys) == ["A list:", "", "- **one**", "- two"]


def test_a_run_that_waits_is_printed_with_what_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    agent = Agent(ScriptedModel([call("delete", path="a")]), name="clerk", tools=[delete])
    agent.print_response("delete a")
    assert shown(capsys)[-2:] == [
        'clerk asks to call delete({"path": "a"})',
        "PAUSED: resolve run.requirements, then continue_run(run)",
    ]


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete a file."""
    raise AssertionError("nobody allowed it")


def test_a_long_answer_is_not_drawn_anew_for_each_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    Agent("demo").print_response("count to 1000")
    printed = capsys.readouterr().out
    assert "999, 1000" in printed
    # Each word drawn makes 2.7 MB of it.
    assert len(printed) < 500_000


def test_the_error_of_a_skipped_step_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def fetch(step_input: object) -> str:
        raise ValueError("no network")

    Workflow([Step(name="fetch", executor=fetch, skip_on_failure=True)]).print_response("go")
    assert any("fetch: " in line and "no network" in line for line in shown(capsys))
