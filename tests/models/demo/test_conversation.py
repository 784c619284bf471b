"""Prompts of a new user in the first ten minutes."""

from __future__ import annotations

import json

import pytest

from agno_nb.models.base import ModelRequest
from agno_nb.run.rewind import CONTINUE_PROMPT
from agno_nb.types import Media, Message
from tests.models.demo.talking import INTEGER, TEXT, Talk, answer, respond, tool

ABILITIES = "I can answer from the messages that I am sent, do sums, and call tools once you add some."


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("What can you do?", f"I am the demo model: rules that stand in for a language model. {ABILITIES}"),
        (
            "What is the capital of France?",
            'I have no knowledge of my own, so I cannot answer "What is the capital of France?". ' + ABILITIES,
        ),
        (
            "Summarize this: Penguins eat fish.",
            f'I read "Summarize this: Penguins eat fish.", but no rule of mine applies to it. {ABILITIES}',
        ),
        ("Round 0", f'I read "Round 0", but no rule of mine applies to it. {ABILITIES}'),
        ("???", f"Your message contains no words. {ABILITIES}"),
        ("", f"Your message contains no words. {ABILITIES}"),
        ("2 + 3", "2 + 3 = 5"),
        ("What is (2 - 3) * 1.5?", "(2 - 3) * 1.5 = -1.5"),
        ("What is 1/0", "I cannot calculate 1/0."),
        ("count to 5", "1, 2, 3, 4, 5"),
        ("say '<script>alert(1)</script>'", "<script>alert(1)</script>"),
    ],
)
def test_it_says_what_it_can_and_admits_the_rest(prompt: str, expected: str) -> None:
    assert answer(prompt) == expected


def test_questions_about_the_conversation() -> None:
    talk = Talk()
    assert talk.ask("What was my first message?") == "This is the first message that I can see in this session."
    talk = Talk()
    talk.ask("what is 12 * 7")
    talk.ask("My name is Ada and I like owls.")
    answers = {
        "What did I ask first?": 'Your first message that I can see was "what is 12 * 7".',
        "What did I say just now?": 'Your previous message was "What did I ask first?".',
        "What is the summary of our conversation?": (
            "The user's name is Ada. The user likes owls. "
            'The user asked "what is 12 * 7" and got the answer "12 * 7 = 84". '
            'The user asked "What did I ask first?". The user asked "What did I say just now?".'
        ),
        "Repeat that": "The user's name is Ada. The user likes owls. ",
    }
    assert [talk.ask(question).startswith(expected) for question, expected in answers.items()] == [True] * 4
    assert talk.ask("What did I ask?").startswith('You said:\n\n- "what is 12 * 7"\n- "My name is Ada')


def test_facts_about_the_user_are_recalled() -> None:
    talk = Talk()
    hint = "I can recall it if later requests contain it."
    assert talk.ask("Hi, my name is Alice") == f"Noted: your name is Alice. {hint}"
    assert talk.ask("My favourite color is blue") == "Noted: your favourite color is blue."
    talk.ask("I love pizza, especially margherita. I live in Oslo and I study my cat.")
    answers = {
        "What's my name?": "You told me: your name is Alice.",
        "Who am I?": "You told me: your name is Alice.",
        "What is my favorite colour?": "You told me: your favourite color is blue.",
        "What do I like?": "You told me: you love pizza, especially margherita.",
        "Where do I live?": "You told me: you live in Oslo.",
        "What do I study?": "You told me: you study your cat.",
        "What is my dog called?": (
            "I find nothing about your dog in what you told me: your name is Alice, your favourite color is blue, "
            "you love pizza, especially margherita, you live in Oslo and you study your cat."
        ),
    }
    assert {question: talk.ask(question) for question in answers} == answers
    talk.ask("My favourite color is red")
    assert talk.ask("What's my favorite color?") == "You told me: your favourite color is red."


@pytest.mark.parametrize(
    ("said", "question", "expected"),
    [
        ("Hi! My name is Lena and I study biology.", "What do I study?", "You told me: you study biology."),
        ("My exam is on May 3rd.", "When is my exam?", "You told me: your exam is on May 3rd."),
        ("I live in Ghent.", "Do you know where I live?", "You told me: you live in Ghent."),
        (
            "I love tea.",
            "What do I like to drink?",
            ('I have no rule that answers this, but you wrote "I love tea.".\n\nNot considered: "drink".'),
        ),
        (
            "My brother lives in Rome.",
            "Where does my brother live?",
            'I have no rule that answers this, but you wrote "My brother lives in Rome.".',
        ),
        ("2 + 2", "My name is Sam. What is my name?", "You told me: your name is Sam."),
        (
            "My birthday is on 4 July.",
            "How many days until my birthday?",
            'You told me: your birthday is on 4 July.\n\nNot considered: "days".',
        ),
        ("please remember: my group is B2", "What is my group?", "You told me: your group is B2."),
        ("My tutor is Prof. Weber.", "Who is my tutor?", "You told me: your tutor is Prof Weber."),
        ("Actually, my name is Bo.", "What is my name?", "You told me: your name is Bo."),
        (
            "please remember: my group is B2",
            "Which group am I in?",
            'I have no rule that answers this, but you wrote "please remember: my group is B2".',
        ),
        ("What is 3 * 9?", "How many questions did I ask?", "I can see 1 earlier message of yours."),
        (
            "What is 3 * 9?",
            "What was the result of my first question?",
            'You asked "What is 3 * 9?", and I answered "3 * 9 = 27".',
        ),
        (
            "What is 3 * 9?",
            "What was my last question and what did you answer?",
            'You asked "What is 3 * 9?", and I answered "3 * 9 = 27".',
        ),
        ("What is 3 * 9?", "Repeat your last answer in French", '3 * 9 = 27\n\nNot considered: "French".'),
    ],
)
def test_what_is_recalled_is_what_was_asked_for(said: str, question: str, expected: str) -> None:
    talk = Talk()
    talk.ask(said)
    assert talk.ask(question) == expected


def test_what_the_user_wants_forgotten_is_not_recalled() -> None:
    talk = Talk()
    talk.ask("I love tea. My name is Ada.")
    assert talk.ask("Forget that I love tea; I now prefer coffee") == (
        "Noted: you prefer coffee. You want me to forget: you love tea."
    )
    assert talk.ask("What do you know about me?") == "You told me: your name is Ada and you prefer coffee."
    memories = Talk(system=SYSTEM)
    assert memories.ask("Forget that I like anime.") == "You want me to forget: The user likes anime."


SYSTEM = """You help with penguins.

<user_memories>
- The user's name is Ada.
- The user likes anime.
</user_memories>

<session_summary>
The user asked about flippers.
</session_summary>

<session_state>
{"shopping_list": ["milk"], "visits": 3}
</session_state>"""


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is my name?", "My memories of you say: The user's name is Ada."),
        ("What do I like?", "My memories of you say: The user likes anime."),
        ("What is on my shopping list?", 'The session state says: `shopping_list` is ["milk"].'),
        ("What did we talk about?", "The summary of our conversation says: The user asked about flippers."),
        (
            "What do you know about me?",
            "My memories of you say: The user's name is Ada. The user likes anime. "
            "The summary of our conversation says: The user asked about flippers.",
        ),
    ],
)
def test_memories_summary_and_state_are_read_from_the_system_message(question: str, expected: str) -> None:
    assert answer(question, system=SYSTEM) == expected


def test_history_tools_are_called_if_the_request_has_no_history() -> None:
    results = {
        "get_chat_history": [{"user": "Is it raining?", "assistant": "No."}],
        "search_past_sessions": [
            {"session_id": "s4", "session_name": None, "runs": [{"user": "What of Japan?", "assistant": "Tokyo."}]},
            {"session_id": "s3", "session_name": "Travel", "runs": [{"user": "And France?", "assistant": "Paris."}]},
        ],
    }
    tools = [
        tool("get_chat_history", "Read this conversation.", num_chats=INTEGER),
        tool("search_past_sessions", "List other conversations."),
        tool("read_past_session", "Read one.", "session_id", session_id=TEXT),
    ]
    talk = Talk(tools=tools, run=lambda name, _: json.dumps(results[name]))
    assert talk.ask("What did I ask you first?") == 'Your first message that I can see was "Is it raining?".'
    assert talk.calls == [("get_chat_history", {})]
    assert talk.ask("What did I discuss in my previous conversations?") == (
        'I can read 2 earlier sessions:\n\n- `s4`: you said "What of Japan?".\n- `Travel`: you said "And France?".'
    )
    assert talk.calls == [("search_past_sessions", {})]
    results["search_past_sessions"] = []
    assert talk.ask("Which other chats did we have?") == "You have no other sessions that I can read."
    assert answer("What did we talk about in our last session?") == "I have no tool to read other sessions."


def test_an_interrupted_answer_is_continued() -> None:
    question = Message(role="user", content="What can you do?")
    whole = respond(ModelRequest(messages=[question])).content or ""
    partial = Message(role="assistant", content=whole[:20])
    go_on = Message(role="user", content=CONTINUE_PROMPT)
    assert whole[:20] + (respond(ModelRequest(messages=[question, partial, go_on])).content or "") == whole


def test_attachments_are_named() -> None:
    media = [Media(kind="image", url="https://example.com/cat.jpg"), Media(kind="file", content=b"", filename="a.csv")]
    response = respond(ModelRequest(messages=[Message(role="user", content="What is this?", media=media)]))
    assert (response.content or "").startswith(
        "Attachments: image cat.jpg and file a.csv. I am rule-based and cannot look into them."
    )


def test_a_dataframe_in_a_prompt_is_not_taken_for_words_of_the_user() -> None:
    talk = Talk()
    head = "DataFrame, 344 rows x 2 columns\nColumns: species (str), mass (float64)"
    frame = f"{head}\nFirst 1 rows as CSV:\nspecies,mass\nAdelie,3750.0"
    assert talk.ask(f"What is in {frame}?").startswith(
        'I have no knowledge of my own, so I cannot answer "What is in the DataFrame?".'
    )
    assert (
        talk.ask("What was my first message?") == 'Your first message that I can see was "What is in the DataFrame?".'
    )
    assert '"Describe the DataFrame: which columns are text?"' in talk.ask(f"Describe {frame}: which columns are text?")


def test_history_that_a_team_or_workflow_adds_is_read_and_not_repeated() -> None:
    added = "<workflow_history>\ninput: My name is Bo.\noutput: Noted.\n</workflow_history>\n\n"
    assert answer(f"{added}What is my name?") == "You told me: your name is Bo."
    assert answer(f"{added}Where is Oslo?").startswith(
        'I have no knowledge of my own, so I cannot answer "Where is Oslo?".'
    )
