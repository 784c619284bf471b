"""Redirects are followed within the origin of the base URL; nothing is sent to other origins."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agno_nb.errors import InvalidInputError, ModelRequestError
from agno_nb.models.google import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.resolve import resolve_model
from tests.fakes.http import Answer, FakeServer, json_answer
from tests.fakes.strict import says
from tests.models.asking import ask

STATUSES = [301, 302, 303, 307, 308]
KINDS = [OpenAIChat, OpenAIResponses, Gemini]


@pytest.fixture
def other() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


def redirect(status: int, location: str) -> Answer:
    return Answer(chunks=[], status=status, headers={"Location": location})


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("kind", KINDS)
def test_another_origin_learns_nothing_and_is_named(
    kind: type[OpenAIModel], status: int, server: FakeServer, other: FakeServer
) -> None:
    server.will_say(redirect(status, f"http://user:hunter2@127.0.0.1:{other.port}/v1/x?key=1"))
    model = kind("m", base_url=server.base_url, api_key="secret-key", extra_headers={"api-key": "secret-header"})

    error = ask(model, "the prompt").failure

    assert other.requests == []
    assert len(server.requests) == 1
    assert isinstance(error, ModelRequestError)
    assert str(error) == (
        f"{model.endpoint} redirected the request to another server, http://127.0.0.1:{other.port}; nothing was "
        "sent there. To use that server, set base_url to its URL."
    )
    assert (error.__context__, error.__cause__) == (None, None)


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("https://127.0.0.1:{port}/v1", "https://127.0.0.1:{port}"),
        ("http://localhost:{port}/v1", "http://localhost:{port}"),
        ("//example.invalid/v1", "http://example.invalid"),
        ("http://xn--exmple-cua.invalid/v1", "http://xn--exmple-cua.invalid"),
        ("http://example.invalid:80/v1", "http://example.invalid"),
    ],
)
def test_scheme_host_and_port_make_an_origin(location: str, named: str, server: FakeServer) -> None:
    server.will_say(redirect(307, location.format(port=server.port)))

    error = ask(OpenAIChat("m", base_url=server.base_url)).failure

    assert f"another server, {named.format(port=server.port)}; nothing" in str(error)


@pytest.mark.parametrize("location", ["/elsewhere/chat", "elsewhere", "http://127.0.0.1:{port}/elsewhere"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_within_the_origin_is_followed(status: int, location: str, server: FakeServer) -> None:
    server.will_say(redirect(status, location.format(port=server.port)), says("Hello there"))

    answer = ask(OpenAIChat("m", base_url=server.base_url, api_key="secret-key")).whole

    assert answer.content == "Hello there "
    assert "elsewhere" in server.requests[1].path
    assert server.requests[1].headers["authorization"] == "Bearer secret-key"


def test_a_chain_that_leaves_the_origin_is_refused(server: FakeServer, other: FakeServer) -> None:
    server.will_say(redirect(307, "/one"), redirect(308, "/two"), redirect(307, other.base_url))

    assert isinstance(ask(OpenAIChat("m", base_url=server.base_url)).failure, ModelRequestError)
    assert [request.path for request in server.requests] == ["/v1/chat/completions", "/one", "/two"]
    assert other.requests == []


def test_the_request_for_the_names_of_models_is_not_redirected_either(
    server: FakeServer, other: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_MODEL", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    server.will_say(redirect(301, "/models"), json_answer({"data": [{"id": "one"}]}, status=200))
    assert resolve_model().id == "one"

    server.will_say(redirect(301, f"{other.base_url}/models"))
    with pytest.raises(InvalidInputError, match=f"to another server, http://127.0.0.1:{other.port}; "):
        resolve_model()
    assert other.requests == []


def test_a_redirect_without_an_address_that_can_be_read_is_an_error(server: FakeServer) -> None:
    for location in ("http://[", "http://h:99999999/", "\x1b]0;x"):
        server.will_say(redirect(307, location))
        assert "\x1b" not in str(ask(OpenAIChat("m", base_url=server.base_url)).failure)
