"""Prompts of a new user in the first ten minutes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb.models.demo.context import LABEL
from agno_nb.models.demo.engine import reply
from agno_nb.models.demo.requests import read_chat
from agno_nb.run.regenerate import CONTINUE_PROMPT
from tests.models.demo.talking import JsonDict, Talk, function

MASS = {"Adelie": 3700.7, "Chinstrap": 3733.1, "Gentoo": 5076.0}
PENGUINS = function(
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


def measure(name: str, arguments: JsonDict) -> str:
    column = arguments.get("column", "body_mass_g")
    mean = MASS[arguments["species"]] if column == "body_mass_g" else 200.0 + len(arguments["species"])
    return json.dumps({"species": arguments["species"], "column": column, "mean": mean})


@pytest.fixture
def penguins() -> Talk:
    return Talk(tools=[PENGUINS], run=measure)


def call(species: str, column: str | None = None) -> tuple[str, JsonDict]:
    return "describe_penguins", {"species": species, **({"column": column} if column else {})}


def test_the_lesson(penguins: Talk) -> None:
    first = penguins.ask("How heavy are Gentoo penguins?")
    assert penguins.calls == [call("Gentoo")]
    assert first == "`describe_penguins` (species Gentoo) answers: column body_mass_g, mean 5076.0."
    assert penguins.called("And Adelie?") == [call("Adelie")]
    assert penguins.called("How long are the flippers of Chinstrap penguins?") == [
        call("Chinstrap", "flipper_length_mm")
    ]
    assert penguins.ask("What did I ask first?") == (
        'The first thing you said to me, as far as my context goes, was "How heavy are Gentoo penguins?".'
    )
    assert penguins.ask("Which tools did you use?") == (
        "I called `describe_penguins(species='Gentoo')`, `describe_penguins(species='Adelie')` and "
        "`describe_penguins(species='Chinstrap', column='flipper_length_mm')`."
    )
    assert penguins.ask("How many questions did I ask?") == "You asked 5 questions before this one, in 5 messages."


def test_for_each_value_of_a_parameter_there_is_a_call_and_one_table(penguins: Talk) -> None:
    answer = penguins.ask("Mean body mass of penguins by species?")
    assert penguins.calls == [call("Adelie"), call("Chinstrap"), call("Gentoo")]
    assert answer == (
        "`describe_penguins`, called 3 times, answers:\n\n"
        "| species | column | mean |\n|---|---|---|\n"
        "| Adelie | body_mass_g | 3700.7 |\n"
        "| Chinstrap | body_mass_g | 3733.1 |\n"
        "| Gentoo | body_mass_g | 5076.0 |"
    )


def test_it_goes_on_from_what_was_said(penguins: Talk) -> None:
    assert penguins.called("Compare Adelie and Gentoo penguins") == [call("Adelie"), call("Gentoo")]
    assert penguins.ask("Which of those is heavier?") == (
        "The highest mean is that of Gentoo: 5076.0 (of Adelie 3700.7, Gentoo 5076.0)."
    )
    assert penguins.ask("double it") == "5076 * 2 = 10152"
    assert penguins.ask("What is the difference between them?") == (
        "The difference in mean is 1375.3 (of Adelie 3700.7, Gentoo 5076.0)."
    )
    flippers = [call("Adelie", "flipper_length_mm"), call("Gentoo", "flipper_length_mm")]
    assert penguins.called("and their flipper length?") == flippers
    assert penguins.called("Again, please") == flippers
    assert penguins.called("And body mass?") == [call("Adelie"), call("Gentoo")]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Which penguins are the heaviest?", [call("Adelie"), call("Chinstrap"), call("Gentoo")]),
        ("how heavy are gentoos", [call("Gentoo")]),
        ("How deep are the bills of Adelies?", [call("Adelie", "bill_depth_mm")]),
        ("bill length of every species", [call(species, "bill_length_mm") for species in MASS]),
        ('describe_penguins(species="Adelie", column=bill_depth_mm)', [call("Adelie", "bill_depth_mm")]),
        ("What is the capital of France?", []),
        ("Tell me a joke about penguins", []),
        ("I love penguins", []),
        ("Hello", []),
        ("what is 12 * 7", []),
    ],
)
def test_a_tool_is_called_when_it_is_asked_for(
    penguins: Talk, prompt: str, expected: list[tuple[str, JsonDict]]
) -> None:
    assert penguins.called(prompt) == expected


def test_it_introduces_itself_once_a_session(penguins: Talk) -> None:
    for prompt in ("How heavy are Gentoo penguins?", "And Adelie?", "Hello"):
        penguins.ask(prompt)
    answers = [message["content"] or "" for message in penguins.messages if message["role"] == "assistant"]
    assert [answer.count(LABEL) for answer in answers] == [0, 1, 0, 0, 0]
    assert answers[1].endswith(LABEL)


def test_its_own_label_is_no_part_of_what_it_quotes() -> None:
    talk = Talk()
    first = talk.ask("what is 12 * 7")
    assert talk.messages[-1]["content"] == f"{first}\n\n{LABEL}"
    assert talk.ask("Repeat your last answer") == "12 * 7 = 84"


def test_facts_about_the_user_are_found_again() -> None:
    talk = Talk()
    assert talk.ask("Hi, my name is Alice") == (
        "Hello, and noted: your name is Alice. Ask me about it later in this session."
    )
    talk.ask("My favourite color is blue")
    talk.ask("I love pizza, especially margherita")
    talk.ask("I live in Oslo and I work as a data scientist.")
    answers = {
        "What's my name?": "You told me: your name is Alice.",
        "What is my favorite colour?": "You told me: your favourite color is blue.",
        "What food do I like?": "You told me: you love pizza, especially margherita.",
        "Where do I live?": "You told me: you live in Oslo.",
        "What do I do?": "You told me: you work as a data scientist.",
        "Where was I born?": 'I have no knowledge of my own, so I cannot answer "Where was I born?". I can recall this '
        "conversation, do sums, show Markdown, and call tools once you give me some.",
        "What is my dog called?": "You have not told me your dog, as far as my context goes (it holds 10 earlier "
        "messages of yours).",
    }
    assert {question: talk.ask(question) for question in answers} == answers
    talk.ask("My favourite color is red")
    assert talk.ask("What's my favorite color?") == "You told me: your favourite color is red."


def test_a_fresh_session_knows_nothing() -> None:
    assert Talk().ask("What's my name?") == (
        "You have not told me your name, as far as my context goes (this is its first message)."
    )
    assert Talk().ask("What was my first message?") == (
        "Nothing was said before this: it is the first message in my context."
    )


SYSTEM = """You help with penguins.

<memories_of_user>
- The user's name is Ada.
- The user likes anime.
</memories_of_user>

<session_summary>
The user asked about flippers.
</session_summary>

<session_state>
{'shopping_list': ['milk'], 'visits': 3}
</session_state>"""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is my name?", "My memories of you say: The user's name is Ada."),
        ("What do I like?", "My memories of you say: The user likes anime."),
        ("What's on my shopping list?", 'The session state says: `shopping_list` is ["milk"].'),
        ("What is in the session state?", "The session state holds `shopping_list`: ['milk'] and `visits`: 3."),
        ("What did we talk about?", "The user asked about flippers."),
        (
            "What was my first message?",
            "No earlier message is in my context. The summary of our conversation says: The user asked about flippers.",
        ),
        ("What are your instructions?", 'My instructions are "You help with penguins.".'),
    ],
)
def test_memories_summary_and_state_of_the_system_message_are_read(question: str, answer: str) -> None:
    assert Talk(system=SYSTEM).ask(question) == answer


def test_sums_and_what_follows_from_them() -> None:
    talk = Talk()
    said = {
        "what is 12 * 7": "12 * 7 = 84",
        "double it": "84 * 2 = 168",
        "now add 10 to that": "168 + 10 = 178",
        "and half of that?": "178 / 2 = 89",
        "What's 15% of 80?": "15 / 100 * 80 = 12",
        "1,000 divided by 8": "1000 / 8 = 125",
        "1/0": "1/0 has no value: it divides by zero.",
        "What is 9**9**9": "9**9**9 has no value that I can write down.",
        "count to 5": "1, 2, 3, 4, 5",
    }
    assert {prompt: talk.ask(prompt) for prompt in said} == said


def test_a_date_is_no_sum() -> None:
    assert "=" not in Talk().ask("What is 2024-01-31?")


def test_stories_are_about_what_was_asked_for_and_the_next_one_is_another() -> None:
    talk = Talk()
    first, second = talk.ask("Tell me a 5 second short story about a robot."), talk.ask("another one")
    assert "a robot" in first
    assert "a robot" in second
    assert first != second


def test_a_sample_shows_how_markdown_looks() -> None:
    sample = Talk().ask("Show me some markdown")
    assert all(part in sample for part in ("## ", "**bold**", "\n- ", "|---|", "```python"))


def test_what_rules_cannot_know_is_said() -> None:
    assert Talk().ask("What is the capital of France?") == (
        'I have no knowledge of my own, so I cannot answer "What is the capital of France?". '
        "I can recall this conversation, do sums, show Markdown, and call tools once you give me some."
    )


def test_help_lists_the_tools(penguins: Talk) -> None:
    assert "- `describe_penguins`: Describe a measurement of the penguins" in penguins.ask("What can you do?")


@pytest.mark.parametrize("prompt", ['say "<script>alert(1)</script>"', "Repeat after me: <script>alert(1)</script>"])
def test_it_says_what_it_is_told_to_say(prompt: str) -> None:
    assert Talk().ask(prompt) == "<script>alert(1)</script>"


@pytest.mark.parametrize("prompt", ["", "???", "\n"])
def test_a_message_without_words_is_answered(prompt: str) -> None:
    assert Talk().ask(prompt).startswith("There are no words in your message.")


def test_a_summary_names_questions_facts_and_answers(penguins: Talk) -> None:
    penguins.ask("My name is Mark and I like anime")
    penguins.ask("How heavy are Gentoo penguins?")
    assert penguins.ask("Give me a summary of our conversation.") == (
        'The user asked "How heavy are Gentoo penguins?". The user\'s name is Mark. The user likes anime. '
        "Tools used: describe_penguins (1 call). "
        'The answer to "How heavy are Gentoo penguins?" was: describe_penguins (species Gentoo) answers: '
        "column body_mass_g, mean 5076.0."
    )


FRAME = """DataFrame, 344 rows x 3 columns
Columns: species (str), island (str), body_mass_g (float64)
First 2 rows as CSV:
species,island,body_mass_g
Adelie,Torgersen,3750.0
Gentoo,Biscoe,4500.0"""


def test_a_frame_in_the_prompt_is_read_and_is_not_mistaken_for_words_of_the_user(penguins: Talk) -> None:
    assert penguins.ask(f"What columns has {FRAME}?") == (
        "The DataFrame has 344 rows and 3 columns: `species`, `island` and `body_mass_g`."
    )
    assert penguins.ask("How many rows is that?") == "The DataFrame has 344 rows and 3 columns."
    assert penguins.called(f"How heavy are Chinstrap penguins in {FRAME}?") == [call("Chinstrap")]
    assert penguins.ask("What was my first message?") == (
        'The first thing you said to me, as far as my context goes, was "What columns has the DataFrame?".'
    )


def test_the_same_request_gets_the_same_answer(penguins: Talk) -> None:
    again: Any = Talk(tools=[PENGUINS], run=measure)
    for prompt in ("Mean body mass of penguins by species?", "Which of those is lightest?", "a haiku about snow"):
        assert penguins.ask(prompt) == again.ask(prompt)


def test_an_answer_that_was_cut_off_is_gone_on_with() -> None:
    question = {"role": "user", "content": "What can you do?"}
    whole = reply(read_chat({"messages": [question]})).text
    cut_off = {"role": "assistant", "content": whole[:20]}
    go_on = {"role": "user", "content": CONTINUE_PROMPT}
    rest = reply(read_chat({"messages": [question, cut_off, go_on]})).text
    assert whole[:20] + rest == whole
