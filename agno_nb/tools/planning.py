"""The base of toolkits with which the model can also plan and check its work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agno_nb.tools.toolkit import Toolkit


class PlanningToolkit(Toolkit):
    """Tools, two further ones for the model's own notes, and instructions with examples.

    Parameters
    ----------
    name : str
    tools : mapping of callable to bool
        The tools, each with whether it is enabled.
    default_instructions : str
        Used if there are no `instructions`.
    enable_think, enable_analyze : bool
        Tools for the model's own notes, which are kept as tool calls of the run.
    all : bool
        Enable all tools.
    instructions : str, optional
    add_instructions : bool
        Add the instructions to the system prompt.
    add_few_shot : bool
        Add `few_shot_examples` to the default instructions.
    few_shot_examples : str, optional
    **settings
        Further settings of :class:`~agno_nb.tools.Toolkit`.
    """

    def __init__(
        self,
        name: str,
        tools: Mapping[Callable[..., Any], bool],
        *,
        default_instructions: str,
        enable_think: bool,
        enable_analyze: bool,
        all: bool,
        instructions: str | None,
        add_instructions: bool,
        add_few_shot: bool,
        few_shot_examples: str | None,
        **settings: Any,
    ) -> None:
        if instructions is None:
            examples = [few_shot_examples] if add_few_shot and few_shot_examples else []
            instructions = "\n".join([default_instructions, *examples])
        offered = {self.think: enable_think, **tools, self.analyze: enable_analyze}
        super().__init__(
            name,
            [tool for tool, is_enabled in offered.items() if is_enabled or all],
            instructions=instructions,
            add_instructions=add_instructions,
            **settings,
        )

    def think(self, thought: str) -> str:
        """Note what you will do with the other tools, before you do it.

        Args:
            thought: Your note.
        """
        return "Noted."

    def analyze(self, analysis: str) -> str:
        """Note whether the results of the other tools are right and complete.

        Args:
            analysis: Your note.
        """
        return "Noted."
