"""A toolkit with which the model runs a workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.tools.planning import PlanningToolkit

if TYPE_CHECKING:
    from agno_nb.run.context import RunContext
    from agno_nb.workflow.workflow import Workflow

_INSTRUCTIONS = (
    "You have a workflow, which you run with run_workflow. Run it if it can do what the user asks for, and give it all "
    "that it needs in its input. Answer from its result."
)


class WorkflowInput(TypedDict):
    """Input of the workflow."""

    input_data: str
    additional_data: NotRequired[dict[str, Any] | None]


@suggest_on_unknown_kwarg({})
class WorkflowTools(PlanningToolkit):
    """The tool `run_workflow`, with which the model runs a workflow in the run's session.

    Parameters
    ----------
    workflow : Workflow
    enable_run_workflow : bool, default True
    enable_think, enable_analyze : bool, default False
        Tools for the model's own notes, which are kept as tool calls of the run.
    all : bool, default False
        Enable all of them.
    instructions : str, optional
        In place of the default instructions.
    add_instructions : bool, default True
        Add the instructions to the system prompt.
    add_few_shot : bool, default False
        Add `few_shot_examples` to the default instructions.
    few_shot_examples : str, optional
    async_mode : bool, default False
        Without effect: the workflow runs on the event loop of the agent's run in any case.
    **settings
        Further settings of :class:`~agno_nb.tools.Toolkit`.

    Examples
    --------
    >>> from agno_nb import Agent, Workflow
    >>> from agno_nb.testing import ScriptedModel, call
    >>> shout = Workflow([lambda step_input: step_input.input.upper()], name="shout")
    >>> model = ScriptedModel([call("run_workflow", input={"input_data": "tea"}), "Done."])
    >>> run = Agent(model, tools=[WorkflowTools(shout)]).run("Shout tea")
    >>> run.tools[0].result, [nested.component_name for nested in run.nested_runs]
    ('TEA', ['shout'])
    """

    def __init__(
        self,
        workflow: Workflow,
        *,
        enable_run_workflow: bool = True,
        enable_think: bool = False,
        enable_analyze: bool = False,
        all: bool = False,
        instructions: str | None = None,
        add_instructions: bool = True,
        add_few_shot: bool = False,
        few_shot_examples: str | None = None,
        async_mode: bool = False,
        **settings: Any,
    ) -> None:
        self.workflow = workflow
        super().__init__(
            "workflow_tools",
            {self.run_workflow: enable_run_workflow},
            default_instructions=_INSTRUCTIONS,
            enable_think=enable_think,
            enable_analyze=enable_analyze,
            all=all,
            instructions=instructions,
            add_instructions=add_instructions,
            add_few_shot=add_few_shot,
            few_shot_examples=few_shot_examples,
            **settings,
        )

    async def run_workflow(self, input: WorkflowInput, run_context: RunContext) -> str:
        """Run the workflow, and get its result.

        Args:
            input: What the workflow works on, as a text, and what else it needs, by name.
        """
        options = run_context.child_options(self.workflow)
        if input.get("additional_data"):
            options["additional_data"] = input["additional_data"]
        run = await self.workflow.arun(input["input_data"], **options)
        return run.get_content_as_string()
