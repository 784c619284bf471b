"""Between what a run needs of people and the JSON in the column `requirements`. No SQL, no I/O."""

from __future__ import annotations

from collections.abc import Sequence

from agno_nb.types import JsonDict, Requirement, RunOutput, ToolCall, UserInputField

_REQUIREMENT_FIELDS = ("requirement_id", "kind", "run_id", "component_name")
_ANSWER_FIELDS = ("confirmed", "note", "result")
_OF_A_START = ("started_at", "may_have_run")
"""Rows of earlier versions do not have them."""
_INPUT_FIELDS = ("name", "description", "schema", "value", "is_given")


def requirement_rows(run: RunOutput) -> list[JsonDict] | None:
    """Return what a run needs of people as JSON, the exact arguments included: the column can be read alone."""
    return [
        {
            **{name: getattr(requirement, name) for name in (*_REQUIREMENT_FIELDS, *_ANSWER_FIELDS)},
            **{name: getattr(requirement, name) for name in _OF_A_START},
            "tool_call_id": requirement.tool.tool_call_id,
            "tool_name": requirement.tool.tool_name,
            "arguments": requirement.tool.arguments,
            "user_input_fields": [
                {name: getattr(field, name) for name in _INPUT_FIELDS} for field in requirement.user_input_fields
            ],
        }
        for requirement in run.requirements
    ] or None


def requirement_from_row(row: JsonDict, run_id: str, calls: Sequence[ToolCall]) -> Requirement:
    """Return a requirement of run `run_id`, about the one of its `calls` that waits or about one of a nested run."""
    own = {call.tool_call_id: call for call in calls} if row["run_id"] == run_id else {}
    written = ToolCall(tool_call_id=row["tool_call_id"], tool_name=row["tool_name"], arguments=row["arguments"])
    call = own.get(row["tool_call_id"], written)
    call.user_input_schema = [UserInputField(**field) for field in row["user_input_fields"]]
    requirement = Requirement(
        **{name: row[name] for name in _REQUIREMENT_FIELDS},
        **{name: row[name] for name in _OF_A_START if name in row},
        tool=call,
    )
    for name in _ANSWER_FIELDS:
        setattr(requirement, name, row[name])
    return requirement
