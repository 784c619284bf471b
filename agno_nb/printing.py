"""Display of a run by ``print_response``: with rich in a terminal, as the output of the cell in a notebook."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import RunInterrupted
from agno_nb.event_loop import EventStream
from agno_nb.redact import displayable
from agno_nb.run_view import STATUS_WORDS, Note, RunFold, RunView, Tone, call_state
from agno_nb.types import RunOutput, RunOutputEvent, RunStatus, ToolCall, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from agno_nb.run.entrypoints import AsyncRunStream, RunStream


LIVE_TEXT = 8_000
"""Characters of a growing answer that a terminal shows, the last ones. The complete answer is shown at the end."""

LIVE_REMARKS = 20
"""Tool calls and nested runs that a terminal shows during a run, the last ones. All are shown at the end."""


class RunDisplay(Protocol):
    """A display of a run in progress."""

    def feed(self, event: RunOutputEvent) -> None: ...

    def finish(self, outcome: RunOutput | BaseException | None) -> None: ...


def print_stream(events: RunStream, message: str | None, **options: Unpack[DisplayOptions]) -> None:
    """Display a run from its events until it ends or is interrupted."""
    drive(events, choose_display(message, **options))


def drive(events: RunStream, display: RunDisplay) -> RunOutput:
    """Feed a display with the events of a run, and return the run. An interrupt raises RunInterrupted."""
    with events:
        try:
            for event in events:
                display.feed(event)
            run = events.result
            assert run is not None
        except BaseException as error:
            raise _finish_early(error, events.drain(), display) from error.__cause__
    display.finish(run)
    return run


async def aprint_stream(events: AsyncRunStream, message: str | None, **options: Unpack[DisplayOptions]) -> None:
    """Async version of :func:`print_stream`."""
    display = choose_display(message, **options)
    async with events:
        try:
            async for event in events:
                display.feed(event)
        except BaseException as error:
            raise _finish_early(error, await events.drain(), display) from error.__cause__
    display.finish(events.result)


def _finish_early(error: BaseException, unread: list[RunOutputEvent], display: RunDisplay) -> BaseException:
    """Show the end of a run that failed or was interrupted; return the exception to raise."""
    for event in unread:
        display.feed(event)
    if isinstance(error, KeyboardInterrupt):
        error = RunInterrupted("the run was interrupted; its partial output is stored")
        error.run_output = next((event.run_output for event in reversed(unread) if event.is_final), None)
    display.finish(error)
    return error


class DisplayOptions(TypedDict, total=False):
    """Options of a display."""

    live: bool
    """Whether the answer is displayed as it arrives."""
    markdown: bool
    console: Console | None
    """The console of the terminal to print to."""
    show_members: bool
    """Whether a terminal shows the whole answers of a team's members. A notebook always does."""


def choose_display(message: str | None, **options: Unpack[DisplayOptions]) -> RunDisplay:
    """Return the output of the cell in a kernel, and a rich display in a terminal or on a given console."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if options.get("console") is None and shell is not None and hasattr(shell, "kernel"):
        from agno_nb.notebook.live import LiveAnswer

        return LiveAnswer(shell, markdown=options.get("markdown", True))
    return _TerminalAnswer(message, **options)


@suggest_on_unknown_kwarg({})
def pprint_run_response(
    run_response: RunOutput | Iterable[RunOutputEvent],
    markdown: bool = False,
    show_time: bool = True,
    console: object = None,
) -> None:
    """Show a run like ``print_response``: with rich in a terminal, as the cell's output in a notebook.

    Parameters
    ----------
    run_response : RunOutput or iterable of RunOutputEvent
        The result of ``run(...)``, with or without ``stream=True``.
    markdown : bool, optional
        Render the answer as Markdown. Notebooks always do.
    show_time, console : optional
        No effect: displays always have the duration, and use the terminal's or the cell's output.
    """
    display = choose_display(None, live=not isinstance(run_response, RunOutput), markdown=markdown)
    if isinstance(run_response, RunOutput):
        display.finish(run_response)
    elif isinstance(run_response, EventStream):
        drive(run_response, display)
    else:
        for event in run_response:
            display.feed(event)
        display.finish(None)


def ask_user(user: str, emoji: str, exit_on: Collection[str]) -> str | None:
    """Read the next message from standard input. Return None at its end, and for a message of `exit_on` in any case."""
    from rich.emoji import Emoji

    prompt = Emoji.replace(" ".join(filter(None, (emoji, user)))) + ": "
    exit_words = {each.casefold() for each in exit_on}
    while True:
        try:
            message = input(prompt).strip()
        except EOFError:
            return None
        if message.casefold() in exit_words:
            return None
        if message:
            return message


async def apprint_run_response(
    run_response: RunOutput | AsyncIterable[RunOutputEvent], markdown: bool = False, **options: Any
) -> None:
    """Async version of :func:`pprint_run_response`, for the result of ``await arun(...)`` or a stream of it."""
    if isinstance(run_response, RunOutput):
        pprint_run_response(run_response, markdown, **options)
        return
    display = choose_display(None, live=True, markdown=markdown)
    async for event in run_response:
        display.feed(event)
    display.finish(None)


class _TerminalAnswer:
    """A live display of the message, the tool calls, the answer and its duration."""

    def __init__(
        self,
        message: str | None,
        *,
        live: bool = True,
        markdown: bool = True,
        console: Console | None = None,
        show_members: bool = False,
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console() if console is None else console
        self._fold = RunFold(plain=not markdown)
        self._is_finished, self._show_members = False, show_members
        # The live display is drawn on a thread of its own.
        self._lock = threading.Lock()
        if message is not None:
            self._console.print(_panel(message, "Message"))
        # Without a terminal each frame would be printed, so only the last one is. With one, frames are drawn a few
        # times a second: drawing a long answer for each word would take minutes.
        live = live and self._console.is_terminal
        self._live = Live(console=self._console, get_renderable=self._body, refresh_per_second=8) if live else None
        if self._live is not None:
            self._live.start()

    def feed(self, event: RunOutputEvent) -> None:
        with self._lock:
            self._fold.feed(event)

    def finish(self, outcome: RunOutput | BaseException | None) -> None:
        with self._lock:
            self._fold.finish(outcome)
            self._is_finished = True
        if self._live is not None:
            self._live.stop()
        else:
            self._console.print(self._body())

    def _body(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            run, remarks, text = self._fold.view.run, list(_remarks(self._fold.view)), self._text()
            members = list(self._member_panels(self._fold.view)) if self._show_members else []
        if not self._is_finished:
            remarks = remarks[-LIVE_REMARKS:]
        parts: list[Any] = [_safe_text(line, _TONES[tone]) for line, tone in remarks]
        parts.append(Text(text) if self._fold.view.plain else _markdown(text, self._console.width))
        if run is not None and run.is_paused:
            parts += [_safe_text(requirement.question) for requirement in run.active_requirements]
            parts.append(Text("PAUSED: resolve run.requirements, then continue_run(run)", style="yellow"))
        elif run is not None and run.status is not RunStatus.COMPLETED:
            word = STATUS_WORDS[self._fold.view.status]
            parts.append(
                _safe_text(f"{word}: {run.error or 'the answer is incomplete'}", "red" if run.error else "dim")
            )
        if run is None:
            return Group(*members, _panel(Group(*parts), "Response"))
        how = "cached: no model was called" if run.is_cached else f"{run.metrics.duration_s or 0:.1f} s"
        return Group(*members, _panel(Group(*parts), f"Response ({how})"))

    def _member_panels(self, view: RunView) -> Iterator[Any]:
        """Yield a panel with the answer of each nested run that has ended, inner ones first."""
        for part in view.parts:
            if isinstance(part, RunView):
                yield from self._member_panels(part)
                if part.run is not None:
                    text = displayable(part.run.get_content_as_string())
                    content = text if view.plain else _markdown(text, self._console.width)
                    yield _panel(content, f"Response of {displayable(part.name or 'nested run')}")

    def _text(self) -> str:
        """Return the answer, or the end of it while it grows, so that drawing a frame takes constant time."""
        if self._fold.view.run is not None:
            return displayable(self._fold.view.run.get_content_as_string())
        text = self._fold.view.markdown
        if len(text) > LIVE_TEXT and not self._is_finished:
            text = f"…{text[-LIVE_TEXT:]}"
        return displayable(text) or "…"


_TONES: dict[Tone, str] = {"": "dim", "rejected": "yellow", "failed": "red"}


def _remarks(view: RunView, prefix: str = "") -> Iterator[tuple[str, Tone]]:
    """Yield a line for each tool call, note and nested run or step that has ended."""
    for part in view.parts:
        if isinstance(part, ToolCall):
            state, tone = call_state(part, view.status, view.progress.get(part.tool_call_id, ""))
            yield f"{prefix}{part.tool_name}({part.arguments})" + (f" · {state}" if state else ""), tone
        elif isinstance(part, Note):
            yield part.text, ""
        elif isinstance(part, RunView):
            name = f"{part.name or 'nested run'}: "
            if part.task:
                yield f"{prefix}→ {name}{part.task}", ""
            yield from _remarks(part, name)
            if part.status is not RunStatus.RUNNING:
                content = part.run.get_content_as_string() if part.run is not None else part.error or part.markdown
                yield f"{name}{one_line(displayable(content), 200)}", ""


def _markdown(text: str, width: int) -> Any:
    """Return Markdown for rich, without features that drop text or take quadratic time."""
    from rich.markdown import CodeBlock, Markdown
    from rich.padding import Padding

    from agno_nb.notebook.commonmark import lossless_parser

    class PlainCodeBlock(CodeBlock):
        # Not coloured: a model chooses the lexer, and several of Pygments' lexers take quadratic time.
        def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
            yield Padding(self.text, 1)

    class LosslessMarkdown(Markdown):
        elements = {**Markdown.elements, "fence": PlainCodeBlock, "code_block": PlainCodeBlock}  # noqa: RUF012 # As in rich.

    # The address of a link is shown, because the text of a link could claim any address.
    markdown = LosslessMarkdown("", hyperlinks=False)
    # Each level of nesting takes up to four columns of the width.
    markdown.parsed = lossless_parser(max_nesting=max(4, (width - 24) // 4)).parse(text)
    return markdown


def _safe_text(text: str, style: str = "") -> Any:
    """Return text for the terminal without control sequences."""
    from rich.text import Text

    return Text(displayable(text), style=style)


def _panel(content: Any, title: str) -> Any:
    from rich.panel import Panel

    return Panel(_safe_text(content) if isinstance(content, str) else content, title=title, title_align="left")
