"""Execute the quickstart in a real kernel with the demo model, and show what it left in the store.

`make demo` runs this. It writes into `out/`: the executed notebook, its data, and the store.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pandas as pd
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agno_nb.db.duckdb import DuckDb

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out"
NOTEBOOK = OUT / "01_quickstart.ipynb"
STORE = OUT / "agno_nb.duckdb"
CELL_TIMEOUT_S = 120
MAX_ROWS = 10
TELLING_COLUMNS = {
    "sessions_df()": ["session_id", "num_runs", "first_input", "total_tokens", "created_at"],
    "runs_df()": ["run_index", "status", "input", "content", "duration_s"],
    "messages_df()": ["run_id", "role", "tool_name", "content"],
}


def main() -> None:
    console = Console()
    started = datetime.now(UTC)
    began = time.perf_counter()
    with console.status("Executing notebooks/01_quickstart.ipynb in a Jupyter kernel ..."):
        execute(console)
    console.print(f"[green]Executed[/] notebooks/01_quickstart.ipynb in {time.perf_counter() - began:.1f} s.\n")

    db = DuckDb(str(STORE))
    show_conversation(console, db.messages_df(since=started))
    for title, frame in {
        "sessions_df()": db.sessions_df(since=started),
        "runs_df()": db.runs_df(since=started),
        "messages_df()": db.messages_df(since=started),
    }.items():
        show_frame(console, title, frame)

    console.print(f"The store              {shown(STORE)}")
    console.print(f"The executed notebook  {shown(NOTEBOOK)}")
    console.print("Open it in JupyterLab  [bold]make lab[/]")


def execute(console: Console) -> None:
    """Run the notebook from `out/`, with the data beside it as in the repository."""
    OUT.mkdir(exist_ok=True)
    shutil.copytree(HERE / "data", OUT / "data", dirs_exist_ok=True)
    # A key of yours is not spent on a demo, and a kernel of yours under the same name is not taken for this one.
    os.environ.update(AGNO_NB_MODEL="demo", JUPYTER_PREFER_ENV_PATH="1", PYDEVD_DISABLE_FILE_VALIDATION="1")
    notebook = nbformat.read(HERE / NOTEBOOK.name, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(OUT)}},
        # The kernel warns of every start over loopback TCP, which is how Jupyter starts all of them.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    try:
        asyncio.run(client.async_execute())
    except CellExecutionError as error:
        console.print(Text(str(error)))
        console.print(f"[red]The notebook failed[/]: {error.ename}. What was executed is in {shown(NOTEBOOK)}")
        sys.exit(1)
    finally:
        nbformat.write(notebook, NOTEBOOK)


def show_conversation(console: Console, messages: pd.DataFrame) -> None:
    for message in messages.fillna({"content": ""}).itertuples():
        if message.role == "user":
            console.print(Text(f"You: {message.content}", style="bold cyan"))
        elif message.role == "tool":
            console.print(Padding(Text(f"{message.tool_name} → {message.content}", style="dim"), (0, 0, 0, 2)))
        elif message.role == "assistant" and message.content:
            console.print(Padding(Markdown(message.content), (0, 0, 1, 2)))


def show_frame(console: Console, title: str, frame: pd.DataFrame) -> None:
    """Print the first rows of the columns that tell most, a line each."""
    rows = f"{len(frame)} row{'' if len(frame) == 1 else 's'}"
    console.print(Text(f"{title}: {rows}, {len(frame.columns)} columns, of which", style="bold"))
    head = frame[TELLING_COLUMNS[title]].head(MAX_ROWS)
    table = Table(expand=True)
    for name in head.columns:
        # What people and models wrote shares the room that the other columns leave.
        table.add_column(name, no_wrap=True, ratio=1 if name in {"first_input", "input", "content"} else None)
    for row in head.itertuples(index=False):
        table.add_row(*(Text(cell_text(name, value)) for name, value in zip(head.columns, row, strict=True)))
    console.print(table, "")


def cell_text(column: str, value: object) -> str:
    """Put a value on one line; of an id the end, because ids that are made within a minute begin alike."""
    if pd.isna(value):
        return ""
    if isinstance(value, datetime):
        return f"{value:%H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.3g}"
    text = " ".join(str(value).split())
    return f"…{text[-8:]}" if column.endswith("_id") and len(text) > 12 else text


def shown(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    main()
