"""The demo model: rules that stand in for a language model, so that everything works without a key and a network.

docs/notebook.md lists its abilities. Each rule is a pure function of the request, without a clock, randomness or
memory, so that the same request always gets the same response.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import json
import operator
import re
from collections import ChainMap
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.models.base import Delta, Model, ModelRequest, ModelResponse
from agno_nb.models.demo.arguments import fill_schema
from agno_nb.models.demo.context import Context, Reply, listed, quoted
from agno_nb.models.demo.conversation import (
    change_state,
    manage_memories,
    note_facts,
    recall,
    recall_facts,
    summary_for_program,
)
from agno_nb.models.demo.tokenizer import words
from agno_nb.models.demo.tools import REPEAT, call_tools, delegate, follow_up, parsed, report_results
from agno_nb.types import Metrics, ToolCall, as_dict

__all__ = ["DemoModel"]

_EXPRESSION = re.compile(r"[-(]*\d[\d.]*\)*(?:\s*[-+*/]\s*[-(]*\d[\d.]*\)*)+")
_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.USub: operator.neg,
}  # fmt: skip
_SIGNS = {"plus": "+", "minus": "-", "times": "*", "x": "*", "divided by": "/"}


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
    """

    notice: ClassVar[str] = "I am the demo model: rule-based, not a language model."

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
        output_tokens = sum(len(text.split()) for text in texts) + len(reply.calls)
        # Derived from the request, so that equal requests get equal IDs.
        digest = hashlib.sha256(repr((context.system, context.turns)).encode(errors="replace")).hexdigest()[:20]
        yield ModelResponse(
            content=reply.text or None,
            tool_calls=[
                ToolCall(tool_call_id=f"call_{digest}{index:02d}", tool_name=call.name, arguments=arguments)
                for index, (call, arguments) in enumerate(zip(reply.calls, texts[1:], strict=True))
            ],
            metrics=Metrics(input_tokens=context.count_words(), output_tokens=output_tokens, cost=0.0),
            finish_reason="tool_calls" if reply.calls else "stop",
            model=self.id,
            provider_data={"placeholder": reply.placeholder} if reply.placeholder else None,
        )


def decide(context: Context) -> Reply:
    """Decide what to answer or which tools to call; those come before structured output."""
    if context.output_schema is None:
        return next(reply for rule in RULES if (reply := rule(context)) is not None)
    calls = (reply for rule in CALLS if (reply := rule(context)) is not None and reply.calls)
    known = [call.arguments | as_dict(parsed(call.result)) for call in context.turn.calls]
    structured = fill_schema(context.output_schema, context.question, dict(ChainMap(*reversed(known))))
    return continue_answer(context) or summary_for_program(context) or next(calls, structured)


def continue_answer(context: Context) -> Reply | None:
    """Continue an interrupted answer."""
    if not context.earlier or "interrupted" not in context.plain[:40]:
        return None
    *before, turn = context.earlier
    whole = decide(replace(context, turns=[*before, replace(turn, answer="")]))
    return replace(whole, text=whole.text.removeprefix(turn.answer))


def describe_attachments(context: Context) -> Reply | None:
    """Name the images, audio and files of the prompt."""
    if not context.turn.attachments or context.turn.calls:
        return None
    media = [
        f"{one.kind} {one.filename or (one.url or '').rpartition('/')[2]}".strip() for one in context.turn.attachments
    ]
    return Reply(text=f"Attachments: {listed(media)}. I am rule-based and cannot look into them.")


def greet(context: Context) -> Reply | None:
    """Answer greetings, and questions about the model itself."""
    if context.plain in ("thanks", "thank you"):
        return Reply(text="You are welcome.")
    if re.fullmatch(r"(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: (?:there|again|world))?", context.plain):
        return Reply(text=f"Hello! {_abilities(context)}")
    if re.search(r"^help$|^(?:(?:who|what|which) )?(?:model )?are you\b|\bwhat (?:can|do) you do\b", context.plain):
        return Reply(text=f"I am the demo model: rules that stand in for a language model. {_abilities(context)}")
    return None


def calculate(context: Context) -> Reply | None:
    """Calculate "what is 12 * 7?"."""
    expression = re.sub(r"^(?:(?:what is|what's|calculate|compute|how much is)\s+)?", "", context.plain[:300])
    expression = re.sub(r"(\d)\s*% of\b", r"\1 / 100 *", expression)
    expression = re.sub(r"\b(?:plus|minus|times|x|divided by)\b", lambda match: _SIGNS[match[0]], expression)
    if not _EXPRESSION.fullmatch(expression):
        return None
    try:
        return Reply(text=f"{expression} = {_evaluate(ast.parse(expression, mode='eval').body):.12g}")
    except (ArithmeticError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return Reply(text=f"I cannot calculate {expression}.")


def _evaluate(node: ast.AST) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_evaluate(node.operand))
    if not isinstance(node, ast.BinOp):
        raise ValueError(node)
    return _OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right))


def count(context: Context) -> Reply | None:
    """Count to a number: a long answer to watch streaming with."""
    match = re.fullmatch(r"(?:please )?count to (\d{1,6})", context.plain)
    last = min(int(match[1]), 1000) if match else 0
    return Reply(text=", ".join(map(str, range(1, last + 1)))) if last else None


def echo(context: Context) -> Reply | None:
    """Repeat a text."""
    match = re.match(rf"(?is)\s*(?:(?:please\s+)?(?:say|echo)|{REPEAT.pattern}:?)\s+(.+)", context.question)
    return Reply(text=re.sub(r"""^(["'])(.*)\1$""", r"\2", match[1].strip(), flags=re.DOTALL)) if match else None


def admit(context: Context) -> Reply:
    """Say that the rules have no answer."""
    prompt = quoted(context.question, 120)
    if not words(context.question):
        return Reply(text=f"Your message contains no words. {_abilities(context)}")
    if "?" in context.question or re.match(r"(?:explain|give|share|show|tell|write)\b", context.plain):
        return Reply(text=f"I have no knowledge of my own, so I cannot answer {prompt}. {_abilities(context)}")
    return Reply(text=f"I read {prompt}, but no rule of mine applies to it. {_abilities(context)}")


def _abilities(context: Context) -> str:
    names = [f"`{tool.name}`" for tool in context.tools[:4]]
    called = f"call {listed(names)}" if names else "call tools once you add some"
    return f"I can answer from the messages that I am sent, do sums, and {called}."


RULES: tuple[Callable[[Context], Reply | None], ...] = (
    continue_answer, manage_memories, summary_for_program, describe_attachments, recall, note_facts, change_state,
    report_results, recall_facts, greet, delegate, follow_up, call_tools, calculate, count, echo, admit,
)  # fmt: skip
CALLS: tuple[Callable[[Context], Reply | None], ...] = (note_facts, change_state, recall, follow_up, call_tools)
