"""What is remembered of users, across their sessions."""

from __future__ import annotations

from agno_nb.memory.manager import MemoryManager
from agno_nb.types import UserMemory

__all__ = ["MemoryManager", "UserMemory"]
