"""Keywords and parts of agno that have no effect here, or that we do not have, each with the reason.

The tables are data: constructors, methods and modules read them, and the docs print them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

NO_EFFECT = {
    "telemetry": "nothing is sent to any server but the model's",
    "debug_mode": "`trace(run)`, `run.context()` and the frames show each request, call and event of any run",
    "debug_level": "see `debug_mode`",
    "cache_session": "the store keeps the latest sessions in memory, and notices changes of other processes",
    "checkpoint": "messages, calls and results are always stored as soon as they exist",
    "stream_events": "displays such as `print_response()` always use all events; it has an effect elsewhere",
    "show_time": "displays always show the duration of a run",
    "show_step_details": "displays always show the steps of a workflow",
    "cache_callables": "functions in `tools` and `members` are called for each run, and so follow the session's state",
    "callable_tools_cache_key": "see `cache_callables`",
    "callable_members_cache_key": "see `cache_callables`",
    "build_user_context": "only a knowledge base would extend the user's message; see `resolve_in_context` for {name}",
    "structured_outputs": "`output_schema` uses the strictest mode that the server and the schema allow",
    "use_json_mode": "see `structured_outputs`",
    "search_knowledge": "there is no knowledge base to search",
    "add_search_knowledge_instructions": "see `search_knowledge`",
    "add_learnings_to_context": "there are no learnings to add",
    "reasoning": "reasoning models reason by themselves; set `reasoning_effort` of the model",
    "reasoning_min_steps": "see `reasoning`",
    "reasoning_max_steps": "see `reasoning`",
    "markdown": "of a run or workflow; an agent's `markdown=True` asks for Markdown, and displays always render it",
    "show_full_reasoning": "notebooks show the reasoning folded, terminals do not; `run.reasoning_content` has it",
    "show_reasoning": "see `show_full_reasoning`",
    "tags_to_include_in_markdown": "answers are shown with all tags, as text",
}
"""Keywords that are accepted and have no effect, with the reason."""

_NO_KNOWLEDGE = "knowledge bases; give the model a tool that searches, or put the text into `additional_context`"
_NO_MODEL_PASS = "second model for the answer; pass `output_schema`, which works with tools and with all models"
_NO_COMPRESSION = (
    "compression; `max_tool_calls_from_history`, `num_history_runs` and `enable_session_summaries` limit what is sent"
)
_NO_LEARNING = "learning; use user memories: `update_memory_on_run=True` or `enable_agentic_memory=True`"
_NO_SKILLS = "skills; put the text into `instructions`, or return it from a tool"
_NO_CULTURE = "cultural knowledge; use user memories, or put shared knowledge into `additional_context`"
_NO_FILES = "file systems for agents; pass functions that read and write files as tools"

MISSING_KEYWORDS = {
    **dict.fromkeys(
        (
            "knowledge",
            "knowledge_filters",
            "knowledge_retriever",
            "enable_agentic_knowledge_filters",
            "add_knowledge_to_context",
            "update_knowledge",
            "references_format",
            "callable_knowledge_cache_key",
        ),
        _NO_KNOWLEDGE,
    ),
    **dict.fromkeys(("output_model", "output_model_prompt", "parser_model", "parser_model_prompt"), _NO_MODEL_PASS),
    **dict.fromkeys(("compaction", "compress_tool_results", "compression_manager"), _NO_COMPRESSION),
    "offload_tool_results": "store for long results; shorten them in the tool",
    "learning": _NO_LEARNING,
    **dict.fromkeys(
        ("culture_manager", "add_culture_to_context", "update_cultural_knowledge", "enable_agentic_culture"),
        _NO_CULTURE,
    ),
    "skills": _NO_SKILLS,
    "filesystem": _NO_FILES,
    "sandbox": "sandboxes for agents; `SqlTools` runs SQL of the model in a process without files and network",
    "media_storage": "second store for media; `store_media` keeps them next to their messages",
    **dict.fromkeys(
        ("reasoning_model", "reasoning_agent"),
        "reasoning by a second model; use a reasoning model, with `reasoning_effort`",
    ),
    **dict.fromkeys(
        ("followups", "num_followups", "followup_model"),
        "suggested questions; ask for them with an `output_schema` that has a list for them",
    ),
    "background": "blocking calls that return before the run ends; use await arun(..., background=True)",
    "user_message_role": "other role for the user's message; pass run([Message(role=..., content=...)])",
    "send_media_to_model": "setting for media that are not sent; leave them out of the call",
}
"""Keywords of missing parts: the part, and the nearest thing that exists."""

NO_EFFECT_OF_MODELS = {
    "name": "models are shown and stored by their `id`",
    "role_map": "each server is sent the role that it knows",
    "structured_outputs": "see `strict_output`",
    "supports_native_structured_outputs": "what each server supports is known, or set by `profile`",
    "supports_json_schema_outputs": "see `supports_native_structured_outputs`",
    "cache_system_prompt": "the beginning of a request is the same in all turns, which servers cache by themselves",
    "use_previous_response_id": "each request has the whole conversation, because the provider stores none of it",
    "assistant_message_role": "see `role_map`",
    "tool_message_role": "see `role_map`",
    "collect_metrics_on_completion": "tokens are counted once, wherever the server reports them",
    "model_type": "`metrics.details` has the usage of a model under what it did",
}
"""The same for models."""

NO_EFFECT_OF_MANAGERS = {
    "id": "a manager is not stored; it is the settings of an agent",
    "name": "see `id`",
    "debug_mode": NO_EFFECT["debug_mode"],
}
"""The same for managers of summaries and memories."""

NO_EFFECT_OF_SESSIONS = dict.fromkeys(
    ("agent_data", "team_data", "workflow_data", "workflow_name"),
    "each run has the name and the model of the agent, team or workflow that ran",
)
"""The same for sessions."""

NO_EFFECT_OF_TOOLS = {
    "strict": "strict mode is used if the server and the schema of the parameters allow it",
    "external_execution_silent": "the content of a paused run is always the model's text",
    "title": "tools are shown with their name",
    "annotations": "they are hints for clients of the Model Context Protocol",
    "has_side_effects": "see `annotations`",
    "user_input_schema": "the fields are made from `user_input_fields` and the type hints, in agno too",
    "skip_entrypoint_processing": "pass `parameters` to describe the parameters yourself",
}
"""The same for tools and `@tool`."""

MISSING_KEYWORDS_OF_MODELS = {
    **dict.fromkeys(
        ("cache_ttl", "cache_dir"),
        "cache in files; cache_response=True or run(..., cache=True) returns the stored answer to the same request",
    ),
    **dict.fromkeys(("http_client", "client", "async_client"), "client of the caller's; pass transport=..."),
    **dict.fromkeys(
        ("client_params", "default_query", "extra_query"),
        "such settings of the client; pass default_headers=..., timeout=... or transport=...",
    ),
    **dict.fromkeys(
        (
            "frequency_penalty presence_penalty logit_bias logprobs top_logprobs modalities audio user store metadata "
            "service_tier verbosity parallel_tool_calls truncation include safety_identifier prompt_cache_key top_k "
            "options max_tool_calls"
        ).split(),
        "own name for this field of a request; pass extra_body={'NAME': value}",
    ),
    "reasoning": "such dict; pass reasoning_effort=... and, to OpenAIResponses, reasoning_summary=...",
    "thinking": "such dict; pass reasoning_effort=...",
    **dict.fromkeys(("system_prompt", "instructions"), "instructions of a model; pass `instructions` to the agent"),
    **dict.fromkeys(
        ("background", "background_poll_interval", "background_max_wait"),
        "background mode of a provider; use await agent.arun(..., background=True)",
    ),
    **dict.fromkeys(
        ("retry_with_guidance", "retry_with_guidance_limit"),
        "retries with another message; pass retries=..., which sends the same request again",
    ),
    "vector_store_name": "file search of a provider; give the model a tool that searches",
}
"""The same for models."""


_NO_SAVED = "saved agents, teams and workflows; create them in a module, or write the dict of to_dict() to a file"
_NO_CHANGES = "methods that change an agent; pass tools=[...], or a function that returns the tools of each run"

MISSING_METHODS = {
    **dict.fromkeys(("save", "delete"), _NO_SAVED),
    **dict.fromkeys(("add_tool", "set_tools"), _NO_CHANGES),
    "as_tool": "agents as tools; use a Team, or a function that runs the agent",
    **dict.fromkeys(
        ("save_run", "upsert_run"),
        "method that stores a run: runs are stored as they happen and stay as they are; import_session() copies them",
    ),
    "table_exists": "method for names of tables; a store creates its tables when it is first used",
}
"""Missing methods: the part, and the nearest thing that exists."""


def missing_attribute(owner: object, name: str) -> AttributeError:
    """Return the error for an attribute that an object does not have."""
    found = f"{type(owner).__name__!r} object has no attribute {name!r}"
    if name in MISSING_METHODS:
        found += f": agno_nb has no {MISSING_METHODS[name]}"
    return AttributeError(found, name=name, obj=owner)


class AgnoKeywords(NamedTuple):
    """Keywords of agno that a function or constructor does not have."""

    no_effect: Mapping[str, str] = {}
    missing: Mapping[str, str] = {}
    """None and False are accepted, because they switch a part off."""
    fixed: Mapping[str, tuple[object, str]] = {}
    """The only value of each keyword, and what to do instead of passing another one."""


NONE_OF_AGNO = AgnoKeywords()
OF_RUNNABLES = AgnoKeywords(NO_EFFECT, MISSING_KEYWORDS)
OF_MANAGERS = AgnoKeywords(NO_EFFECT_OF_MANAGERS)
OF_STORES = AgnoKeywords(
    fixed={
        "deserialize": (True, "the methods of a store return objects; call to_dict() on them"),
        "preserve_updated_at": (False, "a store sets the time of each change; import_session() keeps the times"),
    }
)
OF_SESSIONS = AgnoKeywords(NO_EFFECT_OF_SESSIONS)
OF_TOOLS = AgnoKeywords(NO_EFFECT_OF_TOOLS)
OF_MODELS = AgnoKeywords(NO_EFFECT_OF_MODELS, MISSING_KEYWORDS_OF_MODELS)

_PROVIDERS = "aws vertexai cohere huggingface ibm nvidia perplexity fireworks cerebras"
_NO_PROVIDER = (
    "class for this provider; use OpenAILike(id=..., base_url=...) of agno_nb.models.openai.like if its server has "
    "OpenAI's API, or a gateway: 'openrouter:...' or 'litellm:...'"
)

_NO_REMOTE = "agents, teams or workflows on other machines; a tool, or the function of a step, can call their server"
_NO_FACTORY = "factories; write a function that returns the agent, team or workflow of a user"
_NO_CANCELLATIONS = (
    "cancellations that processes share; call cancel_run(run_id) of agno_nb.run.cancel in the process of the run"
)
_NO_APPROVALS = "table of approvals; use @tool(requires_confirmation=True), and `runs_df()` lists the paused runs"
_NO_CITATIONS = "citations; ask for the sources with an `output_schema` that has a list for them"
_NO_METRICS_OF_STEPS = "metrics of steps; `run.nested_runs` has the run of each step, with its metrics"

MISSING_NAMES = {
    **dict.fromkeys(("RemoteAgent", "RemoteTeam", "RemoteWorkflow", "RemoteServerUnavailableError"), _NO_REMOTE),
    **dict.fromkeys(
        (
            "AgentFactory TeamFactory WorkflowFactory BaseFactory RequestContext TrustedContext FactoryError "
            "FactoryContextRequired FactoryPermissionError FactoryValidationError"
        ).split(),
        _NO_FACTORY,
    ),
    **dict.fromkeys(
        ("get_agent_by_id get_agents get_team_by_id get_teams get_workflow_by_id get_workflows ComponentTool").split(),
        _NO_SAVED,
    ),
    **dict.fromkeys(
        (
            "get_cancellation_manager set_cancellation_manager BaseRunCancellationManager "
            "InMemoryRunCancellationManager RedisRunCancellationManager"
        ).split(),
        _NO_CANCELLATIONS,
    ),
    "CancellationStage": "stages of cancelled runs; the messages and calls of a run show how far it was",
    **dict.fromkeys(("Approval", "ApprovalType"), _NO_APPROVALS),
    **dict.fromkeys(("Citations", "UrlCitation", "DocumentCitation"), _NO_CITATIONS),
    "MessageReferences": _NO_KNOWLEDGE,
    **dict.fromkeys(("Followups", "FollowupConfig"), MISSING_KEYWORDS["followups"]),
    "MediaReference": MISSING_KEYWORDS["media_storage"],
    "UnsupportedMediaError": "own error for media that an API does not accept; catch InvalidInputError",
    "WorkflowChatInteraction": "class for the turns of a workflow; get_workflow_history() returns them as tuples, and "
    "get_chat_history() as messages",
    **dict.fromkeys(("StepMetrics", "WorkflowMetrics"), _NO_METRICS_OF_STEPS),
    "StepProgress": "progress reports of functions in steps; they can yield text",
}
"""Missing names of modules that exist: the part, and the nearest thing that exists."""

MISSING_MODULES = {
    **dict.fromkeys((f"models.{name}" for name in _PROVIDERS.split()), _NO_PROVIDER),
    "knowledge": _NO_KNOWLEDGE,
    "vectordb": _NO_KNOWLEDGE,
    "os": "server for agents; `Agent.arun(stream=True)` yields events for any web framework",
    "reasoning": "reasoning steps; use a reasoning model, with `reasoning_effort`",
    "guardrails": "ready-made guardrails; pass functions as `pre_hooks` and `post_hooks` that raise InputCheckError or "
    "OutputCheckError of agno_nb.exceptions",
    "eval": "evals; compare runs with `runs_df()` and `messages_df()`, or in a test with `agno_nb.testing`",
    "culture": _NO_CULTURE,
    "learn": _NO_LEARNING,
    "skills": _NO_SKILLS,
    "compression": _NO_COMPRESSION,
    "compaction": _NO_COMPRESSION,
    "filesystem": _NO_FILES,
    **dict.fromkeys(("remote", "agent.remote", "team.remote", "workflow.remote"), _NO_REMOTE),
    **dict.fromkeys(("factory", "agent.factory", "team.factory", "workflow.factory"), _NO_FACTORY),
    "run.cancellation_management": _NO_CANCELLATIONS,
    "agent.followup": MISSING_KEYWORDS["followups"],
    "tools.component": _NO_SAVED,
    **dict.fromkeys(("approval.types", "db.schemas.approval"), _NO_APPROVALS),
}
"""Missing modules: the part, and the nearest thing that exists."""


def fail_import(module: str) -> NoReturn:
    """Raise the error of a module at the path of a part of agno that we do not have.

    Raises
    ------
    ModuleNotFoundError
    """
    part = module.removeprefix("agno_nb.")
    raise ModuleNotFoundError(f"agno_nb has no {MISSING_MODULES[part]}", name=module)


def missing_name(module: str, name: str) -> AttributeError | ImportError:
    """Return the error for a name that a module does not have, to be raised by its ``__getattr__``.

    It is an AttributeError, so that ``hasattr`` works. ``from module import name`` replaces the text of an
    AttributeError; an ImportError has its own there.
    """
    reason = f": agno_nb has no {MISSING_NAMES[name]}" if name in MISSING_NAMES else ""
    if reason and _imports_a_name(depth=3):
        return ImportError(f"cannot import name {name!r} from {module!r}{reason}", name=module)
    return AttributeError(f"module {module!r} has no attribute {name!r}{reason}")


def _imports_a_name(depth: int) -> bool:
    """Whether the caller at `depth` executes ``from ... import``. Other uses of an attribute are other instructions."""
    from opcode import opmap  # Imported here, because hardly any program needs it.

    caller = sys._getframe(depth)
    return caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]


def explain_missing_names(*modules: str) -> None:
    """Give imported modules a ``__getattr__`` that explains :data:`MISSING_NAMES`.

    Type checkers do not see it, and so report these names.
    """
    for module in modules:
        sys.modules[module].__dict__["__getattr__"] = _getattr_of(module)


def _getattr_of(module: str) -> Callable[[str], NoReturn]:
    def __getattr__(name: str) -> NoReturn:
        raise missing_name(module, name)

    return __getattr__
