"""Answers as HTML and text, without active content."""

from __future__ import annotations

import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.notebook.html import sanitize_html
from agno_nb.notebook.markdown import markdown_parser
from agno_nb.notebook.render import (
    TEXT_LIMIT,
    call_line,
    footer_text,
    render_answer,
    render_text,
)
from agno_nb.run_view import Note, Reasoning, RunView, Text, view_of_run
from agno_nb.testing import ScriptedModel
from agno_nb.types import Metrics, Requirement, RunStatus, ToolCall
from tests.notebook.hostile import PAYLOADS


def markdown_html(markdown: str) -> str:
    return sanitize_html(markdown_parser(highlight=True).render(markdown))


class Elements(HTMLParser):
    """The elements and the visible text of a fragment, as a browser would have them."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


def completed(*parts: Text | Reasoning | ToolCall | RunView, **fields: object) -> RunView:
    return RunView(parts=list(parts), status=RunStatus.COMPLETED, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("place", ["answer", "reasoning", "arguments", "result", "name", "error", "model", "asked"])
def test_nothing_hostile_is_alive_anywhere_in_the_card(payload: str, place: str) -> None:
    call = ToolCall(
        tool_call_id="1",
        tool_name=payload if place == "name" else "tool",
        arguments=payload if place == "arguments" else "{}",
        result=payload if place == "result" else "done",
    )
    view = completed(
        Reasoning(payload if place == "reasoning" else "Thinking."),
        call,
        completed(Text("inside"), name=payload if place == "name" else "member"),
        Text(payload if place == "answer" else "Answer."),
        error=payload if place == "error" else None,
        model=payload if place == "model" else None,
        requirements=[
            Requirement(
                kind="confirmation", tool=replace(call, arguments=payload, confirmation_note=payload), run_id="r"
            )
        ]
        if place == "asked"
        else [],
    )

    card = Elements(render_answer(view))

    allowed = {"a", "blockquote", "br", "code", "details", "div", "em", "h1", "li", "p", "pre", "span", "strong"}
    assert card.tags - allowed - {"summary", "table", "thead", "tbody", "tr", "th", "td", "ul", "hr"} == set()
    attributes = {name for _, found in card.elements for name in found}
    assert attributes <= {"style", "href", "title", "target", "rel"}
    assert all(
        (link["href"] or "").startswith(("http://", "https://", "mailto:")) for link in card.of("a") if "href" in link
    )
    styles = [found["style"] or "" for _, found in card.elements if "style" in found]
    assert not any(word in style.lower() for style in styles for word in ("url(", "position", "expression", "@import"))


def test_images_become_links_that_say_so() -> None:
    assert markdown_html("![a cat](https://cats.example/1.png)") == (
        '<p><a href="https://cats.example/1.png" target="_blank" rel="noopener noreferrer">[image: a cat]</a></p>\n'
    )


def test_an_image_in_a_link_and_an_image_of_data_are_named_only() -> None:
    linked = Elements(markdown_html("[![badge](https://b.example/x.svg)](https://site.example/)"))
    assert (linked.text.strip(), [link["href"] for link in linked.of("a")]) == (
        "[image: badge]",
        ["https://site.example/"],
    )
    assert markdown_html("![dot](data:image/png;base64,AAAA)") == "<p>[image: dot]</p>\n"


def test_an_image_after_a_link_is_a_link_of_its_own() -> None:
    links = Elements(markdown_html("[one](https://one.example/) ![two](https://two.example/)")).of("a")
    assert [link["href"] for link in links] == ["https://one.example/", "https://two.example/"]


@pytest.mark.parametrize(
    "address", ["/api/kernels", "../x", "//evil.example/x", "javascript:alert(1)", "file:///etc/passwd"]
)
def test_a_link_that_is_not_absolute_and_of_the_web_leads_nowhere(address: str) -> None:
    assert [link for link in Elements(markdown_html(f"[here]({address})")).of("a") if "href" in link] == []


def test_raw_html_is_shown_as_it_was_typed() -> None:
    assert Elements(markdown_html("a <b>bold</b> <script>alert(1)</script>")).text.strip() == (
        "a <b>bold</b> <script>alert(1)</script>"
    )


def test_markdown_has_tables_with_alignment_and_strikethrough() -> None:
    table = Elements(markdown_html("| a | b |\n|---|--:|\n| 1 | ~~2~~ |"))
    assert [cell["style"] for cell in table.of("td")] == [
        "padding:0.35em 0.8em;text-align:left",
        "padding:0.35em 0.8em;text-align:left;text-align:right",
    ]
    assert table.tags == {"table", "thead", "tbody", "tr", "th", "td", "s"}


@pytest.mark.parametrize(
    "formula",
    [
        r"$a_1 * b * c_2$",
        r"$\{x\}$",
        r"$$\begin{matrix} 1 \\ 2 \end{matrix}$$",
        r"\(a_1 * b * c_1\)",
        r"\[x_1 * y * z_1\]",
        r"\begin{align*} a_1 &= b \\ c_1 &= d \end{align*}",
    ],
)
def test_formulas_reach_mathjax_as_they_were_written(formula: str) -> None:
    shown = Elements(markdown_html(f"Let {formula} be."))
    assert (shown.text, shown.tags) == (f"Let {formula} be.\n", {"p"})


def test_amounts_of_money_are_no_formula() -> None:
    # A delimiter counts for MathJax only within one element.
    assert markdown_html("$5 and **$6**, $HOME") == (
        "<p><span>$</span>5 and <strong><span>$</span>6</strong>, <span>$</span>HOME</p>\n"
    )


def test_backslashes_still_escape_where_there_is_no_formula() -> None:
    assert markdown_html(r"\*not emphasis\* and \(left open") == "<p>*not emphasis* and (left open</p>\n"


def test_code_is_coloured_when_the_run_has_ended_and_not_before() -> None:
    code = Text("```python\ndef f(): return '<b>'\n```")
    done = Elements(render_answer(completed(code)))
    running = Elements(render_answer(RunView(parts=[code])))
    assert {"style": "color:#a05fc8"} in done.of("span")
    assert running.of("span") == []
    assert "def f(): return '<b>'" in done.text
    assert "def f(): return '<b>'" in running.text


@pytest.mark.parametrize("language", ["", "no-such-language", "c++"])
def test_code_in_an_unknown_language_is_plain(language: str) -> None:
    assert Elements(markdown_html(f"```{language}\n1 < 2\n```")).text == "1 < 2\n\n"


def test_a_fence_that_is_still_open_is_code_already() -> None:
    shown = Elements(render_answer(RunView(parts=[Text("Look:\n\n```python\nx = 1\n**y")])))
    assert len(shown.of("pre")) == 1
    assert "x = 1\n**y" in shown.text


@pytest.mark.parametrize("start", ["Penguins\n-", "Penguins\n--", "Penguins\n``", "Penguins\n1.", "Penguins\n| "])
def test_a_last_line_of_marks_waits_for_its_words_while_the_answer_streams(start: str) -> None:
    assert Elements(render_answer(RunView(parts=[Text(start)]))).text == "Penguins\nrunning …"


def test_the_whole_text_is_shown_once_the_run_has_ended() -> None:
    assert Elements(render_answer(completed(Text("a\n\n---")))).tags == {"div", "p", "hr"}


def test_a_card_shows_its_parts_in_the_order_in_which_they_came() -> None:
    call = ToolCall(
        tool_call_id="1", tool_name="weather", arguments='{"city": "Rome"}', result="12 °C", duration_s=0.25
    )
    member = completed(Text("It rains."), name="researcher", metrics=Metrics(input_tokens=1200, output_tokens=40))
    view = completed(Reasoning("Ask first."), call, member, Text("It is **cold**."), model="gpt-5-mini")
    shown = Elements(render_answer(view))
    assert shown.text.split("\n") == [
        "ReasoningAsk first.",
        'weather(city="Rome") 250 msArgumentscity: RomeResult12 °Cresearcher 1,200 → 40 tokensIt rains.',
        "It is cold.",
        "gpt-5-mini",
    ]
    assert shown.of("details") == [{"style": "margin:0.1em 0;font-size:0.93em"}] * 3


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (RunStatus.RUNNING, "…"),
        (RunStatus.PAUSED, "waiting for you"),
        (RunStatus.CANCELLED, "interrupted"),
        (RunStatus.ERROR, "failed"),
        (RunStatus.COMPLETED, "not run"),
    ],
)
def test_a_call_without_a_result_says_why(status: RunStatus, word: str) -> None:
    call = ToolCall(tool_call_id="1", tool_name="f")
    assert Elements(render_answer(RunView(parts=[call], status=status))).text.startswith(f"f() {word}")


def test_a_call_that_failed_says_so() -> None:
    call = ToolCall(tool_call_id="1", tool_name="f", result="no such city", tool_call_error=True, duration_s=2.0)
    assert Elements(render_answer(completed(call))).text.startswith("f() failed · 2.0 s")


def test_long_results_are_cut_and_the_card_says_where_the_rest_is() -> None:
    call = ToolCall(tool_call_id="1", tool_name="f", result="x" * (TEXT_LIMIT + 12_345))
    text = Elements(render_answer(completed(call))).text
    assert text.endswith("x\n\n… 12,345 more characters, see tool_calls_df()")
    assert text.count("x") == TEXT_LIMIT


def test_arguments_that_are_not_json_are_shown_as_they_came() -> None:
    call = ToolCall(tool_call_id="1", tool_name="f", arguments='{"a": ', result="")
    assert Elements(render_answer(completed(call))).text == 'f()Arguments{"a": Result'


def test_arguments_are_shown_with_their_own_lines() -> None:
    call = ToolCall(tool_call_id="1", tool_name="f", arguments='{"sql": "select 1\\nfrom t", "limit": 5, "by": ["a"]}')
    assert 'Argumentssql:\nselect 1\nfrom t\nlimit: 5\nby: ["a"]' in Elements(render_answer(completed(call))).text


def test_a_call_line_is_short_and_one_line() -> None:
    call = ToolCall(tool_call_id="1", tool_name="query", arguments='{"sql": "select *\\nfrom ' + "x" * 100 + '"}')
    line = call_line(call)
    assert line.startswith('query(sql="select * from xxx')
    assert line.endswith("x…)")
    assert len(line) == len("query()") + 70


@pytest.mark.parametrize(
    ("metrics", "footer"),
    [
        (Metrics(), "m"),
        (
            Metrics(duration_s=1.234, input_tokens=312, output_tokens=58, cost=0.0004),
            "m · 1.2 s · 312 → 58 tokens · $0.0004",
        ),
        (Metrics(duration_s=0.0414, input_tokens=12_345), "m · 41 ms · 12,345 → ? tokens"),
        (Metrics(duration_s=125, cost=12.5), "m · 2 min 5 s · $12.50"),
        (Metrics(cost=0.0), "m · $0"),
        (Metrics(cost=0.0000123), "m · $0.000012"),
        (Metrics(cost=0.5), "m · $0.50"),
    ],
)
def test_the_footer_says_what_is_known(metrics: Metrics, footer: str) -> None:
    assert footer_text(completed(model="m", metrics=metrics)) == footer


def test_the_text_is_the_markdown_itself() -> None:
    markdown = "# Title\n\n| a |\n|---|\n\n```python\nx\n```"
    call = ToolCall(tool_call_id="1", tool_name="f", result="r")
    assert render_text(completed(Text(markdown), model="m")) == markdown
    assert render_text(completed(Text("First.\n"), call, Reasoning("Hm."), Text("Then."))) == "First.\n\nThen."


def test_the_text_says_when_a_run_did_not_complete() -> None:
    assert (
        render_text(RunView(parts=[Text("Half an ans")], status=RunStatus.CANCELLED)) == "Half an ans\n\n(interrupted)"
    )
    assert render_text(RunView(status=RunStatus.ERROR)) == "(failed)"


def test_the_text_holds_nothing_that_a_terminal_obeys() -> None:
    assert render_text(completed(Text("a\x1b]52;c;Zm9v\x07b\tc\nd\x9b2J"))) == "a]52;c;Zm9vb\tc\nd2J"


def test_what_is_asked_is_shown_whole_and_exactly_with_what_to_type() -> None:
    arguments = json.dumps({"command": "`rm -rf /` \\(x\\) $5 " + "x" * 10_000})
    call = ToolCall(tool_call_id="1", tool_name="shell", arguments=arguments)
    requirement = Requirement(kind="confirmation", tool=call, run_id="r", component_name="clerk")
    view = RunView(status=RunStatus.PAUSED, requirements=[requirement])
    question = f"clerk asks to call shell({arguments})"
    ways = f"%agent approve {requirement.short_id}   or   %agent reject {requirement.short_id} [why]"
    assert render_text(view) == f"{question}\n{ways}\n\n(waiting for you)"
    card = Elements(render_answer(view))
    assert question in card.text
    assert ways in card.text


def test_a_command_in_a_note_is_code() -> None:
    note = render_answer(RunView(parts=[Note("`%agent --model <b>` switches")]))
    assert ">%agent --model &lt;b&gt;</code> switches</div>" in note


def test_the_footer_says_that_earlier_turns_were_not_sent_but_not_how_many() -> None:
    agent = Agent(ScriptedModel(["Yes."] * 5), db=InMemoryDb(), session_id="s")
    first, *others = [agent.run("Hi") for _ in range(3)]
    agent.store.delete_run(others[0].run_id)
    last = agent.run("Hi")
    assert "not sent" not in footer_text(view_of_run(first))
    assert "earlier turns not sent" in footer_text(view_of_run(last)).split(" · ")
    assert "not sent" not in footer_text(view_of_run(agent.run("Hi", add_history_to_context=True)))
