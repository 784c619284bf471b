"""Keywords, names and modules of agno that have no effect here, or that are missing."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from agno_nb import Agent, ScriptedModel, Team, Workflow
from agno_nb._agno_parts import MISSING_KEYWORDS, MISSING_MODULES, MISSING_NAMES, NO_EFFECT, OF_MODELS
from agno_nb.errors import InvalidInputError, UnknownArgumentError
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import MODEL_ALIASES


def component(kind: str, **settings: Any) -> Any:
    if kind == "workflow":
        return Workflow([Agent(ScriptedModel(["Yes."]), name="step")], **settings)
    if kind == "team":
        return Team([Agent("demo", name="a")], model=ScriptedModel(["Yes."]), **settings)
    return Agent(ScriptedModel(["Yes."]), **settings)


@pytest.mark.parametrize("kind", ["agent", "team", "workflow"])
@pytest.mark.parametrize("name", ["telemetry", "debug_mode", "cache_session", "checkpoint"])
def test_keywords_without_effect_are_accepted(kind: str, name: str) -> None:
    assert component(kind, **{name: True}).run("Hi", debug_mode=True).content == "Yes."


@pytest.mark.parametrize("kind", ["agent", "team", "workflow"])
@pytest.mark.parametrize("name", ["knowledge", "output_model", "followups", "learning"])
def test_keywords_of_missing_parts_name_what_there_is(kind: str, name: str) -> None:
    with pytest.raises(UnknownArgumentError) as caught:
        component(kind, **{name: True})
    assert str(caught.value) == f"{kind.title()}() has no argument {name!r}: agno_nb has no {MISSING_KEYWORDS[name]}"


@pytest.mark.parametrize("kind", ["agent", "team", "workflow"])
@pytest.mark.parametrize(
    ("name", "value"), [("knowledge", None), ("followups", False), ("compress_tool_results", False)]
)
def test_a_missing_part_can_be_switched_off(kind: str, name: str, value: Any) -> None:
    assert component(kind, **{name: value}).run("Hi", knowledge_filters=None).content == "Yes."


@pytest.mark.parametrize("value", [True, {}, [], "", 0], ids=repr)
def test_other_values_of_a_missing_part_are_refused(value: Any) -> None:
    with pytest.raises(UnknownArgumentError, match="Agent\\(\\) has no argument 'knowledge'"):
        Agent(ScriptedModel([]), knowledge=value)


def test_no_keyword_is_in_both_tables_or_has_an_effect() -> None:
    assert not set(NO_EFFECT) & set(MISSING_KEYWORDS)
    settings = set(Agent.__dataclass_fields__)
    # They are settings of the constructor, and without effect in other calls.
    assert settings & {*NO_EFFECT, *MISSING_KEYWORDS} == {"markdown", "stream_events"}


def test_reasons_that_refer_to_others_refer_to_one() -> None:
    for reason in NO_EFFECT.values():
        if reason.startswith("see `"):
            assert reason.split("`")[1] in {*NO_EFFECT, *Agent.__dataclass_fields__}


@pytest.mark.parametrize("name", MISSING_MODULES)
def test_missing_modules_say_what_there_is(name: str) -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        import_module(f"agno_nb.{name}.inner")
    assert str(caught.value) == f"agno_nb has no {MISSING_MODULES[name]}"


MISSING = [
    pytest.param("run.cancel", "set_cancellation_manager", id="module"),
    pytest.param("workflow", "RemoteWorkflow", id="package"),
    pytest.param("agent", "RemoteAgent", id="package with other lazy names"),
    pytest.param("agent.agent", "get_agents", id="module of a package"),
]


@pytest.mark.parametrize(("module", "name"), MISSING)
def test_missing_names_say_what_there_is_wherever_they_are_used(module: str, name: str) -> None:
    path = f"agno_nb.{module}"
    imported = import_module(path)
    reason = f"agno_nb has no {MISSING_NAMES[name]}"
    # With more than 255 names, the instruction has an extended argument.
    many = "".join(f"x{i} = 0\n" for i in range(300))
    for statement in (
        f"from {path} import {name}",
        f"from {path} import __doc__, {name} as x",
        f"{many}from {path} import {name}",
    ):
        with pytest.raises(ImportError) as caught:
            exec(statement)
        assert str(caught.value) == f"cannot import name {name!r} from {path!r}: {reason}"
        assert caught.value.name == path
    with pytest.raises(AttributeError) as unknown:
        getattr(imported, name)
    assert str(unknown.value) == f"module {path!r} has no attribute {name!r}: {reason}"
    assert not hasattr(imported, name)
    assert getattr(imported, name, None) is None


@pytest.mark.parametrize("module", ["run.cancel", "workflow", "agent", "agent.agent"])
def test_other_names_fail_as_in_any_module(module: str) -> None:
    path = f"agno_nb.{module}"
    with pytest.raises(AttributeError, match=f"^module '{path}' has no attribute 'nothing'$"):
        import_module(path).nothing  # noqa: B018
    with pytest.raises(ImportError, match=f"^cannot import name 'nothing' from '{path}' \\("):
        exec(f"from {path} import nothing")


PROVIDERS = {
    "anthropic": ("Claude", "api.anthropic.com"),
    "anthropic.claude": ("Claude", "api.anthropic.com"),
    "deepseek": ("DeepSeek", "api.deepseek.com"),
    "mistral": ("MistralChat", "api.mistral.ai"),
    "groq": ("Groq", "api.groq.com"),
    "together": ("Together", "api.together.xyz"),
    "xai": ("xAI", "api.x.ai"),
    "openrouter": ("OpenRouter", "openrouter.ai"),
    "ollama": ("Ollama", "localhost:11434"),
    "lmstudio": ("LMStudio", "localhost:1234"),
    "llama_cpp": ("LlamaCpp", "localhost:8080"),
    "vllm": ("VLLM", "localhost:8000"),
    "litellm": ("LiteLLMOpenAI", "localhost:4000"),
    "openai.like": ("OpenAILike", "api.openai.com"),
}


@pytest.mark.parametrize("module", PROVIDERS)
def test_classes_of_providers_are_at_agnos_paths(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(variable, raising=False)
    name, host = PROVIDERS[module]
    model = getattr(import_module(f"agno_nb.models.{module}"), name)(id="m", temperature=0.5, max_tokens=9)
    assert (model.id, model.endpoint.host, model.output_limit) == ("m", host, 9)


def test_azure_has_the_names_of_agno() -> None:
    from agno_nb.models.azure import AzureOpenAI

    model = AzureOpenAI(azure_deployment="d", azure_endpoint="https://r.openai.azure.com")
    assert (model.id, model.base_url, model.provider) == ("d", "https://r.openai.azure.com/openai/v1", "azure")


def test_ollama_takes_a_host() -> None:
    from agno_nb.models.ollama import Ollama

    assert Ollama(host="192.168.1.5").base_url == "http://192.168.1.5:11434/v1"
    with pytest.raises(InvalidInputError, match="name the same setting; pass one of them"):
        Ollama(host="a", base_url="http://b/v1")


def test_models_know_agnos_keywords() -> None:
    model = OpenAIChat(id="m", name="x", role_map={"system": "system"}, default_headers={"a": "b"}, max_retries=1)
    assert (model.extra_headers, model.retries) == ({"a": "b"}, 1)
    with pytest.raises(UnknownArgumentError, match=r"no cache in files; cache_response=True or run\("):
        OpenAIResponses(cache_dir="x")
    with pytest.raises(UnknownArgumentError, match=r"pass extra_body="):
        OpenAIChat(frequency_penalty=1)
    with pytest.raises(UnknownArgumentError, match='did you mean "temperature"'):
        OpenAIChat(temperatures=1)


KEYWORDS_OF_BOTH_APIS = """
id name provider model_type supports_native_structured_outputs supports_json_schema_outputs system_prompt instructions
tool_message_role assistant_message_role cache_response cache_ttl cache_dir retries delay_between_retries
exponential_backoff retry_with_guidance retry_with_guidance_limit store reasoning_effort verbosity metadata temperature
user top_p service_tier strict_output extra_headers extra_query extra_body request_params role_map api_key organization
base_url timeout max_retries default_headers default_query http_client client_params client async_client
"""
KEYWORDS_OF_CHAT = """
collect_metrics_on_completion frequency_penalty logit_bias logprobs top_logprobs max_tokens max_completion_tokens
modalities audio presence_penalty seed stop
"""
KEYWORDS_OF_RESPONSES = """
include max_output_tokens max_tool_calls parallel_tool_calls reasoning reasoning_summary use_previous_response_id
truncation background background_poll_interval background_max_wait vector_store_name
"""


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        pytest.param(OpenAIChat, KEYWORDS_OF_BOTH_APIS + KEYWORDS_OF_CHAT, id="chat"),
        pytest.param(OpenAIResponses, KEYWORDS_OF_BOTH_APIS + KEYWORDS_OF_RESPONSES, id="responses"),
    ],
)
def test_no_keyword_of_agnos_models_is_unknown(model: type[OpenAIChat | OpenAIResponses], keywords: str) -> None:
    known = {*model.__dataclass_fields__, *MODEL_ALIASES, *OF_MODELS.no_effect, *OF_MODELS.missing}
    assert set(keywords.split()) <= known


def test_refused_keywords_of_models_name_the_nearest_thing() -> None:
    with pytest.raises(UnknownArgumentError, match=r"no background mode of a provider; use await agent\.arun\("):
        OpenAIResponses(background=True)
    with pytest.raises(UnknownArgumentError, match=r"no such settings of the client; pass default_headers="):
        OpenAIChat(default_query={"a": "b"})
    with pytest.raises(UnknownArgumentError, match="no instructions of a model; pass `instructions` to the agent"):
        OpenAIChat(instructions=["Be brief."])
    assert OpenAIResponses(use_previous_response_id=False, store=False).id == OpenAIResponses().id
