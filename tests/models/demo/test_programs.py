"""Requests of programs: structured output, summaries, titles, memories, state."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Literal

from pydantic import BaseModel, Field

from tests.models.demo.talking import TEXT, Talk, answer, tool


class Person(BaseModel):
    name: str
    age: int = Field(ge=0, le=150)


class Movie(BaseModel):
    title: str
    genre: Literal["horror", "comedy"]
    year: int = Field(ge=1900)
    rating: float = Field(ge=0, le=10)
    cast: list[Person] = Field(min_length=1)
    sequel: Movie | None
    released: datetime.date | None
    movie_id: uuid.UUID


def test_structured_output_uses_what_the_prompt_says() -> None:
    prompt = 'A comedy called "Pebbles" from 2009 rated 7.5 with Ada, 36, released 2009-05-01'
    assert Movie.model_validate(answer(prompt, schema=Movie.model_json_schema())) == Movie(
        title="Pebbles",
        genre="comedy",
        year=2009,
        rating=7.5,
        cast=[Person(name="Ada", age=36)],
        sequel=None,
        released=datetime.date(2009, 5, 1),
        movie_id=uuid.UUID("00000000-0000-4000-8000-000000000000"),
    )


def test_structured_output_is_valid_if_the_prompt_says_nothing() -> None:
    movie = Movie.model_validate(answer("surprise me", schema=Movie.model_json_schema()))
    assert (movie.title, movie.genre, movie.year, movie.cast[0].name) == ("demo title", "horror", 1900, "demo name")


def test_structured_output_uses_the_results_of_tools() -> None:
    talk = Talk(
        tools=[tool("describe_penguins", "Describe a species.", "species", species=TEXT)],
        run=lambda name, arguments: '{"mean": 5076.0, "count": 123}',
    )
    properties = {"species": TEXT, "mean": {"type": "number"}}
    schema = {"type": "object", "properties": properties, "required": ["species", "mean"]}
    found = talk.ask("How heavy are Gentoo penguins?", output_schema=schema)
    assert talk.calls == [("describe_penguins", {"species": "Gentoo"})]
    assert json.loads(found) == {"species": "Gentoo", "mean": 5076.0}


CONVERSATION = """<conversation>
User: How heavy are Gentoo penguins?
Assistant: `mean_mass` (species Gentoo) answers: 5076.0
User: My name is Mark and I like anime
Assistant: Noted.
</conversation>"""
SUMMARY = (
    "The user's name is Mark. The user likes anime. "
    'The user asked "How heavy are Gentoo penguins?" and got the answer "`mean_mass` (species Gentoo) answers: 5076.0".'
)


def test_a_summary_is_made_of_the_conversation() -> None:
    properties = {"summary": TEXT, "topics": {"anyOf": [{"type": "array", "items": TEXT}, {"type": "null"}]}}
    schema = {"type": "object", "properties": properties, "required": ["summary", "topics"]}
    system = f"Summarise this conversation.\n{CONVERSATION}"
    assert answer("Write the summary.", system=system, schema=schema) == {
        "summary": SUMMARY,
        "topics": ["heavy", "Gentoo", "penguins", "Mark", "anime"],
    }
    assert answer("Write the summary.", system=system) == SUMMARY


def test_a_summary_continues_the_previous_one_and_keeps_facts_and_the_last_questions() -> None:
    summary = "They met."
    for number in range(9):
        system = f"Summarise.\n<previous_summary>\n{summary}\n</previous_summary>"
        summary = answer(f"User: What is {number} + 1?\nAssistant: ?\nUser: I like tea {number}.", system=system)
    facts = " ".join(f"The user likes tea {number}." for number in range(9))
    questions = " ".join(f'The user asked "What is {number} + 1?".' for number in range(3, 9))
    assert summary == f"They met. {facts} {questions}"


def test_a_session_gets_a_title() -> None:
    assert answer(CONVERSATION, system="Give this session a short name.") == "Heavy Gentoo penguins"


TOPICS = {"type": "array", "items": TEXT}
MEMORY_TOOLS = [
    tool("add_memory", "Add a memory.", "memory", memory=TEXT, topics=TOPICS),
    tool("update_memory", "Change a memory.", "memory_id memory", memory_id=TEXT, memory=TEXT, topics=TOPICS),
    tool("delete_memory", "Delete a memory.", "memory_id", memory_id=TEXT),
]


def test_memories_are_added_replaced_and_deleted() -> None:
    talk = Talk(tools=MEMORY_TOOLS, system='Write them as in "The user lives in Lisbon."')
    assert talk.ask("Hi, my name is Mark and I live in Lisbon") == "Memories changed: 2."
    assert talk.calls == [
        ("add_memory", {"memory": "The user's name is Mark.", "topics": ["name"]}),
        ("add_memory", {"memory": "The user lives in Lisbon.", "topics": ["lives"]}),
    ]
    known = "Known:\n- [1] The user's name is Mark.\n- [2] The user's favourite colour is blue."
    talk = Talk(tools=MEMORY_TOOLS, system=known)
    memory = "The user's favourite colour is red."
    assert talk.called("My name is Mark. My favourite colour is red.") == [
        ("update_memory", {"memory_id": "2", "memory": memory, "topics": ["favourite colour"]})
    ]
    assert talk.called("Remember that the user likes owls.") == [
        ("add_memory", {"memory": "The user likes owls.", "topics": ["likes"]})
    ]
    assert talk.called("Please forget my favourite colour") == [("delete_memory", {"memory_id": "2"})]
    assert talk.called("Forget that the user's name is Mark.") == [("delete_memory", {"memory_id": "1"})]
    assert talk.ask("What's up?") == "There is nothing new about the user."


def test_an_agent_passes_facts_to_its_memory_tool() -> None:
    talk = Talk(tools=[tool("update_user_memory", "Update the memory.", "task", task=TEXT)])
    assert talk.ask("My name is Ada") == "Noted: your name is Ada. I passed it to `update_user_memory`."
    assert talk.calls == [("update_user_memory", {"task": "The user's name is Ada."})]


def test_an_agent_changes_the_session_state_with_its_tool() -> None:
    update = tool("update_session_state", "Update.", "session_state_updates", session_state_updates={"type": "object"})
    talk = Talk(tools=[update], system='<session_state>\n{"shopping_list": ["milk"]}\n</session_state>')
    changes = {
        "Add eggs to my shopping list": {"shopping_list": ["milk", "eggs"]},
        "Remove milk from the shopping list.": {"shopping_list": []},
        "Set the favourite team to Oslo": {"favourite_team": "Oslo"},
    }
    made = {prompt: talk.called(prompt) for prompt in changes}
    assert made == {
        prompt: [("update_session_state", {"session_state_updates": change})] for prompt, change in changes.items()
    }
    assert talk.messages[-1].content == 'Done: `favourite_team` is now "Oslo".'
