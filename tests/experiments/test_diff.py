"""Compare two runs."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from agno_nb import Agent, InMemoryDb, ScriptedModel, diff
from agno_nb.errors import InvalidInputError
from agno_nb.experiments.run_diff import MAX_WORDS, changed_words
from agno_nb.notebook.run_diff import diff_html
from agno_nb.testing import call
from agno_nb.types import RunOutput
from tests.notebook.hostile import EVIL, PAYLOADS


def elements(html: str) -> list[tuple[str, list[str]]]:
    """Return the tag and the names of the attributes of each element."""
    found: list[tuple[str, list[str]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, [name for name, _ in attributes]))  # type: ignore[method-assign]
    parser.feed(html)
    return found


def price(item: str, currency: str = "EUR") -> str:
    """Price of an item."""
    return f"2.50 {currency} for {item}"


def ask(*replies: object, **settings: object) -> RunOutput:
    return Agent(ScriptedModel([*replies]), tools=[price], **settings).run("What is tea?")  # type: ignore[arg-type]


@pytest.fixture
def runs() -> tuple[RunOutput, RunOutput]:
    one = ask(call("price", item="tea", currency="EUR"), "It is 2.50 euros.", instructions="Be brief.")
    other = ask(
        [call("price", currency="EUR", item="tea"), call("price", item="cake")],
        "It is 3 euros.",
        instructions="Be kind.",
    )
    return one, other


def test_parts_are_aligned_by_message_and_call(runs: tuple[RunOutput, RunOutput]) -> None:
    parts = diff(*runs).df()
    rows = parts[parts["part"].isin(["system", "user", "assistant", "tool_call", "tool_result"])]
    shown = [
        (part, tool if isinstance(tool, str) else None, bool(same))
        for part, tool, same in rows[["part", "tool_name", "is_equal"]].itertuples(index=False)
    ]
    assert shown == [
        ("system", None, False),
        ("user", None, True),
        # The order of the keys makes no difference.
        ("tool_call", "price", True),
        ("tool_result", "price", True),
        ("tool_call", "price", False),
        ("tool_result", "price", False),
        ("assistant", None, False),
    ]
    assert rows["a"].isna().tolist() == [False, False, False, False, True, True, False]
    assert rows["b"].tolist()[-1] == "It is 3 euros."


@pytest.mark.parametrize("other", ["It is 4.", "four"])
def test_columns_do_not_depend_on_the_runs(other: str) -> None:
    frame = diff(ask("It is 4."), ask(other)).df()
    assert frame.dtypes.astype(str).tolist() == [*["str"] * 4, "boolean"]
    assert frame["tool_name"].isna().all()


def test_equal_runs_have_no_changes(runs: tuple[RunOutput, RunOutput]) -> None:
    assert diff(runs[0], runs[0]).changes == []
    assert repr(diff(runs[0], runs[0])).startswith("RunDiff: 0 of ")


def test_runs_are_found_by_their_ids() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["one", "two"]), db=db, session_id="s")
    ids = [agent.run("Count").run_id for _ in range(2)]
    assert [(part.a, part.b) for part in diff(*ids, db=db).changes if part.name == "assistant"] == [("one", "two")]
    with pytest.raises(InvalidInputError, match="there is no run 'nowhere' in InMemoryDb"):
        diff(ids[0], "nowhere", db=db)
    with pytest.raises(
        InvalidInputError, match=r"^\[0, 1, .{60,80}… is neither a run nor the ID of one; pass a run of agno_nb"
    ):
        diff(list(range(1000)), "r")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="None is neither a run nor the ID of one"):
        diff(None, ids[0], db=db)  # type: ignore[arg-type]


def test_words_are_compared_up_to_a_limit() -> None:
    assert changed_words("a b c", "a x c") == [("=", "a "), ("-", "b"), ("+", "x"), ("=", " c")]
    assert changed_words("same", "same") == [("=", "same")]
    long = "word " * MAX_WORDS
    assert changed_words(long, "word") == [("-", long), ("+", "word")]


def test_the_table_marks_what_differs_and_folds_the_rest(runs: tuple[RunOutput, RunOutput]) -> None:
    html = diff_html(diff(*runs))
    assert 'background-color:rgba(208, 72, 79, 0.25)">brief</span>' in html
    assert 'background-color:rgba(46, 160, 67, 0.28)">kind</span>' in html
    assert "What is tea?" in html.partition("<details")[2]
    assert "What is tea?" not in html.partition("<details")[0]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_answers_are_text(payload: str) -> None:
    html = diff_html(diff(ask(payload), ask(f"{payload} again")))
    tags = {tag for tag, _ in elements(html)}
    attributes = {name for _, names in elements(html) for name in names}
    assert tags <= {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "details", "summary"}
    assert attributes <= {"style"}
    assert EVIL not in "".join(part for part in html.split("<") if "url(" in part.partition(">")[0])
