"""Requirements of tests on the machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Report a missing requirement: the test is skipped, or fails if `CI` is set."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI runs everything", pytrace=False)
    pytest.skip(what)
