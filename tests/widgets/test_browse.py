"""The session browser in the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from agno_nb import Agent, DuckDb, InMemoryDb, ScriptedModel, annotate, browse, collect, query
from agno_nb.db.queries import Search
from agno_nb.errors import InvalidInputError, ModelError
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.settings import AgnoNb
from agno_nb.types import Annotation
from agno_nb.widgets.browse import Browser as Panel
from tests.notebook.hostile import PAYLOADS
from tests.widgets.browser import Browser, live_in


@pytest.fixture
def db() -> InMemoryDb:
    db = InMemoryDb()
    guide = Agent(ScriptedModel([f"answer {n}" for n in range(9)]), name="guide", db=db)
    guide.run("Trains at night", session_id="trains", user_id="ada")
    guide.run("And by day?", session_id="trains", user_id="ada")
    guide.run("Penguins", session_id="penguins", user_id="bob")
    failing = Agent(ScriptedModel([ModelError("away")]), name="failing", db=db)
    with pytest.raises(ModelError):
        failing.run("Ships", session_id="ships")
    db.rename_session("penguins", session_name="What 'they' weigh")
    return db


def found(page: Browser) -> list[str]:
    return [row["session_id"] for row in page.content["rows"]]


def sought(page: Browser, **change: object) -> list[str]:
    page.ask("find", **{**page.content["criteria"], **change})
    return found(page)


def test_sessions_are_listed_latest_first_with_what_a_reader_looks_for(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    assert page.content["total"] == 3
    rows = {row["session_id"]: row for row in page.content["rows"]}
    assert (rows["trains"]["title"], rows["trains"]["num_runs"], rows["trains"]["agent"]) == (
        "Trains at night",
        2,
        "guide",
    )
    assert (rows["penguins"]["title"], rows["penguins"]["user_id"]) == ("What 'they' weigh", "bob")
    assert rows["ships"]["status"] == "ERROR"
    assert page.content["choices"]["user_id"] == ["ada", "bob"]


def test_a_search_looks_in_names_and_in_what_was_said(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    assert sought(page, search="WEIGH") == ["penguins"]
    assert sought(page, search="by day") == ["trains"]
    assert sought(page, search="answer 2") == ["penguins"]
    assert sought(page, search="%") == []
    assert sought(page, search="", user_id="ada") == ["trains"]
    assert sought(page, user_id=None, agent="failing") == ["ships"]
    assert sought(page, agent=None, status="ERROR") == ["ships"]
    assert set(sought(page, status=None, days=1)) == {"trains", "penguins", "ships"}
    assert sought(page, days=None, sort="num_runs")[0] == "trains"
    assert sought(page, sort="name", is_ascending=True) == ["ships", "trains", "penguins"]


def test_the_query_that_it_shows_gives_the_same_sessions(db: InMemoryDb) -> None:
    panel = browse(db=db, search="'they'", user_id="bob")
    assert "contains(lower(" in panel.sql
    assert query(panel.sql, db=db).df()["session_id"].tolist() == ["penguins"] == found(Browser(panel))
    hostile = Search(search="'); DELETE FROM raw_runs; --", user_id="a'b?c")
    assert query(hostile.sql, db=db).df().empty


def test_an_unknown_kind_or_status_is_refused(db: InMemoryDb) -> None:
    with pytest.raises(InvalidInputError, match="status is 'DONE'; it must be one of RUNNING, COMPLETED"):
        browse(db=db, status="DONE")


def test_what_is_marked_is_there_in_python(db: InMemoryDb) -> None:
    panel = browse(db=db)
    page = Browser(panel)
    page.ask("select", session_ids=["ships", "trains", "of another store"])
    assert panel.selected == ["ships", "trains"]
    assert panel.selected_df()["session_id"].tolist() == ["trains", "ships"]
    page.ask("find", **{**page.content["criteria"], "user_id": "ada"})
    assert panel.selected == ["trains"]


def test_rows_come_in_pages(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    assert [row["session_id"] for row in page.ask("rows", offset=1, limit=2)] == found(page)[1:]
    assert page.ask("rows", offset=100, limit=50) == []
    assert "limit is 201" in page.refusal("rows", offset=0, limit=201)


def test_a_session_is_previewed_renamed_and_deleted(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    preview = page.ask("preview", session_id="trains")
    assert [turn["question"] for turn in preview["turns"]] == ["Trains at night", "And by day?"]
    page.ask("rename", session_id="trains", name="  Night trains ")
    assert {row["session_id"]: row["title"] for row in page.content["rows"]}["trains"] == "Night trains"
    page.ask("delete", session_ids=["trains", "ships"])
    assert (found(page), len(db.runs_df())) == (["penguins"], 1)
    assert "session 'trains' is no longer in the store" in page.refusal("preview", session_id="trains")


def test_answers_of_a_session_are_annotated_in_its_preview(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    run_id = db.get_runs("trains")[-1].run_id
    of_run = {"session_id": "trains", "run_id": run_id}
    assert page.ask("annotate", **of_run, label="wrong", comment="It is <b>late</b>.") is True
    annotate(run_id, score=0.5, by="ada", db=db)
    preview = page.ask("preview", session_id="trains")
    assert [len(turn["annotations"]) for turn in preview["turns"]] == [0, 2]
    annotations = preview["turns"][1]["annotations"]
    shown = [(each["text"], each["comment"], each["author"]) for each in annotations]
    assert shown == [("wrong", "It is <b>late</b>.", ""), ("0.5", "", "ada")]
    assert preview["labels"] == ["wrong", "good"]
    assert page.ask("remove_annotation", **of_run, annotation_id=annotations[0]["id"]) is True
    assert [each.score for each in db.get_annotations(run_id)] == [0.5]
    assert "is empty; pass a label, score or comment" in page.refusal("annotate", **of_run, label=" ", comment="")


def test_a_run_is_only_annotated_in_its_own_session(db: InMemoryDb) -> None:
    page = Browser(browse(db=db))
    of_run = {"session_id": "penguins", "run_id": db.get_runs("trains")[0].run_id}
    assert "is not in session 'penguins'" in page.refusal("annotate", **of_run, label="good", comment="")
    (annotation,) = db.add_annotations([Annotation(of_run["run_id"], label="good")])
    refusal = page.refusal("remove_annotation", **of_run, annotation_id=annotation.annotation_id)
    assert "is not in session 'penguins'" in refusal
    assert db.get_annotations(of_run["run_id"]) == [annotation]


def test_a_session_is_resumed_by_the_notebook_with_who_began_it(db: InMemoryDb) -> None:
    guide = Agent(ScriptedModel(["on"]), name="guide", db=db)
    notebook = Notebook({"guide": guide}, Path.cwd(), AgnoNb())
    notebook.db = db
    page = Browser(Panel(db, notebook, Search()))
    said = page.ask("resume", session_id="trains")
    assert said == "The %%agent cells of this notebook continue this session as guide."
    assert (notebook.runnable, notebook.user_id, notebook.session_id) == (guide, "ada", "trains")


def test_a_session_is_opened_in_a_chat_that_goes_on_with_it(db: InMemoryDb) -> None:
    guide = Agent(ScriptedModel(["on we go"]), name="guide", db=db)
    notebook = Notebook({"guide": guide}, Path.cwd(), AgnoNb())
    panel = Panel(db, notebook, Search())
    address = Browser(panel).ask("open", session_id="trains")
    chat = panel._chat
    assert chat is not None
    assert chat.address == address
    Browser(chat).say("Further")
    assert db.runs_df(session_id="trains")["user_id"].tolist() == ["ada"] * 3
    assert "Further" in panel.static_view().text


def test_hostile_names_are_text_in_rows_and_twin() -> None:
    db = InMemoryDb()
    for number, payload in enumerate(PAYLOADS):
        agent = Agent(ScriptedModel([payload]), name=payload, db=db)
        agent.run(payload, session_id=f"s{number}", user_id=payload)
        db.rename_session(f"s{number}", session_name=payload)
    page = Browser(browse(db=db))
    assert page.content["total"] == len(PAYLOADS)
    assert live_in(page.panel.static_view().bundle()["text/html"]) == set()
    for number in range(len(PAYLOADS)):
        for turn in page.ask("preview", session_id=f"s{number}")["turns"]:
            assert live_in(turn["html"]) == set()


def test_a_collection_has_no_sessions_to_open(tmp_path: Path) -> None:
    Agent("demo", db=DuckDb(tmp_path / "a.duckdb")).run("Hello")
    with pytest.raises(
        InvalidInputError, match=r"db is Collection of 1 store: a\.duckdb; pass a store, such as DuckDb"
    ):
        browse(db=collect(tmp_path / "a.duckdb"))  # type: ignore[arg-type]
