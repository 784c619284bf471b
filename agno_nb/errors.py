"""What can go wrong, as one tree.

::

    AgnoNbError                       .run_output: the run that failed, with what was said so far
    ├── RunError                      a run failed
    │   ├── ModelError                the provider failed; .retry_after_s where it asks to wait
    │   │   ├── ModelAuthenticationError    no key, or one that is refused
    │   │   ├── ModelRateLimitError         too many requests, or no quota left
    │   │   ├── ModelRequestError           the provider does not accept the request
    │   │   │   ├── ModelNotFoundError      no such model at this endpoint
    │   │   │   └── ContextLengthError      more than the model can read
    │   │   ├── ContentFilterError          the provider declined to answer
    │   │   ├── ModelConnectionError        not reached, or cut off
    │   │   │   └── ModelTimeoutError       nothing came for too long
    │   │   ├── ModelServerError            the provider's own failure (5xx)
    │   │   └── ModelStreamError            an answer that is incomplete or is not what the protocol says
    │   │       └── ResponseLimitError      an answer that is larger or takes longer than the model object allows
    │   ├── BudgetExceeded            what may be spent is spent; .budget, .spending
    │   └── OutputSchemaError         the answer is not what output_schema asks for
    ├── SessionOwnershipError         the session belongs to another user
    ├── SessionNotFoundError
    ├── RunNotFoundError
    ├── SessionBusyError              another process does a turn of the session; runs wait for it
    ├── RunNotContinuableError        the run is not paused, or not any more
    ├── StoreError                    the store could not be read or written
    │   ├── StoreLocked               another process holds it too long
    │   ├── UnstorableValueError      the store works, and does not take a value
    │   ├── NotAStoreError            the file is something else
    │   └── StoreVersionError         the file is from a newer agno_nb
    ├── QueryError                    a user's SQL was refused or failed
    ├── InvalidInputError             a bad argument, option or name (also a ValueError)
    └── UnknownArgumentError          a keyword that a function does not take (also a TypeError)
    KeyboardInterrupt
    ├── RunInterrupted                the user stopped a run in a cell; .run_output
    └── QueryInterrupted              the user stopped a query, or the reading of a frame
    BaseException
    └── NestedRunPaused               ends a tool whose run waits for a person; .run_output

Every message is a sentence for the user: what happened, the value, what to do. In IPython an error of this tree shows
as one line; ``%tb`` shows the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from agno_nb.redact import displayable

if TYPE_CHECKING:
    from agno_nb.types import Budget, RunOutput, UsageTotals


class _Displayable(BaseException):
    """An error whose message may be shown: it may quote a server, a tool or a model."""

    def __str__(self) -> str:
        return displayable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the constructor, which may want more than the message. A worker process sends its errors pickled.
        return _unpickled, (type(self), self.args, self.__dict__)

    def _render_traceback_(self) -> list[str]:
        # IPython shows this instead of the traceback; the cell still fails.
        return [f"{type(self).__name__}: {self}"]


def _unpickled(kind: type[_Displayable], args: tuple[Any, ...], attributes: dict[str, Any]) -> _Displayable:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class AgnoNbError(_Displayable, Exception):
    """Base of all errors of this package."""

    run_output: RunOutput | None = None
    """The run that failed, with what was said so far, where there was one."""


class RunInterrupted(_Displayable, KeyboardInterrupt):
    """The user stopped a run in a cell. It is stored, with status CANCELLED and what was said so far."""

    run_output: RunOutput | None = None


class QueryInterrupted(_Displayable, KeyboardInterrupt):
    """The user stopped a query, or the reading of a frame. The store is as it was."""

    # One line, because IPython takes longer to draw a traceback than the query to stop: most of a second for the first
    # one of a kernel.


class NestedRunPaused(_Displayable):
    """A run that a tool began waits for a person, so the tool ends here and the run that called it pauses too.

    When that is continued, the tool is called again, and the run that it begins is the one that waited. It is not an
    Exception, so that a tool that goes on after any failure does not go on after this.
    """

    def __init__(self, run_output: RunOutput) -> None:
        super().__init__(
            f"run {run_output.run_id!r} of {run_output.component_name or run_output.kind} waits for a person"
        )
        self.run_output = run_output


class RunError(AgnoNbError):
    """A run failed. It is stored, with status ERROR and what was said so far."""


class ModelError(RunError):
    """The provider failed.

    Parameters
    ----------
    message : str
        Our sentence. Never holds a key.
    status_code : int, optional
        Of the HTTP answer.
    code : str, optional
        The provider's own error code.
    request_id : str, optional
        What to tell the provider's support.
    """

    retry_after_s: float | None = None
    """How long the provider asks to wait, if it says."""

    def __init__(
        self, message: str, *, status_code: int | None = None, code: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.code = code
        self.request_id = request_id


class ModelAuthenticationError(ModelError):
    """There is no key, or the provider refuses it."""


class ModelRateLimitError(ModelError):
    """Too many requests, or no quota left."""


class ModelRequestError(ModelError):
    """The provider does not accept the request."""


class ModelNotFoundError(ModelRequestError):
    """There is no such model at this endpoint."""


class ContextLengthError(ModelRequestError):
    """The request is longer than the model can read."""


class ContentFilterError(ModelError):
    """The provider declined to answer."""


class ModelConnectionError(ModelError):
    """The server was not reached, or the connection was cut."""


class ModelTimeoutError(ModelConnectionError):
    """Nothing came from the server for too long."""


class ModelServerError(ModelError):
    """The provider failed on its side (HTTP 5xx)."""


class ModelStreamError(ModelError):
    """The answer is incomplete, or is not what the protocol says."""


class ResponseLimitError(ModelStreamError):
    """The answer is larger than `max_event_bytes` or `max_response_bytes`, or takes longer than `total_timeout`.

    These are settings of the model object. The message names the one in question.
    """


class BudgetExceeded(RunError):
    """What may be spent is spent, so the model was not asked again.

    Parameters
    ----------
    message : str
    budget : Budget
        The limit.
    usage : Spending
        What was spent of it.
    """

    def __init__(self, message: str, *, budget: Budget, usage: UsageTotals) -> None:
        super().__init__(message)
        self.budget = budget
        self.usage = usage


class RunLimitError(RunError):
    """A run made as many model requests, or is nested as deep, as it may. The message names the limit."""


class OutputSchemaError(RunError):
    """The answer is not what `output_schema` asks for, also on a second try. ``run_output.content`` is its text."""


class SessionOwnershipError(AgnoNbError):
    """The session belongs to another user. Nothing was written or read."""


class SessionNotFoundError(AgnoNbError):
    """There is no such session."""


class RunNotFoundError(AgnoNbError):
    """There is no such run."""


class SessionBusyError(AgnoNbError):
    """Another process of this machine does a turn of the session. A run waits for it; only a store raises this."""


class RunNotContinuableError(AgnoNbError):
    """The run cannot be continued: it is not paused, or somebody else has continued it. Nothing was changed."""


class StoreError(AgnoNbError):
    """The store could not be read or written."""

    def __str__(self) -> str:
        return f"{super().__str__()}{self._remedy()}"

    def _remedy(self) -> str:
        """Say how to continue the turn that failed with this error, if there is one."""
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
    """Another process holds the store for too long."""


class UnstorableValueError(StoreError):
    """The store works, but does not take a value. Trying again would not help."""


class NotAStoreError(StoreError):
    """The file exists and is not a store of agno_nb. It was not touched."""


class StoreVersionError(StoreError):
    """The store was written by a newer agno_nb. It was not touched."""


class QueryError(AgnoNbError):
    """A user's SQL was refused or failed."""


class InvalidInputError(AgnoNbError, ValueError):
    """An argument, option or name that cannot be used."""


class UnknownArgumentError(AgnoNbError, TypeError):
    """A keyword that a function does not take. The message names the nearest one that it does."""


def describe(error: BaseException) -> str:
    """Return ``Type: message`` for any exception, even if its ``__str__`` raises; for a group, one entry per exception.

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
    """Yield the exceptions in a group, however deeply nested; any other exception itself."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for part in error.exceptions:
        yield from leaves(part)


def failed_save(error: BaseException) -> StoreError | None:
    """Return the StoreError if `error` means that a run could not be stored.

    A tool or a step that receives such an error from a run that it started must not swallow it.
    """
    return next((leaf for leaf in leaves(error) if isinstance(leaf, StoreError) and leaf.run_output is not None), None)


def is_store_failure(error: BaseException) -> TypeGuard[StoreError]:
    """Whether `error` means that the store failed, and the same save may succeed later."""
    return isinstance(error, StoreError) and not isinstance(error, UnstorableValueError)
