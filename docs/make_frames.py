"""Write docs/frames.md from the SQL files and the columns that make the frames: ``python docs/make_frames.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agno_nb.db.columns import FRAMES, RUNS
from agno_nb.db.schema import column_descriptions, view_descriptions
from agno_nb.notebook.cells import RUN_COLUMNS

TARGET = Path(__file__).with_name("frames.md")

INTRODUCTION = """\
# Frames, column by column

Made by `docs/make_frames.py` from `agno_nb/db/schema.sql`, `views.sql` and `columns.py`; a test holds it to them.

Columns, their order and their dtypes do not depend on what is in the store: an empty store gives typed empty frames.
Every column can be null. Ids have the same name everywhere, so that frames join. Times are in UTC. The dtype `str` is
that of pandas 3; with pandas 2.2 it is its `string`.

A frame is sorted by the columns named below it, the oldest row first. If a clock stood still or was set back, the
rows of a session are still in the order of its turns, and those of a run in the order in which they were stored.
`since` and `until` are about its time; they take
a datetime or a text as `"2026-01-31 12:00"`, in UTC where it names no zone. Other filters take a value or a list of
values.
"""

OF_CELLS = """\
The current attempts of a notebook's turns, compared with the cells in its file as it was last saved. It is the one
frame that reads a file beside the store, and is chosen by the notebook: `cells_df("notes.ipynb")`, or without a name
this one.

| column | dtype | |
|---|---|---|
| `cell_id` | str | The cell that asked. |
| `cell_index` | Int64 | Its place among the code cells of the file, from 0. Null where it is not in the file. |
| `cell_state` | str | linked, edited since, moved out of the order of the conversation, or deleted. |
| `source` | str | The cell's text in the file. |"""


def document() -> str:
    return "\n".join([INTRODUCTION, *sections()])


def sections() -> Iterator[str]:
    described, about = column_descriptions(), view_descriptions()
    for view, frame in FRAMES.items():
        yield f"## {view}_df\n"
        yield f"{about[view]}\n"
        yield "| column | dtype | |\n|---|---|---|"
        for column, dtype in frame.columns.items():
            yield f"| `{column}` | {dtype} | {described[view][column]} |"
        by = ", ".join(f"`{name}`" for name in frame.order.split())
        yield f"\nSorted by {by}; its time is `{frame.time}`.\n"
    yield "## cells_df\n"
    yield OF_CELLS
    for column in RUN_COLUMNS:
        yield f"| `{column}` | {RUNS.columns[column]} | {described['runs'][column]} |"
    yield "\nSorted by `created_at`.\n"


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
