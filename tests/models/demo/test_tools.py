"""Arguments come from the prompt. Missing ones are omitted or requested."""

from __future__ import annotations

import json

import pytest

from agno_nb.models.demo.engine import reply
from agno_nb.models.demo.requests import read_chat
from tests.models.demo.talking import INTEGER, NUMBER, TEXT, JsonDict, Talk, function

WEATHER = function(
    "get_weather",
    "Current weather in a city.",
    "city",
    city=TEXT,
    unit={"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
)
POPULATION = function("get_population", "Population of a city.", "city", city=TEXT)
FILTER = function(
    "filter_penguins",
    "Penguins with a mass in a range, in grams.",
    min_mass=NUMBER,
    max_mass=NUMBER,
    sex={"anyOf": [{"type": "string", "enum": ["male", "female"]}, {"type": "null"}], "default": None},
    limit={"type": "integer", "default": 10},
)
FLIGHT = function(
    "book_flight",
    "Book a flight.",
    "origin destination date",
    origin=TEXT,
    destination=TEXT,
    date={"type": "string", "format": "date"},
    business={"type": "boolean", "default": False},
)
PLACE = {"type": "object", "properties": {"city": TEXT, "floor": INTEGER}, "required": ["city"]}


@pytest.mark.parametrize(
    ("tool", "prompt", "arguments"),
    [
        (WEATHER, "What's the weather in Paris?", {"city": "Paris"}),
        (WEATHER, "what is the weather in tokyo in fahrenheit", {"city": "tokyo", "unit": "fahrenheit"}),
        (WEATHER, "Paris's weather please", {"city": "Paris"}),
        (WEATHER, "weather for city: Lima", {"city": "Lima"}),
        (FILTER, "penguins with mass above 4000", {"min_mass": 4000}),
        (FILTER, "female penguins between 3,000 and 4,500 g", {"sex": "female", "min_mass": 3000, "max_mass": 4500}),
        (FILTER, "show 3 male penguins below 4500 g", {"sex": "male", "max_mass": 4500, "limit": 3}),
        (
            FLIGHT,
            "Book a business flight from Oslo to New York on 2026-12-24",
            {"origin": "Oslo", "destination": "New York", "date": "2026-12-24", "business": True},
        ),
        (function("multiply", "Multiply.", "a b", a=NUMBER, b=NUMBER), "What is 12 * 7?", {"a": 12, "b": 7}),
        (function("add", "Add two numbers.", "a b", a=INTEGER, b=INTEGER), "add two and -5", {"a": 2, "b": -5}),
        (
            function("calculator", "Calculate.", "expression", expression=TEXT),
            "calculate (3 + 4) * 2",
            {"expression": "(3 + 4) * 2"},
        ),
        (function("run_sql", "Run SQL.", "sql", sql=TEXT), "run sql select 1 from t", {"sql": "select 1 from t"}),
        (
            function("search_web", "Search the web.", "query", query=TEXT),
            "search the web for penguin facts",
            {"query": "penguin facts"},
        ),
        (
            function("add_items", "Add items to a list.", "items", items={"type": "array", "items": TEXT}),
            'add the items "milk" and "eggs"',
            {"items": ["milk", "eggs"]},
        ),
        (
            function("send_email", "Send an email.", "to subject", to=TEXT, subject=TEXT),
            'Send an email to ann@example.org with subject "Lunch"',
            {"to": "ann@example.org", "subject": "Lunch"},
        ),
        (
            function("read_file", "Read a file.", "path", path=TEXT),
            "read the file data/penguins.csv",
            {"path": "data/penguins.csv"},
        ),
        (function("ping"), "ping", {}),
        (
            function("rows", "Rows of a table.", n={"type": "integer", "default": 5}, shuffled={"type": "boolean"}),
            "12 rows, not shuffled",
            {"n": 12, "shuffled": False},
        ),
        (
            function("species_info", "Facts. species: Adelie, Chinstrap or Gentoo.", "species", species=TEXT),
            "species info on gentoo penguins",
            {"species": "Gentoo"},
        ),
        (
            function("save_config", "Save the config.", "config", config={"type": "object"}),
            'save config {"depth": 3}',
            {"config": {"depth": 3}},
        ),
    ],
)
def test_arguments_are_found(tool: JsonDict, prompt: str, arguments: JsonDict) -> None:
    assert Talk(tools=[tool]).called(prompt) == [(tool["function"]["name"], arguments)]


def test_two_tools_that_match_are_called_together() -> None:
    talk = Talk(tools=[WEATHER, POPULATION])
    assert talk.called("weather and population of Berlin") == [
        ("get_weather", {"city": "Berlin"}),
        ("get_population", {"city": "Berlin"}),
    ]
    assert talk.called("What's the weather in Paris?") == [("get_weather", {"city": "Paris"})]


def test_several_values_are_several_calls_unless_the_request_forbids_it() -> None:
    prompt = "Compare the weather in Oslo, Bergen and Rome"
    assert Talk(tools=[WEATHER]).called(prompt) == [
        ("get_weather", {"city": city}) for city in ("Oslo", "Bergen", "Rome")
    ]
    assert Talk(tools=[WEATHER]).called(prompt, parallel_tool_calls=False) == [("get_weather", {"city": "Oslo"})]


def test_what_is_missing_is_asked_for_and_taken_from_the_answer() -> None:
    talk = Talk(tools=[FLIGHT])
    assert talk.ask("Book me a business flight to Rome") == (
        "`book_flight` needs `origin` and `date`, which your message does not say, and I do not invent it. "
        "What shall I take for them?"
    )
    assert talk.calls == []
    assert talk.called("from Oslo on 2026-05-01") == [
        ("book_flight", {"destination": "Rome", "business": True, "origin": "Oslo", "date": "2026-05-01"})
    ]


def test_an_answer_of_one_word_is_the_missing_argument() -> None:
    talk = Talk(tools=[WEATHER])
    talk.ask("weather")
    assert talk.called("oslo") == [("get_weather", {"city": "oslo"})]
    talk.ask("weather")
    assert talk.ask("never mind") == "Fine, I leave `get_weather` alone."
    talk.ask("weather")
    assert talk.ask("what is 2 + 2") == "2 + 2 = 4"


def test_a_call_is_made_once_a_turn() -> None:
    talk = Talk(tools=[WEATHER], run=lambda name, arguments: "sunny")
    assert talk.ask("weather in Rome, weather in Rome") == "`get_weather` (city Rome) answers: sunny"
    assert talk.calls == [("get_weather", {"city": "Rome"})]


def test_a_tool_that_is_gone_is_not_called_again() -> None:
    talk = Talk(tools=[WEATHER])
    talk.ask("weather in Rome")
    talk.tools = [POPULATION]
    assert talk.called("and Oslo?") == []


@pytest.mark.parametrize(
    ("result", "answer"),
    [
        ("21 degrees", "answers: 21 degrees"),
        ('{"mean": 3.50, "n": 2}', "answers: mean 3.5, n 2."),
        ("{'mean': 3.5, 'ok': None}", "answers: mean 3.5, ok null."),
        ("[1, 2]", "answers: [1, 2]"),
        ('[{"a": 1, "b": "x|y"}, {"a": 2}]', "answers:\n\n| a | b |\n|---|---|\n| 1 | x\\|y |\n| 2 |  |"),
        (",city,n\n0,Rome,1\n1,Oslo,2", "answers:\n\n| city | n |\n|---|---|\n| Rome | 1 |\n| Oslo | 2 |"),
        (
            "city,n\nRome,1\nOslo,2\n(9 rows, the first 2 are shown)",
            "answers:\n\n| city | n |\n|---|---|\n| Rome | 1 |\n| Oslo | 2 |\n\n(9 rows, the first 2 are shown)",
        ),
        ("one\ntwo", "answers:\n\n```text\none\ntwo\n```"),
        ("```\ncode\n```", "answers:\n\n````text\n```\ncode\n```\n````"),
        ("", "answered with nothing."),
        ("word " * 400, f"answers: {('word ' * 300).strip()}… (cut: the first 1,500 of 1,999 characters)"),
        ("ValueError: no such city", "failed, so I have no answer from it. It said: ValueError: no such city"),
        ('{"error": 0.1}', "answers: error 0.1."),
        ("Errors are rare", "answers: Errors are rare"),
        ('{"error": "quota"}', "failed, so I have no answer from it. It said: quota"),
    ],
)
def test_results_are_stated_as_they_are(result: str, answer: str) -> None:
    talk = Talk(tools=[WEATHER], run=lambda name, arguments: result)
    assert talk.ask("weather in Rome") == f"`get_weather` (city Rome) {answer}"


def test_the_choice_of_the_request_is_followed() -> None:
    talk = Talk(tools=[WEATHER, function("place", "Go there.", "where", where=PLACE)])
    assert talk.called("weather in Rome", tool_choice="none") == []
    named = {"type": "function", "function": {"name": "place"}}
    assert talk.called("Rome, floor 3", tool_choice=named) == [("place", {"where": {"city": "Rome", "floor": 3}})]
    assert talk.called("Hello", tool_choice="required") == [("get_weather", {"city": "demo city"})]


def test_history_tools_are_asked_where_the_context_has_no_history() -> None:
    said = [{"role": "user", "content": "Moin"}, {"role": "assistant", "content": "Hello"}]
    talk = Talk(tools=[function("get_chat_history", "Messages.", num_chats=INTEGER)], run=lambda *_: json.dumps(said))
    assert talk.ask("What was my first message?") == (
        'The first thing you said to me, as far as my context goes, was "Moin".'
    )
    assert talk.calls == [("get_chat_history", {})]


def test_a_conversation_that_ends_with_results_is_answered_from_them() -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    messages = [
        {"role": "user", "content": "weather in Rome"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "user", "content": "What did I ask before?"},
    ]
    assert reply(read_chat({"messages": messages})).text.startswith('Just before this you said "weather in Rome".')


def test_it_reads_exchanges_and_other_sessions_by_the_tools_of_an_agent() -> None:
    results = {
        "get_chat_history": [{"user": "Is it raining?", "assistant": "No."}],
        "search_past_sessions": [
            {"session_id": "s4", "session_name": None, "runs": [{"user": "What of Japan?", "assistant": "Tokyo."}]},
            {"session_id": "s3", "session_name": "Travel", "runs": [{"user": "And France?", "assistant": "Paris."}]},
        ],
    }
    tools = [
        function("get_chat_history", "Read this conversation.", num_chats=INTEGER),
        function("search_past_sessions", "List other conversations."),
        function("read_past_session", "Read one.", "session_id", session_id=TEXT),
    ]
    talk = Talk(tools=tools, run=lambda name, _: json.dumps(results[name]))
    assert talk.ask("What did I ask you first?") == (
        'The first thing you said to me, as far as my context goes, was "Is it raining?".'
    )
    assert talk.calls == [("get_chat_history", {})]
    assert talk.ask("What did I discuss in my previous conversations?") == (
        "I can read 2 earlier conversations of yours:\n\n"
        '- `s4`: you said "What of Japan?".\n- `Travel`: you said "And France?".'
    )
    assert talk.calls == [("search_past_sessions", {})]
    results["search_past_sessions"] = []
    assert talk.ask("Which other chats did we have?") == "There is no other conversation of yours that I can read."
    assert Talk().ask("What did we talk about in our last session?").startswith("I have no tool to read other")
