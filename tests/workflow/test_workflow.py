"""Workflows: steps with agents, teams, functions and workflows, with the pipeline of agents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.session import WorkflowSession
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Metrics, RunEvent
from agno_nb.workflow import Condition, Loop, Parallel, Router, Step, StepInput, StepOutput, Steps, Workflow
from tests.workflow.flows import agent, echo, results, upper


def test_each_step_is_given_what_the_one_before_gave(db: InMemoryDb) -> None:
    team = Team([agent("m")], name="crew", model=FunctionModel(echo))
    inner = Workflow([upper], name="inner")
    run = Workflow([agent("a"), team, upper, inner], name="Line", db=db).run("hello", session_id="s", user_id="ada")
    assert run.content == "<<HELLO>>"
    assert results(run) == [
        ("a", "<hello>"),
        ("crew", "<<hello>>"),
        ("upper", "<<HELLO>>"),
        ("inner", "<<HELLO>>"),
    ]
    rows = db.runs_df(session_id="s")
    shown = rows[["kind", "component_name", "step", "run_index", "user_id"]]
    assert shown.astype(object).where(shown.notna(), None).values.tolist() == [
        ["workflow", "Line", None, 0, "ada"],
        ["agent", "a", "a", None, "ada"],
        ["team", "crew", "crew", None, "ada"],
        ["workflow", "inner", "inner", None, "ada"],
    ]
    assert set(rows["root_run_id"]) == {run.run_id}
    steps = db.steps_df(run_id=run.run_id)
    assert steps[["step_index", "step_name", "kind", "input", "content", "status"]].values.tolist() == [
        [0, "a", "agent", "hello", "<hello>", "COMPLETED"],
        [1, "crew", "team", "<hello>", "<<hello>>", "COMPLETED"],
        [2, "upper", "function", "<<hello>>", "<<HELLO>>", "COMPLETED"],
        [3, "inner", "workflow", "<<HELLO>>", "<<HELLO>>", "COMPLETED"],
    ]
    joined = steps.merge(rows, left_on="child_run_id", right_on="run_id")
    assert joined["component_name"].tolist() == ["a", "crew", "inner"]


def test_a_stored_run_has_its_steps_and_the_runs_of_them(db: InMemoryDb) -> None:
    workflow = Workflow([agent("a"), upper], db=db)
    run = workflow.run("hello")
    stored = workflow.get_run_output(run.run_id)
    assert stored is not None
    assert stored.step_results == run.step_results
    assert [each.content for each in stored.step_executor_runs] == ["<hello>"]
    session = workflow.get_session()
    assert isinstance(session, WorkflowSession)
    assert [(m.role, m.content) for m in session.messages] == [("user", "hello"), ("assistant", "<HELLO>")]


def test_functions_of_every_kind(db: InMemoryDb) -> None:
    async def coroutine(step_input: StepInput) -> StepOutput:
        return StepOutput(f"{step_input.input} async")

    def pieces(step_input: StepInput) -> Iterator[str]:
        yield "one "
        yield "two"

    async def pieces_and_more(step_input: StepInput) -> AsyncIterator[str | StepOutput]:
        yield "piece"
        yield StepOutput({"n": 1})

    def nothing(step_input: StepInput) -> None:
        return None

    class Callable_:
        name = "object"

        async def __call__(self, step_input: StepInput) -> list[int]:
            return [1, 2]

    workflow = Workflow([coroutine, pieces, pieces_and_more, nothing, Callable_()], db=db)
    events = list(workflow.run("go", stream=True, stream_events=True))
    run = events[-1].run_output
    assert run is not None
    assert results(run) == [
        ("coroutine", "go async"),
        ("pieces", "one two"),
        ("pieces_and_more", {"n": 1}),
        ("nothing", None),
        ("object", [1, 2]),
    ]
    assert [(e.step, e.content) for e in events if e.event is RunEvent.step_output] == [
        ("pieces", "one "),
        ("pieces", "two"),
        ("pieces_and_more", "piece"),
    ]
    stored = workflow.get_run_output(run.run_id)
    assert stored is not None
    assert stored.step_results == run.step_results
    assert stored.content == [1, 2]


def test_a_function_reads_what_was_before_and_the_state() -> None:
    seen: list[Any] = []

    def look(step_input: StepInput, session_state: dict[str, Any], run_context: Any) -> str:
        seen.append(
            (
                step_input.input,
                step_input.previous_step_content,
                step_input.get_step_content("a"),
                step_input.get_step_content("both"),
                step_input.get_step_content("nobody"),
                step_input.get_last_step_content(),
                list(step_input.previous_step_outputs),
                step_input.get_all_previous_content(),
                session_state is step_input.session_state is step_input.workflow_session_state,
                run_context.run.kind,
            )
        )
        return "seen"

    Workflow([agent("a"), Parallel(upper, agent("b"), name="both"), look]).run("x")
    both = "## upper\n\n<X>\n\n## b\n\n<<x>>"
    assert seen == [
        (
            "x",
            both,
            "<x>",
            {"upper": "<X>", "b": "<<x>>"},
            None,
            both,
            ["a", "upper", "b", "both"],
            f"## a\n\n<x>\n\n{both}",
            True,
            "workflow",
        )
    ]


def test_an_object_of_a_schema_goes_on_as_json_and_is_the_content() -> None:
    class Poem(BaseModel):
        title: str

    poet = Agent(ScriptedModel(['{"title": "Rain"}']), name="poet", output_schema=Poem)
    model = FunctionModel(echo)
    run = Workflow([poet, Agent(model, name="reader")]).run("go")
    assert run.step_results[0].content == Poem(title="Rain")
    assert run.content == '<{"title": "Rain"}>'


def test_steps_side_by_side_share_one_state_and_lose_no_key(db: InMemoryDb) -> None:
    meeting = asyncio.Barrier(3)

    def writer(name: str) -> Any:
        async def write(step_input: StepInput) -> str:
            step_input.session_state[name] = 1
            await asyncio.wait_for(meeting.wait(), 10)
            step_input.session_state["all"].append(name)
            step_input.session_state["last"] = name
            return name

        write.__name__ = name
        return write

    workflow = Workflow([Parallel(*(writer(name) for name in "abc"))], db=db, session_state={"all": []})
    run = workflow.run("go")
    assert run.content == "## a\n\na\n\n## b\n\nb\n\n## c\n\nc"
    state = workflow.get_session_state()
    assert {name: state[name] for name in "abc"} == {"a": 1, "b": 1, "c": 1}
    assert sorted(state["all"]) == ["a", "b", "c"]
    assert state["last"] == state["all"][-1]


def test_the_state_of_an_agents_tool_is_that_of_the_workflow(db: InMemoryDb) -> None:
    def add(session_state: dict[str, Any], item: str) -> str:
        session_state.setdefault("items", []).append(item)
        return "added"

    buyer = Agent(ScriptedModel([call("add", item="milk"), "ok"]), name="buyer", tools=[add])
    workflow = Workflow([buyer, lambda_named("count", lambda given: len(given.session_state["items"]))], db=db)
    assert workflow.run("milk").content == 1
    assert workflow.get_session_state() == {"items": ["milk"]}


def lambda_named(name: str, function: Any) -> Any:
    function.__name__ = name
    return function


def test_conditions_routers_and_loops_choose() -> None:
    def grow(step_input: StepInput) -> str:
        return step_input.message + "!"

    async def is_long(outputs: list[StepOutput]) -> bool:
        return len(outputs[-1].content) >= 4

    def route(step_input: StepInput) -> Any:
        return [upper, "grow"] if "x" in step_input.input else grow

    workflow = Workflow(
        [
            Condition(lambda given: given.input == "x", [upper], else_steps=[grow], name="is x"),
            Loop([grow], max_iterations=5, end_condition=is_long, forward_iteration_output=True, name="longer"),
            Router(route, [upper, grow], name="route"),
            Condition(False, [upper], name="never"),
            Steps([Condition(True, grow, name="always")], name="more"),
        ]
    )
    assert results(workflow.run("x")) == [
        ("is x", True),
        ("is x/upper", "X"),
        ("longer[0]/grow", "X!"),
        ("longer[0]", True),
        ("longer[1]/grow", "X!!"),
        ("longer[1]", True),
        ("longer[2]/grow", "X!!!"),
        ("longer[2]", False),
        ("route", ["upper", "grow"]),
        ("route/upper", "X!!!"),
        ("route/grow", "X!!!!"),
        ("never", False),
        ("more/always", True),
        ("more/always/grow", "X!!!!!"),
    ]
    run = workflow.run("yy")
    assert (run.step_results[1].path, run.content) == ("is x/grow", "yy!!!!")


def test_steps_of_one_name_have_paths_of_their_own() -> None:
    run = Workflow([upper, upper, [upper]]).run("x")
    assert [step.path for step in run.step_results] == ["upper", "upper#2", "steps/upper"]


def test_steps_are_shown_earlier_runs_as_often_as_the_workflow_or_they_say(db: InMemoryDb) -> None:
    a, b, c = FunctionModel(echo), FunctionModel(echo), FunctionModel(echo)
    workflow = Workflow(
        [
            Agent(a, name="a"),
            Step("b", agent=Agent(b), num_history_runs=1),
            Step("c", agent=Agent(c), add_workflow_history=False),
            lambda_named(
                "end", lambda given: f"{len(given.get_workflow_history())} {len(given.get_workflow_history(1))}"
            ),
        ],
        db=db,
        add_workflow_history_to_steps=True,
        num_history_runs=2,
    )
    outputs = [workflow.run(text).content for text in ("1", "2", "3", "4")]
    assert outputs == ["0 0", "1 1", "2 1", "3 1"]
    session = workflow.get_session()
    assert isinstance(session, WorkflowSession)
    assert session.get_workflow_history() == [("1", "0 0"), ("2", "1 1"), ("3", "2 1"), ("4", "3 1")]
    assert session.get_workflow_history(1) == [("4", "3 1")]
    first = [request.messages[-1].content for request in a.requests]
    assert first[0] == "1"
    assert first[3] == ("<workflow_history>\ninput: 2\noutput: 1 1\ninput: 3\noutput: 2 1\n</workflow_history>\n\n4")
    second, third = (str(model.requests[3].messages[-1].content) for model in (b, c))
    assert second.startswith("<workflow_history>\ninput: 3\noutput: 2 1\n</workflow_history>\n\n<")
    assert third == f"<{second}>"


def test_tokens_of_the_steps_are_counted_once_and_a_workflow_has_no_unknown_price(db: InMemoryDb) -> None:
    def priced(text: str) -> Any:
        from agno_nb.models.base import ModelResponse

        return ModelResponse(content=text, metrics=Metrics(input_tokens=10, output_tokens=1, cost=0.5))

    workflow = Workflow(
        [
            Agent(ScriptedModel([priced("1")]), name="a"),
            Workflow([Agent(ScriptedModel([priced("2")]), name="b")], name="w"),
        ],
        db=db,
        name="top",
    )
    run = workflow.run("go")
    assert (run.metrics.input_tokens, run.total_metrics.input_tokens, run.total_metrics.cost) == (None, 20, 1.0)
    assert (workflow.get_session_metrics().input_tokens, workflow.get_session_metrics().cost) == (20, 1.0)
    assert db.sessions_df()[["total_tokens", "cost"]].values.tolist() == [[22, 1.0]]
    tree = db.query(
        "select path, depth, num_nested, input_tokens, tree_input_tokens, tree_cost from run_tree order by path"
    ).arrow()
    assert [tuple(row.values()) for row in tree.to_pylist()] == [
        ("top", 0, 3, None, 20, 1.0),
        ("top > a", 1, 0, 10, 10, 0.5),
        ("top > w", 1, 1, None, 10, 0.5),
        ("top > w > b", 2, 0, 10, 10, 0.5),
    ]


def test_a_fork_takes_the_steps_along(db: InMemoryDb) -> None:
    workflow = Workflow([agent("a"), upper], db=db)
    run = workflow.run("go")
    fork = workflow.fork_session()
    (copy,) = [each for each in fork.runs if each.run_index == 0]
    assert results(copy) == results(run)
    assert copy.step_results[0].run_id == copy.nested_runs[0].run_id != run.nested_runs[0].run_id
    workflow.delete_session(run.session_id)
    assert set(db.steps_df()["session_id"]) == {fork.session_id}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Workflow([]), "has no steps"),
        (lambda: Workflow(["write"]), "'write' of type str cannot be a step"),
        (lambda: Step("x"), "has 0 of agent"),
        (lambda: Step("x", agent=agent("a"), executor=upper), "has 2 of agent"),
        (lambda: Step("x", agent=upper), "not an agent, team or workflow"),  # type: ignore[arg-type]
        (lambda: Step("x", executor=upper, max_retries=-1), "pass 0 or more"),
        (lambda: Loop([upper], max_iterations=0), "pass 1 or more"),
        (lambda: Router(len, [agent("a"), agent("a")]), "two choices named 'a'"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        make()


def test_a_router_that_chooses_something_else_says_what_there_is() -> None:
    with pytest.raises(InvalidInputError, match="has no choice 'lower'; it has upper"):
        Workflow([Router(lambda given: "lower", [upper], name="r")]).run("x")


def test_a_router_takes_a_step_that_its_selector_made_by_its_name() -> None:
    router = Router(lambda given: [Step("loud", executor=upper)], [Step("loud", executor=upper)])
    assert Workflow([router]).run("x").content == "X"


def test_an_unknown_argument_is_explained() -> None:
    with pytest.raises(TypeError, match='did you mean "num_history_runs"'):
        Workflow([upper], num_history_run=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r'Loop\(\) has no argument .*: did you mean "max_iterations"'):
        Loop([upper], max_iteration=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r'Step\(\) has no argument .*: did you mean "max_retries"'):
        Step("loud", executor=upper, max_retry=1)  # type: ignore[call-arg]


def test_the_events_of_a_workflow(db: InMemoryDb) -> None:
    events = list(Workflow([agent("a"), Parallel(upper, name="p")], name="W").run("x", stream=True, stream_events=True))
    assert [(event.event.value, event.step, event.component_name) for event in events] == [
        ("WorkflowStarted", None, "W"),
        ("StepStarted", "a", "W"),
        ("RunStarted", "a", "a"),
        ("ModelRequestStarted", "a", "a"),
        ("RunContent", "a", "a"),
        ("ModelRequestCompleted", "a", "a"),
        ("RunContentCompleted", "a", "a"),
        ("RunCompleted", "a", "a"),
        ("StepCompleted", "a", "W"),
        ("ParallelExecutionStarted", "p", "W"),
        ("StepStarted", "p/upper", "W"),
        ("StepCompleted", "p/upper", "W"),
        ("ParallelExecutionCompleted", "p", "W"),
        ("RunContent", None, "W"),
        ("WorkflowCompleted", None, "W"),
    ]


def test_agents_without_a_name_are_steps_with_numbers() -> None:
    seen: list[Any] = []

    def join(step_input: StepInput) -> str:
        seen.extend(step_input.get_step_content(name) for name in ("step_1", "step_2", "named"))
        return "joined"

    unnamed = [Agent(ScriptedModel([answer])) for answer in ("one", "two")]
    run = Workflow([*unnamed, Agent(ScriptedModel(["three"]), name="named"), join]).run("go")
    assert seen == ["one", "two", "three"]
    assert [step.path for step in run.step_results] == ["step_1", "step_2", "named", "join"]


def test_an_agent_is_not_run_again_because_another_turn_ends_during_its_pause(db: InMemoryDb) -> None:
    sent: list[str] = []

    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        sent.append(text)
        return f"sent {text}"

    def write(messages: list[Message], tools: Any) -> Reply:
        last = messages[-1]
        return str(last.content) if last.role == "tool" else call("send", text=(last.content or "")[-1])

    def line() -> Workflow:
        writer = Agent(FunctionModel(write), name="writer", tools=[send])
        return Workflow([writer], name="Line", db=db, add_workflow_history_to_steps=True)

    for run in [line().run(text, session_id="s") for text in "ab"]:
        (requirement,) = run.active_requirements
        requirement.confirm()
        done = line().continue_run(run_id=run.run_id, session_id="s", requirements=[requirement])
        assert done.content == f"sent {run.input}"
    assert (sent, [*db.runs_df()["component_name"]].count("writer")) == (["a", "b"], 2)
