"""Steps chosen by a function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types import StepKind, StepOutput, StepRequirement
from agno_nb.workflow.cel import compiled
from agno_nb.workflow.execution import Node, WorkflowExecution
from agno_nb.workflow.human_review import HumanReview, takes_review_keywords
from agno_nb.workflow.step import call_step_function
from agno_nb.workflow.steps import StepGroup, StepLike, Steps, run_sequence
from agno_nb.workflow.types import StepInput


@takes_review_keywords
@suggest_on_unknown_kwarg({})
class Router(StepGroup):
    """Steps from which a function chooses.

    Parameters
    ----------
    selector : callable or str, optional
        A sync or async function of the :class:`StepInput`, and of `session_state`, `run_context` and `step_choices`,
        the list of choices, if it has parameters with these names. It returns a choice, the name of one, or a list of
        them to run in sequence. Or a CEL expression of the name. Not needed if a person chooses
        (`requires_user_input`).
    choices : list
        The steps to choose from. A list among them is a choice of steps to run in sequence.
    name : str, optional
    human_review : HumanReview, optional
    """

    kind: ClassVar[StepKind] = "router"

    supported_reviews = frozenset({"confirmation", "user_input", "output_review"})

    def __init__(
        self,
        selector: Callable[..., Any] | str | None = None,
        choices: StepLike = None,
        *,
        name: str = "",
        description: str | None = None,
        human_review: HumanReview | None = None,
    ) -> None:
        # A list is a choice of its own, with the name that agno gives it.
        named = (
            [
                Steps(each, name=f"steps_group_{place}") if isinstance(each, list) else each
                for place, each in enumerate(choices or ())
            ]
            if isinstance(choices, list | tuple)
            else choices
        )
        super().__init__(named, name, description, human_review)
        if selector is None and not (human_review is not None and human_review.requires_user_input):
            raise InvalidInputError(
                f"router {self.name!r} has no selector; pass a function, or requires_user_input=True to ask a person"
            )
        self.selector, self.choices = compiled(selector), self.steps
        duplicates = [each for each, count in Counter(node.name for node in self._nodes).items() if count > 1]
        if duplicates:
            raise InvalidInputError(f"router {self.name!r} has two choices named {duplicates[0]!r}; rename one")

    @property
    def selectable(self) -> list[str]:
        return [node.name for node in self._nodes]

    def decision_of(self, answer: StepRequirement) -> list[str] | None:
        return answer.selected_choices

    async def _run_children(
        self, step_input: StepInput, execution: WorkflowExecution, decision: list[str] | None = None
    ) -> list[StepOutput]:
        async def select() -> list[str]:
            if decision is not None or not callable(self.selector):
                return decision or []
            chosen = await call_step_function(self.selector, step_input, execution, step_choices=[*self._nodes])
            return [self._choice_name(each) for each in (chosen if isinstance(chosen, list) else [chosen])]

        names = await self._decide_once(select, execution)
        by_name = {node.name: node for node in self._nodes}
        unknown = [name for name in names if name not in by_name]
        if unknown:
            raise InvalidInputError(f"router {self.name!r} has no choice {unknown[0]!r}; it has {', '.join(by_name)}")
        return await run_sequence([by_name[name] for name in names], step_input, execution)

    def _choice_name(self, chosen: Any) -> str:
        if isinstance(chosen, str):
            return chosen
        for node, choice in zip(self._nodes, self.steps, strict=True):
            if chosen is node or chosen is choice:
                return node.name
        # A new step created by the selector stands for the choice with its name.
        return chosen.name if isinstance(chosen, Node) else repr(chosen)
