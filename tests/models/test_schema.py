from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from agno_nb.models.openai.schema import strict_schema


class Colour(StrEnum):
    RED = "red"


class Leaf(BaseModel):
    name: str = Field(default="x", description="A name.")
    colour: Colour = Field(default=Colour.RED, description="A colour.")


class Tree(BaseModel):
    leaves: list[Leaf] = []
    best: Leaf | None = None
    default: int = 3
    properties: str = ""


class Free(BaseModel):
    counts: dict[str, int]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Pair(BaseModel):
    pair: tuple[int, str]


def objects_of(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for part in schema for found in objects_of(part)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for part in schema.values() for found in objects_of(part)]


def test_a_strict_schema_requires_everything_and_allows_nothing_else() -> None:
    schema = strict_schema(Tree.model_json_schema())

    assert schema is not None
    objects = objects_of(schema)
    assert len(objects) == 2
    assert all(one["additionalProperties"] is False for one in objects)
    assert all(one["required"] == list(one["properties"]) for one in objects)
    assert set(schema["properties"]) == {"leaves", "best", "default", "properties"}
    assert schema["$defs"]["Leaf"]["properties"] == {
        "name": {"description": "A name.", "title": "Name", "type": "string"},
        "colour": {"$ref": "#/$defs/Colour"},
    }


def test_what_follows_the_strict_schema_follows_the_model() -> None:
    schema = strict_schema(Leaf.model_json_schema())
    answer = {"name": "Ada", "colour": "red"}

    jsonschema.validate(answer, schema)
    assert Leaf.model_validate(answer).name == "Ada"


@pytest.mark.parametrize(
    "schema",
    [
        Free.model_json_schema(),
        Pet.model_json_schema(),
        Pair.model_json_schema(),
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "object", "anyOf": [{"required": ["a"]}]},
        {},
    ],
    ids=[
        "free keys",
        "union with discriminator",
        "tuple",
        "no object",
        "no properties",
        "union at the top",
        "anything",
    ],
)
def test_a_schema_that_strictness_would_change_is_left_alone(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None
