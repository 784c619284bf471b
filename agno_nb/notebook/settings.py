"""Settings of a notebook: ``%config AgnoNb``, ``ipython_config.py`` and environment variables.

Values set in the notebook, also with ``%agent --OPTION VALUE``, take precedence over the configuration file, and the
file over environment variables.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from traitlets import Bool, Enum, Float, Int, TraitError, Unicode, observe, validate
from traitlets.config import Configurable

from agno_nb.errors import InvalidInputError

RERUNS = ("replace", "append", "branch")
FORMATS = ("md", "text", "json", "code")
"""Values of ``%%agent -f``."""


class AgnoNb(Configurable):
    """Defaults of ``%agent`` and ``%%agent``."""

    model = Unicode(
        None,
        allow_none=True,
        help='The model, for example "openai:gpt-5-mini". By default the first configured one, otherwise "demo".',
    ).tag(config=True)
    db = Unicode("agno_nb.duckdb", help="The DuckDB file of the store, next to the notebook.").tag(config=True)
    user = Unicode(None, allow_none=True, help="The current user.").tag(config=True)
    history = Int(10, help="Number of recent runs to send with each prompt.").tag(config=True)
    budget = Float(
        None, allow_none=True, help="Cost limit of a session in US dollars. By default there is no limit."
    ).tag(config=True)
    summaries = Bool(False, help="Summarize the session, and send the summary with each prompt.").tag(config=True)
    rerun = Enum(
        RERUNS,
        "replace",
        help="Effect of rerunning a cell: replace its turn, append a new one, or branch before it.",
    ).tag(config=True)
    cache = Bool(False, help="Return the stored answer if the same question was asked in the same context.").tag(
        config=True
    )
    replay = Bool(False, help="Another name for `cache`.").tag(config=True)
    instructions = Unicode(None, allow_none=True, help="System prompt of the notebook's agent.").tag(config=True)
    instructions_file = Unicode(
        None, allow_none=True, help="A text file next to the notebook with the instructions."
    ).tag(config=True)

    def __init__(self, parent: Any = None, before_config: Callable[[], object] = lambda: None) -> None:
        self._before_config = before_config
        configured = {} if parent is None else parent.config.get("AgnoNb", {})
        super().__init__(parent=parent)
        if "cache" in configured or "replay" in configured:
            configured = {**configured, "cache": self.cache, "replay": self.cache}
        for name, trait in self.class_own_traits(config=True).items():
            # AGNO_NB_MODEL is read by resolve_model(), which also serves agents outside of notebooks.
            variable = environment_variable(name)
            text = "" if name == "model" or name in configured else os.environ.get(variable, "")
            try:
                if text:
                    setattr(self, name, trait.from_string(text))
            except (TraitError, ValueError) as error:
                raise InvalidInputError(f"invalid {variable}={text!r}: {error}") from None
        self._apply: dict[str, Callable[[Any], None]] = {}
        self.observe(self._changed)

    def update_config(self, config: Any) -> None:
        """Change settings with ``%config``."""
        # Makes the notebook with the old values if it doesn't exist, so that it can refuse new ones.
        self._before_config()
        super().update_config(config)

    @property
    def are_defaults(self) -> bool:
        """Whether every setting has its default."""
        traits = self.class_own_traits(config=True)
        return all(getattr(self, name) == trait.default_value for name, trait in traits.items())

    @validate("history")
    def _check_history(self, proposal: Any) -> int:
        if proposal.value < 0:
            raise TraitError(f"pass a number of runs, 0 or more, not {proposal.value}")
        return int(proposal.value)

    @observe("cache", "replay")
    def _update_other_name(self, change: Any) -> None:
        self.cache = self.replay = change.new

    def bind(self, apply: dict[str, Callable[[Any], None]]) -> None:
        """Set the function that applies a change of each setting. If it raises, the setting keeps its value."""
        self._apply = apply

    def change(self, name: str, value: Any) -> None:
        """Change a setting like ``%config``, and apply it even if it already has the value."""
        try:
            if getattr(self, name) == value:
                self._apply.get(name, lambda value: None)(value)
            else:
                setattr(self, name, value)
        except TraitError as error:
            raise InvalidInputError(f"invalid --{name}: {error}") from None

    def _changed(self, change: Any) -> None:
        try:
            self._apply.get(change.name, lambda value: None)(change.new)
        except Exception:
            self.unobserve(self._changed)
            setattr(self, change.name, change.old)
            self.observe(self._changed)
            raise


def environment_variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"AGNO_NB_{name.upper()}"
