"""agno's path of :func:`pprint_run_response` and its async version."""

from __future__ import annotations

from agno_nb.printing import apprint_run_response, pprint_run_response

__all__ = ["apprint_run_response", "pprint_run_response"]
