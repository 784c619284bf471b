"""The agent: a model with instructions and tools, and the loop between them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.budgets import requests_of
from agno_nb.agent.configuration import ModelConfiguration
from agno_nb.agent.hooks import check_hooks, run_post_hooks
from agno_nb.agent.model_calls import ModelCaller
from agno_nb.agent.response_file import write_response
from agno_nb.agent.run_loop import RunLoop
from agno_nb.agent.run_messages import RunMessages
from agno_nb.agent.summaries_and_memories import update_user_memory
from agno_nb.agent.tool_calls import ToolExecutor
from agno_nb.agent.tool_choice import normalized
from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.event_loop import run_blocking
from agno_nb.models.base import Model, ModelRequest, complete
from agno_nb.models.fallback import FallbackConfig
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import RetryPolicy
from agno_nb.run import defaults
from agno_nb.run.context import RunContext, call_setting
from agno_nb.run.continue_run import is_waiting, user_input_args
from agno_nb.run.options import first_set
from agno_nb.run.output_schema import OutputSchema
from agno_nb.tools import Tool, Toolkit, resolve_tools
from agno_nb.tools.history import (
    PREVIEW_RUNS,
    get_chat_history,
    get_tool_call_history,
    session_search_tools,
    update_session_state,
)
from agno_nb.tools.parameters import InvalidArguments
from agno_nb.tools.toolkit import tool_instructions
from agno_nb.types import (
    Budget,
    JsonDict,
    Message,
    RunEvent,
    RunOutput,
    RunStatus,
    Session,
    SessionType,
    whole_number,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

RunResponse = RunOutput

NAMING_PROMPT = "Name this conversation in at most five words, in its language. Answer with the name and nothing else."

__all__ = ["Agent", "RunOutput", "RunResponse"]

ALIASES = {
    "add_history_to_messages": "add_history_to_context",
    "search_session_history": "search_past_sessions",
    "num_history_sessions": "num_past_sessions_to_search",
    "store_tool_results": "store_tool_messages",
    "enable_user_memories": "update_memory_on_run",
}
DEPRECATED = ["add_history_to_messages"]


@suggest_on_unknown_kwarg(ALIASES, DEPRECATED)
@dataclass(eq=False, repr=False)
class Agent(RunMessages, ModelConfiguration):
    """A model with instructions and tools.

    Examples
    --------
    >>> from agno_nb.agent.agent import Agent
    >>> from agno_nb.testing import ScriptedModel
    >>> agent = Agent(ScriptedModel(["Hello, Ada."]), name="greeter")
    >>> agent.run("I am Ada").content
    'Hello, Ada.'
    """

    kind: ClassVar[SessionType] = SessionType.AGENT

    model: Model | str | None = None
    """A model or a string such as ``"openai:gpt-5-mini"``. By default, the first run uses what is configured."""
    _: KW_ONLY
    tools: Sequence[Tool | Callable[..., Any] | Toolkit | Sequence[Any]] | Callable[..., Any] | None = None
    """Functions that the model may call: tools, functions and methods, toolkits, and lists of them. Or a function that
    returns such a list for each run, with parameters as in `instructions`."""
    tool_choice: str | Mapping[str, Any] | None = None
    """"required" or the name of a tool: the model's first answer in a run must be a call; later ones need not be.
    "none": the model sees the tools but calls none. By default, "auto", it decides. OpenAI's dict is accepted too."""
    tool_hooks: Sequence[Callable[..., Any]] = ()
    """Functions called around every tool, the first one outermost; see :class:`~agno_nb.tools.Tool`."""
    read_chat_history: bool = False
    """Let the model read earlier exchanges of the session with the tool `get_chat_history`."""
    read_tool_call_history: bool = False
    """Let the model read earlier tool calls of the session with the tool `get_tool_call_history`, newest first."""
    search_past_sessions: bool = False
    """Let the model read the user's other sessions with `search_past_sessions` and `read_past_session`."""
    num_past_sessions_to_search: int = 20
    """Number of latest other sessions that the model can read."""
    num_past_session_runs_in_search: int = PREVIEW_RUNS
    """Number of first runs of each session that `search_past_sessions` shows."""
    output_schema: type[BaseModel] | JsonDict | None = None
    """Schema of the answer: a pydantic model, a JSON schema, or the ``{"type": "json_schema", ...}`` of an OpenAI
    request. `content` is then an object of that schema."""
    parse_response: bool = True
    """Parse the answer with the `output_schema`. If False, the model is asked for that form, and `content` is its text,
    which is not checked."""
    save_response_to_file: str | None = None
    """Path of a file to write each answer to, such as ``"answers/{session_id}.md"``. ``{name}``, ``{session_id}``,
    ``{user_id}``, ``{run_id}`` and ``{message}`` are replaced, and the folder is created."""
    store_tool_messages: bool = True
    """Store tool calls and their results."""
    retries: int = 2
    """Maximum number of retries of a request that failed before its answer started, if the failure may be temporary:
    rate limits, connection errors and server errors. Each retry is an event and is displayed."""
    delay_between_retries: float = 1.0
    """Seconds before the first retry. A delay requested by the server takes precedence, up to a minute."""
    exponential_backoff: bool = True
    """Double the delay after each retry."""
    fallback_models: Sequence[Model | str] = ()
    """Models to use, in this order, if the provider keeps failing. Each change is an event and is displayed."""
    fallback_config: FallbackConfig | None = None
    """Models to use by the kind of failure, instead of `fallback_models`."""
    budget: Budget | Sequence[Budget] | None = None
    """Limits on cost and tokens. They include nested runs."""
    tool_call_limit: int | None = None
    """Maximum number of tool calls of a run. Further calls are refused, and one more request is sent without tools. If
    the model still calls one, the run ends with the text so far and the event `ToolCallLimitReached`."""
    parse_text_tool_calls: bool | None = None
    """Execute tool calls that the model wrote as text: JSON, or in a format such as ``<tool_call>...</tool_call>``, if
    it is the whole answer and names a tool. By default only for servers that may not parse calls themselves, such as
    local ones. Never after a call of the same model that the server did parse in the same run."""
    request_limit: int | None = 50
    """Maximum number of model requests of a run, including retries, fallbacks and corrections; None for no limit.
    Reaching it raises a :class:`~agno_nb.errors.RunLimitError`. Nested runs have their own limits; all runs together
    may make 20 times as many requests."""

    _resolved: tuple[Any, Model] | None = field(init=False, default=None)
    _tool_cache: list[Tool] = field(init=False, default_factory=list)

    def validate_settings(self) -> None:
        """Raise an InvalidInputError if a setting is invalid."""
        super().validate_settings()
        self.check_prompt_settings()
        limits = ["tool_call_limit", "max_tool_calls_from_history", "num_history_runs", "num_history_messages"]
        limits += ["num_past_session_runs_in_search"]
        for name in limits:
            whole_number(name, getattr(self, name), least=0)
        whole_number("request_limit", self.request_limit, least=1)
        self._retry_policy()
        check_hooks(self.pre_hooks, "pre_hooks")
        check_hooks(self.post_hooks, "post_hooks")
        if self.tool_choice is not None:
            normalized(self.tool_choice)
        is_list = isinstance(self.tools, Sequence) and not isinstance(self.tools, str)
        if self.tools is not None and not is_list and not callable(self.tools):
            raise InvalidInputError(f"tools is {self.tools!r}; pass a list of functions and toolkits")
        for each in self.listed_tools:
            # Other objects are checked when they are described, which takes longer.
            if each is None or isinstance(each, str | bytes | int | float | Mapping):
                raise InvalidInputError(
                    f"tools has {each!r} of type {type(each).__name__}; pass functions and toolkits, as tools=[...]"
                )

    def is_continuable(self, run: RunOutput) -> bool:
        """Whether `run` is paused, or was interrupted while it executed an approved call."""
        return is_waiting(run)

    @property
    def listed_tools(self) -> Sequence[Any]:
        """The tools as a list, which is empty if a function returns them."""
        return [] if self.tools is None or callable(self.tools) else self.tools

    @property
    def budgets(self) -> Sequence[Budget]:
        """The budgets as a list."""
        return [self.budget] if isinstance(self.budget, Budget) else self.budget or ()

    @property
    def resolved_model(self) -> Model:
        """The model in use: its own, or the notebook's. It is resolved once, and again if it is changed."""
        model = self._current_model
        if self._resolved is None or self._resolved[0] is not model:
            self._resolved = model, resolve_model(model)
        return self._resolved[1]

    def initialize_agent(self) -> None:
        """Resolve the model now instead of in the first run, so that an invalid one is an error here."""
        _ = self.resolved_model

    @property
    def _current_model(self) -> Model | str | None:
        if self.model is None and (notebook := self.notebook_defaults) is not None:
            return notebook.model
        return self.model

    @property
    def output_schemas(self) -> Mapping[str, OutputSchema]:
        """Output schemas by name, including the schemas of its parts."""
        if self.output_schema is None or isinstance(self.output_schema, dict):
            return super().output_schemas  # Answers to a JSON schema are dicts.
        schema = OutputSchema(self.output_schema)
        return {**super().output_schemas, schema.name: schema}

    async def run_steps(self, context: RunContext) -> None:
        """Alternate between model requests and tool calls until the model answers."""
        caller = await self._model_caller(context)
        tools: Any = self.tools or ()
        if callable(tools):
            tools = await call_setting("tools", tools, self, context) or ()
        if tools:
            context.tool_instructions = tool_instructions(tools)
        context.tools = tools
        executor = self._tool_executor(context, caller, tools)
        if caller.model.notice is not None and context.takes_notice():
            notice = f"{caller.model.notice} {self._how_to_change_model()}"
            context.emit(RunEvent.model_notice, content=notice, details={})
        schema = context.output_schema = context.options.get("output_schema") or self.output_schema
        loop = RunLoop(
            caller=caller,
            executor=executor,
            schema=OutputSchema(schema) if schema is not None else None,
            parses=schema is not None and self.parse_response,
            tool_choice=self.tool_choice,
            parse_text_tool_calls=self.parse_text_tool_calls,
            is_final=functools.partial(self._is_final, context),
        )
        if context.is_continued:
            self._restore_run(context)
        else:
            await self._send_messages(context)
        await loop.run()
        while (text := self._next_message(context)) is not None:
            context.recorder.add_message(Message(role="user", content=text))
            # The answer after the last message is the run's.
            context.emit(RunEvent.run_content, content="", discards_content=True)
            await loop.run()
        if self.post_hooks and context.run.status is RunStatus.RUNNING:
            await run_post_hooks(self.post_hooks, self, context)
        if self.save_response_to_file is not None and context.run.status is RunStatus.RUNNING:
            await asyncio.to_thread(write_response, self.save_response_to_file, context.run)

    async def _model_caller(self, context: RunContext) -> ModelCaller:
        context.budgets, context.request_limit = self.budgets, self.request_limit
        model = self._known_model(context)
        if model is None:
            model = await asyncio.to_thread(lambda: self.resolved_model)
        fallbacks = self.fallback_config or FallbackConfig(on_error=self.fallback_models)
        return ModelCaller(model=model, fallbacks=fallbacks, retry_policy=self._retry_policy, context=context)

    def _retry_policy(self, model: Model | None = None) -> RetryPolicy:
        """Return the policy for requests to a model, whose own settings take precedence."""
        return RetryPolicy(
            max_retries=first_set(model and model.retries, self.retries),
            delay_s=first_set(model and model.delay_between_retries, self.delay_between_retries),
            exponential=first_set(model and model.exponential_backoff, self.exponential_backoff),
        )

    def _tool_executor(self, context: RunContext, caller: ModelCaller, tools: Sequence[Any]) -> ToolExecutor:
        tools = [*tools, *self._builtin_tools(context)]
        return ToolExecutor(
            tools=resolve_tools(tools, tool_cache=self._tool_cache) if tools else {},
            hooks=self.tool_hooks,
            tool_call_limit=self.tool_call_limit,
            injected={
                "agent": self,
                "team": context.team,
                "run_context": context,
                "session_state": context.session_state,
                "dependencies": context.dependencies,
            },
            context=context,
            sees_images=lambda: caller.model.sees_tool_images,
        )

    def _restore_run(self, context: RunContext) -> None:
        """Restore the messages and the number of requests of a run that is continued."""
        context.num_requests, context.num_nested_requests = requests_of(context.run)
        if context.run.is_reloaded:
            self._restore_messages(context)

    def describe_run(self, context: RunContext) -> None:
        if (model := self._known_model(context)) is not None:
            context.run.model, context.run.model_provider = model.id, model.provider
        if context.parent is None and context.db is not None:
            context.introduction = self.introduction
        is_template = "{" in (context.message.content or "") and self._resolves_message(context)
        context.stores_message_later = is_template or bool(self.pre_hooks) or "messages" in context.options

    def _known_model(self, context: RunContext) -> Model | None:
        """Return the model of a run: the agent's own, or the team's for a member without one.

        None if it has to be resolved first, which may request the server's list of models.
        """
        if self.model is None and context.parent is not None and context.parent.default_model is not None:
            return context.parent.default_model
        model = self._current_model if self.model is None else self.model
        if self._resolved is not None and self._resolved[0] is model:
            return self._resolved[1]
        return model if isinstance(model, Model) else None

    def _how_to_change_model(self) -> str:
        of_notebook = defaults.of_notebook
        is_own = of_notebook is not None and self.component_id == of_notebook().agent.component_id
        if is_own or (self.model is None and self.notebook_defaults is not None):
            return "`%agent --model openai:gpt-5-mini` switches to one."
        return f"To use one, change the `model` of {f'agent {self.name!r}' if self.name else 'this agent'}."

    def _is_final(self, context: RunContext) -> bool:
        """Whether the results of the latest calls are the answer, so that no further request is needed."""
        return False

    def _next_message(self, context: RunContext) -> str | None:
        """Return a message to which the model has to answer before the run is over, or None."""
        return None

    def validate_answers(self, run: RunOutput) -> None:
        """Check that the tools of a paused run exist and accept the answers."""
        tools = resolve_tools(self.listed_tools, tool_cache=self._tool_cache)
        known_call_ids = {call.tool_call_id for message in run.messages for call in message.tool_calls}
        for requirement in run.requirements:
            call = requirement.tool
            if requirement.run_id != run.run_id or call.is_finished:
                continue
            if call.tool_call_id not in known_call_ids:
                raise RunNotContinuableError(
                    f"run {run.run_id!r} was stored without its tool calls (store_tool_messages=False, "
                    "store_member_responses=False of a team, or store_executor_outputs=False of a workflow); only the "
                    "RunOutput that run() returned can be continued"
                )
            if requirement.confirmed is False or requirement.kind == "external_execution" or callable(self.tools):
                continue  # A function returns the tools when the run is continued.
            tool = tools.get(call.tool_name)
            if tool is None:
                raise RunNotContinuableError(
                    f"run {run.run_id!r} waits for tool {call.tool_name!r}, but {self!r} has no such tool; add the "
                    "tool, or reject the requirement"
                )
            try:
                tool.parse_arguments(call, user_input_args(requirement))
            except InvalidArguments as error:
                raise InvalidInputError(f"cannot execute {requirement} with these answers: {error}") from None

    def _builtin_tools(self, context: RunContext) -> list[Tool | Callable[..., Any]]:
        tools: list[Tool | Callable[..., Any]] = []
        if self.memory_writer(context) is not None and self.enable_agentic_memory:
            tools.append(update_user_memory)
        if self.read_chat_history:
            tools.append(get_chat_history)
        if self.read_tool_call_history:
            tools.append(get_tool_call_history)
        if self.search_past_sessions:
            tools += session_search_tools(self.num_past_sessions_to_search, self.num_past_session_runs_in_search)
        if self.enable_agentic_state:
            tools.append(update_session_state)
        return tools

    def to_persisted(self, message: Message) -> Message | None:
        """Return the stored form of a message, or None to store nothing."""
        if not self.store_tool_messages and (message.role == "tool" or message.tool_calls):
            return None
        return message

    def generate_session_name(self, session: Session) -> str:
        """Return a name for a session, generated by the model; the session is not changed."""
        lines = [f"{m.role}: {m.content}" for m in session.messages if m.role in ("user", "assistant") and m.content]
        beginning = Message(role="user", content="\n".join(line[:500] for line in lines[:6]))
        request = ModelRequest(messages=[Message(role="system", content=NAMING_PROMPT), beginning])
        answer = run_blocking(complete(self.resolved_model, request), method="set_session_name()")
        name = (answer.content or "").strip().partition("\n")[0].strip(" .\"'*#`")
        return (name or (session.runs[0].input if session.runs else "New session"))[:60]
