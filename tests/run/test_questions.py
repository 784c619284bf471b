"""Questions that the model asks the user with the tools `get_user_input` and `ask_user`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.tools.user_control_flow import UserControlFlowTools
from agno_nb.tools.user_feedback import UserFeedbackTools

FIELDS = [
    {"field_name": "to", "field_type": "str", "field_description": "Whom to write to."},
    {"field_name": "copies", "field_type": "int", "field_description": "How many."},
]
QUESTIONS = [
    {
        "question": "Where to?",
        "header": "Place",
        "options": [{"label": "Sea", "description": "Warm."}, {"label": "Hills"}],
    },
    {"question": "With?", "header": "Who", "options": [{"label": "Ada"}, {"label": "Ben"}], "multi_select": True},
]


def test_the_model_asks_for_values_and_gets_them() -> None:
    db, toolkit = InMemoryDb(), UserControlFlowTools()
    agent = Agent(ScriptedModel([call("get_user_input", user_input_fields=FIELDS), "Sent."]), tools=[toolkit], db=db)
    run = agent.run("Write.")
    (requirement,) = run.active_requirements
    assert (requirement.needs_user_input, requirement.needs_user_feedback, requirement.pause_type) == (
        True, False, "user_input",
    )  # fmt: skip
    assert [(f.name, f.field_type, f.description, f.value) for f in requirement.user_input_schema] == [
        ("to", "string", "Whom to write to.", None),
        ("copies", "integer", "How many.", None),
    ]
    for field, value in zip(requirement.user_input_schema, ["ada", "2"], strict=True):
        field.value = value
    done = agent.continue_run(run_id=run.run_id, requirements=run.requirements)
    assert (done.content, done.tools[0].result) == ("Sent.", '{"to": "ada", "copies": 2}')


def test_the_model_asks_questions_with_options() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("ask_user", questions=QUESTIONS), "Booked."]), tools=[UserFeedbackTools()], db=db)
    agent.run("Plan.", session_id="s")
    # The questions are read again in another process.
    stored = db.get_session("s")
    assert stored is not None
    run = stored.runs[-1]
    (requirement,) = run.active_requirements
    assert (requirement.needs_user_input, requirement.needs_user_feedback, requirement.pause_type) == (
        False, True, "user_feedback",
    )  # fmt: skip
    place, _ = requirement.user_feedback_schema
    assert (place.question, place.header, place.multi_select, place.selected_options) == (
        "Where to?",
        "Place",
        False,
        None,
    )
    assert [(each.label, each.description) for each in place.options] == [("Sea", "Warm."), ("Hills", None)]
    for wrong in ({"Where to?": ["Moon"]}, {"Where to?": ["Sea", "Hills"]}, {"When?": ["Now"]}):
        with pytest.raises(InvalidInputError):
            requirement.provide_user_feedback(wrong)
    requirement.provide_user_feedback({"Where to?": ["Sea"]})
    assert not requirement.is_resolved
    requirement.provide_user_feedback({"With?": []})
    assert requirement.is_resolved()
    assert [each.selected_options for each in requirement.user_feedback_schema] == [("Sea",), ()]
    done = agent.continue_run(run_id=run.run_id, session_id="s", requirements=run.requirements)
    assert (done.content, done.tools[0].result) == ("Booked.", '{"Where to?": ["Sea"], "With?": []}')


def test_invalid_questions_are_returned_to_the_model() -> None:
    model = ScriptedModel([call("ask_user", questions=[{"question": "Where?"}]), "Sorry."])
    run = Agent(model, tools=[UserFeedbackTools()]).run("Plan.")
    assert run.content == "Sorry."
    assert run.tools[0].tool_call_error


def test_other_requirements_have_no_questions() -> None:
    agent = Agent(ScriptedModel([call("delete", path="a"), "Deleted."]), tools=[delete])
    (requirement,) = agent.run("go").requirements
    assert (requirement.user_feedback_schema, requirement.pause_type) == ([], "confirmation")
    with pytest.raises(InvalidInputError, match="has no questions; use confirm"):
        requirement.provide_user_feedback({})


@tool(requires_confirmation=True)
def delete(path: str) -> str:
    """Delete it."""
    return f"deleted {path}"


def test_a_toolkit_can_be_empty() -> None:
    assert UserControlFlowTools(enable_get_user_input=False).tools == []
    assert [each.name for each in UserControlFlowTools(enable_get_user_input=False, all=True).tools] == [
        "get_user_input"
    ]


@pytest.mark.parametrize("answer", [True, False])
def test_a_run_continues_with_answers_in_copies_of_its_tools(answer: Any) -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel([call("delete", path="a"), "Done."]), tools=[delete], db=db)
    run = agent.run("go")
    copies = [replace(each, confirmed=answer) for each in run.tools]
    done = agent.continue_run(run_id=run.run_id, session_id=run.session_id, updated_tools=copies)
    assert (done.run_id, done.status, done.tools[0].tool_call_error) == (run.run_id, "COMPLETED", not answer)
