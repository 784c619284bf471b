"""The chat widget in the kernel: every view of a session comes from the store."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from agno_nb import Agent, DemoModel, FunctionModel, InMemoryDb, ScriptedModel, chat, tool
from agno_nb.db import default_db
from agno_nb.errors import InvalidInputError, ModelError, SessionOwnershipError
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.run import defaults
from agno_nb.testing import call
from agno_nb.types import Message, ToolSpec
from agno_nb.widgets.approvals import Approvals
from tests.notebook.hostile import PAYLOADS
from tests.widgets.browser import WAIT_S, Browser, live_in

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(60)


def echo(messages: list[Message], tools: list[ToolSpec]) -> str:
    said = [message.content for message in messages if message.role == "user"]
    return f"**{said[-1]}** after {len(said) - 1}"


def talking(**fields: Any) -> tuple[Agent, Browser]:
    agent = Agent(FunctionModel(echo), name="guide", db=InMemoryDb(), add_history_to_context=True, **fields)
    return agent, Browser(chat(agent, session_id="s"))


def test_what_is_said_is_a_run_of_the_session_and_shown_from_the_store() -> None:
    agent, page = talking()
    page.say("Hello")
    page.say("And now?")
    panel = page.panel
    assert isinstance(panel.last_run and panel.last_run.content, str)
    assert [turn["question"] for turn in page.turns] == ["Hello", "And now?"]
    assert "<strong>And now?</strong> after 1" in page.turns[1]["html"]
    assert agent.db.runs_df()["run_id"].tolist() == [turn["run_id"] for turn in page.turns]
    assert panel.messages_df()["role"].tolist() == ["user", "assistant"] * 2
    assert page.content["title"] == "Hello"
    assert page.content["usage_line"].endswith("tokens")
    assert panel._arriving == {}


def test_what_is_no_agent_is_refused() -> None:
    with pytest.raises(
        InvalidInputError, match="'plans' is not an agent, team or workflow; pass a session as session_id"
    ):
        chat("plans")  # type: ignore[arg-type]


def test_a_run_of_a_cell_is_seen_in_the_panel_and_the_other_way_round() -> None:
    agent, page = talking()
    page.say("in the panel")
    agent.run("in a cell", session_id="s")
    page.ask("refresh")
    assert [turn["question"] for turn in page.turns] == ["in the panel", "in a cell"]
    assert agent.run("and again", session_id="s").content == "**and again** after 2"


def test_another_try_keeps_the_first_and_both_can_be_read() -> None:
    replies = iter(["first", "second", "third"])
    agent = Agent(FunctionModel(lambda messages, tools: next(replies)), db=InMemoryDb())
    page = Browser(chat(agent, session_id="s"))
    page.say("Say a number")
    page.ask("retry", run_id=page.turns[0]["run_id"])
    (turn,) = page.turns
    assert "second" in turn["html"]
    assert turn["run_id"] == turn["attempts"][1]
    assert "first" in page.ask("attempt", run_id=turn["attempts"][0])["html"]
    page.say("Say a word", again=turn["run_id"])
    (turn,) = page.turns
    assert (turn["question"], len(turn["attempts"])) == ("Say a word", 3)
    assert agent.db.runs_df()["run_index"].tolist() == [0, 0, 0]


class Waiting(Model):
    """A model that says half of its answer and waits to be stopped."""

    id, provider = "waiting", "test"

    def __init__(self) -> None:
        self.has_begun = threading.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        import asyncio

        yield Delta(content="half of ")
        self.has_begun.set()
        await asyncio.Event().wait()
        yield ModelResponse(content="never")


def test_an_answer_is_stopped_and_what_was_said_is_kept() -> None:
    model = Waiting()
    page = Browser(chat(Agent(model, db=InMemoryDb()), session_id="s"))
    page.send({"id": "say", "verb": "ask", "fields": {"question": "Begin", "again": None, "names": {}}})
    assert model.has_begun.wait(WAIT_S)
    assert "an answer is in progress" in page.refusal("new")
    page.send({"id": "stop", "verb": "stop", "fields": {}})
    assert {page.answer()["re"], page.answer()["re"]} == {"say", "stop"}
    (turn,) = page.turns
    assert (turn["status"], "half of" in turn["html"]) == ("CANCELLED", True)


def test_a_run_that_fails_says_so_in_its_turn_and_the_panel_goes_on() -> None:
    agent = Agent(ScriptedModel([ModelError("the provider is away"), "back"]), db=InMemoryDb())
    page = Browser(chat(agent, session_id="s"))
    page.say("Hello?")
    page.say("Hello!")
    assert [turn["status"] for turn in page.turns] == ["ERROR", "COMPLETED"]
    assert "the provider is away" in page.turns[0]["html"]


def test_a_session_of_somebody_else_is_refused_and_nothing_is_stored() -> None:
    agent, _ = talking()
    agent.run("mine", session_id="s", user_id="ada")
    with pytest.raises(SessionOwnershipError, match="belongs to user 'ada'"):
        chat(Agent(FunctionModel(echo), db=agent.db, user_id="bob"), session_id="s")
    assert len(agent.db.runs_df()) == 1


def test_sessions_are_found_opened_begun_and_renamed() -> None:
    agent, page = talking()
    page.say("About penguins")
    agent.run("About trains", session_id="trains")
    agent.run("Not yours", session_id="hers", user_id="ada")
    assert [each["session_id"] for each in page.ask("sessions", search="ABOUT")] == ["trains", "s"]
    page.ask("open", session_id="trains")
    assert (page.panel.session_id, page.content["title"]) == ("trains", "About trains")
    page.ask("rename", name="Night trains")
    assert page.content["title"] == "Night trains"
    assert agent.get_session_name("trains") == "Night trains"
    page.ask("new")
    assert (page.content["title"], page.turns, page.content["is_stored"]) == ("New session", [], False)
    page.say("Fresh")
    assert len(agent.db.get_sessions(limit=10)) == 4
    assert "session 'gone' is no longer in the store" in page.refusal("open", session_id="gone")


def test_only_the_latest_turns_are_shown_until_one_asks_for_earlier_ones() -> None:
    agent, _ = talking()
    for number in range(25):
        agent.run(f"question {number}", session_id="s")
    page = Browser(chat(agent, session_id="s"))
    assert (page.content["earlier"], page.turns[0]["question"]) == (5, "question 5")
    page.ask("show_earlier")
    assert (page.content["earlier"], len(page.turns)) == (0, 25)


def test_images_go_to_the_model_and_along_with_another_try() -> None:
    seen: list[list[str | None]] = []

    def look(messages: list[Message], tools: list[ToolSpec]) -> str:
        seen.append([media.mime_type for media in messages[-1].media])
        return "a picture"

    page = Browser(chat(Agent(FunctionModel(look), db=InMemoryDb()), session_id="s"))
    page.say("What is this?", files=[PIXEL], names={"0": "dot.png"})
    page.ask("retry", run_id=page.turns[0]["run_id"])
    assert seen == [["image/png"]] * 2
    assert page.turns[0]["files"] == ["dot.png"]


def test_a_model_that_does_not_see_images_is_not_sent_any() -> None:
    model = FunctionModel(echo)
    model.sees_images = False
    agent = Agent(model, name="guide", db=InMemoryDb())
    page = Browser(chat(agent, session_id="s"))
    assert page.content["sees_images"] is False
    said = page.refusal("ask", question="What is this?", again=None, names={"0": "dot.png"}, files=[PIXEL])
    assert "does not accept images; send the prompt without them" in said
    assert agent.db.runs_df().empty
    page.say("Without one, then")
    assert page.turns[0]["status"] == "COMPLETED"


def test_a_chat_does_not_follow_its_agent_into_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = SimpleNamespace(db=InMemoryDb(), user_id=None, model=None)
    monkeypatch.setattr(defaults, "of_notebook", lambda: notebook)
    shown = notebook.db
    page = Browser(chat(Agent(FunctionModel(echo), name="guide"), session_id="s"))
    page.say("Hello")
    notebook.db = InMemoryDb()
    said = page.refusal("ask", question="And now?", again=None, names={}, files=[])
    assert said.startswith(
        f"Agent('guide') now uses the store {notebook.db.identity}, and this chat shows a session of"
    )
    assert notebook.db.runs_df().empty
    notebook.db = shown
    page.say("And now?")
    assert [turn["question"] for turn in page.turns] == ["Hello", "And now?"]


def test_images_that_are_too_large_for_the_line_are_refused() -> None:
    _, page = talking()
    large = PIXEL + bytes(page.content["files_size_limit"] // 2)
    said = page.refusal("ask", question="Two", again=None, names={"0": "a.png", "1": "b.png"}, files=[large, large])
    assert said == "the images are too large: 8.0 MB; a message can have 8.0 MB"
    assert page.panel.last_run is None
    page.say("One", files=[large], names={"0": "a.png"})
    assert page.turns[0]["files"] == ["a.png"]


def test_what_one_panel_has_decided_another_one_knows() -> None:
    @tool(requires_confirmation=True)
    def delete(path: str) -> str:
        return f"{path} is gone"

    replies = [[call("delete", path="a"), call("delete", path="b")], call("delete", path="c"), "All gone."]
    agent = Agent(ScriptedModel(replies), db=InMemoryDb(), tools=[delete])
    page = Browser(chat(agent, session_id="s"))
    page.say("Delete them")
    run = page.panel.last_run
    assert run is not None
    other = Browser(Approvals(agent, run))
    first, second = (need["id"] for need in page.turns[0]["pending"])
    how = {"run_id": run.run_id, "decision": "approve", "note": "", "values": {}}
    other.ask("decide", requirement_id=first, **how)
    page.ask("refresh")
    assert [need["is_resolved"] for need in page.turns[0]["pending"]] == [True, False]
    page.ask("decide", requirement_id=second, **how)
    # It continued and paused again: the cards belong to the new pause.
    (third,) = page.turns[0]["pending"]
    assert third["arguments"] == '{\n  "path": "c"\n}'
    page.ask("decide", requirement_id=third["id"], **how)
    assert "All gone." in page.turns[0]["html"]
    assert "no longer waiting" in other.refusal("decide", requirement_id=third["id"], **how)


def test_a_paused_run_is_decided_call_by_call_and_then_goes_on() -> None:
    done: list[str] = []

    @tool(requires_confirmation=True)
    def delete(path: str) -> str:
        done.append(path)
        return "deleted"

    @tool(requires_user_input=True, user_input_fields=["copies"])
    def send_letter(to: str, copies: int) -> str:
        done.append(f"{copies} to {to}")
        return "sent"

    model = ScriptedModel([[call("delete", path="<b>a.txt</b>"), call("send_letter", to="Ada")], "All done."])
    agent = Agent(model, db=InMemoryDb(), tools=[delete, send_letter])
    page = Browser(chat(agent, session_id="s"))
    page.say("Do it")
    (turn,) = page.turns
    first, second = turn["pending"]
    assert (turn["status"], first["arguments"]) == ("PAUSED", '{\n  "path": "<b>a.txt</b>"\n}')
    answers = {"run_id": turn["run_id"], "note": "", "decision": "approve"}
    page.ask("decide", requirement_id=first["id"], values={}, **answers)
    assert done == []
    assert [need["is_resolved"] for need in page.turns[0]["pending"]] == [True, False]
    wrong = page.refusal("decide", requirement_id=second["id"], values={"copies": "two"}, **answers)
    assert "invalid value 'two' for copies: 'two' is not of type 'integer'" in wrong
    assert "has no requirement 'x'" in page.refusal("decide", requirement_id="x", values={}, **answers)
    page.ask("decide", requirement_id=second["id"], values={"copies": "2"}, **answers)
    assert (done, page.turns[0]["status"]) == (["<b>a.txt</b>", "2 to Ada"], "COMPLETED")
    assert "All done." in page.turns[0]["html"]
    assert "no longer waiting" in page.refusal("decide", requirement_id=second["id"], values={}, **answers)


def test_a_rejection_tells_the_model_why() -> None:
    @tool(requires_confirmation=True)
    def delete(path: str) -> str:
        raise AssertionError("it was refused")

    model = ScriptedModel([call("delete", path="a.txt"), "As you wish."])
    page = Browser(chat(Agent(model, db=InMemoryDb(), tools=[delete]), session_id="s"))
    page.say("Delete it")
    (need,) = page.turns[0]["pending"]
    run_id = page.turns[0]["run_id"]
    page.ask("decide", run_id=run_id, requirement_id=need["id"], decision="reject", note="keep it", values={})
    assert "keep it" in (model.requests[-1].messages[-1].content or "")
    assert "As you wish." in page.turns[0]["html"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_live_is_in_what_a_panel_is_sent_or_leaves(payload: str) -> None:
    agent = Agent(ScriptedModel([call(payload, text=payload), payload], id=payload), name=payload, db=InMemoryDb())
    page = Browser(chat(agent, session_id=payload))
    page.say(payload)
    twin = page.panel.static_view().bundle()
    for html in (page.turns[0]["html"], twin["text/html"], page.panel._saved["html"]):
        assert live_in(html) == set()
    assert set(twin) == {"text/html", "text/plain"}


def test_a_long_conversation_leaves_its_end_within_the_budget() -> None:
    agent = Agent(FunctionModel(lambda messages, tools: "word " * 5_000), db=InMemoryDb())
    for number in range(12):
        agent.run(f"question {number}", session_id="s")
    twin = chat(agent, session_id="s").static_view()
    assert len(twin.bundle()["text/html"]) < 150_000
    assert "question 11" in twin.text
    assert "7 earlier turns not shown, see messages_df()" in twin.text


def test_a_key_does_not_reach_the_page() -> None:
    key = "sk-proj-" + "a1B2" * 12
    page = Browser(chat(Agent(FunctionModel(echo), db=InMemoryDb()), session_id="s"))
    page.say(f"my key is {key}")
    assert key not in str(page.content)
    assert key not in str(page.panel.static_view().bundle())


def test_outside_of_a_notebook_an_agent_is_needed_and_the_store_is_that_of_the_process() -> None:
    with pytest.raises(InvalidInputError, match=r"pass one, for example chat\(Agent\(\.\.\.\)\)"):
        chat()
    agent = Agent(DemoModel())
    page = Browser(chat(agent, session_id="mine"))
    page.say("Hello")
    assert page.content["model"] == "demo model"
    assert agent.db is default_db()
