"""Servers with OpenAI's API: their deviations, where requests go, and which keys may be sent there.

The SDK sends the user's OpenAI key, organization and project to any `base_url`. Here a key from the environment is sent
only to the hosts of its provider, and to the URL in the provider's own environment variable.

The file is long because all knowledge about servers is here, as data.
"""

from __future__ import annotations

import ipaddress
import os
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from agno_nb.errors import InvalidInputError, ModelRequestError
from agno_nb.redact import is_secret_name, redact, remember_secret, without_userinfo

if TYPE_CHECKING:
    import httpx2

CallIds = Literal["nine", "nine or known", "forty"]

_SECRET_PARAMETERS = ("code", "pass", "pat", "pwd", "sig")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRules:
    """Limits of a server for JSON schemas. `openai.schema_rules` rewrites schemas accordingly."""

    keywords: frozenset[str] | None = None
    """Accepted keywords; None for all but `refused`."""
    refused: frozenset[str] = frozenset()
    formats: frozenset[str] | None = None
    """Accepted values of ``format``; None for all."""
    only_string_enums: bool = False
    """Whether ``enum`` is accepted for strings only."""
    type_lists: bool = True
    """Whether ``type`` may be a list, such as ``["string", "null"]``."""

    def accepts(self, keyword: str) -> bool:
        return keyword not in self.refused and (self.keywords is None or keyword in self.keywords)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A provider of OpenAI's API.

    The fields are deviations that matter in requests; deviations in answers are tolerated from all servers. The
    defaults are for unknown servers, which may be gateways to any other, or render messages with any chat template.
    `openai.history` arranges messages by these fields, and `openai.schema_rules` rewrites schemas.
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
    call_content: Literal["omitted", "null", "empty"] = "empty"
    """The ``content`` of messages with only tool calls. Without a string, the chat templates of Qwen3, DeepSeek R1,
    Granite 3, Phi 3.5 and others fail. `MODELS_WITHOUT_EMPTY_TEXT` are sent none anywhere."""
    reasoning: Literal["returned", "required", "refused"] = "returned"
    """Whether `reasoning_content` is sent back: with tool calls, to the model that sent it under that name; with all
    answers, even if there was none; or never."""
    alternating_roles: bool = True
    """Whether messages must alternate between user and assistant, with one system message first and an answer after
    the results of tools, as in the chat templates of Mistral and Gemma."""
    single_calls: bool = True
    """Whether a message may have one tool call only, as in the chat template of Llama. Parallel calls are then sent
    one after another."""
    call_ids: CallIds = "nine or known"
    """Call ids of nine letters and digits, as in the chat template of Mistral; the same but for `KNOWN_CALL_IDS`; or of
    at most 40 characters, as OpenAI accepts them."""
    json_schema: bool = True
    """Whether the server accepts a JSON schema of the answer. Otherwise the schema is added to the prompt."""
    json_object: bool = True
    """Whether the server accepts a request for JSON without a schema."""
    json_with_tools: bool = True
    """Whether the server accepts either of them together with tools. Otherwise there is only the prompt."""
    strict_tools: bool = False
    """Whether to use the server's strict mode for tool parameters that allow it."""
    limited_strict: bool = False
    """Whether strict mode has Azure's limits: no ``format``, ``minimum`` etc., 100 properties, 5 levels."""
    schema_rules: SchemaRules | None = None
    """Limits for the schemas of tools and answers; None if there are none."""
    tool_choice: Literal["all", "strings", "ignored"] = "all"
    """Whether the server accepts the name of a tool, only "none", "auto" and "required", or ignores the field."""
    tool_images: bool = False
    """Whether images that tools return are sent by default. Small models often don't see, and fail."""
    tool_pdfs: bool = False
    """Whether PDF files that tools return are sent to models that see."""
    tool_audio: re.Pattern[str] | None = None
    """Names of models that are sent audio that tools return."""
    parses_calls: bool = False
    """Whether the server always parses the model's tool calls. Otherwise calls that arrive as text are parsed here."""
    parser_advice: str = (
        "start the server so that it parses tool calls, for example llama-server with `--jinja`, or vLLM with "
        "`--enable-auto-tool-choice --tool-call-parser NAME`"
    )
    """The remedy if the server does not parse the model's tool calls."""
    parses_reasoning: bool = False
    """Whether the server always separates reasoning. Otherwise ``<think>`` tags at the start of answers are parsed
    here."""


# https://ai.google.dev/api/caching#Schema; other keywords give "Unknown name ...: Cannot find field".
_OPENAPI_KEYWORDS = frozenset(
    "type format title description nullable enum items minItems maxItems properties required minProperties "
    "maxProperties minLength maxLength pattern example anyOf propertyOrdering default minimum maximum".split()
)

KNOWN_CALL_IDS = re.compile(r"functions\.[\w.-]+:\d+|.+__thought__.+", re.ASCII)
"""Call ids that are read: by the template of Kimi K2, and by LiteLLM, which keeps Gemini's thought signatures there."""

MODELS_WITHOUT_EMPTY_TEXT = re.compile(r"claude", re.IGNORECASE)
"""Claude refuses empty text, and gateways such as LiteLLM put text of their own in its place."""

PROFILES: dict[str, Profile] = {
    "openai": Profile(
        base_url="https://api.openai.com/v1",
        base_url_variable="OPENAI_BASE_URL",
        hosts=("api.openai.com", ".api.openai.com"),
        key_variables=("OPENAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        call_content="null",
        reasoning="refused",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        strict_tools=True,
        tool_images=True,
        tool_pdfs=True,
        tool_audio=re.compile("audio"),
        parses_calls=True,
        parses_reasoning=True,
    ),
    "azure": Profile(
        base_url_variable="AZURE_OPENAI_ENDPOINT",
        hosts=(".openai.azure.com", ".services.ai.azure.com"),
        key_variables=("AZURE_OPENAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        call_content="null",
        reasoning="refused",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        strict_tools=True,
        limited_strict=True,
        tool_images=True,
        tool_pdfs=True,
        tool_audio=re.compile("audio"),
        parses_calls=True,
    ),
    "google": Profile(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        base_url_variable="GOOGLE_GEMINI_BASE_URL",
        hosts=("generativelanguage.googleapis.com",),
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        call_content="null",
        reasoning="refused",
        alternating_roles=False,
        # A second message of calls would need a thought signature of its own.
        single_calls=False,
        call_ids="forty",
        # Before Gemini 3: "Function calling with a response mime type: 'application/json' is unsupported".
        json_with_tools=False,
        schema_rules=SchemaRules(
            keywords=_OPENAPI_KEYWORDS,
            formats=frozenset({"enum", "date-time", "int32", "int64", "float", "double"}),
            only_string_enums=True,
            type_lists=False,
        ),
        tool_images=True,
        tool_audio=re.compile("gemini"),
        parses_calls=True,
    ),
    "openrouter": Profile(
        base_url="https://openrouter.ai/api/v1",
        hosts=("openrouter.ai",),
        key_variables=("OPENROUTER_API_KEY",),
        call_content="null",
        # It passes the messages on to other providers, Mistral among them.
        single_calls=False,
        parses_calls=True,
    ),
    "deepseek": Profile(
        base_url="https://api.deepseek.com/v1",
        hosts=("api.deepseek.com",),
        key_variables=("DEEPSEEK_API_KEY",),
        # "The reasoning_content in the thinking mode must be passed back to the API": with calls even if there was
        # none, and with other answers it is ignored. R1, which refused it, is no longer served.
        reasoning="required",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        # "This response_format type is unavailable now"
        json_schema=False,
        parses_calls=True,
    ),
    "mistral": Profile(
        base_url="https://api.mistral.ai/v1",
        hosts=("api.mistral.ai", "codestral.mistral.ai"),
        key_variables=("MISTRAL_API_KEY",),
        # Fields that it doesn't know are "extra_forbidden". Tokens are reported without being requested.
        stream_usage=False,
        reasoning="refused",
        # "Unexpected role 'user' after role 'tool'"
        single_calls=False,
        call_ids="nine",
        parses_calls=True,
    ),
    "groq": Profile(
        base_url="https://api.groq.com/openai/v1",
        hosts=("api.groq.com",),
        key_variables=("GROQ_API_KEY",),
        max_tokens_field="max_completion_tokens",
        call_content="null",
        # "property 'reasoning_content' is unsupported"
        reasoning="refused",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        # A JSON schema can neither be streamed nor combined with tools.
        json_schema=False,
        json_with_tools=False,
        parses_calls=True,
    ),
    "together": Profile(
        base_url="https://api.together.xyz/v1",
        hosts=("api.together.xyz", "api.together.ai"),
        key_variables=("TOGETHER_API_KEY",),
        single_calls=False,
        parses_calls=True,
    ),
    "xai": Profile(
        base_url="https://api.x.ai/v1",
        hosts=("api.x.ai", ".api.x.ai"),
        key_variables=("XAI_API_KEY",),
        max_tokens_field="max_completion_tokens",
        call_content="null",
        reasoning="refused",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        tool_images=True,
        parses_calls=True,
    ),
    # Claude, https://platform.claude.com/docs/en/api/openai-sdk: `response_format` and `strict` are ignored.
    "anthropic": Profile(
        base_url="https://api.anthropic.com/v1",
        hosts=("api.anthropic.com",),
        key_variables=("ANTHROPIC_API_KEY",),
        call_content="omitted",
        reasoning="refused",
        alternating_roles=False,
        single_calls=False,
        call_ids="forty",
        json_schema=False,
        json_object=False,
        tool_images=True,
        parses_calls=True,
        parses_reasoning=True,
    ),
    "litellm": Profile(
        base_url="http://localhost:4000/v1",
        base_url_variable="LITELLM_PROXY_API_BASE",
        hosts=("localhost:4000",),
        key_variables=("LITELLM_PROXY_API_KEY", "LITELLM_API_KEY"),
        call_content="omitted",
        single_calls=False,
    ),
    "llamacpp": Profile(
        base_url="http://localhost:8080/v1",
        hosts=("localhost:8080",),
        # Its grammars know neither "not" nor escapes such as \d in patterns: "failed to parse grammar".
        schema_rules=SchemaRules(refused=frozenset({"not", "pattern"})),
        # An object is read as "auto".
        tool_choice="strings",
        parser_advice="start llama-server with `--jinja`, or use a model whose chat template has tools",
    ),
    "ollama": Profile(
        base_url="http://localhost:11434/v1",
        hosts=("localhost:11434",),
        # The properties of a tool are read without references.
        schema_rules=SchemaRules(refused=frozenset({"$ref", "$defs", "definitions"})),
        tool_choice="ignored",
        parser_advice="use a model that `ollama show` lists with the capability tools",
    ),
    "lmstudio": Profile(
        base_url="http://localhost:1234/v1",
        hosts=("localhost:1234",),
        schema_rules=SchemaRules(refused=frozenset({"not", "pattern"})),
        # "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
        tool_choice="strings",
        parser_advice="use a model that LM Studio marks as trained for tool use",
    ),
    "vllm": Profile(
        base_url="http://localhost:8000/v1",
        hosts=("localhost:8000",),
        parser_advice="start vLLM with `--enable-auto-tool-choice --tool-call-parser NAME`, with the model's parser",
    ),
}


class Unseen(str):
    """A string that tracebacks with local variables don't show."""

    def __repr__(self) -> str:
        return "'[redacted]'"


def environment(name: str) -> str:
    """Return an environment variable without surrounding whitespace; "" if it is unset."""
    return os.environ.get(name, "").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A model server, as known without a request."""

    base_url: str
    """May have a query such as ``?api-version=...``, which each request repeats."""
    provider: str
    """A name in `PROFILES`; for other servers the host."""
    profile: Profile
    host: str
    """Host and port for messages, without password."""
    key_variables: tuple[str, ...]
    """Environment variables whose keys may be sent there."""
    needs_key: bool
    """Whether the server is known to require a key."""
    basic_auth: Unseen = field(default=Unseen(), repr=False)
    """Authorization header for the user and password of the URL. It takes precedence over a key of the environment."""

    @property
    def is_openai_account(self) -> bool:
        """Whether organization and project of the user's OpenAI account may be sent there."""
        return "OPENAI_API_KEY" in self.key_variables

    @property
    def is_private(self) -> bool:
        """Whether the connection is encrypted or stays on this machine."""
        return urlsplit(self.base_url).scheme == "https" or self.is_local

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return _is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def base_url_and_query(self) -> tuple[str, dict[str, str]]:
        """`base_url` without its query, and the query: paths go between them."""
        base_url, _, query = self.base_url.partition("?")
        return base_url, dict(parse_qsl(query, keep_blank_values=True))

    def key_in_environment(self) -> str:
        """Return the key that may be sent there; "" if there is none."""
        return Unseen(next((key for name in self.key_variables if (key := environment(name))), ""))

    def refuse_other_origin(self, request: httpx2.Request) -> None:
        """Raise ModelRequestError unless `request` goes to the origin of `base_url`: an event hook for redirects.

        On redirects to another origin, clients drop at most the Authorization header. Azure's `api-key`, and the prompt
        on 307 and 308, would be sent there.
        """
        from httpx2 import URL

        if request.url.origin != URL(self.base_url).origin:
            raise ModelRequestError(
                f"{self} redirected the request to another server, {_origin(request.url)}; nothing was sent there. To "
                "use that server, set base_url to its URL."
            )

    def __str__(self) -> str:
        return self.host if self.provider == self.host else f"{self.provider} at {self.host}"

    @classmethod
    def find(
        cls, *, home: str, base_url: str | None = None, provider: str = "", profile: Profile | None = None
    ) -> Endpoint:
        """Resolve the target of requests.

        The URL defaults to that in the environment variable of `home`, a name in `PROFILES`, or to its own. The
        provider is derived from the URL, and the profile from the provider.
        """
        at_home = PROFILES[home]
        base_url, basic_auth = _without_credentials(
            base_url or environment(at_home.base_url_variable) or at_home.base_url
        )
        url = _split(base_url)
        _refuse_key_in_query(url)
        host = _host(url)
        owner = next((name for name, known in PROFILES.items() if _is_among(host, known.hosts)), "")
        provider = provider or owner or host
        variables = list(PROFILES[owner].key_variables) if owner else []
        for known in PROFILES.values():
            moved_to, _ = _without_credentials(environment(known.base_url_variable) if known.base_url_variable else "")
            if moved_to and f"{base_url}/".startswith(f"{moved_to.rstrip('/')}/"):
                variables.extend(known.key_variables)
        return cls(
            base_url=base_url,
            provider=provider,
            profile=profile or PROFILES.get(provider, Profile()),
            host=host,
            key_variables=tuple(dict.fromkeys(variables)),
            # A proxy on this machine may have keys of its own or none.
            needs_key=bool(owner and PROFILES[owner].key_variables and not host.startswith("localhost")),
            basic_auth=basic_auth,
        )


def _origin(url: httpx2.URL) -> str:
    """Return scheme, host and port. The host is in ASCII, because other letters may imitate another host."""
    host = url.raw_host.decode("ascii")
    port = "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}{port}"


_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@|^[^/?#]*@")


def _without_credentials(base_url: str) -> tuple[str, Unseen]:
    """Remove ``user:password@`` from a URL; return the URL and the corresponding Authorization header.

    In the URL, they would be logged with each request.
    """
    match = _CREDENTIALS.search(base_url)
    if match is None:
        return base_url, Unseen()
    credentials = unquote(match[0][:-1])
    token = b64encode(credentials.encode()).decode()
    for secret in (match[0][:-1], credentials, credentials.partition(":")[2], token):
        remember_secret(secret)
    return base_url[: match.start()] + base_url[match.end() :], Unseen(f"Basic {token}")


def _split(base_url: str) -> SplitResult:
    try:
        url = urlsplit(base_url)
        usable = url.scheme in _DEFAULT_PORTS and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable:
        shown = redact(without_userinfo(base_url).partition("?")[0])
        raise InvalidInputError(f"invalid base URL {shown!r}; set it to, for example, 'http://localhost:8000/v1'")
    return url


def check_base_url(base_url: str) -> None:
    """Refuse a URL that is not one, or that has a key in its query.

    Raises
    ------
    InvalidInputError
    """
    _refuse_key_in_query(_split(base_url))


def _refuse_key_in_query(url: SplitResult) -> None:
    # The HTTP client logs the URL of each request, with its query.
    for name, value in parse_qsl(url.query):
        if is_secret_name(name) or name.lower() in _SECRET_PARAMETERS or redact(value) != value:
            raise InvalidInputError(
                f"the query of the base URL has {redact(name)!r}, which looks like a key, and URLs are logged; pass "
                "it as `api_key`, or in a header with extra_headers={'api-key': ...}"
            )


def _host(url: SplitResult) -> str:
    name = url.hostname or ""
    name = "localhost" if _is_loopback(name) else name
    return name if url.port in (None, _DEFAULT_PORTS[url.scheme]) else f"{name}:{url.port}"


def _is_among(host: str, hosts: tuple[str, ...]) -> bool:
    return any(host.endswith(known) if known.startswith(".") else host == known for known in hosts)


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
