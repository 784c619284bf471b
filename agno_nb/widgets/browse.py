"""The session browser: search, preview, rename, delete and resume the sessions of a store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db import queries
from agno_nb.db.base import AsyncDb, Db
from agno_nb.db.queries import ORDERS, Search
from agno_nb.errors import InvalidInputError
from agno_nb.notebook.displays import ColumnKind, table_bundle
from agno_nb.notebook.notebook import Notebook
from agno_nb.notebook.render import usage_line
from agno_nb.notebook.session_commands import with_state
from agno_nb.redact import displayable, redact
from agno_nb.run.runnable import Runnable
from agno_nb.run_view import status_word
from agno_nb.types import Annotation, RunStatus, Session, SessionType, counted
from agno_nb.widgets.base import BaseWidget, StaticView, current_notebook, store_of
from agno_nb.widgets.chat import NAME_LIMIT, Chat, title_of
from agno_nb.widgets.conversation import read_turns
from agno_nb.widgets.intents import count, id_value, intent, one_of, optional, several, text

if TYPE_CHECKING:
    import pandas as pd

PAGE_LIMIT = 200
"""Maximum number of rows per request."""
STATIC_ROWS = 20
TITLE_LIMIT = 200
NUM_PREVIEW_TURNS = 10
LABELS = ("good", "wrong")
"""Labels to suggest, after those of the session."""
_FILTER_LABEL = text(1_000)
_STATIC_COLUMNS: dict[str, ColumnKind] = {"session": "text", "agent": "word", "user": "word", "turns": "number"}


@suggest_on_unknown_kwarg({})
def browse(
    *,
    db: Db | AsyncDb | None = None,
    search: str = "",
    user_id: str | None = None,
    session_type: str | None = None,
    agent: str | None = None,
    notebook: str | None = None,
    status: str | None = None,
) -> Browser:
    """Open a session browser in the output of the cell.

    Parameters
    ----------
    db : Db, optional
        The store. Defaults to the notebook's.
    search : str, optional
        Part of a name, an id or a message, ignoring case.
    user_id : str, optional
        Only sessions of this user.
    session_type : {"agent", "team", "workflow"}, optional
        Only sessions of this kind.
    agent : str, optional
        Only sessions of the agent, team or workflow with this name or id.
    notebook : str, optional
        Only sessions with a run from the notebook at this path.
    status : str, optional
        Only sessions with a run of this status.

    Returns
    -------
    Browser
        The widget, in which all filters can be changed. ``.selected`` and ``.selected_df()`` are the marked sessions,
        and ``.sql`` is the query.

    Raises
    ------
    InvalidInputError
        `session_type` or `status` is unknown, or `db` is not a store.

    Examples
    --------
    >>> from agno_nb import InMemoryDb
    >>> found = browse(db=InMemoryDb(), search="penguins", user_id="ada")
    >>> found.selected, found.selected_df().empty
    ([], True)
    """
    here = current_notebook()
    search_fields = Search(
        search=search, user_id=user_id, session_type=session_type, agent=agent, notebook=notebook, status=status
    )
    return Browser(store_of(db, here), here, search_fields)


class Browser(BaseWidget):
    """The sessions of a store, created by :func:`browse`.

    Attributes
    ----------
    selected : list of str
        Ids of the marked sessions.
    sql : str
        The query of the list, for example for ``agno_nb.query(found.sql).df()``.
    """

    kind = "browse"

    def __init__(self, db: Db, notebook: Notebook | None, search: Search) -> None:
        super().__init__()
        self._db, self._notebook, self._search = db, notebook, search
        self._ids: list[str] = []
        self._chat: Chat | None = None
        self._seen: object = None
        self.selected: list[str] = []
        self._read()

    @property
    def sql(self) -> str:
        """The query that lists the sessions in their order."""
        return self._search.sql

    def selected_df(self) -> pd.DataFrame:
        """Return the marked sessions: see :func:`agno_nb.frames.sessions_df`."""
        return self._db.sessions_df(session_id=self.selected)

    def static_view(self) -> StaticView:
        rows = self._rows_of(self._ids[:STATIC_ROWS])
        lines = [
            (with_state(row["title"], row["state"]), row["agent"] or "", row["user_id"] or "", str(row["num_runs"]))
            for row in rows
        ]
        first = f", the first {len(rows)} of them above" if len(rows) < len(self._ids) else ""
        table = table_bundle(_STATIC_COLUMNS, lines, note=counted(len(self._ids), "session") + first)
        html, text = table["text/html"], table["text/plain"]
        if self._chat is None:
            return StaticView(html, text)
        chat = self._chat.static_view()
        return StaticView(f"{chat.html}<hr>{html}", f"{chat.text}\n\n{text}")

    def close(self) -> None:
        super().close()
        if self._chat is not None:
            self._chat.close()

    async def refresh(self) -> None:
        if await asyncio.to_thread(queries.sessions_version, self._db) != self._seen:
            await self._refreshed()
        if self._chat is not None:
            await self._chat.refresh()

    def __repr__(self) -> str:
        return f"Browser({self._db!r}, {counted(len(self._ids), 'session')})"

    @property
    def _user_id(self) -> str | None:
        """The notebook's user, who can only open their own sessions; None for no restriction."""
        return None if self._notebook is None else self._notebook.current_user_id

    def _read(self) -> None:
        # It changes when a session is created, used, renamed or deleted.
        self._seen = queries.sessions_version(self._db)
        self._search = replace(self._search, open_to=self._user_id)
        self._ids = self._search.session_ids(self._db)
        self._mark(self.selected)
        search = self._search
        # The first rows are included, so that the list is never blank.
        self.show(
            {
                "total": len(self._ids),
                "rows": self._rows_of(self._ids[:50]),
                "selected": self.selected,
                "criteria": {name: getattr(search, name) for name in self.intents["find"].fields},
                "choices": queries.filter_choices(self._db, self._user_id),
                "sql": redact(search.sql),
            }
        )

    def _rows_of(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        by_id = queries.session_rows(self._db, ids)
        return [_shown(by_id[session_id]) for session_id in ids if session_id in by_id]

    def _session(self, session_id: str) -> Session:
        self._db.check_owner(self._user_id, session_id=session_id)
        session = self._db.get_session(session_id)
        if session is None:
            raise InvalidInputError(f"session {session_id!r} is no longer in the store")
        return session

    def _check_run(self, session_id: str, run_id: str) -> None:
        self._db.check_owner(self._user_id, session_id=session_id)
        if self._db.get_run(run_id, session_id) is None:
            raise InvalidInputError(f"run {run_id!r} is not in session {session_id!r}, or was deleted; open it again")

    def _check_owners(self, session_ids: Sequence[str]) -> None:
        for session_id in session_ids:
            self._db.check_owner(self._user_id, session_id=session_id)

    @intent(
        search=_FILTER_LABEL,
        user_id=optional(_FILTER_LABEL),
        session_type=optional(one_of(*SessionType)),
        agent=optional(_FILTER_LABEL),
        notebook=optional(text(5_000)),
        status=optional(one_of(*RunStatus)),
        days=optional(count(10_000)),
        sort=one_of(*ORDERS),
        is_ascending=lambda value: value is True,
    )
    async def _find(self, **fields: Any) -> None:
        """Change the filters or the order."""
        self._search = Search(**fields)
        await self._refreshed()

    @intent(offset=count(10_000_000), limit=count(PAGE_LIMIT))
    def _rows(self, *, offset: int, limit: int) -> list[dict[str, Any]]:
        """Return a page of the list."""
        return self._rows_of(self._ids[offset : offset + limit])

    @intent(session_ids=several(id_value))
    async def _select(self, *, session_ids: list[str]) -> None:
        """Mark sessions, which Python reads as `selected`."""
        self._mark(session_ids)

    def _mark(self, session_ids: list[str]) -> None:
        listed_ids = set(self._ids)
        self.selected = [session_id for session_id in session_ids if session_id in listed_ids]

    @intent(session_id=id_value)
    def _preview(self, *, session_id: str) -> dict[str, Any]:
        """Return the latest turns of a session."""
        session = self._session(session_id)
        turns, earlier = read_turns(self._db, session_id, count=NUM_PREVIEW_TURNS)
        of_runs = [self._db.get_annotations(turn.run.run_id) for turn in turns]
        labels = [each.label for annotations in of_runs for each in annotations if each.label is not None]
        return {
            "usage_line": usage_line(session.metrics),
            "earlier": earlier,
            "labels": [displayable(label) for label in dict.fromkeys([*labels, *LABELS])],
            "turns": [
                {
                    "run_id": turn.run.run_id,
                    "question": displayable(turn.run.input),
                    "html": turn.content()["html"],
                    "annotations": [_shown_annotation(each) for each in annotations],
                }
                for turn, annotations in zip(turns, of_runs, strict=True)
            ],
        }

    @intent(session_id=id_value, run_id=id_value, label=text(NAME_LIMIT), comment=text(10_000))
    async def _annotate(self, *, session_id: str, run_id: str, label: str, comment: str) -> bool:
        """Annotate a run of a session with a label, a comment or both."""
        await asyncio.to_thread(self._check_run, session_id, run_id)
        annotation = Annotation(
            run_id, label=label.strip() or None, comment=comment.strip() or None, annotated_by=self._user_id
        )
        await asyncio.to_thread(self._db.add_annotations, [annotation])
        return True

    @intent(session_id=id_value, run_id=id_value, annotation_id=id_value)
    async def _remove_annotation(self, *, session_id: str, run_id: str, annotation_id: str) -> bool:
        """Delete an annotation of a run."""
        await asyncio.to_thread(self._check_run, session_id, run_id)
        if any(
            each.annotation_id == annotation_id for each in await asyncio.to_thread(self._db.get_annotations, run_id)
        ):
            await asyncio.to_thread(self._db.delete_annotations, [annotation_id])
        return True

    @intent(session_id=id_value, name=text(NAME_LIMIT))
    async def _rename(self, *, session_id: str, name: str) -> None:
        """Set the name of a session; an empty one removes it."""
        await asyncio.to_thread(self._check_owners, [session_id])
        await asyncio.to_thread(self._db.rename_session, session_id, session_name=name.strip() or None)
        await self._refreshed()

    @intent(session_ids=several(id_value, limit=1_000))
    async def _delete(self, *, session_ids: list[str]) -> None:
        """Delete sessions. The browser has asked for confirmation."""
        await asyncio.to_thread(self._check_owners, session_ids)
        await asyncio.to_thread(self._db.delete_sessions, session_ids)
        if self._chat is not None and self._chat.session_id in session_ids:
            self._chat.close()
            self._chat = None
        await self._refreshed()

    @intent(session_id=id_value)
    async def _resume(self, *, session_id: str) -> str:
        """Resume a session in the ``%%agent`` cells of this notebook."""
        notebook = self._notebook
        if notebook is None:
            raise InvalidInputError("cannot resume a session outside of a notebook; use 'Open in chat' instead")
        session = await asyncio.to_thread(self._session, session_id)
        runnable = self._runnable_for(session)
        if self._db is not notebook.db:
            raise InvalidInputError(
                f"cannot resume a session of another store; the notebook uses {notebook.db.identity}"
            )
        notebook.runnable = runnable
        if session.user_id not in (None, notebook.current_user_id):
            notebook.use_user(session.user_id)
        notebook.use_session(session_id)
        return f"The %%agent cells of this notebook continue this session as {runnable.name or runnable.component_id}."

    @intent(session_id=id_value)
    async def _open(self, *, session_id: str) -> str:
        """Open a session in a chat widget below the list; return the id of its model."""
        session = await asyncio.to_thread(self._session, session_id)
        runnable = self._runnable_for(session)
        if runnable.store is not self._db:
            raise InvalidInputError(
                f"cannot open a session of another store; {runnable!r} uses {runnable.store.identity}"
            )
        if self._chat is not None:
            self._chat.close()
        user_id = session.user_id or self._user_id
        self._chat = await asyncio.to_thread(lambda: Chat(runnable, session_id=session_id, user_id=user_id))
        return self._chat.address

    def _runnable_for(self, session: Session) -> Runnable:
        """Return the runnable that started a session if this notebook has it, else the notebook's agent."""
        notebook = self._notebook
        if notebook is not None:
            original = notebook.runnable_of(session.session_type, session.component_id)
            if original is not None:
                original.use_notebook_defaults()
                return original
            if notebook.runnable.kind is session.session_type:
                return notebook.runnable
        raise InvalidInputError(
            f"this notebook has no {session.session_type} {session.component_id!r}, which the session belongs to; "
            "define it in a cell first"
        )


def _shown_annotation(annotation: Annotation) -> dict[str, str]:
    score = None if annotation.score is None else f"{annotation.score:g}"
    return {
        "id": annotation.annotation_id,
        "text": displayable(" ".join(filter(None, (annotation.label, score)))),
        "comment": displayable(annotation.comment or ""),
        "author": displayable(annotation.annotated_by or ""),
    }


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    title = title_of(row.pop("session_name"), row.pop("first_input"), row["session_id"], TITLE_LIMIT)
    state = status_word(row["status"], interrupted=row.pop("interrupted"))
    row = {name: value.timestamp() if hasattr(value, "timestamp") else value for name, value in row.items()}
    texts = {name: displayable(value) for name, value in row.items() if isinstance(value, str)}
    return {**row, **texts, "session_id": row["session_id"], "title": title, "state": state}
