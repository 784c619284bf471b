"""The code of the documents runs from top to bottom in an empty folder, without a key."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_code_of_a_document_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(python_blocks(document), start=1):
        exec(compile(block, f"{document.name}, block {number}", "exec"), names)


def test_the_columns_of_the_frames_are_documented_as_they_are(python: str) -> None:
    code = "import make_frames; print(make_frames.document(), end='')"
    made = subprocess.run([python, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "frames.md").read_text(encoding="utf-8") == made, "run make docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_links_to_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)\)", text) + re.findall(r'src(?:set)?="([^"]+)"', text)
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_every_picture_is_in_a_document_and_all_together_stay_small() -> None:
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    shown = {
        name for document in DOCUMENTS for name in re.findall(r"images/([\w-]+\.png)", document.read_text("utf-8"))
    }
    assert shown == set(pictures)
    assert sum(pictures.values()) < 1_000_000
