"""The settings of the prompt: what the model is sent, and which values are replaced where."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agno_nb.agent import Agent
from agno_nb.db.in_memory import InMemoryDb
from agno_nb.errors import InvalidInputError, RunError, UnknownArgumentError
from agno_nb.run.context import RunContext
from agno_nb.team import Team
from agno_nb.testing import ScriptedModel, call
from agno_nb.types import Message
from tests.run.kinds import Make, kind, talk


def sent(said: str = "Hi", *, options: dict[str, Any] | None = None, **settings: Any) -> list[tuple[str, str | None]]:
    """Return role and content of the messages that an agent with these settings sends for its first run."""
    model = ScriptedModel(["Yes."])
    Agent(model, **settings).run(said, **options or {})
    return [(message.role, message.content) for message in model.requests[0].messages]


def system(**settings: Any) -> str | None:
    return sent(**settings)[0][1]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"expected_output": " A haiku "}, "The answer that is expected: A haiku"),
        ({"additional_context": 'As {"a": 1}, {who}', "session_state": {"who": "Ada"}}, 'As {"a": 1}, {who}'),
        ({"name": "Bo", "add_name_to_context": True}, "You are called Bo."),
        ({"add_location_to_context": True, "timezone_identifier": "Europe/Paris"},
         "The user is somewhere in the time zone Europe/Paris."),
        ({"instructions": "Be brief.", "use_instruction_tags": True}, "<instructions>\nBe brief.\n</instructions>"),
        ({"add_dependencies_to_context": True, "dependencies": {"n": 1}}, '<dependencies>\n{"n": 1}\n</dependencies>'),
        ({"system_message": "Only {who}.", "instructions": "no", "session_state": {"who": "Ada"}}, "Only Ada."),
        ({"system_message": Message(role="system", content="{who}"), "session_state": {"who": "Ada"}}, "{who}"),
        ({"instructions": "{who}", "session_state": {"who": "Ada"}, "resolve_in_context": False}, "{who}"),
    ],
    ids=["expected output", "context", "name", "location", "tags", "dependencies", "system", "message", "braces"],
)  # fmt: skip
def test_a_setting_is_part_of_the_system_message(settings: dict[str, Any], text: str) -> None:
    assert system(**settings) == text


@pytest.mark.parametrize(
    "settings", [{"build_context": False, "instructions": "x"}, {"add_location_to_context": False}]
)
def test_without_parts_there_is_no_system_message(settings: dict[str, Any]) -> None:
    assert sent(**settings) == [("user", "Hi")]


def test_the_time_is_that_of_the_run_in_the_zone_and_format_of_the_settings() -> None:
    before = datetime.now(ZoneInfo("Asia/Tokyo")).replace(microsecond=0)
    text = system(add_datetime_to_context=True, timezone_identifier="Asia/Tokyo")
    after = datetime.now(ZoneInfo("Asia/Tokyo"))
    assert text is not None
    assert before <= datetime.fromisoformat(text.removeprefix("It is ").removesuffix(" now.")) <= after
    assert text.endswith("+09:00 now.")
    assert system(add_datetime_to_context=True, datetime_format="%%noon%%") == "It is %noon% now."


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"timezone_identifier": "Europe/Atlantis"}, "'Europe/Atlantis', which is not a time zone; use a name such as"),
        ({"system_message_role": "user"}, "system_message_role is 'user'; use 'system' or 'developer', and"),
        ({"pre_hooks": [5]}, "pre_hooks has 5; pass functions"),
        (
            {"input_schema": int},
            "the input 'Hi' does not follow input_schema int: input: ",
        ),
    ],
    ids=["time zone", "role", "hook", "input"],
)
def test_an_invalid_setting_is_refused_with_the_remedy(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        sent(**setting)


def test_instructions_system_message_and_tools_may_be_functions_of_the_run() -> None:
    def instructions(agent: Agent, session_state: dict[str, Any]) -> list[str]:
        return [f"You are {agent.name}.", f"Be {session_state['mood']}."]

    async def system_message(run_context: RunContext) -> str:
        return f"For {run_context.user_id}, who is {{mood}}."

    def tools(dependencies: dict[str, Any]) -> list[Any]:
        def lookup() -> str:
            """Look it up."""
            return "found"

        return [lookup] if dependencies["may_look"] else []

    model = ScriptedModel(["Yes."] * 3)
    settings: dict[str, Any] = {"name": "Bo", "session_state": {"mood": "calm"}, "user_id": "ada"}
    Agent(model, instructions=instructions, **settings).run("Hi")
    Agent(model, system_message=system_message, **settings).run("Hi")
    Agent(model, tools=tools, dependencies={"may_look": True}).run("Hi")
    assert [request.messages[0].content for request in model.requests] == [
        "- You are Bo.\n- Be calm.",
        "For ada, who is calm.",
        "Hi",
    ]
    assert [[tool.name for tool in request.tools] for request in model.requests] == [[], [], ["lookup"]]


def test_a_function_that_is_no_setting_is_an_error_with_the_remedy() -> None:
    def get_weather(city: str) -> str:
        return city

    with pytest.raises(InvalidInputError, match=r"'city'; it can only have .*pass a list, tools=\[...\]"):
        Agent(ScriptedModel([]), tools=get_weather).run("Hi")
    with pytest.raises(RunError, match="the function in instructions failed: ZeroDivisionError"):
        Agent(ScriptedModel([]), instructions=lambda: 1 / 0).run("Hi")
    with pytest.raises(InvalidInputError, match="result of the function in instructions is 5; pass"):
        Agent(ScriptedModel([]), instructions=lambda: 5).run("Hi")


def test_names_in_the_users_text_are_replaced_unless_a_model_or_a_cell_wrote_it() -> None:
    settings: dict[str, Any] = {"session_state": {"who": "Ada"}, "metadata": {"m": 2}}
    text = 'I am {who}, {m}; {other} and {"who": 1}'
    assert sent(text, **settings) == [("user", 'I am Ada, 2; {other} and {"who": 1}')]
    assert sent(text, **settings, resolve_in_context=False) == [("user", text)]
    assert sent(text, **settings, options={"variables": []}) == [("user", text)]
    assert sent("{who}", session_state={"who": "{n}", "n": 1}) == [("user", "{n}")]


@pytest.mark.parametrize("options", [{}, {"dependencies": {"api_token": "t0"}}], ids=["of the agent", "of the call"])
def test_the_users_text_does_not_read_dependencies(options: dict[str, Any]) -> None:
    settings: dict[str, Any] = {} if options else {"dependencies": {"api_token": lambda: "t0"}}
    messages = sent("Tell me {api_token}", instructions="Use {api_token}.", **settings, options=options)
    assert messages == [("system", "Use t0."), ("user", "Tell me {api_token}")]


def test_the_message_is_stored_as_sent_and_the_input_as_passed() -> None:
    db = InMemoryDb()
    run = Agent(ScriptedModel(["Yes."]), db=db, instructions="Hm").run("{n}", session_state={"n": 7}, session_id="s")
    stored = db.get_run(run.run_id)
    assert stored is not None
    assert (stored.input, [message.content for message in stored.messages]) == ("{n}", ["Hm", "7", "Yes."])


@kind
def test_context_of_one_run_takes_precedence(make: Make) -> None:
    model = ScriptedModel(["Yes."])
    run = make(model).run("Hi", session_state={"n": 1}, add_session_state_to_context=True)
    assert run.content == "Yes."
    if run.kind != "workflow":
        contents = [message.content or "" for message in talk(run).messages if message.role == "system"]
        assert contents[0].endswith('<session_state>\n{"n": 1}\n</session_state>')


def test_an_introduction_is_the_first_turn_of_a_new_session() -> None:
    db, model = InMemoryDb(), ScriptedModel(["One.", "Two."])
    agent = Agent(model, db=db, introduction="Welcome.", add_history_to_context=True)
    agent.run("First", session_id="s")
    agent.run("Second", session_id="s")
    assert [[message.content for message in request.messages] for request in model.requests] == [
        ["Welcome.", "First"],
        ["Welcome.", "First", "One.", "Second"],
    ]
    assert [(run.run_index, run.input, run.content) for run in db.get_runs("s")] == [
        (0, "", "Welcome."),
        (1, "First", "One."),
        (2, "Second", "Two."),
    ]


def test_the_stored_state_can_be_overwritten() -> None:
    db = InMemoryDb()
    agent = Agent(ScriptedModel(["1", "2", "3"]), db=db, session_id="s", session_state={"a": 1})
    agent.run("Hi", session_state={"b": 2})
    assert agent.run("Hi", session_state={"c": 3}).session_state == {"a": 1, "b": 2, "c": 3}
    other = agent.deep_copy(update={"overwrite_db_session_state": True})
    assert other.run("Hi", session_state={"d": 4}).session_state == {"a": 1, "d": 4}
    assert agent.overwrite_db_session_state is False


def test_a_copy_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(UnknownArgumentError, match="has no setting 'nam': did you mean \"name\""):
        Agent("demo").deep_copy(update={"nam": "x"})


def test_settings_as_a_dict_make_the_same_agent_again() -> None:
    from agno_nb.models.openai import OpenAIChat

    model = OpenAIChat("m", base_url="http://localhost:1/v1", temperature=0.5, api_key="sk-secret-secret")
    agent = Agent(model, name="Bo", instructions=["a", "b"], tools=[len], dependencies={"x": 1}, num_history_runs=7)
    config = agent.to_dict()
    assert config == {
        "model": {"model": "openai:m@http://localhost:1/v1", "temperature": 0.5},
        "name": "Bo",
        "instructions": ["a", "b"],
        "num_history_runs": 7,
    }
    again = Agent.from_dict(config, tools=[len])
    assert again.to_dict() == config
    assert again.resolved_model.to_dict() == model.to_dict()
    agent.set_id()
    assert agent.id == "bo"


def test_settings_as_a_dict_have_no_keys() -> None:
    key = "sk-proj-4f9a8b7c6d5e4f3a2b1c"
    agent = Agent(
        name="Bo",
        instructions=["Be brief.", f"Use {key}."],
        additional_context=f"The key: {key}",
        metadata={"source": key, "n": 1},
        session_state={"shop": {"password": "hunter2", "city": "Oslo"}},
    )
    assert agent.to_dict() == {
        "name": "Bo",
        "instructions": ["Be brief.", "Use [redacted]."],
        "additional_context": "The key: [redacted]",
        "metadata": {"source": "[redacted]", "n": 1},
        "session_state": {"shop": {"city": "Oslo"}},
    }
    assert agent.session_state == {"shop": {"password": "hunter2", "city": "Oslo"}}


@pytest.mark.parametrize("name", ["api_key", "base_url", "stream", "extra_headers", "__class__"])
def test_a_dict_sets_only_the_settings_of_a_model_that_it_may_have(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"has no setting '{name}' for a dict; it has temperature, top_p"):
        Agent.from_dict({"model": {"model": "openai:m@http://localhost:1/v1", name: "x"}})


def test_stream_of_the_agent_is_the_default_of_its_runs_but_not_of_members() -> None:
    member = Agent(ScriptedModel(["From a member."]), name="poet", stream=True)
    leader = ScriptedModel([call("delegate_task_to_member", member_id="poet", task="x"), "Done."])
    events = Team([member], model=leader, stream=True, stream_events=True).run("Hi")
    names = [str(event.event) for event in events]  # type: ignore[attr-defined]
    assert names[0] == "TeamRunStarted"
    assert "TeamToolCallCompleted" in names
    assert Agent(ScriptedModel(["Yes."]), stream=True).run("Hi", stream=False).content == "Yes."


def test_the_number_of_runs_in_a_search_of_past_sessions() -> None:
    db = InMemoryDb()
    Agent(ScriptedModel(["1", "2"]), db=db, session_id="old").run("First")
    Agent(ScriptedModel(["1", "2"]), db=db, session_id="old").run("Second")
    model = ScriptedModel([call("search_past_sessions"), "Done."])
    agent = Agent(model, db=db, search_past_sessions=True, num_past_session_runs_in_search=1)
    result = agent.run("What did we say?").tools[0].result or ""
    assert "First" in result
    assert "Second" not in result
