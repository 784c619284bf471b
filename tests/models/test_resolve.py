"""Model choice."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from agno_nb.errors import InvalidInputError, ModelConnectionError
from agno_nb.models import resolve
from agno_nb.models.demo import DemoModel
from agno_nb.models.google import Gemini
from agno_nb.models.model_strings import EXAMPLES, model_string
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.resolve import resolve_model
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
        ("anthropic:claude", OpenAIChat, "claude", "anthropic", "https://api.anthropic.com/v1"),
        ("deepseek:chat", OpenAIChat, "chat", "deepseek", "https://api.deepseek.com/v1"),
        ("mistral:small", OpenAIChat, "small", "mistral", "https://api.mistral.ai/v1"),
        ("groq:a/b", OpenAIChat, "a/b", "groq", "https://api.groq.com/openai/v1"),
        ("together:a/b", OpenAIChat, "a/b", "together", "https://api.together.xyz/v1"),
        ("xai:grok", OpenAIChat, "grok", "xai", "https://api.x.ai/v1"),
        ("litellm:m", OpenAIChat, "m", "litellm", "http://localhost:4000/v1"),
        ("llamacpp:m", OpenAIChat, "m", "llamacpp", "http://localhost:8080/v1"),
        # The server of a local provider is a host, a host and a port, or a URL.
        ("ollama:qwen3:8b@gpu-box", OpenAIChat, "qwen3:8b", "ollama", "http://gpu-box:11434/v1"),
        ("ollama:m@192.168.1.5", OpenAIChat, "m", "ollama", "http://192.168.1.5:11434/v1"),
        ("ollama:m@0.0.0.0", OpenAIChat, "m", "ollama", "http://localhost:11434/v1"),
        ("ollama:m@[::1]", OpenAIChat, "m", "ollama", "http://[::1]:11434/v1"),
        ("vllm:Qwen/Qwen3-8B@gpu-box:9000", OpenAIChat, "Qwen/Qwen3-8B", "vllm", "http://gpu-box:9000/v1"),
        ("vllm:m@llm_server:9000", OpenAIChat, "m", "vllm", "http://llm_server:9000/v1"),
        ("vllm:m@gpu-box:9000/proxy/v1", OpenAIChat, "m", "vllm", "http://gpu-box:9000/proxy/v1"),
        ("vllm:m@https://gpu.example", OpenAIChat, "m", "vllm", "https://gpu.example/v1"),
        ("vllm:m@https://gpu.example/a/v1", OpenAIChat, "m", "vllm", "https://gpu.example/a/v1"),
        ("lmstudio:m@4bit@localhost", OpenAIChat, "m@4bit", "lmstudio", "http://localhost:1234/v1"),
        ("lmstudio:m@q4@http://box:1/v1", OpenAIChat, "m@q4", "lmstudio", "http://box:1/v1"),
        # That of the others is a URL.
        ("openai:m@http://localhost:8081/v1", OpenAIChat, "m", "localhost:8081", "http://localhost:8081/v1"),
        ("openai:m@http://localhost:8081", OpenAIChat, "m", "localhost:8081", "http://localhost:8081/v1"),
        ("openai:m@http://localhost:8080/v1", OpenAIChat, "m", "llamacpp", "http://localhost:8080/v1"),
        ("openai:m@https://api.openai.com", OpenAIResponses, "m", "openai", "https://api.openai.com/v1"),
        ("openai:claude@20250929", OpenAIResponses, "claude@20250929", "openai", "https://api.openai.com/v1"),
        (
            "azure:m@https://my.openai.azure.com",
            OpenAIChat,
            "m",
            "azure",
            "https://my.openai.azure.com/openai/v1",
        ),
        (
            "azure:m@https://my.openai.azure.com/openai/v1?api-version=preview",
            OpenAIChat,
            "m",
            "azure",
            "https://my.openai.azure.com/openai/v1?api-version=preview",
        ),
        ("google:m@https://gateway.example", Gemini, "m", "google", "https://gateway.example/v1beta/openai"),
    ],
)
def test_a_string(text: str, kind: type, name: str, provider: str, base_url: str) -> None:
    assert described(resolve_model(text)) == (kind, name, provider, base_url)


@pytest.mark.parametrize(
    "text",
    [
        "openai:gpt-5-mini",
        "vllm:Qwen/Qwen3-8B",
        "ollama:m@http://gpu-box:11434/v1",
        "lmstudio:m@q4@http://box:1/v1",
        "openai:m@http://localhost:8081/v1",
        "azure:m@https://my.openai.azure.com/openai/v1?api-version=preview",
        "google:gemini-2.5-flash",
        "demo",
    ],
)
def test_the_string_of_a_model(text: str) -> None:
    assert model_string(resolve_model(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "openai:m@http://ada:love1ace@localhost:8081/v1",
        "openai:m@ada:love1ace@localhost:8081",
        "openai:m@http://love1ace@localhost:8081/v1",
        "vllm:m@ada:love1ace@gpu-box:8000",
        "vllm:m@q4@https://ada:love1ace@gpu-box/v1",
    ],
)
def test_a_password_in_a_string_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(InvalidInputError, match="has a user and a password") as refused:
        resolve_model(text)
    assert "love1ace" not in str(refused.value)


def test_a_key_goes_to_the_server_of_the_string_only_if_it_is_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "AZURE_OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_API_KEY", f"{name.lower()}-12345678")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://gateway.example/")

    def key(text: str) -> str:
        model = resolve_model(text)
        assert isinstance(model, OpenAIModel)
        return str(model.endpoint.key_in_environment())

    assert key("openai:m@http://localhost:8081/v1") == ""
    assert key("openai:m@https://api.openai.com") == "openai-12345678"
    assert key("azure:m") == "azure_openai-12345678"
    assert key("azure:m@https://my.openai.azure.com") == "azure_openai-12345678"
    assert key("azure:m@https://other.example") == ""
    assert key("anthropic:m") == "anthropic-12345678"
    assert key("anthropic:m@http://localhost:8081/v1") == ""
    monkeypatch.setenv("LITELLM_API_KEY", "litellm-12345678")
    assert key("litellm:m@gpu-box:4000") == ""
    monkeypatch.setenv("LITELLM_PROXY_API_BASE", "https://proxy.example")
    assert key("litellm:m") == "litellm-12345678"
    assert key("litellm:m@gpu-box:4000") == ""


@pytest.mark.parametrize("form", ["llamacpp:@{}", "vllm:@{}/v1", "openai:@http://{}/v1"])
def test_a_server_in_a_string_without_a_name_is_asked_for_its_model(server: FakeServer, form: str) -> None:
    server.will_say(json_answer({"object": "list", "data": [{"id": "gemma.gguf"}]}, status=200))
    address = server.base_url.removeprefix("http://").removesuffix("/v1")

    model = resolve_model(form.format(address))

    assert model.id == "gemma.gguf"
    assert [(request.method, request.path) for request in server.requests] == [("GET", "/v1/models")]


def test_a_server_that_is_loading_its_model_is_waited_for(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    loading = json_answer({"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}, status=503)
    server.will_say(loading, loading, json_answer({"data": [{"id": "gemma.gguf"}]}, status=200), loading, loading)
    address = server.base_url.removeprefix("http://").removesuffix("/v1")

    assert resolve_model(f"llamacpp:@{address}").id == "gemma.gguf"

    monkeypatch.setattr(resolve, "LOADING_WAIT_S", -1.0)
    with pytest.raises(InvalidInputError, match="does not list its models"):
        resolve_model(f"llamacpp:@{address}")


def test_a_server_in_a_string_that_is_not_running() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"localhost:{unused.getsockname()[1]}"
    with pytest.raises(ModelConnectionError, match=f"cannot reach {host}, the server of 'llamacpp:@{host}'; start it"):
        resolve_model(f"llamacpp:@{host}")


def test_a_server_in_a_string_that_lists_no_models(server: FakeServer) -> None:
    server.will_say(json_answer({"data": []}, status=200))
    address = server.base_url.removeprefix("http://").removesuffix("/v1")

    with pytest.raises(InvalidInputError, match="does not list its models; pass model='vllm:<name>'"):
        resolve_model(f"vllm:@{address}")


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
        ("bedrock:claude", "unknown provider 'bedrock'; providers are openai, anthropic, google"),
        ("azure:gpt", "'azure:gpt' names no Azure resource; set the environment variable AZURE_OPENAI_ENDPOINT"),
        ("ollama:", "use the form 'ollama:llama3.2'"),
        ("ollama:@gpu-box", "use the form 'ollama:llama3.2'"),
        ("openai:m@localhost:8081/v1", "write the whole URL, for example 'openai:m@http://localhost:8081/v1'"),
        ("ollama:m@sha256:0a1b", "invalid server 'sha256:0a1b' in .* for example 'ollama:m@sha256:0a1b@localhost'"),
        ("lmstudio:m@q4_k_m", "invalid server 'q4_k_m' in .* for example 'lmstudio:m@q4_k_m@localhost'"),
        ("vllm:m@http://gpu-box:port", "invalid base URL 'http://gpu-box:port'"),
        ("openai:m@http://gpu-box/v1?api-key=12345678", "'api-key', which looks like a key"),
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
