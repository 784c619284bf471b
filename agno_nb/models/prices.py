"""What tokens cost, from the list prices of genai-prices. Offline: the prices are those of the installed version."""

from __future__ import annotations

from agno_nb.types import MAX_COST, Metrics, to_amount

# Others serve your own hardware, or are not known by name; a price that they share with a listed model is not theirs.
_PRICED_PROVIDERS = frozenset({"azure", "google", "openai", "openrouter"})


def cost(provider: str, model: str, metrics: Metrics) -> float | None:
    """Price the tokens of one model call.

    Parameters
    ----------
    provider : str
        As in `Model.provider`.
    model : str
        The provider's name of the model, dated or not.
    metrics : Metrics
        What was sent and received.

    Returns
    -------
    float or None
        US dollars; None when the tokens or the price are not known.
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
        return to_amount(float(calc_price(usage, model, provider_id=provider).total_price), MAX_COST)
    except (LookupError, ValueError):
        # There is no price, or the counts contradict each other: more tokens were cached than sent.
        return None
