"""Create the screenshots in ``docs/images``: cells in JupyterLab, and the widgets. Run by ``make pictures``."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from PIL import Image

from tests.browser.lab import REPOSITORY, Lab, NotebookPage, running_chromium, running_lab
from tests.fakes.http import FakeServer
from tests.fakes.strict import calls, says

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

IMAGES = REPOSITORY / "docs" / "images"
THEMES = {"": "JupyterLab Light", "-dark": "JupyterLab Dark"}
WIDTH = 880
"""Of the window in CSS pixels. A picture has twice as many."""
MARGIN = 12
GAP = 4
"""Between two cells."""

# Runs before the first cell of the screenshot.
HIDDEN = ("data", "tool", "load")
# The quickstart's cells, by id, and two that say in one what takes the quickstart several.
SHOWN = (
    "give-tool",
    "ask",
    "%%agent\nAnd Adelie? And Chinstrap?",
    'from agno_nb import runs_df\n\nruns_df()[["input", "status", "model", "total_tokens"]]',
)

PANELS = ("chat", "browse", "trace")
LAST = "And what is the mean of bill_depth_mm for Chinstrap?"
PANEL_CELLS = (
    "%load_ext agno_nb\nimport agno_nb\nguide = agno_nb.Agent('demo', name='guide', tools=[mean_of],\n"
    "                     add_history_to_context=True)",
    "%%agent guide -s ada -o run\nMy name is Ada and I love night trains.",
    "%%agent guide -s mass -o run\nWhat is the mean of body_mass_g for Gentoo and for Adelie?",
    "agno_nb.chat(guide, 'mass')",
    "agno_nb.browse()",
    "agno_nb.trace(run)",
)
# A conversation of which the first cell was changed and is run again.
AGAIN = (
    "%load_ext agno_nb\n%agent --db again.duckdb",
    "%%agent\nMy name is Ada.",
    "%%agent\nWhat is my name?",
)

# Tools of a server, and an agent of agno whose call waits for a person. Its model's answers are scripted.
SERVER = """%load_ext agno_nb
%agent --db existing.duckdb
open("shop_server.py", "w").write('''
from mcp.server.mcpserver import MCPServer

server = MCPServer("shop")

@server.tool()
def price_of(item: str) -> float:
    "Look up the price of an item, in euros."
    return {"tea": 2.5, "cake": 4.0}[item]

server.run()
''')
import sys
from agno.agent import Agent
from agno.models.openai import OpenAIChat
from agno.tools import tool
from agno_nb.tools.mcp import MCPTools

@tool(requires_confirmation=True)
def send_refund(order: int, euros: float) -> str:
    "Refund an order."
    return f"{euros} euros for order {order}"
"""
AGNO_AGENT = """
model = OpenAIChat('gpt-5-mini', base_url={url!r}, api_key='x')
clerk = Agent(name='clerk', model=model, tools=[send_refund], telemetry=False)
"""

EXISTING = (
    'shop = MCPTools([sys.executable, "shop_server.py"])\n%agent tools shop',
    '%%agent\nWhat is the price of the item "cake"?',
    "%%agent clerk\nThe cake of order 1207 was dry. Please refund it.",
    "%agent approve",
)

# Earlier prompts, variables in a prompt with the context report, and a query over the store and a DataFrame.
ASKED = (
    "for text in ('How heavy are Gentoo penguins?', 'And Adelie? And Chinstrap?'):\n"
    "    get_ipython().run_cell_magic('agent', '', text)\n"
    "limits = {'Gentoo': 6300, 'Adelie': 4775}"
)
PROMPT = (
    '%%agent\nIs {limits["Gentoo"]} g much for a Gentoo in {penguins}? Answer as {"much": true}.',
    "%agent context",
)
QUERY = (
    "%%agent_sql\nselect p.species, t.result->>'mean' as answered, round(avg(p.body_mass_g), 1) as computed\n"
    "from tool_calls as t join penguins as p on p.species = t.arguments->>'species'\ngroup by all order by all",
    "",
)
TYPED = "%%agent_sql\nselect s| from tool_calls join penguins on"

# Hide everything around the notebook.
PRESENT = """() => {
    jupyterapp.shell.mode = 'single-document';
    jupyterapp.shell.collapseLeft();
    jupyterapp.shell.collapseRight();
    const style = document.createElement('style');
    style.textContent =
        '.jp-SideBar, .jp-Notebook-footer, .jp-cell-toolbar, [data-jp-item-name=interfaceSwitcher] '
        + '{ display: none !important; }';
    document.head.append(style);
}"""
# Nor do times, which are others each time: a picture changes when what it shows does.
WITHOUT_TIMES = """() => document.querySelectorAll('.jp-Notebook .jp-OutputArea').forEach(area => {
    const texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode;
        text.data = text.data.replace(/^\\d+ ms$| · (\\d+ ms|\\d+\\.\\d s)(?= · )/, '');
    }
})"""
DELETE_FIRST = """count => {
    const notebook = jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = 0;
    notebook.deselectAll();
    notebook.extendContiguousSelectionTo(count - 1);
    return jupyterapp.commands.execute('notebook:delete-cell');
}"""
# Nor does which cell happens to be selected.
DESELECT = """() => {
    document.activeElement.blur();
    document.querySelectorAll('.jp-Cell').forEach(cell => cell.classList.remove('jp-mod-active', 'jp-mod-selected'));
}"""


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no Chromium on PATH: install one, then run this again")
    os.environ["AGNO_NB_MODEL"] = "demo"
    IMAGES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        running_chromium(chromium) as browser,
    ):
        context = browser.new_context(viewport={"width": WIDTH, "height": 900}, device_scale_factor=2)
        notebook = conversation(context.new_page(), lab)
        for suffix, theme in THEMES.items():
            notebook.use_theme(theme)
            take(notebook.page, IMAGES / f"quickstart{suffix}.png")
        again = cells_run_again(context.new_page(), lab)
        again.use_theme("JupyterLab Light")
        take(again.page, IMAGES / "again.png")
        notebook = prompt_and_query(context.new_page(), lab)
        *_, prompt, receipt, query, typed = range(notebook.cell_count)
        for suffix, theme in THEMES.items():
            notebook.use_theme(theme)
            # A cell that is in neither picture.
            notebook.activate(0)
            take_cells(notebook.page, IMAGES / f"context{suffix}.png", prompt, receipt)
            notebook.complete(typed, TYPED)
            take_cells(notebook.page, IMAGES / f"sql{suffix}.png", query, typed)
            notebook.page.keyboard.press("Escape")
        with FakeServer() as server:
            existing = existing_tools(context.new_page(), lab, server)
            existing.use_theme("JupyterLab Light")
            take(existing.page, IMAGES / "existing.png")
        notebook = panels(context.new_page(), lab)
        for suffix, theme in THEMES.items():
            notebook.use_theme(theme)
            for name in PANELS:
                panel = notebook.page.locator(f".anb-{name}")
                path = IMAGES / f"{name}{suffix}.png"
                panel.screenshot(path=path, animations="disabled")
                make_small(path)
        context.close()


def conversation(page: Page, lab: Lab) -> NotebookPage:
    """Open a notebook in which the quickstart's first questions were asked."""
    shutil.copytree(REPOSITORY / "notebooks" / "data", lab.folder / "data")
    quickstart = nbformat.read(REPOSITORY / "notebooks" / "01_quickstart.ipynb", as_version=4)
    source = {cell.id: cell.source for cell in quickstart.cells}
    sources = [source.get(cell, cell) for cell in HIDDEN + SHOWN]
    notebook = NotebookPage.open(page, lab, lab.write_notebook("penguins.ipynb", sources))
    notebook.run_all()
    notebook.page.evaluate(DELETE_FIRST, len(HIDDEN))
    notebook.save()
    notebook.page.evaluate(PRESENT)
    return notebook


def prompt_and_query(page: Page, lab: Lab) -> NotebookPage:
    """Open a notebook that ends with a prompt with variables, its receipt, a query, and a cell to type into."""
    quickstart = nbformat.read(REPOSITORY / "notebooks" / "01_quickstart.ipynb", as_version=4)
    source = {cell.id: cell.source for cell in quickstart.cells}
    hidden = [*(source[cell] for cell in (*HIDDEN, "give-tool")), ASKED]
    hidden[HIDDEN.index("load")] += "\n%agent --db query.duckdb"
    notebook = NotebookPage.open(page, lab, lab.write_notebook("query.ipynb", [*hidden, *PROMPT, *QUERY]))
    notebook.run_all()
    notebook.save()
    page.evaluate(PRESENT)
    # All of it in the window, so that what is at its end can be taken.
    page.set_viewport_size({"width": WIDTH, "height": 3000})
    page.wait_for_function(
        "() => { const outer = document.querySelector('.jp-Notebook .jp-WindowedPanel-outer');"
        " outer.scrollTop = 0; return outer.clientHeight > 2000; }"
    )
    return notebook


def existing_tools(page: Page, lab: Lab, server: FakeServer) -> NotebookPage:
    """Open a notebook with a call of an MCP server's tool, and an agent of agno whose call was approved."""
    server.will_say(
        calls(("send_refund", {"order": 1207, "euros": 4.0})),
        says("I have refunded the **4 euros** for the cake. Sorry that it was dry!", tokens=64),
    )
    cells = [SERVER, AGNO_AGENT.format(url=server.base_url), *EXISTING]
    notebook = NotebookPage.open(page, lab, lab.write_notebook("existing.ipynb", cells))
    notebook.run_all()
    notebook.page.evaluate(DELETE_FIRST, 2)
    notebook.save()
    page.evaluate(PRESENT)
    return notebook


def panels(page: Page, lab: Lab) -> NotebookPage:
    """Open a notebook with a panel of each kind, in which something was asked."""
    lesson = nbformat.read(REPOSITORY / "notebooks" / "05_widgets.ipynb", as_version=4)
    data = next(cell.source for cell in lesson.cells if cell.id == "data")
    notebook = NotebookPage.open(page, lab, lab.write_notebook("panels.ipynb", [data, *PANEL_CELLS]))
    notebook.run_all()
    page.evaluate(PRESENT)
    draft = page.locator(".anb-chat .anb-draft")
    draft.fill(LAST)
    draft.press("Enter")
    page.locator(".anb-turn:not(.anb-arriving)", has_text=LAST).wait_for()
    page.locator(".anb-session", has_text="night trains").click()
    page.locator(".anb-talk .anb-answer").first.wait_for()
    page.locator(".anb-step").nth(1).click()
    page.locator("summary.anb-part-line").first.click()
    draft.focus()
    draft.blur()
    page.mouse.move(0, 0)
    return notebook


def cells_run_again(page: Page, lab: Lab) -> NotebookPage:
    """Open a notebook in which the first question was changed and asked again."""
    notebook = NotebookPage.open(page, lab, lab.write_notebook("again.ipynb", AGAIN))
    notebook.run_all()
    page.evaluate(
        "source => jupyterapp.shell.currentWidget.content.model.cells.get(1).sharedModel.setSource(source)",
        AGAIN[1].replace("Ada", "Bob"),
    )
    notebook.run(1)
    notebook.save()
    page.evaluate(PRESENT)
    return notebook


def take(page: Page, path: Path) -> None:
    """Take a picture of the notebook, from its toolbar to the end of its last cell."""
    page.evaluate(DESELECT)
    panel = page.locator(".jp-NotebookPanel").bounding_box()
    assert panel is not None
    _take(page, path, panel["y"], _end(page.locator(".jp-Notebook .jp-Cell").last) + MARGIN)


def take_cells(page: Page, path: Path, first: int, last: int) -> None:
    """Take a picture of cells, with the list of completions where one is open."""
    cells = page.locator(".jp-Notebook .jp-Cell")
    begin = cells.nth(first).bounding_box()
    assert begin is not None
    ends = [_end(box) for box in (cells.nth(last), *page.locator(".jp-Completer:not(.lm-mod-hidden)").all())]
    _take(page, path, begin["y"], max(ends) + GAP)


def _end(box: Locator) -> float:
    found = box.bounding_box()
    assert found is not None
    return found["y"] + found["height"]


def _take(page: Page, path: Path, top: float, bottom: float) -> None:
    panel = page.locator(".jp-NotebookPanel").bounding_box()
    assert panel is not None
    page.evaluate(WITHOUT_TIMES)
    clip = {"x": panel["x"], "y": top, "width": panel["width"], "height": bottom - top}
    page.screenshot(path=path, clip=clip, animations="disabled")  # type: ignore[arg-type] # A FloatRect is a dict.
    make_small(path)


def make_small(path: Path) -> None:
    """Write a picture with 256 colours, which a page has hardly more than: a third of the bytes."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
