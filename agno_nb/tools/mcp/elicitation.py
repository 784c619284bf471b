"""Questions that an MCP server asks a person during a call.

A call cannot wait for a person, because it would not survive the process. Instead, the server receives "cancel" as the
answer, the call ends, and the run pauses with the requested fields. When it is continued, the call is repeated, and the
question is answered with the given values. They are only used for the same question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agno_nb.types import JsonDict, UserInputField, shorten

if TYPE_CHECKING:
    from mcp.types import ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult

    Question = ElicitRequestFormParams | ElicitRequestURLParams

MAX_QUESTIONS = 10
"""Number of questions of one call."""
_MAX_FIELDS = 50
_TEXT_LIMIT = 2_000
_QUESTION = "x-elicitation"
"""The part of a field's JSON schema that has the key of its question, and its name there."""


def question_key(question: Question) -> str:
    """Return a key that is equal for equal questions."""
    written = question.model_dump(mode="json", by_alias=True, exclude={"meta", "task", "elicitation_id"})
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()[:16]


def fields_of(question: Question, known: Sequence[UserInputField]) -> list[UserInputField]:
    """Return the fields for the answer to a question, with other names than the `known` ones."""
    key, names = question_key(question), {each.name for each in known}
    properties, required = _properties(question)
    fields: list[UserInputField] = []
    for original, schema in list(properties.items())[:_MAX_FIELDS]:
        name, number = original, 2
        while name in names:
            name, number = f"{original}_{number}", number + 1
        names.add(name)
        if original not in required and "default" not in schema:
            schema = {**schema, "default": None}
        title = str(schema.get("title") or "")
        texts = [title if title.lower() != original.lower() else "", schema.get("description")]
        if not fields:
            texts.insert(0, question.message)
        description = ": ".join(each for each in texts if isinstance(each, str) and each)
        schema = {**schema, _QUESTION: [key, original]}
        fields.append(UserInputField(name=name, description=shorten(description, _TEXT_LIMIT), schema=schema))
    if known and all(each.has_default for each in fields):
        # Otherwise the answers to the earlier questions would be enough to continue the run.
        fields[0].schema.pop("default", None)
    return fields


def _properties(question: Question) -> tuple[dict[str, JsonDict], Sequence[str]]:
    """Return the schemas of the values that a question asks for, and the names of those that are required."""
    if question.mode == "url":
        text = f"Open {question.url} in a browser, and answer true when you are done"
        return {"opened": {"type": "boolean", "description": text}}, ["opened"]
    schema: JsonDict = question.requested_schema
    properties = {name: each for name, each in (schema.get("properties") or {}).items() if isinstance(each, dict)}
    if not properties:
        return {"accept": {"type": "boolean"}}, ["accept"]
    return properties, schema.get("required") or ()


def answer(question: Question, fields: Sequence[UserInputField], values: Mapping[str, Any]) -> ElicitResult | None:
    """Return the answer to a question, or None if no person has answered it.

    `fields` are those that a person was asked for, and `values` the given values by the name of the field.
    """
    from mcp.types import ElicitResult

    key = question_key(question)
    asked = [each for each in fields if (each.schema.get(_QUESTION) or [None])[0] == key]
    if not asked:
        return None
    content = {each.schema[_QUESTION][1]: values[each.name] for each in asked if each.name in values}
    is_form = question.mode == "form" and question.requested_schema.get("properties")
    if not is_form:
        return ElicitResult(action="accept" if all(content.values()) else "decline", content=None)
    return ElicitResult(action="accept", content=content)
