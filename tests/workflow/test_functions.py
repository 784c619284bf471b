"""Functions that are a whole workflow, values passed to a run, CEL expressions, and agno's paths."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from agno_nb import event_loop
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError
from agno_nb.media import Image
from agno_nb.workflow import Condition, Loop, Router, Step, StepInput, Steps, Workflow, validate_cel_expression
from agno_nb.workflow.types import WorkflowExecutionInput

from .flows import agent, results, upper

writer = agent("writer")


def plain(workflow: Workflow, execution_input: WorkflowExecutionInput) -> str:
    return f"{workflow.name}: {writer.run(execution_input.input).content}"


def generator(workflow: Workflow, execution_input: WorkflowExecutionInput) -> Iterator[Any]:
    yield f"{workflow.name}: "
    yield writer.run(execution_input.input).content


async def coroutine(workflow: Workflow, execution_input: WorkflowExecutionInput) -> str:
    first = writer.run(execution_input.input)  # A blocking call.
    second = await writer.arun(execution_input.input)
    return f"{workflow.name}: {first.content if first.content == second.content else None}"


async def async_generator(workflow: Workflow, execution_input: WorkflowExecutionInput) -> AsyncIterator[Any]:
    yield f"{workflow.name}: "
    yield (await writer.arun(execution_input.input)).content


@pytest.mark.parametrize("function", [plain, generator, coroutine, async_generator])
def test_a_function_is_a_workflow(function: Any) -> None:
    line = Workflow(steps=function, name="Line", db=InMemoryDb())
    run = line.run("hi", session_id="s")
    assert (run.content, results(run)) == ("Line: <hi>", [(function.__name__, "Line: <hi>")])
    stored = line.store.get_run(run.run_id)
    assert stored is not None
    assert {nested.component_name for nested in stored.nested_runs} == {"writer"}


def test_an_object_with_a_call_method_is_an_executor() -> None:
    class Shouter:
        async def __call__(self, step_input: StepInput) -> str:
            return step_input.message.upper()

    assert Workflow([Step("shout", executor=Shouter()), Shouter()]).run("hi").content == "HI"


def test_steps_get_the_values_and_media_of_the_run() -> None:
    def show(step_input: StepInput) -> list[Any]:
        return [step_input.additional_data, len(step_input.images), len(step_input.files)]

    image = Image(content=b"\x89PNG\r\n\x1a\n", format="png")
    run = Workflow([Steps([show])]).run("hi", additional_data={"n": 1}, images=[image])
    assert run.content == [{"n": 1}, 1, 0]


def test_selectors_get_the_choices() -> None:
    def last(step_input: StepInput, step_choices: list[Step]) -> list[Step]:
        return [step_choices[-1]]

    router = Router(last, [upper, [upper, Step("x", executor=lambda given: f"{given.message}!")]])
    assert Workflow([router]).run("hi").content == "HI!"


@pytest.mark.parametrize(("forwards", "content"), [(False, "hi!"), (True, "hi!!!")])
def test_iterations_get_the_input_of_the_loop_or_the_last_output(forwards: bool, content: str) -> None:
    def grow(step_input: StepInput) -> str:
        return f"{step_input.message}!"

    assert Workflow([Loop([grow], forward_iteration_output=forwards)]).run("hi").content == content


def test_streams_without_the_events_of_executors() -> None:
    with Workflow([writer], stream_executor_events=False).run("hi", stream=True, stream_events=True) as events:
        assert [event.event for event in events] == [
            "WorkflowStarted", "StepStarted", "StepCompleted", "RunContent", "WorkflowCompleted"
        ]  # fmt: skip


def test_an_outer_workflow_has_no_events_of_executors_that_an_inner_one_leaves_out() -> None:
    outer = Workflow([Workflow([writer], name="inner", stream_executor_events=False)], name="outer")
    with outer.run("hi", stream=True, stream_events=True) as events:
        assert {event.component_name for event in events} == {"inner", "outer"}


def test_an_expression_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    with pytest.raises(InvalidInputError, match="needs cel-python; install it"):
        Condition("true", [upper])
    assert not validate_cel_expression("true")


def test_expressions_are_evaluated_with_the_values_of_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library evaluates Python expressions."""

    class Program:
        def __init__(self, code: Any) -> None:
            self.evaluate = lambda values: eval(code, {}, values)

    environment = SimpleNamespace(compile=lambda text: compile(text, "cel", "eval"), program=Program)
    stand_in = SimpleNamespace(
        Environment=lambda: environment,
        json_to_cel=lambda value: value,
        CELParseError=SyntaxError,
        CELEvalError=NameError,
    )
    monkeypatch.setitem(sys.modules, "celpy", stand_in)
    line = Workflow(
        [
            Condition("input == 'hi' and additional_data['n'] == session_state['n'] == 1", [upper]),
            Loop([upper], end_condition="current_iteration == 2 < max_iterations and all_success", max_iterations=5),
            Router("step_choices[1] if previous_step_outputs['upper'] == last else 'upper'", [upper, writer]),
        ],
        session_state={"n": 1},
    )
    with pytest.raises(InvalidInputError, match=r"cannot evaluate .*'last' is not defined"):
        line.run("hi", additional_data={"n": 1})
    line = Workflow([*line.steps[:2], Router("step_choices[1]", [upper, writer])], session_state={"n": 1})
    assert line.run("hi", additional_data={"n": 1}).content == "<HI>"
    with pytest.raises(InvalidInputError, match=r"'1 \+' is not a CEL expression"):
        Condition("1 +", [upper])


async def test_a_function_that_is_cancelled_before_its_loop_runs_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    is_starting, may_run, has_ended = threading.Event(), threading.Event(), threading.Event()
    called: list[str] = []

    def run_later(main: Coroutine[Any, Any, Any]) -> Any:
        is_starting.set()
        may_run.wait()
        with asyncio.Runner() as runner:
            try:
                return runner.run(main)
            finally:
                has_ended.set()

    async def work() -> None:
        called.append("work")

    monkeypatch.setattr(event_loop.asyncio, "run", run_later)
    task = asyncio.ensure_future(event_loop.in_own_loop(work))
    await asyncio.to_thread(is_starting.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_run.set()
    await asyncio.to_thread(has_ended.wait)
    assert called == []
