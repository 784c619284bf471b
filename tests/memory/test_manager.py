"""A MemoryManager by itself: its tools, and adding, reading, searching, condensing and deleting memories."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agno_nb import AsyncDuckDb
from agno_nb.agent import Agent
from agno_nb.db.base import Db
from agno_nb.errors import InvalidInputError, ModelError
from agno_nb.memory import MemoryManager, MemoryOptimizationStrategy, SummarizeStrategy, UserMemory
from agno_nb.memory.strategies import MemoryOptimizationStrategyFactory, MemoryOptimizationStrategyType
from agno_nb.models.base import Model
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Message


def texts(memories: list[UserMemory]) -> list[str]:
    return [memory.memory for memory in memories]


def offered(model: ScriptedModel, request: int = -1) -> list[str]:
    return [tool.name for tool in model.requests[request].tools]


def remember(manager: MemoryManager, *facts: str, user_id: str = "ada") -> list[str]:
    return [manager.add_user_memory(UserMemory(memory=fact, topics=["t"]), user_id) for fact in facts]


def test_memories_are_added_read_replaced_and_deleted(db: Db) -> None:
    manager = MemoryManager(db=db)
    manager.add_user_memory(UserMemory(memory="Likes owls."))
    assert texts(manager.get_user_memories()) == texts(db.get_user_memories("default")) == ["Likes owls."]
    tea, cat = remember(manager, "Likes tea.", "Has a cat.")
    assert manager.replace_user_memory(tea, UserMemory(memory="Likes coffee."), "ada") == tea
    assert texts(manager.get_user_memories("ada")) == ["Likes coffee.", "Has a cat."]
    found = manager.get_user_memory(cat, "ada")
    assert (found is not None and found.memory, manager.get_user_memory(cat, "bob")) == ("Has a cat.", None)
    assert (manager.delete_user_memory(cat, "bob"), manager.delete_user_memory(cat, "ada")) == (False, True)
    with pytest.raises(InvalidInputError, match="does not belong to user 'bob'"):
        manager.replace_user_memory(tea, UserMemory(memory="Hates tea."), "bob")
    manager.clear_user_memories("ada")
    assert texts(db.get_user_memories()) == ["Likes owls."]
    manager.clear()
    assert db.get_user_memories() == []


@pytest.mark.parametrize(
    ("of_memory", "passed", "expected"),
    [("ada", None, "ada"), ("ada", "bob", "bob"), (None, "bob", "bob"), (None, None, "default")],
)
def test_a_memory_is_stored_for_the_user_that_is_passed_or_its_own(
    db: Db, of_memory: str | None, passed: str | None, expected: str
) -> None:
    manager = MemoryManager(db=db)
    tea = manager.add_user_memory(UserMemory(memory="Likes tea.", user_id=of_memory), passed)
    manager.replace_user_memory(tea, UserMemory(memory="Likes mate.", user_id=of_memory), passed)
    assert texts(db.get_user_memories(expected)) == texts(db.get_user_memories()) == ["Likes mate."]


async def test_each_method_has_an_async_version(db: Db) -> None:
    manager = MemoryManager(ScriptedModel(['{"memory_ids": ["2"]}', "Tea and a cat."]), db=db)
    tea = await manager.aadd_user_memory(UserMemory(memory="Likes tea."), "ada")
    cat = await manager.aadd_user_memory(UserMemory(memory="Has a cat."), "ada")
    await manager.areplace_user_memory(tea, UserMemory(memory="Likes mate."), "ada")
    assert texts(await manager.asearch_user_memories(limit=1, user_id="ada")) == ["Likes mate."]
    found = await manager.asearch_user_memories("pets", retrieval_method="agentic", user_id="ada")
    assert texts(found) == ["Has a cat."]
    assert (await manager.aget_user_memory(cat, "ada")) == found[0]
    assert texts(await manager.aoptimize_memories("ada")) == ["Tea and a cat."]
    (kept,) = await manager.aget_user_memories("ada")
    assert await manager.adelete_user_memory(kept.memory_id, "ada")
    await manager.aclear_user_memories("ada")
    await manager.aclear()


def test_memories_are_searched(db: Db) -> None:
    model = ScriptedModel([json.dumps({"memory_ids": ["3", 1, "3", "9"]}), "I don't know."])
    manager = MemoryManager(model, db=db)
    first, *_ = remember(manager, "Likes tea.", "Has a cat.", "Lives in Lisbon.")
    manager.replace_user_memory(first, UserMemory(memory="Likes coffee."), "ada")
    by_change = ["Has a cat.", "Lives in Lisbon.", "Likes coffee."]
    assert texts(manager.search_user_memories(user_id="ada")) == by_change
    assert texts(manager.search_user_memories(limit=2, user_id="ada")) == by_change[1:]
    assert texts(manager.search_user_memories(limit=2, retrieval_method="first_n", user_id="ada")) == by_change[:2]
    assert manager.search_user_memories(limit=0, user_id="ada") == []
    assert manager.search_user_memories(user_id="bob", retrieval_method="agentic", query="pets") == []
    assert model.requests == []
    found = manager.search_user_memories("cities", retrieval_method="agentic", user_id="ada")
    assert texts(found) == ["Lives in Lisbon.", "Likes coffee."]
    (request,) = model.requests
    assert [message.role for message in request.messages] == ["system", "user"]
    assert "- [1] Likes coffee.\n- [2] Has a cat.\n- [3] Lives in Lisbon." in str(request.messages[0].content)
    assert "cities" in str(request.messages[1].content)
    with pytest.raises(ModelError, match=r"could not parse memory_ids .* \"I don't know\.\""):
        manager.search_user_memories("cities", retrieval_method="agentic", user_id="ada")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"retrieval_method": "agentic"}, "pass query="),
        ({"retrieval_method": "best"}, "retrieval_method is 'best'; pass 'last_n', 'first_n' or 'agentic'"),
        ({"limit": -1}, "limit is -1"),
        ({"user_id": ""}, "user_id is ''"),
    ],
)
def test_a_search_that_makes_no_sense_is_rejected(db: Db, arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        MemoryManager(db=db).search_user_memories(**arguments)


def test_memories_are_extracted_from_messages(db: Db) -> None:
    model = ScriptedModel([call("add_memory", memory="Is Jane."), "Done."])
    manager = MemoryManager(model, db=db)
    said = [("user", "Hi."), ("assistant", "Hello!"), ("user", "I am Jane."), ("assistant", "Nice.")]
    messages = [Message(role=role, content=text) for role, text in said]  # type: ignore[arg-type]
    assert manager.create_user_memories(messages=messages, user_id="jane") == "Done."
    assert [(m.role, m.content) for m in model.requests[0].messages[1:]] == said[:3]
    (memory,) = manager.get_user_memories("jane")
    assert (memory.memory, memory.input) == ("Is Jane.", "I am Jane.")
    for arguments in ({}, {"message": ""}, {"messages": messages[1:2]}):
        with pytest.raises(InvalidInputError, match="there is no message of a user"):
            manager.create_user_memories(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "extracting", "changing"),
    [
        ({}, ["add_memory", "delete_memory", "update_memory"], ["add_memory", "update_memory"]),
        ({"delete_memories": False}, ["add_memory", "update_memory"], ["add_memory", "update_memory"]),
        (
            {"delete_memories": True, "clear_memories": True},
            ["add_memory", "delete_memory", "update_memory"],
            ["add_memory", "clear_memory", "delete_memory", "update_memory"],
        ),
        ({"add_memories": False}, ["delete_memory", "update_memory"], ["update_memory"]),
        ({"update_memories": False}, ["add_memory", "delete_memory"], ["add_memory"]),
    ],
)
def test_the_model_has_the_tools_that_the_manager_allows(
    db: Db, settings: dict[str, bool], extracting: list[str], changing: list[str]
) -> None:
    model = ScriptedModel(["Nothing.", "Nothing."])
    manager = MemoryManager(model, db=db, **settings)  # type: ignore[arg-type]
    manager.create_user_memories("hello", user_id="ada")
    assert offered(model) == extracting
    manager.update_memory_task("Remember that.", user_id="ada")
    assert offered(model) == changing


def test_a_memory_that_becomes_empty_is_forgotten_unless_nothing_may_be_deleted(db: Db) -> None:
    forget = call("update_memory", memory_id="1", memory=" ")
    manager = MemoryManager(ScriptedModel([forget, "Forgotten."]), db=db)
    remember(manager, "Likes tea.")
    manager.update_memory_task("Forget the tea.", user_id="ada")
    assert manager.get_user_memories("ada") == []
    model = ScriptedModel([forget, "I cannot."])
    strict = MemoryManager(model, db=db, delete_memories=False)
    remember(strict, "Likes tea.")
    strict.update_memory_task("Forget the tea.", user_id="ada")
    assert texts(strict.get_user_memories("ada")) == ["Likes tea."]
    assert "memories cannot be deleted here" in str(model.requests[-1].messages[-1].content)


def test_the_model_clears_the_memories_of_its_user_only(db: Db) -> None:
    manager = MemoryManager(ScriptedModel([call("clear_memory"), "Done."]), db=db, clear_memories=True)
    remember(manager, "Likes tea.", "Has a cat.")
    remember(manager, "Likes owls.", user_id="bob")
    manager.update_memory_task("Forget everything.", user_id="ada")
    assert texts(db.get_user_memories()) == ["Likes owls."]


def test_a_system_message_replaces_the_instructions_but_not_what_is_known(db: Db) -> None:
    model = ScriptedModel(["Nothing."])
    manager = MemoryManager(model, db=db, system_message="Only {food}.", memory_capture_instructions="Left out.")
    remember(manager, "Likes tea.")
    manager.create_user_memories("hello", user_id="ada")
    assert model.requests[0].messages[0].content == (
        "Only {food}.\n\nRemembered so far, each after its memory_id:\n- [1] Likes tea."
    )


def test_a_manager_without_a_store_uses_the_one_of_its_first_agent(db: Db) -> None:
    manager = MemoryManager(ScriptedModel([call("add_memory", memory="Likes tea."), "Done."]))
    manager.clear()
    with pytest.raises(InvalidInputError, match="has no store; set db="):
        manager.get_user_memories("ada")
    Agent(ScriptedModel(["Hi."]), db=db, memory_manager=manager, update_memory_on_run=True).run(
        "I like tea.", user_id="ada"
    )
    assert texts(manager.get_user_memories("ada")) == ["Likes tea."]


async def test_a_manager_takes_an_async_store() -> None:
    manager = MemoryManager(db=AsyncDuckDb("memories.duckdb"))
    remember(manager, "Likes tea.")
    assert texts(await manager.aget_user_memories("ada")) == ["Likes tea."]


class KeepFirst(MemoryOptimizationStrategy):
    def optimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        return memories[:1]

    async def aoptimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        return memories[:1]


def test_memories_are_condensed_by_the_model_or_by_a_strategy(db: Db) -> None:
    model = ScriptedModel(["Likes tea and has a cat.", ""])
    manager = MemoryManager(model, db=db)
    assert manager.optimize_memories("ada") == []
    remember(manager, "Likes tea.", "Has a cat.")
    (draft,) = manager.optimize_memories("ada", apply=False)
    assert (draft.memory, draft.topics, len(manager.get_user_memories("ada"))) == ("Likes tea and has a cat.", ["t"], 2)
    assert str(model.requests[0].messages[1].content) == "- Likes tea.\n- Has a cat."
    with pytest.raises(ModelError, match="wrote no summary of the memories; they were kept"):
        manager.optimize_memories("ada", MemoryOptimizationStrategyType.SUMMARIZE)
    assert texts(manager.optimize_memories("ada", KeepFirst())) == ["Likes tea."]
    assert texts(manager.get_user_memories("ada")) == ["Likes tea."]
    # 10 characters are about three tokens.
    assert SummarizeStrategy().count_tokens(manager.get_user_memories("ada")) == 3


def test_a_strategy_that_does_not_exist_is_refused() -> None:
    assert isinstance(MemoryOptimizationStrategyFactory.create_strategy("summarize"), SummarizeStrategy)
    with pytest.raises(InvalidInputError, match="there is no memory strategy 'merge'; pass 'summarize'"):
        MemoryOptimizationStrategyFactory.create_strategy("merge")


def test_memories_that_a_strategy_writes_take_the_place_of_the_old_ones(db: Db) -> None:
    manager = MemoryManager(ScriptedModel(["Both."]), db=db)
    remember(manager, "Likes tea.", "Has a cat.")
    remember(manager, "Likes owls.", user_id="bob")
    manager.optimize_memories("ada")
    assert sorted(texts(db.get_user_memories())) == ["Both.", "Likes owls."]


@pytest.mark.parametrize("keyword", ["agent_id", "team_id"])
def test_extracted_memories_have_their_creator(db: Db, keyword: str) -> None:
    manager = MemoryManager(ScriptedModel([call("add_memory", memory="Likes tea.", topics=[]), "Added."]), db=db)
    manager.create_user_memories("I like tea.", user_id="ada", **{keyword: "x"})
    assert [memory.component_id for memory in db.get_user_memories("ada", agent_id="x")] == ["x"]


def test_keywords_of_managers_without_effect() -> None:
    assert isinstance(MemoryManager(id="m", name="Memories", debug_mode=True), MemoryManager)  # type: ignore[call-arg]
