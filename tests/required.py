"""What a test needs of the machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Say what is not there: the test is skipped, but where `CI` is set it fails, because there everything must run."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; CI runs everything", pytrace=False)
    pytest.skip(what)
