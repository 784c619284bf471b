from __future__ import annotations

import pytest

from agno_nb.db.in_memory import InMemoryDb


@pytest.fixture
def db() -> InMemoryDb:
    return InMemoryDb()
