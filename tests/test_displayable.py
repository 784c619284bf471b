"""Text of models, tools and servers is displayed without control characters."""

from __future__ import annotations

import re
import traceback
import warnings
from typing import Any

import pytest
from hypothesis import given, strategies as st
from IPython.core.interactiveshell import InteractiveShell

from agno_nb.agent import Agent
from agno_nb.db.duckdb import DuckDb
from agno_nb.errors import InvalidInputError, ModelError, NestedRunPaused, RunInterrupted
from agno_nb.models.base import ModelResponse
from agno_nb.notebook.completion import _complete_from
from agno_nb.notebook.displays import facts_bundle, table_bundle
from agno_nb.notebook.registration import register_displays
from agno_nb.redact import displayable, warn, without_controls
from agno_nb.testing import ScriptedModel, call
from agno_nb.tools import Toolkit, tool
from agno_nb.types import Media, Requirement, RunOutput, StepOutput, ToolCall
from agno_nb.utils.pprint import pprint_run_response

KEY = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
HOSTILE = (
    "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\x08e\rf\x7fg\u202eh\u2066i\u200bj\ud800k\u200dl\ufeffm\U000e0041n"
    f"\x1b]8;;http://evil.invalid\x1b\\o\x85p\0q {KEY[:10]}\u200b{KEY[10:]}"
)
SAFE = displayable(HOSTILE)
_BAD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0041]"
)


def check(*texts: str) -> None:
    for text in texts:
        assert _BAD.findall(text) == [], text
        assert KEY not in text
        text.encode()


def hostile_run() -> tuple[RunOutput, ScriptedModel]:
    model = ScriptedModel(
        [
            ToolCall(tool_call_id=HOSTILE, tool_name=HOSTILE, arguments=f'{{"x": "{HOSTILE}"}}'),
            call("boom"),
            ModelResponse(content=HOSTILE, reasoning_content=HOSTILE, model=HOSTILE),
        ],
        id=HOSTILE,
    )
    return Agent(model, name=HOSTILE, tools=[boom], user_id=HOSTILE, session_id=HOSTILE).run(HOSTILE), model


def boom() -> str:
    """Fail."""
    raise ValueError(HOSTILE)


def test_what_is_removed_and_what_stays() -> None:
    assert SAFE == ("a]0;titleb[2Jc31mdefghij\N{REPLACEMENT CHARACTER}klmn]8;;http://evil.invalid\\opq [redacted]")
    for whole in (
        "👨‍👩‍👧 ❤️ 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می‌خواهم",
        "क्‍ष",
        "a\tb\nc",
    ):
        assert displayable(whole) == whole
    assert without_controls("a\r\nb\rc\u2028d\x0ce") == "a\nbc\u2028de"


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_becomes_displayable_once_and_for_all(text: str) -> None:
    shown = without_controls(text)
    check(shown)
    assert without_controls(shown) == shown


def test_a_terminal_is_told_nothing_that_it_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = hostile_run()
    pprint_run_response(run)
    pprint_run_response(run, markdown=True)
    run.error_type, run.error = HOSTILE, HOSTILE
    run.status = type(run.status).ERROR
    pprint_run_response(run)

    for replies in ([call(HOSTILE), HOSTILE], [call("ask", x=HOSTILE.replace("\ud800", ""))]):
        agent = Agent(ScriptedModel(replies), name=HOSTILE, tools=[ask_first])
        agent.print_response(HOSTILE, stream=True)
    with pytest.raises(ModelError) as raised:
        Agent(ScriptedModel([ModelError(HOSTILE)])).print_response(HOSTILE)

    check(capsys.readouterr().out.replace("\r\n", "\n"), str(raised.value))


@tool(name="ask", requires_confirmation=True)
def ask_first(x: str) -> str:
    """Ask."""
    return x


def test_reprs_hold_nothing_of_it() -> None:
    run, model = hostile_run()
    step = StepOutput(content=HOSTILE)
    step.step_name = step.path = HOSTILE
    toolkit = Toolkit(name=HOSTILE)
    requirement = Requirement(kind="confirmation", tool=run.tools[0], run_id="r", component_name=HOSTILE)
    media = Media(kind="file", url=HOSTILE, mime_type=HOSTILE)
    shown = [run, *run.tools, *run.messages, run.context(), step, toolkit, requirement, media, model, run.metrics]
    check(*map(repr, shown), str(requirement))


def test_errors_show_nothing_of_it_in_any_form() -> None:
    for error in (ModelError(HOSTILE), InvalidInputError(HOSTILE), RunInterrupted(HOSTILE)):
        check(str(error), *error._render_traceback_(), *traceback.format_exception(error))
        assert error.args == (HOSTILE,)
    check(str(NestedRunPaused(RunOutput(run_id=HOSTILE, session_id="s", component_name=HOSTILE))))


def test_an_error_of_a_tool_or_a_step_is_kept_as_it_is_and_shown_without(capsys: Any) -> None:
    db = DuckDb("talks.duckdb")
    agent = Agent(ScriptedModel([call("boom"), HOSTILE]), tools=[boom], db=db, session_id="s")
    run = agent.run("go")
    stored = db.get_run(run.run_id, "s")
    assert stored is not None
    whole = HOSTILE.replace("\ud800", "\N{REPLACEMENT CHARACTER}").replace("\0", "\N{REPLACEMENT CHARACTER}")
    assert stored.content == whole
    assert stored.tools[0].result == f"ValueError: {whole}"


def test_cards_and_frames_of_a_notebook_show_nothing_of_it() -> None:
    check(*facts_bundle({HOSTILE: HOSTILE}).values())
    check(*table_bundle({HOSTILE: "text", "b": "lines"}, [(HOSTILE, HOSTILE)], note=HOSTILE).values())
    db = DuckDb("talks.duckdb")
    Agent(ScriptedModel([HOSTILE]), db=db, session_id="s").run(HOSTILE)
    shell = InteractiveShell()
    unregister = register_displays(shell)
    try:
        data, _ = shell.display_formatter.format(db.messages_df()[["content"]])  # type: ignore[union-attr]
        check(data["text/plain"])
        assert "content" in data["text/plain"]
    finally:
        unregister()


def test_names_with_such_characters_are_not_offered() -> None:
    offered = _complete_from("", session=[HOSTILE, "plain"])
    assert [each.text for each in offered["completions"]] == ["plain"]


def test_warnings_show_nothing_of_it() -> None:
    from pydantic import BaseModel, field_validator

    class Reply(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def fits(cls, value: str) -> str:
            if value == "x":
                raise ValueError(HOSTILE)
            return value

    from agno_nb.run.output_schema import OutputSchema, restore_typed_outputs

    run = RunOutput(run_id=HOSTILE, session_id="s", content={"text": "x"}, content_type="Reply")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        restore_typed_outputs({"Reply": OutputSchema(Reply)}, [run])
    check(*(str(each.message) for each in told))
    assert len(told) == 1


def test_a_link_in_a_terminal_shows_where_it_leads(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    pprint_run_response(Agent(ScriptedModel(["[your bank](http://evil.invalid/x)"])).run("hi"), markdown=True)
    printed = capsys.readouterr().out
    assert "http://evil.invalid/x" in printed
    assert "\x1b]8" not in printed


def test_a_warning_of_a_run_is_one_line_each_time() -> None:
    for _ in range(2):
        with pytest.warns(UserWarning, match="waiting") as found:
            warn(f"waiting for {HOSTILE}")
        (shown,) = found
        text = warnings.formatwarning(shown.message, shown.category, shown.filename, shown.lineno)
        check(text)
        assert text == f"agno_nb:0: UserWarning: waiting for {SAFE}\n"
