"""Say what tools answered: word for word, in a sentence, a table or a code block; and compare the numbers in it."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from agno_nb.models.demo.context import Call, Context, Reply, Turn, listed
from agno_nb.models.demo.tables import FRAME, after_head, markdown_table, read_csv, scalar_text, short_text
from agno_nb.models.demo.tokenizer import stems, words
from agno_nb.types import JsonDict

MOST_COMPARED = 8
LONGEST = 1500
"""Characters of one result that are shown."""

_FAILED = re.compile(
    r"^\W{0,3}(?-i:[A-Za-z_.]*(?:Error|Exception))\s*(?:[:(]|$)"
    r"|^\W{0,3}(?:error|failed|failure|traceback|rejected)\b[^\n:]{0,40}(?::|$)"
    r"|^.{0,100}(?:does not take these arguments|was interrupted|was cancelled)\b",
    re.IGNORECASE,
)
_HIGHEST = (
    r"\b(?:heaviest|highest|largest|biggest|longest|greatest|tallest|oldest|most|maximum|max|top"
    r"|heavier|higher|larger|bigger|longer|greater|taller|older|more)\b"
)
_LOWEST = (
    r"\b(?:lightest|lowest|smallest|shortest|youngest|fewest|least|minimum|min"
    r"|lighter|lower|smaller|shorter|younger|fewer|less)\b"
)
_METRICS = ("mean", "average", "median", "value", "total", "sum", "result", "count", "n", "max", "min")


def report_results(context: Context) -> Reply | None:
    """State the results of this turn's calls."""
    done = [call for call in context.turn.calls if call.result is not None]
    if not done:
        return None
    said = [_failure(call) for call in done if is_failure(call)]
    worked = [call for call in done if not is_failure(call)]
    if worked:
        said.insert(0, _together(worked) or "\n\n".join(_statement(call) for call in worked))
        if comparison := _comparison(context.turn, context.plain):
            said.append(comparison)
    return Reply(text="\n\n".join(said))


def compare_those(context: Context) -> Reply | None:
    """Answer "which of those is heaviest?" from the numbers that the tools gave before."""
    is_about_them = re.search(r"\b(?:those|these|them|they|the two|the three|difference)\b", context.plain)
    return compare_earlier_results(context) if is_about_them else None


def compare_earlier_results(context: Context) -> Reply | None:
    """Answer a superlative from the last results, where nothing better can be had."""
    comparison = None if context.turn.calls else _comparison(_last_with_calls(context), context.plain)
    return Reply(text=comparison) if comparison else None


def show_as_table(context: Context) -> Reply | None:
    """Show the last results again, for "show that as a table"."""
    if context.turn.calls or not re.search(r"\b(?:that|it|them|those|this|as) .*\btable\b", context.plain):
        return None
    done = [call for call in _last_with_calls(context).calls if call.result is not None and not is_failure(call)]
    table = _together(done, fewest=1) or next(
        (f"{_heading(call)}:\n\n{rows}" for call in done if (rows := _rows(call))), None
    )
    return Reply(text=table) if table else None


def _last_with_calls(context: Context) -> Turn:
    return next((turn for turn in reversed(context.earlier) if turn.calls), Turn(prompt=""))


def describe_frames(context: Context) -> Reply | None:
    """Say what can be seen of a DataFrame that is in the prompt, or was in an earlier one."""
    asks = re.search(r"\b(?:data ?frame|frame|columns?|rows|variables|data)\b", context.plain)
    found = next((match for turn in reversed(context.turns) if (match := FRAME.search(turn.prompt))), None)
    if found is None or not asks or context.turn.calls:
        return None
    names = re.findall(r"([^,]+?) \([^()]*\)(?:, |$)", found["names"])
    size = f"The DataFrame has {found['rows']} rows and {found['columns']} columns"
    if re.search(r"\bhow (?:many|big|large)\b|\b(?:size|shape)\b", context.plain):
        return Reply(text=f"{size}.")
    text = f"{size}: {listed([f'`{name.strip()}`' for name in names])}."
    records, _ = read_csv(after_head(found.string, found)[0])
    if records and not re.search(r"\bcolumns?\b|\bvariables\b", context.plain):
        text += f" All that I see of it is its first {len(records)} rows:\n\n{markdown_table(records)}"
    return Reply(text=text)


def parsed(result: str) -> Any:
    """The object that a result's text stands for, in JSON or as Python writes it; the text itself if none."""
    text = result.strip()
    if text[:1] in ("{", "["):
        for read in (_json, ast.literal_eval):
            try:
                return _with_text_keys(read(text))
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
    records = read_csv(text)[0] if "\n" in text else []
    # One row of a DataFrame is what it says, by name.
    return records[0] if len(records) == 1 else records or text


def _json(text: str) -> Any:
    # NaN and Infinity are no JSON, and an answer made of them would not be.
    return json.loads(text, parse_constant=str)


def _with_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): part for name, part in value.items()}
    return [_with_text_keys(part) for part in value] if isinstance(value, list) else value


def known_values(context: Context) -> JsonDict:
    """Values by name that this turn's calls gave and were given."""
    known: JsonDict = {}
    for call in context.turn.calls:
        known.update(call.arguments)
        value = parsed(call.result or "")
        known.update(value if isinstance(value, dict) else {})
    return {str(name): value for name, value in known.items()}


def is_failure(call: Call) -> bool:
    return _failure_text(call) is not None


def _failure_text(call: Call) -> str | None:
    """What a result says of a failure; None where it is an answer."""
    value = parsed(call.result or "")
    if isinstance(value, dict):
        # A number under this name is a measure, not a message.
        return scalar_text(value["error"]) if isinstance(value.get("error"), str | dict) else None
    return value if isinstance(value, str) and _FAILED.match(value) else None


def _failure(call: Call) -> str:
    return f"{_heading(call)} failed, so I have no answer from it. It said: {_cut(_failure_text(call) or '')}"


def _heading(call: Call) -> str:
    shown = [f"{name} {short_text(value)}" for name, value in call.arguments.items()]
    return f"`{call.name}`" + (f" ({', '.join(shown)})" if shown else "")


def _cut(text: str) -> str:
    text = text.strip()
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST].rstrip()}… (cut: the first {LONGEST:,} of {len(text):,} characters)"


def _is_flat(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and not any(isinstance(part, dict | list) for part in value.values())


def _statement(call: Call) -> str:
    value = parsed(call.result or "")
    if value == "":
        return f"{_heading(call)} answered with nothing."
    if rows := _rows(call):
        return f"{_heading(call)} answers:\n\n{rows}"
    if _is_flat(value):
        given = call.arguments
        new = {name: part for name, part in value.items() if name not in given or given[name] != part} or value
        return (
            f"{_heading(call)} answers: {_cut(', '.join(f'{name} {scalar_text(part)}' for name, part in new.items()))}."
        )
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if "\n" not in text.strip():
        return f"{_heading(call)} answers: {_cut(text)}"
    if "|---" in text.replace(" ", "") or "|:--" in text:
        return f"{_heading(call)} answers:\n\n{_cut(text)}"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{_heading(call)} answers:\n\n{fence}text\n{_cut(text)}\n{fence}"


def _rows(call: Call) -> str | None:
    """A result that is a list of records, or CSV, as a table."""
    value = parsed(call.result or "")
    if not _is_records(value):
        return None
    _, below = read_csv(call.result or "") if not (call.result or "").lstrip().startswith(("[", "{")) else ([], "")
    return markdown_table(value) + (f"\n\n{below}" if below else "")


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(_is_flat(row) for row in value)


def _together(calls: list[Call], *, fewest: int = 2) -> str | None:
    """Several flat results of one tool as one table, a row a call."""
    values = [parsed(call.result or "") for call in calls]
    if len(calls) < fewest or len({call.name for call in calls}) > 1 or not all(_is_flat(value) for value in values):
        return None
    given = _differing(calls)
    rows = [
        {**{name: call.arguments.get(name) for name in given}, **value}
        for call, value in zip(calls, values, strict=True)
    ]
    times = "" if len(calls) == 1 else f", called {len(calls)} times,"
    return f"`{calls[0].name}`{times} answers:\n\n{markdown_table(rows)}"


def _differing(calls: list[Call]) -> list[str]:
    names = dict.fromkeys(name for call in calls for name in call.arguments)
    return [name for name in names if len({scalar_text(call.arguments.get(name)) for call in calls}) > 1]


def _comparison(turn: Turn, plain: str) -> str | None:
    """Answer a superlative or a difference from the numbers of `turn`."""
    metric, numbers = _comparable(turn, plain)
    if len(numbers) < 2:
        return None
    values = [value for _, value in numbers]
    others = ", ".join(f"{label} {scalar_text(value)}" for label, value in numbers)
    for pattern, word, best in ((_HIGHEST, "highest", max(values)), (_LOWEST, "lowest", min(values))):
        if re.search(pattern, plain):
            whose = listed([label for label, value in numbers if value == best])
            return f"The {word} {metric} is that of {whose}: {scalar_text(best)} (of {others})."
    if re.search(r"\bdifference\b", plain) and len(numbers) == 2:
        return f"The difference in {metric} is {abs(values[0] - values[1]):.10g} (of {others})."
    return None


def _comparable(turn: Turn, plain: str) -> tuple[str, list[tuple[str, float]]]:
    """What can be compared in a turn's results: the name of the number, and labels with numbers."""
    calls = [call for call in turn.calls if call.result is not None and not is_failure(call)]
    values = [parsed(call.result or "") for call in calls]
    if len(calls) == 1 and isinstance(values[0], list) and all(_is_flat(row) for row in values[0]):
        rows = values[0]
        label = next((name for name in rows[0] if isinstance(rows[0][name], str)), None) if rows else None
        labels = [str(row.get(label)) for row in rows]
        if len(set(labels)) < len(labels) or len(labels) > MOST_COMPARED:
            return "", []
    elif (
        len(calls) == 1
        and _is_flat(values[0])
        and len(values[0]) > 1
        and all(_is_number(v) for v in values[0].values())
    ):
        if values[0].keys() & set(_METRICS):
            return "", []
        return "value", [(str(name), value) for name, value in values[0].items()]
    elif len(calls) > 1 and all(_is_flat(value) or _is_number(_as_number(value)) for value in values):
        rows = [value if isinstance(value, dict) else {"value": _as_number(value)} for value in values]
        labels = [listed([short_text(call.arguments.get(name)) for name in _differing(calls)]) for call in calls]
    else:
        return "", []
    names = list(dict.fromkeys(name for row in rows for name in row if _is_number(row[name])))
    # What the tool is about ("penguins") is no measure, also where it is the name of a count.
    asked = stems(plain) - stems(turn.calls[0].name)
    ranked = sorted(names, key=lambda name: (-len(stems(str(name)) & asked), _rank(str(name))))
    if not ranked:
        return "", []
    metric = ranked[0]
    return " ".join(words(str(metric))), [
        (label, row[metric]) for label, row in zip(labels, rows, strict=True) if _is_number(row.get(metric))
    ]


def _rank(name: str) -> int:
    return next((place for place, metric in enumerate(_METRICS) if metric in words(name.lower())), len(_METRICS))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and re.fullmatch(r"-?\d{1,30}(?:\.\d{1,30})?", value) else value
