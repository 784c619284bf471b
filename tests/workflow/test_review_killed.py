"""Steps that wait for a person are answered and continued by other processes, also after one was killed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from agno_nb.db.duckdb import DuckDb

PROGRAM = """
import json, os, sys
from pathlib import Path
from agno_nb.db.duckdb import DuckDb
from agno_nb.workflow import Loop, Parallel, Router, Step, StepInput, Steps, Workflow
from agno_nb.workflow.types import UserInputField

log = Path("log.txt")

def note(step_input: StepInput):
    with log.open("a") as file:
        file.write("note\\n")
    return step_input.message + "!"

def fails(step_input: StepInput):
    with log.open("a") as file:
        file.write("fails\\n")
    attempt = log.read_text().count("fails")
    if attempt == 1:
        raise ValueError("boom")
    if attempt == 2:
        os.kill(os.getpid(), 9)
    return "mended"

def values(step_input: StepInput):
    return [step_input.message, step_input.additional_data["user_input"]]

schema = [UserInputField(name="tone", field_type="str")]
steps = {
    "confirmation": [note, Step("ask", executor=note, requires_confirmation=True)],
    "user_input": [note, Step("ask", executor=values, requires_user_input=True, user_input_schema=schema)],
    "route_selection": [note, Router(choices=[note, values], name="ask", requires_user_input=True)],
    "output_review": [Step("ask", executor=note, requires_output_review=True, on_reject="retry"), note],
    "error": [note, Step("ask", executor=fails, on_error="pause")],
}[sys.argv[1]]
around = {
    "alone": lambda: steps,
    "in a loop": lambda: [Loop(steps, max_iterations=1)],
    "in parallel": lambda: [Parallel(Steps(steps), note)],
}[sys.argv[2]]
workflow = Workflow(around(), name="Line", db=DuckDb("store.duckdb"))
if sys.argv[3] == "run":
    print(workflow.run("go", session_id="s").run_id)
else:
    run = workflow.store.get_run(sys.argv[3])
    for each in run.active_requirements:
        if each.needs_user_input:
            each.set_user_input(tone="dry")
        elif each.needs_route_selection:
            each.select("note")
        elif each.needs_output_review:
            each.edit("edited")
        else:
            each.confirm()
    run = workflow.continue_run(run_id=sys.argv[3], session_id="s", requirements=run.requirements)
    step = next(each for each in reversed(run.step_results) if each.kind == "function" and "ask" in each.path)
    print(json.dumps([run.status, step.content, log.read_text().split()]))
"""


@pytest.mark.parametrize("place", ["alone", "in a loop", "in parallel"])
@pytest.mark.parametrize(
    ("purpose", "content", "calls"),
    [
        ("confirmation", "go!!", ["note", "note"]),
        ("user_input", ["go!", {"tone": "dry"}], ["note"]),
        ("route_selection", "go!!", ["note", "note"]),
        ("output_review", "edited", ["note", "note"]),
        ("error", "mended", ["note", "fails", "fails", "fails"]),
    ],
)
def test_another_process_answers(
    tmp_path: Path, python: str, place: str, purpose: str, content: object, calls: list[str]
) -> None:
    def start(argument: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-W", "error", "-c", PROGRAM, purpose, place, argument],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    first = start("run")
    assert first.stderr == ""
    run_id = first.stdout.strip()
    db = DuckDb(tmp_path / "store.duckdb")
    stored = db.get_run(run_id)
    assert stored is not None
    assert [each.purpose for each in stored.requirements] == [purpose]  # type: ignore[attr-defined]
    second = start(run_id)
    if purpose == "error":
        # The process died while it ran the step again. The answer stays, and the step runs once more.
        assert second.returncode == -9
        second = start(run_id)
    assert second.stderr == ""
    status, found, log = json.loads(second.stdout)
    expected = [*calls, "note"] if place == "in parallel" else calls
    assert (status, found, sorted(log)) == ("COMPLETED", content, sorted(expected))
    assert [each.is_resolved for each in db.get_run(run_id).requirements] == [True]  # type: ignore[union-attr]
