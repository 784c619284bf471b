"""agno's paths of values that a store keeps."""

from agno_nb._agno_parts import explain_missing_names
from agno_nb.types import UserMemory

__all__ = ["UserMemory"]

explain_missing_names(__name__)
