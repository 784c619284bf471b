from __future__ import annotations

import pytest

from agno_nb.models import prices
from agno_nb.models.openai import OpenAIChat
from agno_nb.types import Metrics
from tests.fakes.http import Answer, FakeServer, sse
from tests.models.asking import ask


def test_a_listed_model_has_a_price() -> None:
    plain = prices.cost("openai", "gpt-4o-mini", Metrics(input_tokens=1_000_000, output_tokens=1_000_000))
    cached = prices.cost(
        "openai", "gpt-4o-mini", Metrics(input_tokens=1_000_000, output_tokens=1_000_000, cache_read_tokens=500_000)
    )

    assert plain == pytest.approx(0.15 + 0.60)
    assert cached == pytest.approx(0.15 - 0.075 / 2 + 0.60)


def test_a_dated_name_has_the_price_of_its_model() -> None:
    tokens = Metrics(input_tokens=1000, output_tokens=1000)

    assert prices.cost("openai", "gpt-4o-mini-2024-07-18", tokens) == prices.cost("openai", "gpt-4o-mini", tokens)


@pytest.mark.parametrize(
    ("provider", "model", "metrics"),
    [
        ("openai", "gpt-nobody-knows", Metrics(input_tokens=1, output_tokens=1)),
        ("ollama", "gpt-4o-mini", Metrics(input_tokens=1, output_tokens=1)),
        ("llm.example", "gpt-4o-mini", Metrics(input_tokens=1, output_tokens=1)),
        ("openai", "gpt-4o-mini", Metrics(input_tokens=1)),
        ("openai", "gpt-4o-mini", Metrics()),
    ],
)
def test_what_is_not_known_is_none(provider: str, model: str, metrics: Metrics) -> None:
    assert prices.cost(provider, model, metrics) is None


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"prompt_tokens": 1000, "completion_tokens": 1000}, 0.00075),
        ({"prompt_tokens": 1000, "completion_tokens": 1000, "cost": 0}, 0.0),
        ({"prompt_tokens": 1000, "completion_tokens": 1000, "cost": {"total": 1}}, 0.00075),
        (None, None),
    ],
    ids=["list price", "told to be free", "told in a way of its own", "no usage"],
)
def test_an_answer_costs_what_the_server_says_else_the_list_price(
    usage: object, cost: float | None, server: FakeServer
) -> None:
    frame = {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}], "usage": usage}
    server.will_say(Answer(chunks=sse([frame])))

    answer = ask(OpenAIChat("gpt-4o-mini", base_url=server.base_url, provider="openai")).whole

    assert answer.metrics.cost == (None if cost is None else pytest.approx(cost))


def test_the_demo_model_costs_nothing() -> None:
    assert prices.cost("demo", "demo", Metrics(input_tokens=1000, output_tokens=1000)) == 0.0
