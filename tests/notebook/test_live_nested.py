"""Display of members and steps: by name while they run, folded afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.notebook.live import LiveAnswer
from agno_nb.notebook.render import MAX_NESTED, TEXT_LIMIT
from agno_nb.run.runnable import Runnable
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.types import RunEvent, RunOutputEvent
from agno_nb.workflow import Loop, Parallel, Step, StepInput, Workflow
from tests.notebook.test_live import Kernel


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def shown(kernel: Kernel, runnable: Runnable, *, until: RunEvent | None = None) -> str:
    """Feed a display with a run, to its end or up to the first event of a kind, and return its last HTML."""
    answer: LiveAnswer = kernel.answer()
    for event in runnable.run("Go", stream=True, stream_events=True):
        kernel.clock.advance(10)
        answer.feed(event)
        if event.event is until:
            break
    html: str = kernel.display_pub.htmls[-1]
    return html


def folds(html: str) -> list[tuple[str, str]]:
    """The state and heading of each fold."""
    found = re.findall(r"<details( open(?:=\"\")?)?[^>]*><summary[^>]*>(.*?)</summary>", html)
    return [("open" if is_open else "closed", re.sub(r"<[^>]+>", "", heading).strip()) for is_open, heading in found]


def crew() -> Team:
    leader = ScriptedModel([call("delegate_task_to_member", member_id="poet", task="haiku"), "Here it is."])
    return Team([Agent(ScriptedModel(["Leaves <b>fall</b>."]), name="poet")], model=leader, name="Crew")


def test_a_member_is_open_while_it_runs_and_folded_afterwards(kernel: Kernel) -> None:
    live = folds(shown(kernel, crew(), until=RunEvent.run_content))
    assert [heading for state, heading in live if state == "open"] == ["poet: haiku …"]
    html = shown(kernel, crew())
    assert [state for state, heading in folds(html) if heading.startswith("poet")] == ["closed"]
    # The leader's call has the same task, and its result is the member's answer.
    assert [heading.split(" ")[:2] for _, heading in folds(html)] == [["poet:", "haiku"]]
    assert "delegate_task_to_member" not in html
    assert html.count("Leaves &lt;b&gt;fall&lt;/b&gt;.") == 1
    assert kernel.display_pub.texts[-1] == "Here it is."


def pipeline() -> Workflow:
    def count(step_input: StepInput) -> Any:
        yield "one "
        yield "two"

    poet = Agent(FunctionModel(lambda messages, tools: "Leaves fall."), name="poet")
    return Workflow([Step("write", agent=poet), Parallel(count, name="side")], name="Line")


def test_steps_are_shown_by_their_paths_with_what_they_gave(kernel: Kernel) -> None:
    live = shown(kernel, pipeline(), until=RunEvent.step_output)
    assert [(state, heading.split(" ")[0]) for state, heading in folds(live)] == [
        ("closed", "write"),
        ("open", "side/count"),
    ]
    done = shown(kernel, pipeline())
    assert [(state, heading.split(" ")[0]) for state, heading in folds(done)] == [
        ("closed", "write"),
        ("closed", "side/count"),
    ]
    # The run of a step is not shown in addition.
    assert done.count("Leaves fall.") == 1
    assert kernel.display_pub.texts[-1] == "## count\n\none two"


def test_a_function_step_says_how_long_it_took(kernel: Kernel) -> None:
    def count(step_input: StepInput) -> str:
        return "two"

    answer: LiveAnswer = kernel.answer()
    for event in Workflow([count]).run("Go", stream=True, stream_events=True):
        if event.event is RunEvent.step_completed:
            assert event.details is not None
            assert "duration_s" in event.details
            assert event.details["duration_s"] > 0
            event.details["duration_s"] = 75.0
        answer.feed(event)
    assert folds(kernel.display_pub.htmls[-1]) == [("closed", "count 1 min 15 s")]


def test_a_step_that_is_tried_again_shows_its_last_try(kernel: Kernel) -> None:
    model = ScriptedModel([ValueError("no"), "fine"])
    workflow = Workflow([Step("write", agent=Agent(model, name="poet"), max_retries=1)])
    html = shown(kernel, workflow)
    assert "no" not in re.sub(r"<[^>]+>", " ", html).split()
    assert len(folds(html)) == 1


def test_much_that_is_nested_is_cut(kernel: Kernel) -> None:
    def long(step_input: StepInput) -> str:
        return "x" * (TEXT_LIMIT + 5)

    html = shown(kernel, Workflow([Loop([long], max_iterations=MAX_NESTED + 2)]))
    assert len(folds(html)) == MAX_NESTED
    assert "2 earlier runs not shown, see runs_df() and steps_df()" in html
    assert "5 more characters, see runs_df()" in html
    assert len(html) < (MAX_NESTED + 2) * (TEXT_LIMIT + 1_000)


def test_what_a_terminal_prints_names_members_and_steps(capsys: pytest.CaptureFixture[str]) -> None:
    crew().print_response("Go")
    pipeline().print_response("Go")
    printed = " ".join(re.sub("[─│╭╮╰╯]", " ", capsys.readouterr().out).split())
    assert "→ poet: haiku poet: Leaves <b>fall</b>. Here it is." in printed
    assert "write: Leaves fall. side/count: one two" in printed


def test_events_of_containers_show_nothing(kernel: Kernel) -> None:
    answer: LiveAnswer = kernel.answer()
    answer.feed(RunOutputEvent(event=RunEvent.workflow_started, run_id="r", session_id="s"))
    answer.feed(RunOutputEvent(event=RunEvent.parallel_started, run_id="r", session_id="s", step="p"))
    assert answer.view.parts == []
