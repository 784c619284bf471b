"""Models with OpenAI's two APIs, at OpenAI and other servers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from agno_nb.models.openai.profiles import Profile

if TYPE_CHECKING:
    from agno_nb.models.openai.chat import OpenAIChat
    from agno_nb.models.openai.responses import OpenAIResponses

__all__ = ["OpenAIChat", "OpenAIResponses", "Profile"]


def __getattr__(name: str) -> Any:
    # Imported when used: the choice of a model needs the profiles even if it is the demo model.
    module = {"OpenAIChat": "chat", "OpenAIResponses": "responses"}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
