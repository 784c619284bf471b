"""Models with OpenAI's two APIs, at OpenAI and other servers."""

from __future__ import annotations

from agno_nb.models.openai.chat import OpenAIChat
from agno_nb.models.openai.profiles import Profile
from agno_nb.models.openai.responses import OpenAIResponses

__all__ = ["OpenAIChat", "OpenAIResponses", "Profile", "preload"]


def preload() -> None:
    """Import the SDK, so that the first request doesn't wait half a second for it."""
    import openai  # noqa: F401
