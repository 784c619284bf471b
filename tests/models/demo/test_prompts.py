"""Prompts that students and analysts type: each answer is useful, or says what it could not do.

An expectation is the calls of a prompt and words of its answer. `"Not considered"` or `"no argument expresses"` in an
answer names the parts of the prompt that the calls leave out.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, NamedTuple

import pandas as pd
import pytest
from pydantic import BaseModel

from agno_nb import Agent, InMemoryDb
from agno_nb.notebook.render import render_answer
from agno_nb.run_view import Note, view_of_run
from agno_nb.tools.sql import SqlTools

Species = Literal["Adelie", "Chinstrap", "Gentoo"]
PENGUINS = pd.DataFrame(
    {
        "species": ["Adelie", "Adelie", "Gentoo", "Gentoo", "Chinstrap"],
        "island": ["Torgersen", "Biscoe", "Biscoe", "Biscoe", "Dream"],
        "sex": ["male", "female", "male", "female", "male"],
        "body_mass_g": [3750.0, 3800.0, 5050.0, 4900.0, 3700.0],
    }
)


def mean_of(column: str, species: str) -> float:
    """Mean of a numeric column of the penguins of one species."""
    return float(PENGUINS[PENGUINS["species"].eq(species)][column].mean())


def mean_mass(species: Species) -> float:
    """Mean body mass of the penguins of a species, in g."""
    return mean_of("body_mass_g", species)


def count_penguins(species: Species, island: Literal["Biscoe", "Dream", "Torgersen"] | None = None) -> int:
    """Count the penguins of a species, optionally on one island."""
    found = PENGUINS[PENGUINS["species"].eq(species)]
    return len(found if island is None else found[found["island"].eq(island)])


def price(item: str) -> float:
    """Price of an item in euros."""
    return {"tea": 3.5, "cake": 4.2, "coffee": 2.8}[item]


def weather(city: str) -> str:
    """Current weather in a city."""
    return {"oslo": "rain", "rome": "sun"}[city.lower()]


def add(a: float, b: float) -> float:
    """Add two numbers."""
    return a + b


def convert(amount: float, from_unit: str, to_unit: str) -> str:
    """Convert an amount from one unit to another."""
    return f"{amount:g} {from_unit} as {to_unit}"


def refund(order_id: int) -> str:
    """Refund an order."""
    return f"refunded {order_id}"


Sex = Literal["male", "female"]
Column = Literal["bill_length_mm", "flipper_length_mm", "body_mass_g"]


def heaviest(n: int = 1) -> list[float]:
    """List the n heaviest penguins."""
    return sorted(PENGUINS["body_mass_g"], reverse=True)[:n]


def seen(island: Literal["Biscoe", "Dream"] | None = None, sex: Sex | None = None, year: int | None = None) -> str:
    """Count the penguins, optionally those on one island, of one sex or seen in one year."""
    return f"{island} {sex} {year}"


def islands() -> list[str]:
    """List the islands."""
    return ["Biscoe", "Dream"]


def correlate(x: Column, y: Column) -> float:
    """Correlation between two columns of the penguins."""
    return 0.5


def add_task(title: str, due: date | None = None) -> str:
    """Add a task to the to-do list."""
    return f"added {title}"


def distance(origin: str, destination: str) -> int:
    """Distance between two cities."""
    return 500


def word_count(text: str) -> int:
    """Count the words of a text."""
    return len(text.split())


def note(text: str) -> str:
    """Save a note."""
    return f"saved {text}"


def find_notes(word: str) -> list[str]:
    """Find the notes that contain a word."""
    return [f"about {word}"]


def delete_note(word: str) -> str:
    """Delete a note about a word."""
    return f"deleted {word}"


def set_alarm(time: str) -> str:
    """Set an alarm."""
    return f"alarm at {time}"


def top_cars(n: int = 2, by: Literal["price", "hp"] = "price") -> list[str]:
    """List the top cars by price or horsepower."""
    return ["Tesla", "Golf"][:n]


def mean_price() -> float:
    """Mean price of all cars."""
    return 27000.0


def read_sensor(sensor: Literal["north", "south"], smooth: bool = False) -> float:
    """Read a sensor: how many degrees it has."""
    return 21.5


class Asked(NamedTuple):
    """A prompt, the calls that it should lead to, and parts of the answer."""

    prompt: str
    calls: list[dict[str, Any]]
    answer: list[str]


OSLO, ROME = {"city": "Oslo"}, {"city": "Rome"}
TEA, CAKE, COFFEE = {"item": "tea"}, {"item": "cake"}, {"item": "coffee"}
ADELIE, CHINSTRAP, GENTOO = {"species": "Adelie"}, {"species": "Chinstrap"}, {"species": "Gentoo"}
MASS = {"column": "body_mass_g"}

PROMPTS: dict[str, tuple[list[Any], list[Asked]]] = {
    "columns": (
        [mean_of, count_penguins],
        [
            Asked("What is the mean body_mass_g of Gentoo?", [MASS | GENTOO], ["answers: 4975.0"]),
            Asked("and of Adelie?", [MASS | ADELIE], ["answers: 3775.0"]),
            Asked("now for Chinstrap but only females", [MASS | CHINSTRAP], ['Not considered: "only females".']),
            Asked("Mean body_mass_g of Adelie NOT on Biscoe?", [], ['no argument expresses "NOT on Biscoe"']),
            Asked("Mean body_mass_g of Adelie on Biscoe?", [MASS | ADELIE], ['Not considered: "Biscoe".']),
            Asked("mean wing span of Gentoo", [],
                  ["`mean_of` (species Gentoo) needs `column`", 'Not considered: "wing span".']),
            Asked("What's the mean body_mass_g by island?", [],
                  ["`mean_of` (column body_mass_g) needs `species`", 'Not considered: "island".']),
        ],
    ),
    "species": (
        [mean_mass, count_penguins],
        [
            Asked("What is the median mass of Gentoo penguins?", [GENTOO], ['Not considered: "median".']),
            Asked("How heavy are female Gentoos in pounds?", [GENTOO], ['Not considered: "female" and "pounds".']),
            Asked("How many penguins of each species are over 4,000 g?", [ADELIE, CHINSTRAP, GENTOO],
                  ['Not considered: "over 4000 g".']),
            Asked("How many Adelie penguins don't live on Dream?", [], ['expresses "don\'t live on Dream"']),
            Asked("How many Gentto penguins are there?", [],
                  ["needs `species`", "Adelie, Chinstrap and Gentoo", 'Not considered: "Gentto".']),
            Asked("count Adelie and Gentto", [ADELIE], ['Not considered: "Gentto".']),
            Asked("Compare the mass of Adelie and Gentoo penguins", [ADELIE, GENTOO], ["3775.0", "4975.0"]),
        ],
    ),
    "shop": (
        [price, weather],
        [
            Asked("How much is tea?", [TEA], ["answers: 3.5"]),
            Asked("And cake?", [CAKE], ["answers: 4.2"]),
            Asked("What is the price of tea and cake?", [TEA, CAKE], ["3.5", "4.2"]),
            Asked("price of tea without milk", [], ['no argument expresses "without milk"']),
            Asked("Which is cheaper, tea or coffee?", [TEA, COFFEE], ["3.5", "2.8"]),
            Asked("Is it warmer in Rome than in Oslo?", [], ["I have no knowledge of my own"]),
            Asked("What's the weather in Oslo tomorrow?", [OSLO], ['Not considered: "tomorrow".']),
            Asked("weather in Rome in fahrenheit", [ROME], ['Not considered: "fahrenheit".']),
            Asked("What's the weather in Oslo and how much is tea?", [OSLO, TEA], ["rain", "3.5"]),
            Asked("waether in oslo", [], ["no rule of mine applies"]),
        ],
    ),
    "numbers": (
        [add, convert, refund],
        [
            Asked("What is the sum of 4 and 5?", [{"a": 4, "b": 5}], ["answers: 9.0"]),
            Asked("Add 2, 3 and 4", [{"a": 2, "b": 3}], ['Not considered: "4".']),
            Asked("What is 12 plus 30?", [], ["12 + 30 = 42"]),
            Asked("Convert 9 USD to EUR", [{"amount": 9, "from_unit": "USD", "to_unit": "EUR"}], ["9 USD as EUR"]),
            Asked("convert 5 miles to km", [],
                  ["which I do not find in your message", 'Not considered: "miles to km".']),
            Asked("Don't refund order 17", [], ['no argument expresses "Don\'t refund"']),
        ],
    ),
    "counts": (
        [seen, heaviest, islands, correlate],
        [
            Asked("Who are the 2 heaviest penguins?", [{"n": 2}], ["answers: [5050.0, 4900.0]"]),
            Asked("How many males in 2008 and how many females in 2009?",
                  [{"sex": "male", "year": 2008}, {"sex": "female", "year": 2009}], ["None male 2008"]),
            Asked("How many males live on Dream, and how many females?",
                  [{"island": "Dream", "sex": "male"}, {"island": "Dream", "sex": "female"}], ["Dream female None"]),
            Asked("How many males and females are there?", [{"sex": "male"}, {"sex": "female"}], ["None female"]),
            Asked("how many penguins since 2009?", [{}], ['Not considered: "since 2009".']),
            Asked("How many penguins per year?", [{}], ['Not considered: "year".']),
            Asked("How many penguins on every island?", [{"island": "Biscoe"}, {"island": "Dream"}], ["Dream None"]),
            Asked("Which islands are there and how many penguins live on each?", [{}, {}],
                  ['["Biscoe", "Dream"]', 'Not considered: "each".']),
            Asked("Correlate body_mass_g with bill_length_mm", [{"x": "body_mass_g", "y": "bill_length_mm"}], ["0.5"]),
            Asked("Correlate body_mass_g", [], ["`correlate` (x body_mass_g) needs `y`"]),
        ],
    ),
    "commands": (
        [add_task, set_alarm],
        [
            Asked("Add a task: call mum, due 2026-12-24", [{"title": "call mum", "due": "2026-12-24"}], ["added"]),
            Asked("Set an alarm for 7:30 tomorrow", [{"time": "7:30"}], ['Not considered: "tomorrow".']),
            Asked("Cancel my alarm", [], ["no rule of mine applies"]),
            Asked("Repeat the text: add a task and set an alarm", [], ["add a task and set an alarm"]),
        ],
    ),
    "texts": (
        [distance, word_count],
        [
            Asked("distance from Berlin to Ulm", [{"origin": "Berlin", "destination": "Ulm"}], ["500"]),
            Asked("And to Bonn?", [{"origin": "Berlin", "destination": "Bonn"}], ["500"]),
            Asked("Count the words: NaCl and quizzes", [{"text": "NaCl and quizzes"}], ["answers: 3"]),
            Asked("Count the words: the quick brown fox", [{"text": "the quick brown fox"}], ["answers: 4"]),
        ],
    ),
    "notes": (
        [note, find_notes, delete_note],
        [
            Asked("Save a note: buy paint", [{"text": "buy paint"}], ["saved buy paint"]),
            Asked("Find the notes about physics", [{"word": "physics"}], ["about physics"]),
            Asked("delete my notes", [], ["`delete_note` needs `word`"]),
            Asked("what did I save about it?", [], ["no knowledge of my own"]),
        ],
    ),
    "qualifiers": (
        [top_cars, mean_price, read_sensor],
        [
            Asked("top 3 cars by horsepower pls", [{"n": 3}], ['Not considered: "horsepower".']),
            Asked("top 2 cars by hp", [{"by": "hp"}], ["answers: "]),
            Asked("mean price of the cheapest cars", [{}], ['Not considered: "cheapest cars".']),
            Asked("Read both sensors, smoothed", [{"sensor": one, "smooth": True} for one in ("north", "south")], []),
            Asked("Why read the north sensor?", [{"sensor": "north"}], ['Not considered: "Why read".']),
            Asked("only the north sensor", [{"sensor": "north"}], ["21.5"]),
            Asked("How many degrees has the north sensor?", [{"sensor": "north"}], ["21.5"]),
        ],
    ),
    "sql": (
        [SqlTools(penguins=PENGUINS)],
        [
            Asked(query := "SELECT max(body_mass_g) AS top FROM penguins WHERE species = 'Adelie'", [{"query": query}],
                  ["top\n3800.0"]),
            Asked("run_sql: how many rows are there?", [],
                  ["I cannot write SQL", 'Not considered: "how many rows".']),
            Asked("How many penguins are on Biscoe?", [{"name": "penguins"}],
                  ['Not considered: "How many penguins" and "Biscoe".']),
        ],
    ),
    "memory": (
        [],
        [
            Asked("My name is Ada and my city is Oslo.", [], ["Noted: ", "if later requests contain it"]),
            Asked("What is my name and what is my city?", [], ["your name is Ada.", "your city is Oslo."]),
            Asked("What is my name and the capital of France?", [],
                  ["your name is Ada.", "I find nothing about the capital of france in what you told me"]),
            Asked("Remember that the exam is on Friday.", [], ["Noted: the exam is on Friday"]),
            Asked("When is the exam?", [], ["You told me: the exam is on Friday."]),
            Asked("Are you ChatGPT?", [], ["I am the demo model"]),
            Asked("Explain gradient descent", [], ["I have no knowledge of my own"]),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("subject", PROMPTS)
def test_prompts_are_answered_or_what_is_missing_is_named(subject: str) -> None:
    tools, expected = PROMPTS[subject]
    agent = Agent("demo", tools=tools, db=InMemoryDb(), add_history_to_context=True, num_history_runs=9)
    runs = [agent.run(asked.prompt) for asked in expected]
    assert [[call.tool_args for call in run.tools] for run in runs] == [asked.calls for asked in expected]
    answers = {asked.prompt: (asked.answer, run.content) for asked, run in zip(expected, runs, strict=True)}
    assert {prompt: one for prompt, one in answers.items() if not all(part in one[1] for part in one[0])} == {}
    # Nothing else is said to be left out.
    named = {prompt: one for prompt, one in answers.items() if "Not considered" in one[1]}
    assert {prompt: one for prompt, one in named.items() if "Not considered" not in str(one[0])} == {}


def test_remembering_is_not_promised_without_history() -> None:
    agent = Agent("demo", db=InMemoryDb())
    noted, asked = agent.run("My name is Ada."), agent.run("What is my name?")
    assert noted.content == "Noted: your name is Ada. I can recall it if later requests contain it."
    assert asked.content == "I find nothing about your name in the part of the session that I can see."


class Movie(BaseModel):
    title: str
    year: int
    genre: Literal["comedy", "horror"]


@pytest.mark.parametrize(
    ("prompt", "placeholder"),
    [
        ("Recommend a comedy from 1999", "values were picked by rules, not by a language model; made up: `title`"),
        ('Is "Alien" from 1979 horror?', "values were picked by rules, not by a language model"),
    ],
)
def test_a_schema_filled_by_rules_is_marked_as_a_placeholder(prompt: str, placeholder: str) -> None:
    db = InMemoryDb()
    run = Agent("demo", db=db, output_schema=Movie, metadata={"course": "ds1"}).run(prompt)
    assert isinstance(run.content, Movie)
    assert run.metadata == {"course": "ds1", "placeholder": placeholder}
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert stored.metadata == run.metadata
    for view in (view_of_run(run), view_of_run(stored)):
        assert view.parts[-1] == Note(f"Placeholder: {placeholder}")
        assert "Placeholder: values were picked by rules, not by a language model" in render_answer(view)


def test_a_cached_answer_is_still_a_placeholder() -> None:
    agent = Agent("demo", db=InMemoryDb(), output_schema=Movie)
    # The second run has the same request, because no history is sent.
    first, second = agent.run("A comedy", cache=True), agent.run("A comedy", cache=True)
    assert (second.is_cached, second.metadata) == (True, first.metadata)
    assert (first.metadata or {}).keys() == {"placeholder"}
