"""agno's path of :class:`Message`."""

from agno_nb._agno_parts import explain_missing_names
from agno_nb.types import Message

__all__ = ["Message"]

explain_missing_names(__name__)
