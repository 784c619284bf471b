"""agno's functions and toolkits work as in agno."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from enum import Enum
from typing import Any

import pytest
from agno.agent import Agent as AgnoAgent
from agno.approval import approval
from agno.exceptions import RetryAgentRun, StopAgentRun
from agno.media import Audio as AgnoAudio, Image as AgnoImage
from agno.models.message import Message as AgnoMessage
from agno.run import RunContext
from agno.tools import Toolkit, tool
from agno.tools.calculator import CalculatorTools
from agno.tools.function import Function, FunctionCall, ToolResult
from agno.tools.mcp import MCPTools
from agno.tools.python import PythonTools
from agno.tools.reasoning import ReasoningTools
from agno.tools.user_control_flow import UserControlFlowTools
from agno.tools.user_feedback import UserFeedbackTools
from pydantic import BaseModel

from agno_nb import InMemoryDb
from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.media import Image
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, resolve_tools
from agno_nb.types import RunOutput, ToolCall
from agno_nb.workflow import Step, Workflow

GIF = b"GIF89a..."


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Point(BaseModel):
    x: float
    y: float = 0.0


def run_with(tools: Any, *replies: Any, **options: Any) -> RunOutput:
    return Agent(ScriptedModel([*replies, "Done."]), tools=tools, db=InMemoryDb()).run("Go", **options)


def result_of(tools: Any, request: Any, **options: Any) -> ToolCall:
    (made,) = run_with(tools, request, **options).tools or ()
    return made


def spec_of(value: Any) -> Any:
    (made,) = resolve_tools([value], tool_cache=[]).values()
    return made.spec


def test_a_toolkit_is_called() -> None:
    made = result_of([CalculatorTools()], call("factorial", n=5))
    assert (made.result, made.tool_call_error) == ('{"operation": "factorial", "result": 120}', False)


def test_members_of_a_team_and_steps_of_a_workflow_have_agnos_tools() -> None:
    member = Agent(ScriptedModel([call("add", a=1, b=2), "It is 3."]), name="adder", tools=[CalculatorTools()])
    leader = ScriptedModel([call("delegate_task_to_member", member_id="adder", task="Add."), "3"])
    run = Team([member], model=leader, name="team").run("Go")
    assert [each.tool_name for each in run.nested_runs[0].tools] == ["add"]
    step = Agent(ScriptedModel([call("add", a=1, b=2), "It is 3."]), name="adder", tools=[CalculatorTools()])
    assert Workflow(steps=[Step(agent=step, name="add")], name="flow").run("Go").content == "It is 3."


@pytest.mark.parametrize(
    ("setting", "listed", "kind"),
    [
        ("requires_confirmation", "requires_confirmation_tools", "confirmation"),
        ("external_execution", "external_execution_required_tools", "external_execution"),
    ],
)
def test_calls_that_need_a_person_pause_the_run(setting: str, listed: str, kind: str) -> None:
    @tool(**{setting: True})
    def wipe(disk: str) -> str:
        """Wipe a disk."""
        return f"wiped {disk}"

    request = call("wipe", disk="a")
    toolkits = [Toolkit(tools=[wipe]), Toolkit(tools=[wipe.entrypoint], **{listed: ["wipe"]})]
    late = Toolkit(tools=[wipe.entrypoint])
    setattr(late, listed, ["wipe"])
    for tools in ([wipe], *([each] for each in toolkits), [late]):
        run = Agent(ScriptedModel([request]), tools=tools).run("Go")
        assert [(each.kind, each.tool.tool_name) for each in run.active_requirements] == [(kind, "wipe")]


def test_settings_that_change_between_runs_apply() -> None:
    @tool
    def wipe() -> str:
        """Wipe."""
        return "wiped"

    agent = Agent(ScriptedModel([call("wipe"), "Done.", call("wipe")]), tools=[wipe])
    assert agent.run("Go").content == "Done."
    wipe.requires_confirmation = True
    assert agent.run("Go").is_paused


def test_a_person_provides_the_fields_of_user_input() -> None:
    @tool(requires_user_input=True, user_input_fields=["address"])
    def send(subject: str, address: str) -> str:
        """Send a mail.

        Args:
            subject (str): What it is about.
            address (str): Where to send it.
        """
        return f"{subject} to {address}"

    described = spec_of(send).parameters
    assert [*described["properties"]] == described["required"] == ["subject"]
    agent = Agent(ScriptedModel([call("send", subject="Hi"), "Sent."]), tools=[send], db=InMemoryDb())
    run = agent.run("Go")
    (field,) = run.tools_requiring_user_input[0].user_input_schema
    assert (field.name, field.description) == ("address", "Where to send it.")
    field.value = "ada@example.org"
    assert agent.continue_run(run).tools[0].result == "Hi to ada@example.org"


@pytest.mark.parametrize("decorates", ["function", "tool"])
def test_agnos_decorator_for_approval_applies(decorates: str) -> None:
    def wipe() -> str:
        """Wipe."""
        raise AssertionError

    made: Any = approval(wipe) if decorates == "function" else tool(approval(wipe))
    assert Agent(ScriptedModel([call("wipe")]), tools=[made]).run("Go").is_paused


def test_a_function_without_an_entrypoint_is_executed_by_a_person() -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    made = Function(name="weather", description="Look.", parameters=parameters, external_execution=True)
    assert spec_of(made).parameters == parameters
    agent = Agent(ScriptedModel([call("weather", city="Bonn"), "Sun."]), tools=[made], db=InMemoryDb())
    run = agent.run("Go")
    run.tools_awaiting_external_execution[0].result = "sun"
    assert agent.continue_run(run).content == "Sun."
    with pytest.raises(InvalidInputError, match="'weather' has no entrypoint and therefore cannot be called; set its"):
        spec_of(Function(name="weather", parameters=parameters))


def test_a_result_ends_the_run_or_is_shown() -> None:
    @tool(stop_after_tool_call=True)
    def stop() -> str:
        """Stop."""
        return "the end"

    @tool(show_result=True)
    def show() -> str:
        """Show."""
        return "a table"

    assert run_with([stop], call("stop")).content == "the end"
    assert run_with([show], call("show")).content == "a table\n\nDone."
    assert run_with([Toolkit(tools=[show.entrypoint], stop_after_tool_call_tools=["show"])], call("show")).content == (
        "a table"
    )


def test_hooks_run_around_the_function() -> None:
    events: list[Any] = []

    def before(fc: FunctionCall, run_context: RunContext) -> None:
        events.append(("before", fc.function.name, fc.arguments, run_context.session_id))

    def after(fc: FunctionCall) -> None:
        events.append(("after", fc.result, fc.error))

    def around(function_name: str, function_call: Any, arguments: dict[str, Any], agent: Any) -> Any:
        events.append(("around", function_name, agent.name))
        return function_call(**{**arguments, "number": 21}) + "!"

    @tool(pre_hook=before, post_hook=after, tool_hooks=[around])
    def double(number: int) -> str:
        """Double."""
        return str(2 * number)

    agent = Agent(ScriptedModel([call("double", number=1), "Done."]), name="ada", tools=[double])
    assert agent.run("Go", session_id="s").tools[0].result == "42!"
    assert events == [
        ("before", "double", {"number": 1}, "s"),
        ("around", "double", "ada"),
        ("after", "42!", None),
    ]


def test_results_are_cached() -> None:
    calls: list[int] = []

    @tool(cache_results=True)
    def double(number: int) -> int:
        """Double."""
        calls.append(number)
        return 2 * number

    agent = Agent(ScriptedModel([call("double", number=2), "Done."] * 2), tools=[double])
    assert [agent.run("Go").tools[0].result for _ in range(2)] == ["4", "4"]
    assert calls == [2]


@tool(cache_results=True)
def counted_calls(number: int) -> int:
    """Count calls."""
    CALLS.append(number)
    return len(CALLS)


CALLS: list[int] = []


def test_results_are_cached_in_a_directory(tmp_path: Any) -> None:
    counted_calls.cache_dir = str(tmp_path)
    for _ in range(2):
        # As in another process, which has another agent.
        assert result_of([counted_calls], call("counted_calls", number=2)).value == 1
    assert CALLS == [2]
    assert len([*tmp_path.glob("*.json")]) == 1


def test_instructions_are_added_to_the_system_prompt() -> None:
    @tool(instructions="Look first.")
    def look() -> str:
        """Look."""
        return ""

    @tool(instructions="Never.", add_instructions=False)
    def leap() -> str:
        """Leap."""
        return ""

    kit = Toolkit(tools=[leap], instructions="Of the kit.", add_instructions=True)
    silent = Toolkit(name="silent", instructions="Unsaid.")
    run = run_with([look, kit, silent], "Hi.")
    prompt = str(run.messages[0].content)
    assert run.messages[0].role == "system"
    assert [text in prompt for text in ("Look first.", "Of the kit.", "Never.", "Unsaid.")] == [
        True,
        True,
        False,
        False,
    ]


def test_arguments_have_the_types_of_the_hints() -> None:
    class Kit(Toolkit):
        def __init__(self) -> None:
            super().__init__(name="kit", tools=[self.draw])

        @tool
        def draw(self, size: Size, at: Point, note: str | None = None, run_context: RunContext | None = None) -> str:
            """Draw."""
            return f"{size!r} {at!r} {note!r} {type(run_context).__name__}"

    made = result_of([Kit()], call("draw", size=2, at={"x": 1}, note=None))
    assert made.result == "<Size.LARGE: 2> Point(x=1.0, y=0.0) None RunContext"
    # agno calls the numbers of the enum strings.
    assert spec_of(Kit()).parameters["properties"]["size"] == {"$ref": "#/$defs/Size"}
    wrong = result_of([Kit()], call("draw", size=3, at={}))
    assert (wrong.result or "").startswith("draw does not take these arguments:\n- size: ")


def test_agnos_own_objects_are_injected() -> None:
    seen: dict[str, Any] = {}

    @tool
    def look(
        number: int,
        run_context: RunContext,
        fc: FunctionCall,
        ctx: RunContext,
        images: list[AgnoImage] | None = None,
    ) -> str:
        """Look."""
        run_context.session_state["count"] = run_context.session_state.get("count", 0) + number
        seen.update(run_context=run_context, fc=fc, ctx=ctx, images=images)
        return "seen"

    assert [*spec_of(look).parameters["properties"]] == ["number"]
    agent = Agent(ScriptedModel([call("look", number=2), "Done."]), tools=[look], db=InMemoryDb())
    run = agent.run(
        "Go", session_id="s", user_id="ada", dependencies={"key": 1}, metadata={"m": 1}, images=[Image(content=GIF)]
    )
    assert (run.tools[0].result, run.session_state) == ("seen", {"count": 2})
    context = seen["run_context"]
    assert seen["ctx"] is context
    assert (type(context), context.run_id, context.session_id, context.user_id) == (RunContext, run.run_id, "s", "ada")
    assert (context.dependencies, context.metadata) == ({"key": 1}, {"m": 1})
    assert (seen["fc"].function, seen["fc"].arguments) == (look, {"number": 2})
    assert [(type(each), each.content, each.mime_type) for each in seen["images"]] == [(AgnoImage, GIF, "image/gif")]


def test_our_agent_and_team_are_injected_by_name_or_type() -> None:
    def names(agent: AgnoAgent, owner: AgnoAgent, team: Any, session_state: dict[str, Any]) -> list[Any]:
        """Name them."""
        session_state["x"] = 1
        return [agent.name, owner.name, team]

    made = Function(name="names", entrypoint=names)
    assert spec_of(made).parameters["properties"] == {}
    run = Agent(ScriptedModel([call("names"), "Done."]), name="ada", tools=[made]).run("Go", session_state={"x": 0})
    assert (run.tools[0].value, run.session_state) == (["ada", "ada", None], {"x": 1})


def test_a_session_state_that_a_tool_replaces_is_stored() -> None:
    @tool
    def replace(run_context: RunContext) -> str:
        """Replace."""
        run_context.session_state = {"new": True}
        return "ok"

    assert run_with([replace], call("replace"), session_state={"old": True}).session_state == {"new": True}


def test_reasoning_tools_keep_their_thoughts_in_the_session_state() -> None:
    run = run_with([ReasoningTools()], call("think", title="Plan", thought="Look first."))
    assert run.tools[0].tool_call_error is False
    assert "Look first." in str(run.session_state)


def test_async_functions_replace_sync_ones_and_run_on_the_event_loop() -> None:
    class Kit(Toolkit):
        def __init__(self) -> None:
            super().__init__(name="kit", tools=[self.where], async_tools=[(self.awhere, "where")])

        def where(self) -> str:
            """Tell."""
            raise AssertionError

        async def awhere(self, run_context: RunContext) -> str:
            """Tell."""
            await asyncio.sleep(0)
            run_context.session_state["thread"] = threading.current_thread().name
            return "loop"

    run = run_with([Kit()], call("where"))
    assert run.tools[0].result == "loop"
    assert "agno_nb" in run.session_state["thread"]


def test_generators_are_taken_to_their_end() -> None:
    @tool
    def words() -> Iterator[str]:
        """Speak."""
        yield "one "
        yield "two"

    @tool
    async def later() -> AsyncIterator[str]:
        """Speak later."""
        yield "three "
        yield "four"

    run = run_with([words, later], [call("words"), call("later")])
    assert [each.result for each in run.tools] == ["one two", "three four"]


def test_results_with_media() -> None:
    @tool
    def photo() -> ToolResult:
        """Take a photo."""
        return ToolResult(
            content="Here.",
            images=[AgnoImage(content=GIF, mime_type="image/gif")],
            audios=[AgnoAudio(content=b"ID3...", mime_type="audio/mpeg")],
            metadata={"iso": 100},
        )

    run = run_with([photo], call("photo"))
    (made,) = run.tools
    assert made.result == "Here.\nThe result has 1 image.\nThe result has 1 audio recording."
    assert [each.content for each in run.audio] == [b"ID3..."]
    assert (made.artifact, made.value.images) == ({"iso": 100}, [Image(content=GIF, mime_type="image/gif")])


def test_plain_functions_may_return_agnos_media() -> None:
    def photo() -> AgnoImage:
        """Take a photo."""
        return AgnoImage(content=GIF, mime_type="image/gif")

    assert result_of([photo], call("photo")).value == Image(content=GIF, mime_type="image/gif")


def test_agnos_exceptions_decide_how_the_run_continues() -> None:
    @tool
    def buy() -> str:
        """Buy."""
        raise RetryAgentRun("Too dear.", user_message=AgnoMessage(role="user", content="Offer less."))

    def leave() -> str:
        """Leave."""
        raise StopAgentRun("The end.")

    run = run_with([buy], call("buy"))
    assert [(each.role, each.content) for each in run.messages[-3:]] == [
        ("tool", "Too dear."),
        ("user", "Offer less."),
        ("assistant", "Done."),
    ]
    assert run_with([leave], call("leave")).content == "The end."


def test_a_schema_given_by_hand_is_sent_as_it_is() -> None:
    parameters = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}

    def any_of(**arguments: Any) -> Any:
        return arguments

    made = Function(name="any_of", parameters=parameters, entrypoint=any_of, skip_entrypoint_processing=True)
    assert spec_of(made).parameters == parameters
    assert result_of([made], call("any_of", n=2)).value == {"n": 2}
    assert result_of([made], call("any_of", n=0)).tool_call_error


def test_functions_that_agno_cannot_describe_are_described_by_their_hints() -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    made = Function(name="add", entrypoint=functools.partial(add, b=2))
    assert (spec_of(made).description, [*spec_of(made).parameters["properties"]]) == ("Add.", ["a"])
    assert result_of([made], call("add", a=40)).value == 42


def test_a_function_with_only_variadic_parameters_takes_any_arguments() -> None:
    @tool
    def collect(run_context: RunContext, **values: Any) -> Any:
        """Collect."""
        return values

    assert spec_of(collect).parameters["properties"] == {}
    assert result_of([collect], call("collect", a=1, b=[2])).value == {"a": 1, "b": [2]}


def test_strict_functions_require_all_parameters() -> None:
    @tool(strict=True)
    def draw(size: int, note: str = "") -> str:
        """Draw."""
        return note

    assert spec_of(draw).parameters["required"] == ["size", "note"]
    assert spec_of(draw).parameters["additionalProperties"] is False


class Database(Toolkit):
    _requires_connect = True

    def __init__(self, *, failing: str = "") -> None:
        self.events: list[str] = []
        self.failing = failing
        super().__init__(name="database", tools=[self.query])

    def connect(self) -> None:
        self._note("connect")

    def close(self) -> None:
        self._note("close")

    def query(self) -> str:
        """Query."""
        self._note("query")
        return "rows"

    def _note(self, event: str) -> None:
        self.events.append(event)
        if event == self.failing:
            raise OSError("no route")


def test_a_toolkit_is_connected_while_runs_use_it() -> None:
    kit = Database()
    agent = Agent(ScriptedModel([call("query"), "Done."] * 2), tools=[[kit]])
    agent.run("Go")
    agent.run("Go")
    assert kit.events == ["connect", "query", "close"] * 2


async def test_runs_at_the_same_time_share_a_connection() -> None:
    kit = Database()
    both = asyncio.Barrier(2)

    async def meet() -> str:
        """Meet."""
        await both.wait()
        return "met"

    agents = [Agent(ScriptedModel([call("meet"), "Done."]), tools=[kit, meet]) for _ in range(2)]
    await asyncio.gather(*(agent.arun("Go") for agent in agents))
    assert kit.events == ["connect", "close"]


def test_a_toolkit_that_cannot_be_connected_or_closed() -> None:
    kit = Database(failing="connect")
    with pytest.raises(RunError, match="toolkit 'database' could not connect: OSError: no route"):
        Agent(ScriptedModel(["Done."]), tools=[kit]).run("Go")
    assert kit.events == ["connect"]
    with pytest.warns(UserWarning, match="toolkit 'database' could not be closed: OSError: no route"):
        run = Agent(ScriptedModel(["Done."]), tools=[Database(failing="close")]).run("Go")
    assert run.content == "Done."


def test_the_model_asks_the_user_with_agnos_toolkits() -> None:
    fields = [{"field_name": "age", "field_type": "int", "field_description": "In years."}]
    agent = Agent(
        ScriptedModel([call("get_user_input", user_input_fields=fields), "Done."]),
        tools=[UserControlFlowTools()],
        db=InMemoryDb(),
    )
    run = agent.run("Go")
    (field,) = run.tools_requiring_user_input[0].user_input_schema
    assert (field.name, field.schema) == ("age", {"type": "integer"})
    field.value = 36
    assert agent.continue_run(run).tools[0].result == '{"age": 36}'
    options = [{"label": "Tea", "description": "Hot."}, {"label": "Juice", "description": "Cold."}]
    question = {"question": "What?", "header": "Drink", "options": options}
    asked = Agent(ScriptedModel([call("ask_user", questions=[question])]), tools=[UserFeedbackTools()]).run("Go")
    assert asked.is_paused


def test_a_tool_is_wrapped_with_settings_of_ours() -> None:
    @tool
    def wipe() -> str:
        """Wipe."""
        raise AssertionError

    made = Tool(wipe, requires_confirmation=True, name="clear")
    assert (made.name, made.description, made.approval_kind) == ("clear", "Wipe.", "confirmation")


def test_the_same_function_twice_is_one_tool() -> None:
    kit = CalculatorTools()
    cache: list[Tool] = []
    first = resolve_tools([kit, [kit]], tool_cache=cache)
    assert len(cache) == len(first) == 8
    assert resolve_tools([kit], tool_cache=cache) == first


def test_names_that_providers_reject_are_changed() -> None:
    made = Function(name="read file!", entrypoint=lambda: "", description="Read.")
    assert [*resolve_tools([made], tool_cache=[])] == ["read_file"]


def test_python_tools_run_code(tmp_path: Any) -> None:
    request = call("run_python_code", code="x = 6 * 7", variable_to_return="x")
    assert result_of([PythonTools(base_dir=tmp_path)], request).result == "42"


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (AgnoAgent(name="a"), "pass a function that calls its run"),
        (MCPTools("uvx a-server"), "pass MCPTools(...) of agno_nb.tools.mcp"),
    ],
    ids=["agent", "MCP"],
)
def test_other_objects_of_agno_are_refused(value: Any, remedy: str) -> None:
    with pytest.raises(InvalidInputError, match=r"^a tool must be a function, not .* of type agno\.") as caught:
        resolve_tools([value], tool_cache=[])
    assert remedy in str(caught.value)
