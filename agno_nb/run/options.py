"""Options of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from agno_nb.types import CellInfo, JsonDict, Media, Message, Requirement, ToolCall, Variable

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext


def first_set(*values: Any) -> Any:
    """Return the first value that is not None."""
    for value in values:
        if value is not None:
            return value
    return None


class ContinueOptions(TypedDict, total=False):
    """Options for continuing a run. They are not stored, so pass them again."""

    session_state: JsonDict | None
    """Merged over the stored state, key by key."""
    dependencies: JsonDict | None
    """Merged over the agent's dependencies, key by key. Never stored."""
    add_history_to_context: bool | None
    num_history_runs: int | None
    add_dependencies_to_context: bool | None
    add_session_state_to_context: bool | None
    output_schema: Any
    """A pydantic model or JSON schema that the answer must follow."""
    additional_data: JsonDict | None
    """For workflows: values for steps as `step_input.additional_data`. Never stored."""


class TurnOptions(ContinueOptions, total=False):
    """Options for a new user message."""

    user_id: str | None
    """The current user, who owns the session."""
    session_id: str | None
    """The session to continue or create."""
    metadata: JsonDict | None
    """Stored with the run, merged over the agent's."""
    images: Sequence[Media] | None
    audio: Sequence[Media] | None
    videos: Sequence[Media] | None
    files: Sequence[Media] | None
    variables: Sequence[Variable] | None
    """Notebook variables that the input contains. Stored with the run."""
    cache: bool | None
    """Use the response cache: return the stored answer of a completed run with the same context, if there is one."""
    origin: CellInfo | None
    """The notebook cell that starts the run; defaults to the running cell."""


OPTION_ALIASES = {"replay": "cache"}
"""Other names that the options of a new run are accepted under."""

CONTINUE_ALIASES = {"run_response": "run_output", "step_requirements": "requirements"}
"""Other names that the options of a continued run are accepted under."""


class RunOptions(TurnOptions, total=False):
    """Options of one run. They override the agent's settings for that run."""

    run_id: str | None
    """ID for the new run."""
    run_index: int | None
    """The turn to run again. Later turns are not in its context, and the new attempt supersedes the old one."""


class StartOptions(RunOptions, total=False):
    """Options of a run as its input was read: not only a text, but messages around it."""

    messages: tuple[Sequence[Message], Sequence[Message]]
    """Messages of the input before and after the user's last one."""


class RunCall(RunOptions, total=False):
    """Keyword arguments of ``run()`` besides `stream`."""

    run_context: RunContext | None
    """A run, such as the one of a tool or step that calls: defaults of dependencies, metadata and state."""
    stream_events: bool | None
    yield_run_output: bool | None


class ContinueCall(ContinueOptions, total=False):
    """Keyword arguments of ``continue_run()`` besides `stream`."""

    run_context: RunContext | None
    metadata: JsonDict | None
    """Merged over the run's."""
    run_id: str | None
    session_id: str | None
    requirements: Sequence[Requirement] | None
    updated_tools: Sequence[ToolCall] | None
    user_id: str | None
    input: str | None
    continue_from: int | str | None
    fork: bool | None
    regenerate: bool | None
    replace_original: bool | None
    additional_instructions: str | None
    stream_events: bool | None
    yield_run_output: bool | None


class RegenerateCall(ContinueOptions, total=False):
    """Keyword arguments of ``regenerate()`` besides `stream`."""

    session_id: str | None
    user_id: str | None
    from_partial: bool | None
    stream_events: bool | None
    yield_run_output: bool | None


class BranchCall(TurnOptions, total=False):
    """Keyword arguments of ``continue_from()`` besides `stream`."""

    stream_events: bool | None
    yield_run_output: bool | None
