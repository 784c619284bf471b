"""Models of other providers as classes. Each is an :class:`OpenAIChat` with the provider's URL and key.

agno's paths, such as `agno_nb.models.anthropic`, re-export them. A string such as ``"anthropic:claude-sonnet-5-5"``
gives the same model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.models.model_strings import server_url
from agno_nb.models.openai.chat import OpenAIChat
from agno_nb.models.openai.client import MODEL_ALIASES


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class Claude(OpenAIChat):
    """A Claude model, through Anthropic's endpoint with the Chat Completions API."""

    id: str = field(default="claude-sonnet-5-5", kw_only=False)
    provider: str = "anthropic"

    home: ClassVar[str] = "anthropic"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class DeepSeek(OpenAIChat):
    """A model of DeepSeek."""

    id: str = field(default="deepseek-chat", kw_only=False)
    provider: str = "deepseek"

    home: ClassVar[str] = "deepseek"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class MistralChat(OpenAIChat):
    """A model of Mistral."""

    id: str = field(default="mistral-small-latest", kw_only=False)
    provider: str = "mistral"

    home: ClassVar[str] = "mistral"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class Groq(OpenAIChat):
    """A model at Groq."""

    id: str = field(default="openai/gpt-oss-20b", kw_only=False)
    provider: str = "groq"

    home: ClassVar[str] = "groq"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class Together(OpenAIChat):
    """A model at Together AI."""

    id: str = field(default="openai/gpt-oss-20b", kw_only=False)
    provider: str = "together"

    home: ClassVar[str] = "together"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class xAI(OpenAIChat):
    """A Grok model."""

    id: str = field(default="grok-4.7", kw_only=False)
    provider: str = "xai"

    home: ClassVar[str] = "xai"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class OpenRouter(OpenAIChat):
    """A model at OpenRouter."""

    id: str = field(default="openai/gpt-5-mini", kw_only=False)
    provider: str = "openrouter"

    home: ClassVar[str] = "openrouter"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class LMStudio(OpenAIChat):
    """A model in LM Studio on this machine."""

    id: str = field(default="qwen3-8b", kw_only=False)
    provider: str = "lmstudio"

    home: ClassVar[str] = "lmstudio"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class LlamaCpp(OpenAIChat):
    """A model in llama.cpp's server on this machine."""

    id: str = field(default="qwen3-8b", kw_only=False)
    provider: str = "llamacpp"

    home: ClassVar[str] = "llamacpp"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class VLLM(OpenAIChat):
    """A model in vLLM on this machine."""

    id: str = field(default="Qwen/Qwen3-8B", kw_only=False)
    provider: str = "vllm"

    home: ClassVar[str] = "vllm"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class LiteLLMOpenAI(OpenAIChat):
    """A model behind LiteLLM's proxy on this machine."""

    id: str = field(default="claude-sonnet-5-5", kw_only=False)
    provider: str = "litellm"

    home: ClassVar[str] = "litellm"


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class Ollama(OpenAIChat):
    """A model in Ollama, by default on this machine or at `OLLAMA_HOST`.

    Examples
    --------
    >>> Ollama("llama3.2", host="192.168.1.5").base_url
    'http://192.168.1.5:11434/v1'
    """

    id: str = field(default="llama3.2", kw_only=False)
    provider: str = "ollama"
    host: str | None = None
    """Host, ``host:port`` or URL of the server."""

    home: ClassVar[str] = "ollama"

    def __post_init__(self) -> None:
        from agno_nb.models.resolve import ollama_url

        if self.host is not None:
            if self.base_url is not None:
                raise InvalidInputError(f"host={self.host!r} and base_url name the same setting; pass one of them")
            self.base_url = server_url("ollama", self.host)
            if self.base_url is None:
                raise InvalidInputError(f"invalid host {self.host!r}; pass, for example, 'localhost:11434'")
            self.host = None
        self.base_url = self.base_url or ollama_url()
        super().__post_init__()


@suggest_on_unknown_kwarg({**MODEL_ALIASES, "azure_endpoint": "base_url", "azure_deployment": "id"})
@dataclass(kw_only=True, repr=False, eq=False)
class AzureOpenAI(OpenAIChat):
    """A deployment at Azure OpenAI, whose resource is `base_url` or `AZURE_OPENAI_ENDPOINT`.

    Examples
    --------
    >>> AzureOpenAI("my-deployment", base_url="https://my-resource.openai.azure.com").base_url
    'https://my-resource.openai.azure.com/openai/v1'
    """

    id: str = field(default="gpt-5-mini", kw_only=False)
    """Name of the deployment."""
    provider: str = "azure"

    home: ClassVar[str] = "azure"

    def __post_init__(self) -> None:
        if self.base_url is not None:
            self.base_url = server_url("azure", self.base_url)
        super().__post_init__()
