"""How the demo model leads a team."""

from __future__ import annotations

from tests.models.demo.talking import TEXT, Talk, function

MEMBERS = "<team_members>\n- weather-desk: Knows the weather\n- penguins: Weighs penguins\n</team_members>"
ONE = function("delegate_task_to_member", "Have a member do a task.", "member_id task", member_id=TEXT, task=TEXT)
ALL = function("delegate_task_to_members", "Have all members do a task.", "task", task=TEXT)


def leader(tool: dict[str, object] = ONE) -> Talk:
    return Talk([tool], run=lambda name, arguments: f"of {arguments['task']}", system=MEMBERS)


def test_a_task_goes_to_the_member_whose_role_has_words_of_it() -> None:
    talk = leader()
    assert talk.ask("Is the weather fine?") == "**weather-desk**: of Is the weather fine?"
    assert talk.calls == [("delegate_task_to_member", {"member_id": "weather-desk", "task": "Is the weather fine?"})]


def test_parts_of_a_prompt_go_to_the_members_that_they_are_for() -> None:
    assert leader().called("How heavy is a penguin and how is the weather? Is it warm?") == [
        ("delegate_task_to_member", {"member_id": "penguins", "task": "How heavy is a penguin"}),
        ("delegate_task_to_member", {"member_id": "weather-desk", "task": "how is the weather? Is it warm?"}),
    ]


def test_what_goes_on_is_for_whoever_was_asked_before() -> None:
    talk = leader()
    talk.ask("How heavy are penguins?")
    assert talk.called("And in winter?") == [
        ("delegate_task_to_member", {"member_id": "penguins", "task": "And in winter?"})
    ]


def test_what_no_member_is_there_for_is_answered_by_the_leader() -> None:
    talk = leader()
    assert talk.ask("What is 3 * 4?") == "3 * 4 = 12"
    assert talk.calls == []


def test_all_members_are_given_the_whole_prompt() -> None:
    talk = leader(ALL)
    talk.run = lambda name, arguments: "weather-desk: rain\n\npenguins: 5 kg"
    assert talk.ask("How is the season?") == "**weather-desk**: rain\n\n**penguins**: 5 kg"
    assert talk.calls == [("delegate_task_to_members", {"task": "How is the season?"})]


def test_what_a_team_puts_into_a_task_is_not_taken_for_the_question() -> None:
    add = function("add", "Add two numbers.", "a b", a={"type": "integer"}, b={"type": "integer"})
    talk = Talk([add], run=lambda name, arguments: "3")
    task = "<team_history>\nuser: add 7 and 8\nteam: 15\n</team_history>\n\nadd 1 and 2"
    assert talk.called(task) == [("add", {"a": 1, "b": 2})]


def test_what_a_team_or_a_workflow_put_in_is_read_and_not_repeated() -> None:
    put_in = "<workflow_history>\ninput: My name is Bo.\noutput: Noted.\n</workflow_history>\n\n"
    assert Talk().ask(f"{put_in}What is my name?") == "You told me: your name is Bo."
    assert (
        Talk()
        .ask(f"{put_in}Where is Oslo?")
        .startswith('I have no knowledge of my own, so I cannot answer "Where is Oslo?".')
    )
