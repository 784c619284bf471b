"""Toolkits, and the settings and exceptions of tools, as agno has them."""

from __future__ import annotations

import pickle
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.exceptions import RetryAgentRun, StopAgentRun
from agno_nb.media import Image
from agno_nb.run import RunContext
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Function, FunctionCall, Tool, Toolkit, tool
from agno_nb.tools.result_cache import MISSING, ResultCache
from agno_nb.tools.toolkit import resolve_tools, tool_instructions

GIF = b"GIF89a..."


class Shop(Toolkit):
    def __init__(self, **settings: Any) -> None:
        super().__init__(name="shop", tools=[self.price, self.stock], **settings)
        self.opened = True

    def price(self, item: str) -> str:
        """Look up a price."""
        return f"{item}: 2"

    def stock(self, item: str) -> str:
        """Look up a stock."""
        return f"{item}: many"


def names(toolkit: Toolkit) -> list[str]:
    return [each.name for each in toolkit.tools]


def test_tools_are_included_and_excluded_by_name() -> None:
    assert names(Shop()) == ["price", "stock"]
    assert names(Shop(include_tools=["stock"])) == ["stock"]
    assert names(Shop(exclude_tools=["stock"])) == ["price"]
    assert names(Shop(include_tools=[])) == ["price", "stock"]
    assert names(Shop(auto_register=False)) == []


@pytest.mark.parametrize(
    ("argument", "setting"),
    [
        ("requires_confirmation_tools", "requires_confirmation"),
        ("external_execution_required_tools", "external_execution"),
        ("stop_after_tool_call_tools", "stop_after_tool_call"),
        ("show_result_tools", "show_result"),
    ],
)
def test_settings_of_tools_by_name(argument: str, setting: str) -> None:
    price, stock = Shop(**{argument: ["price"]}).tools
    assert (getattr(price, setting), bool(getattr(stock, setting))) == (True, False)
    with pytest.raises(InvalidInputError, match=f"toolkit 'shop' has no tool 'prise' for {argument}: did you mean"):
        _ = Shop(**{argument: ["prise"]}).tools


def test_a_call_that_a_toolkit_wants_confirmed_pauses_the_run() -> None:
    model = ScriptedModel([call("price", item="tea"), "It costs 2."])
    agent = Agent(model, tools=[Shop(requires_confirmation_tools=["price"])])
    run = agent.run("x")
    assert run.is_paused
    run.tools_requiring_confirmation[0].confirmed = True
    assert agent.continue_run(run).content == "It costs 2."
    assert run.tools[0].result == "tea: 2"


def test_settings_of_another_packages_toolkit_apply() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.tools = [self.open_door, self.ring]
            self.requires_confirmation_tools = ["open_door"]
            self.exclude_tools = ["ring"]

        def open_door(self) -> str:
            """Open the door."""
            raise AssertionError

        def ring(self) -> str:
            """Ring."""
            raise AssertionError

    run = Agent(ScriptedModel([call("open_door")]), tools=[Foreign()]).run("Hi")
    assert [(each.kind, each.tool.tool_name) for each in run.active_requirements] == [("confirmation", "open_door")]
    assert [*resolve_tools([Foreign()], tool_cache=[])] == ["open_door"]


def open_door() -> str:
    """Open the door."""
    raise AssertionError


@pytest.mark.parametrize(
    "holder", [{"tools": [open_door]}, {"functions": {"open_door": open_door}}], ids=["list", "dict"]
)
@pytest.mark.parametrize(
    "names",
    [["open_door"], ("open_door",), {"open_door"}, "open_door", {"open_door": 1}],
    ids=["list", "tuple", "set", "str", "dict"],
)
def test_approvals_of_another_packages_toolkit_apply_however_they_are_listed(holder: Any, names: Any) -> None:
    kit = SimpleNamespace(**holder, requires_confirmation_tools=names)
    assert Agent(ScriptedModel([call("open_door")]), tools=[kit]).run("Hi").is_paused


def test_approvals_that_a_toolkit_gets_later_apply() -> None:
    kit: Any = Toolkit(tools=[open_door])
    kit.external_execution_required_tools = ["open_door"]
    assert Agent(ScriptedModel([call("open_door")]), tools=[kit]).run("Hi").is_paused


def test_tools_are_registered_later_and_under_another_name() -> None:
    class Lamp(Toolkit):
        def __init__(self) -> None:
            self.timeout = 3
            super().__init__(requires_confirmation_tools=["switch"])
            self.register(self.toggle, name="switch")

        def toggle(self) -> str:
            """Toggle the lamp."""
            return type(self).__name__

        @tool(description="Dim it.")
        def dim(self, percent: int) -> str:
            return f"{type(self).__name__} at {percent}"

    lamp = Lamp()
    lamp.register(lamp.dim)
    assert (lamp.name, lamp.id, lamp.timeout) == ("Lamp", "lamp", 3)
    assert [(each.name, each.description, each.requires_confirmation) for each in lamp.tools] == [
        ("switch", "Toggle the lamp.", True),
        ("dim", "Dim it.", False),
    ]
    assert lamp.functions["dim"].spec.parameters["required"] == ["percent"]
    agent = Agent(ScriptedModel([call("dim", percent=5), "ok"]), tools=[lamp])
    assert agent.run("x").tools[0].result == "Lamp at 5"
    shop = Shop()
    shop.tools = [lamp.functions["dim"]]
    assert names(shop) == ["dim"]


def test_async_tools_replace_those_of_the_same_name() -> None:
    async def aprice(item: str) -> str:
        """Look it up, awaited."""
        return f"{item}: 3"

    toolkit = Shop(async_tools=[(aprice, "price")])
    agent = Agent(ScriptedModel([call("price", item="tea"), "ok"]), tools=[toolkit])
    assert names(toolkit) == ["price", "stock"]
    assert agent.run("x").tools[0].result == "tea: 3"


def test_instructions_of_toolkits_and_tools_are_found() -> None:
    @tool(instructions="Only once.")
    def ring() -> None:
        """Ring."""

    @tool(instructions="Never seen.", add_instructions=False)
    def hide() -> None:
        """Hide."""

    shop = Shop(instructions="Prices are in euros.", add_instructions=True)
    assert tool_instructions([shop, [ring, hide], Shop(instructions="Unused."), print]) == [
        "Prices are in euros.",
        "Only once.",
    ]


def test_instructions_of_tools_are_sent() -> None:
    model = ScriptedModel(["ok"])
    Agent(model, instructions="Be kind.", tools=[Shop(instructions="In euros.", add_instructions=True)]).run("x")
    assert model.requests[0].messages[0].content == "Be kind.\n\nIn euros."


def test_results_are_cached_for_equal_arguments() -> None:
    calls: list[str] = []

    def look(item: str) -> str:
        """Look it up."""
        calls.append(item)
        return f"{item}!"

    def run(kept: Tool) -> list[str | None]:
        replies = [[call("look", item="a"), call("look", item="b")], call("look", item="a"), "ok"]
        return [each.result for each in Agent(ScriptedModel(replies), tools=[kept]).run("x").tools]

    assert run(tool(cache_results=True)(look)) == ["a!", "b!", "a!"]
    assert sorted(calls) == ["a", "b"]
    calls.clear()
    assert run(tool(cache_results=True, cache_ttl=0)(look)) == ["a!", "b!", "a!"]
    assert sorted(calls) == ["a", "a", "b"]


def test_results_for_one_user_are_not_used_for_another() -> None:
    @tool(cache_results=True)
    def whose(run_context: RunContext) -> str:
        """Say whose it is."""
        return f"{run_context.user_id}'s"

    for user in ("ada", "ben"):
        agent = Agent(ScriptedModel([call("whose"), "ok"]), tools=[whose], user_id=user, session_id="s")
        assert agent.run("x").tools[0].result == f"{user}'s"


class Mail(Toolkit):
    def __init__(self, owner: str, **settings: Any) -> None:
        super().__init__(tools=[self.inbox], cache_results=True, **settings)
        self.owner, self.reads = owner, 0

    def inbox(self) -> str:
        """Read the mail."""
        self.reads += 1
        return f"for {self.owner}"


def test_results_of_methods_are_not_used_for_another_object(tmp_path: Path) -> None:
    kits = [Mail(owner, cache_dir=str(tmp_path)) for owner in ("ada", "bob", "ada")]
    for _ in range(2):
        runs = [Agent(ScriptedModel([call("inbox"), "ok"]), tools=[kit]).run("x") for kit in kits]
        assert [run.tools[0].result for run in runs] == ["for ada", "for bob", "for ada"]
    assert [kit.reads for kit in kits] == [1, 1, 1]
    assert [*tmp_path.glob("*.json")] == []


def reader_of(owner: str) -> Any:
    def inbox() -> str:
        """Read the mail."""
        return f"for {owner}"

    return inbox


def inbox_of(owner: str) -> str:
    """Read the mail."""
    return f"for {owner}"


@pytest.mark.parametrize("make", [reader_of, lambda owner: partial(inbox_of, owner)], ids=["local function", "partial"])
def test_results_of_a_function_with_values_of_its_own_are_not_used_for_another(tmp_path: Path, make: Any) -> None:
    for owner in ("ada", "bob"):
        inbox = tool(name="inbox", cache_results=True, cache_dir=str(tmp_path))(make(owner))
        run = Agent(ScriptedModel([call("inbox"), "ok"]), tools=[inbox]).run("x")
        assert run.tools[0].result == f"for {owner}"


EDITED = """
import edited
from agno_nb import Agent
from agno_nb.testing import ScriptedModel, call

agent = Agent(ScriptedModel([call("look", item="a"), "ok"]), tools=[edited.look])
print(agent.run("x").tools[0].result, edited.calls)
"""

EDITED_MODULE = """
from agno_nb.tools import tool
calls = []

@tool(cache_results=True, cache_dir={folder!r})
def look(item: str) -> str:
    calls.append(item)
    return item + {mark!r}
"""


def test_another_process_uses_the_files_until_the_function_is_edited(python: str, tmp_path: Path) -> None:
    lines = []
    for mark in ("!", "!", "?"):
        source = EDITED_MODULE.format(folder=str(tmp_path / "cache"), mark=mark)
        (tmp_path / "edited.py").write_text(source)
        done = subprocess.run(
            [python, "-B", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{EDITED}"],
            capture_output=True,
            text=True,
            check=False,
        )
        lines.append(done.stdout.strip() or done.stderr)
    assert lines == ["a! ['a']", "a! []", "a? ['a']"]


@tool(name="look", cache_results=True)
def look_here() -> str:
    return "here"


@tool(name="look", cache_results=True)
def look_there() -> str:
    return "there"


def test_tools_of_the_same_name_may_have_one_directory(tmp_path: Path) -> None:
    results = [
        Agent(ScriptedModel([call("look"), "ok"]), tools=[kept]).run("x").tools[0].result
        for kept in (replace(each, cache_dir=str(tmp_path)) for each in (look_here, look_there))
    ]
    assert (results, len([*tmp_path.glob("*.json")])) == (["here", "there"], 2)


def test_the_number_of_results_in_memory_is_limited() -> None:
    cache = ResultCache(inbox_of, 3600)
    for number in range(1_100):
        cache.put(str(number), number)
    cache.put("500", "again")
    assert [cache.get(key) for key in ("99", "101", "500", "1099")] == [MISSING, 101, "again", 1099]
    assert len(cache._entries) == 1_000


def test_expired_results_are_dropped_from_memory() -> None:
    cache = ResultCache(inbox_of, 0)
    for number in range(10):
        cache.put(str(number), number)
    assert [*cache._entries] == ["9"]


def test_a_function_whose_user_is_unknown_is_always_called() -> None:
    calls: list[int] = []

    @tool(cache_results=True)
    def count(session_state: dict[str, Any]) -> int:
        """Count."""
        calls.append(1)
        return len(calls)

    run = Agent(ScriptedModel([call("count"), call("count"), "ok"]), tools=[count]).run("x")
    assert [each.result for each in run.tools] == ["1", "2"]


def test_a_result_that_cannot_be_written_is_the_result_nevertheless(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")

    kept = replace(look_here, cache_dir=str(blocked / "cache"))
    with pytest.warns(UserWarning, match="cannot cache the result of a tool in .*; choose another cache_dir"):
        run = Agent(ScriptedModel([call("look"), "ok"]), tools=[kept]).run("x")
    assert [(each.result, each.tool_call_error) for each in run.tools] == [("here", False)]


def test_values_that_json_does_not_hold_are_not_cached() -> None:
    calls: list[int] = []

    @tool(cache_results=True)
    def pair() -> tuple[int, int]:
        """Return two."""
        calls.append(1)
        return 1, 2

    run = Agent(ScriptedModel([call("pair"), call("pair"), "ok"]), tools=[pair]).run("x")
    assert [each.value for each in run.tools] == [(1, 2), (1, 2)]
    assert len(calls) == 2


def test_a_function_is_described_by_a_schema() -> None:
    seen: list[dict[str, Any]] = []

    def record(session_state: dict[str, Any], **values: Any) -> str:
        seen.append(values)
        return "noted"

    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    weather = Function(name="weather", description="Note it.", entrypoint=record, parameters=schema)
    assert weather.entrypoint is record
    assert weather.spec.parameters == schema
    replies = [call("weather", city="Oslo", days=2), call("weather", days="two"), "ok"]
    run = Agent(ScriptedModel(replies), tools=[weather]).run("x")
    assert seen == [{"city": "Oslo", "days": 2}]
    assert [each.tool_call_error for each in run.tools] == [False, True]
    assert "'city' is a required property" in (run.tools[1].result or "")


def test_agnos_settings_and_defaults_are_accepted() -> None:
    @tool(name=None, requires_confirmation=None, strict=True, external_execution_silent=True, pre_hook=None)  # type: ignore[call-overload]
    def plain(x: int) -> int:
        """Return it."""
        return x

    made = Function.from_callable(plain.entrypoint, name="other", strict=False)
    assert (plain.name, plain.requires_confirmation, made.name) == ("plain", False, "other")
    assert resolve_tools([pickle.loads(pickle.dumps(Tool(divmod, "d", parameters={"properties": {}})))], tool_cache=[])


def test_a_hook_sees_the_function_and_its_arguments() -> None:
    seen: list[Any] = []

    def before(fc: FunctionCall, run_context: RunContext) -> None:
        seen.append((fc.function.name, fc.arguments, fc.get_call_str(), fc.error, run_context.run_id))

    def after(fc: FunctionCall) -> None:
        seen.append((fc.call_id, fc.tool_name, fc.result, fc.tool_args))

    @tool(pre_hook=before, post_hook=after)
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    run = Agent(ScriptedModel([call("add", a="2"), "ok"]), tools=[add]).run("x")
    assert seen == [
        ("add", {"a": 2}, "add(a=2)", None, run.run_id),
        (run.tools[0].tool_call_id, "add", "3", {"a": "2"}),
    ]


def test_a_tool_asks_the_model_to_try_again() -> None:
    def guess(number: int) -> str:
        """Guess."""
        if number < 3:
            raise RetryAgentRun("too small", user_message="Guess higher.", agent_message="I will.")
        return "right"

    model = ScriptedModel([call("guess", number=1), call("guess", number=3), "It was 3."])
    run = Agent(model, tools=[guess]).run("x")
    assert run.content == "It was 3."
    assert [(m.role, m.content) for m in model.requests[1].messages[2:]] == [
        ("tool", "too small"),
        ("user", "Guess higher."),
        ("assistant", "I will."),
    ]


def test_a_tool_ends_the_run() -> None:
    def leave() -> str:
        """Leave."""
        raise StopAgentRun("Enough for today.")

    model = ScriptedModel([call("leave"), "never"])
    run = Agent(model, tools=[leave]).run("x")
    assert (run.content, run.status, len(model.requests)) == ("Enough for today.", "COMPLETED", 1)


def test_a_tool_gets_the_images_of_the_message() -> None:
    seen: list[Any] = []

    def measure(what: str, images: list[Image], files: list[str]) -> str:  # type: ignore[valid-type]
        """Measure."""
        seen.append((what, images, files))
        return "done"

    agent = Agent(ScriptedModel([call("measure", what="it", files=["a"]), "ok"]), tools=[measure])
    picture = Image(content=GIF)
    agent.run("x", images=[picture])
    assert seen == [("it", [picture], ["a"])]


def test_a_run_has_the_images_of_its_tools() -> None:
    def photo() -> Any:
        """Take a photo."""
        return Image(content=GIF)

    class Seeing(ScriptedModel):
        sees_tool_images = True

    run = Agent(Seeing([call("photo"), "ok"]), tools=[photo]).run("x")
    assert run.images == [Image(content=GIF)]
    assert run.files == run.audio == run.videos == []
