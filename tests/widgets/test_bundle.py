"""The bundle is complete, because hosts such as VS Code and Colab don't let it load anything."""

from __future__ import annotations

import re
from pathlib import Path

from agno_nb.widgets.base import STATIC


def test_the_module_and_the_sheet_load_nothing_and_set_nothing_on_the_page() -> None:
    module = (STATIC / "widgets.js").read_text()
    sheet = (STATIC / "widgets.css").read_text()
    assert re.findall(r"\b(?:import|require|importScripts|fetch|XMLHttpRequest)\b", module) == []
    assert re.findall(r"\b(?:window|globalThis|self)\.\w+\s*=[^=]", module) == []
    assert re.findall(r"@import|url\(", sheet) == []
    assert len(module) < 150_000


def test_whoever_wrote_a_part_of_the_module_is_named_in_the_notice() -> None:
    comments = re.findall(r"/\*! (?:@license )?(.+?)\*/", (STATIC / "widgets.js").read_text())
    assert [comment.split()[0] for comment in comments] == ["DOMPurify", "regenerator-runtime"]
    notice = (Path(__file__).parents[2] / "NOTICE").read_text()
    assert [comment for comment in comments if comment.split()[0] not in notice] == []
