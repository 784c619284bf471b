"""The errors at agno's path: its names for ours, and the exceptions that hooks and tools raise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

from agno_nb._agno_parts import explain_missing_names
from agno_nb.errors import (
    AgnoNbError,
    ContextLengthError,
    ModelAuthenticationError,
    ModelError,
    ModelRateLimitError,
    RunError,
    RunNotContinuableError,
    RunNotFoundError,
    SessionBusyError,
)
from agno_nb.types import JsonDict, Message

__all__ = [
    "AgentRunException",
    "AgnoError",
    "CheckTrigger",
    "ContextWindowExceededError",
    "InputCheckError",
    "ModelAuthenticationError",
    "ModelProviderError",
    "ModelRateLimitError",
    "OutputCheckError",
    "RetryAgentRun",
    "RunCancelledException",
    "RunNotContinuableError",
    "RunNotFoundError",
    "SessionBusyError",
    "StopAgentRun",
]

explain_missing_names(__name__)

AgnoError = AgnoNbError
ModelProviderError = ModelError
ContextWindowExceededError = ContextLengthError

_MessageOrText: TypeAlias = "str | Message | None"


class CheckTrigger(StrEnum):
    """Reason for which a hook rejects an input or an answer."""

    OFF_TOPIC = "off_topic"
    INPUT_NOT_ALLOWED = "input_not_allowed"
    OUTPUT_NOT_ALLOWED = "output_not_allowed"
    VALIDATION_FAILED = "validation_failed"
    PROMPT_INJECTION = "prompt_injection"
    PII_DETECTED = "pii_detected"


class _CheckError(RunError):
    """Base class of the errors with which hooks end a run."""

    type: str
    default_trigger: CheckTrigger

    def __init__(
        self, message: str, check_trigger: CheckTrigger | str | None = None, additional_data: JsonDict | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.check_trigger = self.default_trigger if check_trigger is None else check_trigger
        self.additional_data = additional_data

    @property
    def error_id(self) -> str:
        return str(self.check_trigger)


class InputCheckError(_CheckError):
    """A pre-hook rejects the input of a run. The run is stored with status ERROR, and no model was called."""

    type = "input_check_error"
    default_trigger = CheckTrigger.INPUT_NOT_ALLOWED


class OutputCheckError(_CheckError):
    """A post-hook rejects the answer. The run is stored with the answer and status ERROR."""

    type = "output_check_error"
    default_trigger = CheckTrigger.OUTPUT_NOT_ALLOWED


class AgentRunException(Exception):
    """Base class of the exceptions with which a tool decides how its run continues.

    Parameters
    ----------
    exc : object
        Its text is the result of the call.
    user_message, agent_message : str or Message, optional
        Messages that are added to the run after the result.
    messages : sequence of Message or dict, optional
        Further messages.
    """

    stop_execution = False
    """Whether the run ends after the results of this answer's calls."""

    def __init__(
        self,
        exc: object,
        user_message: _MessageOrText = None,
        agent_message: _MessageOrText = None,
        messages: Sequence[Message | Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(exc)
        self.user_message, self.agent_message, self.messages = user_message, agent_message, messages


def as_agent_run_exception(error: Exception) -> AgentRunException | None:
    """Return our exception for one of agno's with which a tool decides how the run continues; None for any other."""
    if isinstance(error, AgentRunException):
        return error
    if not any(cls.__name__ == "AgentRunException" for cls in type(error).__mro__):
        return None
    cls = StopAgentRun if getattr(error, "stop_execution", False) else RetryAgentRun
    return cls(
        str(error),
        user_message=_our_message(getattr(error, "user_message", None)),
        agent_message=_our_message(getattr(error, "agent_message", None)),
        messages=[_our_message(each) for each in getattr(error, "messages", None) or ()],
    )


def _our_message(message: Any) -> Any:
    """Return a message of agno as ours; other values unchanged."""
    if message is None or isinstance(message, str | Mapping | Message):
        return message
    return Message(role=message.role, content=message.content)


class RetryAgentRun(AgentRunException):
    """A tool asks the model to try again, with instructions."""


class StopAgentRun(AgentRunException):
    """A tool ends the run."""

    stop_execution = True


class RunCancelledException(Exception):
    """agno's exception for cancelled runs, for programs that import it. Nothing here raises or handles it.

    To cancel a run, also in one of its tools or hooks, use :func:`~agno_nb.run.cancel.cancel_run`.
    """

    def __init__(self, message: str = "the run was cancelled") -> None:
        super().__init__(message)
