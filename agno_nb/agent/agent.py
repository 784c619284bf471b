"""Agents: a model, what it is told, and the tools that it may use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.context_report import build_context_report
from agno_nb.agent.model_calls import ModelCaller
from agno_nb.agent.prompt import build_system_prompt, join_parts, latest_text, requests_of
from agno_nb.agent.response_cache import cached_response
from agno_nb.agent.summaries_and_memories import SummariesAndMemories
from agno_nb.agent.tool_calls import ToolExecutor
from agno_nb.db.base import ContextQuery
from agno_nb.errors import InvalidInputError, OutputSchemaError, RunNotContinuableError
from agno_nb.event_loop import run_blocking
from agno_nb.models.base import Model, ModelRequest, complete
from agno_nb.models.resolve import resolve_model
from agno_nb.models.retry import RetryPolicy
from agno_nb.run.context import RunContext, is_waiting
from agno_nb.run.continue_run import pending_tool_calls, user_input_args
from agno_nb.run.messages import last_assistant_message, mark_as_history, repair_tool_pairs, trim_tool_calls
from agno_nb.run.options import RunOptions, as_messages
from agno_nb.run.output_schema import OutputSchema, correction
from agno_nb.tools import Tool, Toolkit, resolve_tools
from agno_nb.tools.history import get_chat_history, get_tool_call_history, session_search_tools
from agno_nb.tools.state import update_session_state
from agno_nb.types import (
    Budget,
    JsonDict,
    Message,
    RunEvent,
    RunOutput,
    RunStatus,
    Session,
    SessionType,
    ToolCall,
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
    """A model with instructions and tools, that answers in sessions.

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
    """A model, a string such as ``"openai:gpt-5-mini"``, or None: chosen at the first run by what is configured."""
    _: KW_ONLY
    role: str | None = None
    """What it is there for in a team, in a few words. The leader is told, and its own model too."""
    tools: Sequence[Tool | Callable[..., Any] | Toolkit | Sequence[Any]] | None = None
    """Functions that the model may call: tools, plain functions and methods, toolkits, and lists of them."""
    tool_hooks: Sequence[Callable[..., Any]] = ()
    """Called around every tool, the first one outermost: see :class:`~agno_nb.tools.Tool`."""
    instructions: str | Sequence[str] | None = None
    """What the model is told to do, in every run."""
    markdown: bool = False
    """Ask for an answer in Markdown."""
    add_history_to_context: bool = False
    """Send the messages of the session's latest runs with each new one."""
    num_history_runs: int = 3
    """How many of the latest runs those are."""
    num_history_messages: int | None = None
    """Send so many of the latest messages instead of whole runs."""
    max_tool_calls_from_history: int | None = None
    """Send no more than so many tool calls of earlier runs, the latest ones."""
    read_chat_history: bool = False
    """Let the model read earlier exchanges of the session, by the tool `get_chat_history`."""
    read_tool_call_history: bool = False
    """Let the model read earlier tool calls of the session, newest first, by the tool `get_tool_call_history`."""
    search_past_sessions: bool = False
    """Let the model read the user's other sessions, by `search_past_sessions` and `read_past_session`."""
    num_past_sessions_to_search: int = 20
    """How many of the latest other sessions it may see."""
    add_session_state_to_context: bool = False
    """Show the session's state to the model."""
    enable_agentic_state: bool = False
    """Let the model change the session's state, by the tool `update_session_state`."""
    additional_input: Sequence[Message | Mapping[str, Any] | BaseModel | str] | None = None
    """Messages that are sent before the history in every run, for example few-shot examples: messages, dicts such as
    ``{"role": "user", "content": "Hi"}``, and strings and objects, which are user messages. They are not stored."""
    output_schema: type[BaseModel] | JsonDict | None = None
    """What the answer must be: a pydantic model, a JSON schema, or the ``{"type": "json_schema", ...}`` of an OpenAI
    request. `content` is then an object of it."""
    store_media: bool = True
    """Store images, sounds and files with their messages."""
    store_tool_messages: bool = True
    """Store tool calls and their results."""
    store_history_messages: bool = False
    """Store with each run also the earlier messages that it was sent."""
    retries: int = 2
    """How often a request is sent again that failed before its answer began, where the failure may pass: too many
    requests, no connection, a server's fault. Each time is an event, and is shown."""
    delay_between_retries: float = 1.0
    """Seconds before the first time. Where the server says how long to wait, that counts, up to a minute."""
    exponential_backoff: bool = True
    """Whether each wait is twice as long as the one before."""
    fallback_models: Sequence[Model | str] = ()
    """Who answers instead when the provider fails for good, in this order. It is an event, and is shown."""
    budget: Budget | Sequence[Budget] | None = None
    """What may be spent. Runs nested in the agent's are kept to it too."""
    tool_call_limit: int | None = None
    """Maximum number of tool calls of a run. Further ones are refused, and the model is asked once more, without tools.
    If it still calls one, the run ends with the text so far and the event `ToolCallLimitReached`."""
    request_limit: int | None = 50
    """Maximum number of model requests of a run, including retries, fallbacks and corrections; None for no limit. A
    :class:`~agno_nb.errors.RunLimitError` ends the run when it is reached. Nested runs have limits of their own; all
    together they may make 20 times as many."""

    _resolved: tuple[Any, Model] | None = field(init=False, default=None)
    _tool_cache: list[Tool] = field(init=False, default_factory=list)

    def validate_settings(self) -> None:
        """Check what it was made of; an InvalidInputError says what is wrong."""
        super().validate_settings()
        instructions = self.instructions if isinstance(self.instructions, list | tuple) else [self.instructions or ""]
        if not all(isinstance(each, str) for each in instructions):
            raise InvalidInputError(
                f"instructions is {self.instructions!r}; give a text or a list of texts. What changes from run to run "
                "is written as {name}, and filled in from session_state and dependencies"
            )
        for name, least in (
            ("tool_call_limit", 0),
            ("request_limit", 1),
            ("max_tool_calls_from_history", 0),
            ("num_history_runs", 0),
            ("num_history_messages", 0),
        ):
            whole_number(name, getattr(self, name), least=least)
        as_messages(self.additional_input)
        if self.tools is not None and (isinstance(self.tools, str) or not isinstance(self.tools, Sequence)):
            raise InvalidInputError(f"tools is {self.tools!r}; give a list of functions and toolkits, as tools=[...]")
        for each in self.tools or ():
            # Whether others are tools is found out when they are described, which takes longer.
            if each is None or isinstance(each, str | bytes | int | float | Mapping):
                raise InvalidInputError(
                    f"tools has {each!r} of type {type(each).__name__}; give functions and toolkits, as tools=[...]"
                )

    def is_continuable(self, run: RunOutput) -> bool:
        """Whether `run` waits for a person, or was interrupted while it carried out what a person had approved."""
        return is_waiting(run)

    @property
    def budgets(self) -> Sequence[Budget]:
        """What runs are kept to."""
        return [self.budget] if isinstance(self.budget, Budget) else self.budget or ()

    @property
    def _retry_policy(self) -> RetryPolicy:
        return RetryPolicy(
            max_retries=self.retries, delay_s=self.delay_between_retries, exponential=self.exponential_backoff
        )

    @property
    def resolved_model(self) -> Model:
        """The model in use: chosen once, and again only when `model` is set to another."""
        if self._resolved is None or self._resolved[0] is not self.model:
            self._resolved = self.model, resolve_model(self.model)
        return self._resolved[1]

    @property
    def output_schemas(self) -> Mapping[str, OutputSchema]:
        """Output schemas by name, including the schemas of its parts."""
        if self.output_schema is None or isinstance(self.output_schema, dict):
            return super().output_schemas  # What follows a JSON schema is a dict in any case.
        schema = OutputSchema(self.output_schema)
        return {**super().output_schemas, schema.name: schema}

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Ask for the runs that history shows."""
        sends_history = options.get("add_history_to_context")
        is_history_sent = self.add_history_to_context if sends_history is None else sends_history
        count = options.get("num_history_runs")
        return ContextQuery(
            num_history_runs=(self.num_history_runs if count is None else count) if is_history_sent else 0,
            num_history_messages=self.num_history_messages if is_history_sent and count is None else None,
            summary=self.sends_summary,
            memories=self.sends_memories,
        )

    async def run_steps(self, context: RunContext) -> None:
        """Let the model and the tools talk until the model answers."""
        run, is_chosen = context.run, self._resolved is not None and self._resolved[0] is self.model
        # Choosing may ask a server for the names of its models.
        model = self._model_for(context) if is_chosen else await asyncio.to_thread(self._model_for, context)
        context.budgets, context.request_limit = self.budgets, self.request_limit
        caller = ModelCaller(
            model=model, fallback_models=self.fallback_models, retry_policy=self._retry_policy, context=context
        )
        tools = resolve_tools([*(self.tools or []), *self._builtin_tools(context)], tool_cache=self._tool_cache)
        executor = ToolExecutor(
            tools=tools,
            hooks=self.tool_hooks,
            tool_call_limit=self.tool_call_limit,
            injected=self._injected_arguments(context),
            component_name=self.name,
            context=context,
        )
        schema_setting = context.options.get("output_schema") or self.output_schema
        schema = OutputSchema(schema_setting) if schema_setting is not None else None
        if context.continuation is not None:
            context.num_requests, context.num_nested_requests = requests_of(run)
        if context.continuation is None:
            self._build_messages(context)
        elif run.is_reloaded:
            self._restore_messages(context)
        own_messages = [message for message in run.messages if not message.from_history]
        partial_content = "".join(m.content or "" for m in own_messages if m.finish_reason == "interrupted")
        is_retry = is_at_limit = False
        # Of a run that goes on: what was shown before the answer whose calls wait.
        earlier_calls = (
            run.tools[: -len(last_assistant_message(run).tool_calls)] if context.continuation is not None else []
        )
        shown_results = [call.result or "" for call in earlier_calls if _is_result_shown(call, tools)]
        while True:
            if (pending := pending_tool_calls(run.messages)) and await self._execute_tool_calls(
                executor, pending, shown_results
            ):
                return
            may_call = self.tool_call_limit is None or len(run.tools) < self.tool_call_limit
            answer = await self._next_response(caller, tools, schema, may_call=may_call)
            run.tools += answer.tool_calls
            if answer.tool_calls and may_call:
                continue
            text = answer.content or ""
            if answer.tool_calls:
                await executor.execute(pending_tool_calls(run.messages))  # All of them are refused.
                text = text or latest_text(run)
                if not is_at_limit:
                    await self._add_limit_message(caller)
                is_at_limit = True
            run.content, run.reasoning_content = partial_content + text, answer.reasoning_content
            if schema is None:
                run.content = "\n\n".join([*shown_results, run.content] if run.content else shown_results)
                return
            try:
                run.content, run.content_type = schema.parse(run.content), schema.name
                return
            except ValueError as error:
                if is_retry:
                    raise self._output_schema_error(schema, error, run.content, may_call=may_call) from None
                context.add_message(Message(role="user", content=correction(str(error))))
                is_retry = True

    async def _execute_tool_calls(
        self, executor: ToolExecutor, pending: Sequence[tuple[ToolCall, Message]], shown_results: list[str]
    ) -> bool:
        """Settle the calls of the last answer, and return whether the run ends with them: paused, or answered."""
        context, tools, run = executor.context, executor.tools, executor.context.run
        await executor.execute(pending)
        answer = last_assistant_message(run)
        if run.active_requirements:
            run.status, run.content = RunStatus.PAUSED, answer.content
            return True
        if results := [call.result or "" for call in answer.tool_calls if _is_result_shown(call, tools)]:
            shown_results += results
            context.emit(RunEvent.run_content, content="\n\n".join(results) + "\n\n")
        executed = [
            tools[call.tool_name] for call in answer.tool_calls if call.tool_name in tools and not call.tool_call_error
        ]
        if any(tool.stop_after_tool_call for tool in executed):
            run.content = "\n\n".join(shown_results) or answer.content or ""
            return True
        return self._is_final(context)

    def _output_schema_error(
        self, schema: OutputSchema, error: ValueError, answer: str, *, may_call: bool
    ) -> OutputSchemaError:
        beginning = answer if len(answer) <= 200 else f"{answer[:199]}…"
        message = (
            f"the answer is not a valid {schema.name}: {error}. It begins with {beginning!r}; "
            "`error.run_output.content` is the whole answer"
        )
        if not may_call:
            message += (
                f"\nIt was given after tool_call_limit={self.tool_call_limit}; raise the limit if it needs more calls"
            )
        return OutputSchemaError(message)

    async def _add_limit_message(self, caller: ModelCaller) -> None:
        """Report that a model goes on to call tools after the limit, and that the run therefore ends."""
        await caller.context.record_event(
            RunEvent.tool_call_limit_reached,
            f"{caller.model.id} still called tools after tool_call_limit={self.tool_call_limit}, so the run ends with "
            "the text so far",
            details={"tool_call_limit": self.tool_call_limit, "num_tool_calls": len(caller.context.run.tools)},
            model=caller.model.id,
        )

    async def _next_response(
        self, caller: ModelCaller, tools: dict[str, Tool], schema: OutputSchema | None, *, may_call: bool
    ) -> Message:
        """Return the model's answer to what was said so far; that of an earlier run, where it was asked the same."""
        context, run = caller.context, caller.context.run
        request = ModelRequest(
            messages=repair_tool_pairs(run.messages),
            tools=[tool.spec for tool in tools.values()],
            allow_tool_calls=may_call,
        )
        if schema is not None:
            request.output_schema, request.output_name = schema.json_schema, schema.name
        answer = None
        if run.context_hash is None:
            functions = [tool.function for tool in tools.values()]
            answer = await cached_response(context, request, model=caller.model.to_dict(), functions=functions)
        return answer or await caller.request(request)

    def _model_for(self, context: RunContext) -> Model:
        """Return the model that answers: its own, or of a member without one, the team's."""
        default_model = context.parent.default_model if context.parent is not None else None
        return self.resolved_model if self.model is not None or default_model is None else default_model

    def _is_final(self, context: RunContext) -> bool:
        """Whether what the latest calls gave is the answer, and the model need not be asked for one."""
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
            memories=context.memories,
            summary=context.summary,
            session_state=state if self.add_session_state_to_context or self.enable_agentic_state else None,
        )
        if (text := join_parts(system)) is not None:
            # It stands before the user's message, which was stored already.
            context.add_message(Message(role="system", content=text, created_at=context.message.created_at))
        history = context.history
        if self.max_tool_calls_from_history is not None:
            history = trim_tool_calls(history, self.max_tool_calls_from_history)
        if self.store_history_messages:
            context.unsaved += [replace(message, message_id=new_id(), run_id=run.run_id) for message in history]
        examples = mark_as_history(as_messages(self.additional_input))
        run.messages += [*examples, *history, context.message]
        run.context_report = build_context_report(
            context,
            self.context_query(context.options),
            system=system,
            examples=examples,
            history=history,
            max_tool_calls=self.max_tool_calls_from_history,
        )
        for message in context.partial_messages:
            context.add_message(message)
            run.tools += message.tool_calls

    def _members_prompt(self) -> str | None:
        """Return what the leader of a team is told of its members."""
        return None

    def _restore_messages(self, context: RunContext) -> None:
        """Put what the run was sent around what was stored of it."""
        own = [message for message in context.run.messages if not message.from_history]
        if not own:
            raise RunNotContinuableError(
                f"run {context.run_id!r} was stored without its messages (store_member_responses=False); only the "
                "RunOutput that run() returned can be continued"
            )
        system = [message for message in own[:1] if message.role == "system"]
        history = context.history
        if self.max_tool_calls_from_history is not None:
            history = trim_tool_calls(history, self.max_tool_calls_from_history)
        before = [*system, *mark_as_history(as_messages(self.additional_input)), *history]
        context.run.messages = [*before, *own[len(system) :]]

    def validate_answers(self, run: RunOutput) -> None:
        """Check that the tools that a paused run waits for are there, and take what they were given."""
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
                    f"run {run.run_id!r} waits for tool {call.tool_name!r}, and {self!r} has no such tool; give it "
                    "that tool, or reject the requirement"
                )
            if error := tool.argument_error(call, user_input_args(requirement)):
                raise InvalidInputError(f"{requirement} cannot be carried out as it was answered. {error}")

    def _builtin_tools(self, context: RunContext) -> list[Tool | Callable[..., Any]]:
        tools: list[Tool | Callable[..., Any]] = [*self.memory_tools(context)]
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
        """Return what is stored of a message, or None for nothing."""
        if not self.store_tool_messages and (message.role == "tool" or message.tool_calls):
            return None
        return replace(message, media=[]) if message.media and not self.store_media else message

    def _generate_name(self, session: Session) -> str:
        lines = [f"{m.role}: {m.content}" for m in session.messages if m.role in ("user", "assistant") and m.content]
        request = ModelRequest(
            messages=[
                Message(role="system", content=NAMING_PROMPT),
                Message(role="user", content="\n".join(line[:500] for line in lines[:6])),
            ]
        )
        answer = run_blocking(
            complete(self.resolved_model, request), method="set_session_name()", instead="aset_session_name()"
        )
        name = (answer.content or "").strip().partition("\n")[0].strip(" .\"'*#`")
        return name[:60] or session.runs[0].input[:60]

    def _injected_arguments(self, context: RunContext) -> dict[str, Any]:
        """Return what tools and hooks are given without the model."""
        return {
            "agent": self,
            "team": context.team,
            "run_context": context,
            "session_state": context.session_state,
            "dependencies": context.dependencies,
        }


def _is_result_shown(call: ToolCall, tools: Mapping[str, Tool]) -> bool:
    return call.tool_name in tools and tools[call.tool_name].is_shown and not call.tool_call_error
