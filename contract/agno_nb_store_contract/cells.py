"""Data from notebooks: prompt variables, the turns of a cell, context reports, cached answers."""

from __future__ import annotations

from typing import Any

from agno_nb.db.base import CellTurn, Db
from agno_nb.types import CellInfo, ContextPart, ContextReport, Message, OmittedPart, RunStatus, Session, Variable
from agno_nb_store_contract.conversation import begin, end, say

NAMED = Variable(name="name", type="str", hash="0" * 16, chars=3)
FRAME = Variable(name="df", type="pandas.DataFrame", shape=(2, 1), dtypes={"a": "int64"}, hash="1" * 16, chars=9)


def in_cell(cell_id: str) -> CellInfo:
    return CellInfo(notebook="/talk.ipynb", cell_id=cell_id, kernel_id="k1")


class CellsContract:
    """Data from notebooks."""

    def test_variables_come_back_with_their_run_and_go_with_their_session(self, db: Db) -> None:
        run = say(db, "hello", variables=[NAMED, FRAME])
        say(db, "again")
        assert [stored.variables for stored in db.get_runs("s1")] == [[NAMED, FRAME], []]
        fork = db.fork_session("s1")
        assert fork is not None
        assert [stored.variables for stored in fork.runs] == [[NAMED, FRAME], []]
        assert db.delete_session("s1")
        assert db.get_run(run.run_id) is None
        assert db.variables_df()["session_id"].tolist() == [fork.session_id] * 2

    def test_a_receipt_is_kept_without_its_texts_and_finds_those_of_its_run(self, db: Db) -> None:
        run, _ = begin(db, "Who is Ada?")
        run.context_report = ContextReport(
            parts=[
                ContextPart(source="instructions", role="system", chars=9, text="Be brief."),
                ContextPart(source="summary", role="system", name="of turns 0 to 3", chars=4, text="Tea."),
                ContextPart(source="history", run_index=4, run_id="r4", chars=10, text="user: hi"),
                ContextPart(source="prompt", role="user", chars=8, text="Who is Ada?"),
                ContextPart(source="variable", role="user", name="name", chars=3),
            ],
            omitted=[OmittedPart(what="turns 0 to 3", why="history is the last 1 completed turns")],
        )
        system = Message(role="system", content="Be brief.\n\nTea.")
        run.messages.insert(0, system)
        end(db, run, system, Message(role="assistant", content="A person."))
        stored = db.get_run(run.run_id)
        assert stored is not None
        assert stored.context() == run.context_report
        assert stored.context_report is not None
        assert [part.text for part in stored.context_report.parts] == ["Be brief.", "Tea.", None, "Who is Ada?", None]

    def test_a_cell_knows_the_turns_that_it_began(self, db: Db) -> None:
        say(db, "first", origin=in_cell("a"))
        say(db, "second", origin=in_cell("b"))
        say(db, "third", origin=in_cell("a"))
        say(db, "second, from elsewhere", origin=in_cell("c"), run_index=1)
        begin(db, "nested", origin=in_cell("a"), nested=True)
        say(db, "elsewhere", session_id="s2", session=Session(session_id="s2"), origin=in_cell("a"))
        turns = db.get_cell_turns("s1", "a")
        assert turns == [
            CellTurn(run_index=0, notebook="/talk.ipynb", kernel_id="k1", later_turns=(1, 2)),
            CellTurn(run_index=2, notebook="/talk.ipynb", kernel_id="k1", later_turns=()),
        ]
        assert db.get_cell_turns("s1", "b") == [
            CellTurn(run_index=1, notebook="/talk.ipynb", kernel_id="k1", later_turns=(2,))
        ]
        assert db.get_cell_turns("s1", "c") == []
        assert db.get_cell_turns("nowhere", "a") == []

    def test_an_answer_is_found_by_its_context_unless_it_was_itself_cached(self, db: Db) -> None:
        def asked(text: str, **fields: Any) -> str:
            run, _ = begin(db, text)
            for name, value in {"context_hash": "h", **fields}.items():
                setattr(run, name, value)
            return end(
                db, run, Message(role="assistant", content="yes"), status=fields.get("status", RunStatus.COMPLETED)
            ).run_id

        asked("an older one")
        latest = asked("the latest one")
        asked("a cached answer", replay_of_run_id=latest)
        asked("a failure", status=RunStatus.ERROR)
        asked("another", context_hash="other")
        found = db.find_cached_run("h")
        assert found is not None
        assert (found.run_id, found.messages[-1].content) == (latest, "yes")
        assert db.find_cached_run("unknown") is None
