"""The chat widget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.agent.agent import Agent
from agno_nb.db import queries
from agno_nb.errors import InvalidInputError
from agno_nb.media import Image
from agno_nb.notebook.agent_cell import sees_images
from agno_nb.notebook.markdown import plain_title
from agno_nb.notebook.notebook import as_runnable
from agno_nb.notebook.render import usage_line
from agno_nb.redact import displayable, without_controls
from agno_nb.run.entrypoints import AsyncRunStream
from agno_nb.run.options import RunOptions
from agno_nb.run.runnable import Runnable
from agno_nb.types import CellInfo, Media, RunOutput, new_id, one_line
from agno_nb.widgets.approvals import StreamingWidget
from agno_nb.widgets.base import StaticView, current_notebook, default_store
from agno_nb.widgets.conversation import Turn, answer_html, conversation_view, read_turns, shown_name
from agno_nb.widgets.intents import id_value, intent, named, optional, text

if TYPE_CHECKING:
    import pandas as pd

MAX_TURNS_SHOWN = 20
"""Number of turns shown at first, and added each time that earlier turns are requested."""
MAX_SESSIONS_LISTED = 30
FILES_LIMIT = 4
FILES_SIZE_LIMIT = 8_000_000
"""Bytes of all images of a message. A notebook server closes the connection of a browser that sends over 10 MiB."""
NAME_LIMIT = 200
TITLE_LIMIT = 70
_NO_SESSION = "New session"


@suggest_on_unknown_kwarg({})
def chat(agent: Any = None, session_id: str | None = None) -> Chat:
    """Open a chat widget in the output of the cell.

    Parameters
    ----------
    agent : Agent, Team or Workflow, optional
        Defaults to the notebook's agent. One without a store gets the notebook's store. It may also be one of agno.
    session_id : str, optional
        The session to continue. Defaults to the current session of the notebook, or of `agent`.

    Returns
    -------
    Chat
        The widget. It is displayed if it is the last value of a cell, and works while other cells run. The saved
        notebook contains the conversation as HTML and text.

    Raises
    ------
    InvalidInputError
        `agent` is not an agent, team or workflow, or it is missing and there is no notebook.
    SessionOwnershipError
        The session belongs to another user.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb
    >>> talk = chat(Agent("demo", db=InMemoryDb()), session_id="plans")
    >>> talk.session_id, talk.last_run
    ('plans', None)
    """
    notebook = current_notebook()
    if agent is not None:
        runnable = as_runnable(agent)
        if runnable is None:
            raise InvalidInputError(f"{agent!r} is not an agent, team or workflow; pass a session as session_id=...")
        runnable.use_notebook_defaults()
        if runnable.db is None and runnable.current_db is None:
            runnable.db = default_store(notebook)
        user_id, in_use = runnable.current_user_id, runnable.session_id
    elif notebook is not None:
        runnable = notebook.runnable
        user_id, in_use = notebook.current_user_id, notebook.current_session_id()
    else:
        raise InvalidInputError("no agent to chat with outside of a notebook; pass one, for example chat(Agent(...))")
    session_id = session_id or in_use or runnable.automatic_session_id(user_id)
    # Before the widget opens a comm.
    runnable.store.check_owner(user_id, session_id=session_id)
    return Chat(runnable, session_id=session_id, user_id=user_id)


class Chat(StreamingWidget):
    """A conversation in a widget, created by :func:`chat`.

    Attributes
    ----------
    session_id : str
        The session that is shown.
    last_run : RunOutput or None
        The run that the latest turn shows.
    """

    kind = "chat"

    def __init__(self, runnable: Runnable, *, session_id: str, user_id: str | None) -> None:
        super().__init__(runnable)
        self._db = runnable.store
        self._user_id = user_id
        self._count = MAX_TURNS_SHOWN
        self._turns: list[Turn] = []
        self._earlier = 0
        self._title = _NO_SESSION
        self._seen: object = None
        self.session_id = session_id
        self._read()

    @property
    def last_run(self) -> RunOutput | None:
        """The run that the latest turn shows, or None."""
        return self._turns[-1].run if self._turns else None

    def messages_df(self) -> pd.DataFrame:
        """Return the messages of the session: see :func:`agno_nb.frames.messages_df`."""
        self._check_owner()
        return self._db.messages_df(session_id=self.session_id)

    def static_view(self) -> StaticView:
        return conversation_view(self._title, self._turns, self._earlier)

    def __repr__(self) -> str:
        return f"Chat({self._runnable!r}, session_id={self.session_id!r})"

    def _check_owner(self) -> None:
        """Raise an error if another user has become the owner of the session."""
        self._db.check_owner(self._user_id, session_id=self.session_id)

    def _stored_run(self, run_id: str) -> RunOutput:
        self._turn(run_id)
        self._check_owner()
        return self._get_run(run_id, self.session_id)

    def _read(self) -> None:
        """Read the session and show it instead of the answer in progress."""
        self._check_owner()
        self._seen = self._version()
        session = self._db.get_session(self.session_id)
        # Replaced at once, because a handler may use them at the same time.
        self._turns, self._earlier = read_turns(self._db, self.session_id, count=self._count)
        name = None if session is None else session.session_name
        self._title = title_of(name, self._turns[0].run.input if self._turns else None, _NO_SESSION)
        if session is not None and self._user_id is None:
            self._user_id = session.user_id
        content = {
            "session_id": self.session_id,
            "title": self._title,
            "is_stored": session is not None,
            "agent": without_controls(self._runnable.name or self._runnable.component_id),
            "model": without_controls(_model(self._runnable)),
            "sees_images": sees_images(self._runnable),
            "files_size_limit": FILES_SIZE_LIMIT,
            "usage_line": "" if session is None else usage_line(session.metrics),
            "earlier": self._earlier,
            "turns": [turn.content() for turn in self._turns],
        }
        self._show_instead_of_answer(content)

    def _version(self) -> object:
        """Return a value that changes when a run of the session is stored or the session is renamed."""
        return queries.session_version(self._db, self.session_id)

    def _turn(self, run_id: str) -> Turn:
        for turn in self._turns:
            if run_id in turn.attempts:
                return turn
        raise InvalidInputError(f"run {run_id!r} is not one of the turns shown; reload the page")

    @intent(max_files=FILES_LIMIT, question=text(), again=optional(id_value), names=named(text(NAME_LIMIT)))
    async def _ask(self, *, question: str, again: str | None, names: dict[str, str], files: list[bytes]) -> None:
        """Send a prompt. With `again`, it replaces the prompt of that run as a new attempt."""
        size = sum(map(len, files))
        if size > FILES_SIZE_LIMIT:
            limit = f"{FILES_SIZE_LIMIT / 1e6:.1f} MB"
            raise InvalidInputError(f"the images are too large: {size / 1e6:.1f} MB; a message can have {limit}")
        images = [_image(content, names.get(str(place))) for place, content in enumerate(files)]
        index = None
        if again is not None:
            turn = self._turn(again)
            index, images = turn.run.run_index, images or turn.attachments
        await self._run(question, images, index)

    @intent(run_id=id_value)
    async def _retry(self, *, run_id: str) -> None:
        """Send the same prompt as a new attempt."""
        turn = self._turn(run_id)
        await self._run(turn.run.input, turn.attachments, turn.run.run_index)

    async def _show_continued(self, run: RunOutput, events: AsyncRunStream) -> None:
        await self._answer(run.input, [], run.run_index, events)

    @intent()
    async def refresh(self) -> None:
        """Show new turns of the session from other cells, widgets and notebooks."""
        version = await asyncio.to_thread(self._version)
        # Decisions about a paused run do not change the version.
        is_paused = self.last_run is not None and self.last_run.is_paused
        if self._answering is None and (is_paused or version != self._seen):
            await self._refreshed()

    @intent()
    async def _show_earlier(self) -> None:
        """Show more of the earlier turns."""
        self._count += MAX_TURNS_SHOWN
        await self._refreshed()

    @intent(run_id=id_value)
    def _attempt(self, *, run_id: str) -> dict[str, Any]:
        """Return another attempt at a turn."""
        run = self._stored_run(run_id)
        return {"question": displayable(run.input), "html": answer_html(run)}

    @intent(run_id=id_value)
    def _copy(self, *, run_id: str) -> str:
        """Return the answer as Markdown."""
        return displayable(self._stored_run(run_id).get_content_as_string())

    @intent(search=text(NAME_LIMIT))
    def _sessions(self, *, search: str) -> list[dict[str, Any]]:
        """Return the latest sessions that the current user can continue."""
        kind = self._runnable.kind.value
        rows = queries.chat_sessions(self._db, kind, self._user_id, search, limit=MAX_SESSIONS_LISTED)
        return [
            {
                "session_id": row["session_id"],
                "title": title_of(row["session_name"], row["first_input"], row["session_id"]),
                "num_runs": row["num_runs"],
                "updated_at": row["updated_at"].timestamp(),
            }
            for row in rows
        ]

    @intent(session_id=id_value)
    async def _open(self, *, session_id: str) -> None:
        """Switch to another session."""
        await asyncio.to_thread(self._db.check_owner, self._user_id, session_id=session_id)
        if await asyncio.to_thread(self._db.get_session, session_id) is None:
            raise InvalidInputError(f"session {session_id!r} is no longer in the store")
        await self._switch(session_id)

    @intent()
    async def _new(self) -> None:
        """Start a new session with the next prompt."""
        await self._switch(new_id())

    async def _switch(self, session_id: str) -> None:
        self._check_is_idle()
        self.session_id, self._count = session_id, MAX_TURNS_SHOWN
        await self._refreshed()

    def _check_is_idle(self) -> None:
        if self._answering is not None:
            raise InvalidInputError("an answer is in progress; stop it, or wait until it ends")

    @intent(name=text(NAME_LIMIT))
    async def _rename(self, *, name: str) -> None:
        """Set the name of the session; an empty one removes it."""
        await asyncio.to_thread(self._check_owner)
        session = await asyncio.to_thread(self._db.rename_session, self.session_id, session_name=name.strip() or None)
        if session is None:
            raise InvalidInputError("cannot name the session before its first message")
        await self._refreshed()

    async def _run(self, question: str, images: Sequence[Media], run_index: int | None) -> None:
        if not sees_images(self._runnable) and any(media.kind == "image" for media in images):
            raise InvalidInputError(f"{_model(self._runnable)} does not accept images; send the prompt without them")
        if (store := self._runnable.store).identity != self._db.identity:
            raise InvalidInputError(
                f"{self._runnable!r} now uses the store {store.identity}, and this chat shows a session of "
                f"{self._db.identity}; open another chat, or switch back with `%agent --db`"
            )
        options = RunOptions(
            session_id=self.session_id,
            user_id=self._user_id,
            images=images,
            origin=CellInfo(notebook=self._origin.notebook),
        )
        if run_index is not None:
            options["run_index"] = run_index
        self._check_is_idle()
        events = self._runnable.arun(question, stream=True, stream_events=True, **options)
        await self._answer(question, images, run_index, events)

    async def _answer(
        self, question: str, files: Sequence[Media], run_index: int | None, events: AsyncRunStream
    ) -> None:
        # A new turn has no index and replaces no other turn.
        place = next((turn.run.run_id for turn in self._turns if turn.run.run_index == run_index), None)
        names = [shown_name(media) for media in files]
        await self._stream_run(events, question=displayable(question), files=names, in_place_of=place)


def _image(content: bytes, name: str | None) -> Media:
    image = Image(content=content)
    if image.mime_type is None or not image.mime_type.startswith("image/"):
        raise InvalidInputError(f"unsupported image {name!r}; attach PNG, JPEG, GIF or WebP")
    image.filename = name
    return image


def title_of(name: str | None, first_input: str | None, otherwise: str, limit: int = TITLE_LIMIT) -> str:
    """Return the title of a session: its name as it was written, or its first prompt as plain text."""
    if not name and first_input:
        return plain_title(first_input, limit)
    return one_line(displayable(name or otherwise), limit)


def _model(runnable: Runnable) -> str:
    if not isinstance(runnable, Agent):
        return runnable.model_name or runnable.kind.value
    model = runnable.resolved_model
    return "demo model" if model.provider == "demo" else model.id
