"""Steps of agno's workflows: their results, and what they need from a person."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from agno_nb.integrations.agno_conversion import answer, input_fields, requirement_of_dict
from agno_nb.types import (
    JsonDict,
    Requirement,
    StepKind,
    StepOutput,
    StepStatus,
    ToolCall,
    UserInputField,
    name_in_path,
    new_id,
    to_plain_text,
)

_ROUTES = "routes"
_KINDS: dict[str, StepKind] = {
    "Steps": "steps",
    "Loop": "loop",
    "Parallel": "parallel",
    "Condition": "condition",
    "Router": "router",
    "Workflow": "workflow",
}


class StepPaths:
    """The steps of a workflow run that have started, by agno's ID."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._started: dict[str, float] = {}
        self._ended: set[str] = set()
        self._latest: str | None = None
        self.last_content: str | None = None
        """Output of the step that ended last."""

    def start(self, event: Any) -> str:
        """Return the path of a step or group that starts."""
        path = self.path_of(event)
        self._paths[event.step_id or path], self._started[path] = path, time.perf_counter()
        self._latest = path
        return path

    def path_of(self, event: Any) -> str:
        """Return the path of the step of an event."""
        if event.step_id in self._paths:
            return self._paths[event.step_id]
        around = self._paths.get(getattr(event, "parent_step_id", None) or "")
        name = name_in_path(event.step_name or "step")
        return f"{around}/{name}" if around else name

    def path_around(self, source: Any) -> str | None:
        """Return the path of the step that runs the agent, team or workflow of an event or a result."""
        ids = (getattr(source, name, None) for name in ("step_id", "workflow_step_id", "parent_step_id"))
        return next((self._paths[each] for each in ids if each in self._paths), self._latest)

    def unseen(self, results: Iterable[Any]) -> Iterator[StepOutput]:
        """Return the results of the steps whose end was not streamed, for example because they were skipped."""
        for each in results:
            if isinstance(each, list):
                yield from self.unseen(each)
            elif each.step_id and each.step_id not in self._ended and not each.steps:
                output = self._to_output(each, each, error=None if each.success else each.error)
                output.status = StepStatus.COMPLETED if each.success else StepStatus.SKIPPED
                yield output

    def end(self, event: Any, *, error: str | None = None) -> StepOutput:
        """Return the result of a step that ends."""
        result = getattr(event, "step_response", None)
        return self._to_output(event, result, error=error or getattr(result, "error", None))

    def _to_output(self, event: Any, result: Any, *, error: str | None) -> StepOutput:
        path = self.path_of(event)
        self._ended.add(event.step_id or path)
        content = getattr(event, "content", None)
        self.last_content = None if content is None else to_plain_text(content)
        return StepOutput(
            content if content is None or isinstance(content, dict | list) else to_plain_text(content),
            success=getattr(result, "success", error is None),
            stop=bool(getattr(result, "stop", False)),
            error=error,
            step_name=event.step_name or path,
            path=path,
            kind=_kind(result),
            status=StepStatus.COMPLETED if error is None else StepStatus.ERROR,
            run_id=getattr(result, "step_run_id", None),
            duration_s=time.perf_counter() - self._started.get(path, time.perf_counter()),
        )


def _kind(result: Any) -> StepKind:
    executor = getattr(result, "executor_type", None)
    if executor in ("agent", "team", "workflow", "function"):
        kind: StepKind = executor
        return kind
    step_type = getattr(result, "step_type", None)
    return _KINDS.get(getattr(step_type, "value", step_type) or "", "function")


def step_requirements(asked: Any, run_id: str, workflow_name: str | None) -> list[Requirement]:
    """Return what the step of a paused workflow needs itself, and not the agent that it runs."""
    if asked.requires_executor_input:
        return []
    shown: JsonDict = {}
    for message in (asked.confirmation_message, asked.user_input_message, asked.output_review_message):
        if message:
            shown["message"] = message
    if asked.requires_output_review and asked.step_output is not None:
        shown["output"] = to_plain_text(asked.step_output.content)
    call = ToolCall(
        tool_call_id=new_id(),
        tool_name=asked.step_name or asked.step_id,
        arguments=json.dumps(shown, ensure_ascii=False, default=str),
    )
    kind = "confirmation" if asked.needs_confirmation or asked.needs_output_review else "user_input"
    if kind == "user_input":
        call.user_input_schema = [_routes(asked)] if asked.requires_route_selection else _fields(asked)
    return [
        Requirement(kind=kind, tool=call, run_id=run_id, component_name=workflow_name)  # type: ignore[arg-type]
    ]


def _fields(asked: Any) -> list[UserInputField]:
    return input_fields(asked.user_input_schema) or [UserInputField(name="input", schema={"type": "string"})]


def _routes(asked: Any) -> UserInputField:
    one: JsonDict = {"enum": list(asked.available_choices or ())}
    several = {"type": "array", "items": one, "minItems": 1}
    return UserInputField(name=_ROUTES, schema=several if asked.allow_multiple_selections else one)


def answer_step(asked: Any, requirements: list[Requirement]) -> None:
    """Give the answers of a person to what a step of a paused workflow needs, and mark them as used."""
    if asked.requires_executor_input:
        asked.executor_requirements = [requirement_of_dict(each) for each in asked.executor_requirements or ()]
        answers = {each.requirement_id: each for each in requirements}
        for each in asked.executor_requirements:
            if not each.is_resolved() and each.id in answers:
                answer(each, answers[each.id])
        return
    requirement = next(each for each in requirements if not each.tool.is_finished)
    values = {each.name: each.value for each in requirement.user_input_fields}
    if requirement.confirmed is False:
        asked.reject(requirement.note)
    elif requirement.kind == "confirmation":
        asked.confirm()
    elif asked.requires_route_selection:
        chosen = values[_ROUTES]
        asked.select(*(chosen if isinstance(chosen, list) else [chosen]))
    else:
        asked.set_user_input(**values)
    requirement.tool.result = "rejected" if requirement.confirmed is False else "answered"
    requirement.tool.is_finished = True
