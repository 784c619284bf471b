"""Write runs to a store in the same order of calls as the real pipeline, without a model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from agno_nb.db.base import NO_CONTEXT, ContextQuery, Db, OpenedRun
from agno_nb.errors import SessionBusyError
from agno_nb.types import Message, Metrics, RunOutput, RunStatus, Session, ToolCall

START = 1_700_000_000.0


def begin(
    db: Db,
    text: str = "hello",
    *,
    session: Session | None = None,
    query: ContextQuery = NO_CONTEXT,
    nested: bool = False,
    goes_on_from: str | None = None,
    **fields: Any,
) -> tuple[RunOutput, OpenedRun]:
    """Open a run in its session. Waits for a turn of another process."""
    run = RunOutput(**{"session_id": "s1", "input": text, **fields})
    user = Message(role="user", content=text, run_id=run.run_id, created_at=run.created_at)
    session = session or Session(session_id=run.session_id)
    while True:
        try:
            opened = db.open_run(run, [user], session=session, nested=nested, partial_of=goes_on_from, query=query)
            break
        except SessionBusyError:
            time.sleep(0.01)
    run.messages = [*opened.history, user]
    return run, opened


def end(
    db: Db,
    run: RunOutput,
    *answers: Message,
    status: RunStatus = RunStatus.COMPLETED,
    state: dict[str, Any] | None = None,
) -> RunOutput:
    """End a run with `answers`; the last one is the content of the run."""
    for answer in answers:
        answer.run_id = run.run_id
    run.messages += answers
    run.status = status
    run.content = answers[-1].content if answers else None
    run.metrics = Metrics.total(m.metrics for m in answers if m.metrics and m.role == "assistant")
    run.ended_at = run.created_at + 2.0
    run.metrics.duration_s = 2.0
    db.end_run(run, answers, session_state=state)
    return run


def say(db: Db, text: str, answer: str | Sequence[Message] | None = None, **fields: Any) -> RunOutput:
    """Write a complete run."""
    status = fields.pop("status", RunStatus.COMPLETED)
    run, _ = begin(db, text, **fields)
    if answer is None or isinstance(answer, str):
        answer = [Message(role="assistant", content=answer or f"answer to {text}", created_at=run.created_at + 1)]
    return end(db, run, *answer, status=status)


def contents(messages: Sequence[Message]) -> list[tuple[str, str | None]]:
    return [(message.role, message.content) for message in messages]


def calling(name: str, tool_call_id: str = "c1", **fields: Any) -> Message:
    call = ToolCall(tool_call_id=tool_call_id, tool_name=name, arguments='{"n": 1}', created_at=START)
    return Message(role="assistant", tool_calls=[call], **fields)


def answering(tool_call_id: str = "c1", content: str = "42") -> Message:
    return Message(
        role="tool", content=content, tool_call_id=tool_call_id, tool_name="f", metrics=Metrics(duration_s=0.5)
    )
