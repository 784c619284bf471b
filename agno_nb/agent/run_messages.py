"""The messages of a run: settings for history and hooks, and the messages of its first request."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from agno_nb.agent.hooks import Hook, run_pre_hooks
from agno_nb.agent.prompt import build_context_report, build_system_prompt, fill_template, join_parts, trim_tool_calls
from agno_nb.agent.prompt_settings import PromptSettings, check_instructions
from agno_nb.agent.summaries_and_memories import SummariesAndMemories
from agno_nb.db.base import ContextQuery
from agno_nb.errors import RunNotContinuableError
from agno_nb.run.context import RunContext, call_setting
from agno_nb.run.inputs import Input, as_messages, as_text, read_input, validated
from agno_nb.run.options import RunOptions, StartOptions, first_set
from agno_nb.types import Message, new_id


@dataclass(eq=False, repr=False, kw_only=True)
class RunMessages(PromptSettings, SummariesAndMemories, ABC):
    """A runnable with a model, that builds the messages of its runs."""

    add_history_to_context: bool = False
    """Send the messages of the session's latest runs with each new one."""
    num_history_runs: int = 3
    """Number of latest runs to send."""
    num_history_messages: int | None = None
    """Number of latest messages to send, instead of whole runs."""
    max_tool_calls_from_history: int | None = None
    """Maximum number of tool calls of earlier runs to send, latest first."""
    store_history_messages: bool = False
    """Store the history messages that were sent with each run."""
    enable_agentic_state: bool = False
    """Let the model change the session's state with the tool `update_session_state`."""
    pre_hooks: Sequence[Hook] = ()
    """Functions called before each run. They may change ``run_input.input_content``, or raise an InputCheckError. They
    may be async, and may have the parameters `run_input`, `agent`, `team`, `session`, `run_context`, `session_state`,
    `dependencies`, `metadata` and `user_id`."""
    post_hooks: Sequence[Hook] = ()
    """Functions called after each completed run, with `run_output` instead of `run_input`. They may change its content,
    or raise an OutputCheckError."""

    def context_query(self, options: RunOptions) -> ContextQuery:
        """Return which history, summary and memories the run sends."""
        sends_history, count = options.get("add_history_to_context"), options.get("num_history_runs")
        sends_history = self.add_history_to_context if sends_history is None else sends_history
        summary, memories = self.add_session_summary_to_context, self.add_memories_to_context
        return ContextQuery(
            num_history_runs=(self.num_history_runs if count is None else count) if sends_history else 0,
            num_history_messages=self.num_history_messages if sends_history and count is None else None,
            summary=self._summaries_enabled if summary is None else summary,
            memories=(self._memories_enabled or self.memory_manager is not None) if memories is None else memories,
        )

    def _text_of(self, input: Input, options: dict[str, Any]) -> str:
        if isinstance(input, str) and self.input_schema is None:
            return as_text(input)
        read = read_input(input if self.input_schema is None else validated(input, self.input_schema))
        if read.media:
            options["files"] = [*(options.get("files") or ()), *read.media]
        if read.before or read.after:
            options["messages"] = (read.before, read.after)
        return read.text

    def _resolves_message(self, context: RunContext) -> bool:
        """Whether ``{name}`` is replaced in the user's message: in texts of the caller's, not of a cell or a model."""
        return self.resolve_in_context and context.parent is None and context.options.get("variables") is None

    async def _send_messages(self, context: RunContext) -> None:
        """Build the messages of a new run from the user's, as its hooks leave it."""
        if context.stores_message_later:
            await self._prepare_message(context)
        self._build_messages(context, await self._system_parts(context))
        if context.stores_message_later:
            await context.recorder.save()

    async def _prepare_message(self, context: RunContext) -> None:
        """Call the pre-hooks of a new run, and replace ``{name}`` in the user's message."""
        message = context.message
        if self.pre_hooks:
            await run_pre_hooks(self.pre_hooks, self, context)
        if self._resolves_message(context):
            # The author of the message must not read the dependencies, which may contain keys.
            message.content = fill_template(message.content or "", self._values(context, dependencies={}))

    def _values(self, context: RunContext, *, dependencies: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the values that replace ``{name}`` in the prompt of a run; `dependencies` are by default the run's."""
        if not self.resolve_in_context:
            return {}
        metadata, state = context.metadata or {}, context.session_state
        run = context.run
        return {
            "current_user_id": run.user_id,
            "current_session_id": run.session_id,
            "current_run_id": run.run_id,
            **metadata,
            **(context.dependencies if dependencies is None else dependencies),
            **state,
            "user_id": run.user_id,
        }

    async def _system_parts(self, context: RunContext) -> list[tuple[str, str]]:
        """Return the parts of the system message, each with its source."""
        options, system, instructions = context.options, self.system_message, self.instructions
        if callable(system):
            system = await call_setting("system_message", system, self, context)
        if isinstance(system, Message):
            return [("instructions", system.content or "")]
        if system is not None or not self.build_context:
            return [("instructions", fill_template(str(system or ""), self._values(context)))]
        if callable(instructions):
            instructions = await call_setting("instructions", instructions, self, context)
            check_instructions(instructions, "the result of the function in instructions")
        sends_dependencies, sends_state = self.add_dependencies_to_context, self.add_session_state_to_context
        if "add_dependencies_to_context" in options:
            sends_dependencies = first_set(options["add_dependencies_to_context"], sends_dependencies)
        if "add_session_state_to_context" in options:
            sends_state = first_set(options["add_session_state_to_context"], sends_state)
        has_facts = self.markdown or self.add_name_to_context or self.add_datetime_to_context
        has_facts = has_facts or self.add_location_to_context
        return build_system_prompt(
            description=self.description,
            role=self.role,
            instructions=instructions,
            in_tags=self.use_instruction_tags,
            tool_instructions=context.tool_instructions,
            members=self._members_prompt(context),
            facts=self.facts(self.name) if has_facts else (),
            expected_output=self.expected_output,
            additional_context=self.additional_context,
            values=self._values(context),
            memories=context.opened.memories if context.query.memories else None,
            summary=context.opened.summary,
            dependencies=context.dependencies if sends_dependencies and context.dependencies else None,
            session_state=context.session_state if sends_state or self.enable_agentic_state else None,
        )

    def _build_messages(self, context: RunContext, system: Sequence[tuple[str, str]]) -> None:
        run, recorder, message = context.run, context.recorder, context.message
        if (text := join_parts(system)) is not None:
            # Ordered before the user's message, which is already stored.
            recorder.add_message(Message(role="system", content=text, created_at=message.created_at))
        history = self._history(context)
        if self.store_history_messages:
            copies = [replace(message, message_id=new_id(), run_id=run.run_id) for message in history]
            recorder.unsaved += copies
        examples = as_messages(self.additional_input) if self.additional_input else []
        run.messages += [*examples, *history]
        before, after = cast("StartOptions", context.options).get("messages", ((), ()))
        if context.stores_message_later:
            for each in (*before, message, *after):
                recorder.add_message(each)
        else:
            run.messages.append(message)
        limit = self.max_tool_calls_from_history
        run.context_report = build_context_report(
            context, system, examples, history, [*before, *after], max_tool_calls=limit
        )
        for message in context.partial_messages:
            if message.run_id == run.run_id:
                run.messages.append(message)  # It was stored with the run.
            else:
                recorder.add_message(message)
            run.tools += message.tool_calls

    def _history(self, context: RunContext) -> list[Message]:
        history, limit = context.opened.history, self.max_tool_calls_from_history
        return history if limit is None else trim_tool_calls(history, limit)

    def _members_prompt(self, context: RunContext) -> str | None:
        """Return the description of a team's members for the leader."""
        return None

    def _restore_messages(self, context: RunContext) -> None:
        """Add the history and examples that the run was sent to its stored messages."""
        own = [message for message in context.run.messages if not message.from_history]
        if not own:
            raise RunNotContinuableError(
                f"run {context.run_id!r} was stored without its messages (store_member_responses=False or "
                "store_executor_outputs=False); only the RunOutput that run() returned can be continued"
            )
        system = [message for message in own[:1] if message.role == "system"]
        before = [*system, *as_messages(self.additional_input), *self._history(context)]
        context.run.messages = [*before, *own[len(system) :]]
