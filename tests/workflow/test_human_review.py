"""Steps that wait for a person: approval, values, routes, reviews and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, RunError
from agno_nb.run.workflow import WorkflowRunEvent
from agno_nb.testing import FunctionModel, call
from agno_nb.types import RunOutput, RunStatus, StepRequirement
from agno_nb.workflow import Condition, HumanReview, Loop, Parallel, Router, Step, StepInput, Steps, Workflow, pause
from agno_nb.workflow.types import UserInputField

from .flows import agent, results, upper

Answer = Callable[[StepRequirement], None]


def exclaim(step_input: StepInput) -> str:
    return f"{step_input.message}!"


def workflow(*steps: Any) -> Workflow:
    return Workflow([*steps], name="Line", db=InMemoryDb())


def answered(line: Workflow, answer: Answer, text: str = "hi") -> RunOutput:
    """Run a workflow and answer all its questions, each time as another process would: from the store."""
    run = line.run(text, session_id="s")
    while run.is_paused:
        stored = line.store.get_run(run.run_id)
        assert stored is not None
        for requirement in stored.active_requirements:
            assert isinstance(requirement, StepRequirement)
            answer(requirement)
        run = line.continue_run(stored)
    return run


def approve(requirement: StepRequirement) -> None:
    requirement.confirm()


def reject(requirement: StepRequirement) -> None:
    requirement.reject("no")


@pytest.mark.parametrize(
    ("step", "answer", "content"),
    [
        pytest.param(Step(executor=upper, requires_confirmation=True), approve, "HI!", id="approved step"),
        pytest.param(Step(executor=upper, requires_confirmation=True), reject, "hi!", id="skipped step"),
        pytest.param(Steps([upper, exclaim], requires_confirmation=True), approve, "HI!!", id="approved steps"),
        pytest.param(Steps([upper, exclaim], requires_confirmation=True), reject, "hi!", id="skipped steps"),
        pytest.param(Loop([upper], requires_confirmation=True), reject, "hi!", id="skipped loop"),
        pytest.param(
            Condition(steps=[upper], else_steps=[exclaim], requires_confirmation=True), approve, "HI!", id="condition"
        ),
        pytest.param(
            Condition(False, [upper], [exclaim], requires_confirmation=True), reject, "hi!!", id="rejected condition"
        ),
        pytest.param(
            Condition(True, [upper], [exclaim], requires_confirmation=True, on_reject="skip"),
            reject,
            "hi!",
            id="skipped condition",
        ),
        pytest.param(
            Router(lambda given: "upper", [upper, exclaim], requires_confirmation=True), approve, "HI!", id="router"
        ),
    ],
)
def test_a_person_approves_steps_and_groups(step: Any, answer: Answer, content: str) -> None:
    assert answered(workflow(step, exclaim), answer).content == content


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(lambda step: Steps([step]), id="steps"),
        pytest.param(lambda step: Parallel(step, exclaim), id="parallel"),
        pytest.param(lambda step: Loop([step]), id="loop"),
        pytest.param(lambda step: Workflow([step], name="inner"), id="workflow"),
    ],
)
def test_a_rejection_can_end_the_workflow_from_any_depth(around: Callable[[Any], Any]) -> None:
    asks = Step("ask", executor=upper, human_review=HumanReview(requires_confirmation=True, on_reject="cancel"))
    run = answered(workflow(around(asks), Step("last", executor=exclaim)), reject)
    assert run.status is RunStatus.CANCELLED
    assert run.content.endswith("because a person rejected it: no")
    assert "last" not in [step.step_name for step in run.step_results]


def test_values_reach_functions_and_the_messages_of_agents() -> None:
    fields = [
        UserInputField(name="tone", field_type="str", allowed_values=["dry", "warm"]),
        {"name": "words", "field_type": "int", "required": False},
    ]
    line = workflow(
        Step("write", agent=agent("writer"), requires_user_input=True, user_input_schema=fields),
        Step(
            "show",
            executor=lambda given: [given.message, given.additional_data["user_input"]],
            requires_user_input=True,
            user_input_schema=[{"name": "size", "field_type": "float"}],
        ),
    )
    run = line.run("hi")
    (question,) = run.steps_requiring_user_input
    tone, words = question.user_input_schema
    assert [(each.name, each.field_type, each.required, each.allowed_values) for each in (tone, words)] == [
        ("tone", "str", True, ["dry", "warm"]),
        ("words", "int", False, None),
    ]
    with pytest.raises(InvalidInputError, match="'sad' is not one of"):
        question.set_user_input(tone="sad")
    with pytest.raises(InvalidInputError, match="still needs user input for 'tone' in step 'write'"):
        line.continue_run(run)
    question.set_user_input(tone="dry")
    run = line.continue_run(run)
    run.steps_requiring_user_input[0].user_input = {"size": 1.5}
    assert line.continue_run(run).content == ["<hi\n\nValues given by the user:\n- tone: dry>", {"size": 1.5}]


@pytest.mark.parametrize(
    ("multiple", "chosen", "content"),
    [(False, ["upper"], "HI"), (True, ["upper", "exclaim"], "HI!"), (False, ["steps_group_2"], "hi!!")],
)
def test_a_person_chooses_the_route(multiple: bool, chosen: list[str], content: str) -> None:
    router = Router(
        choices=[upper, exclaim, [exclaim, exclaim]], requires_user_input=True, allow_multiple_selections=multiple
    )

    def select(requirement: StepRequirement) -> None:
        assert requirement.needs_route_selection
        assert requirement.available_choices == ["upper", "exclaim", "steps_group_2"]
        with pytest.raises(InvalidInputError, match="not one of"):
            requirement.select("lower")
        requirement.select(*chosen)

    assert answered(workflow(router), select).content == content


def test_an_output_is_approved_edited_or_skipped() -> None:
    review = HumanReview(requires_output_review=True, output_review_message="Good?")
    line = workflow(Step("draft", executor=upper, human_review=review), exclaim)
    run = line.run("hi")
    (question,) = run.steps_requiring_output_review
    assert question.step_output is not None
    assert (question.step_name, question.message, question.step_output.content) == ("draft", "Good?", "HI")
    assert question.question == "Line: Good?\nHI"
    assert (run.paused_step_name, run.paused_step_index) == ("draft", 0)

    assert answered(line, approve).content == "HI!"
    assert answered(line, lambda each: each.edit("Hi")).content == "Hi!"
    assert answered(line, reject).content == "hi!"
    assert results(answered(line, lambda each: each.edit({"a": 1})))[-2:] == [
        ("draft", {"a": 1}),
        ("exclaim", '{"a": 1}!'),
    ]


def test_a_rejected_output_is_made_again_with_the_reason() -> None:
    line = workflow(
        Step("draft", agent=agent("writer"), requires_output_review=True, on_reject="retry", hitl_max_retries=1),
        exclaim,
    )

    def second_time(requirement: StepRequirement) -> None:
        approve(requirement) if requirement.retry_count else requirement.reject(feedback="shorter")

    run = answered(line, second_time)
    assert results(run) == [
        ("draft", "<hi>"),
        ("draft[1]", "<hi\n\nThis was your last answer:\n<hi>\n\nThe reviewer rejected it: shorter>"),
        ("exclaim", "<hi\n\nThis was your last answer:\n<hi>\n\nThe reviewer rejected it: shorter>!"),
    ]
    run = answered(line, reject)
    assert (run.status, run.content) == (
        RunStatus.CANCELLED,
        "the output of step 'draft[1]' was rejected 2 times",
    )


def test_a_function_decides_which_outputs_are_reviewed() -> None:
    step = Step(executor=upper, human_review=HumanReview(requires_output_review=lambda output: output.content == "HI"))
    assert answered(workflow(step, exclaim), reject, "hi").content == "hi!"
    assert answered(workflow(step, exclaim), reject, "oh").content == "OH!"


def test_after_a_rejected_route_a_person_chooses_another() -> None:
    router = Router(lambda given: "upper", [upper, exclaim], requires_output_review=True, on_reject="retry")
    asked: list[str] = []

    def answer(requirement: StepRequirement) -> None:
        asked.append(f"{requirement.purpose} {requirement.path}")
        if requirement.needs_route_selection:
            requirement.select("exclaim")
        elif requirement.retry_count == 0:
            requirement.reject()
        else:
            requirement.confirm()

    assert answered(workflow(router), answer).content == "hi!"
    assert asked == ["output_review router", "route_selection router[1]", "output_review router[1]"]


def test_approval_of_an_iteration_ends_the_loop() -> None:
    loop = Loop([exclaim], max_iterations=4, requires_iteration_review=True, on_reject="retry")

    def third_time(requirement: StepRequirement) -> None:
        approve(requirement) if requirement.values["output"] == "hi!!!" else reject(requirement)

    assert answered(workflow(loop), third_time).content == "hi!!!"
    assert answered(workflow(loop), reject).content == "hi!!!!"
    assert answered(workflow(loop), lambda each: each.edit("x")).content == "x"


@pytest.mark.parametrize("on_error", ["pause", "skip", "fail"])
@pytest.mark.parametrize("group", [False, True], ids=["step", "group"])
def test_errors_pause_skip_or_fail(on_error: str, group: bool) -> None:
    failures = iter([True, True, False])

    def fails(step_input: StepInput) -> str:
        if next(failures):
            raise ValueError("boom")
        return "done"

    step = Steps([fails], on_error=on_error) if group else Step(executor=fails, on_error=on_error)
    line, asked = workflow(step, exclaim), list[tuple[str | None, str, int]]()

    def retry(requirement: StepRequirement) -> None:
        asked.append((requirement.error_type, requirement.error_message, requirement.retry_count))
        requirement.retry()

    if on_error == "fail":
        with pytest.raises(RunError, match="boom"):
            line.run("hi")
    else:
        assert answered(line, retry).content == ("done!" if on_error == "pause" else "hi!")
    assert asked == ([("ValueError", "boom", 0), ("ValueError", "boom", 1)] if on_error == "pause" else [])


def test_a_person_skips_a_failed_step() -> None:
    def fails(step_input: StepInput) -> str:
        raise ValueError("boom")

    run = workflow(Step(executor=fails, on_error="pause")).run("hi")
    (failed,) = run.steps_with_errors
    assert failed.question == (
        "Line asks what to do about the failed step 'fails'\n"
        "boom (approve to run the step again, reject to skip it)"
    )  # fmt: skip
    assert (
        answered(workflow(Step(executor=fails, on_error="pause"), exclaim), lambda each: each.skip()).content == "hi!"
    )


@pytest.mark.parametrize(
    ("on_timeout", "status", "content"),
    [
        ("approve", RunStatus.COMPLETED, "HI!"),
        ("skip", RunStatus.COMPLETED, "hi!"),
        ("cancel", RunStatus.CANCELLED, "the workflow ended at step 'upper', because nobody answered in time"),
    ],
)
def test_without_an_answer_in_time_the_run_continues(on_timeout: str, status: RunStatus, content: str) -> None:
    review = HumanReview(requires_confirmation=True, timeout=0, on_timeout=on_timeout)
    line = workflow(Step(executor=upper, human_review=review), exclaim)
    run = line.continue_run(line.run("hi"))
    assert (run.status, run.content) == (status, content)
    in_time = HumanReview(requires_confirmation=True, timeout=1000, on_timeout=on_timeout)
    line = workflow(Step(executor=upper, human_review=in_time), exclaim)
    with pytest.raises(InvalidInputError, match="still needs confirmation in step 'upper'"):
        line.continue_run(line.run("hi"))


def test_parallel_steps_ask_together_and_completed_ones_run_once() -> None:
    calls: list[str] = []

    def note(step_input: StepInput) -> str:
        calls.append(step_input.message)
        return "noted"

    line = workflow(
        Parallel(
            Step("a", executor=upper, requires_confirmation=True),
            Step("b", executor=note, requires_output_review=True),
            note,
        )
    )
    run = line.run("hi")
    assert [(each.purpose, each.path) for each in run.step_requirements] == [  # type: ignore[union-attr]
        ("confirmation", "parallel/a"),
        ("output_review", "parallel/b"),
    ]
    assert answered(line, approve).content == "## a\n\nHI\n\n## b\n\nnoted\n\n## note\n\nnoted"
    assert len(calls) == 4  # Two runs, two notes each.


def test_calls_of_an_agent_in_a_step_are_shown_as_in_agno() -> None:
    from agno_nb.tools import tool

    @tool(requires_confirmation=True)
    def send(text: str) -> str:
        """Send a text."""
        return f"sent {text}"

    def model(messages: Any, tools: Any) -> Any:
        return call("send", text="x") if messages[-1].role == "user" else messages[-1].content

    mailer = Agent(FunctionModel(model), tools=[send], name="Mailer")
    line = workflow(Step("mail", agent=mailer, requires_confirmation=True))
    run = line.run("hi")
    run.steps_requiring_confirmation[0].confirm()
    run = line.continue_run(run)
    (step, executor) = run.step_requirements
    assert (step.is_resolved, executor.requires_executor_input) == (True, True)
    assert (executor.step_name, executor.executor_name, executor.executor_type) == ("mail", "Mailer", "agent")  # type: ignore[union-attr]
    executor.executor_requirements[0].confirm()  # type: ignore[union-attr]
    run = line.continue_run(run_id=run.run_id, session_id=run.session_id, step_requirements=run.requirements)  # type: ignore[call-overload]
    assert run.content == "sent x"
    assert [(each.step_id, each.executor_type) for each in run.step_results] == [("mail", "agent")]


def test_events_of_pauses_and_of_their_ends() -> None:
    line = workflow(Step("ask", executor=upper, requires_confirmation=True, confirmation_message="Go?"))
    with line.run("hi", stream=True, stream_events=True) as events:
        seen = list(events)
    assert [event.event for event in seen] == ["WorkflowStarted", "StepPaused", "WorkflowPaused"]
    paused: Any = seen[1]
    assert (paused.step_name, paused.confirmation_message, paused.requires_confirmation) == ("ask", "Go?", True)
    run = seen[-1].run_output
    assert run is not None
    run.steps_requiring_confirmation[0].confirm()
    with line.continue_run(run, stream=True, stream_events=True) as events:
        names = [event.event for event in events]
    assert names == [
        WorkflowRunEvent.workflow_continued,
        WorkflowRunEvent.step_continued,
        WorkflowRunEvent.step_started,
        WorkflowRunEvent.step_completed,
        "RunContent",
        WorkflowRunEvent.workflow_completed,
    ]


def test_the_decorator_pause_is_the_review_of_a_step() -> None:
    @pause(name="Check", requires_confirmation=True, confirmation_message="Go?")
    async def check(step_input: StepInput) -> str:
        return step_input.message.upper()

    run = workflow(check).run("hi")
    assert [(each.step_name, each.confirmation_message) for each in run.steps_requiring_confirmation] == [
        ("Check", "Go?")
    ]


def test_an_answer_cannot_be_changed_after_the_run_has_continued() -> None:
    line = workflow(
        Step("a", executor=upper, requires_confirmation=True), Step("b", executor=upper, requires_confirmation=True)
    )
    run = line.run("hi")
    run.steps_requiring_confirmation[0].confirm()
    line.continue_run(run)
    stored = line.store.get_run(run.run_id)
    assert stored is not None
    with pytest.raises(InvalidInputError, match=r"step 'a'.*has already been answered"):
        stored.requirements[0].reject()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Loop([upper], requires_output_review=True), "Loop 'loop' does not support requires_output_review"),
        (lambda: Parallel(upper, requires_user_input=True), "supports requires_confirmation"),
        (lambda: HumanReview(on_reject="stop"), "pass one of 'skip', 'cancel', 'else', 'retry'"),
        (lambda: HumanReview(max_retries=-1), "max_retries is -1"),
        (lambda: HumanReview(max_retries=None), "max_retries is None; pass a number"),  # type: ignore[arg-type]
        (lambda: HumanReview(timeout="60"), "timeout is '60'; pass seconds"),  # type: ignore[arg-type]
        (lambda: HumanReview(timeout=True), "timeout is True; pass seconds"),
        (lambda: Step(executor=upper, requires_confirmation=True, hitl_timeout=-1), "timeout is -1; pass seconds"),
        (lambda: Router(choices=[upper]), "has no selector"),
        (lambda: UserInputField(name="x", field_type="date"), "field_type of 'x' is 'date'"),
        (lambda: workflow(Step(executor=upper, requires_user_input=True, user_input_schema=["x"])).run("hi"), "dict"),
    ],
)
def test_invalid_reviews(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_edits_are_for_reviews_only() -> None:
    run = workflow(Step(executor=upper, requires_confirmation=True)).run("hi")
    with pytest.raises(InvalidInputError, match="is not a review"):
        run.steps_requiring_confirmation[0].edit("x")


def asking(name: str) -> Step:
    return Step(name, executor=exclaim, requires_confirmation=True)


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        pytest.param([asking("a/b"), Steps([asking("b")], name="a")], ["a/b", "b"], id="slash"),
        pytest.param([asking("s"), asking("s"), asking("s#2")], ["s", "s", "s#2"], id="number of a repeated name"),
        pytest.param([Loop([asking("x")], name="l", max_iterations=1), asking("l[0]/x")], ["x", "l[0]/x"], id="loop"),
        pytest.param([asking("a/b"), asking("a%2Fb")], ["a/b", "a%2Fb"], id="encoded name"),
        pytest.param([asking("50% [C#]"), asking("100%25")], ["50% [C#]", "100%25"], id="plain"),
    ],
)
def test_each_step_has_its_own_approval_whatever_its_name(steps: list[Any], names: list[str]) -> None:
    asked: list[str] = []

    def answer(requirement: StepRequirement) -> None:
        asked.append(requirement.step_name)
        requirement.confirm()

    run = answered(workflow(*steps), answer)
    assert (asked, run.content) == (names, f"hi{'!' * len(names)}")
    assert len({each.path for each in run.requirements if isinstance(each, StepRequirement)}) == len(names)


@pytest.mark.parametrize(
    ("on_timeout", "status"),
    [("approve", RunStatus.COMPLETED), ("skip", RunStatus.COMPLETED), ("cancel", RunStatus.CANCELLED)],
)
def test_a_question_with_optional_values_only_times_out_too(on_timeout: str, status: RunStatus) -> None:
    schema = [UserInputField(name="n", field_type="int", required=False)]
    review = HumanReview(requires_user_input=True, user_input_schema=schema, timeout=0, on_timeout=on_timeout)
    line = workflow(Step(executor=exclaim, human_review=review))
    run = line.continue_run(line.run("hi", session_id="s"))
    assert (run.status, run.content == "hi!") == (status, on_timeout == "approve")
