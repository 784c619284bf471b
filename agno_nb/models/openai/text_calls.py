"""Tool calls that a model wrote as text, because the server does not parse them.

The models have different formats: JSON, alone or in a code fence or tags; XML; Python. Text is a call only if it is the
whole answer, names a tool of the request, and does not repeat a call that is in a prompt or in the result of a tool.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb.models.base import Delta, ModelResponse
from agno_nb.models.openai.schema import with_root
from agno_nb.types import (
    JsonDict,
    Message,
    ToolCall,
    ToolSpec,
    as_dict,
    as_list,
    find_json,
    is_deeper,
    json_at,
    json_object,
)

MAX_HELD = 2_000
"""Characters of a possible call that are held back. A longer call is streamed as text, and discarded at its end."""
_UNREAD = "cannot be read, names no tool, or is not the whole answer"
_MAX_DEPTH = 100
_MAX_LENGTH = 1_000_000
"""Characters of the longest answer that is read as calls."""
_MAX_CALLS = 100
"""Calls in an answer; text with more is not a call."""

_NAME_KEYS = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params", "kwargs")
_OTHER_KEYS = {"type", "id", "call_id", "tool_call_id", "index"}
_LIST_KEYS = ("tool_calls", "function_call", "tool_call", "calls")
_KEYS = {*_NAME_KEYS, *_ARGUMENT_KEYS, *_OTHER_KEYS, *_LIST_KEYS}

_PREFIXES = ("functions.", "to=functions.", "print(")
_LANGUAGES = ("json", "tool_call", "tool_calls", "tool_code", "tool", "function", "xml")
_DEEPSEEK = "<\N{FULLWIDTH VERTICAL LINE}tool▁"
_MARKERS = (
    *("<tool_call>", "<tool_calls>", "<tools>", "<tool>", "<function_call>", "<function=", "<function ", "<invoke "),
    *("<|python_tag|>", "[TOOL_CALLS]", "<|tool_call|>", "<|tool_call>", f"{_DEEPSEEK}call"),
    *("<|channel|>commentary", "<|start|>assistant<|channel|>commentary", "to=functions."),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<minimax:tool_call>"),
)
"""How models mark calls. Not all of these formats are read."""
_MARKER = re.compile(rf"^[ \t]{{0,20}}(?:{'|'.join(map(re.escape, _MARKERS))})", re.MULTILINE)
_FRAME = re.compile(
    r"(?:[\s;,]"
    r"|```(?:(?:" + "|".join(_LANGUAGES) + r")\b)?"
    r"|</?(?:tool_calls?|tools?|function_call|minimax:tool_call)>"
    r"|<\|(?:python_tag|/?tool_call|eom_id|eot_id|im_end)\|>|\[TOOL_CALLS\]"
    r"|<\|tool_calls?_(?:section_)?(?:begin|end)\|>|<\|start\|>assistant|<\|channel\|>commentary|<\|call\|>"
    rf"|{_DEEPSEEK}calls?▁(?:begin|end).>|(?:function)?{_DEEPSEEK}sep.>)*"
)
"""What may stand around calls. The pairs need not match, because models forget the closing ones."""

_XML_CALL = re.compile(r"""<(function|invoke)(?:=|\s+name=)["']?([^>"'\s]+)["']?\s*>(.*?)(?:</\1>|\Z)""", re.DOTALL)
_XML_ARGUMENT = re.compile(
    r"""\s*<parameter(?:=|\s+name=)["']?([^>"'\s]+)["']?[^>]*>(.*?)</parameter>"""
    r"|\s*<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>",
    re.DOTALL,
)
_PYTHON_LIST = re.compile(r"\[\s*(?=[A-Za-z_])")
_PYTHON_ARGUMENT = re.compile(r"\s*(\w+)\s*=\s*")
_PYTHON_TEXT = re.compile(r"'((?:[^'\\]|\\.)*+)'", re.DOTALL)
_PYTHON_CONSTANTS = {"True": True, "False": False, "None": None}
_UNQUOTED = re.compile(r"""(?:[\s"'`>|]|\\+[nrt]?)+""")
"""What quoting adds: line breaks and indentation; quotes and backslashes of JSON, CSV and Python; marks of Markdown."""
_UNICODE_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_AFTER_NAME = re.compile(
    r"\s*(?:<\|constrain\|>)?(?:json|code)?<\|message\|>|:\d+<\|tool_call_argument_begin\|>"
    r"|(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?"
)


@dataclass(slots=True)
class TextCallReader:
    """Reads the calls in an answer that arrives in pieces, and holds back what may be a call."""

    tools: Sequence[ToolSpec]
    messages: Sequence[Message] = ()
    """The messages of the request. Text of users and tools that looks like a call must not become one by repetition."""
    output_schema: JsonDict | None = None
    """JSON that may be an answer of this schema is not a call."""
    is_active: bool = True
    """Whether text may be a call. Otherwise it is only removed if it repeats the calls that the server parsed."""
    _held: str | None = ""
    """Content that may be the start of a call; None once it was returned."""

    def add(self, delta: Delta) -> Delta | None:
        """Add a piece of the answer, and return its parts that are not held back."""
        if delta.discards_content:
            self._held = ""
        if delta.content and self.tools and self.is_active and self._held is not None:
            self._held += delta.content
            if len(self._held) <= MAX_HELD and _may_be_call(self._held, self.tools):
                delta.content = ""
            else:
                delta.content, self._held = self._held, None
        return delta if delta.content or delta.reasoning_content or delta.discards_content else None

    def flush(self) -> Delta | None:
        """Return the content that was held back, if the answer is incomplete."""
        held, self._held = self._held, None
        return Delta(content=held) if held else None

    def finish(self, response: ModelResponse, *, advice: str) -> Delta | None:
        """Move calls from the content of the complete answer to its calls, and return the rest of the content.

        `advice` is the remedy for calls that cannot be read.
        """
        held, content = self.flush(), response.content or ""
        calls = read_calls(content, self.tools)
        if response.tool_calls and calls and _are_same(calls, response.tool_calls):
            # vllm-mlx and LocalAI stream the text of a call before the call.
            response.content = None
            return Delta(discards_content=True) if held is None else None
        if response.tool_calls or not self.is_active or not self.tools:
            return held
        # A call that was cut may look complete, with some of its arguments missing.
        is_cut = response.finish_reason == "length"
        if calls and not is_cut and not self._may_be_answer(content):
            if not is_quoted(content, self.tools, self.messages):
                response.tool_calls, response.content = calls, None
                return Delta(discards_content=True) if held is None else None
            response.warning = (
                "The answer repeats a tool call that is in a prompt or in the result of a tool. It was not executed; "
                "to have the tool called, ask for it in other words."
            )
        elif _MARKER.search(content or response.reasoning_content or ""):
            where = "answer" if content else "reasoning"
            cause = "was cut by the limit of tokens" if is_cut else _UNREAD
            remedy = "raise the limit of the model" if is_cut else advice
            response.warning = (
                f"The {where} contains a tool call as text. It was not executed, because it {cause}; {remedy}."
            )
        return held

    def _may_be_answer(self, text: str) -> bool:
        """Whether the text has an object with the properties of the output schema."""
        if self.output_schema is None:
            return False
        schema = with_root(self.output_schema)
        known, required = as_dict(schema.get("properties")), as_list(schema.get("required"))
        objects = (as_dict(found.value).keys() for found in find_json(text))
        return any(keys and keys <= known.keys() and keys >= set(required) for keys in objects)


def _are_same(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> bool:
    one, other = ([(call.tool_name, json_object(call.arguments)) for call in each] for each in (calls, others))
    return one == other


def _may_be_call(text: str, tools: Sequence[ToolSpec]) -> bool:
    """Whether an answer that starts with `text` may be a call."""
    text = text.lstrip()
    if "```".startswith(text[:3]):
        language, is_complete, text = text[3:].partition("\n")
        if not is_complete:
            return any(each.startswith(language.strip()) for each in ("", *_LANGUAGES))
        if language.strip() not in ("", *_LANGUAGES):
            return False
        text = text.lstrip()
    if any(text.startswith(each) or each.startswith(text) for each in _MARKERS):
        return True
    names = [prefix + tool.name for tool in tools for prefix in ("", *_PREFIXES)]
    if text.startswith("["):
        text = text[1:].lstrip()
        if not text:
            return True
    if text.startswith("{"):
        key, is_complete, rest = text[1:].lstrip().removeprefix('"').partition('"')
        if not is_complete:
            return any(each.startswith(key) for each in (*_KEYS, *names))
        value = re.match(r'\s*:\s*"([^"]*)"', rest)
        is_other_name = key in _NAME_KEYS and value is not None and value[1].removeprefix("functions.") not in names
        return key in names or (key in _KEYS and not is_other_name)
    if name := max((each for each in names if text.startswith(each)), key=len, default=""):
        return len(text) == len(name) or text[len(name)] in "({[\n" or any(each.startswith(text) for each in names)
    return any(each.startswith(text) for each in names)


def read_calls(text: str, tools: Sequence[ToolSpec]) -> list[ToolCall]:
    """Return the calls that `text` consists of, without IDs; empty if it has anything else."""
    return [call for _, calls in _read_all(text, tools) for call in calls]


def is_quoted(text: str, tools: Sequence[ToolSpec], messages: Sequence[Message]) -> bool:
    """Whether a call that `text` consists of is in a message of a user or tool.

    A model that repeats a file, a DataFrame or a pasted text does not ask for the calls in it.
    """
    texts = (message.content for message in messages if message.role in ("user", "tool") and message.content)
    quotes = "\0".join(map(_without_quotes, texts))
    by_name = {tool.name: tool for tool in tools}
    return any(
        _without_quotes(form) in quotes for source, _ in _read_all(text, tools) for form in _forms(source, by_name)
    )


def _without_quotes(text: str) -> str:
    text = _UNICODE_ESCAPE.sub(lambda match: chr(int(match[1], 16)), text) if "\\u" in text else text
    return _UNQUOTED.sub("", html.unescape(text))


def _forms(source: str, tools: dict[str, ToolSpec]) -> Iterator[str]:
    """Yield the text of a call, and of each call within it if it is JSON."""
    yield source
    found, _ = json_at(source, 0) if source[0] in "{[" else (None, 0)
    values = [] if found is None else [found.value]
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict) and _calls_in(value, tools):
            yield json.dumps(value, ensure_ascii=False)
            values += (value[key] for key in (*_LIST_KEYS, "function") if key in value)


def _read_all(text: str, tools: Sequence[ToolSpec]) -> list[tuple[str, list[ToolCall]]]:
    """Return the parts of `text` that are calls, and the calls; empty if it has anything else."""
    if not tools or len(text) > _MAX_LENGTH:
        return []
    by_name = {tool.name: tool for tool in tools}
    parts: list[tuple[str, list[ToolCall]]] = []
    place, num_calls = _skip(_PYTHON_LIST, text, _skip(_FRAME, text, 0)), 0
    while place < len(text):
        start = place
        found, place = _read_one(text, place, by_name)
        num_calls += len(found)
        if not found or num_calls > _MAX_CALLS:
            return []
        parts.append((text[start:place], found))
        place = _skip(_FRAME, text, place)
    return parts


def _skip(pattern: re.Pattern[str], text: str, place: int) -> int:
    match = pattern.match(text, place)
    return place if match is None else match.end()


def _read_one(text: str, place: int, tools: dict[str, ToolSpec]) -> tuple[list[ToolCall], int]:
    """Return the calls at `place`, of which a JSON array has several, and where they end."""
    if text[place] in "{[":
        found, _ = json_at(text, place)
        if found is None or is_deeper(found.value, _MAX_DEPTH):
            return [], place
        return _calls_in(found.value, tools) or [], found.end
    if match := _XML_CALL.match(text, place):
        tool = tools.get(match[2])
        arguments = None if tool is None else json_object(match[3].strip()) or _xml_arguments(match[3], tool)
        return _call(match[2], arguments), match.end()
    prefix = next((each for each in _PREFIXES if text.startswith(each, place)), "")
    place += len(prefix)
    name = max((each for each in tools if text.startswith(each, place)), key=len, default=None)
    if name is None:
        return [], place
    place += len(name)
    if text.startswith("(", place):
        return _python_call(name, text, place + 1)
    place = _skip(_AFTER_NAME, text, place)
    if match := _XML_ARGUMENT.match(text, place):
        end = text.find("</tool_call>", place)
        end = len(text) if end < 0 else end
        return _call(name, _xml_arguments(text[place:end], tools[name])), end
    place = _skip(_FRAME, text, place)
    found, _ = json_at(text, place) if text.startswith("{", place) else (None, 0)
    return ([], place) if found is None else (_call(name, found.value), found.end)


def _calls_in(value: Any, tools: dict[str, ToolSpec]) -> list[ToolCall] | None:
    """Return the calls that a JSON value describes, or None if it is something else."""
    if isinstance(value, list):
        found = [_calls_in(each, tools) for each in value]
        return None if None in found else [call for calls in found for call in calls or ()]
    if not isinstance(value, dict):
        return None
    if len(value) == 1:
        key, inner = next(iter(value.items()))
        if key in _LIST_KEYS:
            return _calls_in(inner, tools)
        if key in tools and isinstance(inner, dict):
            return _call(key, inner)
    if isinstance(value.get("function"), dict) and value.keys() <= {"function", *_OTHER_KEYS}:
        return _calls_in(value["function"], tools)
    name_key = next((key for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if name_key is None or (tool := tools.get(value[name_key].removeprefix("functions."))) is None:
        return None
    properties = as_dict(tool.parameters.get("properties"))
    key = next((key for key in _ARGUMENT_KEYS if key in value), None)
    others = value.keys() - _OTHER_KEYS - {name_key, key}
    if key is not None:
        is_call, arguments = not others, {} if value[key] is None else value[key]
    else:
        # The arguments are next to the name, or there are none.
        is_call = {*tool.parameters.get("required", ())} <= others <= properties.keys()
        arguments = {each: value[each] for each in value if each in others}
    if isinstance(arguments, str):
        arguments = json_object(arguments or "{}")
    # Small models repeat the description of the tool.
    is_schema = isinstance(arguments, dict) and {"type", "properties"} <= arguments.keys() - properties.keys()
    return _call(tool.name, arguments) if is_call and not is_schema else None


def _call(name: str, arguments: Any) -> list[ToolCall]:
    if not isinstance(arguments, dict):
        return []
    text = json.dumps(arguments, ensure_ascii=False)
    return [ToolCall(tool_call_id="", tool_name=name, arguments=text, extra={"read_from_text": True})]


def _xml_arguments(text: str, tool: ToolSpec) -> JsonDict | None:
    """Return the arguments in XML elements. Texts stay texts; values of other types are read as JSON."""
    arguments: JsonDict = {}
    place = 0
    properties = as_dict(tool.parameters.get("properties"))
    while match := _XML_ARGUMENT.match(text, place):
        name, value = (match[1], match[2]) if match[1] is not None else (match[3].strip(), match[4])
        value = value.removeprefix("\n").removesuffix("\n")
        arguments[name] = value if as_dict(properties.get(name)).get("type") == "string" else _json_or_text(value)
        place = match.end()
    return None if text[place:].strip() else arguments


def _json_or_text(text: str) -> Any:
    if text.strip() in _PYTHON_CONSTANTS:
        return _PYTHON_CONSTANTS[text.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _python_call(name: str, text: str, place: int) -> tuple[list[ToolCall], int]:
    """Read the keyword arguments of a Python call, which are literals, and its closing brackets."""
    arguments: JsonDict = {}
    while match := _PYTHON_ARGUMENT.match(text, place):
        value, place = _python_value(text, match.end())
        if place < 0:
            return [], len(text)
        arguments[match[1]] = value
        place = _skip(re.compile(r"\s*,?"), text, place)
    end = re.compile(r"\s*\)+\s*\]?").match(text, place)
    return ([], len(text)) if end is None else (_call(name, arguments), end.end())


def _python_value(text: str, place: int) -> tuple[Any, int]:
    """Return the value at `place` and where it ends, or -1 if it is not a literal that is read."""
    for word, constant in _PYTHON_CONSTANTS.items():
        if text.startswith(word, place):
            return constant, place + len(word)
    if match := _PYTHON_TEXT.match(text, place):
        return re.sub(r"\\(['\"\\])", r"\1", match[1]).replace("\\n", "\n"), match.end()
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, place)
    except (ValueError, RecursionError):
        return None, -1
