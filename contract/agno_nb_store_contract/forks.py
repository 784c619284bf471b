"""Forks of a session at a turn."""

from __future__ import annotations

import pytest

from agno_nb.db.base import ContextQuery, Db
from agno_nb.errors import RunNotFoundError
from agno_nb.types import Media, Message, Requirement, RunStatus, Session, SessionSummary, ToolCall
from agno_nb_store_contract.conversation import START, begin, contents, end, say


def make(db: Db) -> None:
    """Write three turns (two attempts of the first, a nested run in the last) and a run in progress."""
    state = Session(session_id="s1", session_name="Tea", component_id="x", session_state={"n": 1}, metadata={"m": 1})
    say(db, "0", session=state, user_id="ann")
    say(db, "1", user_id="ann")
    say(db, "0 again", run_index=0, user_id="ann")
    run, _ = begin(db, "2", user_id="ann", component_name="Ann")
    nested, _ = begin(db, "in 2", nested=True, parent_run_id=run.run_id, user_id="ann")
    end(db, nested, Message(role="assistant", content="done"))
    asks = Message(role="assistant", tool_calls=[ToolCall(tool_call_id="c1", tool_name="f")])
    told = Message(role="tool", tool_call_id="c1", tool_name="f", content="42")
    seen = Message(role="user", content="look", media=[Media(kind="image", content=b"x"), Media(kind="file", url="u")])
    end(db, run, asks, told, seen, state={"n": 2})
    for to_run_index in (0, 2):
        db.add_summary(SessionSummary(session_id="s1", summary=f"to {to_run_index}", to_run_index=to_run_index))
    begin(db, "goes on", user_id="ann")


class ForksContract:
    """Forks of a session at a turn."""

    def test_a_fork_is_the_session_as_it_now_is_under_new_ids(self, db: Db) -> None:
        make(db)
        fork = db.fork_session("s1", user_id="ann")
        assert fork is not None
        assert fork == db.get_session(fork.session_id)
        assert fork.forked_from_session_id == "s1"
        assert (fork.session_name, fork.user_id, fork.component_id, fork.session_state, fork.metadata) == (
            "Tea", "ann", "x", {"n": 2}, {"m": 1},
        )  # fmt: skip
        old = {run.input: run for run in db.get_runs("s1")}
        new = {run.input: run for run in fork.runs}
        assert list(new) == ["1", "0 again", "2", "in 2"]
        assert new["in 2"].parent_run_id == new["2"].run_id
        for text, run in new.items():
            assert (run.run_index, run.created_at, run.content) == (
                old[text].run_index, old[text].created_at, old[text].content,
            )  # fmt: skip
            assert [m.content for m in run.messages] == [m.content for m in old[text].messages]
            assert not {run.run_id, *(m.message_id for m in run.messages)} & {
                old[text].run_id, *(m.message_id for m in old[text].messages)
            }  # fmt: skip
            assert {m.run_id for m in run.messages} == {run.run_id}
        assert new["2"].tools == old["2"].tools
        assert new["2"].messages[-1].media == old["2"].messages[-1].media
        assert fork.summary is not None
        assert (fork.summary.summary, fork.summary.session_id) == ("to 2", fork.session_id)

    def test_a_fork_ends_where_it_is_asked_to_and_goes_on_by_itself(self, db: Db) -> None:
        make(db)
        fork = db.fork_session("s1", to_run_index=0)
        assert fork is not None
        assert [run.input for run in fork.runs] == ["0 again"]
        assert str(fork.summary) == "to 0"
        before = contents(db.get_messages("s1"))
        run, opened = begin(
            db, "else", session_id=fork.session_id, user_id="ann", query=ContextQuery(num_history_runs=5)
        )
        assert run.run_index == 1
        assert contents(opened.history) == [("user", "0 again"), ("assistant", "answer to 0 again")]
        assert contents(db.get_messages("s1")) == before
        db.delete_session("s1")
        assert contents(db.get_messages(fork.session_id))[:2] == contents(opened.history)

    def test_a_session_of_another_user_or_of_none_cannot_be_forked(self, db: Db) -> None:
        make(db)
        assert db.fork_session("s1", user_id="bob") is None
        assert db.fork_session("missing") is None
        with pytest.raises(RunNotFoundError, match="has no turn 4 to fork at; its turns are 0 to 3"):
            db.fork_session("s1", to_run_index=4)
        assert len(db.get_sessions()) == 1

    def test_what_a_copied_run_waits_for_has_ids_of_its_own(self, db: Db) -> None:
        outer, _ = begin(db, "outer")
        nested, _ = begin(db, "nested", nested=True, parent_run_id=outer.run_id, root_run_id=outer.run_id)
        calls = [ToolCall(tool_call_id=f"c{n}", tool_name="f", created_at=START) for n in (1, 2)]
        first, second = (
            Requirement(kind="confirmation", tool=call, run_id=run.run_id)
            for call, run in zip(calls, (nested, outer), strict=True)
        )
        nested.requirements, outer.requirements = [first], [first, second]
        end(db, nested, Message(role="assistant", tool_calls=calls[:1]), status=RunStatus.PAUSED)
        end(db, outer, Message(role="assistant", tool_calls=calls[1:]), status=RunStatus.PAUSED)
        fork = db.fork_session("s1")
        assert fork is not None
        again = db.fork_session(fork.session_id)
        assert again is not None
        seen = {first.requirement_id, second.requirement_id}
        for session in (fork, again):
            copies = {run.input: run for run in session.runs}
            of_nested, of_outer = copies["nested"], copies["outer"]
            ids = [one.requirement_id for one in of_outer.requirements]
            # Both runs are paused for the same requirement, so they must still have the same ID for it.
            assert [one.requirement_id for one in of_nested.requirements] == ids[:1]
            assert [one.run_id for one in of_outer.requirements] == [of_nested.run_id, of_outer.run_id]
            assert len({*seen, *ids}) == len(seen) + 2
            seen |= set(ids)
        kept = db.get_run(outer.run_id)
        assert kept is not None
        assert kept.requirements == outer.requirements

    def test_a_copy_of_a_run_nested_in_one_of_another_session_is_no_part_of_that(self, db: Db) -> None:
        outer, _ = begin(db, "outer", session_id="s0")
        run, _ = begin(db, "inner", parent_run_id=outer.run_id, parent_tool_call_id="c1")
        end(db, run, Message(role="assistant", content="done"))
        fork = db.fork_session("s1")
        assert fork is not None
        (copy,) = fork.runs
        assert (copy.parent_run_id, copy.parent_tool_call_id, copy.root_run_id) == (None, None, copy.run_id)
        assert [begun.run_id for begun in db.get_child_runs(outer.run_id)] == [run.run_id]

    def test_a_long_session_is_forked_whole(self, db: Db) -> None:
        run, _ = begin(db)
        end(db, run, *[Message(role="assistant", content=f"{n}") for n in range(1200)])
        fork = db.fork_session("s1")
        assert fork is not None
        assert contents(fork.messages) == contents(db.get_messages("s1"))
