"""Words, values and facts in a text."""

from __future__ import annotations

import json

from agno_nb.models.demo.arguments import fill_schema
from agno_nb.models.demo.conversation import facts
from agno_nb.models.demo.tokenizer import literals, mentioned, stem


def test_forms_of_a_word_have_one_stem() -> None:
    forms = ("penguins", "describing", "describes", "favourite", "heavy", "Adelies", "Adelie")
    assert [stem(word) for word in forms] == ["penguin", "describ", "describ", "favorit", "mass", "adely", "adely"]


def test_values_in_a_text() -> None:
    text = "Are the Gentoo penguins above 4,000 g since 2008-01-01 at 7:30 or 6 pm?"
    assert [one.value for one in literals(text)] == ["Gentoo", 4000, "2008-01-01", "7:30", "6 pm"]
    assert literals("Cancel my alarm") == literals("Water the plants") == []


def test_the_value_with_most_words_in_common_is_mentioned() -> None:
    columns = ["bill_length_mm", "flipper_length_mm", "body_mass_g"]
    assert mentioned(columns, "How long are the flippers?") == ["flipper_length_mm"]


def test_statements_about_the_user_are_facts() -> None:
    found = [fact.second_person for fact in facts("Hi, my name is Mark and I like anime. Do you?")]
    assert found == ["your name is Mark", "you like anime"]


def test_a_schema_is_filled_and_made_up_values_are_named() -> None:
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}, "email": {"type": ["string", "null"]}}
    reply = fill_schema({"type": "object", "properties": properties, "required": list(properties)}, "Ada is here")
    assert json.loads(reply.text) == {"name": "Ada", "age": 0, "email": None}
    assert reply.placeholder == "values were picked by rules, not by a language model; made up: `age`"
