"""Who speaks OpenAI's protocol, where, and with which accent. Data; the rules that read it are in `endpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A provider of the OpenAI protocol.

    The knobs are the few differences that a request has to respect; what differs in answers is tolerated from
    everybody. The defaults are what a server that we do not know is most likely to accept.
    """

    base_url: str = ""
    base_url_variable: str = ""
    """The environment variable that moves the provider elsewhere."""
    hosts: tuple[str, ...] = ()
    """Hosts of the provider, with their port where it is not the scheme's; ".x.y" is every host below x.y."""
    key_variables: tuple[str, ...] = ()
    """Environment variables that may hold the provider's key, the first that is set wins."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True
    """Whether the server takes `stream_options` and then reports tokens."""
    null_content: bool = False
    """Whether a message that only calls tools says ``"content": null``. Small servers take only a string there."""
    json_schema: bool = True
    """Whether the server takes a JSON schema for its answer. Otherwise the schema is written into the prompt."""
    strict_tools: bool = False
    """Whether the server is asked to enforce the schema of a tool's arguments, where that schema allows it."""
    limited_strict: bool = False
    """Whether its strict mode is Azure's: no ``format``, ``minimum`` and the like, 100 properties, 5 levels."""


PROFILES: dict[str, Profile] = {
    "openai": Profile(
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        hosts=("api.openai.com", ".api.openai.com"),
        key_variables=("OPENAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        null_content=True,
        strict_tools=True,
    ),
    "azure": Profile(
        hosts=(".openai.azure.com", ".services.ai.azure.com"),
        key_variables=("AZURE_OPENAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        null_content=True,
        strict_tools=True,
        limited_strict=True,
    ),
    "google": Profile(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        base_url_variable="GOOGLE_GEMINI_BASE_URL",
        hosts=("generativelanguage.googleapis.com",),
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        null_content=True,
    ),
    "openrouter": Profile(
        base_url="https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        key_variables=("OPENROUTER_API_KEY",),
        null_content=True,
    ),
    "ollama": Profile(base_url="http://localhost:11434/v1", hosts=("localhost:11434",)),
    "lmstudio": Profile(base_url="http://localhost:1234/v1", hosts=("localhost:1234",)),
    "vllm": Profile(base_url="http://localhost:8000/v1", hosts=("localhost:8000",)),
}
