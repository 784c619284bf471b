"""Judge runs, and use what was learned."""

from agno_nb.experiments.annotations import annotate, annotate_df, as_examples

__all__ = ["annotate", "annotate_df", "as_examples"]
