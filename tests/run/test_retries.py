"""Failed requests: retries of transient failures, and fallback models, with events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import (
    ContextLengthError,
    InvalidInputError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelRequestError,
    ModelServerError,
)
from agno_nb.event_loop import EventStream
from agno_nb.models.base import ModelRequest, complete
from agno_nb.models.fallback import FallbackConfig
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.retry import MAX_WAIT_S, RetryPolicy
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Message, RunEvent, RunOutput, RunOutputEvent, RunStatus
from tests.fakes.http import Answer, FakeServer, json_answer, sse
from tests.run.test_entrypoints import door


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


def refusal(status: int, message: str = "Busy", **headers: str) -> Answer:
    return json_answer({"error": {"message": message}}, status=status, headers=headers)


def text(*pieces: str, end: Any = "whole") -> Answer:
    frames: list[Any] = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    if end == "whole":
        frames.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    return Answer(chunks=sse(frames, done=end == "whole"), end=end)


def agent_of(server: FakeServer, **settings: Any) -> Agent:
    return Agent(OpenAIChat("m", base_url=server.base_url), delay_between_retries=0, db=InMemoryDb(), **settings)


def events_of(agent: Agent, **options: Any) -> list[RunOutputEvent]:
    stream = agent.run("Hi", stream=True, stream_events=True, **options)
    assert isinstance(stream, EventStream)
    return list(stream)


@door
def test_a_request_is_tried_again_until_it_is_answered(door: Callable[..., RunOutput], server: FakeServer) -> None:
    server.will_say(refusal(503), refusal(429), text("Hel", "lo"))
    agent = agent_of(server)

    run = door(agent, "Hi", session_id="s")

    assert (run.status, run.content, len(server.requests)) == (RunStatus.COMPLETED, "Hello", 3)
    assert [message.role for message in run.messages] == ["user", "assistant"]
    assert (
        agent.store.events_df(event="ModelRequestRetried")[["run_id", "model", "duration_s"]].values.tolist()
        == [[run.run_id, "m", 0.0]] * 2
    )


def test_each_time_is_an_event_that_says_what_how_long_and_why(server: FakeServer) -> None:
    server.will_say(refusal(429, "Slow down", **{"retry-after-ms": "2"}), text("ok"))
    agent = agent_of(server)

    events = events_of(agent)

    (retried,) = [event for event in events if event.event is RunEvent.model_request_retried]
    why = f"{server.host} received too many requests; wait and try again. Message: Slow down"
    assert retried.content == f"Trying again in 0.002 s (retry 1 of 2). {why}"
    assert retried.details == {
        "error_type": "ModelRateLimitError",
        "error": why,
        "status_code": 429,
        "retry": 1,
        "retries": 2,
        "wait_s": 0.002,
    }
    assert [event.event for event in events] == [
        RunEvent.run_started,
        RunEvent.model_request_started,
        RunEvent.model_request_retried,
        RunEvent.model_request_started,
        RunEvent.run_content,
        RunEvent.model_request_completed,
        RunEvent.run_completed,
    ]
    (stored,) = agent.store.events_df(event="ModelRequestRetried").to_dict("records")
    assert (stored["content"], json.loads(stored["details"])) == (retried.content, retried.details)


@pytest.mark.parametrize(
    ("answers", "error", "requests"),
    [
        ([refusal(500)] * 3, ModelServerError, 3),
        ([Answer(chunks=[], end="cut")] * 3, ModelConnectionError, 3),
        ([refusal(401)], ModelAuthenticationError, 1),
        ([refusal(400)], ModelRequestError, 1),
        ([json_answer({"error": {"message": "x", "code": "insufficient_quota"}}, status=429)], ModelRateLimitError, 1),
        ([refusal(402)], ModelRateLimitError, 1),
        ([refusal(429, **{"retry-after": "61"})], ModelRateLimitError, 1),
    ],
    ids=["server", "connection", "key", "request", "quota", "credit", "too long a wait"],
)
def test_what_will_not_pass_is_raised(
    answers: list[Answer], error: type[Exception], requests: int, server: FakeServer
) -> None:
    server.will_say(*answers)
    with pytest.raises(error):
        agent_of(server).run("Hi")
    assert len(server.requests) == requests


@door
def test_nothing_is_tried_again_after_text_was_shown(door: Callable[..., RunOutput], server: FakeServer) -> None:
    server.will_say(text("Half of", " it", end="cut"), text("never asked for"))
    agent = agent_of(server, fallback_models=[ScriptedModel(["never asked"])])

    with pytest.raises(ModelConnectionError) as caught:
        door(agent, "Hi", session_id="s")

    run = caught.value.run_output
    assert run is not None
    assert (run.status, run.content, len(server.requests)) == (RunStatus.ERROR, "Half of it", 1)
    assert (run.messages[-1].content, run.messages[-1].finish_reason) == ("Half of it", "interrupted")


def test_retries_can_be_turned_off(server: FakeServer) -> None:
    server.will_say(refusal(503))
    with pytest.raises(ModelServerError):
        agent_of(server, retries=0).run("Hi")
    assert len(server.requests) == 1


def test_a_stop_during_the_wait_ends_the_run_at_once(server: FakeServer) -> None:
    server.will_say(refusal(429, **{"retry-after": "59"}))
    agent = agent_of(server)
    stream = agent.run("Hi", stream=True, stream_events=True, session_id="s")
    assert isinstance(stream, EventStream)
    for event in stream:
        if event.event is RunEvent.model_request_retried:
            break
    stream.close()
    (run,) = agent.store.get_runs("s")
    assert run.status is RunStatus.CANCELLED
    assert len(server.requests) == 1


@door
def test_another_model_takes_over_and_is_named(door: Callable[..., RunOutput], server: FakeServer) -> None:
    server.will_say(refusal(500))
    spare = ScriptedModel([call("double", number=2), "It is 4."], id="spare", provider="test")
    agent = agent_of(server, retries=0, fallback_models=[spare], tools=[double])

    run = door(agent, "Hi", session_id="s")

    assert (run.content, run.model, run.model_provider) == ("It is 4.", "spare", "test")
    assert [message.model for message in run.messages if message.role == "assistant"] == ["spare", "spare"]
    assert len(server.requests) == 1
    (event,) = agent.store.events_df(event="ModelFallbackUsed").to_dict("records")
    assert event["content"].startswith(f"spare takes over from m. {server.host} failed")
    assert json.loads(event["details"])["fallback_model"] == "spare"
    assert agent.store.get_runs("s")[0].model == "spare"


def double(number: int) -> int:
    return 2 * number


def test_models_take_over_in_their_order_and_by_name(server: FakeServer) -> None:
    server.will_say(refusal(500))
    broken = ScriptedModel([ModelConnectionError("nobody is there")], id="broken")
    agent = agent_of(server, retries=0, fallback_models=[broken, "demo"])
    events = events_of(agent)
    assert [event.content for event in events if event.event is RunEvent.model_fallback_used] == [
        f"broken takes over from m. {server.host} failed to answer (HTTP 500); try again. Message: Busy",
        "demo takes over from broken. nobody is there",
    ]
    assert events[-1].run_output is not None
    assert events[-1].run_output.model == "demo"


@pytest.mark.parametrize("status", [400, 401, 404])
def test_the_users_own_mistake_is_no_reason_to_ask_another_model(status: int, server: FakeServer) -> None:
    server.will_say(refusal(status))
    spare = ScriptedModel(["never asked"])
    with pytest.raises((ModelRequestError, ModelAuthenticationError)):
        agent_of(server, fallback_models=[spare]).run("Hi")
    assert spare.requests == []


def test_waits_grow_and_are_bounded() -> None:
    error = ModelServerError("x")
    steady, growing = (
        RetryPolicy(max_retries=9, delay_s=1.0, exponential=False),
        RetryPolicy(max_retries=9, delay_s=1.0),
    )
    assert all(1 <= (steady.wait_s(error, failures) or 0) <= 1.25 for failures in range(9))
    assert all(2**failures <= (growing.wait_s(error, failures) or 0) <= 1.25 * 2**failures for failures in range(5))
    assert growing.wait_s(error, 8) == MAX_WAIT_S
    assert growing.wait_s(error, 9) is None


@pytest.mark.parametrize(("name", "value"), [("retries", -1), ("retries", "2"), ("delay_between_retries", -0.5)])
def test_settings_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is {value!r}; pass a number, 0 or more"):
        Agent(ScriptedModel(["x"]), **{name: value})


def test_a_request_that_nobody_watches_is_tried_again_too(server: FakeServer) -> None:
    from agno_nb.event_loop import run_blocking

    server.will_say(refusal(429, **{"retry-after-ms": "1"}), text("ok"))
    request = ModelRequest(messages=[Message(role="user", content="Hi")])
    assert run_blocking(complete(OpenAIChat("m", base_url=server.base_url), request)).content == "ok"


def test_the_responses_api_is_tried_again_in_the_same_way(server: FakeServer) -> None:
    server.will_say(*[refusal(503)] * 3)
    model = OpenAIResponses("m", base_url=server.base_url)
    with pytest.raises(ModelServerError):
        Agent(model, delay_between_retries=0).run("Hi")
    assert len(server.requests) == 3


def test_what_comes_only_with_the_whole_response_is_shown() -> None:
    from agno_nb.models.base import ModelResponse

    class Whole(ScriptedModel):
        async def stream(self, request: ModelRequest) -> Any:
            yield ModelResponse(content="Four.", reasoning_content="2 + 2")

    events = events_of(Agent(Whole([])))
    assert [(e.content, e.reasoning_content) for e in events if e.event is RunEvent.run_content] == [("Four.", "2 + 2")]


def test_events_go_with_their_session(server: FakeServer) -> None:
    server.will_say(refusal(503), text("ok"))
    agent = agent_of(server)
    agent.run("Hi", session_id="s")
    fork = agent.store.fork_session("s")
    assert fork is not None
    events = agent.store.events_df(event="ModelRequestRetried")
    assert sorted(events["session_id"]) == sorted(["s", fork.session_id])
    assert events["run_id"].nunique() == 2
    agent.store.delete_session("s")
    assert agent.store.events_df()["session_id"].unique().tolist() == [fork.session_id]


def test_print_response_shows_each_retry_as_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    model = ScriptedModel([ModelServerError("the server is down"), "Here I am."])
    Agent(model, delay_between_retries=0).print_response("Hi")
    shown = capsys.readouterr().out
    assert "Trying again in 0 s (retry 1 of 2). the server is down" in shown
    assert shown.index("Trying again") < shown.index("Here I am.")


def test_settings_of_the_model_take_precedence(server: FakeServer) -> None:
    server.will_say(refusal(503))
    agent = agent_of(server, retries=3)
    assert isinstance(agent.model, OpenAIChat)
    agent.model.retries = 0
    with pytest.raises(ModelServerError):
        agent.run("Hi")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("failure", "model"),
    [
        (ModelRateLimitError("slow down"), "for rate limits"),
        (ContextLengthError("too long"), "for long requests"),
        (ModelServerError("down"), "for errors"),
    ],
    ids=["rate limit", "context length", "server"],
)
def test_fallbacks_by_the_kind_of_failure(failure: ModelError, model: str) -> None:
    calls: list[tuple[str, str, str]] = []
    config = FallbackConfig(
        on_error=[ScriptedModel(["Yes."], id="for errors")],
        on_rate_limit=[ScriptedModel(["Yes."], id="for rate limits")],
        on_context_overflow=[ScriptedModel(["Yes."], id="for long requests")],
        callback=lambda failed, used, error: calls.append((failed, used, str(error))),
    )
    run = Agent(ScriptedModel([failure], id="first"), retries=0, fallback_config=config).run("Hi")
    assert (run.content, run.model) == ("Yes.", model)
    assert calls == [("first", model, str(failure))]


@pytest.mark.parametrize(
    "failure",
    [ModelRateLimitError("slow down"), ContextLengthError("too long"), ModelServerError("down")],
    ids=["rate limit", "context length", "server"],
)
def test_none_stands_for_no_fallbacks(failure: ModelError) -> None:
    config = FallbackConfig(on_error=None, on_rate_limit=None, on_context_overflow=None)
    with pytest.raises(type(failure), match=str(failure)):
        Agent(ScriptedModel([failure]), retries=0, fallback_config=config).run("Hi")
    run = Agent(ScriptedModel(["Yes."]), fallback_models=None).run("Hi")  # type: ignore[arg-type]
    assert run.content == "Yes."


def test_a_long_request_has_no_fallback_of_its_own() -> None:
    spare = ScriptedModel(["never asked"])
    with pytest.raises(ContextLengthError):
        Agent(ScriptedModel([ContextLengthError("too long")]), fallback_models=[spare]).run("Hi")
    assert spare.requests == []
