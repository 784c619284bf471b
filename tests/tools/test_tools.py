"""Accepted tools, their schemas, and calls."""

from __future__ import annotations

import asyncio
import functools
import math
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, Toolkit, tool
from agno_nb.types import RunEvent, ToolCall
from tests.tools.samples import called


def test_objects_wrapped_functions_and_builtins_are_tools() -> None:
    class Scale:
        """A scale."""

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, number: float) -> float:
            """Scale a number.

            Args:
                number: What to scale.
            """
            return self.factor * number

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @logged
    def double(number: int) -> int:
        return 2 * number

    scale = Tool(Scale(2.5))
    assert (scale.name, scale.description) == ("Scale", "Scale a number.")
    assert scale.spec.parameters["properties"]["number"]["description"] == "What to scale."
    assert called(scale, '{"number": 2}').value == 5.0
    assert called(double, '{"number": 2}').value == 4
    assert called(math.sqrt, '{"x": 4}').value == 2.0


def test_generators_are_taken_to_their_end() -> None:
    def words() -> Iterator[str]:
        yield "one "
        yield "two"

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    assert called(words).value == "one two"
    assert called(numbers).value == [1, 2]


def test_dependencies_reach_a_tool() -> None:
    def ask(dependencies: dict[str, Any], question: str = "") -> str:
        return f"{dependencies['host']}?{question}"

    model = ScriptedModel([call("ask", question="x"), "ok"])
    run = Agent(model, tools=[ask], dependencies={"host": "h"}).run("go")
    assert [each.result for each in run.tools] == ["h?x"]
    assert model.requests[0].tools[0].parameters["properties"].keys() == {"question"}


@pytest.mark.parametrize(
    ("name", "made"),
    [("get weather", "get_weather"), ("größe", "gro_e"), ("a.b-c!", "a_b-c"), ("x" * 80, "x" * 64)],
)
def test_names_are_made_valid(name: str, made: str) -> None:
    assert Tool(math.sqrt, name=name).name == made


@pytest.mark.parametrize("name", ["天気", "!!", "<lambda>"])
def test_names_of_which_nothing_is_left_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be the name of a tool"):
        Tool(math.sqrt, name=name)


def test_a_tool_that_exits_does_not_end_the_loop_of_all_runs() -> None:
    def leave() -> None:
        sys.exit(3)

    async def leave_async() -> None:
        raise KeyboardInterrupt

    run = Agent(ScriptedModel([[call("leave"), call("leave_async")], "Still here."]), tools=[leave, leave_async]).run(
        "x"
    )
    assert [each.result for each in run.tools] == [
        "RuntimeError: it tried to exit the program: SystemExit: 3",
        "RuntimeError: it tried to exit the program: KeyboardInterrupt: ",
    ]
    assert run.content == "Still here."


def test_a_tool_that_takes_too_long_is_given_up() -> None:
    released = threading.Event()

    def sleep() -> str:
        released.wait()
        return "late"

    async def hang() -> None:
        await asyncio.Event().wait()

    tools = [Tool(sleep, timeout_s=0.05), Tool(hang, timeout_s=0.05)]
    try:
        run = Agent(ScriptedModel([[call("sleep"), call("hang")], "No answer."]), tools=tools).run("x")
    finally:
        released.set()
    assert [(each.result, each.tool_call_error) for each in run.tools] == [
        (
            "sleep did not finish within 0.05 seconds, so there is no result. It cannot be stopped and may still be "
            "running; continue without it.",
            True,
        ),
        ("hang did not finish within 0.05 seconds, so there is no result.", True),
    ]
    assert run.content == "No answer."


def test_a_timeout_of_the_tools_own_is_its_own_error() -> None:
    @tool(timeout_s=60)
    def ask() -> None:
        raise TimeoutError("the server is slow")

    assert called(ask).result == "TimeoutError: the server is slow"


def test_stop_after_tool_call_makes_the_result_the_answer() -> None:
    @tool(stop_after_tool_call=True)
    def final(answer: str) -> str:
        return answer

    model = ScriptedModel([call("final", answer="42")])
    agent = Agent(model, tools=[final])
    events = list(agent.run("x", stream=True))
    run = events[-1].run_output
    assert run is not None
    assert run.content == "42"
    assert [event.content for event in events[:-1]] == ["42\n\n"]
    assert [message.role for message in run.messages] == ["user", "assistant", "tool"]

    silent = tool(stop_after_tool_call=True, show_result=False)(lambda_named("quiet"))
    assert Agent(ScriptedModel([call("quiet")]), tools=[silent]).run("x").content == ""


def lambda_named(name: str) -> Callable[[], str]:
    def function() -> str:
        return "secret"

    function.__name__ = name
    return function


def test_a_failed_final_tool_does_not_end_the_run() -> None:
    @tool(stop_after_tool_call=True)
    def final() -> str:
        raise ValueError("not yet")

    assert Agent(ScriptedModel([call("final"), "Sorry."]), tools=[final]).run("x").content == "Sorry."


def test_show_result_stands_before_the_answer() -> None:
    @tool(show_result=True)
    def table() -> str:
        return "| a |"

    run = Agent(ScriptedModel([call("table"), "That was it."]), tools=[table]).run("x")
    assert run.content == "| a |\n\nThat was it."
    assert run.messages[-1].content == "That was it."


def test_hooks_stand_around_a_call() -> None:
    seen: list[Any] = []

    def before(fc: ToolCall, agent: Any) -> None:
        seen.append(("before", fc.tool_args, agent.name))

    async def after(fc: ToolCall) -> None:
        seen.append(("after", fc.result))

    def outer(function_name: str, function_call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        seen.append(("outer", function_name, threading.current_thread() is threading.main_thread()))
        return function_call(**{**arguments, "b": 10}) * 2

    async def inner(function_call: Callable[..., Any], arguments: dict[str, Any], session_state: dict[str, Any]) -> Any:
        session_state["seen"] = arguments
        return await function_call(**arguments)

    @tool(pre_hook=before, post_hook=after, tool_hooks=[inner])
    def add(a: int, b: int = 1) -> int:
        return a + b

    agent = Agent(ScriptedModel([call("add", a=1), "ok"]), name="calc", tools=[add], tool_hooks=[outer])
    run = agent.run("x")
    assert run.tools[0].value == 22
    assert run.session_state == {"seen": {"a": 1, "b": 10}}
    assert seen == [("before", {"a": 1}, "calc"), ("outer", "add", False), ("after", "22")]


def test_a_hook_that_raises_keeps_the_tool_from_being_called() -> None:
    def forbid(fc: ToolCall) -> None:
        raise PermissionError(f"{fc.tool_name} is not allowed")

    @tool(pre_hook=forbid)
    def wipe() -> None:
        raise AssertionError("it was called")

    assert called(wipe).result == "PermissionError: t is not allowed"


class Shop(Toolkit):
    def __init__(self) -> None:
        super().__init__(tools=[self.price, self.stock])

    def price(self, item: str) -> float:
        """Say what an item costs."""
        return 2.5

    def stock(self, item: str) -> int:
        """Say how many there are."""
        return 3


class Plain:
    """As other libraries make them."""

    def __init__(self) -> None:
        self.functions = {"one": lambda_named("one")}


def test_toolkits_and_lists_of_tools() -> None:
    model = ScriptedModel([[call("price", item="tea"), call("one"), call("two")], "ok", "ok"])
    agent = Agent(model, tools=[Shop(), Plain(), [lambda_named("two")]])
    assert [each.value for each in agent.run("x").tools] == [2.5, "secret", "secret"]
    assert [spec.name for spec in model.requests[0].tools] == ["one", "price", "stock", "two"]


def test_a_method_is_made_a_tool_once() -> None:
    shop = Shop()
    agent = Agent(ScriptedModel(["a", "b"]), tools=[shop.price])
    agent.run("x")
    agent.tools = [shop.price]
    agent.run("x")
    assert len(agent._tool_cache) == 1


def test_events_of_a_shown_result_come_in_order() -> None:
    @tool(show_result=True)
    def table() -> str:
        return "T"

    agent = Agent(ScriptedModel([call("table"), "Done."]), tools=[table])
    events = [
        event.event
        for event in agent.run("x", stream=True, stream_events=True)
        if event.event in (RunEvent.tool_call_completed, RunEvent.run_content)
    ]
    assert events == [RunEvent.tool_call_completed, RunEvent.run_content, RunEvent.run_content]


def test_a_final_tool_beside_one_that_waits_ends_the_run_when_it_goes_on() -> None:
    @tool(stop_after_tool_call=True)
    def final() -> str:
        return "the end"

    @tool(requires_confirmation=True)
    def risky() -> str:
        return "done"

    agent = Agent(ScriptedModel([[call("final"), call("risky")]]), tools=[final, risky])
    paused = agent.run("x")
    assert (paused.is_paused, paused.content) == (True, None)
    paused.requirements[0].confirm()
    assert agent.continue_run(paused).content == "the end"
