"""User memories by themselves: extract them from messages, and add, read, search, condense and delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal, TypeAlias

from agno_nb._agno_parts import OF_MANAGERS
from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.base import AsyncDb, Db, as_sync
from agno_nb.errors import InvalidInputError, ModelError
from agno_nb.event_loop import run_awaiting, run_blocking
from agno_nb.memory.strategies import (
    MemoryOptimizationStrategy,
    MemoryOptimizationStrategyFactory,
    MemoryOptimizationStrategyType,
)
from agno_nb.memory.writer import MemoryWriter, load_memories
from agno_nb.models.base import Model, ModelRequest, complete
from agno_nb.models.resolve import resolve_model
from agno_nb.run.background_tasks import run_in_order
from agno_nb.run.session_methods import async_variant, async_version_of
from agno_nb.types import JsonDict, Message, UserMemory, as_dict, find_json, whole_number

__all__ = ["MemoryManager", "UserMemory"]

Strategy: TypeAlias = MemoryOptimizationStrategy | MemoryOptimizationStrategyType

DEFAULT_USER = "default"
"""User of memories that a program adds or reads by a manager without saying whose they are, as in agno."""

_SEARCH_INSTRUCTIONS = """\
You find memories for another assistant. Below are the facts that are remembered about a user, each after its \
memory_id. Answer with a JSON object and nothing else: "memory_ids" is a list of the memory_id of each fact that helps \
to answer the query, the most helpful one first. The list is empty if none does."""

_SEARCH_SCHEMA: JsonDict = {
    "type": "object",
    "properties": {
        "memory_ids": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The memory_id of each fact that helps.",
        },
    },
    "required": ["memory_ids"],
    "additionalProperties": False,
}


@suggest_on_unknown_kwarg({}, agno=OF_MANAGERS)
@dataclass(eq=False)
class MemoryManager:
    """Extracts facts about users from their messages and stores them as memories.

    Pass it to an agent with ``update_memory_on_run=True`` or ``enable_agentic_memory=True``, or use it on its own: its
    methods then use the manager's store, or if it has none, the store of the first agent that has the manager. If they
    are called without a `user_id`, they mean the user ``"default"``.

    Examples
    --------
    >>> from agno_nb import DemoModel, InMemoryDb
    >>> manager = MemoryManager(DemoModel(), db=InMemoryDb())
    >>> said = manager.create_user_memories("I live in Lisbon.", user_id="ada")
    >>> [memory.memory for memory in manager.get_user_memories("ada")]
    ['The user lives in Lisbon.']
    """

    model: Model | str | None = None
    """The model that decides what to remember; defaults to the agent's."""
    _: KW_ONLY
    db: Db | AsyncDb | None = None
    """Store for the memories; defaults to the agent's."""
    system_message: str | None = None
    """Instructions for the model; replaces the default ones and `memory_capture_instructions`."""
    memory_capture_instructions: str | None = None
    """Criteria for facts worth remembering; replaces the default."""
    additional_instructions: str | None = None
    """Appended to the instructions."""
    add_memories: bool = True
    """Whether the model has the tool `add_memory`."""
    update_memories: bool = True
    """Whether the model has the tool `update_memory`."""
    delete_memories: bool | None = None
    """Whether the model has the tool `delete_memory`. By default it has it when memories are extracted from messages;
    when a task is given, it forgets a fact by `update_memory`. With False, the model can delete nothing."""
    clear_memories: bool = False
    """Whether the model has the tool `clear_memory`, which deletes all memories of the user, when a task is given."""

    _agents_db: Db | None = field(init=False, default=None, repr=False)
    """The store of the first agent that the manager was given to."""

    def create_user_memories(
        self,
        message: str | None = None,
        messages: Sequence[Message] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
    ) -> str:
        """Extract memories from a user's message, or from messages of a conversation, and store them.

        Answers of an assistant after the last message of the user are left out. The memories are stored as extracted
        by `agent_id` or `team_id`.

        Returns
        -------
        str
            The model's description of the changes.

        Raises
        ------
        InvalidInputError
            There is no store or no message, or `user_id` is empty.
        RunError
            The model failed. Changes that it had already made are kept.
        """
        extract = self._extract(message, messages, user_id, agent_id or team_id)
        return run_blocking(extract, method="create_user_memories()")

    @async_version_of(create_user_memories)
    async def acreate_user_memories(
        self,
        message: str | None = None,
        messages: Sequence[Message] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
    ) -> str:
        return await run_awaiting(self._extract(message, messages, user_id, agent_id or team_id))

    async def _extract(
        self, message: str | None, messages: Sequence[Message] | None, user_id: str | None, component_id: str | None
    ) -> str:
        given = [Message(role="user", content=message)] if message else list(messages or ())
        while given and (given[-1].role != "user" or not given[-1].content):
            del given[-1]
        if not given:
            raise InvalidInputError("there is no message of a user; pass message=... or messages=[...]")
        *earlier, last = given
        text = last.content or ""
        return await self._change(user_id, lambda writer: writer.extract(text, earlier), component_id)

    def update_memory_task(self, task: str, *, user_id: str | None = None) -> str:
        """Change the memories of a user as `task` describes. Returns and raises like :meth:`create_user_memories`."""
        change = self._change(user_id, lambda writer: writer.apply(task))
        return run_blocking(change, method="update_memory_task()")

    @async_version_of(update_memory_task)
    async def aupdate_memory_task(self, task: str, *, user_id: str | None = None) -> str:
        return await run_awaiting(self._change(user_id, lambda writer: writer.apply(task)))

    async def _change(
        self,
        user_id: str | None,
        change: Callable[[MemoryWriter], Coroutine[Any, Any, str]],
        component_id: str | None = None,
    ) -> str:
        writer = MemoryWriter(self, self._own_db(), _user(user_id), component_id=component_id)
        return await asyncio.shield(run_in_order(writer.queue_key, lambda: change(writer)))

    def get_user_memories(self, user_id: str | None = None) -> list[UserMemory]:
        """Return the memories of a user, oldest first, after pending updates."""
        return run_blocking(load_memories(self._own_db(), _user(user_id)), method="get_user_memories()")

    @async_version_of(get_user_memories)
    async def aget_user_memories(self, user_id: str | None = None) -> list[UserMemory]:
        return await run_awaiting(load_memories(self._own_db(), _user(user_id)))

    def get_user_memory(self, memory_id: str, user_id: str | None = None) -> UserMemory | None:
        """Return a memory of a user, or None if the user has no memory with this ID."""
        return next((each for each in self.get_user_memories(user_id) if each.memory_id == memory_id), None)

    def search_user_memories(
        self,
        query: str | None = None,
        limit: int | None = None,
        retrieval_method: Literal["last_n", "first_n", "agentic"] | None = None,
        user_id: str | None = None,
    ) -> list[UserMemory]:
        """Return some memories of a user.

        Parameters
        ----------
        query : str, optional
            Question that the memories should help to answer, if the model chooses them.
        limit : int, optional
            Maximum number of memories.
        retrieval_method : {"last_n", "first_n", "agentic"}, optional
            Which memories: those that were changed last or first, oldest first, or those that the model finds helpful
            for `query`, best first. Default "last_n".
        user_id : str, optional

        Raises
        ------
        InvalidInputError
            The method is unknown, or ``"agentic"`` without a query.
        ModelError
            The model failed, or its answer could not be parsed.
        """
        found = self._search(query, limit, retrieval_method, user_id)
        return run_blocking(found, method="search_user_memories()")

    @async_version_of(search_user_memories)
    async def asearch_user_memories(
        self,
        query: str | None = None,
        limit: int | None = None,
        retrieval_method: Literal["last_n", "first_n", "agentic"] | None = None,
        user_id: str | None = None,
    ) -> list[UserMemory]:
        return await run_awaiting(self._search(query, limit, retrieval_method, user_id))

    async def _search(
        self, query: str | None, limit: int | None, method: str | None, user_id: str | None
    ) -> list[UserMemory]:
        limit = whole_number("limit", limit, least=0)
        if method not in (None, "last_n", "first_n", "agentic"):
            raise InvalidInputError(f"retrieval_method is {method!r}; pass 'last_n', 'first_n' or 'agentic'")
        if method == "agentic" and not query:
            raise InvalidInputError("retrieval_method='agentic' searches for a query; pass query=...")
        known = await load_memories(self._own_db(), _user(user_id))
        if method == "agentic":
            return (await self._find(query or "", known))[:limit] if known else []
        by_change = sorted(known, key=lambda memory: memory.updated_at)
        if limit is None or method == "first_n":
            return by_change[:limit]
        return by_change[max(len(by_change) - limit, 0) :]

    async def _find(self, query: str, known: Sequence[UserMemory]) -> list[UserMemory]:
        """Let the model choose memories."""
        # Models copy small numbers reliably, but not IDs of 36 characters.
        numbered = {str(number): memory for number, memory in enumerate(known, 1)}
        lines = "\n".join(f"- [{number}] {memory.memory}" for number, memory in numbered.items())
        system = Message(role="system", content=f"{_SEARCH_INSTRUCTIONS}\n\n{lines}")
        request = ModelRequest(
            messages=[system, Message(role="user", content=f"The query: {query}")],
            output_schema=_SEARCH_SCHEMA,
            output_name="memory_search",
        )
        content = (await complete(await self._resolved_model(), request)).content or ""
        answers = [as_dict(found.value).get("memory_ids") for found in find_json(content)]
        chosen = next((ids for ids in reversed(answers) if isinstance(ids, list)), None)
        if chosen is None:
            raise ModelError(f"could not parse memory_ids from the model's answer {content[:100]!r}")
        return [numbered[key] for key in dict.fromkeys(map(str, chosen)) if key in numbered]

    def add_user_memory(self, memory: UserMemory, user_id: str | None = None) -> str:
        """Store a memory of a user; return its ID. By default, the user is the memory's own, or else "default"."""
        memory.user_id = _user(memory.user_id if user_id is None else user_id)
        return self._own_db().upsert_user_memory(memory).memory_id

    def replace_user_memory(self, memory_id: str, memory: UserMemory, user_id: str | None = None) -> str:
        """Store a memory in place of the one with this ID; return the ID.

        Raises
        ------
        InvalidInputError
            The memory with this ID belongs to another user.
        """
        memory.memory_id = memory_id
        return self.add_user_memory(memory, user_id)

    def delete_user_memory(self, memory_id: str, user_id: str | None = None) -> bool:
        """Delete a memory of a user; return whether it existed."""
        return self._own_db().delete_user_memory(memory_id, _user(user_id))

    def clear_user_memories(self, user_id: str | None = None) -> None:
        """Delete all memories of a user."""
        self._own_db().clear_memories(_user(user_id))

    def clear(self) -> None:
        """Delete the memories of all users. Does nothing if the manager has no store yet."""
        if self.db is not None or self._agents_db is not None:
            self._own_db().clear_memories()

    def optimize_memories(
        self,
        user_id: str | None = None,
        strategy: Strategy = MemoryOptimizationStrategyType.SUMMARIZE,
        apply: bool = True,
    ) -> list[UserMemory]:
        """Condense the memories of a user; return the new ones.

        A memory that is changed in the meantime stays.

        Parameters
        ----------
        user_id : str, optional
        strategy : MemoryOptimizationStrategy or MemoryOptimizationStrategyType
            How; by default the model writes one memory that has all of them.
        apply : bool
            Whether to store the new memories in place of the old ones.
        """
        known = self.get_user_memories(user_id)
        if not known:
            return []
        model = run_blocking(self._resolved_model(), method="optimize_memories()")
        condensed = _strategy(strategy).optimize(known, model)
        if apply:
            self._replace_all(known, condensed, _user(user_id))
        return condensed

    @async_version_of(optimize_memories)
    async def aoptimize_memories(
        self,
        user_id: str | None = None,
        strategy: Strategy = MemoryOptimizationStrategyType.SUMMARIZE,
        apply: bool = True,
    ) -> list[UserMemory]:
        known = await self.aget_user_memories(user_id)
        if not known:
            return []
        model = await run_awaiting(self._resolved_model())
        condensed = await _strategy(strategy).aoptimize(known, model)
        if apply:
            await asyncio.to_thread(self._replace_all, known, condensed, _user(user_id))
        return condensed

    def _replace_all(self, old: Sequence[UserMemory], new: Sequence[UserMemory], user_id: str) -> None:
        db, kept = self._own_db(), {memory.memory_id for memory in new}
        for memory in new:
            memory.user_id = user_id
            db.upsert_user_memory(memory)
        for memory in old:
            if memory.memory_id not in kept:
                db.delete_user_memory(memory.memory_id, user_id, expected_updated_at=memory.updated_at)

    aget_user_memory = async_variant(get_user_memory)
    aadd_user_memory = async_variant(add_user_memory)
    areplace_user_memory = async_variant(replace_user_memory)
    adelete_user_memory = async_variant(delete_user_memory)
    aclear_user_memories = async_variant(clear_user_memories)
    aclear = async_variant(clear)

    async def _resolved_model(self) -> Model:
        if not isinstance(self.model, Model):
            # In a thread, because it may request the server's list of models.
            self.model = await asyncio.to_thread(resolve_model, self.model)
        return self.model

    def attach(self, db: Db) -> None:
        """Use the store of an agent that the manager was given to, if it has none."""
        self._agents_db = self._agents_db or db

    def _own_db(self) -> Db:
        db = as_sync(self.db) or self._agents_db
        if db is None:
            raise InvalidInputError("this MemoryManager has no store; set db=...")
        return db


def _strategy(strategy: Strategy) -> MemoryOptimizationStrategy:
    if isinstance(strategy, MemoryOptimizationStrategy):
        return strategy
    return MemoryOptimizationStrategyFactory.create_strategy(strategy)


def _user(user_id: str | None) -> str:
    if user_id == "":
        raise InvalidInputError(f"user_id is {user_id!r}; pass the ID of the user whom the memories are about")
    return DEFAULT_USER if user_id is None else user_id
