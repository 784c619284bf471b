"""Model choice."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from agno_nb.errors import InvalidInputError, ModelConnectionError
from agno_nb.models.demo import DemoModel
from agno_nb.models.google import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.resolve import EXAMPLES, resolve_model
from tests.fakes.http import Answer, FakeServer, json_answer

LOCAL = "http://localhost:8081/v1"


def described(model: Any) -> tuple[type, str, str, str]:
    assert isinstance(model, OpenAIModel)
    return type(model), model.id, model.provider, model.endpoint.base_url


@pytest.mark.parametrize(
    ("text", "kind", "name", "provider", "base_url"),
    [
        ("openai:gpt-5-mini", OpenAIResponses, "gpt-5-mini", "openai", "https://api.openai.com/v1"),
        (
            "google:gemini-2.5-flash",
            Gemini,
            "gemini-2.5-flash",
            "google",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        (
            " Gemini: gemini-3 ",
            Gemini,
            "gemini-3",
            "google",
            "https://generativelanguage.googleapis.com/v1beta/openai",
        ),
        ("ollama:llama3.2", OpenAIChat, "llama3.2", "ollama", "http://localhost:11434/v1"),
        ("ollama:qwen3:8b", OpenAIChat, "qwen3:8b", "ollama", "http://localhost:11434/v1"),
        ("lmstudio:qwen3-8b", OpenAIChat, "qwen3-8b", "lmstudio", "http://localhost:1234/v1"),
        ("vllm:Qwen/Qwen3-8B", OpenAIChat, "Qwen/Qwen3-8B", "vllm", "http://localhost:8000/v1"),
        ("openrouter:a/b:free", OpenAIChat, "a/b:free", "openrouter", "https://openrouter.ai/api/v1"),
    ],
)
def test_a_string(text: str, kind: type, name: str, provider: str, base_url: str) -> None:
    assert described(resolve_model(text)) == (kind, name, provider, base_url)


def test_every_example_is_a_model() -> None:
    assert [resolve_model(example).provider for example in EXAMPLES.values()] == [
        "google" if provider == "gemini" else provider for provider in EXAMPLES
    ]


def test_an_object_is_itself() -> None:
    model = OpenAIChat("m")

    assert resolve_model(model) is model


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpt-5-mini", "'gpt-5-mini' is not a model; use the form .* for example 'openai:gpt-5-mini'"),
        ("opnai:gpt-5-mini", "did you mean 'openai:gpt-5-mini'"),
        ("olama:x", "did you mean 'ollama:llama3.2'"),
        ("openai:", "use the form 'openai:gpt-5-mini'"),
        ("demo:x", "use the form 'demo'"),
        ("", "is not a model"),
        ("anthropic:claude", "unknown provider 'anthropic'; providers are openai, google"),
    ],
)
def test_a_string_that_names_none(text: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        resolve_model(text)


def test_something_that_is_no_model() -> None:
    with pytest.raises(InvalidInputError, match=r"OpenAIChat.*is not a model"):
        resolve_model(OpenAIChat)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "base_url"),
    [
        ("", "http://localhost:11434/v1"),
        ("gpu-box", "http://gpu-box:11434/v1"),
        ("gpu-box:9999", "http://gpu-box:9999/v1"),
        ("0.0.0.0", "http://localhost:11434/v1"),
        ("0.0.0.0:9999", "http://localhost:9999/v1"),
        ("[::1]:9999", "http://[::1]:9999/v1"),
        ("http://gpu-box", "http://gpu-box:80/v1"),
        ("https://gpu.example/ollama/", "https://gpu.example:443/ollama/v1"),
    ],
)
def test_ollama_is_where_its_variable_says(where: str, base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", where)

    assert described(resolve_model("ollama:llama3.2")) == (OpenAIChat, "llama3.2", "ollama", base_url)


def test_an_ollama_host_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box:port")

    with pytest.raises(InvalidInputError, match="invalid OLLAMA_HOST 'gpu-box:port'"):
        resolve_model("ollama:llama3.2")


def test_nobody_names_one() -> None:
    assert type(resolve_model()) is DemoModel


ENVIRONMENT = {
    "AGNO_NB_MODEL": "ollama:llama3.2",
    "OPENAI_BASE_URL": LOCAL,
    "OPENAI_API_KEY": "sk-1234567890",
    "GEMINI_API_KEY": "AIza1234567890",
}


@pytest.mark.parametrize("blank", ["", "  ", None])
@pytest.mark.parametrize(
    ("taken_away", "kind", "provider"),
    [
        (0, OpenAIChat, "ollama"),
        (1, OpenAIChat, "localhost:8081"),
        (2, OpenAIResponses, "openai"),
        (3, Gemini, "google"),
    ],
)
def test_the_environment_names_one_in_this_order(
    taken_away: int, kind: type, provider: str, blank: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODEL", "some-model")
    for place, (name, value) in enumerate(ENVIRONMENT.items()):
        if place >= taken_away:
            monkeypatch.setenv(name, value)
        elif blank is not None:
            monkeypatch.setenv(name, blank)

    model = resolve_model()

    assert (type(model), model.provider) == (kind, provider)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OPENAI_API_KEY": "k" * 20}, (OpenAIResponses, "gpt-5-mini", "openai", "https://api.openai.com/v1")),
        (
            {"OPENAI_API_KEY": "k" * 20, "OPENAI_MODEL": "gpt-5.5"},
            (OpenAIResponses, "gpt-5.5", "openai", "https://api.openai.com/v1"),
        ),
        (
            {"OPENAI_BASE_URL": "https://api.openai.com/v1"},
            (OpenAIResponses, "gpt-5-mini", "openai", "https://api.openai.com/v1"),
        ),
        ({"OPENAI_BASE_URL": LOCAL, "OPENAI_MODEL": "x"}, (OpenAIChat, "x", "localhost:8081", LOCAL)),
        ({"OPENAI_BASE_URL": LOCAL, "AGNO_NB_MODEL": "openai:y"}, (OpenAIChat, "y", "localhost:8081", LOCAL)),
        (
            {"GOOGLE_API_KEY": "k" * 20, "GOOGLE_GEMINI_BASE_URL": LOCAL},
            (Gemini, "gemini-2.5-flash", "google", LOCAL),
        ),
    ],
)
def test_what_the_environment_says_of_it(
    variables: dict[str, str], expected: tuple[type, str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert described(resolve_model()) == expected


def test_a_server_in_the_environment_is_asked_for_its_first_model(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "its-own-key")
    server.will_say(json_answer({"object": "list", "data": [{"id": "first"}, {"id": "second"}]}, status=200))

    assert described(resolve_model()) == (
        OpenAIChat,
        "first",
        server.base_url.replace("http://127.0.0.1", "localhost")[:-3],
        server.base_url,
    )
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/v1/models")
    assert request.headers["authorization"] == "Bearer its-own-key"


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({"error": "no"}, status=500),
        json_answer({"data": []}, status=200),
        json_answer({"data": None}, status=200),
        json_answer([], status=200),
        Answer(chunks=[b"<html>"], content_type="text/html"),
        Answer(chunks=[json.dumps({"data": [{"id": "m"}]}).encode()], end="cut"),
    ],
    ids=["500", "empty", "null", "a list", "html", "cut"],
)
def test_a_server_that_lists_no_models_needs_one_named(
    answer: Answer, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    server.will_say(answer)

    with pytest.raises(InvalidInputError, match=f"{server.host}.*OPENAI_MODEL"):
        resolve_model()


def test_a_server_in_the_environment_that_is_not_running(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"localhost:{unused.getsockname()[1]}"
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{host}/v1")
    with pytest.raises(ModelConnectionError, match=f"cannot reach {host}, the server of OPENAI_BASE_URL"):
        resolve_model()
