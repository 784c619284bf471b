"""A toolkit with which the model asks the user questions with options."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from agno_nb.tools.toolkit import Toolkit
from agno_nb.tools.user_control_flow import QuestionTool
from agno_nb.types import FeedbackOption, FeedbackQuestion, ToolCall, UserInputField

_INSTRUCTIONS = (
    "If the user has to choose between options that you know, call ask_user with the questions and two to four options "
    "for each, and do not ask in your answer."
)


class AskUserOption(TypedDict):
    """An option to choose."""

    label: str
    description: NotRequired[str | None]


class AskUserQuestion(TypedDict):
    """A question with options."""

    question: str
    header: str
    options: list[AskUserOption]
    multi_select: NotRequired[bool]


class _AskUser(QuestionTool):
    def questions(self, call: ToolCall) -> list[UserInputField]:
        questions: list[AskUserQuestion] = self.parse_arguments(call)["questions"]
        return [
            FeedbackQuestion(
                question=each["question"],
                header=each["header"],
                options=tuple(
                    FeedbackOption(label=option["label"], description=option.get("description"))
                    for option in each["options"]
                ),
                multi_select=each.get("multi_select", False),
            ).to_field()
            for each in questions
        ]


class UserFeedbackTools(Toolkit):
    """The tool `ask_user`, which pauses the run until a person has selected options.

    Parameters
    ----------
    instructions : str, optional
        In place of the default instructions.
    add_instructions : bool, default True
        Add the instructions to the system prompt.
    **settings
        See :class:`Toolkit`.
    """

    def __init__(self, instructions: str | None = None, add_instructions: bool = True, **settings: Any) -> None:
        super().__init__(
            **{"name": "user_feedback_tools", **settings},
            tools=[_AskUser(self.ask_user, requires_user_input=True)],
            instructions=instructions or _INSTRUCTIONS,
            add_instructions=add_instructions,
        )

    def ask_user(self, questions: list[AskUserQuestion]) -> str:
        """Ask the user questions with options to choose from.

        Args:
            questions: The questions, each with a header of one or two words and its options.
        """
        raise NotImplementedError("a person answers this call")
