"""Known servers with OpenAI's API: URLs, keys and deviations. `endpoint` applies this data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A provider of OpenAI's API.

    The flags are deviations that matter in requests; deviations in answers are tolerated from all servers. The defaults
    are for unknown servers.
    """

    base_url: str = ""
    base_url_variable: str = ""
    """Environment variable with another base URL."""
    hosts: tuple[str, ...] = ()
    """Hosts of the provider, with non-default ports; ".x.y" stands for all hosts below x.y."""
    key_variables: tuple[str, ...] = ()
    """Environment variables with the provider's key; the first one set wins."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True
    """Whether the server accepts `stream_options` and then reports tokens."""
    null_content: bool = False
    """Whether messages with only tool calls have ``"content": null``. Small servers require a string."""
    json_schema: bool = True
    """Whether the server accepts a JSON schema of the answer. Otherwise the schema is added to the prompt."""
    strict_tools: bool = False
    """Whether to use the server's strict mode for tool parameters that allow it."""
    limited_strict: bool = False
    """Whether strict mode has Azure's limits: no ``format``, ``minimum`` etc., 100 properties, 5 levels."""


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
