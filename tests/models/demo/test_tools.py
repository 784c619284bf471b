"""Which tools are called and with which arguments, and how their results are reported."""

from __future__ import annotations

import json

import pytest

from agno_nb.types import ToolSpec
from tests.models.demo.talking import NUMBER, TEXT, JsonDict, Talk, tool

MASS = {"Adelie": 3700.7, "Chinstrap": 3733.1, "Gentoo": 5076.0}
PENGUINS = tool(
    "describe_penguins",
    "Describe a measurement of the penguins of one species: how heavy they are, or how long their flippers are.",
    "species",
    species={"enum": list(MASS), "type": "string"},
    column={
        "enum": ["body_mass_g", "flipper_length_mm", "bill_length_mm", "bill_depth_mm"],
        "type": "string",
        "default": "body_mass_g",
    },
)
WEATHER = tool(
    "get_weather",
    "Current weather in a city.",
    "city",
    city=TEXT,
    unit={"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
)
POPULATION = tool("get_population", "Population of a city.", "city", city=TEXT)
FLIGHT = tool(
    "book_flight",
    "Book a flight.",
    "origin destination date",
    origin=TEXT,
    destination=TEXT,
    date={"type": "string", "format": "date"},
    business={"type": "boolean", "default": False},
)


def measure(name: str, arguments: JsonDict) -> str:
    return json.dumps({"species": arguments["species"], "mean": MASS[arguments["species"]]})


def test_the_first_lesson() -> None:
    talk = Talk(tools=[PENGUINS], run=measure)
    assert talk.ask("How heavy are Gentoo penguins?") == "`describe_penguins` (species Gentoo) answers: mean 5076.0."
    assert talk.calls == [("describe_penguins", {"species": "Gentoo"})]
    assert talk.called("And Adelie?") == [("describe_penguins", {"species": "Adelie"})]
    assert talk.called("How long are the flippers of Chinstrap penguins?") == [
        ("describe_penguins", {"species": "Chinstrap", "column": "flipper_length_mm"})
    ]
    assert talk.called("and their bill depth?") == [
        ("describe_penguins", {"species": "Chinstrap", "column": "bill_depth_mm"})
    ]
    assert talk.called("Again, please") == [("describe_penguins", {"species": "Chinstrap", "column": "bill_depth_mm"})]


def test_a_follow_up_changes_what_it_names() -> None:
    talk = Talk(tools=[tool("mean_of", "Mean of a column.", "column species", column=TEXT, species=TEXT)])
    talk.ask("What is the mean of body_mass_g for Gentoo?")
    assert talk.called("And Adelie? And Chinstrap?") == [
        ("mean_of", {"column": "body_mass_g", "species": species}) for species in ("Adelie", "Chinstrap")
    ]


@pytest.mark.parametrize(
    ("prompt", "species"),
    [
        ("how heavy are gentoos", ["Gentoo"]),
        ("Compare Adelie and Gentoo penguins", ["Adelie", "Gentoo"]),
        ("Mean body mass of penguins by species?", ["Adelie", "Chinstrap", "Gentoo"]),
        ("Which penguins are the heaviest?", ["Adelie", "Chinstrap", "Gentoo"]),
        ('describe_penguins(species="Adelie")', ["Adelie"]),
        ("What is the capital of France?", []),
        ("I love penguins", []),
        ("what is 12 * 7", []),
    ],
)
def test_a_tool_is_called_for_each_value_that_is_asked_for(prompt: str, species: list[str]) -> None:
    assert Talk(tools=[PENGUINS], run=measure).called(prompt) == [
        ("describe_penguins", {"species": one}) for one in species
    ]


@pytest.mark.parametrize(
    ("offered", "prompt", "arguments"),
    [
        (WEATHER, "What's the weather in Paris?", {"city": "Paris"}),
        (WEATHER, "what is the weather in tokyo in fahrenheit", {"city": "tokyo", "unit": "fahrenheit"}),
        (WEATHER, "Paris's weather please", {"city": "Paris"}),
        (WEATHER, "weather for city: lima", {"city": "lima"}),
        (
            FLIGHT,
            "Book a business flight from Oslo to New York on 2026-12-24",
            {"origin": "Oslo", "destination": "New York", "date": "2026-12-24", "business": True},
        ),
        (tool("multiply", "Multiply.", "a b", a=NUMBER, b=NUMBER), "multiply 12 by 7.5", {"a": 12, "b": 7.5}),
        (tool("run_sql", "Run SQL.", "query", query=TEXT), "select 1 from t", {"query": "select 1 from t"}),
        (
            tool("add_items", "Add items to a list.", "items", items={"type": "array", "items": TEXT}),
            'add the items "milk" and "eggs"',
            {"items": ["milk", "eggs"]},
        ),
        (
            tool("send_email", "Send an email.", "to subject", to=TEXT, subject=TEXT),
            'Send an email to ann@example.org with subject "Lunch"',
            {"to": "ann@example.org", "subject": "Lunch"},
        ),
        (
            tool("read_file", "Read a file.", "path", path=TEXT),
            "read the file data/penguins.csv",
            {"path": "data/penguins.csv"},
        ),
        (tool("mean_of", "Mean.", "column species", column=TEXT, species=TEXT), "mean_of Gentoo for body_mass_g",
         {"column": "body_mass_g", "species": "Gentoo"}),
        (
            tool("pay", "Pay an amount.", "to amount", to=TEXT, amount=NUMBER),
            "pay 99.50 to kim@shop.org",
            {"to": "kim@shop.org", "amount": 99.5},
        ),
        (
            tool("bmi", "Body mass index.", "height_m weight_kg", height_m=NUMBER, weight_kg=NUMBER),
            "bmi: weight 70, height 1.75",
            {"height_m": 1.75, "weight_kg": 70},
        ),
        (tool("ping"), "ping", {}),
        (
            tool("rows", "Rows of a table.", n={"type": "integer", "default": 5}, shuffled={"type": "boolean"}),
            "rows, n=12, not shuffled",
            {"n": 12, "shuffled": False},
        ),
    ],
)  # fmt: skip
def test_arguments_come_from_the_prompt(offered: ToolSpec, prompt: str, arguments: JsonDict) -> None:
    assert Talk(tools=[offered]).called(prompt) == [(offered.name, arguments)]


def test_tools_that_both_match_are_called_together() -> None:
    talk = Talk(tools=[WEATHER, POPULATION])
    assert talk.called("weather and population of Berlin") == [
        ("get_weather", {"city": "Berlin"}),
        ("get_population", {"city": "Berlin"}),
    ]
    assert talk.called("What's the weather in Paris?") == [("get_weather", {"city": "Paris"})]


def test_missing_arguments_are_asked_for() -> None:
    talk = Talk(tools=[FLIGHT])
    assert talk.ask("Book me a business flight from Oslo to Rome") == (
        "`book_flight` (origin Oslo, destination Rome, business true) needs `date`, "
        "which I do not find in your message."
    )
    assert talk.calls == []
    assert talk.called("on 2026-05-01") == [
        ("book_flight", {"origin": "Oslo", "destination": "Rome", "date": "2026-05-01", "business": True})
    ]
    talk = Talk(tools=[WEATHER])
    talk.ask("weather")
    assert talk.called("oslo") == [("get_weather", {"city": "oslo"})]


@pytest.mark.parametrize(
    ("result", "report"),
    [
        ("21 degrees", "answers: 21 degrees"),
        ('{"mean": 3.50, "n": 2}', "answers: mean 3.5, n 2."),
        ('{"mean": 3.5, "ok": null}', "answers: mean 3.5, ok null."),
        ("[1, 2]", "answers: [1, 2]"),
        ("one\ntwo", "answers:\n\n```text\none\ntwo\n```"),
        ("```\ncode\n```", "answers:\n\n````text\n```\ncode\n```\n````"),
        ("", "answers: nothing"),
        ("x" * 2000, f"answers: {'x' * 1499}…"),
        ("ValueError: no such city", "failed: ValueError: no such city"),
        ("Errors are rare", "answers: Errors are rare"),
        (
            "The user refused this call, and it was not carried out. They say: Not on a Friday.",
            "was not called, because you rejected it: Not on a Friday.",
        ),
        (
            "The user refused this call, and it was not carried out.",
            "was not called, because you rejected it",
        ),
    ],
)
def test_results_are_reported_as_they_are(result: str, report: str) -> None:
    talk = Talk(tools=[WEATHER], run=lambda name, arguments: result)
    assert talk.ask("weather in Rome") == f"`get_weather` (city Rome) {report}"


def test_a_long_text_is_not_listed_word_by_word() -> None:
    talk = Talk(tools=[WEATHER])
    said = "weather in Rome. " + ". ".join(f"A `word` number w{at} is long" for at in range(20)) + ". A `word`."
    answer = talk.ask(said)
    assert answer.endswith(" and 15 more.")
    assert answer.count('"') == 12
    assert "`" not in answer.partition("Not considered")[2]


MEMBERS = "<team_members>\n- weather-desk: Knows the weather\n- penguins: Weighs penguins\n</team_members>"
ONE = tool("delegate_task_to_member", "Have a member do a task.", "member_id task", member_id=TEXT, task=TEXT)
ALL = tool("delegate_task_to_members", "Have all members do a task.", "task", task=TEXT)


def test_tasks_go_to_the_members_whose_roles_share_words_with_them() -> None:
    talk = Talk([ONE], run=lambda name, arguments: f"of {arguments['task']}", system=MEMBERS)
    assert talk.ask("Is the weather fine?") == "**weather-desk**: of Is the weather fine?"
    assert talk.called("How heavy is a penguin and how is the weather? Is it warm?") == [
        ("delegate_task_to_member", {"member_id": "penguins", "task": "How heavy is a penguin"}),
        ("delegate_task_to_member", {"member_id": "weather-desk", "task": "how is the weather? Is it warm?"}),
    ]
    talk.ask("How heavy are penguins?")
    assert talk.called("And in winter?") == [
        ("delegate_task_to_member", {"member_id": "penguins", "task": "And in winter?"})
    ]
    assert talk.ask("What is 3 * 4?") == "3 * 4 = 12"


def test_all_members_get_the_whole_prompt() -> None:
    talk = Talk([ALL], run=lambda name, arguments: "weather-desk: rain\n\npenguins: 5 kg", system=MEMBERS)
    assert talk.ask("How is the season?") == "**weather-desk**: rain\n\n**penguins**: 5 kg"
    assert talk.calls == [("delegate_task_to_members", {"task": "How is the season?"})]
