"""Names that programs written for agno import from here."""
