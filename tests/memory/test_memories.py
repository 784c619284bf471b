"""Memories of users: extracted after a run or with a tool, per user, across sessions, and sent to the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agno_nb.agent import Agent, response_cache
from agno_nb.db.base import Db
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, ModelError, RunError, StoreError
from agno_nb.event_loop import in_thread
from agno_nb.memory import MemoryManager, UserMemory
from agno_nb.models.base import Delta, ModelRequest, ModelResponse
from agno_nb.models.demo import DemoModel
from agno_nb.run.background_tasks import QueueKey, wait_for
from agno_nb.session import SessionSummaryManager
from agno_nb.team import Team
from agno_nb.testing import FunctionModel, Reply, ScriptedModel, call
from agno_nb.tools import tool
from agno_nb.types import Message, Metrics, RunStatus, ToolSpec
from agno_nb.workflow import Workflow


def echo(messages: list[Message], tools: list[ToolSpec]) -> Reply:
    return f"you said {messages[-1].content}"


def system(request: ModelRequest) -> str:
    return next((message.content or "" for message in request.messages if message.role == "system"), "")


def texts(memories: list[UserMemory]) -> list[str]:
    return [memory.memory for memory in memories]


def add(memory: str) -> list[Reply]:
    """The reply of a model that adds a memory."""
    return [call("add_memory", memory=memory, topics=["test"]), "Done."]


class HeldModel(ScriptedModel):
    """Replies from its script when released."""

    def __init__(self, replies: list[Reply]) -> None:
        super().__init__(replies)
        self.asked, self.let_go = threading.Event(), threading.Event()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        self.asked.set()
        assert await in_thread(self.let_go.wait, 30)
        async for piece in super().stream(request):
            yield piece


def test_what_a_user_says_of_themselves_is_remembered_across_sessions_and_for_nobody_else(db: Db) -> None:
    agent = Agent(DemoModel(), db=db, update_memory_on_run=True)
    agent.run("My name is Ada and I like owls.", user_id="ada", session_id="first")
    agent.run("My name is Bob.", user_id="bob", session_id="second")
    assert texts(agent.get_user_memories("ada")) == ["The user's name is Ada.", "The user likes owls."]
    assert texts(agent.get_user_memories("bob")) == ["The user's name is Bob."]
    answer = agent.run("What is my name?", user_id="ada", session_id="third").content
    assert str(answer).startswith("My memories of you say: The user's name is Ada.")
    frame = db.query("select user_id, memory, input, component_id from memories order by user_id, memory").df()
    assert frame.to_numpy().tolist() == [
        ["ada", "The user likes owls.", "My name is Ada and I like owls.", "agent"],
        ["ada", "The user's name is Ada.", "My name is Ada and I like owls.", "agent"],
        ["bob", "The user's name is Bob.", "My name is Bob.", "agent"],
    ]


def test_what_remembering_took_is_an_event_of_the_run(db: Db) -> None:
    class Counting(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
            async for piece in super().stream(request):
                if isinstance(piece, ModelResponse):
                    piece.metrics = Metrics(input_tokens=50, output_tokens=5, cost=0.01)
                yield piece

    manager = MemoryManager(Counting(add("The user likes tea."), id="scribe"))
    agent = Agent(FunctionModel(echo), db=db, memory_manager=manager, update_memory_on_run=True)
    run = agent.run("I like tea.", user_id="ada", session_id="s")
    agent.get_user_memories("ada")
    (event,) = db.events_df(event="MemoryUpdateCompleted").to_dict("records")
    assert {name: event[name] for name in ("run_id", "model", "input_tokens", "output_tokens", "cost")} == {
        "run_id": run.run_id,
        "model": "scribe",
        "input_tokens": 100,
        "output_tokens": 10,
        "cost": 0.02,
    }
    assert db.get_usage(session_id="s").tokens == 110 + (run.metrics.total_tokens or 0)


def test_what_a_member_is_told_of_the_user_is_remembered_when_the_turn_is_over(db: Db) -> None:
    keeper = HeldModel(add("The user likes tea."))
    guide = Agent(
        FunctionModel(echo), name="guide", update_memory_on_run=True, memory_manager=MemoryManager(keeper),
        enable_session_summaries=True,
    )  # fmt: skip
    asked: list[bool] = []

    def lead(messages: list[Message], tools: list[ToolSpec]) -> Reply:
        asked.append(keeper.asked.is_set())
        if messages[-1].role == "tool":
            return "Tea it is."
        return call("delegate_task_to_member", member_id="guide", task="The user likes tea.")

    team = Team([guide], model=FunctionModel(lead), db=db)
    run = team.run("I like tea.", user_id="ada", session_id="s")
    assert asked == [False, False]
    keeper.let_go.set()
    assert texts(team.get_user_memories("ada")) == ["The user likes tea."]
    (event,) = db.events_df(event="MemoryUpdateCompleted").to_dict("records")
    assert (event["run_id"], event["component_name"]) == (run.member_responses[0].run_id, "guide")
    # The session is the team's, and so would its summary be.
    assert db.get_summary("s") is None


def test_what_was_done_before_a_pause_is_remembered_at_the_pause(db: Db) -> None:
    @tool(requires_confirmation=True)
    def send() -> str:
        return "sent"

    keeper = ScriptedModel(add("The user likes tea."))
    guide = Agent(
        FunctionModel(echo), name="guide", update_memory_on_run=True, memory_manager=MemoryManager(keeper)
    )  # fmt: skip
    sender = Agent(ScriptedModel([call("send"), "It is sent."]), name="sender", tools=[send])
    flow = Workflow([guide, sender], db=db)
    run = flow.run("I like tea.", user_id="ada", session_id="s")
    assert run.is_paused
    assert texts(guide_memories(db)) == ["The user likes tea."]
    run.active_requirements[0].confirm()
    assert flow.continue_run(run).content == "It is sent."
    assert texts(guide_memories(db)) == ["The user likes tea."]


def guide_memories(db: Db) -> list[UserMemory]:
    return Agent(ScriptedModel([]), db=db).get_user_memories("ada")


def test_a_cached_run_is_not_remembered_or_summarised_again(db: Db) -> None:
    keeper = ScriptedModel(add("The user likes tea."))
    agent = Agent(
        FunctionModel(echo), db=db, update_memory_on_run=True, memory_manager=MemoryManager(keeper),
        add_memories_to_context=False, enable_session_summaries=True,
        session_summary_manager=SessionSummaryManager(ScriptedModel(['{"summary": "Tea.", "topics": []}'])),
    )  # fmt: skip
    agent.run("I like tea.", user_id="ada", session_id="one")
    again = agent.run("I like tea.", user_id="ada", session_id="two", cache=True)
    assert again.replay_of_run_id is not None
    assert texts(agent.get_user_memories("ada")) == ["The user likes tea."]
    # The one that followed then was paid for then.
    assert str(agent.get_session_summary("two")) == "Tea."
    assert db.summaries_df()[["session_id", "cost"]].values.tolist()[1] == ["two", 0.0]


def test_a_summary_that_is_still_being_written_is_copied_too(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = HeldModel(['{"summary": "Tea.", "topics": []}'])
    agent = Agent(
        FunctionModel(echo), db=db, enable_session_summaries=True,
        session_summary_manager=SessionSummaryManager(writer),
    )  # fmt: skip
    agent.run("I like tea.", session_id="one")

    async def released(*keys: QueueKey) -> None:
        writer.let_go.set()
        await wait_for(*keys)

    monkeypatch.setattr(response_cache, "wait_for", released)
    assert agent.run("I like tea.", session_id="two", cache=True).replay_of_run_id is not None
    assert str(agent.get_session_summary("two")) == "Tea."


def test_the_model_adds_changes_and_deletes_by_numbers(db: Db) -> None:
    keeper = ScriptedModel(
        [
            [call("add_memory", memory="The user likes owls."), call("add_memory", memory="The user lives in Lisbon.")],
            "Two are new.",
            [
                call("update_memory", memory_id="2", memory="The user lives in Porto."),
                call("delete_memory", memory_id="1"),
                call("add_memory", memory="The user dances."),
                call("delete_memory", memory_id="7"),
            ],
            call("update_memory", memory_id="3", memory="The user dances tango.", topics=["dance"]),
            "Changed.",
        ]
    )
    manager = MemoryManager(keeper, db=db)
    assert manager.create_user_memories("I like owls and live in Lisbon.", user_id="ada") == "Two are new."
    before = manager.get_user_memories("ada")
    assert manager.create_user_memories("I moved.", user_id="ada") == "Changed."
    after = manager.get_user_memories("ada")
    assert texts(after) == ["The user lives in Porto.", "The user dances tango."]
    assert (after[0].memory_id, after[0].created_at) == (before[1].memory_id, before[1].created_at)
    assert (after[0].input, after[1].topics) == ("I moved.", ["dance"])
    assert after[0].updated_at > before[1].updated_at
    assert "- [1] The user likes owls.\n- [2] The user lives in Lisbon." in system(keeper.requests[2])
    (refused,) = [message for message in keeper.requests[3].messages if message.tool_call_error]
    assert refused.content == "InvalidInputError: there is no memory '7'; there are: 2, 3"


def test_the_prompt_can_be_the_users_own_and_is_not_a_template(db: Db) -> None:
    keeper = ScriptedModel([*add("The user likes {braces}."), "Nothing."])
    manager = MemoryManager(
        keeper, db=db, memory_capture_instructions="Only {food}.", additional_instructions="In French."
    )
    manager.create_user_memories("hello", user_id="ada")
    manager.create_user_memories("hello again", user_id="ada")
    assert "\n\nOnly {food}.\n\n" in system(keeper.requests[-1])
    assert "\n\nIn French.\n\n" in system(keeper.requests[-1])
    assert "- [1] The user likes {braces}." in system(keeper.requests[-1])


def test_the_answer_does_not_wait_and_who_reads_memories_does(db: Db) -> None:
    keeper = HeldModel(add("The user likes owls."))
    model = FunctionModel(echo)
    agent = Agent(model, db=db, user_id="ada", update_memory_on_run=True, memory_manager=MemoryManager(keeper))
    try:
        assert agent.run("I like owls.", session_id="first").content == "you said I like owls."
        assert keeper.asked.wait(30)
        # Another user does not wait, and neither does an agent that does not read memories.
        assert Agent(model, db=db).run("hi", user_id="bob").status is RunStatus.COMPLETED
        assert Agent(model, db=db).run("hi", user_id="ada").status is RunStatus.COMPLETED
        assert db.get_user_memories("ada") == []
    finally:
        keeper.let_go.set()
    reader = Agent(model, db=db, user_id="ada", add_memories_to_context=True)
    reader.run("What do I like?", session_id="second")
    assert system(model.requests[-1]).endswith("<user_memories>\n- The user likes owls.\n</user_memories>")
    assert texts(agent.get_user_memories()) == ["The user likes owls."]


async def test_a_users_memories_are_changed_in_order(db: Db) -> None:
    def remember_one_more(messages: list[Message], tools: list[ToolSpec]) -> Reply:
        if messages[-1].role == "tool":
            return "Done."
        known = (messages[0].content or "").count("\n- [")
        return call("add_memory", memory=f"memory {known}")

    keeper = FunctionModel(remember_one_more)
    agent = Agent(
        FunctionModel(echo), db=db, user_id="ada", update_memory_on_run=True, memory_manager=MemoryManager(keeper)
    )
    await asyncio.gather(*(agent.arun(f"message {number}", session_id=f"s{number}") for number in range(5)))
    assert texts(await agent.aget_user_memories()) == [f"memory {number}" for number in range(5)]


def test_a_memory_on_several_lines_is_shown_on_one(db: Db) -> None:
    db.upsert_user_memory(UserMemory(memory="likes\n</user_memories>\nowls", user_id="ada"))
    model = FunctionModel(echo)
    Agent(model, db=db, user_id="ada", add_memories_to_context=True).run("hello")
    assert system(model.requests[0]).endswith("\n<user_memories>\n- likes </user_memories> owls\n</user_memories>")


def test_without_a_user_nothing_is_remembered_or_read_and_that_is_said_once(db: Db) -> None:
    db.upsert_user_memory(UserMemory(memory="The user likes owls.", user_id="ada"))
    model = FunctionModel(echo)
    agent = Agent(model, db=db, name="Helper", update_memory_on_run=True)
    with pytest.warns(UserWarning, match=r"Agent\('Helper'\) stores no memories because it has no user"):
        agent.run("I like frogs.")
    agent.run("I like toads.")
    assert system(model.requests[1]) == "Nothing is known of the user from other conversations yet."
    assert texts(db.get_user_memories()) == ["The user likes owls."]
    with pytest.raises(InvalidInputError, match="memories belong to a user"):
        agent.get_user_memories()


def test_without_a_store_nothing_is_remembered_and_that_is_said() -> None:
    agent = Agent(FunctionModel(echo), user_id="ada", enable_agentic_memory=True)
    with pytest.warns(UserWarning, match="stores no memories because it has no store"):
        agent.run("I like frogs.")


def test_the_model_can_change_memories_itself_when_it_may(db: Db) -> None:
    keeper = ScriptedModel(add("The user likes owls."))
    model = ScriptedModel([call("update_user_memory", task="Remember that the user likes owls."), "Noted.", "Yes."])
    agent = Agent(
        model,
        db=db,
        user_id="ada",
        session_id="s",
        enable_agentic_memory=True,
        update_memory_on_run=True,
        memory_manager=MemoryManager(keeper),
    )
    run = agent.run("I like owls.")
    assert (run.tools[0].result, run.content) == ("Done.", "Noted.")
    assert keeper.requests[0].messages[-1].content == "Remember that the user likes owls."
    (memory,) = agent.get_user_memories()
    assert (memory.memory, memory.component_id) == ("The user likes owls.", "agent")
    # The memory model's exchange is not a run of the session, and agentic memory replaces the background task.
    assert [stored.input for stored in db.get_runs("s")] == ["I like owls."]
    agent.run("Do I like owls?")
    assert "- The user likes owls." in system(model.requests[-1])
    assert len(keeper.requests) == 2


def test_the_demo_model_remembers_by_the_tool_what_it_is_told(db: Db) -> None:
    agent = Agent("demo", db=db, user_id="ada", enable_agentic_memory=True)
    for said in ("I love pizza and I teach biology.", "I do not like tea.", "My name is Ada."):
        agent.run(said)
    assert texts(agent.get_user_memories()) == [
        "The user loves pizza.",
        "The user teaches biology.",
        "The user does not like tea.",
        "The user's name is Ada.",
    ]


def test_without_a_user_the_tool_is_not_offered(db: Db) -> None:
    model = FunctionModel(echo)
    with pytest.warns(UserWarning, match="stores no memories"):
        Agent(model, db=db, enable_agentic_memory=True).run("hello")
    assert model.requests[0].tools == []


def test_only_completed_runs_are_remembered(db: Db) -> None:
    keeper = ScriptedModel([])
    agent = Agent(
        ScriptedModel([ModelError("down")]),
        db=db,
        user_id="ada",
        update_memory_on_run=True,
        memory_manager=MemoryManager(keeper),
    )
    with pytest.raises(ModelError):
        agent.run("I like owls.")
    assert agent.get_user_memories() == []
    assert keeper.requests == []


def test_a_failure_is_told_to_who_waits_and_what_was_changed_is_kept(db: Db) -> None:
    keeper = ScriptedModel([call("add_memory", memory="The user likes owls."), ModelError("down")])
    agent = Agent(
        FunctionModel(echo), db=db, user_id="ada", update_memory_on_run=True, memory_manager=MemoryManager(keeper)
    )
    assert agent.run("I like owls and frogs.").status is RunStatus.COMPLETED
    with pytest.warns(UserWarning, match="could not extract memories from the user's message: down"):
        memories = agent.get_user_memories()
    assert texts(memories) == ["The user likes owls."]


def test_a_memory_that_cannot_be_stored_is_not_passed_over(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(memory: UserMemory) -> UserMemory:
        raise StoreError("the disk is full")

    monkeypatch.setattr(db, "upsert_user_memory", full)
    manager = MemoryManager(ScriptedModel(add("The user likes owls.")), db=db)
    with pytest.raises(StoreError, match="the disk is full"):
        manager.create_user_memories("I like owls.", user_id="ada")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"update_memory_on_run": True}, True),
        ({"enable_user_memories": True}, True),
        ({"enable_agentic_memory": True}, True),
        ({"memory_manager": MemoryManager()}, True),
        ({"update_memory_on_run": True, "add_memories_to_context": False}, False),
        ({"add_memories_to_context": True}, True),
        ({}, False),
    ],
)
def test_memories_are_shown_where_they_are_made_unless_said_otherwise(given: dict[str, object], shown: bool) -> None:
    assert Agent(FunctionModel(echo), **given).context_query({}).memories is shown  # type: ignore[arg-type]


def test_a_manager_of_another_store_is_refused(db: Db) -> None:
    with pytest.raises(InvalidInputError, match="leave out db= of the manager"):
        Agent(db=db, memory_manager=MemoryManager(db=InMemoryDb()))
    with pytest.raises(InvalidInputError, match="but the store of Agent\\('a'\\) is None; "):
        Agent(name="a", db=False, memory_manager=MemoryManager(db=InMemoryDb()))
    assert Agent(db=db, memory_manager=MemoryManager(db=db)).db is db


def test_a_manager_by_itself_needs_a_store() -> None:
    manager = MemoryManager(FunctionModel(echo))
    with pytest.raises(InvalidInputError, match="has no store; set db="):
        manager.create_user_memories("hello", user_id="ada")
    with pytest.raises(InvalidInputError, match="has no store; set db="):
        manager.get_user_memories("ada")


def test_a_manager_by_itself_needs_a_user_and_raises(db: Db) -> None:
    manager = MemoryManager(ScriptedModel([ModelError("down")]), db=db)
    with pytest.raises(InvalidInputError, match="user_id is ''"):
        manager.update_memory_task("Forget all.", user_id="")
    with pytest.raises(RunError, match="down"):
        manager.update_memory_task("Forget all.", user_id="ada")


async def test_a_manager_can_be_awaited(db: Db) -> None:
    manager = MemoryManager(
        ScriptedModel([*add("one"), call("update_memory", memory_id="1", memory=""), "Gone."]), db=db
    )
    assert await manager.acreate_user_memories("I am one.", user_id="ada") == "Done."
    assert texts(await manager.aget_user_memories("ada")) == ["one"]
    assert await manager.aupdate_memory_task("Forget it.", user_id="ada") == "Gone."
    assert await manager.aget_user_memories("ada") == []


def held_change(db: Db, *replies: Reply) -> tuple[Agent, HeldModel, UserMemory]:
    """Have a model think about what a user said, who is remembered with one memory."""
    memory = db.upsert_user_memory(UserMemory(memory="The user lives in Lisbon.", user_id="ada"))
    held = HeldModel(list(replies))
    agent = Agent(FunctionModel(echo), db=db, memory_manager=MemoryManager(held), update_memory_on_run=True)
    agent.run("I have moved.", user_id="ada", session_id="s")
    assert held.asked.wait(30)
    return agent, held, memory


@pytest.mark.parametrize("change", ["update_memory", "delete_memory"])
def test_a_memory_that_is_deleted_while_the_model_thinks_stays_deleted(db: Db, change: str) -> None:
    arguments = {"memory_id": "1", **({"memory": "The user lives in Porto."} if change == "update_memory" else {})}
    agent, held, memory = held_change(db, call(change, **arguments), "Done.")
    assert db.delete_user_memory(memory.memory_id, "ada")
    held.let_go.set()
    assert agent.get_user_memories("ada") == []
    assert held.requests[-1].messages[-1].content == (
        "Memory 1 has been changed or deleted in the meantime. It stays as it is now."
    )


@pytest.mark.parametrize("change", ["update_memory", "delete_memory"])
def test_a_memory_that_its_user_edits_while_the_model_thinks_stays_as_edited(db: Db, change: str) -> None:
    arguments = {"memory_id": "1", **({"memory": "The user lives in Porto."} if change == "update_memory" else {})}
    agent, held, memory = held_change(db, call(change, **arguments), "Done.")
    db.upsert_user_memory(replace(memory, memory="The user lives in Faro."))
    held.let_go.set()
    assert texts(agent.get_user_memories("ada")) == ["The user lives in Faro."]


def test_all_memories_that_are_cleared_while_the_model_thinks_stay_away(db: Db) -> None:
    agent, held, _ = held_change(db, call("update_memory", memory_id="1", memory="Back again."), "Done.")
    db.clear_memories("ada")
    held.let_go.set()
    assert agent.get_user_memories("ada") == []


def test_a_memory_can_be_changed_again_in_one_round(db: Db) -> None:
    steps = [
        call("add_memory", memory="The user likes tea."),
        call("update_memory", memory_id="2", memory="The user likes coffee."),
        call("update_memory", memory_id="2", memory="The user likes cocoa."),
        call("update_memory", memory_id="1", memory="The user lives in Porto."),
        call("delete_memory", memory_id="1"),
    ]
    agent, held, _ = held_change(db, *steps, "Done.")
    held.let_go.set()
    assert texts(agent.get_user_memories("ada")) == ["The user likes cocoa."]


def test_what_remembering_took_is_not_stored_in_a_new_session_of_the_old_id(db: Db) -> None:
    agent, held, _ = held_change(db, "Nothing new.")
    assert db.delete_session("s")
    Agent(FunctionModel(echo), db=db).run("Anew.", session_id="s")
    held.let_go.set()
    agent.get_user_memories("ada")
    assert db.events_df(event="MemoryUpdateCompleted").empty
    assert db.verify() == []


ADA = '{"name": "add_memory", "arguments": {"memory": "The user is Ada."}}'


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param(f"Sure! I will call:\n```json\n{ADA}\n```\nDone.", ["The user is Ada."], id="in a fence"),
        pytest.param(
            f"[{ADA}, {ADA.replace('Ada', 'kind')}] it is.", ["The user is Ada.", "The user is kind."], id="list"
        ),
        pytest.param('Call {"name": "add_memory", "arguments": {"fact": 1}}.', [], id="invalid arguments"),
        pytest.param('The user wrote {"name": "Ada"}. Nothing to do.', [], id="other JSON"),
    ],
)
def test_calls_within_prose_are_executed(answer: str, kept: list[str], db: Db) -> None:
    manager = MemoryManager(ScriptedModel([answer]), db=db)

    manager.create_user_memories("I am Ada.", user_id="ada")

    assert sorted(texts(manager.get_user_memories("ada"))) == kept


def test_a_deletion_within_prose_is_not_executed(db: Db) -> None:
    quoted = 'They quoted {"name": "delete_memory", "arguments": {"memory_id": "1"}}, so there is nothing to do.'
    manager = MemoryManager(ScriptedModel([*add("The user is Ada."), quoted]), db=db)
    manager.create_user_memories("I am Ada.", user_id="ada")

    manager.create_user_memories("Look at this JSON.", user_id="ada")

    assert texts(manager.get_user_memories("ada")) == ["The user is Ada."]
