"""Steps of workflows that wait for a person, answered by `%agent` and in the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb import InMemoryDb, chat
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.types import RunOutput, StepRequirement
from agno_nb.workflow import Router, Step, StepInput, Workflow
from tests.notebook.command_line import run_command
from tests.widgets.browser import Browser


def upper(step_input: StepInput) -> str:
    return step_input.message.upper()


def toned(step_input: StepInput) -> str:
    return f"{step_input.message}, {(step_input.additional_data or {})['user_input']['tone']}"


def line() -> Workflow:
    tone = {"name": "tone", "allowed_values": ["dry", "warm"]}
    return Workflow(
        [
            Step("ask", executor=upper, requires_confirmation=True, confirmation_message="Go on?"),
            Step("fill", executor=toned, requires_user_input=True, user_input_schema=[tone]),
            Router(choices=[upper, Step("keep", executor=lambda given: given.message)], requires_user_input=True),
            Step("draft", executor=upper, requires_output_review=True, on_reject="cancel"),
        ],
        name="Line",
        db=InMemoryDb(),
    )


def stored(workflow: Workflow) -> RunOutput:
    run = workflow.get_last_run_output("s")
    assert run is not None
    return run


def test_commands_answer_steps() -> None:
    workflow = line()
    notebook = Notebook({"line": workflow}, Path.cwd(), AgnoNb())
    run = workflow.run("hi", session_id="s")
    run_command(notebook, "approve", [run.requirements[0].short_id])
    run_command(notebook, "answer", [stored(workflow).active_requirements[0].short_id, "tone=dry"])
    route = stored(workflow).active_requirements[0].short_id
    with pytest.raises(InvalidInputError, match="'lower' is not one of"):
        run_command(notebook, "answer", [route, "selection=lower"])
    run_command(notebook, "answer", [route, "selection=keep"])
    assert stored(workflow).active_requirements[0].question == "Line asks to review the output of step 'draft'\nHI, DRY"
    run_command(notebook, "reject", [stored(workflow).active_requirements[0].short_id, "too", "short"])
    assert stored(workflow).content == "the workflow ended at step 'draft', because a person rejected it: too short"


def test_cards_in_the_browser_answer_steps() -> None:
    workflow = line()
    workflow.run("hi", session_id="s")
    page = Browser(chat(workflow, session_id="s"))
    decision = {"run_id": stored(workflow).run_id, "note": "", "decision": "approve"}
    shown = []
    for values in ({}, {"tone": "warm"}, {"selection": "upper"}, {}):
        (need,) = (each for each in page.turns[0]["pending"] if not each["is_resolved"])
        choices = [choice for field in need["fields"] for choice in field["choices"]]
        shown.append((need["who"], need["tool"], need["arguments"], choices))
        page.ask("decide", requirement_id=need["id"], values=values, **decision)
    assert shown == [
        ("Line", "ask", '{\n  "message": "Go on?"\n}', []),
        ("Line", "fill", "{}", ["dry", "warm"]),
        ("Line", "router", "{}", ["upper", "keep"]),
        ("Line", "draft", '{\n  "output": "HI, WARM"\n}', []),
    ]
    assert stored(workflow).content == "HI, WARM"
    assert all(isinstance(each, StepRequirement) and each.tool.is_finished for each in stored(workflow).requirements)
