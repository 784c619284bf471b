"""Condense all memories of a user into one."""

from __future__ import annotations

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import ModelError
from agno_nb.event_loop import run_awaiting, run_blocking
from agno_nb.memory.strategies.base import MemoryOptimizationStrategy
from agno_nb.models.base import Model, ModelRequest, complete
from agno_nb.types import Message, UserMemory

_INSTRUCTIONS = """\
The user message lists what is remembered about a user of another assistant. Write all of it as one text in the third \
person, as short as you can without losing a fact. If two facts contradict each other, the later one is right. Answer \
with that text and nothing else."""


@suggest_on_unknown_kwarg({})
class SummarizeStrategy(MemoryOptimizationStrategy):
    """Lets the model write one memory that has the facts of all of them."""

    def optimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        """Return the one memory. Raises a ModelError if the model fails or answers nothing."""
        return run_blocking(self._condense(memories, model), method="optimize()")

    async def aoptimize(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        """Async version of :meth:`optimize`."""
        return await run_awaiting(self._condense(memories, model))

    async def _condense(self, memories: list[UserMemory], model: Model) -> list[UserMemory]:
        if not memories:
            return []
        lines = "\n".join(f"- {' '.join(memory.memory.split())}" for memory in memories)
        messages = [Message(role="system", content=_INSTRUCTIONS), Message(role="user", content=lines)]
        text = ((await complete(model, ModelRequest(messages=messages))).content or "").strip()
        if not text:
            raise ModelError("the model wrote no summary of the memories; they were kept")
        topics = list(dict.fromkeys(topic for memory in memories for topic in memory.topics))
        return [UserMemory(memory=text, topics=topics, user_id=memories[0].user_id)]
