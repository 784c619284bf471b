"""Models behind the two APIs of OpenAI, at OpenAI and at every server that speaks one of them."""

from __future__ import annotations

from agno_nb.models.openai.chat import OpenAIChat
from agno_nb.models.openai.profiles import Profile
from agno_nb.models.openai.responses import OpenAIResponses

__all__ = ["OpenAIChat", "OpenAIResponses", "Profile", "preload"]


def preload() -> None:
    """Import the SDK, which takes half a second that the first request then does not wait for."""
    import openai  # noqa: F401
