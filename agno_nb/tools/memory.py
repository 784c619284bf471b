"""A toolkit with which the model keeps the memories of the user itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.errors import InvalidInputError
from agno_nb.tools.planning import PlanningToolkit
from agno_nb.types import UserMemory

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext

_INSTRUCTIONS = (
    "You can remember facts about the user for later conversations. Read what you know with get_memories before you "
    "add or change something, so that each fact is kept once. If you need to plan, or to check what you have done, "
    "write it down with think and analyze; nobody else reads that."
)
_NO_USER = "There is no user whose memories could be read or changed: the run has no user_id."


@suggest_on_unknown_kwarg({})
class MemoryTools(PlanningToolkit):
    """Tools with which the model reads, adds, changes and deletes the memories of the run's user.

    Parameters
    ----------
    db : Db or AsyncDb
        The store of the memories.
    enable_get_memories, enable_add_memory, enable_update_memory, enable_delete_memory : bool, default True
    enable_think, enable_analyze : bool, default True
        Tools for the model's own notes, which are kept as tool calls of the run.
    all : bool, default False
        Enable all of them.
    instructions : str, optional
        In place of the default instructions.
    add_instructions : bool, default True
        Add the instructions to the system prompt.
    add_few_shot : bool, default True
        Add `few_shot_examples` to the default instructions.
    few_shot_examples : str, optional
    **settings
        Further settings of :class:`~agno_nb.tools.Toolkit`.

    Raises
    ------
    InvalidInputError
        `db` is not a store.

    Examples
    --------
    >>> from agno_nb import Agent, InMemoryDb
    >>> from agno_nb.testing import ScriptedModel, call
    >>> db = InMemoryDb()
    >>> model = ScriptedModel([call("add_memory", memory="Likes tea."), "Noted."])
    >>> Agent(model, tools=[MemoryTools(db)]).run("I like tea", user_id="ada").content
    'Noted.'
    >>> [each.memory for each in db.get_user_memories("ada")]
    ['Likes tea.']
    """

    def __init__(
        self,
        db: Db | AsyncDb,
        *,
        enable_get_memories: bool = True,
        enable_add_memory: bool = True,
        enable_update_memory: bool = True,
        enable_delete_memory: bool = True,
        enable_analyze: bool = True,
        enable_think: bool = True,
        instructions: str | None = None,
        add_instructions: bool = True,
        add_few_shot: bool = True,
        few_shot_examples: str | None = None,
        all: bool = False,
        **settings: Any,
    ) -> None:
        store = as_sync(db)
        if not isinstance(store, Db):
            raise InvalidInputError(f"db is {db!r}; pass the store of the memories, such as DuckDb('talks.duckdb')")
        self.db, self._store = db, store
        tools: dict[Callable[..., Any], bool] = {
            self.get_memories: enable_get_memories,
            self.add_memory: enable_add_memory,
            self.update_memory: enable_update_memory,
            self.delete_memory: enable_delete_memory,
        }
        super().__init__(
            "memory_tools",
            tools,
            default_instructions=_INSTRUCTIONS,
            enable_think=enable_think,
            enable_analyze=enable_analyze,
            all=all,
            instructions=instructions,
            add_instructions=add_instructions,
            add_few_shot=add_few_shot,
            few_shot_examples=few_shot_examples,
            **settings,
        )

    def get_memories(self, run_context: RunContext) -> str:
        """Read what is known about the user."""
        if run_context.user_id is None:
            return _NO_USER
        return json.dumps([_shown(each) for each in self._memories(run_context.user_id)], ensure_ascii=False)

    def add_memory(self, memory: str, run_context: RunContext, topics: list[str] | None = None) -> str:
        """Remember a fact about the user.

        Args:
            memory: The fact, in a sentence.
            topics: Its topics.
        """
        if run_context.user_id is None:
            return _NO_USER
        new = UserMemory(memory=memory, topics=topics or [], user_id=run_context.user_id)
        return json.dumps(_shown(self._store.upsert_user_memory(new)), ensure_ascii=False)

    def update_memory(
        self, memory_id: str, run_context: RunContext, memory: str | None = None, topics: list[str] | None = None
    ) -> str:
        """Change a fact about the user.

        Args:
            memory_id: The ID of the fact.
            memory: The fact as it is now, in a sentence. Omit it to change the topics alone.
            topics: Its topics. Omit them to keep them.
        """
        if run_context.user_id is None:
            return _NO_USER
        known = next((each for each in self._memories(run_context.user_id) if each.memory_id == memory_id), None)
        if known is None:
            return f"There is no memory {memory_id!r} of this user; get_memories lists them."
        read_at = known.updated_at
        known.memory = known.memory if memory is None else memory
        known.topics = known.topics if topics is None else topics
        changed = self._store.update_user_memory(known, expected_updated_at=read_at)
        if changed is None:
            return f"The memory {memory_id!r} was changed in the meantime; read it again with get_memories."
        return json.dumps(_shown(changed), ensure_ascii=False)

    def delete_memory(self, memory_id: str, run_context: RunContext) -> str:
        """Forget a fact about the user.

        Args:
            memory_id: The ID of the fact.
        """
        if run_context.user_id is None:
            return _NO_USER
        if self._store.delete_user_memory(memory_id, run_context.user_id):
            return "Forgotten."
        return f"There is no memory {memory_id!r} of this user; get_memories lists them."

    def _memories(self, user_id: str) -> list[UserMemory]:
        return self._store.get_user_memories(user_id)


def _shown(memory: UserMemory) -> dict[str, Any]:
    return {"memory_id": memory.memory_id, "memory": memory.memory, "topics": memory.topics}
