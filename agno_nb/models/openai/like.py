"""agno's path. Any server with the Chat Completions API is an OpenAIChat with a `base_url`."""

from agno_nb.models.openai.chat import OpenAIChat as OpenAILike

__all__ = ["OpenAILike"]
