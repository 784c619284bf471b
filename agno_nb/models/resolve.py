"""Model choice: from a string, or from the environment by default."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agno_nb.errors import InvalidInputError, ModelConnectionError, ModelRequestError
from agno_nb.models.base import Model
from agno_nb.models.model_strings import parse_model_string
from agno_nb.models.openai.profiles import PROFILES, Endpoint, Unseen, environment
from agno_nb.redact import redact, without_userinfo
from agno_nb.types import as_dict, as_list

if TYPE_CHECKING:
    import httpx2

_URL_VARIABLE = "OPENAI_BASE_URL"
_KEYS = (_URL_VARIABLE, "OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY")
"""Variables of which one chooses a model that is not the demo model."""
_LISTING_TIMEOUT_S = 5.0
LOADING_WAIT_S = 60.0
"""Maximum time to wait for a server that is loading its model, in seconds."""
_LOADING_POLL_S = 0.2
_MAX_LISTING_BYTES = 4 * 2**20


def resolve_model(model: Model | str | None = None) -> Model:
    """Return the model for an object, a string or None.

    Parameters
    ----------
    model : Model, str or None
        A string has the form ``"PROVIDER:NAME"`` or ``"PROVIDER:NAME@SERVER"``, see
        :mod:`agno_nb.models.model_strings`, or is ``"demo"``. None selects the first of
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
        The string is not a known model, or names none and the server doesn't list its models.
    ModelConnectionError
        No model is named, and the server that would list its models cannot be reached.
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


def needs_sdk(model: str | None) -> bool:
    """Return whether requests of the model for a string or None use the SDK, as those of all but the demo model do."""
    text = model or environment("AGNO_NB_MODEL")
    return text.strip() != "demo" if text else any(map(environment, _KEYS))


def _from_environment() -> Model:
    if setting := environment("AGNO_NB_MODEL"):
        return _from_string(setting)
    if environment("OPENAI_BASE_URL") or environment("OPENAI_API_KEY"):
        return _openai(environment("OPENAI_MODEL"))
    if environment("GEMINI_API_KEY") or environment("GOOGLE_API_KEY"):
        from agno_nb.models.google import Gemini

        return Gemini()
    return _from_string("demo")


def _from_string(text: str) -> Model:
    provider, name, base_url = parse_model_string(text)
    if provider == "demo":
        from agno_nb.models.demo import DemoModel

        return DemoModel()
    # Imported here, so that the demo model doesn't load them.
    from agno_nb.models.google import Gemini
    from agno_nb.models.openai import OpenAIChat

    if provider == "openai":
        return _openai(name, base_url)
    if provider in ("google", "gemini"):
        return Gemini(name, base_url=base_url)
    if base_url is None and provider == "ollama":
        base_url = ollama_url()
    base_url = base_url or PROFILES[provider].base_url
    if not name:
        endpoint = Endpoint.find(home="openai", base_url=base_url, provider=provider)
        name = _first_listed_model(endpoint, repr(text))
    return OpenAIChat(name, base_url=base_url, provider=provider)


def _openai(name: str, base_url: str | None = None) -> Model:
    """Return the model `name` at OpenAI, `base_url` or `OPENAI_BASE_URL`; "" is the default model there."""
    from agno_nb.models.openai import OpenAIChat, OpenAIResponses

    endpoint = Endpoint.find(home="openai", base_url=base_url)
    if endpoint.provider == "openai":
        return OpenAIResponses(name, base_url=base_url) if name else OpenAIResponses(base_url=base_url)
    # All servers have Chat Completions; only OpenAI has the complete Responses API.
    source = _URL_VARIABLE if base_url is None else repr(f"openai:@{base_url}")
    return OpenAIChat(name or _first_listed_model(endpoint, source), base_url=base_url)


def _first_listed_model(endpoint: Endpoint, source: str) -> str:
    """Return the first model that a server lists. `source` is the variable or the string that names the server."""
    import httpx2

    from agno_nb.models.openai.connection import connected
    from agno_nb.models.openai.wire import as_text, parse_json

    base_url, query = endpoint.base_url_and_query
    key = endpoint.key_in_environment()
    authorization = endpoint.basic_auth or (key and Unseen(f"Bearer {key}"))
    headers = {"Authorization": authorization} if authorization else {}
    hooks: dict[str, list[Callable[..., Any]]] = {
        "request": [endpoint.refuse_other_origin],
        "response": [_drop_redirect_body],
    }
    client = connected(lambda: httpx2.Client(timeout=_LISTING_TIMEOUT_S, follow_redirects=True, event_hooks=hooks))
    ends_at = time.monotonic() + LOADING_WAIT_S
    try:
        with client:
            while True:
                with client.stream("GET", f"{base_url.rstrip('/')}/models", params=query, headers=headers) as answer:
                    # llama.cpp's server lists its model only when that is loaded.
                    if answer.status_code != 503 or time.monotonic() > ends_at:
                        answer.raise_for_status()
                        models = as_list(as_dict(parse_json(_start_of(answer))).get("data"))
                        break
                time.sleep(_LOADING_POLL_S)
    except ModelRequestError as redirect:
        raise InvalidInputError(f"{source}: {redirect}") from None
    except httpx2.ConnectError as error:
        raise ModelConnectionError(
            f"cannot reach {endpoint.host}, the server of {source}; start it, or "
            f"{'unset the variable' if source == _URL_VARIABLE else 'name another one'}. Reason: {redact(str(error))}"
        ) from None
    except InvalidInputError:
        raise
    except (httpx2.HTTPError, ValueError):
        models = []
    name = next((name for model in models if (name := as_text(as_dict(model).get("id")))), "")
    if not name:
        raise InvalidInputError(
            f"{endpoint.host}, the server of {source}, does not list its models; "
            + ("set the environment variable OPENAI_MODEL to a name, or " if source == _URL_VARIABLE else "")
            + f"name one: '{'openai' if endpoint.provider == endpoint.host else endpoint.provider}:<name>'"
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


def ollama_url() -> str | None:
    """Return the URL of Ollama from `OLLAMA_HOST`, which may be a host, a host and port, or a URL."""
    where = environment("OLLAMA_HOST")
    if not where:
        return None
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
