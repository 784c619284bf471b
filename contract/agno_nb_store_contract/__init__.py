"""A pytest suite for storage backends: every implementation of :class:`agno_nb.db.base.Db` passes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agno_nb.db.base import Db

_TOPICS = (
    "annotations", "cells", "concurrency", "deletions", "forks", "frames", "history", "media", "memories", "redaction",
    "runs", "sessions", "state", "steps", "views",
)  # fmt: skip
# Must run before the imports, so that failing assertions show their values.
pytest.register_assert_rewrite(*(f"{__name__}.{topic}" for topic in _TOPICS))

from agno_nb_store_contract.annotations import AnnotationsContract  # noqa: E402
from agno_nb_store_contract.cells import CellsContract  # noqa: E402
from agno_nb_store_contract.concurrency import ConcurrencyContract  # noqa: E402
from agno_nb_store_contract.deletions import DeletionsContract  # noqa: E402
from agno_nb_store_contract.forks import ForksContract  # noqa: E402
from agno_nb_store_contract.frames import FramesContract  # noqa: E402
from agno_nb_store_contract.history import HistoryContract  # noqa: E402
from agno_nb_store_contract.media import MediaContract  # noqa: E402
from agno_nb_store_contract.memories import MemoriesContract  # noqa: E402
from agno_nb_store_contract.redaction import RedactionContract  # noqa: E402
from agno_nb_store_contract.runs import RunsContract  # noqa: E402
from agno_nb_store_contract.sessions import SessionsContract  # noqa: E402
from agno_nb_store_contract.state import StateContract  # noqa: E402
from agno_nb_store_contract.steps import StepsContract  # noqa: E402
from agno_nb_store_contract.views import ViewsContract  # noqa: E402

__all__ = ["StoreContract"]


class StoreContract(
    RunsContract,
    SessionsContract,
    HistoryContract,
    MediaContract,
    MemoriesContract,
    DeletionsContract,
    AnnotationsContract,
    ForksContract,
    StateContract,
    StepsContract,
    ViewsContract,
    FramesContract,
    RedactionContract,
    CellsContract,
    ConcurrencyContract,
):
    """The contract of :class:`agno_nb.db.base.Db`. Subclass it in a test file to test your backend with pytest.

    Examples
    --------
    ::

        class TestMyDb(StoreContract):
            def make_db(self, folder: Path) -> Db:
                return MyDb(folder / "store")

    If your backend needs fixtures, override the fixture `db` instead.
    """

    def make_db(self, folder: Path) -> Db:
        """Return an empty store. `folder` is an empty folder that only this test uses."""
        raise NotImplementedError(f"{type(self).__name__} does not define make_db(); return an empty store from it")

    @pytest.fixture
    def db(self, tmp_path: Path) -> Iterator[Db]:
        """An empty store, closed after the test."""
        store = self.make_db(tmp_path)
        yield store
        store.close()
