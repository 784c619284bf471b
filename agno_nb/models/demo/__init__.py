"""The demo model: rules instead of a language model, so that everything works with no key and no network.

It stands below the real SDK, as a transport inside its client: what runs with it runs the same way with a real model.
What the rules are is listed in :mod:`agno_nb.models.demo.engine`.
"""

from __future__ import annotations

from dataclasses import dataclass

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.models.openai import OpenAIChat


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False, eq=False)
class DemoModel(OpenAIChat):
    """A model that needs no key and no network, and says that it is rules.

    It answers from what is in its context: the conversation, memories, summary and session state; it calls your tools
    with arguments that it finds in the prompt, and asks for those it does not find. The same request always gets the
    same answer.

    Parameters
    ----------
    latency_s : float, optional
        Seconds before an answer begins.
    word_delay_s : float, optional
        Seconds before each word, to watch an answer stream.

    Examples
    --------
    >>> DemoModel(word_delay_s=0.05)
    DemoModel(id='demo')
    """

    id: str = "demo"
    base_url: str | None = "http://demo.invalid/v1"
    provider: str = "demo"
    latency_s: float = 0.0
    word_delay_s: float = 0.0

    def __post_init__(self) -> None:
        from agno_nb.models.demo.transport import DemoTransport

        self.transport = DemoTransport(latency_s=self.latency_s, word_delay_s=self.word_delay_s)
        super().__post_init__()


__all__ = ["DemoModel"]
