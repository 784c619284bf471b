"""agno's path of :func:`pprint_run_response`."""

from __future__ import annotations

from agno_nb.printing import pprint_run_response

__all__ = ["pprint_run_response"]
