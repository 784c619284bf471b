"""Google's models."""

from __future__ import annotations

from agno_nb.models.google.gemini import Gemini

__all__ = ["Gemini"]
