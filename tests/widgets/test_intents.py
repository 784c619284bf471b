"""Intents of the browser: a verb of the table with its fields. Everything else is rejected with an error."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel, browse, chat, trace
from agno_nb.widgets.base import BaseWidget
from tests.widgets.browser import Browser


def talk() -> BaseWidget:
    return chat(Agent(ScriptedModel(["one", "two"]), db=InMemoryDb()), session_id="s")


PANELS = {
    "chat": talk,
    "browse": lambda: browse(db=InMemoryDb()),
    "trace": lambda: trace(Agent(ScriptedModel(["one"])).run("Hello")),
}


@pytest.mark.parametrize("kind", PANELS)
@pytest.mark.parametrize(
    "message",
    [
        None,
        "leave",
        [],
        {},
        {"verb": "close", "fields": {}},
        {"verb": "_look", "fields": {}},
        {"verb": "__class__", "fields": {}},
        {"verb": ["leave"], "fields": {}},
        {"verb": "leave"},
        {"verb": "leave", "fields": {"sql": "DROP TABLE raw_runs"}},
        {"verb": "leave", "fields": []},
    ],
)
def test_a_message_that_is_not_in_the_table_is_refused_and_nothing_happens(kind: str, message: Any) -> None:
    page = Browser(PANELS[kind]())
    before = page.content
    page.send(message)
    assert page.answer()["error"].endswith("reload the page")
    assert page.content == before
    assert not page.panel._closed


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"question": 1}, "question is 1; it must be a string of at most 200,000 characters"),
        ({"question": "x" * 200_001}, "; it must be a string of at most 200,000 characters"),
        ({"again": ""}, "again is ''; it must be an id of at most 500 characters"),
        ({"names": ["a"]}, "names is ['a']; it must be at most 100 values by name"),
        ({"names": {"0": "x" * 201}}, "; it must be a string of at most 200 characters"),
        ({"again": "not a run of this session"}, "run 'not a run of this session' is not one of the turns shown"),
        ({"question": "  "}, "is empty; pass a message"),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_named(fields: dict[str, Any], sentence: str) -> None:
    page = Browser(talk())
    assert sentence in page.refusal("ask", **{"question": "Hello", "again": None, "names": {}, **fields})
    assert page.turns == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sort": "1; DROP TABLE raw_runs"}, "it must be one of updated_at, created_at, name"),
        ({"status": "' OR 1=1"}, "it must be one of RUNNING"),
        ({"days": True}, "it must be a whole number from 0 to 10,000"),
        ({"days": -1}, "it must be a whole number from 0 to 10,000"),
    ],
)
def test_a_search_is_made_of_known_words(fields: dict[str, Any], sentence: str) -> None:
    page = Browser(browse(db=InMemoryDb()))
    assert sentence in page.refusal("find", **{**page.content["criteria"], **fields})


def test_files_go_only_where_they_are_taken() -> None:
    page = Browser(talk())
    assert "new takes at most 0, got 2" in page.refusal("new", files=[b"a", b"b"])
    fields: dict[str, Any] = {"question": "x", "again": None, "names": {}}
    assert "ask takes at most 4, got 5" in page.refusal("ask", files=[b"a"] * 5, **fields)
    assert "unsupported image" in page.refusal("ask", files=[b"<svg onload=alert(1)>"], **fields)


def test_every_verb_of_a_panel_is_a_method_that_says_what_it_does() -> None:
    for make in PANELS.values():
        panel = make()
        assert {"leave"} < set(panel.intents)
        assert all(getattr(panel, intent.handler).__doc__ for intent in panel.intents.values())
