"""The turns of a session with prompts and answers as safe HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from agno_nb.db import queries
from agno_nb.db.base import Db
from agno_nb.notebook.html import element, escape_html
from agno_nb.notebook.render import render_answer, render_text
from agno_nb.redact import displayable, redact, without_controls
from agno_nb.run_view import view_of_run
from agno_nb.types import Media, Requirement, RunOutput, counted
from agno_nb.widgets.base import STATIC_VIEW_LIMIT, StaticView


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn of a session: the attempt that is shown, and the ids of all attempts."""

    run: RunOutput
    attempts: list[str]
    """Run ids of all attempts, oldest first."""
    nested: list[RunOutput] = field(default_factory=list)

    @property
    def attachments(self) -> list[Media]:
        """Media that were sent with the prompt."""
        return next((message.media for message in self.run.messages if message.role == "user"), [])

    def content(self) -> dict[str, Any]:
        """Return the turn for the browser."""
        run = self.run
        return {
            "run_id": run.run_id,
            "attempts": self.attempts,
            "question": displayable(run.input),
            "files": [shown_name(media) for media in self.attachments],
            "html": answer_html(run, self.nested, with_questions=False),
            "status": run.status.value,
            "cell": run.origin.execution_count,
            "pending": pending_items(run),
        }


def shown_name(media: Media) -> str:
    return without_controls(media.filename or media.kind)


def answer_html(run: RunOutput, nested: Iterable[RunOutput] = (), *, with_questions: bool = True) -> str:
    """Return a run as safe HTML, with or without the questions of a paused run."""
    view = view_of_run(run, nested)
    if not with_questions:
        view.requirements = []
    return redact(render_answer(view))


def pending_items(run: RunOutput) -> list[dict[str, Any]]:
    """Return the pending calls of a paused run for the browser."""
    return [_pending_item(each) for each in run.requirements if run.is_paused and not each.tool.is_finished]


def _pending_item(requirement: Requirement) -> dict[str, Any]:
    call = requirement.tool
    return {
        "id": requirement.requirement_id,
        "kind": requirement.kind,
        "who": without_controls(requirement.component_name or ""),
        "tool": without_controls(call.tool_name),
        "arguments": displayable(indent_json(requirement.shown_arguments)),
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
        "is_resolved": requirement.is_resolved(),
        "is_refused": requirement.confirmed is False,
    }


def indent_json(arguments: str) -> str:
    """Return the arguments of a call as indented JSON, or unchanged if they are not JSON."""
    try:
        return json.dumps(json.loads(arguments or "{}"), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments


def read_turns(db: Db, session_id: str, *, count: int) -> tuple[list[Turn], int]:
    """Read the latest turns of a session, oldest first, and return them with the number of earlier turns."""
    last = queries.last_run_index(db, session_id)
    if last is None:
        return [], 0
    first = max(0, last + 1 - count)
    runs = [run for run in db.get_runs(session_id, from_run_index=first) if run.run_index is not None]
    runs.sort(key=lambda run: (run.run_index or 0, run.attempt))
    by_turn = [list(attempts) for _, attempts in groupby(runs, key=lambda run: run.run_index)]
    nested = nested_runs(db, session_id, {attempts[-1].run_id for attempts in by_turn})
    turns = [Turn(run=attempts[-1], attempts=[run.run_id for run in attempts], nested=nested) for attempts in by_turn]
    return turns, first


def nested_runs(db: Db, session_id: str, run_ids: set[str]) -> list[RunOutput]:
    """Read the nested runs of these runs, at any depth."""
    rows = queries.nested_run_ids(db, session_id)
    known_ids = set(run_ids)
    # If the clock was set back, a nested run may have an earlier time than its parent.
    while more := {run_id for run_id, parent_id in rows if parent_id in known_ids} - known_ids:
        known_ids |= more
    runs = (db.get_run(run_id, session_id) for run_id, _ in rows if run_id in known_ids)
    return [run for run in runs if run is not None]


def _prompt_html(prompt: str) -> str:
    row = element("tr", element("td", escape_html(prompt), style="bubble"), style="row")
    return element("div", element("table", element("tbody", row), style="prompt"), style="right")


def conversation_view(title: str, turns: list[Turn], earlier: int) -> StaticView:
    """Return the static view of a conversation: as many of its latest turns as a notebook should contain."""
    pieces: list[str] = []
    texts: list[str] = []
    remaining = STATIC_VIEW_LIMIT - 2_000
    for turn in reversed(turns):
        piece = _prompt_html(turn.run.input) + answer_html(turn.run, turn.nested)
        remaining -= len(piece)
        if remaining < 0:
            break
        pieces.append(piece)
        texts.append(f"> {turn.run.input}\n\n{render_text(view_of_run(turn.run, turn.nested))}")
    omitted = earlier + len(turns) - len(pieces)
    notes = [f"{counted(omitted, 'earlier turn')} not shown, see messages_df()"] if omitted else []
    heading = element("div", html.escape(title), style="title")
    heading += "".join(element("div", escape_html(note), style="note") for note in notes)
    conversation = element("div", *reversed(pieces), style="conversation")
    return StaticView(heading + conversation, "\n\n".join([title, *notes, *reversed(texts)]))
