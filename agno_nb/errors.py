"""The exceptions of agno_nb.

::

    AgnoNbError                       .run_output: the failed run with its messages
    ├── RunError                      a run failed
    │   ├── ModelError                the provider failed; .retry_after_s if it asks to wait
    │   │   ├── ModelAuthenticationError    no key, or a rejected one
    │   │   ├── ModelRateLimitError         too many requests, or no quota left
    │   │   ├── ModelRequestError           the provider rejected the request
    │   │   │   ├── ModelNotFoundError      no such model at this endpoint
    │   │   │   └── ContextLengthError      the request exceeds the context length
    │   │   ├── ContentFilterError          the provider declined to answer
    │   │   ├── ModelConnectionError        not reached, or connection lost
    │   │   │   └── ModelTimeoutError       no data for too long
    │   │   ├── ModelServerError            the provider's own failure (5xx)
    │   │   │   └── ModelLoadingError       the server is still loading the model
    │   │   └── ModelStreamError            an incomplete or invalid answer
    │   │       └── ResponseLimitError      an answer that exceeds the model object's limits
    │   ├── BudgetExceeded            a budget is used up; .budget, .usage
    │   ├── ToolServerError           an MCP server cannot be started, has ended, or breaks its protocol
    │   └── OutputSchemaError         the answer does not match output_schema
    ├── SessionOwnershipError         the session belongs to another user
    ├── SessionNotFoundError
    ├── RunNotFoundError
    ├── SessionBusyError              another process executes a run in the session; runs wait for it
    ├── RunNotContinuableError        the run is not paused
    ├── StoreError                    the store could not be read or written
    │   ├── StoreLocked               another process holds the lock too long
    │   ├── UnstorableValueError      the store works, but cannot store a value
    │   ├── NotAStoreError            the file is not a store
    │   └── StoreVersionError         the file is from a newer agno_nb
    ├── QueryError                    a user's SQL was rejected or failed
    ├── InvalidInputError             a bad argument, option or name (also a ValueError)
    └── UnknownArgumentError          an unknown keyword argument (also a TypeError)
    KeyboardInterrupt
    ├── RunInterrupted                the user stopped a run in a cell; .run_output
    └── QueryInterrupted              the user stopped a query or reading a frame
    BaseException
    ├── NestedRunPaused               a run started by a tool waits for a person; .run_output
    └── InputRequired                 a tool needs values from a person; .fields

Messages say what failed, the value, and the remedy. IPython shows these errors without their traceback, only with the
lines of the notebook's cells if a cell has several; ``%tb`` shows the traceback.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from linecache import getlines
from traceback import FrameSummary, StackSummary, walk_tb
from typing import TYPE_CHECKING, Any, TypeGuard

from agno_nb.redact import displayable

if TYPE_CHECKING:
    from agno_nb.types import Budget, RunOutput, UsageTotals, UserInputField


_MAX_LINES_OF_CELLS = 5


class _Displayable(BaseException):
    """An error whose message is made displayable, because it may quote a server, a tool or a model."""

    def __str__(self) -> str:
        return displayable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the constructor, which may have other required parameters. Worker processes pickle their errors.
        return _unpickled, (type(self), self.args, self.__dict__)

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of the traceback.
        return [f"{type(self).__name__}: {self}", *_lines_of_cells(self)]


def _lines_of_cells(error: BaseException) -> list[str]:
    """Return the lines of the notebook's cells that led to an error and its causes, if a cell has several lines."""
    lines: list[FrameSummary] = []
    cause: BaseException | None = error
    while cause is not None:
        frames = walk_tb(cause.__traceback__)
        lines += StackSummary.extract(each for each in frames if each[0].f_globals.get("__name__") == "__main__")
        cause = cause.__cause__
    # In the compiled cell, a magic is a call.
    lines = [each for each in lines if each.line and not each.line.startswith("get_ipython().run_")]
    if len(lines) == 1 and sum(map(bool, map(str.strip, getlines(lines[0].filename)))) == 1:
        return []
    return [
        displayable(f"  line {each.lineno}{'' if each.name.startswith('<') else f', in {each.name}'}: {each.line}")
        for each in lines[-_MAX_LINES_OF_CELLS:]
    ]


def _unpickled(kind: type[_Displayable], args: tuple[Any, ...], attributes: dict[str, Any]) -> _Displayable:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class AgnoNbError(_Displayable, Exception):
    """Base class of the errors of this package."""

    run_output: RunOutput | None = None
    """The failed run with its messages, if there was one."""


class RunInterrupted(_Displayable, KeyboardInterrupt):
    """The user stopped a run in a cell. It is stored with its messages and status CANCELLED."""

    run_output: RunOutput | None = None


class QueryInterrupted(_Displayable, KeyboardInterrupt):
    """The user stopped a query or reading a frame. The store was not changed."""

    # Shown in one line, because IPython needs most of a second for the first traceback of a kernel.


class NestedRunPaused(_Displayable):
    """A run started by a tool waits for a person, so the tool ends and the calling run pauses too.

    When that run is continued, the tool is called again, and the run that it starts is the paused one. This is not an
    Exception, so that tools that handle all errors don't handle it.
    """

    def __init__(self, run_output: RunOutput) -> None:
        super().__init__(
            f"run {run_output.run_id!r} of {run_output.component_name or run_output.kind} waits for a person"
        )
        self.run_output = run_output


class InputRequired(_Displayable):
    """A tool needs values that only a person knows, so the call ends and the run pauses.

    When the run is continued, the tool is called again. Like :class:`NestedRunPaused`, this is not an Exception.
    """

    def __init__(self, fields: Sequence[UserInputField]) -> None:
        super().__init__(f"a person has to provide {', '.join(each.name for each in fields)}")
        self.fields = fields


class RunError(AgnoNbError):
    """A run failed. It is stored with its messages and status ERROR."""


class ModelError(RunError):
    """The provider failed.

    Parameters
    ----------
    message : str
        Never contains a key.
    status_code : int, optional
        HTTP status.
    code : str, optional
        The provider's own error code.
    request_id : str, optional
        The provider's id of the request, for its support.
    """

    retry_after_s: float | None = None
    """Seconds that the provider asks to wait."""

    def __init__(
        self, message: str, *, status_code: int | None = None, code: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id


class ModelAuthenticationError(ModelError):
    """There is no key, or the provider rejected it."""


class ModelRateLimitError(ModelError):
    """Too many requests, or no quota left."""


class ModelRequestError(ModelError):
    """The provider rejected the request."""


class ModelNotFoundError(ModelRequestError):
    """The endpoint has no such model."""


class ContextLengthError(ModelRequestError):
    """The request exceeds the context length of the model."""


class ContentFilterError(ModelError):
    """The provider declined to answer."""


class ModelConnectionError(ModelError):
    """The server was not reached, or the connection was lost."""


class ModelTimeoutError(ModelConnectionError):
    """The server sent nothing for too long."""


class ModelServerError(ModelError):
    """The provider failed on its side (HTTP 5xx)."""


class ModelLoadingError(ModelServerError):
    """The server is still loading the model. Requests wait for it, up to `loading_timeout` of the model object."""


class ModelStreamError(ModelError):
    """The answer is incomplete or invalid."""


class ResponseLimitError(ModelStreamError):
    """The answer exceeds `max_event_bytes`, `max_response_bytes` or `total_timeout` of the model object."""


class BudgetExceeded(RunError):
    """A budget is used up, so the model was not called again.

    Parameters
    ----------
    message : str
    budget : Budget
        The limit.
    usage : UsageTotals
        The usage so far.
    """

    def __init__(self, message: str, *, budget: Budget, usage: UsageTotals) -> None:
        super().__init__(message)
        self.budget = budget
        self.usage = usage


class ToolServerError(RunError):
    """A server of tools cannot be started or reached, has ended, or does not follow its protocol."""


class RunLimitError(RunError):
    """A run reached the limit of model requests or of nesting, which the message names."""


class OutputSchemaError(RunError):
    """The answer doesn't match `output_schema`, even after a retry. ``run_output.content`` is its text."""


class SessionOwnershipError(AgnoNbError):
    """The session belongs to another user. Nothing was written or read."""


class SessionNotFoundError(AgnoNbError):
    """The session does not exist."""


class RunNotFoundError(AgnoNbError):
    """The run does not exist."""


class SessionBusyError(AgnoNbError):
    """Another process on this machine executes a run in the session. Only stores raise this; runs wait for it."""


class RunNotContinuableError(AgnoNbError):
    """The run is not paused, or has already been continued. Nothing was changed."""


class StoreError(AgnoNbError):
    """The store could not be read or written."""

    def __str__(self) -> str:
        return f"{super().__str__()}{self._remedy()}"

    def _remedy(self) -> str:
        """Return the remedy for the failed turn, if there is one."""
        run = self.run_output
        if run is None or not any(message.role == "assistant" and not message.from_history for message in run.messages):
            return ""
        kept = ". The run is kept, and the next write to the store in this process stores it"
        if run.status == "PAUSED":
            return f"{kept}; resolve the requirements of error.run_output and use continue_run(), or `%agent pending`"
        if run.status == "COMPLETED":
            return kept
        return f"{kept}; regenerate(from_partial=True), or `%agent continue`, continues from its partial output"


class StoreLocked(StoreError):
    """Another process holds the lock of the store for too long."""


class NoFileLocksError(StoreError):
    """The folder of the store has no working file locks, like some home directories on NFS."""


class UnstorableValueError(StoreError):
    """The store works, but cannot store a value. A retry would not help."""

    def _remedy(self) -> str:
        return ""  # The run is stored as failed, without the value, so nothing is kept for later.


class NotAStoreError(StoreError):
    """The file exists and is not a store of agno_nb. It was not changed."""


class StoreVersionError(StoreError):
    """The store was written by a newer agno_nb. It was not changed."""


class QueryError(AgnoNbError):
    """A user's SQL was rejected or failed."""


class InvalidInputError(AgnoNbError, ValueError):
    """An invalid argument, option or name."""


class ValueNotStoredError(AgnoNbError, AttributeError):
    """The object that a tool returned is not available, because the answer is cached."""


class UnknownArgumentError(AgnoNbError, TypeError):
    """An unknown keyword argument. The message suggests the closest known one."""


def describe(error: BaseException) -> str:
    """Return ``Type: message`` for an exception, even if its ``__str__`` raises; for a group, one entry per exception.

    Examples
    --------
    >>> describe(ExceptionGroup("two", [ValueError("a"), KeyError("b")]))
    "ValueError: a; KeyError: 'b'"
    """
    return "; ".join(f"{type(leaf).__name__}: {message_of(leaf)}" for leaf in leaves(error))


def message_of(error: BaseException) -> str:
    """Return ``str(error)``, or a placeholder if that raises."""
    try:
        return str.__str__(str(error))
    except BaseException as failure:
        return f"(no message: its __str__ raised {type(failure).__name__})"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions of a group at any depth, or the exception itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for part in error.exceptions:
        yield from leaves(part)


def failed_save(error: BaseException) -> StoreError | None:
    """Return the StoreError if `error` means that a run could not be stored.

    A tool or step must not handle such an error of a run that it started.
    """
    return next((leaf for leaf in leaves(error) if isinstance(leaf, StoreError) and leaf.run_output is not None), None)


def is_store_failure(error: BaseException) -> TypeGuard[StoreError]:
    """Whether `error` means that the store failed, and the same save may succeed later."""
    return isinstance(error, StoreError) and not isinstance(error, UnstorableValueError)
