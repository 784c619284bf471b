"""``cli_app()`` reads messages from standard input, and prints the answers."""

from __future__ import annotations

import asyncio
import io
import re
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import RunError, UnknownArgumentError
from agno_nb.run.runnable import Runnable
from agno_nb.testing import ScriptedModel
from tests.run.kinds import Make, kind

entry_point = pytest.mark.parametrize("name", ["cli_app", "acli_app"])


def talk(runnable: Runnable, name: str, *args: Any, **options: Any) -> None:
    result = getattr(runnable, name)(*args, **options)
    if result is not None:
        asyncio.run(result)


def inputs(db: InMemoryDb) -> list[list[str]]:
    """Return the inputs of each session."""
    return [[run.input for run in session.runs] for session in db.get_sessions()]


@kind
@entry_point
def test_all_messages_until_the_end_of_the_input_are_one_conversation(
    make: Make, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n\n  two  \n"))
    db = InMemoryDb()
    talk(make(ScriptedModel(["First.", "Second.", "Third."]), db=db), name, "zero", user="Ada", emoji=":cat:")
    assert inputs(db) == [["zero", "one", "two"]]
    shown = capsys.readouterr().out
    # A workflow shows the answer of its step too.
    assert list(dict.fromkeys(re.findall(r"First\.|Second\.|Third\.", shown))) == ["First.", "Second.", "Third."]
    # An empty line is not sent, and asks again.
    assert shown.count("🐱 Ada: ") == 4


@entry_point
@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ("exit", {}),
        ("Quit", {}),
        ("BYE", {}),
        ("stop", {"exit_on": ["STOP"]}),
    ],
    ids=["exit", "any case", "bye", "own word"],
)
def test_an_exit_word_ends_the_conversation(
    name: str, typed: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"one\n{typed}\ntwo\n"))
    db = InMemoryDb()
    talk(Agent(ScriptedModel(["First."]), db=db), name, session_id="s", user_id="ada", **options)
    assert inputs(db) == [["one"]]
    assert [(session.session_id, session.user_id) for session in db.get_sessions()] == [("s", "ada")]


@entry_point
@pytest.mark.parametrize("exit_on", [["stop"], []])
def test_other_words_replace_the_exit_words(name: str, exit_on: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(["exit", *exit_on])))
    db = InMemoryDb()
    talk(Agent(ScriptedModel(["Gone."]), db=db), name, exit_on=exit_on, stream=False, markdown=False)
    assert inputs(db) == [["exit"]]


@kind
@entry_point
@pytest.mark.parametrize("option", ["zzz", "run_id"])
def test_an_unknown_keyword_is_refused_before_a_message_is_read(
    make: Make, name: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.StringIO("one\n")
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(UnknownArgumentError, match=f"{name}\\(\\) has no argument '{option}'"):
        talk(make(ScriptedModel([])), name, **{option: 1})
    assert stdin.read() == "one\n"


@entry_point
def test_a_failed_run_ends_the_conversation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\ntwo\nthree\n"))
    db = InMemoryDb()
    with pytest.raises(RunError):
        talk(Agent(ScriptedModel(["First."]), db=db), name)
    assert inputs(db) == [["one", "two"]]
