"""LangChain's tools and toolkits work as in LangChain."""

from __future__ import annotations

import base64
import linecache
import threading
from typing import Annotated, Any

import pandas as pd
import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import (
    BaseTool,
    BaseToolkit,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool as SimpleTool,
    ToolException,
    tool,
)
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from agno_nb import InMemoryDb, SqliteDb
from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.media import Image
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Tool, ToolResult, resolve_tools
from agno_nb.types import RunOutput, ToolCall

GIF = b"GIF89a..."


class InjectedState(InjectedToolArg):
    """As in langgraph."""

    def __init__(self, field: str | None = None) -> None:
        self.field = field


class Place(BaseModel):
    """A place."""

    city: str = Field(description="Name of the city.")
    zip: int | None = None


class Trip(BaseModel):
    to: Place
    days: int = Field(default=1, ge=1)


@tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@tool(parse_docstring=True)
def greet(name: str) -> str:
    """Greet somebody.

    Args:
        name: Who is greeted.
    """
    return f"Hello, {name}."


@tool(args_schema=Trip)
def book(to: Place, days: int) -> str:
    """Book a trip."""
    return f"{type(to).__name__} {to.city} {days}"


@tool(args_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
def double(n: int) -> int:
    """Double a number."""
    return 2 * n


class Length(BaseTool):
    name: str = "length"
    description: str = "Count letters."

    def _run(self, word: str) -> int:
        return len(word)


class Later(BaseTool):
    name: str = "later"
    description: str = "Answer later."

    def _run(self, word: str) -> str:
        raise AssertionError

    async def _arun(self, word: str) -> str:
        return f"{word} on {threading.current_thread().name}"


@tool
async def shout(text: str) -> str:
    """Shout."""
    return text.upper()


def run_with(tools: Any, *replies: Any, **options: Any) -> RunOutput:
    return Agent(ScriptedModel([*replies, "Done."]), tools=tools, db=InMemoryDb()).run("Go", **options)


def result_of(tools: Any, request: Any, **options: Any) -> ToolCall:
    (made,) = run_with(tools, request, **options).tools
    return made


@pytest.mark.parametrize("source", [add, greet, book, double, Length(), shout], ids=lambda each: each.name)
def test_a_tool_is_described_as_in_langchain(source: BaseTool) -> None:
    (made,) = resolve_tools([source], tool_cache=[]).values()
    theirs = convert_to_openai_tool(source)["function"]
    assert (made.spec.name, made.spec.description) == (theirs["name"], theirs["description"])
    parameters = dict(made.spec.parameters)
    if "$defs" in parameters:  # LangChain writes each definition where it is used.
        assert parameters.pop("$defs")["Place"]["properties"]["city"]["description"] == "Name of the city."
        assert parameters["properties"]["to"] == {"$ref": "#/$defs/Place"}
        parameters["properties"] = {**parameters["properties"], "to": theirs["parameters"]["properties"]["to"]}
    assert parameters == {"required": [], **theirs["parameters"]}


@pytest.mark.parametrize(
    ("source", "arguments", "value"),
    [
        (add, {"a": 40}, 42),
        (add, {"a": "40", "b": None}, 42),
        (greet, {"name": "Ada"}, "Hello, Ada."),
        (book, {"to": {"city": "Bonn"}}, "Place Bonn 1"),
        (double, {"n": 21}, 42),
        (Length(), {"word": "tea"}, 3),
        (shout, {"text": "hi"}, "HI"),
        (StructuredTool.from_function(coroutine=shout.coroutine, name="aloud", description="d"), {"text": "a"}, "A"),
        (SimpleTool(name="upper", func=str.upper, description="Write in capitals."), {"tool_input": "hi"}, "HI"),
    ],
    ids=["sync", "repaired", "docstring", "model", "dict", "class", "async", "coroutine", "one string"],
)
def test_a_tool_is_called(source: BaseTool, arguments: dict[str, Any], value: Any) -> None:
    made = result_of([source], call(source.name, **arguments))
    assert (made.value, made.tool_call_error) == (str(value) if made.result == made.value else value, False)
    assert made.result == str(value)


def test_async_tools_run_on_the_event_loop() -> None:
    assert "agno_nb" in (result_of([Later()], call("later", word="tea")).result or "")


@pytest.mark.parametrize(
    ("source", "arguments", "reason"),
    [
        (add, {"a": "x"}, "- a: Input should be a valid integer"),
        (add, {}, "- a: Field required"),
        (book, {"to": {"city": "Bonn"}, "days": 0}, "- days: Input should be greater than or equal to 1"),
        (double, {"n": "x"}, "- n: 'x' is not of type 'integer'"),
    ],
    ids=["type", "missing", "constraint", "dict"],
)
def test_invalid_arguments_are_explained_to_the_model(source: BaseTool, arguments: dict[str, Any], reason: str) -> None:
    made = result_of([source], call(source.name, **arguments))
    assert made.tool_call_error
    assert (made.result or "").startswith(f"{source.name} does not take these arguments:\n{reason}")


def test_the_artifact_is_stored_and_the_content_is_sent() -> None:
    @tool(response_format="content_and_artifact")
    def find(word: str) -> tuple[str, dict[str, Any]]:
        """Find documents."""
        return "2 documents", {"ids": [1, 2]}

    agent = Agent(ScriptedModel([call("find", word="tea"), "Done."]), tools=[find], db=SqliteDb("runs.db"))
    run = agent.run("Go", session_id="s")
    (made,) = run.tools
    assert (made.result, made.artifact) == ("2 documents", {"ids": [1, 2]})
    assert made.value == ToolResult("2 documents", images=[], artifact={"ids": [1, 2]})
    assert [each.content for each in run.messages if each.role == "tool"] == ["2 documents"]
    stored = SqliteDb("runs.db").get_session("s")
    assert stored is not None
    assert [each.artifact for each in stored.runs[0].tools] == [{"ids": [1, 2]}]


def test_an_artifact_that_json_cannot_hold_is_a_part_of_the_value() -> None:
    artifact = pd.DataFrame({"a": [1]})

    @tool(response_format="content_and_artifact")
    def find() -> tuple[str, Any]:
        """Find it."""
        return "found", artifact

    made = result_of([find], call("find"))
    assert made.artifact is None
    assert made.value.artifact is artifact
    assert repr(made.value) == "ToolResult(content='found', artifact=   a\n0  1)"


def test_images_among_content_blocks_are_images_of_the_result() -> None:
    data = base64.b64encode(GIF).decode()

    @tool
    def photo() -> list[Any]:
        """Take a photo."""
        blocks = [{"type": "text", "text": "Here."}, {"type": "image", "base64": data, "mime_type": "image/gif"}]
        return [*blocks, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]

    made = result_of([photo], call("photo"))
    assert made.value.content == "Here."
    assert made.value.images == [
        Image(content=GIF, mime_type="image/gif"),
        Image(url="https://example.org/a.png"),
    ]


def test_a_direct_result_is_the_answer() -> None:
    @tool(return_direct=True)
    def look() -> str:
        """Look."""
        return "a lake"

    assert run_with([look], call("look")).content == "a lake"


@pytest.mark.parametrize(
    ("handler", "result"),
    [
        (False, "ToolException: too deep"),
        (True, "too deep"),
        ("Try a pond.", "Try a pond."),
        (lambda error: f"{error}!", "too deep!"),
    ],
    ids=["none", "true", "text", "function"],
)
def test_errors_of_tools_are_results(handler: Any, result: str) -> None:
    @tool
    def dive() -> str:
        """Dive."""
        raise ToolException("too deep")

    dive.handle_tool_error = handler
    made = result_of([dive], call("dive"))
    assert (made.result, made.tool_call_error) == (result, True)


def test_langchain_explains_invalid_arguments_if_it_is_told_to() -> None:
    @tool
    def dive(depth: int) -> str:
        """Dive."""
        raise AssertionError

    dive.handle_validation_error = "Give a number."
    made = result_of([dive], call("dive", depth="deep"))
    assert (made.result, made.tool_call_error) == ("Give a number.", True)


def test_hidden_parameters_are_injected() -> None:
    @tool
    def look(
        n: int,
        config: RunnableConfig,
        key: Annotated[str, InjectedToolArg],
        user_id: Annotated[str, InjectedToolArg],
        session_state: Annotated[dict[str, Any], InjectedToolArg],
        call_id: Annotated[str, InjectedToolCallId],
        other: Annotated[str, InjectedToolArg] = "default",
    ) -> list[Any]:
        """Look."""
        return [n, config["configurable"]["thread_id"], key, user_id, session_state, bool(call_id), other]

    (made,) = resolve_tools([look], tool_cache=[]).values()
    assert made.spec.parameters["properties"] == {"n": {"type": "integer"}}
    request = call("look", n=1)
    options = {"session_id": "s", "user_id": "ada", "session_state": {"a": 1}}
    done = result_of([look], request, dependencies={"key": "k"}, **options)
    assert done.value == '[1, "s", "k", "ada", {"a": 1}, true, "default"]'
    missing = result_of([look], request, **options)
    assert missing.result == (
        "InvalidInputError: parameter 'key' of tool 'look' is hidden from the model; pass its value with "
        "dependencies={'key': ...} of the agent or the run"
    )


def test_the_model_fills_in_parameters_with_names_of_ours() -> None:
    @tool
    def play(team: str, run_context: int, fc: str) -> str:
        """Play."""
        return f"{team} {run_context} {fc}"

    assert result_of([play], call("play", team="Bonn", run_context=1, fc="Köln")).result == "Bonn 1 Köln"


def test_the_state_of_langgraph_is_the_session_state() -> None:
    @tool
    def look(state: Annotated[dict[str, Any], InjectedState], count: Annotated[int, InjectedState("count")]) -> str:
        """Look."""
        return f"{state} {count}"

    assert result_of([look], call("look"), session_state={"count": 3}).result == "{'count': 3} 3"


def test_a_model_cannot_set_a_hidden_parameter() -> None:
    @tool
    def look(user: Annotated[str, InjectedToolArg] = "nobody") -> str:
        """Look."""
        return user

    assert result_of([look], call("look", user="root")).result == "nobody"


def test_tools_that_are_new_for_each_run_are_not_kept() -> None:
    class Kit(BaseToolkit):
        def get_tools(self) -> list[BaseTool]:
            return [StructuredTool.from_function(lambda: "", name=f"t{i}", description="d") for i in range(100)]

    cache: list[Tool] = []
    for _ in range(7):
        assert len(resolve_tools([Kit()], tool_cache=cache)) == 100
    assert len(cache) == 500


def test_values_that_a_store_cannot_hold_are_not_stored() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]

    def look() -> ToolResult:
        """Look."""
        return ToolResult("deep", artifact=deep)

    made = result_of([look], call("look"))
    assert (made.result, made.artifact, made.value.artifact is deep) == ("deep", None, True)


def test_a_toolkit_offers_its_tools() -> None:
    requested: list[str] = []

    class Kit(BaseToolkit):
        def get_tools(self) -> list[BaseTool]:
            requested.append("tools")
            return [add, Length()]

    assert run_with([[Kit()]], [call("add", a=1), call("length", word="tea")]).content == "Done."
    # Once for the run: it may take a while.
    assert requested == ["tools"]


def test_a_parameter_that_no_model_can_fill_is_an_error() -> None:
    def hold(lock: threading.Thread) -> str:
        """Hold a lock."""
        raise AssertionError

    with pytest.raises(InvalidInputError, match="tool 'hold' has a parameter of a type that a model cannot fill"):
        resolve_tools([StructuredTool.from_function(hold)], tool_cache=[])


def test_an_answer_is_cached_until_the_source_of_a_tool_changes() -> None:
    sources = [
        "def price() -> str:\n    'Look.'\n    return '2'\n",
        "def price() -> str:\n    'Look.'\n    return '3'\n",
    ]
    db = InMemoryDb()
    model = ScriptedModel([call("price"), "It costs 2.", call("price"), "It costs 3."])
    answers = []
    for index in (0, 0, 1):
        names: dict[str, Any] = {}
        code = compile(sources[index], f"<price {index}>", "exec")
        linecache.cache[f"<price {index}>"] = (len(sources[index]), None, sources[index].splitlines(True), "")
        exec(code, names)
        agent = Agent(model, tools=[StructuredTool.from_function(names["price"])], db=db)
        answers.append(agent.run("Go", cache=True, session_id=f"s{len(answers)}").content)
    assert answers == ["It costs 2.", "It costs 2.", "It costs 3."]


def test_a_tool_is_wrapped_with_settings_of_ours() -> None:
    made = Tool(add, requires_confirmation=True)
    assert (made.name, made.description, made.approval_kind) == ("add", "Add two numbers.", "confirmation")
    agent = Agent(ScriptedModel([call("add", a=1), "Done."]), tools=[made], db=InMemoryDb())
    run = agent.run("Go")
    run.tools_requiring_confirmation[0].confirmed = True
    assert agent.continue_run(run).tools[0].result == "3"
    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 5}}, "required": ["a"]}
    limited = Tool(add, json_schema=schema)
    assert limited.spec.parameters == schema
    assert result_of([limited], call("add", a=5)).result == "7"
    assert result_of([limited], call("add", a=6)).tool_call_error


def test_a_person_fills_in_an_argument() -> None:
    made = Tool(add, requires_user_input=True, user_input_fields=["b"])
    assert [*made.spec.parameters["properties"]] == ["a"]
    agent = Agent(ScriptedModel([call("add", a=1), "Done."]), tools=[made], db=InMemoryDb())
    run = agent.run("Go")
    run.tools_requiring_user_input[0].user_input_schema[0].value = 4
    assert agent.continue_run(run).tools[0].result == "5"


def test_a_runnable_is_not_a_tool() -> None:
    with pytest.raises(
        InvalidInputError, match=r"RunnableLambda; pass its `as_tool\(name=\.\.\., description=\.\.\.\)`"
    ):
        resolve_tools([RunnableLambda(len)], tool_cache=[])
