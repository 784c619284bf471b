"""Runs with values that cannot be stored, or with unexpected exceptions, still end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import AgnoNbError, InvalidInputError, RunError, StoreError, UnstorableValueError
from agno_nb.event_loop import run_blocking
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run.background_tasks import BackgroundTask, QueueKey, schedule, wait_for
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, RunOutput, RunStatus
from agno_nb.workflow import Parallel, Step, Workflow
from tests.run.kinds import Make, kind, talk


def nested(levels: int) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for _ in range(levels):
        state = {"in": state}
    return state


class Signal(BaseException):
    """What no `except Exception` is to catch."""


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    __hash__ = None  # type: ignore[assignment]


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise OSError("gone")

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("not copied")


class Fatal(dict[str, Any]):
    """Raises what no `except Exception` catches."""

    def items(self) -> Any:
        raise Signal("gone")

    keys = __iter__ = __repr__ = items  # type: ignore[assignment]

    def __deepcopy__(self, memo: Any) -> Any:
        raise KeyboardInterrupt


class NotCopied:
    def __deepcopy__(self, memo: Any) -> Any:
        raise Signal("not copied")


def generator() -> Iterator[int]:
    yield 1


UNSTORABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a lock": (threading.Lock, r"session_state\['x'\] is of type lock"),
    "a generator": (generator, r"session_state\['x'\] is of type generator"),
    "a deep dict": (lambda: nested(3000), "session_state is nested more than 200 levels deep"),
    "a dict that is not quite as deep": (lambda: nested(400), "session_state is nested more than 200 levels deep"),
    "an array": (Unequal, r"session_state\['x'\] is of type Unequal"),
    "a dict that raises": (lambda: Hostile(a=1), "session_state"),
    "a dict that raises no Exception": (lambda: Fatal(a=1), r"session_state\['x'\]|session_state cannot be written"),
    "what raises no Exception when copied": (NotCopied, r"session_state\['x'\] is of type NotCopied"),
}


@kind
@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_run_with_a_state_that_cannot_be_stored_ends_in_the_store(make: Make, name: str) -> None:
    value, told = UNSTORABLE[name]

    def spoil(session_state: dict[str, Any]) -> str:
        """Spoil the state."""
        session_state["x"] = value()
        return "spoilt"

    db = InMemoryDb()
    runnable = make(ScriptedModel([call("spoil"), "Done."]), tools=[spoil], db=db)
    with pytest.raises(InvalidInputError, match=told) as caught:
        runnable.run("go", session_id="s")
    failed = caught.value.run_output
    assert failed is not None
    assert (failed.status, failed.error_type) == (RunStatus.ERROR, "InvalidInputError")
    assert RunStatus.RUNNING not in {run.status for run in db.get_runs("s")}
    turn = db.get_run(failed.run_id)
    assert turn is not None
    assert (turn.status, turn.error) == (RunStatus.ERROR, str(caught.value))
    # Messages are not lost with the state.
    assert [(m.role, m.content) for m in talk(turn).messages][-2:] == [("tool", "spoilt"), ("assistant", "Done.")]
    assert db.verify() == []
    session = db.get_session("s")
    assert session is not None
    assert session.session_state == {}


def test_a_state_of_many_levels_is_stored() -> None:
    def deepen(session_state: dict[str, Any]) -> str:
        """Deepen the state."""
        session_state["x"] = nested(150)
        return "deep"

    db = InMemoryDb()
    Agent(ScriptedModel([call("deepen"), "Done."]), tools=[deepen], db=db).run("go", session_id="s")
    session = db.get_session("s")
    assert session is not None
    assert session.session_state == {"x": nested(150)}


@kind
def test_a_state_that_cannot_be_copied_when_the_run_begins(make: Make) -> None:
    db = InMemoryDb()
    runnable = make(ScriptedModel(["Done."]), db=db, session_state={"lock": threading.Lock()})
    with pytest.raises(AgnoNbError) as caught:
        runnable.run("go", session_id="s")
    failed = caught.value.run_output
    assert failed is None or failed.status is RunStatus.ERROR
    assert RunStatus.RUNNING not in {run.status for run in db.get_runs("s")}


RAISED: list[type[BaseException]] = [Signal, GeneratorExit, Silent]


@kind
@pytest.mark.parametrize("error", [*RAISED, KeyboardInterrupt, SystemExit])
def test_whatever_a_model_raises_ends_the_run(make: Make, error: type[BaseException]) -> None:
    class Raising(Model):
        id, provider = "raising", "test"

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            yield Delta(content="half ")
            raise error

    db = InMemoryDb()
    with pytest.raises(RunError, match=error.__name__) as caught:
        make(Raising(), db=db).run("go", session_id="s")
    assert caught.value.run_output is not None
    runs = db.get_runs("s")
    assert {run.status for run in runs} == {RunStatus.ERROR}
    assert talk(db.get_run(caught.value.run_output.run_id) or runs[0]).content == "half "
    # The loop of all runs still works.
    assert Agent(ScriptedModel(["ok"])).run("x").content == "ok"


def raising(error: type[BaseException], *, is_async: bool) -> Callable[[], Any]:
    def fails() -> str:
        """Fail."""
        raise error

    async def afails() -> str:
        """Fail."""
        raise error

    afails.__name__ = "fails"
    return afails if is_async else fails


@kind
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("where", ["function", "pre_hook", "tool_hook"])
@pytest.mark.parametrize("error", [Signal, GeneratorExit])
def test_what_no_tool_may_catch_ends_the_run_and_loses_no_other_result(
    make: Make, error: type[BaseException], where: str, is_async: bool
) -> None:
    def look() -> str:
        """Look."""
        return "seen"

    function = raising(error, is_async=is_async)
    failing: Any = function
    if where == "pre_hook":
        failing = tool(name="fails", pre_hook=function)(look)
    elif where == "tool_hook":
        failing = tool(name="fails", tool_hooks=[function])(look)
    db = InMemoryDb()
    runnable = make(ScriptedModel([[call("fails"), call("look")], "never"]), tools=[failing, look], db=db)
    with pytest.raises(RunError, match=error.__name__) as caught:
        runnable.run("go", session_id="s")
    assert type(caught.value.__cause__) is error
    turn = db.get_run(caught.value.run_output.run_id)  # type: ignore[union-attr]
    assert turn is not None
    assert (turn.status, talk(turn).status) == (RunStatus.ERROR, RunStatus.ERROR)
    assert talk(turn).error_type == error.__name__
    assert [each.result for each in talk(turn).tools][1] == "seen"


@kind
def test_an_error_without_words_is_passed_to_the_model(make: Make) -> None:
    def fails() -> str:
        """Fail."""
        raise Silent

    model = ScriptedModel([call("fails"), "I see."])
    run = make(model, tools=[fails], db=InMemoryDb()).run("go")
    assert run.content == "I see."
    assert model.requests[-1].messages[-1].content == "Silent: (no message: its __str__ raised RuntimeError)"


def fails_with(error: BaseException) -> Callable[[Any], Any]:
    def fails(step_input: Any) -> str:
        raise error

    return fails


@pytest.mark.parametrize("error", [Signal("stop"), GeneratorExit("stop"), Silent()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(
    "within",
    [
        lambda fails: fails,
        lambda fails: Step("tried again", executor=fails, max_retries=2),
        lambda fails: Parallel(fails, lambda step_input: "done"),
        lambda fails: Agent(ScriptedModel([call("fails")]), tools=[lambda_tool(fails)]),
    ],
    ids=["step", "retries", "parallel", "agent"],
)
def test_whatever_a_step_raises_ends_the_workflow(within: Callable[[Any], Any], error: BaseException) -> None:
    db = InMemoryDb()
    with pytest.raises(RunError) as caught:
        Workflow([within(fails_with(error))], db=db, name="line").run("go", session_id="s")
    assert type(error).__name__ in str(caught.value) or isinstance(error, Silent)
    assert caught.value.run_output is not None
    assert {run.status for run in db.get_runs("s")} == {RunStatus.ERROR}


def lambda_tool(fails: Callable[[Any], Any]) -> Any:
    return tool(name="fails")(lambda: fails(None))


def test_groups_of_errors_are_unpacked() -> None:
    async def fails() -> str:
        """Fail."""
        async with asyncio.TaskGroup() as group:
            group.create_task(first())
        return "never"

    async def first() -> None:
        raise ValueError("one")

    model = ScriptedModel([call("fails"), "I see."])
    Agent(model, tools=[fails]).run("go")
    assert model.requests[-1].messages[-1].content == "ValueError: one"

    async def step(step_input: Any) -> str:
        return await fails()

    with pytest.raises(RunError, match=r"the run failed in step 'step': ValueError: one$"):
        Workflow([step]).run("go")


CONTENTS: dict[str, tuple[Any, str]] = {
    "keys": ({(1, 2): 3}, "{(1, 2): 3}"),
    "deep": (nested(3000), "(dict that cannot be shown: RecursionError)"),
    "unequal": (Unequal(), "(Unequal that cannot be shown: RuntimeError)"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_an_answer_that_json_cannot_hold_is_stored_as_text(name: str) -> None:
    value, text = CONTENTS[name]
    db = InMemoryDb()
    run = Workflow([lambda step_input: value], db=db).run("go", session_id="s")
    assert run.content is value
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.status, stored.content, stored.step_results[0].content) == (RunStatus.COMPLETED, text, text)


def test_a_structured_answer_that_is_nested_too_deeply_is_refused() -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    agent = Agent(ScriptedModel([deep, deep]), output_schema={"type": "object"}, db=InMemoryDb())
    with pytest.raises(RunError, match="nested too deeply"):
        agent.run("go", session_id="s")
    assert [run.status for run in agent.store.get_runs("s")] == [RunStatus.ERROR]


class PickyDb(InMemoryDb):
    """Does not take a certain answer."""

    error: type[StoreError] = UnstorableValueError

    def add_messages(self, run: RunOutput, messages: Sequence[Message]) -> None:
        self._check(messages)
        super().add_messages(run, messages)

    def end_run(self, run: RunOutput, messages: Sequence[Message] = (), **values: Any) -> None:
        self._check(messages)
        super().end_run(run, messages, **values)

    def _check(self, messages: Sequence[Message]) -> None:
        if any(message.content == "indigestible" for message in messages):
            raise self.error("the store failed")


class FullDb(PickyDb):
    """Has no space for a certain answer, and takes smaller ones."""

    error = StoreError
    is_full = True

    def _check(self, messages: Sequence[Message]) -> None:
        if self.is_full:
            super()._check(messages)


@kind
def test_an_answer_for_which_there_was_no_space_is_stored_when_there_is(make: Make) -> None:
    db = FullDb()
    with pytest.raises(StoreError, match="the store failed") as caught:
        make(ScriptedModel(["indigestible"]), db=db).run("go", session_id="s")
    failed = caught.value.run_output
    assert failed is not None
    # Small answers are stored meanwhile.
    small = Agent(ScriptedModel(["a", "b"]), db=db)
    assert small.run("one", session_id="t").content == "a"
    db.is_full = False
    small.run("two", session_id="t")
    turn = db.get_run(failed.run_id)
    assert turn is not None
    assert turn.status is failed.status
    assert talk(turn).status is RunStatus.COMPLETED
    assert [m.content for m in talk(turn).messages if m.role == "assistant"] == ["indigestible"]
    assert db.verify() == []


class Odd(Model):
    """Replies with values that stores reject."""

    id, provider = "odd", "test"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        yield ModelResponse(content="fine", provider_data={"lock": threading.Lock()})


@kind
@pytest.mark.parametrize("by", ["value", "store"])
def test_an_answer_that_the_store_does_not_take_is_left_out(make: Make, by: str) -> None:
    db = PickyDb()
    model = Odd() if by == "value" else ScriptedModel(["indigestible"])
    with pytest.raises(AgnoNbError) as caught:
        make(model, db=db, instructions="Be kind.").run("go", session_id="s")
    failed = caught.value.run_output
    assert failed is not None
    turn = db.get_run(failed.run_id)
    assert turn is not None
    assert {run.status for run in db.get_runs("s")} == {RunStatus.ERROR}
    assert talk(turn).error_type == ("InvalidInputError" if by == "value" else "UnstorableValueError")
    assert failed.status is RunStatus.ERROR
    assert "The run is kept" not in str(caught.value)
    assert [m.role for m in talk(turn).messages] == ["system", "user"]
    assert db.verify() == []


def test_an_error_that_closes_the_coroutine_of_the_run_ends_it_too() -> None:
    async def first() -> None:
        raise GeneratorExit

    async def step(step_input: Any) -> str:
        await asyncio.gather(first())
        return "never"

    db = InMemoryDb()
    with pytest.raises(RunError, match="GeneratorExit"):
        Workflow([step], db=db).run("go", session_id="s")
    Agent(ScriptedModel(["ok"]), db=db).run("next", session_id="other")
    assert [run.status for run in db.get_runs("s")] == [RunStatus.ERROR]


def test_a_pause_of_several_runs_in_a_group_pauses_the_workflow() -> None:
    @tool(requires_confirmation=True)
    def send() -> str:
        """Send."""
        return "sent"

    def reply(messages: list[Message], tools: Any) -> Any:
        return "done" if messages[-1].role == "tool" else call("send")

    async def both(step_input: Any) -> str:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(agent.arun("go")) for agent in agents]
        return " ".join(str(each.result().content) for each in asked)

    agents = [Agent(FunctionModel(reply), name=name, tools=[send]) for name in ("ada", "bob")]
    workflow = Workflow([both], db=InMemoryDb())
    run = workflow.run("go")
    while run.is_paused:
        for requirement in run.active_requirements:
            requirement.confirm()
        run = workflow.continue_run(run)
    assert run.content == "done done"


def test_work_after_a_run_cannot_stop_the_loop() -> None:
    async def fails() -> None:
        raise KeyboardInterrupt

    line = QueueKey("summary", "s", "nowhere")

    async def follow() -> None:
        schedule([BackgroundTask(queue_key=line, work=fails, on_failure="it failed")])
        await wait_for(line)

    with pytest.warns(UserWarning, match="it failed: KeyboardInterrupt"):
        run_blocking(follow())


def test_a_member_that_raises_what_nobody_catches_is_reported_to_the_leader() -> None:
    def fails() -> str:
        """Fail."""
        raise Signal("stop")

    member = Agent(ScriptedModel([call("fails")]), name="ada", tools=[fails])
    leader = ScriptedModel([call("delegate_task_to_member", member_id="ada", task="go"), "It failed."])
    db = InMemoryDb()
    run: RunOutput = Team([member], model=leader, db=db).run("go", session_id="s")
    assert (run.content, run.tools[0].result) == ("It failed.", "RunError: the run failed: Signal: stop")
    assert [each.status for each in db.get_runs("s")] == [RunStatus.COMPLETED, RunStatus.ERROR]
