"""Display of a streaming answer: updates, their timing, and the final output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher

from agno_nb.agent import Agent
from agno_nb.errors import ModelError
from agno_nb.notebook.live import INTERVAL_PER_KB_S, RENDERING_SHARE, LiveAnswer
from agno_nb.notebook.render import render_answer
from agno_nb.run_view import Reasoning, RunView, Text, view_of_run
from agno_nb.testing import FunctionModel, call
from agno_nb.types import Metrics, RunEvent, RunOutput, RunOutputEvent, RunStatus, ToolCall


@dataclass
class Clock:
    """A clock with timers that the test advances."""

    now: float = 1000.0
    waiting: list[Wake] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def timer(self, delay: float, function: Callable[[], None]) -> Wake:
        return Wake(self, self.now + delay, function)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for wake in [wake for wake in self.waiting if wake.at <= self.now]:
            self.waiting.remove(wake)
            wake.function()


@dataclass(eq=False)
class Wake:
    clock: Clock
    at: float
    function: Callable[[], None]
    daemon: bool = False

    def start(self) -> None:
        self.clock.waiting.append(self)

    def cancel(self) -> None:
        if self in self.clock.waiting:
            self.clock.waiting.remove(self)


@dataclass
class Publisher:
    """The display publisher of a kernel, as the front end sees it."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    broken: bool = False

    def publish(
        self, data: dict[str, str], metadata: dict[str, Any], *, transient: dict[str, str], update: bool
    ) -> None:
        if self.broken:
            raise OSError("the socket is closed")
        self.messages.append({"data": data, "metadata": metadata, "transient": transient, "update": update})

    @property
    def texts(self) -> list[str]:
        return [message["data"]["text/plain"] for message in self.messages]

    @property
    def htmls(self) -> list[str]:
        return [message["data"]["text/html"] for message in self.messages]


@dataclass
class Kernel:
    clock: Clock = field(default_factory=Clock)
    display_pub: Any = field(default_factory=Publisher)
    kernel: object = field(default_factory=object)

    def answer(self) -> LiveAnswer:
        return LiveAnswer(self, clock=self.clock, timer=self.clock.timer)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def event(kind: RunEvent = RunEvent.run_content, run_id: str = "r1", **fields: Any) -> RunOutputEvent:
    return RunOutputEvent(event=kind, run_id=run_id, session_id="s1", **fields)


def ended(status: RunStatus = RunStatus.COMPLETED, run_id: str = "r1", **fields: Any) -> RunOutputEvent:
    run = RunOutput(run_id=run_id, session_id="s1", status=status, **fields)
    return event(RunEvent.run_completed, run_id, run_output=run, parent_run_id=run.parent_run_id)


def words(text: str) -> Iterator[RunOutputEvent]:
    for word in text.split(" "):
        yield event(content=f"{word} ")


def test_one_display_is_made_and_then_replaced_and_names_its_run(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(RunEvent.run_started))
    kernel.clock.advance(1)
    answer.feed(event(content="Hello"))
    kernel.clock.advance(1)
    answer.feed(ended(content="Hello", model="m"))
    answer.finish(None)

    messages = kernel.display_pub.messages
    assert kernel.display_pub.texts == ["(running …)", "Hello\n\n(running …)", "Hello"]
    assert [message["update"] for message in messages] == [False, True, True]
    assert len({message["transient"]["display_id"] for message in messages}) == 1
    assert [message["metadata"] for message in messages] == [{"agno_nb": {"run_id": "r1", "session_id": "s1"}}] * 3
    assert all(set(message["data"]) == {"text/html", "text/plain"} for message in messages)
    assert messages[-1]["data"]["text/html"] == render_answer(answer.view)


def test_two_answers_have_two_displays(kernel: Kernel) -> None:
    for _ in range(2):
        kernel.answer().feed(ended(content="x"))
    assert len({message["transient"]["display_id"] for message in kernel.display_pub.messages}) == 2
    assert [message["update"] for message in kernel.display_pub.messages] == [False, False]


def test_a_display_is_never_sent_per_token(kernel: Kernel) -> None:
    answer = kernel.answer()
    for token in words("word " * 1000):
        answer.feed(token)
        kernel.clock.advance(0.001)
    # One at once, and then ten a second.
    assert 8 <= len(kernel.display_pub.messages) <= 12


def test_long_answers_are_sent_less_often(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="x" * 100_000))
    size = len(kernel.display_pub.htmls[0])
    answer.feed(event(content="y"))
    kernel.clock.advance(INTERVAL_PER_KB_S * size / 1000 - 0.001)
    assert len(kernel.display_pub.messages) == 1
    kernel.clock.advance(0.002)
    assert len(kernel.display_pub.messages) == 2


def test_the_last_words_before_a_pause_are_shown_without_another_event(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="Let me look "))
    answer.feed(event(content="that "))
    answer.feed(event(content="up."))
    kernel.clock.advance(0.1)
    assert kernel.display_pub.texts[-1] == "Let me look that up.\n\n(running …)"
    assert len(kernel.display_pub.messages) == 2


def test_nothing_is_sent_after_the_end(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="a"))
    answer.feed(event(content="b"))
    answer.feed(ended(content="ab"))
    answer.feed(event(content="c"))
    answer.finish(None)
    kernel.clock.advance(10)
    assert kernel.display_pub.texts == ["a\n\n(running …)", "ab"]


def test_an_interrupted_stream_keeps_what_had_arrived(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="Half an "))
    answer.feed(event(content="answer"))
    answer.feed(
        event(RunEvent.tool_call_started, "r2", parent_run_id="r1", tool=ToolCall(tool_call_id="1", tool_name="f"))
    )
    answer.finish(KeyboardInterrupt())
    assert kernel.display_pub.texts[-1] == "Half an answer\n\n(interrupted)"
    assert "running" not in kernel.display_pub.htmls[-1]


def test_a_failure_without_a_last_event_is_marked_as_one(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="Half"))
    answer.finish(OSError("disk full"))
    assert kernel.display_pub.texts[-1] == "Half\n\n(failed)"


def test_an_error_brings_the_run_that_it_belongs_to(kernel: Kernel) -> None:
    error = ModelError("it is down")
    error.run_output = RunOutput(run_id="r1", session_id="s1", status=RunStatus.ERROR, content="Half", model="m")
    kernel.answer().finish(error)
    assert kernel.display_pub.texts == ["Half\n\n(failed)"]
    assert kernel.display_pub.messages[0]["metadata"] == {"agno_nb": {"run_id": "r1", "session_id": "s1"}}


def test_an_error_from_a_nested_run_does_not_replace_the_answer(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="Half"))
    error = ModelError("it is down")
    error.run_output = RunOutput(run_id="r2", session_id="s1", status=RunStatus.ERROR, content="other")
    answer.finish(error)
    assert kernel.display_pub.texts[-1] == "Half\n\n(failed)"


def test_the_error_of_the_run_is_left_to_the_cell_and_that_of_a_nested_run_is_shown(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(RunEvent.run_started))
    failed = {"status": RunStatus.ERROR, "error_type": "ModelError", "error": "it is down"}
    answer.feed(ended(run_id="r2", parent_run_id="r1", **failed))
    assert answer.view.status is RunStatus.RUNNING
    answer.feed(ended(**failed))
    assert kernel.display_pub.htmls[-1].count("ModelError: it is down") == 1
    assert kernel.display_pub.texts[-1] == "(failed)"


def test_nothing_is_shown_of_a_run_that_never_began(kernel: Kernel) -> None:
    kernel.answer().finish(OSError("no store"))
    assert kernel.display_pub.messages == []


def test_tools_show_while_they_run_and_when_they_end(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(reasoning_content="Hm, "))
    answer.feed(event(reasoning_content="the weather."))
    call = ToolCall(tool_call_id="1", tool_name="weather", arguments='{"city": "Rome"}')
    answer.feed(event(RunEvent.tool_call_started, tool=call))
    kernel.clock.advance(0.1)
    assert "running …" in kernel.display_pub.htmls[-1]
    done = ToolCall(tool_call_id="1", tool_name="weather", arguments='{"city": "Rome"}', result="12 °C", duration_s=0.5)
    answer.feed(event(RunEvent.tool_call_completed, tool=done))
    answer.feed(event(content="Cold."))
    answer.feed(ended(content="Cold.", tools=[done]))
    assert answer.view.parts == [Reasoning("Hm, the weather."), done, Text("Cold.")]


def test_what_happened_beside_the_answer_is_one_quiet_line(kernel: Kernel) -> None:
    answer = kernel.answer()
    said = "Trying again in 2 s (retry 1 of 2).\n<script>" + "x" * 500
    for each in (
        event(RunEvent.run_started),
        event(RunEvent.model_request_retried, content=said, details={"retry": 1}),
        event(content="Hello"),
        ended(content="Hello"),
    ):
        answer.feed(each)
    html, text = kernel.display_pub.htmls[-1], kernel.display_pub.texts[-1]
    assert "Trying again in 2 s (retry 1 of 2). &lt;script&gt;xxx" in html
    assert "x" * 250 not in html
    assert text == "Hello"


def test_runs_in_runs_are_folded_where_they_began(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="I ask."))
    answer.feed(event(RunEvent.run_started, "r2", parent_run_id="r1", component_name="researcher"))
    answer.feed(event(RunEvent.run_started, "r3", parent_run_id="r2", component_name="assistant"))
    answer.feed(event(run_id="r3", parent_run_id="r2", content="deep"))
    answer.feed(event(run_id="r2", parent_run_id="r1", content="found"))
    answer.feed(event(content="Done."))
    answer.feed(ended(run_id="r3", parent_run_id="r2", content="deep", component_name="assistant"))
    answer.feed(ended(run_id="r2", parent_run_id="r1", content="found", component_name="researcher"))
    assert answer.view.status is RunStatus.RUNNING
    answer.feed(ended(content="Done."))

    asked, researcher, done = answer.view.parts
    assert (asked, done) == (Text("I ask."), Text("Done."))
    assert (researcher.name, researcher.status, researcher.parts[1]) == (
        "researcher",
        RunStatus.COMPLETED,
        Text("found"),
    )  # type: ignore[union-attr]
    assert researcher.parts[0].markdown == "deep"  # type: ignore[union-attr]
    assert kernel.display_pub.texts[-1] == "I ask.\n\nDone."


def test_what_was_not_streamed_comes_with_the_end(kernel: Kernel) -> None:
    answer = kernel.answer()
    call = ToolCall(tool_call_id="1", tool_name="f", result="r")
    answer.feed(event(content="The answer"))
    answer.feed(ended(content="The answer", tools=[call]))
    assert answer.view.parts == [call, Text("The answer")]


def test_the_run_is_right_where_the_stream_was_not(kernel: Kernel) -> None:
    answer = kernel.answer()
    answer.feed(event(content="A first try that was cut"))
    answer.feed(ended(content="The answer"))
    assert kernel.display_pub.texts[-1] == "The answer"


def test_an_object_is_shown_as_json() -> None:
    view = view_of_run(RunOutput(session_id="s1", status=RunStatus.COMPLETED, content={"city": "Rome"}))
    assert view.markdown == '```json\n{\n  "city": "Rome"\n}\n```'


def test_a_stored_run_has_the_same_card_as_a_streamed_one(kernel: Kernel) -> None:
    call = ToolCall(tool_call_id="1", tool_name="f", result="r")
    run = RunOutput(
        run_id="r1",
        session_id="s1",
        status=RunStatus.COMPLETED,
        content="Rain.",
        reasoning_content="Hm.",
        tools=[call],
        model="m",
        metrics=Metrics(input_tokens=1, output_tokens=2),
    )
    answer = kernel.answer()
    answer.feed(event(reasoning_content="Hm."))
    answer.feed(event(RunEvent.tool_call_started, tool=call))
    answer.feed(event(content="Rain."))
    answer.feed(event(RunEvent.run_completed, run_output=run))
    assert view_of_run(run) == answer.view


def test_the_demo_model_is_called_what_it_is() -> None:
    run = RunOutput(session_id="s1", status=RunStatus.COMPLETED, model="demo", model_provider="demo")
    assert view_of_run(run).model == "demo model"


def test_under_capture_only_the_end_is_an_output(kernel: Kernel) -> None:
    kernel.display_pub = CapturingDisplayPublisher()
    answer = kernel.answer()
    for token in words("a b c"):
        answer.feed(token)
        kernel.clock.advance(1)
    answer.feed(ended(content="a b c"))
    assert [output["data"]["text/plain"] for output in kernel.display_pub.outputs] == ["a b c"]


def test_a_display_that_fails_for_a_while_does_not_stop_the_run(kernel: Kernel) -> None:
    answer = kernel.answer()
    kernel.display_pub.broken = True
    answer.feed(event(content="a"))
    kernel.clock.advance(1)
    answer.feed(event(content="b"))
    kernel.display_pub.broken = False
    answer.feed(ended(content="ab"))
    assert [(message["data"]["text/plain"], message["update"]) for message in kernel.display_pub.messages] == [
        ("ab", False)
    ]


def test_a_display_that_fails_to_the_end_is_said(kernel: Kernel) -> None:
    answer = kernel.answer()
    kernel.display_pub.broken = True
    answer.feed(event(content="a"))
    with pytest.warns(RuntimeWarning, match=r"could not be displayed \(OSError: the socket is closed\); run r1 itself"):
        answer.feed(ended(content="a"))


def test_a_key_is_never_shown(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-a-shape-but-a-key")
    call = ToolCall(tool_call_id="1", tool_name="env", result="OPENAI_API_KEY=not-a-shape-but-a-key")
    answer = kernel.answer()
    answer.feed(ended(content="It is not-a-shape-but-a-key.", tools=[call]))
    assert kernel.display_pub.texts == ["It is [redacted]."]
    assert "not-a-shape" not in kernel.display_pub.htmls[0]


def test_streaming_takes_linear_work(kernel: Kernel) -> None:
    def rendered(tokens: int) -> int:
        answer, before = kernel.answer(), len(kernel.display_pub.messages)
        for _ in range(tokens):
            answer.feed(event(content="word " * 10))
            kernel.clock.advance(0.01)
        return sum(map(len, kernel.display_pub.htmls[before:]))

    few, many = rendered(1_500), rendered(6_000)
    # An update for each token would make it sixteen times as much.
    assert many < 5 * few


def test_rendering_that_takes_long_is_done_less_often(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(view: RunView) -> str:
        kernel.clock.now += 3.0
        return render_answer(view)

    monkeypatch.setattr("agno_nb.notebook.live.render_answer", slow)
    answer = kernel.answer()
    answer.feed(event(content="a"))
    answer.feed(event(content="b"))
    pause = 3.0 * (1 / RENDERING_SHARE - 1)
    kernel.clock.advance(pause - 0.01)
    assert len(kernel.display_pub.messages) == 1
    kernel.clock.advance(0.02)
    assert len(kernel.display_pub.messages) == 2
    assert pause > INTERVAL_PER_KB_S


def test_pieces_of_an_answer_are_joined_when_it_is_read() -> None:
    text = Text("a")
    for piece in "bcd":
        text.append(piece)
    assert (text, text.markdown, repr(text)) == (Text("abcd"), "abcd", "Text('abcd')")
    text.markdown = "e"
    assert text == Text("e") != Text("f")


def test_the_text_of_a_run_without_an_answer_has_its_calls_and_notes(kernel: Kernel) -> None:
    def look(place: str) -> str:
        """Look."""
        return "seen"

    agent = Agent(FunctionModel(lambda messages, tools: call("look", place="Rome")), tools=[look], tool_call_limit=1)
    answer = kernel.answer()
    for each in agent.run("go", stream=True, stream_events=True):
        answer.feed(each)
    assert kernel.display_pub.texts[-1].splitlines() == [
        'look(place="Rome")',
        'look(place="Rome")',
        "function still called tools after tool_call_limit=1, so the run ends with the text so far",
    ]
