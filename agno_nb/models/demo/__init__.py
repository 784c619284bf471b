"""The demo model: rules that stand in for a language model, so that everything works without a key and a network.

It can

- call tools that share words with the prompt, several at once, with the arguments that the prompt contains; ask for
  missing arguments; and repeat calls with new arguments ("And Adelie?"),
- report the results of tools,
- answer questions about the conversation, also with the tools that read history and past sessions,
- acknowledge what users say about themselves, and recall it from the history, the memories, the summary and the session
  state,
- add, replace and delete memories,
- change the session state with the tool for it,
- write summaries and titles of sessions,
- fill output schemas with values from the prompt and from the results of tools,
- delegate to the members of a team,
- calculate, count, and repeat a text ("Say hello").

To everything else it says that it has no answer. The same request always gets the same response.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.models.demo.context import Context
from agno_nb.types import Metrics, ToolCall

__all__ = ["DemoModel"]


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=True, repr=False, eq=False)
class DemoModel(Model):
    """A rule-based model that needs no API key and no network, and says so.

    It calls your tools with arguments from the prompt, and answers from the conversation, memories, summary and session
    state. The same request always gets the same answer.

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
    provider: str = "demo"
    latency_s: float = 0.0
    word_delay_s: float = 0.0

    @property
    def is_priced(self) -> bool:
        """True: it is free."""
        return True

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """Yield the answer word by word, then the complete response. A word counts as one token."""
        from agno_nb.models.demo.engine import decide

        if self.latency_s > 0:
            await asyncio.sleep(self.latency_s)
        context = Context.of(request)
        reply = decide(context)
        texts = [reply.text, *(json.dumps(call.arguments, ensure_ascii=False) for call in reply.calls)]
        for place, text in enumerate(texts):
            # Cut before each space, so that the words together are the text.
            for word in re.findall(r"\s*\S+|\s+$", text):
                if self.word_delay_s > 0:
                    await asyncio.sleep(self.word_delay_s)
                if place == 0:
                    yield Delta(content=word)
        # Derived from the request, so that equal requests get equal IDs.
        digest = hashlib.sha256(repr((context.system, context.turns)).encode(errors="replace")).hexdigest()[:20]
        yield ModelResponse(
            content=reply.text or None,
            tool_calls=[
                ToolCall(tool_call_id=f"call_{digest}{index:02d}", tool_name=call.name, arguments=arguments)
                for index, (call, arguments) in enumerate(zip(reply.calls, texts[1:], strict=True))
            ],
            metrics=Metrics(
                input_tokens=context.count_words(),
                output_tokens=sum(len(text.split()) for text in texts) + len(reply.calls),
                cost=0.0,
            ),
            finish_reason="tool_calls" if reply.calls else "stop",
            model=self.id,
        )
