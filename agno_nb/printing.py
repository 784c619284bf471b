"""How ``print_response`` shows a run: by rich in a terminal, as the cell's output in a notebook.

This is the one module that both worlds meet in. ``Runnable.print_response`` imports it when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from agno_nb.errors import RunInterrupted
from agno_nb.redact import displayable
from agno_nb.types import RunEvent, RunOutput, RunOutputEvent, RunStatus

if TYPE_CHECKING:
    from agno_nb.run.entrypoints import AsyncRunStream, RunStream


LIVE_TEXT = 8_000
"""Characters of an answer that a terminal shows while they arrive, the last ones. The end shows all."""

LIVE_REMARKS = 20
"""Tool calls and nested runs that a terminal shows while more arrive, the last ones. The end shows all."""


class RunDisplay(Protocol):
    """Something that shows a run while it goes on."""

    def feed(self, event: RunOutputEvent) -> None: ...

    def finish(self, outcome: RunOutput | BaseException | None) -> None: ...


def print_stream(events: RunStream, *, message: str | None, live: bool) -> None:
    """Show a run from its events, to its end or to the interrupt."""
    drive(events, choose_display(message, live=live))


def drive(events: RunStream, display: RunDisplay) -> RunOutput:
    """Feed a display with the events of a run, and return the run.

    Raises
    ------
    RunInterrupted
        The user stopped it. The display has been told how it ended.
    """
    with events:
        try:
            for event in events:
                display.feed(event)
            run = events.result
            assert run is not None
        except BaseException as error:
            raise _ended(error, events.drain(), display) from error.__cause__
    display.finish(run)
    return run


async def aprint_stream(events: AsyncRunStream, *, message: str | None, live: bool) -> None:
    """Show a run from its events, as they come to an async reader."""
    shown = choose_display(message, live=live)
    async with events:
        try:
            async for event in events:
                shown.feed(event)
        except BaseException as error:
            raise _ended(error, await events.drain(), shown) from error.__cause__
    shown.finish(events.result)


def _ended(error: BaseException, unread: list[RunOutputEvent], display: RunDisplay) -> BaseException:
    """Show how a run ended that was cut off or failed; return what to raise."""
    for event in unread:
        display.feed(event)
    if isinstance(error, KeyboardInterrupt):
        error = RunInterrupted("the run was stopped; what was said so far is stored")
        error.run_output = next((event.run_output for event in reversed(unread) if event.is_final), None)
    display.finish(error)
    return error


def choose_display(message: str | None, *, live: bool, markdown: bool = True) -> RunDisplay:
    """Choose the display: the cell's output in a kernel, rich in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and hasattr(shell, "kernel"):
        from agno_nb.notebook.live import LiveAnswer

        return LiveAnswer(shell, markdown=markdown)
    return _TerminalAnswer(message, live=live, markdown=markdown)


class _TerminalAnswer:
    """A rich live display: the message, the tool calls as they happen, the answer, the time that it took."""

    def __init__(self, message: str | None, *, live: bool, markdown: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._markdown = markdown
        self._pieces: list[str] = []
        self._finished = False
        self._remarks: list[str] = []
        self._run_id: str | None = None
        self._run: RunOutput | None = None
        self._done: set[str] = set()
        if message is not None:
            self._console.print(_panel(message, "Message"))
        # Without a terminal every frame of a live display would be printed: show the last one only.
        # It asks for what there is to show a few times a second: to draw a long answer for every word takes minutes.
        live = live and self._console.is_terminal
        self._live = Live(console=self._console, get_renderable=self._body, refresh_per_second=8) if live else None
        if self._live is not None:
            self._live.start()

    def feed(self, event: RunOutputEvent) -> None:
        self._run_id = self._run_id or event.run_id
        # What a member or a step does is told under its name.
        whose = f"{event.step or event.component_name or 'nested run'}: " if event.run_id != self._run_id else ""
        if event.event is RunEvent.tool_call_started and event.tool is not None:
            self._remarks.append(f"{whose}{event.tool.tool_name}({event.tool.arguments})")
        elif whose and event.run_output is not None:
            self._remarks.append(f"{whose}{_line(event.run_output.get_content_as_string())}")
        elif event.event in (RunEvent.step_completed, RunEvent.step_error):
            if event.step not in self._done:
                self._remarks.append(f"{event.step}: {_line(event.content or '')}")
        elif event.details is not None and event.content:
            self._remarks.append(event.content)
        if whose and event.step and event.run_output is not None:
            self._done.add(event.step)
        if event.run_id == self._run_id:
            if event.event is RunEvent.run_content:
                self._pieces.append(event.content or "")
            if event.run_output is not None:
                self._run = event.run_output

    def finish(self, outcome: RunOutput | BaseException | None) -> None:
        self._finished = True
        if self._live is not None:
            self._live.stop()
        else:
            self._console.print(self._body())

    def _body(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        run = self._run
        remarks = self._remarks if self._finished else self._remarks[-LIVE_REMARKS:]
        parts: list[Any] = [_text(line, "dim") for line in remarks]
        text = displayable(self._streamed() if run is None else run.get_content_as_string())
        text = text or ("…" if run is None else "")
        parts.append(_markdown(text, self._console.width) if self._markdown else Text(text))
        if run is not None and run.is_paused:
            parts += [_text(one.question) for one in run.active_requirements]
            parts.append(Text("PAUSED: resolve run.requirements, then continue_run(run)", style="yellow"))
        elif run is not None and run.status is not RunStatus.COMPLETED:
            parts.append(_text(f"{run.status}: {run.error or 'the answer is incomplete'}", "red"))
        how = "cached: no model was called" if run is not None and run.is_cached else None
        title = "Response" if run is None else f"Response ({how or f'{run.metrics.duration_s or 0:.1f} s'})"
        return _panel(Group(*parts), title)

    def _streamed(self) -> str:
        """Return the text so far; of a long one only the end while it grows, so that a frame takes constant time."""
        tail: list[str] = []
        size = 0
        for piece in reversed(self._pieces):
            tail.append(piece)
            size += len(piece)
            if size > LIVE_TEXT and not self._finished:
                return f"…{''.join(reversed(tail))[-LIVE_TEXT:]}"
        return "".join(reversed(tail))


def _markdown(text: str, width: int) -> Any:
    """Return Markdown for rich, without the parts of it that drop text or take quadratic time."""
    from rich.markdown import CodeBlock, Markdown
    from rich.padding import Padding

    from agno_nb.notebook.commonmark import lossless_parser

    class PlainCodeBlock(CodeBlock):
        # Not coloured: a model chooses the lexer, and several of Pygments' take quadratic time.
        def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
            yield Padding(self.text, 1)

    class LosslessMarkdown(Markdown):
        elements = {**Markdown.elements, "fence": PlainCodeBlock, "code_block": PlainCodeBlock}  # noqa: RUF012 # As in rich.

    # The address of a link is shown: behind a text of the model it could lead anywhere.
    markdown = LosslessMarkdown("", hyperlinks=False)
    # Each level of nesting takes up to four columns of the width.
    markdown.parsed = lossless_parser(max_nesting=max(4, (width - 24) // 4)).parse(text)
    return markdown


def _line(text: str) -> str:
    line = " ".join(displayable(text).split())
    return line if len(line) <= 200 else f"{line[:199]}…"


def _text(text: str, style: str = "") -> Any:
    """Make text for the terminal, without what a terminal would obey."""
    from rich.text import Text

    return Text(displayable(text), style=style)


def _panel(content: Any, title: str) -> Any:
    from rich.panel import Panel

    return Panel(_text(content) if isinstance(content, str) else content, title=title, title_align="left")
