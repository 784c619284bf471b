"""A key is sent only to its provider, and appears in no text."""

from __future__ import annotations

import asyncio
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from agno_nb.errors import InvalidInputError, ModelAuthenticationError
from agno_nb.models.google import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.resolve import resolve_model
from agno_nb.redact import redact
from tests.fakes.http import Answer, FakeServer, json_answer, sse
from tests.models.asking import ask

KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
OTHER_KEY = "another-secret-of-no-known-shape"
ACCOUNT = {
    "OPENAI_API_KEY": KEY,
    "OPENAI_ADMIN_KEY": "sk-admin-4f9a8b7c6d5e4f3a2b1c",
    "OPENAI_ORG_ID": "org-ours",
    "OPENAI_PROJECT_ID": "proj-ours",
    "OPENAI_CUSTOM_HEADERS": "X-Account: ours\nAuthorization: Bearer sk-custom-4f9a8b7c6d5e",
}
HELLO = [{"choices": [{"delta": {"content": "Hello"}, "finish_reason": "stop"}]}]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)


def headers_of(server: FakeServer, model: OpenAIModel) -> dict[str, str]:
    server.will_say(Answer(chunks=sse(HELLO)))
    ask(model)
    return server.requests[-1].headers


class Recorder(httpx2.AsyncBaseTransport):
    """Stands where the network is, for hosts that a test must not reach."""

    def __init__(self) -> None:
        self.headers: httpx2.Headers = httpx2.Headers()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.headers = request.headers
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"".join(sse(HELLO)))


def sent_to(make: Callable[..., OpenAIModel], **settings: Any) -> httpx2.Headers:
    recorder = Recorder()
    assert ask(make("m", transport=recorder, **settings)).error is None
    return recorder.headers


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("base_url", [None, "https://api.openai.com/v1", "https://eu.api.openai.com/v1"])
def test_openai_gets_what_is_its_own(base_url: str | None) -> None:
    headers = sent_to(OpenAIChat, base_url=base_url)

    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["openai-organization"] == "org-ours"
    assert headers["openai-project"] == "proj-ours"
    assert headers["x-account"] == "ours"


@pytest.mark.usefixtures("account")
def test_so_does_the_server_that_the_environment_names_in_its_stead(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)

    for model in (OpenAIChat("m"), OpenAIChat("m", base_url=server.base_url + "/")):
        headers = headers_of(server, model)
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["openai-organization"] == "org-ours"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com.evil.example/v1",
        "https://evil.example/api.openai.com/v1",
        "https://openrouter.ai/api/v1",
        "https://ours.openai.azure.com/openai/v1/",
        "http://localhost:11434/v1",
    ],
)
@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_nobody_else_gets_anything_of_openai(kind: type[OpenAIModel], base_url: str) -> None:
    recorder = Recorder()
    model = kind("m", base_url=base_url, transport=recorder)

    outcome = ask(model)

    if outcome.error is not None and model.endpoint.needs_key:
        assert "OPENROUTER_API_KEY" in str(outcome.error) or "AZURE_OPENAI_API_KEY" in str(outcome.error)
        assert not recorder.headers
        return
    assert recorder.headers["authorization"] == "Bearer no-key-needed"
    assert not {"openai-organization", "openai-project", "x-account"} & set(recorder.headers)
    assert not [value for value in ACCOUNT.values() if value in str(recorder.headers.raw)]


@pytest.mark.usefixtures("account")
def test_a_user_name_in_a_url_is_not_its_host() -> None:
    base_url = "https://api.openai.com:pass-word@evil.example/v1"

    assert KEY not in str(sent_to(OpenAIChat, base_url=base_url).raw)
    described = OpenAIChat("m", base_url=base_url).to_dict()
    assert described == {"id": "m", "provider": "evil.example", "endpoint": "evil.example"}


@pytest.mark.usefixtures("account")
def test_a_server_of_ones_own_gets_the_key_that_is_its_own(server: FakeServer) -> None:
    headers = headers_of(server, OpenAIChat("m", base_url=server.base_url, api_key=OTHER_KEY, organization="theirs"))

    assert headers["authorization"] == f"Bearer {OTHER_KEY}"
    assert headers["openai-organization"] == "theirs"
    assert not {"openai-project", "x-account"} & set(headers)


async def async_key() -> str:
    return OTHER_KEY


@pytest.mark.parametrize(
    "key",
    [OTHER_KEY, f" {OTHER_KEY}\n", SecretStr(OTHER_KEY), lambda: OTHER_KEY, async_key, lambda: SecretStr(OTHER_KEY)],
    ids=["text", "padded", "secret", "function", "async function", "function of a secret"],
)
def test_a_key_may_be_given_in_any_form(key: Any, server: FakeServer) -> None:
    assert headers_of(server, OpenAIChat("m", base_url=server.base_url, api_key=key))["authorization"] == (
        f"Bearer {OTHER_KEY}"
    )


def test_a_key_that_is_put_right_in_the_environment_works_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    model = OpenAIChat("m", transport=recorder)
    monkeypatch.setenv("OPENAI_API_KEY", "")

    assert type(ask(model).failure) is ModelAuthenticationError
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert ask(model).whole.content == "Hello"
    assert recorder.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (OpenAIChat, "set the environment variable OPENAI_API_KEY"),
        (Gemini, "set the environment variable GEMINI_API_KEY or GOOGLE_API_KEY"),
    ],
)
def test_no_key_for_a_provider_that_needs_one(make: Callable[[str], OpenAIModel], words: str) -> None:
    failure = ask(make("m")).failure

    assert type(failure) is ModelAuthenticationError
    assert words in str(failure)


@pytest.mark.parametrize("name", ["GEMINI_API_KEY", "GOOGLE_API_KEY"])
def test_gemini_reads_its_own_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, OTHER_KEY)

    assert sent_to(Gemini)["authorization"] == f"Bearer {OTHER_KEY}"


@pytest.mark.usefixtures("account")
def test_gemini_elsewhere_by_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", OTHER_KEY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.base_url)

    headers = headers_of(server, Gemini("gemini-2.5-flash"))

    assert headers["authorization"] == f"Bearer {OTHER_KEY}"
    assert not {"openai-organization", "x-account"} & set(headers)


def test_a_key_over_plain_http_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match=r"llm\.example:8000 is sent unencrypted"):
        OpenAIChat("m", base_url="http://llm.example:8000/v1", api_key=OTHER_KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://llm.example/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.warns(UserWarning, match="unencrypted"):
        OpenAIResponses("m")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "http://llm.example/v1"},
        {"base_url": "http://127.0.0.1:1/v1", "api_key": OTHER_KEY},
        {"base_url": "http://[::1]:1/v1", "api_key": OTHER_KEY},
        {"base_url": "https://llm.example/v1", "api_key": OTHER_KEY},
    ],
)
def test_else_it_is_not(settings: dict[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OpenAIChat("m", **settings)


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_a_key_is_in_no_error_traceback_log_or_description(
    kind: type[OpenAIModel], key: str, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.will_say(
        json_answer({"error": {"message": f"Incorrect API key provided: {key}", "code": key}}, status=401),
        Answer(chunks=[b'data: {"error": {"message": "Bearer %b is bad"}}\n\n' % key.encode()]),
        Answer(chunks=[], end="cut"),
    )
    model = kind("m", base_url=server.base_url, api_key=key)

    seen = [repr(model), str(model.to_dict()), str(vars(model))]
    for _ in range(3):
        error = ask(model).failure
        assert (error.__context__, error.__cause__) == (None, None)
        seen.append(repr(vars(error)))
        seen.extend(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    seen.append(caplog.text)

    assert len(server.requests) == 3
    assert not [text for text in seen if key in text]


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_nor_is_it_in_the_traceback_of_what_is_no_failure_of_a_model(kind: type[OpenAIModel]) -> None:
    class Cancelling(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as raised:
        ask(kind("m", api_key=OTHER_KEY, transport=Cancelling()))

    shown = "".join(traceback.TracebackException.from_exception(raised.value, capture_locals=True).format())
    assert "_send_request" in shown
    assert OTHER_KEY not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key sk-proj-4f9a8b7c6d5e4f3a2b1c.", "key [redacted]."),
        ("sk-ant-api03-AbCdEf0123456789", "[redacted]"),
        ("sk-or-v1-0123456789abcdef0123", "[redacted]"),
        ("sk-abcd************wxyz", "[redacted]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted]"),
        ("ghp_abcdefghijklmnopqrst1234", "[redacted]"),
        ("hf_abcdefghijklmnopqrstuvwx", "[redacted]"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [redacted]"),
        ("the package sk-learn-contrib-extensions", "the package sk-learn-contrib-extensions"),
        ("a bearer of good news", "a bearer of good news"),
        ("Bearer sk-only-letters-in-it", "Bearer [redacted]"),
        ("Bearer hf_abcdefghijklmnopqrst.uvw-xyz/1+2=", "Bearer [redacted]"),
        ("xoxb-123456789012-abcdefGHIJ", "[redacted]"),
        ("xapp-1-A123456789-abc", "[redacted]"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        ("the AKIABARA tree", "the AKIABARA tree"),
        ("at postgresql://ada:p$ss[1]@localhost:5432/db?x=1", "at postgresql://ada:[redacted]@localhost:5432/db?x=1"),
        ("redis://:p%40ss@h, amqp://a:b@h", "redis://:[redacted]@h, amqp://a:[redacted]@h"),
        ("postgresql://user:password@host/db", "postgresql://user:password@host/db"),
        ("http://{user}:{secret}@host http://u:$PW@h", "http://{user}:{secret}@host http://u:$PW@h"),
        ("http://localhost:8000/@ada http://ada@localhost", "http://localhost:8000/@ada http://ada@localhost"),
        # In quadratic time, this would take minutes.
        pytest.param("sk-" * 500_000, "sk-" * 500_000, id="long"),
        pytest.param("sk-" * 500_000 + "1", "[redacted]", id="long, with a digit"),
        pytest.param("@" + "://a:" * 300_000, "@" + "://a:" * 300_000, id="many URLs"),
        pytest.param("@ ://" + "a:{$" * 300_000, "@ ://" + "a:{$" * 300_000, id="a long URL"),
    ],
)
def test_redaction_by_shape(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_redaction_of_what_the_environment_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "correct horse")
    monkeypatch.setenv("ACME_LONG_API_KEY", "correct horse battery")
    monkeypatch.setenv("ACME_TOKEN", "short")

    assert redact("correct horse battery, correct horse, short") == "[redacted], [redacted], short"


@pytest.mark.parametrize(
    "name",
    [
        *("PGPASSWORD", "DB_PASS", "DB_PASSWD", "MYSQL_PWD", "my_api_key", "API_KEY", "PASSWORD", "TOKEN", "SECRET"),
        *("AZURE_OPENAI_KEY", "OPENAI_KEY", "OPENAI_APIKEY", "OPENAI_API_KEY_2", "GITHUB_PAT", "AZURE_STORAGE_KEY"),
        *("REDISCLI_AUTH", "AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY", "Acme-Key"),
    ],
)
def test_a_variable_holds_a_key_by_the_last_word_of_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "/horse+4242=")
    assert redact("it is /horse+4242=") == "it is [redacted]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PASSWORD", "postgres"),
        ("OPENAI_API_KEY", "Placeholder"),
        ("DB_PASS", "short1!"),
        ("SORT_KEY", "customer_name"),
        ("SSH_KEY", "/home/ada/.ssh/id_ed25519"),
        ("OLDPWD", "/home/ada2/work"),
        ("PWD", "/home/ada2/work"),
        ("MONKEY", "chimpanzee-1"),
        ("TOKENIZERS_PARALLELISM", "not-at-all"),
        ("DATABASE_URL", "postgresql://postgres:postgres@db.internal/main"),
    ],
)
def test_words_paths_and_other_variables_stay(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    text = f"see {value.partition('@')[2] or value} in postgres"
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://ada:horse%2F4242@db.internal/main"),
        ("db_uri", "mysql+pymysql://ada:horse/4242@db.internal/main"),
        ("SENTRY_DSN", "host=h user=ada password=horse/4242 dbname=x"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=horse/4242;EndpointSuffix=e"),
    ],
)
def test_the_password_in_a_connection_string_is_a_key(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert redact("ada has horse/4242 at db.internal") == "ada has [redacted] at db.internal"


def shown(error: BaseException) -> str:
    """A traceback with local variables, except those of this file."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    told.stack = traceback.StackSummary([frame for frame in told.stack if frame.filename != __file__])
    return "".join(told.format())


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_user_and_password_of_a_base_url_are_sent_and_shown_nowhere(
    kind: type[OpenAIModel], by: str, server: FakeServer, caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    base_url = server.base_url.replace("://", "://ada:p%40ss@")
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    model = kind("m", base_url=base_url if by == "argument" else None)
    server.will_say(
        json_answer({"error": {"message": "Basic YWRhOnBAc3M= is refused"}}, status=401), Answer(chunks=[], end="cut")
    )

    seen = [repr(model), str(model.to_dict()), str(vars(model)), str(model.endpoint)]
    seen += [shown(ask(model).failure) for _ in range(2)]

    assert [request.headers["authorization"] for request in server.requests] == ["Basic YWRhOnBAc3M="] * 2
    for secret in ("p@ss", "p%40ss", "YWRhOnBAc3M="):
        assert not [text for text in [*seen, caplog.text] if secret in text]


def test_nor_where_the_server_is_asked_for_its_models(
    server: FakeServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url.replace("://", "://ada:pass@"))
    server.will_say(json_answer({"data": [{"id": "one"}]}, status=200), json_answer({}, status=500))

    assert resolve_model().id == "one"
    with pytest.raises(InvalidInputError) as unlisted:
        resolve_model()

    assert [request.headers["authorization"] for request in server.requests] == ["Basic YWRhOnBhc3M="] * 2
    assert not [secret for secret in ("ada:pass", OTHER_KEY) if secret in caplog.text + shown(unlisted.value)]


@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_the_query_of_a_base_url_comes_after_the_path(kind: type[OpenAIModel], server: FakeServer) -> None:
    model = kind("m", base_url=f"{server.base_url}/?api-version=2024-10-21&x=", api_key=OTHER_KEY)
    server.will_say(json_answer({}, status=400), json_answer({}, status=400))

    ask(model)
    ask(pickle.loads(pickle.dumps(model)))

    path = "/v1/chat/completions" if kind is OpenAIChat else "/v1/responses"
    assert [request.path for request in server.requests] == [f"{path}?api-version=2024-10-21&x="] * 2


def test_so_does_it_where_the_server_is_asked_for_its_models(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.base_url}?api-version=2024-10-21")
    server.will_say(json_answer({"data": [{"id": "one"}]}, status=200))

    assert resolve_model().id == "one"
    assert [request.path for request in server.requests] == ["/v1/models?api-version=2024-10-21"]


@pytest.mark.parametrize("name", ["key", "api_key", "subscription-key", "sig", "code", "access_token", "x"])
def test_a_key_in_the_query_of_a_base_url_is_refused_and_not_repeated(name: str) -> None:
    value = KEY if name == "x" else "value-4242"
    with pytest.raises(InvalidInputError, match=f"has '{name}', which looks like a key") as raised:
        OpenAIChat("m", base_url=f"https://example.invalid/v1?api-version=1&{name}={value}")
    assert value not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_BASE_URL", "ftp://localhost/v1?key=a-pass"),
        ("OPENAI_BASE_URL", "http://ada:pass/word@localhost:8000/v1"),
        ("OPENAI_BASE_URL", "ada:pass@localhost:8000/v1"),
        ("OPENAI_BASE_URL", "ftp://ada:pass@localhost/v1"),
        ("OLLAMA_HOST", "http://ada:pass@localhost:x"),
    ],
)
def test_a_url_that_is_refused_is_named_without_its_password(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(InvalidInputError) as raised:
        resolve_model("ollama:m" if name == "OLLAMA_HOST" else "openai:m")

    assert "localhost" in str(raised.value)
    assert "pass" not in str(raised.value)


@pytest.mark.parametrize("proxy", ["ftp://ada:pass@localhost:1", "http://ada:pass/word@localhost:1"])
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    monkeypatch.delenv("OPENAI_MODEL", raising=False)

    with pytest.raises(InvalidInputError, match="cannot use the proxy") as asked:
        ask(OpenAIChat("m"))
    with pytest.raises(InvalidInputError, match="cannot use the proxy") as listed:
        resolve_model()

    assert not [text for text in (shown(asked.value), shown(listed.value)) if "pass" in text]


def test_a_proxy_that_refuses_is_named_without_its_password(
    server: FakeServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", server.base_url.replace("://", "://ada:pass@"))
    server.will_say(json_answer({"error": {"message": "who are you?"}}, status=407))

    error = ask(OpenAIChat("m", base_url="http://example.invalid/v1")).failure

    assert server.requests[0].headers["proxy-authorization"] == "Basic YWRhOnBhc3M="
    assert "ada:pass" not in shown(error) + caplog.text


def test_a_secret_header_that_a_server_repeats_is_taken_out(server: FakeServer) -> None:
    server.will_say(json_answer({"error": {"message": f"the api-key {OTHER_KEY} is wrong"}}, status=401))

    error = ask(OpenAIChat("m", base_url=server.base_url, extra_headers={"api-key": OTHER_KEY})).failure

    assert str(error).endswith("Message: the api-key [redacted] is wrong")


@pytest.mark.parametrize("api_key", ["sk-of-the-argument", lambda: "sk-of-a-function"], ids=["text", "function"])
@pytest.mark.parametrize("kind", [OpenAIChat, OpenAIResponses])
def test_a_key_next_to_the_password_of_a_url_is_refused(kind: type[OpenAIModel], api_key: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        kind("m", base_url="http://ada:hunter2@localhost:8000/v1", api_key=api_key)
    text = "".join(traceback.format_exception(caught.value))
    assert "contains a user and a password, and api_key is set too" in text
    assert "localhost:8000" in str(caught.value)
    assert not {secret for secret in ("hunter2", "sk-of") if secret in str(caught.value)}
