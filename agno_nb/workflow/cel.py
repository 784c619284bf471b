"""Conditions, routes and ends of loops as expressions in CEL, the Common Expression Language (https://cel.dev).

They need the package cel-python. An expression can use:

- in conditions and routers: `input`, `previous_step_content`, `previous_step_outputs` (text by step name),
  `additional_data`, `session_state`; in routers also `step_choices`, the names;
- in loops: `current_iteration` (from 1), `max_iterations`, `all_success`, `last_step_content` and `step_outputs` (text
  by step name), of the latest iteration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.tools.result import to_text
from agno_nb.types import JsonDict, StepOutput
from agno_nb.workflow.execution import Node
from agno_nb.workflow.types import StepInput

CEL_AVAILABLE = find_spec("celpy") is not None
"""Whether cel-python is installed."""


@suggest_on_unknown_kwarg({})
def validate_cel_expression(expression: str) -> bool:
    """Return whether `expression` can be compiled."""
    try:
        _compile(expression)
    except InvalidInputError:
        return False
    return True


def compiled(condition: Any) -> Any:
    """Return a condition as given or, if it is a string, the function that evaluates the expression.

    Raises
    ------
    InvalidInputError
        The expression is not valid, or cel-python is not installed.
    """
    return _compile(condition) if isinstance(condition, str) else condition


def _compile(expression: str) -> Callable[..., Any]:
    try:
        celpy = import_module("celpy")
    except ImportError:
        raise InvalidInputError(
            f"the expression {expression!r} needs cel-python; install it with `pip install cel-python`, or pass a "
            "function"
        ) from None
    environment = celpy.Environment()
    try:
        program = environment.program(environment.compile(expression))
    except celpy.CELParseError as error:
        raise InvalidInputError(f"{expression!r} is not a CEL expression: {error}") from None

    def evaluate(
        argument: StepInput | list[StepOutput],
        session_state: JsonDict,
        step_choices: Iterable[Node] = (),
        current_iteration: int = 0,
        max_iterations: int = 0,
    ) -> Any:
        if isinstance(argument, StepInput):
            values = _values_of_input(argument) | {"session_state": session_state}
            values["step_choices"] = [node.name for node in step_choices]
        else:
            values = {
                **{"current_iteration": current_iteration, "max_iterations": max_iterations},
                "all_success": all(output.success for output in argument),
                "last_step_content": to_text(argument[-1].content) if argument else "",
                "step_outputs": _texts({str(output.step_name): output for output in argument}),
            }
        try:
            result = program.evaluate({name: celpy.json_to_cel(value) for name, value in values.items()})
        except celpy.CELEvalError as error:
            # Its other arguments are the values of all names.
            raise InvalidInputError(f"cannot evaluate {expression!r}: {error.args[0]}") from None
        return str(result) if isinstance(result, str) else bool(result)

    return evaluate


def _values_of_input(step_input: StepInput) -> JsonDict:
    content = step_input.previous_step_content
    return {
        "input": step_input.input,
        "previous_step_content": "" if content is None else to_text(content),
        "previous_step_outputs": _texts(step_input.previous_step_outputs),
        "additional_data": step_input.additional_data or {},
    }


def _texts(outputs: Mapping[str, StepOutput]) -> dict[str, str]:
    return {name: "" if output.content is None else to_text(output.content) for name, output in outputs.items()}
