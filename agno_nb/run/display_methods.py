"""Methods of agents, teams and workflows for a person in front of them: print an answer, and talk in a terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Unpack

from agno_nb._agno_parts import OF_RUNNABLES
from agno_nb._keywords import typed_kwargs
from agno_nb.run.inputs import Input
from agno_nb.run.options import OPTION_ALIASES, RunOptions, TurnOptions, first_set
from agno_nb.run.session_methods import async_version_of

if TYPE_CHECKING:
    from rich.console import Console

    from agno_nb.printing import DisplayOptions

EXIT_WORDS = ("exit", "quit", "bye")


class ConversationCall(TurnOptions, total=False):
    """Keyword arguments of ``print_response()`` that can be the same for all messages of a conversation."""

    stream: bool | None
    markdown: bool | None
    show_message: bool
    show_member_responses: bool | None
    console: Console | None


class DisplayMethods:
    """Methods that run and display the answer."""

    if TYPE_CHECKING:
        stream: bool | None
        run: Any
        arun: Any
        _text_of: Any

    @typed_kwargs(RunOptions, OPTION_ALIASES, agno=OF_RUNNABLES)
    def print_response(
        self,
        input: Input,
        *,
        stream: bool | None = None,
        markdown: bool | None = None,
        show_message: bool = True,
        show_member_responses: bool | None = None,
        console: Console | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        """Run and display the answer as it arrives: with rich in a terminal, as the cell's output in a notebook.

        Parameters
        ----------
        input : str, pydantic model, dict, list or Message
            The user's message, as in :meth:`run`.
        stream : bool, optional
            If False, display the answer only when it is complete. Defaults to the setting `stream`, or else True.
        markdown : bool, default True
            If False, display the answer as plain text. Notebooks always render Markdown.
        show_message : bool, default True
            Display `input` above the answer.
        show_member_responses : bool, optional
            Display the whole answers of a team's members in a terminal, instead of a line for each. Notebooks always
            do. Defaults to the team's setting `show_members_responses`.
        console : rich.console.Console, optional
            The console of the terminal to print to.
        **options
            As in :meth:`run`, which also lists the errors raised.
        """
        from agno_nb.printing import print_stream

        message = self._text_of(input, {}) if show_message else None
        events = self.run(input, stream=True, stream_events=True, **options)
        print_stream(events, message, **self._display_options(stream, markdown, show_member_responses, console))

    def _display_options(
        self, stream: bool | None, markdown: bool | None, show_members: bool | None, console: Console | None
    ) -> DisplayOptions:
        return {
            "live": first_set(stream, self.stream, True),
            "markdown": first_set(markdown, True),
            "show_members": first_set(show_members, getattr(self, "show_members_responses", False)),
            "console": console,
        }

    @async_version_of(print_response)
    @typed_kwargs(RunOptions, OPTION_ALIASES, agno=OF_RUNNABLES)
    async def aprint_response(
        self,
        input: Input,
        *,
        stream: bool | None = None,
        markdown: bool | None = None,
        show_message: bool = True,
        show_member_responses: bool | None = None,
        console: Console | None = None,
        **options: Unpack[RunOptions],
    ) -> None:
        from agno_nb.printing import aprint_stream

        message = self._text_of(input, {}) if show_message else None
        events = self.arun(input, stream=True, stream_events=True, **options)
        shown = self._display_options(stream, markdown, show_member_responses, console)
        await aprint_stream(events, message, **shown)

    @typed_kwargs(ConversationCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    def cli_app(
        self,
        input: Input | None = None,
        *,
        user: str = "User",
        emoji: str = "",
        exit_on: Collection[str] | None = None,
        **options: Unpack[ConversationCall],
    ) -> None:
        """Talk in a terminal: read messages from standard input, and print the answers.

        Parameters
        ----------
        input : str, optional
            The first message.
        user, emoji : str, optional
            Name and symbol to show before each message.
        exit_on : collection of str, optional
            Messages that end the conversation, in upper or lower case; by default "exit", "quit" and "bye". Pass ``[]``
            for none. The end of the input ends it too.
        **options
            As in :meth:`print_response`, except `run_id`. Without a `session_id`, all messages are in the automatic
            session.
        """
        from agno_nb.printing import ask_user

        last_words = EXIT_WORDS if exit_on is None else exit_on
        if input is not None:
            self.print_response(input, **options)
        while (message := ask_user(user, emoji, last_words)) is not None:
            self.print_response(message, **options)

    @async_version_of(cli_app)
    @typed_kwargs(ConversationCall, OPTION_ALIASES, agno=OF_RUNNABLES)
    async def acli_app(
        self,
        input: Input | None = None,
        *,
        user: str = "User",
        emoji: str = "",
        exit_on: Collection[str] | None = None,
        **options: Unpack[ConversationCall],
    ) -> None:
        from agno_nb.printing import ask_user

        last_words = EXIT_WORDS if exit_on is None else exit_on
        if input is not None:
            await self.aprint_response(input, **options)
        while (message := await asyncio.to_thread(ask_user, user, emoji, last_words)) is not None:
            await self.aprint_response(message, **options)
