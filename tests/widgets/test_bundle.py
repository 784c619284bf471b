"""What the browser is sent is whole: hosts such as VS Code and Colab let it load nothing."""

from __future__ import annotations

import re

from agno_nb.widgets.panel import STATIC


def test_the_module_and_the_sheet_load_nothing_and_set_nothing_on_the_page() -> None:
    module = (STATIC / "widgets.js").read_text()
    sheet = (STATIC / "widgets.css").read_text()
    assert re.findall(r"\b(?:import|require|importScripts|fetch|XMLHttpRequest)\b", module) == []
    assert re.findall(r"\b(?:window|globalThis|self)\.\w+\s*=[^=]", module) == []
    assert re.findall(r"@import|url\(", sheet) == []
    assert len(module) < 150_000
