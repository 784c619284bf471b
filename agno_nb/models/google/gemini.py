"""Gemini, through Google's OpenAI-compatible endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.models.openai.chat import OpenAIChat
from agno_nb.models.openai.client import MODEL_ALIASES


@suggest_on_unknown_kwarg(MODEL_ALIASES)
@dataclass(kw_only=True, repr=False, eq=False)
class Gemini(OpenAIChat):
    """A Gemini model.

    The key is read from `GEMINI_API_KEY` or `GOOGLE_API_KEY`. To use another endpoint with the Chat Completions API,
    set `GOOGLE_GEMINI_BASE_URL`.

    Examples
    --------
    >>> Gemini("gemini-2.5-flash").endpoint.host
    'generativelanguage.googleapis.com'
    """

    id: str = field(default="gemini-2.5-flash", kw_only=False)
    provider: str = "google"

    home: ClassVar[str] = "google"
