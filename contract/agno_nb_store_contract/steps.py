"""Nested runs and workflow steps."""

from __future__ import annotations

from agno_nb.db.base import ContextQuery, Db
from agno_nb.types import JsonDict, Message, RunOutput, Session, SessionType, StepOutput, StepStatus
from agno_nb_store_contract.conversation import begin, contents, end, say

WORKFLOW = Session(session_id="s1", session_type=SessionType.WORKFLOW)


def nested_in(db: Db, turn: RunOutput, text: str, component_id: str = "poet") -> RunOutput:
    """Write a run nested in `turn`."""
    of_turn: JsonDict = {"parent_run_id": turn.run_id, "root_run_id": turn.run_id, "created_at": turn.created_at}
    run, _ = begin(db, text, nested=True, component_id=component_id, **of_turn)
    return end(db, run, Message(role="assistant", content=f"answer to {text}"))


class StepsContract:
    """Nested runs and workflow steps."""

    def test_a_run_comes_back_with_what_is_nested_in_it(self, db: Db) -> None:
        turn, _ = begin(db, "turn")
        inner = nested_in(db, turn, "inner")
        deep, _ = begin(db, "deep", nested=True, parent_run_id=inner.run_id, root_run_id=turn.run_id)
        stored = db.get_run(turn.run_id)
        assert stored is not None
        assert [run.run_id for run in stored.nested_runs] == [inner.run_id]
        assert [run.run_id for run in stored.nested_runs[0].nested_runs] == [deep.run_id]
        found = db.get_run(deep.run_id, "s1")
        assert found is not None
        assert (found.root_run_id, found.nested_runs) == (turn.run_id, [])
        assert stored.root_run_id == turn.run_id

    def test_the_history_of_a_nested_run_is_what_the_same_one_did_before(self, db: Db) -> None:
        first, _ = begin(db, "first")
        nested_in(db, first, "1")
        nested_in(db, first, "of another", component_id="cook")
        end(db, first, Message(role="assistant", content="a"))
        again, _ = begin(db, "first again", run_index=0)
        nested_in(db, again, "1 again")
        end(db, again, Message(role="assistant", content="b"))
        second, _ = begin(db, "second")
        nested_in(db, second, "2")
        query = ContextQuery(num_history_runs=5)
        of_second: JsonDict = {"nested": True, "component_id": "poet", "parent_run_id": second.run_id, "query": query}
        _, opened = begin(db, "3", root_run_id=second.run_id, **of_second)
        assert contents(opened.history) == [
            ("user", "1 again"),
            ("assistant", "answer to 1 again"),
            ("user", "2"),
            ("assistant", "answer to 2"),
        ]
        # A new attempt does not see later turns.
        third, _ = begin(db, "first, once more", run_index=0)
        of_third = {**of_second, "parent_run_id": third.run_id}
        assert begin(db, "4", root_run_id=third.run_id, **of_third)[1].history == []

    def test_steps_come_back_with_their_run(self, db: Db) -> None:
        run, _ = begin(db, session=WORKFLOW, kind=SessionType.WORKFLOW)
        steps = [
            StepOutput("text", step_name="a", path="a", kind="agent", input="in", run_id="r2", duration_s=0.5),
            StepOutput({"n": [1, None]}, step_name="b", path="l[1]/b", iteration=1, stop=True),
            StepOutput(None, step_name="c", path="c", success=False, status=StepStatus.SKIPPED, error="ValueError: no"),
        ]
        for place, step in enumerate(steps):
            db.add_step(run, step, place, session_state={"steps": place + 1})
        stored = db.get_run(run.run_id)
        assert stored is not None
        assert stored.step_results == steps
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"steps": 3}
        assert db.steps_df(kind="agent")["child_run_id"].tolist() == ["r2"]

    def test_a_step_keeps_what_others_changed_in_the_state(self, db: Db) -> None:
        run, opened = begin(db, session=WORKFLOW, kind=SessionType.WORKFLOW)
        db.update_session_state("s1", {"others": 1})
        began_with = opened.session.session_state
        db.add_step(run, StepOutput(step_name="a", path="a"), 0, session_state={"mine": 1}, base_state=began_with)
        session = db.get_session("s1")
        assert session is not None
        assert session.session_state == {"others": 1, "mine": 1}

    def test_a_fork_takes_steps_along_and_a_deleted_session_its_own(self, db: Db) -> None:
        run, _ = begin(db, session=WORKFLOW, kind=SessionType.WORKFLOW)
        inner = nested_in(db, run, "inner")
        db.add_step(run, StepOutput("x", step_name="a", path="a", run_id=inner.run_id), 0)
        db.add_step(run, StepOutput("y", step_name="b", path="b"), 1)
        end(db, run, Message(role="assistant", content="y"))
        fork = db.fork_session("s1")
        assert fork is not None
        db.delete_session("s1")
        (copy,) = [each for each in db.get_runs(fork.session_id) if each.run_index == 0]
        assert [(step.path, step.content) for step in copy.step_results] == [("a", "x"), ("b", "y")]
        assert copy.step_results[0].run_id == copy.nested_runs[0].run_id != inner.run_id
        assert copy.nested_runs[0].root_run_id == copy.run_id
        assert set(db.steps_df()["session_id"]) == {fork.session_id}

    def test_a_tree_of_runs_adds_up(self, db: Db) -> None:
        turn, _ = begin(db, "turn", component_name="crew")
        nested_in(db, turn, "inner")
        end(db, turn, Message(role="assistant", content="done"))
        say(db, "another", component_name="alone")
        tree = db.query("SELECT path, depth, num_nested FROM run_tree ORDER BY path").arrow().to_pylist()
        assert [tuple(row.values()) for row in tree] == [("alone", 0, 0), ("crew", 0, 1), ("crew > poet", 1, 0)]
