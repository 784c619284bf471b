"""Requests of programs: structured output, summaries, titles, memories, state."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any, Literal

from pydantic import BaseModel, Field

from agno_nb.models.demo.engine import reply
from agno_nb.models.demo.requests import read_chat
from tests.models.demo.talking import TEXT, JsonDict, Talk, function


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


def structured(schema: JsonDict, prompt: str, **request: Any) -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    messages = [{"role": "user", "content": prompt}]
    return json.loads(reply(read_chat({"messages": messages, "response_format": form, **request})).text)


def test_a_structured_answer_uses_what_the_prompt_says() -> None:
    prompt = 'A comedy called "Pebbles" from 2009 rated 7.5 with Ada, 36, released 2009-05-01'
    assert Movie.model_validate(structured(Movie.model_json_schema(), prompt)) == Movie(
        title="Pebbles",
        genre="comedy",
        year=2009,
        rating=7.5,
        cast=[Person(name="Ada", age=36)],
        sequel=None,
        released=datetime.date(2009, 5, 1),
        movie_id=uuid.UUID("00000000-0000-4000-8000-000000000000"),
    )


def test_a_structured_answer_is_valid_where_the_prompt_says_nothing() -> None:
    movie = Movie.model_validate(structured(Movie.model_json_schema(), "surprise me"))
    assert (movie.genre, movie.year, movie.sequel, movie.cast[0].name) == ("horror", 1900, None, "demo name")


def test_a_structured_answer_is_made_of_tool_results() -> None:
    talk = Talk(
        tools=[function("describe_penguins", "Describe a species.", "species", species=TEXT)],
        run=lambda name, arguments: '{"mean": 5076.0, "count": 123}',
    )
    properties = {"species": TEXT, "mean": {"type": "number"}}
    schema = {"type": "object", "properties": properties, "required": ["species", "mean"]}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = talk.ask("How heavy are Gentoo penguins?", response_format=form)
    assert talk.calls == [("describe_penguins", {"species": "Gentoo"})]
    assert json.loads(answer) == {"species": "Gentoo", "mean": 5076.0}


def test_free_json_holds_the_answer() -> None:
    body = {"messages": [{"role": "user", "content": "what is 2 + 2"}], "response_format": {"type": "json_object"}}
    assert json.loads(reply(read_chat(body)).text) == {"answer": "2 + 2 = 4"}


CONVERSATION = """<conversation>
User: How heavy are Gentoo penguins?
Assistant: Their mean mass is 5076 g.
User: My name is Mark and I like anime
Assistant: Noted.
</conversation>"""
SUMMARY = (
    'The user asked "How heavy are Gentoo penguins?". The user\'s name is Mark. The user likes anime. '
    'The answer to "How heavy are Gentoo penguins?" was: Their mean mass is 5076 g.'
)


def test_a_summary_is_made_of_the_conversation() -> None:
    properties = {"summary": TEXT, "topics": {"anyOf": [{"type": "array", "items": TEXT}, {"type": "null"}]}}
    schema = {"type": "object", "properties": properties, "required": ["summary", "topics"]}
    system = {"role": "system", "content": f"Summarise this conversation.\n{CONVERSATION}"}
    user = {"role": "user", "content": "Give the summary."}
    form = {"type": "json_schema", "json_schema": {"name": "summary", "schema": schema}}
    answer = reply(read_chat({"messages": [system, user], "response_format": form}))
    assert json.loads(answer.text) == {"summary": SUMMARY, "topics": ["Gentoo", "Mark", "heavy", "penguins", "anime"]}
    assert reply(read_chat({"messages": [system, user]})).text == SUMMARY
    free = reply(read_chat({"messages": [system, user], "response_format": {"type": "json_object"}}))
    assert json.loads(free.text)["summary"] == SUMMARY


def test_a_summary_goes_on_from_the_last_one() -> None:
    system = f"Summarise.\n<previous_summary>\nThey met.\n</previous_summary>\n{CONVERSATION}"
    answer = reply(read_chat({"messages": [{"role": "system", "content": system}, {"role": "user", "content": "Go."}]}))
    assert answer.text == f"They met. {SUMMARY}"


def test_a_session_gets_a_title() -> None:
    system = {"role": "system", "content": "Give this session a short name."}
    answer = reply(read_chat({"messages": [system, {"role": "user", "content": CONVERSATION}]}))
    assert answer.text == "Heavy Gentoo penguins"


TOPICS = {"type": "array", "items": TEXT}
MEMORY_TOOLS = [
    function("add_memory", "Add a memory.", "memory", memory=TEXT, topics=TOPICS),
    function("update_memory", "Change a memory.", "memory_id memory", memory_id=TEXT, memory=TEXT, topics=TOPICS),
    function("delete_memory", "Delete a memory.", "memory_id", memory_id=TEXT),
]


def test_memories_are_added_changed_and_deleted() -> None:
    talk = Talk(tools=MEMORY_TOOLS, system="Keep memories.")
    assert talk.ask("Hi, my name is Mark and I like anime") == "2 memories were changed."
    assert talk.calls == [
        ("add_memory", {"memory": "The user's name is Mark.", "topics": ["name"]}),
        ("add_memory", {"memory": "The user likes anime.", "topics": ["likes"]}),
    ]
    known = "Known:\n- [m1] The user's name is Mark.\n- [m2] The user's favourite colour is blue."
    talk = Talk(tools=MEMORY_TOOLS, system=known)
    assert talk.called("My name is Mark. My favourite colour is red.") == [
        (
            "update_memory",
            {"memory_id": "m2", "memory": "The user's favourite colour is red.", "topics": ["favourite colour"]},
        )
    ]
    assert talk.called("Please forget my favourite colour") == [("delete_memory", {"memory_id": "m2"})]
    assert talk.called("Forget that the user's name is Mark.") == [("delete_memory", {"memory_id": "m1"})]
    assert talk.ask("What's up?") == "The message says nothing new about the user."
    assert talk.calls == []


def test_an_agent_with_a_memory_tool_passes_on_what_it_is_told() -> None:
    talk = Talk(tools=[function("update_user_memory", "Update the memory.", "task", task=TEXT)])
    assert talk.ask("My name is Ada") == "Noted, and passed to `update_user_memory`: your name is Ada."
    assert talk.calls == [("update_user_memory", {"task": "The user's name is Ada."})]


def test_an_agent_with_a_state_tool_changes_the_state() -> None:
    tool = function(
        "update_session_state", "Update.", "session_state_updates", session_state_updates={"type": "object"}
    )
    talk = Talk(tools=[tool], system="<session_state>\n{'shopping_list': ['milk']}\n</session_state>")
    changes = {
        "Add eggs to my shopping list": {"shopping_list": ["milk", "eggs"]},
        "Remove milk from the shopping list": {"shopping_list": []},
        "Set the favourite team to Oslo": {"favourite_team": "Oslo"},
    }
    made = {prompt: talk.called(prompt) for prompt in changes}
    assert talk.messages[3]["content"].startswith('Done: `shopping_list` is now ["milk", "eggs"].')
    assert made == {
        prompt: [("update_session_state", {"session_state_updates": change})] for prompt, change in changes.items()
    }


def rolled(previous: str, conversation: str) -> str:
    system = f"Summarise.\n<previous_summary>\n{previous}\n</previous_summary>"
    user = f"<conversation>\n{conversation}\n</conversation>"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return reply(read_chat({"messages": messages})).text


def test_a_rolling_summary_does_not_become_a_chain_and_loses_no_fact() -> None:
    summary = "They met."
    for number in range(9):
        summary = rolled(summary, f"User: What is {number} + 1?\nAssistant: {number + 1}\nUser: I like tea {number}.")
    assert summary == (
        "They met. The user likes tea 0. The user likes tea 1. The user likes tea 2. The user likes tea 3. "
        "The user likes tea 4. The user likes tea 5. The user likes tea 6. The user likes tea 7. "
        'The user asked "What is 0 + 1?", "What is 1 + 1?", "What is 2 + 1?", "What is 3 + 1?", "What is 7 + 1?", '
        '"What is 8 + 1?" and 3 more. The user likes tea 8. The answer to "What is 6 + 1?" was: 7. '
        'The answer to "What is 7 + 1?" was: 8. The answer to "What is 8 + 1?" was: 9.'
    )


def test_a_session_about_summaries_gets_a_title_all_the_same() -> None:
    system = {"role": "system", "content": "Name this conversation in a few words."}
    user = {"role": "user", "content": "user: Give me a summary of penguins\nassistant: No."}
    assert reply(read_chat({"messages": [system, user]})).text == "Penguins"


def test_an_example_in_its_instructions_is_no_memory() -> None:
    talk = Talk(tools=MEMORY_TOOLS, system='Write it as in "The user lives in Lisbon."\n- [1] The user plays chess.')
    assert talk.called("I live in Lisbon. I play chess.") == [
        ("add_memory", {"memory": "The user lives in Lisbon.", "topics": ["live in"]})
    ]
