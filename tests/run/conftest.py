from __future__ import annotations

import pytest

from tests.run.clerk import done


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()
