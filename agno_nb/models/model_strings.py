"""Model strings: ``PROVIDER:NAME`` or ``PROVIDER:NAME@SERVER``.

`PROVIDER` is a key of `EXAMPLES`, and ends at the first colon. `NAME` is the server's name of the model; it may contain
``:``, ``/`` and ``@``. `SERVER` is a URL with http:// or https://. For the providers that run on your own machines
(`LOCAL`) it may also be a host or ``host:port``, and everything after the last ``@`` is the server: a name with ``@``
then needs a server, as in ``lmstudio:qwen3-8b@4bit@localhost``. For the other providers an ``@`` belongs to the name
unless a URL follows.

A URL without a path has the path of the provider, which usually is ``/v1``. Keys, users and passwords are refused,
because strings are shown, logged and saved in notebooks.
"""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from agno_nb.errors import InvalidInputError
from agno_nb.models.base import Model
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.models.openai.profiles import PROFILES, check_base_url, environment
from agno_nb.redact import redact

EXAMPLES = {
    "openai": "openai:gpt-5-mini",
    "anthropic": "anthropic:claude-sonnet-5-5",
    "google": "google:gemini-2.5-flash",
    "gemini": "gemini:gemini-2.5-flash",
    "azure": "azure:my-deployment@https://my-resource.openai.azure.com",
    "deepseek": "deepseek:deepseek-chat",
    "mistral": "mistral:mistral-small-latest",
    "groq": "groq:openai/gpt-oss-20b",
    "together": "together:openai/gpt-oss-20b",
    "xai": "xai:grok-4.7",
    "openrouter": "openrouter:openai/gpt-5-mini",
    "ollama": "ollama:llama3.2",
    "lmstudio": "lmstudio:qwen3-8b",
    "llamacpp": "llamacpp:qwen3-8b",
    "vllm": "vllm:Qwen/Qwen3-8B",
    "litellm": "litellm:claude-sonnet-5-5",
    "demo": "demo",
}
"""An example for each provider."""

LOCAL = tuple(name for name, profile in PROFILES.items() if "//localhost" in profile.base_url)
"""Providers that are programs to run on a machine of your own."""
UNNAMED = ("llamacpp", "vllm")
"""Providers whose servers have one model, so that its name may be left out."""

_URL_SERVER = re.compile(r"@(?=https?://)", re.IGNORECASE)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?P<port>:\d+)?(?P<path>/.*)?", re.ASCII)
_LOOKS_LIKE_HOST = re.compile(r"@((localhost|[\w.-]+:\d+|\d+(\.\d+){3})(/.*)?)\Z", re.ASCII)
_USER_IN_URL = re.compile(r"https?://[^/?#]*@", re.IGNORECASE)
_USER_AND_PASSWORD = re.compile(r"[^@/?#]*:[^@/?#]*@")


class ModelString(NamedTuple):
    """A parsed model string."""

    provider: str
    name: str
    """"" for the model that the server lists first."""
    base_url: str | None
    """None for the provider's own URL."""


def parse_model_string(text: str) -> ModelString:
    """Parse a model string.

    Raises
    ------
    InvalidInputError

    Examples
    --------
    >>> parse_model_string("ollama:qwen3:8b@192.168.1.5")
    ModelString(provider='ollama', name='qwen3:8b', base_url='http://192.168.1.5:11434/v1')
    >>> parse_model_string("openai:Qwen/Qwen3-8B@http://localhost:8080/v1").base_url
    'http://localhost:8080/v1'
    """
    provider, _, rest = text.partition(":")
    provider, rest = provider.strip().lower(), rest.strip()
    _refuse_credentials(rest)
    shown = redact(text)
    if provider not in EXAMPLES or (provider == "demo" and rest):
        raise InvalidInputError(f"{shown!r} is not a model; {_suggestion(shown, provider)}")
    name, server = _split(provider, rest)
    if provider not in LOCAL and (host := _LOOKS_LIKE_HOST.search(name)) is not None:
        raise InvalidInputError(
            f"{shown!r} has a server without http:// or https://; write the whole URL, for example "
            f"'{provider}:{name[: host.start()]}@http://{host[1]}'"
        )
    base_url = _base_url(provider, server, shown) if server is not None else None
    may_be_unnamed = provider in ("demo", *UNNAMED) or (provider == "openai" and base_url is not None)
    if not name and not may_be_unnamed:
        raise InvalidInputError(f"{shown!r} is not a model; {_suggestion(shown, provider)}")
    if provider == "azure" and base_url is None:
        raise InvalidInputError(
            f"{shown!r} names no Azure resource; set the environment variable AZURE_OPENAI_ENDPOINT to its URL, or "
            f"append the URL, for example {EXAMPLES['azure']!r}"
        )
    return ModelString(provider, name, base_url)


def model_string(model: Model) -> str:
    """Return the string of a model: the inverse of :func:`parse_model_string`, as far as a string can describe it."""
    if not isinstance(model, OpenAIModel):
        return model.provider if model.provider == "demo" else f"{model.provider}:{model.id}"
    base_url = model.endpoint.base_url
    if model.provider not in EXAMPLES:
        return f"openai:{model.id}@{base_url}"
    is_home = base_url.rstrip("/") == PROFILES[model.provider].base_url
    return f"{model.provider}:{model.id}" if is_home else f"{model.provider}:{model.id}@{base_url}"


def server_url(provider: str, server: str) -> str | None:
    """Return the base URL for a host, ``host:port`` or URL without user; None if it is none of them."""
    home = urlsplit(PROFILES[provider].base_url or "https://localhost/openai/v1")
    if "://" not in server:
        found = _HOST.fullmatch(server)
        # Host names have no underscores, except those of containers; LM Studio has variants such as "@q4_k_m".
        if found is None or ("_" in found["host"] and not found["port"]):
            return None
        port = found["port"] or (f":{home.port}" if home.port else "")
        # Servers listen to the wildcard, which is not an address to connect to.
        host = "localhost" if found["host"] in ("0.0.0.0", "[::]") else found["host"]
        server = f"http://{host}{port}{found['path'] or ''}"
    check_base_url(server)
    url = urlsplit(server)
    return server if url.path.strip("/") else url._replace(path=home.path).geturl()


def _split(provider: str, rest: str) -> tuple[str, str | None]:
    """Return the name and the server."""
    if (url := _URL_SERVER.search(rest)) is not None:
        return rest[: url.start()].strip(), rest[url.end() :].strip()
    if provider in LOCAL and "@" in rest:
        name, _, server = rest.rpartition("@")
        return name.strip(), server.strip()
    # `OPENAI_BASE_URL` and `GOOGLE_GEMINI_BASE_URL` are read by the models.
    variable = PROFILES[provider].base_url_variable if provider in ("azure", "litellm") else ""
    return rest, (environment(variable) if variable else "") or None


def _base_url(provider: str, server: str, shown: str) -> str:
    base_url = server_url(provider, server)
    if base_url is None:
        raise InvalidInputError(
            f"invalid server {server!r} in {shown!r}; after the last '@' write a host, host:port or URL, or for a name "
            f"with '@' add the server, for example '{shown}@localhost'"
        )
    return base_url


def _refuse_credentials(rest: str) -> None:
    server = _URL_SERVER.split(rest, 1)[-1]
    if _USER_AND_PASSWORD.match(rest.partition("@")[2]) or _USER_IN_URL.match(server):
        raise InvalidInputError(
            "the server in a model string has a user and a password, and these strings are shown and logged; pass them "
            "as OpenAIChat(name, base_url=...), or in the environment variable OPENAI_BASE_URL"
        )


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
