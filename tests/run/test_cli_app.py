"""``cli_app()`` reads messages from standard input and prints the answers."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Collection
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.testing import FunctionModel

Talk = Callable[..., list[str | None]]


@pytest.fixture(params=["cli_app", "acli_app"])
def talk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """Have a conversation, and return the messages that the model got."""

    def converse(typed: str, **options: Any) -> list[str | None]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        model = FunctionModel(lambda messages, tools: f"re: {messages[-1].content}")
        conversation = getattr(Agent(model), request.param)(**options)
        if request.param == "acli_app":
            asyncio.run(conversation)
        return [each.messages[-1].content for each in model.requests]

    return converse


@pytest.mark.parametrize("last", ["exit", "Quit", "BYE", ""], ids=["exit", "Quit", "BYE", "end of the input"])
def test_a_conversation_lasts_until_the_user_ends_it(last: str, talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    ending = f"{last}\nthree\n" if last else ""
    assert talk(f"one\n\n  two \n{ending}", user="Ada") == ["one", "two"]
    printed = capsys.readouterr().out
    assert printed.count("Ada: ") == 4
    assert "re: one" in printed
    assert "re: two" in printed


@pytest.mark.parametrize(
    ("exit_on", "expected"),
    [(["STOP"], ["bye"]), (("stop",), ["bye"]), ([], ["bye", "Stop", "later"])],
    ids=["upper case", "lower case", "none"],
)
def test_exit_words_of_the_program_replace_the_default(
    exit_on: Collection[str], expected: list[str], talk: Talk
) -> None:
    assert talk("bye\nStop\nlater\n", exit_on=exit_on) == expected


def test_a_first_message_is_sent_before_any_is_read(talk: Talk) -> None:
    assert talk("two\n", input="one") == ["one", "two"]
