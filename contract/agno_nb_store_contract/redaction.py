"""API keys in messages, errors and tool results are not stored."""

from __future__ import annotations

from typing import Any

import pytest

from agno_nb.db import schema
from agno_nb.db.base import ContextQuery, Db
from agno_nb.types import (
    CellInfo,
    Media,
    Message,
    Metrics,
    RunStatus,
    Session,
    SessionSummary,
    ToolCall,
    UserMemory,
)
from agno_nb_store_contract.conversation import begin, end

KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c"


SECRET = 'hush "quoted" \\ and\nbroken'


def tell_all(db: Db, key: str) -> None:
    """Write a run with the key in all of its texts."""
    session = Session(session_id="s1", session_name=key, session_state={"a": key}, metadata={key: [key]})
    run, _ = begin(
        db, f"my key is {key}", session=session, user_id="ann", component_name=key, metadata={"k": (key,)},
        origin=CellInfo(notebook=f"/{key}.ipynb"), model=key,
    )  # fmt: skip
    call = ToolCall(
        tool_call_id="c1", tool_name=key, arguments=f'{{"header": "Authorization: \\"Bearer {key}\\""}}',
        extra={"signature": key},
    )  # fmt: skip
    asks = Message(
        role="assistant", content=f"you said {key}", reasoning_content=key, tool_calls=[call], model=key,
        provider_data={"items": [{"text": f'Bearer "{key}"'}]},
    )  # fmt: skip
    told = Message(role="tool", content=f'{{"answer": "{key}\\n"}}', tool_call_id="c1", tool_name=key)
    seen = Message(role="user", content="see", media=[Media(kind="file", url=f"https://x/?key={key}", filename=key)])
    run.error_type, run.error, run.reasoning_content = "ProviderError", f"Incorrect API key provided: {key}", key
    end(db, run, asks, told, seen, status=RunStatus.ERROR, state={"key": key, key: [{"deep": f"x {key}"}]})
    db.add_summary(SessionSummary(session_id="s1", summary=f"It is {key}", topics=[key], from_run_index=0))
    db.upsert_user_memory(UserMemory(user_id="ann", memory=f"Has {key}", topics=[key], input=key))
    db.rename_session("s1", session_name=key)
    db.update_session_state("s1", {"again": key})


def everything_in(db: Db) -> list[Any]:
    return [
        value for table in schema.tables() for row in db.arrow(f"FROM {table}").to_pylist() for value in row.values()
    ]


class RedactionContract:
    """API keys in messages, errors and tool results are not stored."""

    def test_a_key_is_in_no_column_of_any_table(self, db: Db) -> None:
        tell_all(db, KEY)
        values = everything_in(db)
        assert not [value for value in values if KEY in str(value)]
        assert sum("[redacted]" in str(value) for value in values) == 28

    def test_what_the_environment_keeps_secret_is_in_no_column(self, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_SERVICE_TOKEN", "horse-battery-staple")
        tell_all(db, "horse-battery-staple")
        assert not [value for value in everything_in(db) if "horse-battery" in str(value)]

    def test_json_from_which_a_key_was_taken_is_still_json(self, db: Db) -> None:
        tell_all(db, KEY)
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"again": "[redacted]"}
        assert session.metadata == {"[redacted]": ["[redacted]"]}
        (run,) = session.runs
        assert run.tools[0].tool_args == {"header": 'Authorization: "Bearer [redacted]"'}
        assert run.messages[1].provider_data == {"items": [{"text": 'Bearer "[redacted]"'}]}
        assert run.messages[2].content == '{"answer": "[redacted]\\n"}'
        assert run.messages[1].model == "[redacted]"

    def test_a_secret_that_json_writes_in_another_way_is_found_in_a_state(
        self, db: Db, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_PASSWORD", SECRET)
        run, _ = begin(db)
        end(db, run, state={"a": [SECRET]})
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"a": ["[redacted]"]}

    def test_the_values_of_the_process_keep_what_was_said(self, db: Db) -> None:
        run, _ = begin(db, KEY, user_id="ann")
        state = {"a": KEY}
        end(db, run, Message(role="assistant", content=KEY, metrics=Metrics(input_tokens=1)), state=state)
        assert (run.input, run.content, state) == (KEY, KEY, {"a": KEY})
        _, opened = begin(db, "again", user_id="ann", query=ContextQuery(num_history_runs=1))
        assert [message.content for message in opened.history] == ["[redacted]", "[redacted]"]

    def test_what_a_provider_has_sealed_comes_back_whole_and_ids_stay_names(self, db: Db) -> None:
        sealed = {"encrypted_content": f"{'gAAAAB' * 60}-{KEY}-{'x_9' * 30}"}
        run, _ = begin(db, session_id=f"session {KEY}", run_id="r1")
        end(db, run, Message(role="assistant", content="ok", provider_data=sealed))
        found = db.get_run("r1", session_id=f"session {KEY}")
        assert found is not None
        assert found.messages[-1].provider_data == sealed
