"""Model choice: from a string, or from the environment by default."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agno_nb.errors import InvalidInputError, ModelConnectionError, ModelRequestError
from agno_nb.models.base import Model
from agno_nb.models.google import Gemini
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.profiles import PROFILES, Endpoint, Unseen, connected, environment
from agno_nb.models.openai.wire import as_text, parse_json
from agno_nb.redact import redact, without_userinfo
from agno_nb.types import as_dict, as_list

if TYPE_CHECKING:
    import httpx2

EXAMPLES = {
    "openai": "openai:gpt-5-mini",
    "google": "google:gemini-2.5-flash",
    "gemini": "gemini:gemini-2.5-flash",
    "ollama": "ollama:llama3.2",
    "lmstudio": "lmstudio:qwen3-8b",
    "vllm": "vllm:Qwen/Qwen3-8B",
    "openrouter": "openrouter:openai/gpt-5-mini",
    "demo": "demo",
}
"""An example for each provider prefix."""

_LISTING_TIMEOUT_S = 5.0
_MAX_LISTING_BYTES = 4 * 2**20


def resolve_model(model: Model | str | None = None) -> Model:
    """Return the model for an object, a string or None.

    Parameters
    ----------
    model : Model, str or None
        A string has the form ``"<provider>:<model>"``, as in `EXAMPLES`, or is ``"demo"``. None selects the first of
        these that is set: `AGNO_NB_MODEL` (such a string), `OPENAI_BASE_URL`, `OPENAI_API_KEY`, `GEMINI_API_KEY` or
        `GOOGLE_API_KEY`, otherwise ``"demo"``. With the OpenAI variables, `OPENAI_MODEL` is the model's name. It
        defaults to OpenAI's small model, or to the first one listed by the server at `OPENAI_BASE_URL`.

    Returns
    -------
    Model
        For ``"openai:..."``, a model with the Responses API at OpenAI, or Chat Completions at another
        `OPENAI_BASE_URL`.

    Raises
    ------
    InvalidInputError
        The string is not a known model, or the server at `OPENAI_BASE_URL` doesn't list its models.
    ModelConnectionError
        The server at `OPENAI_BASE_URL` cannot be reached.
    """
    if isinstance(model, Model):
        return model
    if model is None:
        return _from_environment()
    if not isinstance(model, str):
        raise InvalidInputError(
            f"{model!r} is not a model; pass a model object or a string, for example 'openai:gpt-5-mini'"
        )
    return _from_string(model.strip())


def _from_environment() -> Model:
    if setting := environment("AGNO_NB_MODEL"):
        return _from_string(setting)
    if environment("OPENAI_BASE_URL") or environment("OPENAI_API_KEY"):
        return _openai(environment("OPENAI_MODEL"))
    if environment("GEMINI_API_KEY") or environment("GOOGLE_API_KEY"):
        return Gemini()
    return _from_string("demo")


def _from_string(text: str) -> Model:
    provider, _, name = text.partition(":")
    provider, name = provider.strip().lower(), name.strip()
    if provider not in EXAMPLES or (provider == "demo") == bool(name):
        raise InvalidInputError(f"{text!r} is not a model; {_suggestion(text, provider)}")
    if provider == "demo":
        from agno_nb.models.demo import DemoModel

        return DemoModel()
    if provider == "openai":
        return _openai(name)
    if provider in ("google", "gemini"):
        return Gemini(name)
    base_url = _ollama_url() if provider == "ollama" else PROFILES[provider].base_url
    return OpenAIChat(name, base_url=base_url, provider=provider)


def _openai(name: str) -> Model:
    """Return the model `name` at OpenAI or `OPENAI_BASE_URL`; "" is the default model there."""
    endpoint = Endpoint.find(home="openai")
    if endpoint.provider == "openai":
        return OpenAIResponses(name) if name else OpenAIResponses()
    # All servers have Chat Completions; only OpenAI has the complete Responses API.
    return OpenAIChat(name or _first_listed_model(endpoint))


def _first_listed_model(endpoint: Endpoint) -> str:
    import httpx2

    base_url, query = endpoint.base_url_and_query
    key = endpoint.key_in_environment()
    authorization = endpoint.basic_auth or (key and Unseen(f"Bearer {key}"))
    headers = {"Authorization": authorization} if authorization else {}
    hooks: dict[str, list[Callable[..., Any]]] = {
        "request": [endpoint.refuse_other_origin],
        "response": [_drop_redirect_body],
    }
    try:
        with (
            connected(
                lambda: httpx2.Client(timeout=_LISTING_TIMEOUT_S, follow_redirects=True, event_hooks=hooks)
            ) as client,
            client.stream("GET", f"{base_url.rstrip('/')}/models", params=query, headers=headers) as answer,
        ):
            answer.raise_for_status()
            models = as_list(as_dict(parse_json(_start_of(answer))).get("data"))
    except ModelRequestError as redirect:
        raise InvalidInputError(f"OPENAI_BASE_URL: {redirect}") from None
    except httpx2.ConnectError as error:
        raise ModelConnectionError(
            f"cannot reach {endpoint.host}, the server of OPENAI_BASE_URL; start it, or unset the variable. Reason: "
            f"{redact(str(error))}"
        ) from None
    except InvalidInputError:
        raise
    except (httpx2.HTTPError, ValueError):
        models = []
    name = next((name for model in models if (name := as_text(as_dict(model).get("id")))), "")
    if not name:
        raise InvalidInputError(
            f"{endpoint.host}, the server of OPENAI_BASE_URL, does not list its models; set the environment variable "
            "OPENAI_MODEL, or pass model='openai:<name>'"
        )
    return name


def _drop_redirect_body(answer: httpx2.Response) -> None:
    """An event hook: the client would read the whole body before following the redirect."""
    import httpx2

    if answer.has_redirect_location and isinstance(answer.stream, httpx2.SyncByteStream):
        answer.stream.close()
        answer.stream = httpx2.ByteStream(b"")


def _start_of(answer: httpx2.Response) -> str:
    """Return the start of a body, which may be endless."""
    body, ends_at = bytearray(), time.monotonic() + _LISTING_TIMEOUT_S
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > _MAX_LISTING_BYTES or time.monotonic() > ends_at:
            break
    return body.decode("utf-8", "replace")


def _ollama_url() -> str:
    """Return the URL of Ollama from `OLLAMA_HOST`, which may be a host, a host and port, or a URL."""
    where = environment("OLLAMA_HOST")
    if not where:
        return PROFILES["ollama"].base_url
    try:
        url = urlsplit(where if "://" in where else f"http://{where}")
        port = url.port or (11434 if "://" not in where else {"https": 443}.get(url.scheme, 80))
        name = url.hostname or "localhost"
    except ValueError:
        raise InvalidInputError(
            f"invalid OLLAMA_HOST {without_userinfo(where)!r}; set it to, for example, 'localhost:11434'"
        ) from None
    # The variable is also the server's listening address, and the wildcard is not an address to connect to.
    name = "localhost" if name in ("0.0.0.0", "::") else name
    return f"{url.scheme}://{f'[{name}]' if ':' in name else name}:{port}{url.path.rstrip('/')}/v1"


def _suggestion(text: str, provider: str) -> str:
    if provider in EXAMPLES:
        return f"use the form {EXAMPLES[provider]!r}"
    near = difflib.get_close_matches(provider, EXAMPLES, n=1, cutoff=0.75)
    if near:
        return f"did you mean {EXAMPLES[near[0]]!r}?"
    known = ", ".join(EXAMPLES)
    if ":" in text:
        return f"unknown provider {provider!r}; providers are {known}"
    return f"use the form '<provider>:<model>', for example 'openai:{text}' or 'ollama:{text}'; providers are {known}"
