"""Tool calls that a model wrote as text, because the server does not parse them.

The models have different formats: JSON, alone or in a code fence or tags; XML; Python. Text is a call only if it is the
whole answer and names a tool of the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb.models.base import Delta, ModelResponse
from agno_nb.types import JsonDict, ToolCall, ToolSpec, as_dict, is_deeper, json_at, json_object

MAX_HELD = 2_000
"""Characters of a possible call that are held back. A longer call is streamed as text, and discarded at its end."""
_MAX_DEPTH = 100
_MAX_LENGTH = 1_000_000
"""Characters of the longest answer that is read as calls."""

_NAME_KEYS = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "action_input", "params", "kwargs")
_OTHER_KEYS = {"type", "id", "call_id", "tool_call_id", "index"}
_LIST_KEYS = ("tool_calls", "function_call", "tool_call", "calls")
_KEYS = {*_NAME_KEYS, *_ARGUMENT_KEYS, *_OTHER_KEYS, *_LIST_KEYS}

_PREFIXES = ("functions.", "print(")
_LANGUAGES = ("json", "tool_call", "tool_calls", "tool_code", "tool", "function", "xml")
_DEEPSEEK = "<\N{FULLWIDTH VERTICAL LINE}tool▁"
_MARKERS = (
    *("<tool_call>", "<tool_calls>", "<tools>", "<tool>", "<function_call>", "<function=", "<function ", "<invoke "),
    *("<|python_tag|>", "[TOOL_CALLS]", "<|tool_call|>", "<|tool_call>", f"{_DEEPSEEK}call"),
    *("<|tool_calls_section_begin|>", "<|tool_call_begin|>", "<minimax:tool_call>"),
)
"""How models mark calls. Not all of these formats are read."""
_MARKER = re.compile(rf"^[ \t]{{0,20}}(?:{'|'.join(map(re.escape, _MARKERS))})", re.MULTILINE)
_FRAME = re.compile(
    r"(?:[\s;,]"
    r"|```(?:(?:" + "|".join(_LANGUAGES) + r")\b)?"
    r"|</?(?:tool_calls?|tools?|function_call|minimax:tool_call)>"
    r"|<\|(?:python_tag|/?tool_call|eom_id|eot_id|im_end)\|>|\[TOOL_CALLS\]"
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
_AFTER_NAME = re.compile(r"(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?")


@dataclass(slots=True)
class TextCallReader:
    """Reads the calls in an answer that arrives in pieces, and holds back what may be a call."""

    tools: Sequence[ToolSpec]
    _held: str | None = ""
    """Content that may be the start of a call; None once it was returned."""

    def add(self, delta: Delta) -> Delta | None:
        """Add a piece of the answer, and return what is not held back."""
        if delta.discards_content:
            self._held = ""
        if delta.content and self.tools and self._held is not None:
            self._held += delta.content
            if len(self._held) <= MAX_HELD and _may_be_call(self._held, self.tools):
                delta.content = ""
            else:
                delta.content, self._held = self._held, None
        return delta if delta.content or delta.reasoning_content or delta.discards_content else None

    def flush(self) -> Delta | None:
        """Return what was held back of an answer that is incomplete."""
        held, self._held = self._held, None
        return Delta(content=held) if held else None

    def finish(self, response: ModelResponse, *, advice: str) -> Delta | None:
        """Move calls from the content of the complete answer to its calls, and return the rest of the content.

        `advice` is the remedy for calls that cannot be read.
        """
        held = self.flush()
        if not response.tool_calls and (calls := read_calls(response.content or "", self.tools)):
            response.tool_calls, response.content = calls, None
            return Delta(discards_content=True) if held is None else None
        if not response.tool_calls and self.tools and _MARKER.search(response.content or ""):
            response.warning = (
                "The answer contains a tool call as text. It was not executed, because it cannot be read, names no "
                f"tool, or is not the whole answer; {advice}."
            )
        return held


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
    if not tools or len(text) > _MAX_LENGTH:
        return []
    by_name = {tool.name: tool for tool in tools}
    calls: list[ToolCall] = []
    place = _skip(_PYTHON_LIST, text, _skip(_FRAME, text, 0))
    while place < len(text):
        found, place = _read_one(text, place, by_name)
        if not found:
            return []
        calls += found
        place = _skip(_FRAME, text, place)
    return calls


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
