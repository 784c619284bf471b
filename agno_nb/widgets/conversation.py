"""A session as something to read: its turns, each with what was asked and the answer as safe HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agno_nb.db import queries
from agno_nb.db.base import Db
from agno_nb.notebook.live import view_of_run
from agno_nb.notebook.markdown import escape_html
from agno_nb.notebook.render import AnswerView, Text, footer_text, render_answer, render_text
from agno_nb.redact import displayable, redact, without_controls
from agno_nb.types import Media, Metrics, Requirement, RunOutput, RunStatus
from agno_nb.widgets.base import STATIC_VIEW_LIMIT, StaticView

_ASKED = (
    "margin:1.1em 0 .4em;padding:.5em .9em;border-radius:10px;background-color:rgba(128,128,128,.12);max-width:48em;"
    "white-space:pre-wrap;overflow-wrap:anywhere"
)
_HEADING = "margin:.2em 0;font-weight:600"
_NOTE = "margin:.3em 0;font-size:.85em;opacity:.65"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One place in a session: the attempt that is shown of it, and which others there are."""

    run: RunOutput
    attempts: list[str]
    """Run ids of all attempts, oldest first."""
    nested: list[RunOutput] = field(default_factory=list)

    @property
    def attachments(self) -> list[Media]:
        """What was sent with the text."""
        return next((message.media for message in self.run.messages if message.role == "user"), [])

    def content(self) -> dict[str, Any]:
        """Return what the browser shows of it."""
        run = self.run
        return {
            "run_id": run.run_id,
            "attempts": self.attempts,
            "question": displayable(run.input),
            "files": [shown_name(media) for media in self.attachments],
            "html": answer_html(run, self.nested, asks=False),
            "status": run.status.value,
            "cell": run.origin.execution_count,
            "pending": pending_items(run),
        }


def shown_name(media: Media) -> str:
    return without_controls(media.filename or media.kind)


def answer_view(run: RunOutput, nested: Iterable[RunOutput] = ()) -> AnswerView:
    """Make the view of a run of the store, with the runs nested in it where they were asked for."""
    below: dict[str | None, list[RunOutput]] = {}
    for child in nested:
        below.setdefault(child.parent_run_id, []).append(child)
    return _view_with(run, below)


def _view_with(run: RunOutput, below: Mapping[str | None, Sequence[RunOutput]]) -> AnswerView:
    view = view_of_run(run)
    children = [_view_with(child, below) for child in below.get(run.run_id, ())]
    # They ended before the last words of the run that asked for them.
    place = len(view.parts) - bool(view.parts and isinstance(view.parts[-1], Text))
    view.parts[place:place] = children
    return view


def answer_html(run: RunOutput, nested: Iterable[RunOutput] = (), *, asks: bool = True) -> str:
    """Make the card of a run; without `asks` it does not say how to answer what the run waits for."""
    view = answer_view(run, nested)
    if not asks:
        view.requirements = []
    return redact(render_answer(view))


def pending_items(run: RunOutput) -> list[dict[str, Any]]:
    """Return what the browser shows of the calls that a paused run waits with."""
    waiting = [each for each in run.requirements if not each.tool.is_finished] if run.is_paused else []
    return [_pending_item(requirement) for requirement in waiting]


def _pending_item(requirement: Requirement) -> dict[str, Any]:
    # The arguments are text, and exactly what the model wrote.
    call = requirement.tool
    return {
        "id": requirement.requirement_id,
        "kind": requirement.kind,
        "who": without_controls(requirement.component_name or ""),
        "tool": without_controls(call.tool_name),
        "arguments": displayable(indented(call.arguments)),
        "fields": [
            {
                "name": each.name,
                "description": without_controls(each.description),
                "choices": [each.to_text(choice) for choice in each.schema.get("enum", [])],
                "type": each.field_type,
                "value": each.to_text(each.value) if each.is_given else "",
            }
            for each in requirement.user_input_fields
        ],
        "is_resolved": requirement.is_resolved,
        "is_refused": requirement.confirmed is False,
    }


def indented(arguments: str) -> str:
    """Write the arguments of a call as JSON of several lines, and what is not JSON as it is."""
    try:
        return json.dumps(json.loads(arguments or "{}"), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def read_turns(db: Db, session_id: str, *, count: int) -> tuple[list[Turn], int]:
    """Read the latest turns of a session.

    Returns
    -------
    turns : list of Turn
        Oldest first, of each the current attempt.
    earlier : int
        How many turns there are before them.
    """
    last = queries.last_run_index(db, session_id)
    if last is None:
        return [], 0
    first = max(0, last + 1 - count)
    by_turn: dict[int, list[RunOutput]] = {}
    for run in db.get_runs(session_id, from_run_index=first):
        if run.run_index is not None:
            by_turn.setdefault(run.run_index, []).append(run)
    shown = {runs[-1].run_id for runs in by_turn.values()}
    nested = nested_runs(db, session_id, shown)
    turns = []
    for index in sorted(by_turn):
        runs = sorted(by_turn[index], key=lambda run: run.attempt)
        turns.append(Turn(run=runs[-1], attempts=[run.run_id for run in runs], nested=nested))
    return turns, first


def nested_runs(db: Db, session_id: str, run_ids: set[str]) -> list[RunOutput]:
    """Read the runs nested in these, and in those."""
    rows = queries.nested_run_ids(db, session_id)
    known_ids = set(run_ids)
    # What is nested may have begun earlier than what it is nested in, by a clock that was set back.
    while more := {run_id for run_id, parent_id in rows if parent_id in known_ids} - known_ids:
        known_ids |= more
    runs = (db.get_run(run_id, session_id) for run_id, _ in rows if run_id in known_ids)
    return [run for run in runs if run is not None]


def usage_line(metrics: Metrics) -> str:
    """Say what a session has cost."""
    return footer_text(AnswerView(status=RunStatus.COMPLETED, metrics=metrics))


def conversation_view(title: str, turns: list[Turn], earlier: int, *, remark: str = "") -> StaticView:
    """Make the twin of a conversation: its latest turns, as many as the notebook has room for."""
    pieces: list[str] = []
    texts: list[str] = []
    remaining = STATIC_VIEW_LIMIT - 2_000
    for turn in reversed(turns):
        question = f'<div style="{_ASKED}">{escape_html(turn.run.input)}</div>'
        piece = question + answer_html(turn.run, turn.nested)
        remaining -= len(piece)
        if remaining < 0:
            break
        pieces.append(piece)
        texts.append(f"> {turn.run.input}\n\n{render_text(answer_view(turn.run, turn.nested))}")
    left_out = earlier + len(turns) - len(pieces)
    note = f"{left_out} earlier turns are in the store: messages_df() shows them" if left_out else ""
    notes = [each for each in (note, remark) if each]
    heading = f'<div style="{_HEADING}">{html.escape(title)}</div>'
    heading += "".join(f'<div style="{_NOTE}">{escape_html(each)}</div>' for each in notes)
    text = "\n\n".join([title, *notes, *reversed(texts)])
    return StaticView(heading + "".join(reversed(pieces)), text)
