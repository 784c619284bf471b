"""Judge and compare runs, and use what was learned."""

from agno_nb.experiments.annotations import annotate, annotate_df, as_examples
from agno_nb.experiments.run_diff import RunDiff, diff

__all__ = ["RunDiff", "annotate", "annotate_df", "as_examples", "diff"]
