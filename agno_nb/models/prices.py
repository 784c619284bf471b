"""Cost of tokens, from the list prices in the installed version of genai-prices. No network access."""

from __future__ import annotations

from agno_nb.types import MAX_COST, Metrics, to_amount

# Other providers run on your hardware or are unknown; a listed price of a model with the same name doesn't apply.
_PRICED_PROVIDERS = {
    name: name
    for name in ("anthropic", "azure", "deepseek", "google", "groq", "mistral", "openai", "openrouter", "together")
} | {"xai": "x-ai"}
"""The names of providers in genai-prices."""


def cost(provider: str, model: str, metrics: Metrics) -> float | None:
    """Return the cost of a model call in US dollars; None if the tokens or the price are unknown.

    `model` is the provider's name of the model, with or without a date.
    """
    if provider == "demo":
        return 0.0
    if provider not in _PRICED_PROVIDERS or metrics.input_tokens is None or metrics.output_tokens is None:
        return None
    from genai_prices import Usage, calc_price

    usage = Usage(
        input_tokens=metrics.input_tokens,
        output_tokens=metrics.output_tokens,
        cache_read_tokens=metrics.cache_read_tokens,
        cache_write_tokens=metrics.cache_write_tokens,
    )
    try:
        return to_amount(float(calc_price(usage, model, provider_id=_PRICED_PROVIDERS[provider]).total_price), MAX_COST)
    except (LookupError, ValueError):
        # There is no price, or the counts are contradictory, for example more cached tokens than input tokens.
        return None
