"""Values of agno as values of this package."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from agno.media import Image as AgnoImage
from agno.metrics import MessageMetrics
from agno.models.message import Message as AgnoMessage
from agno.models.response import ToolExecution
from agno.run.requirement import RunRequirement
from agno.tools.function import UserInputField as AgnoField

from agno_nb.integrations import agno_conversion as conversion
from agno_nb.media import File, Image
from agno_nb.models import prices
from agno_nb.types import Message, Metrics, RunOutput, ToolCall

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


@pytest.mark.parametrize(
    ("name", "base_url", "provider"),
    [
        ("OpenAI", None, "openai"),
        ("Anthropic", None, "anthropic"),
        ("OpenAI", "http://localhost:11434/v1", "ollama"),
        ("OpenRouter", "https://openrouter.ai/api/v1", "openrouter"),
        ("OpenAI", "https://llm.example.org/v1", "llm.example.org"),
        ("OpenAI", "https://llm.example.org/v1?api_key=secret", None),
        ("", None, None),
    ],
)
def test_the_provider_is_that_of_the_server(name: str, base_url: str | None, provider: str | None) -> None:
    assert conversion.provider_of(name, SimpleNamespace(base_url=base_url)) == provider


def test_the_environment_names_the_server_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://llm.example.org/v1")
    assert conversion.provider_of("OpenAI", SimpleNamespace(base_url=None)) == "llm.example.org"


def test_a_known_model_has_a_cost() -> None:
    reported = MessageMetrics(input_tokens=1_000, output_tokens=100, cache_read_tokens=200)
    metrics = conversion.to_metrics(reported, model="gpt-4o", provider="openai")
    counts = Metrics(input_tokens=1_000, output_tokens=100, cache_read_tokens=200)
    assert metrics.cost == prices.cost("openai", "gpt-4o", counts)
    assert metrics.cost is not None
    assert conversion.to_metrics(reported, model="gpt-4o", provider="llm.example.org").cost is None


def test_the_cost_that_agno_reports_is_kept() -> None:
    reported = MessageMetrics(input_tokens=1_000, output_tokens=100, cost=0.5)
    assert conversion.to_metrics(reported, model="gpt-4o", provider="openai").cost == 0.5


def test_usage_that_was_not_reported_is_unknown() -> None:
    assert conversion.to_metrics(MessageMetrics(), model="gpt-4o", provider="openai") == Metrics()


def test_media_survive_the_way_there_and_back() -> None:
    media = [Image(content=PNG), Image(url="https://example.org/a.png"), File(content=b"%PDF-1", filename="a.pdf")]
    there = conversion.media_options(media)
    assert {name: len(each) for name, each in there.items()} == {"images": 2, "files": 1}
    assert conversion.to_media(SimpleNamespace(**there)) == media


def test_an_image_of_a_file_has_its_bytes() -> None:
    Path("a.png").write_bytes(PNG)
    (image,) = conversion.to_media(SimpleNamespace(images=[AgnoImage(filepath="a.png", mime_type="image/png")]))
    assert (image.content, image.mime_type) == (PNG, "image/png")


def test_values_of_the_model_are_defaults_if_it_filled_in_all() -> None:
    def fields_of(*fields: AgnoField) -> list[tuple[str, bool, bool]]:
        asked = RunRequirement(ToolExecution(tool_call_id="c", requires_user_input=True, user_input_schema=[*fields]))
        call = ToolCall(tool_call_id="c", tool_name="send")
        requirement = conversion.to_requirement(asked, call, "run", None)
        assert not requirement.is_resolved
        return [(each.name, each.is_given, each.has_default) for each in requirement.user_input_fields]

    subject = AgnoField(name="subject", field_type=str, value="Thanks")
    recipient = AgnoField(name="recipient", field_type=str)
    assert fields_of(subject, recipient) == [("recipient", False, False)]
    assert fields_of(subject) == [("subject", False, True)]


def test_results_in_one_message_are_several() -> None:
    run, typed = RunOutput(session_id="s"), Message(role="user", content="go")
    called = [{"id": name, "function": {"name": "look", "arguments": "{}"}} for name in ("a", "b")]
    results = [{"tool_call_id": name, "content": f"result {name}"} for name in ("a", "b")]
    messages = [
        AgnoMessage(role="user", content="go, with references"),
        AgnoMessage(role="model", tool_calls=called),
        AgnoMessage(role="tool", content=["result a", "result b"], tool_calls=results),
        AgnoMessage(role="developer", content="Be brief."),
    ]
    converted = conversion.to_messages(messages, conversion.ToolCalls(run), run, None, typed=typed)
    assert [(each.role, each.content, each.tool_call_id) for each in converted] == [
        ("user", "go", None),
        ("assistant", None, None),
        ("tool", "result a", "a"),
        ("tool", "result b", "b"),
        ("system", "Be brief.", None),
    ]
    assert [call.result for call in run.tools] == ["result a", "result b"]
