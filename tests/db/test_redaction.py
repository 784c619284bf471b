"""Keys in prompts and answers don't reach the files of a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agno_nb.db.base import Db
from agno_nb.db.duckdb import DuckDb
from agno_nb.db.sqlite import SqliteDb
from agno_nb.types import Message, ToolCall
from agno_nb_store_contract.conversation import begin, end
from agno_nb_store_contract.redaction import KEY, tell_all


@pytest.mark.parametrize("make", [DuckDb, SqliteDb])
def test_a_key_is_not_in_the_files_of_the_store(make: type[Db], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    db = make(folder / "store.db")  # type: ignore[call-arg]
    tell_all(db, KEY)
    assert not [path.name for path in folder.iterdir() if KEY.encode() in path.read_bytes()]
    db.close()


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda key: json.dumps({"header": key}), id="json"),
        pytest.param(lambda key: json.dumps({"header": key}, ensure_ascii=False), id="json with its letters"),
        pytest.param(lambda key: json.dumps({"body": json.dumps({"header": key})}), id="json within json"),
        pytest.param(lambda key: json.dumps({"header": key})[:-1], id="broken json"),
        pytest.param(lambda key: json.dumps(key).replace("/", "\\/").replace("\\u00f6", "\\u00F6"), id="other escapes"),
    ],
)
def test_a_secret_that_json_escapes_is_taken_out_of_arguments_and_results(
    spelling: Callable[[str], str], db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = 'gehört "mir"/\\allein'
    monkeypatch.setenv("SOME_API_KEY", secret)
    run, _ = begin(db)
    call = ToolCall(tool_call_id="c", tool_name="f", arguments=spelling(secret))
    end(
        db,
        run,
        Message(role="assistant", tool_calls=[call]),
        Message(role="tool", content=spelling(secret), tool_call_id="c"),
    )
    stored = db.get_runs("s1")[0]
    for text in (stored.tools[0].arguments, stored.messages[-1].content or ""):
        assert "[redacted]" in text
        assert "allein" not in text
