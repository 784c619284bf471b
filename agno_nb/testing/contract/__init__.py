"""What every store does, as tests: for authors of a store. Needs pytest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db

_TOPICS = (
    "cells", "forks", "frames", "history", "media", "memories", "redaction", "runs", "sessions", "state", "steps",
    "views",
)  # fmt: skip
# Before they are imported, so that a failing assertion shows its values.
pytest.register_assert_rewrite(*(f"{__name__}.{topic}" for topic in _TOPICS))

from agno_nb.testing.contract.cells import CellsContract  # noqa: E402
from agno_nb.testing.contract.forks import ForksContract  # noqa: E402
from agno_nb.testing.contract.frames import FramesContract  # noqa: E402
from agno_nb.testing.contract.history import HistoryContract  # noqa: E402
from agno_nb.testing.contract.media import MediaContract  # noqa: E402
from agno_nb.testing.contract.memories import MemoriesContract  # noqa: E402
from agno_nb.testing.contract.redaction import RedactionContract  # noqa: E402
from agno_nb.testing.contract.runs import RunsContract  # noqa: E402
from agno_nb.testing.contract.sessions import SessionsContract  # noqa: E402
from agno_nb.testing.contract.state import StateContract  # noqa: E402
from agno_nb.testing.contract.steps import StepsContract  # noqa: E402
from agno_nb.testing.contract.views import ViewsContract  # noqa: E402

__all__ = ["StoreContract"]


class StoreContract(
    RunsContract,
    SessionsContract,
    HistoryContract,
    MediaContract,
    MemoriesContract,
    ForksContract,
    StateContract,
    StepsContract,
    ViewsContract,
    FramesContract,
    RedactionContract,
    CellsContract,
):
    """The contract of :class:`agno_nb.db.base.Db`: a subclass that makes a store runs all of it under pytest.

    Examples
    --------
    In a test file::

        class TestMyDb(StoreContract):
            def make_db(self, folder: Path) -> Db:
                return MyDb(folder / "store")

    A store that needs fixtures overrides the fixture `db` instead.
    """

    def make_db(self, folder: Path) -> Db:
        """Return a store in which nothing is. `folder` is empty, and the test's own."""
        raise NotImplementedError(f"{type(self).__name__} must have make_db(folder), which returns an empty store")

    @pytest.fixture
    def db(self, tmp_path: Path) -> Iterator[Db]:
        """Give the store to a test, and close it afterwards."""
        store = self.make_db(tmp_path)
        yield store
        store.close()
