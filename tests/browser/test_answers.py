"""Variables, context reports, answer formats, SQL and objects as displayed by JupyterLab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from agno_nb.db.duckdb import DuckDb
from tests.browser.lab import Lab, NotebookPage, Watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

CODE = "len(df)  # rows"
CELLS = {
    "setup": f"""
%load_ext agno_nb
%agent --db answers.duckdb
import pandas as pd
from types import SimpleNamespace
from agno_nb import Agent, ScriptedModel, variables_df
df = pd.DataFrame({{"city": ["Rome", "Oslo"], "price": [2.5, None]}})
place, xs = SimpleNamespace(country="Italy"), ["first", "second"]

def price_of(city: str) -> float:
    "Price of a ticket."
    return float(df.set_index("city").price[city])

guide = Agent("demo", name="guide", tools=[price_of], instructions="Be brief.", add_history_to_context=True)
said = ['{{"city": "Rome"}}', "No idea.", "Still none.", "So:\\n\\n```python\\n{CODE}\\n```"]
writer = Agent(ScriptedModel(said), name="writer")
""",
    "ask": "%%agent guide -s trip\nWhat is the price of Rome?",
    "prompt": '%%agent guide -s trip -o told\nAbout {df}, {place.country} and {xs[0]}: {nobody}, {"a": {"b": 1}}',
    "context": "%agent context",
    "variables": 'variables_df()[["name", "type", "shape"]]',
    "sql": "%%agent_sql\nselect city, price, count(*) as asked, max(created_at) as last_at\n"
    "from tool_calls join df on city = arguments->>'city' group by all",
    "kept": "%%agent_sql -o kept\nselect run_index, created_at, cost from runs",
    "dtypes": "kept.dtypes",
    "no table": "%agent_sql select * from dff",
    "no column": "%agent_sql select citty from df",
    "last": "_agent is told",
    "run": "told",
    "session": "guide.get_session('trip')",
    "agent": "guide",
    "status": "%agent",
    "config": "%config AgnoNb.rerun = 'append'\n%agent --rerun",
    "json": "%%agent writer -f json -o found\nWhere?",
    "object": "found.content",
    "no json": "%%agent writer -f json\nWhere?",
    "lost": "_agent.content",
    "code": "%%agent writer -f code\nHow many rows?",
}
AT = {name: place for place, name in enumerate(CELLS)}


@pytest.fixture(scope="module")
def notebook(lab: Lab, browser: Browser) -> Iterator[NotebookPage]:
    """A notebook in which all cells were run, from the first to the last."""
    watched = Watched.of(browser, lab.url)
    path = lab.write_notebook("answers.ipynb", [*CELLS.values(), "'the cell below'"])
    notebook = NotebookPage.open(watched.page(), lab, path)
    for cell in AT.values():
        notebook.run(cell)
    yield notebook
    notebook.close_kernel()
    watched.context.close()


def shown(notebook: NotebookPage, name: str) -> Locator:
    """The output below a cell."""
    return notebook.page.locator(".jp-Notebook .jp-Cell").nth(AT[name]).locator(".jp-OutputArea-output")


def rows(notebook: NotebookPage, name: str) -> list[list[str]]:
    """The table below a cell, as its cells are read."""
    found: list[list[str]] = (
        shown(notebook, name)
        .locator("tr")
        .evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))")
    )
    return found


def test_variables_are_filled_in_and_other_braces_stay(notebook: NotebookPage, lab: Lab) -> None:
    from playwright.sync_api import expect

    expect(shown(notebook, "prompt").first).to_have_text("{nobody} is sent unchanged: there is no variable 'nobody'\n")
    store = DuckDb(lab.folder / "answers.duckdb")
    prompt = store.runs_df(session_id="trip")["input"].iloc[-1]
    assert prompt.startswith("About DataFrame, 2 rows x 2 columns")
    assert prompt.endswith(', Italy and first: {nobody}, {"a": {"b": 1}}')
    assert rows(notebook, "variables") == [
        ["", "name", "type", "shape"],
        ["0", "df", "pandas.DataFrame", "[2, 2]"],
        ["1", "place.country", "str", "NaN"],
        ["2", "xs[0]", "str", "NaN"],
    ]


def test_the_receipt_names_every_part_that_the_model_was_sent(notebook: NotebookPage) -> None:
    head, *parts = rows(notebook, "context")
    assert head == ["source", "", "tokens", "text"]
    assert [part[:2] for part in parts] == [
        ["instructions", ""],
        ["history", "turn 0"],
        ["prompt", ""],
        ["variable", "df"],
        ["variable", "place.country"],
        ["variable", "xs[0]"],
        ["tools", "price_of"],
    ]
    assert [part[3] for part in parts][3:6] == ["pandas.DataFrame, 2 x 2", "str", "str"]
    assert "estimated by length; the provider counted" in shown(notebook, "context").inner_text()


def test_sql_joins_the_store_with_a_dataframe_and_is_typed(notebook: NotebookPage) -> None:
    head, row = rows(notebook, "sql")
    assert head == ["", "city", "price", "asked", "last_at"]
    assert row[:4] == ["0", "Rome", "2.5", "1"]
    assert row[4].endswith("+00:00")
    assert notebook.outputs(AT["kept"]) == []
    dtypes = [line.split(None, 1) for line in shown(notebook, "dtypes").inner_text().splitlines()[:3]]
    assert dtypes == [["run_index", "Int64"], ["created_at", "datetime64[us, UTC]"], ["cost", "float64"]]


def test_sql_that_fails_says_what_there_is(notebook: NotebookPage) -> None:
    no_table, no_column = (shown(notebook, name).inner_text() for name in ("no table", "no column"))
    assert "there is no table 'dff'. The store's tables: sessions, runs, " in no_table
    assert no_table.strip().endswith("Your DataFrames: df, kept.")
    assert '"citty" not found' in no_column
    assert 'Candidate bindings: "city"' in no_column
    assert len(no_column.strip().splitlines()) == 1


def test_a_run_a_session_and_an_agent_show_what_they_are(notebook: NotebookPage) -> None:
    from playwright.sync_api import expect

    assert shown(notebook, "last").inner_text().strip() == "True"
    run = shown(notebook, "run")
    expect(run).to_contain_text("demo model · ")
    expect(run.locator("details")).not_to_have_attribute("open", "")
    run.locator("summary").click()
    expect(run.locator("details tr").first).to_contain_text("guide")
    session = rows(notebook, "session")
    assert [row[:2] for row in session] == [
        ["turn", "prompt"],
        ["0", "What is the price of Rome?"],
        ["1", session[2][1]],
    ]
    assert session[2][1].startswith("About DataFrame, 2 rows x 2 columns Columns: city")
    assert [row[0] for row in rows(notebook, "agent")] == ["agent", "model", "instructions", "tools", "store"]
    assert rows(notebook, "agent")[3] == ["tools", "price_of"]


def test_status_and_settings_say_what_is_set(notebook: NotebookPage) -> None:
    status = dict(rows(notebook, "status"))
    assert list(status) == [
        "agent", "model", "tools", "history", "session", "user", "store", "agent guide", "agent writer", "notebook",
        "usage", "more",
    ]  # fmt: skip
    assert (status["store"], status["notebook"]) == (
        "answers.duckdb",
        "answers.ipynb; rerunning a cell replaces its turn",
    )
    assert status["agent guide"] == "Agent guide, model demo, the notebook's store"
    assert rows(notebook, "config") == [["rerun", "append"]]


def test_json_is_an_object_and_what_is_none_stays_at_hand(notebook: NotebookPage) -> None:
    assert shown(notebook, "object").inner_text().strip() == "{'city': 'Rome'}"
    error = notebook.error(AT["no json"])
    assert error is not None
    assert error[0] == "OutputSchemaError"
    assert shown(notebook, "lost").inner_text().strip() == "'Still none.'"


def test_code_is_in_the_next_cell_and_the_cell_that_was_there_follows(notebook: NotebookPage) -> None:
    assert [notebook.source(AT["code"] + place) for place in (1, 2)] == [CODE, "'the cell below'"]


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_all_that_is_shown_can_be_read(notebook: NotebookPage, theme: str) -> None:
    notebook.use_theme(theme)
    assert notebook.page.evaluate(HARD_TO_READ) == []


# Words in outputs with too little contrast (WCAG 2.2: 4.5 to 1).
# A saved output has one colour for each kind of code, in light and in dark: none has much more than 4 to 1 to both.
HARD_TO_READ = """() => {
    const parsed = colour => {
        const [r, g, b, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
        return [r, g, b, alpha];
    };
    const over = ([r, g, b, alpha], ground) => [r, g, b].map((part, at) => alpha * part + (1 - alpha) * ground[at]);
    const light = colour => {
        const [r, g, b] = colour.map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = each => {
        const around = each === null ? [255, 255, 255] : ground(each.parentElement);
        return each === null ? around : over(parsed(getComputedStyle(each).backgroundColor), around);
    };
    const opacity = each => each === null ? 1 : getComputedStyle(each).opacity * opacity(each.parentElement);
    return [...document.querySelectorAll('.jp-Notebook .jp-RenderedHTMLCommon *')]
        .filter(each => each.checkVisibility() && !each.closest('.dataframe'))
        .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .map(each => {
            const behind = ground(each), [r, g, b, alpha] = parsed(getComputedStyle(each).color);
            const [one, two] = [light(behind), light(over([r, g, b, alpha * opacity(each)], behind))];
            const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
            return [contrast, each.closest('pre span') ? 3.75 : 4.5, each.outerHTML.slice(0, 200)];
        }).filter(([contrast, least]) => contrast < least);
}"""
