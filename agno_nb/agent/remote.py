"""agno's path of a part that we do not have."""

from agno_nb._agno_parts import fail_import

fail_import(__name__)
