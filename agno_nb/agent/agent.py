"""The agent: a model with instructions and tools, and the loop between them."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.budgets import requests_of
from agno_nb.agent.model_calls import ModelCaller
from agno_nb.agent.prompt import build_context_report, build_system_prompt, join_parts, trim_tool_calls
from agno_nb.agent.run_loop import RunLoop
from agno_nb.agent.summaries_and_memories import SummariesAndMemories, update_user_memory
from agno_nb.agent.tool_calls import ToolExecutor
from agno_nb.agent.tool_choice import normalized
from agno_nb.db.base import ContextQuery
from agno_nb.errors import InvalidInputError, RunNotContinuableError
from agno_nb.event_loop import run_blocking
from agno_nb.models.base import Model, ModelRequest, complete
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import RetryPolicy
from agno_nb.run import defaults
from agno_nb.run.context import RunContext
from agno_nb.run.continue_run import (
    is_waiting,
    user_input_args,
)
from agno_nb.run.options import RunOptions, as_messages, first_set
from agno_nb.run.output_schema import OutputSchema
from agno_nb.tools import Tool, Toolkit, resolve_tools
from agno_nb.tools.history import get_chat_history, get_tool_call_history, session_search_tools, update_session_state
from agno_nb.tools.parameters import InvalidArguments
from agno_nb.types import (
    Budget,
    JsonDict,
    Message,
    RunEvent,
    RunOutput,
    Session,
    SessionType,
    new_id,
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
class Agent(SummariesAndMemories):
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
    role: str | None = None
    """Role in a team, in a few words. It is part of the leader's prompt and of the agent's own."""
    tools: Sequence[Tool | Callable[..., Any] | Toolkit | Sequence[Any]] | None = None
    """Functions that the model may call: tools, functions and methods, toolkits, and lists of them."""
    tool_choice: str | Mapping[str, Any] | None = None
    """"required" or the name of a tool: the model's first answer in a run must be a call; later ones need not be.
    "none": the model sees the tools but calls none. By default, "auto", it decides. OpenAI's dict is accepted too."""
    tool_hooks: Sequence[Callable[..., Any]] = ()
    """Functions called around every tool, the first one outermost; see :class:`~agno_nb.tools.Tool`."""
    instructions: str | Sequence[str] | None = None
    """Instructions for the model, part of the system prompt."""
    markdown: bool = False
    """Ask for an answer in Markdown."""
    add_history_to_context: bool = False
    """Send the messages of the session's latest runs with each new one."""
    num_history_runs: int = 3
    """Number of latest runs to send."""
    num_history_messages: int | None = None
    """Number of latest messages to send, instead of whole runs."""
    max_tool_calls_from_history: int | None = None
    """Maximum number of tool calls of earlier runs to send, latest first."""
    read_chat_history: bool = False
    """Let the model read earlier exchanges of the session with the tool `get_chat_history`."""
    read_tool_call_history: bool = False
    """Let the model read earlier tool calls of the session with the tool `get_tool_call_history`, newest first."""
    search_past_sessions: bool = False
    """Let the model read the user's other sessions with `search_past_sessions` and `read_past_session`."""
    num_past_sessions_to_search: int = 20
    """Number of latest other sessions that the model can read."""
    add_session_state_to_context: bool = False
    """Add the session's state to the system prompt."""
    enable_agentic_state: bool = False
    """Let the model change the session's state with the tool `update_session_state`."""
    additional_input: Sequence[Message | Mapping[str, Any] | BaseModel | str] | None = None
    """Messages to send before the history in every run, such as few-shot examples: messages, dicts such as
    ``{"role": "user", "content": "Hi"}``, or strings and objects, which become user messages. They are not stored."""
    output_schema: type[BaseModel] | JsonDict | None = None
    """Schema of the answer: a pydantic model, a JSON schema, or the ``{"type": "json_schema", ...}`` of an OpenAI
    request. `content` is then an object of that schema."""
    store_media: bool = True
    """Store images, audio and files with their messages."""
    store_tool_messages: bool = True
    """Store tool calls and their results."""
    store_history_messages: bool = False
    """Store the history messages that were sent with each run."""
    retries: int = 2
    """Maximum number of retries of a request that failed before its answer started, if the failure may be temporary:
    rate limits, connection errors and server errors. Each retry is an event and is displayed."""
    delay_between_retries: float = 1.0
    """Seconds before the first retry. A delay requested by the server takes precedence, up to a minute."""
    exponential_backoff: bool = True
    """Double the delay after each retry."""
    fallback_models: Sequence[Model | str] = ()
    """Models to use, in this order, if the provider keeps failing. Each change is an event and is displayed."""
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
        instructions = self.instructions if isinstance(self.instructions, list | tuple) else [self.instructions or ""]
        if not all(isinstance(each, str) for each in instructions):
            raise InvalidInputError(
                f"instructions is {self.instructions!r}; pass a string or a list of strings. For values that change "
                "from run to run, use {name}, which is replaced from session_state and dependencies"
            )
        limits = ("tool_call_limit", "max_tool_calls_from_history", "num_history_runs", "num_history_messages")
        for name in limits:
            whole_number(name, getattr(self, name), least=0)
        whole_number("request_limit", self.request_limit, least=1)
        as_messages(self.additional_input)
        if self.tool_choice is not None:
            normalized(self.tool_choice)
        if self.tools is not None and (isinstance(self.tools, str) or not isinstance(self.tools, Sequence)):
            raise InvalidInputError(f"tools is {self.tools!r}; pass a list of functions and toolkits")
        for each in self.tools or ():
            # Other objects are checked when they are described, which takes longer.
            if each is None or isinstance(each, str | bytes | int | float | Mapping):
                raise InvalidInputError(
                    f"tools has {each!r} of type {type(each).__name__}; pass functions and toolkits, as tools=[...]"
                )

    def is_continuable(self, run: RunOutput) -> bool:
        """Whether `run` is paused, or was interrupted while it executed an approved call."""
        return is_waiting(run)

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

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Return which history, summary and memories the run sends."""
        sends_history = first_set(options.get("add_history_to_context"), self.add_history_to_context)
        count = options.get("num_history_runs")
        return ContextQuery(
            num_history_runs=first_set(count, self.num_history_runs) if sends_history else 0,
            num_history_messages=self.num_history_messages if sends_history and count is None else None,
            summary=first_set(self.add_session_summary_to_context, self._summaries_enabled),
            memories=first_set(self.add_memories_to_context, self._memories_enabled or self.memory_manager is not None),
        )

    async def run_steps(self, context: RunContext) -> None:
        """Alternate between model requests and tool calls until the model answers."""
        caller = await self._model_caller(context)
        executor = self._tool_executor(context, caller)
        if caller.model.notice is not None and context.takes_notice():
            notice = f"{caller.model.notice} {self._how_to_change_model()}"
            context.emit(RunEvent.model_notice, content=notice, details={})
        schema = context.options.get("output_schema") or self.output_schema
        loop = RunLoop(
            caller=caller,
            executor=executor,
            schema=OutputSchema(schema) if schema is not None else None,
            tool_choice=self.tool_choice,
            parse_text_tool_calls=self.parse_text_tool_calls,
            is_final=functools.partial(self._is_final, context),
        )
        if context.is_continued:
            self._restore_run(context)
        else:
            self._build_messages(context)
        await loop.run()

    async def _model_caller(self, context: RunContext) -> ModelCaller:
        context.budgets, context.request_limit = self.budgets, self.request_limit
        model = self._known_model(context)
        if model is None:
            model = await asyncio.to_thread(lambda: self.resolved_model)
        policy = RetryPolicy(
            max_retries=self.retries, delay_s=self.delay_between_retries, exponential=self.exponential_backoff
        )
        return ModelCaller(model=model, fallback_models=self.fallback_models, retry_policy=policy, context=context)

    def _tool_executor(self, context: RunContext, caller: ModelCaller) -> ToolExecutor:
        return ToolExecutor(
            tools=resolve_tools([*(self.tools or []), *self._builtin_tools(context)], tool_cache=self._tool_cache),
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

    def _build_messages(self, context: RunContext) -> None:
        run, state = context.run, context.session_state
        system = build_system_prompt(
            description=self.description,
            role=self.role,
            instructions=self.instructions,
            members=self._members_prompt(),
            values={**(context.metadata or {}), **context.dependencies, **state, "user_id": context.user_id},
            markdown=self.markdown,
            memories=context.opened.memories if context.query.memories else None,
            summary=context.opened.summary,
            session_state=state if self.add_session_state_to_context or self.enable_agentic_state else None,
        )
        if (text := join_parts(system)) is not None:
            # Ordered before the user's message, which is already stored.
            context.recorder.add_message(Message(role="system", content=text, created_at=context.message.created_at))
        history = self._history(context)
        if self.store_history_messages:
            copies = [replace(message, message_id=new_id(), run_id=run.run_id) for message in history]
            context.recorder.unsaved += copies
        examples = as_messages(self.additional_input)
        run.messages += [*examples, *history, context.message]
        limit = self.max_tool_calls_from_history
        run.context_report = build_context_report(context, system, examples, history, max_tool_calls=limit)
        for message in context.partial_messages:
            context.recorder.add_message(message)
            run.tools += message.tool_calls

    def _history(self, context: RunContext) -> list[Message]:
        history, limit = context.opened.history, self.max_tool_calls_from_history
        return history if limit is None else trim_tool_calls(history, limit)

    def _members_prompt(self) -> str | None:
        """Return the description of a team's members for the leader."""
        return None

    def _restore_messages(self, context: RunContext) -> None:
        """Add the history and examples that the run was sent to its stored messages."""
        own = [message for message in context.run.messages if not message.from_history]
        if not own:
            raise RunNotContinuableError(
                f"run {context.run_id!r} was stored without its messages (store_member_responses=False); only the "
                "RunOutput that run() returned can be continued"
            )
        system = [message for message in own[:1] if message.role == "system"]
        before = [*system, *as_messages(self.additional_input), *self._history(context)]
        context.run.messages = [*before, *own[len(system) :]]

    def validate_answers(self, run: RunOutput) -> None:
        """Check that the tools of a paused run exist and accept the answers."""
        tools = resolve_tools(self.tools or [], tool_cache=self._tool_cache)
        known_call_ids = {call.tool_call_id for message in run.messages for call in message.tool_calls}
        for requirement in run.requirements:
            call = requirement.tool
            if requirement.run_id != run.run_id or call.is_finished:
                continue
            if call.tool_call_id not in known_call_ids:
                raise RunNotContinuableError(
                    f"run {run.run_id!r} was stored without its tool calls (store_tool_messages=False, or "
                    "store_member_responses=False of a team); only the RunOutput that run() returned can be continued"
                )
            if requirement.confirmed is False or requirement.kind == "external_execution":
                continue
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
            tools += session_search_tools(self.num_past_sessions_to_search)
        if self.enable_agentic_state:
            tools.append(update_session_state)
        return tools

    def to_persisted(self, message: Message) -> Message | None:
        """Return the stored form of a message, or None to store nothing."""
        if not self.store_tool_messages and (message.role == "tool" or message.tool_calls):
            return None
        return replace(message, media=[]) if message.media and not self.store_media else message

    def _generate_name(self, session: Session) -> str:
        lines = [f"{m.role}: {m.content}" for m in session.messages if m.role in ("user", "assistant") and m.content]
        beginning = Message(role="user", content="\n".join(line[:500] for line in lines[:6]))
        request = ModelRequest(messages=[Message(role="system", content=NAMING_PROMPT), beginning])
        answer = run_blocking(complete(self.resolved_model, request), method="set_session_name()")
        name = (answer.content or "").strip().partition("\n")[0].strip(" .\"'*#`")
        return name[:60] or session.runs[0].input[:60]
