"""Values of agno: ours as agno's for its tools, and results of its tools as ours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from agno_nb import media
from agno_nb.tools.images import ToolResult
from agno_nb.types import Media

_MEDIA = {"Image": media.Image, "Audio": media.Audio, "Video": media.Video, "File": media.File}
_SOURCES = ("content", "filepath", "url")


def agno_class(module: str, name: str) -> Any:
    """Return a class of agno, which is loaded if one of its tools is."""
    return getattr(sys.modules[module], name)


def run_context(context: Any) -> Any:
    """Return a run context of agno with the same session state, which tools change in place."""
    names = ("run_id", "session_id", "user_id", "workflow_id", "session_state", "dependencies", "metadata")
    made = agno_class("agno.run", "RunContext")(**{name: getattr(context, name, None) for name in names})
    made.messages = list(getattr(context, "messages", ()))
    return made


def function_call(source: Any, call: Any) -> Any:
    """Return a function call of agno."""
    cls = agno_class("agno.tools.function", "FunctionCall")
    return cls(function=source, arguments=dict(call.arguments), call_id=call.call_id)


def agno_media(value: Media) -> Any:
    """Return a media object of agno."""
    source = {"url": value.url} if value.content is None else {"content": value.content}
    return agno_class("agno.media", value.kind.title())(**source, mime_type=value.mime_type)


def as_our_value(value: Any) -> Any:
    """Return the result of a tool with agno's ToolResult and media as ours; other values unchanged."""
    if _is_of(value, ("ToolResult",)):
        kinds = ("images", "videos", "audios", "files")
        lists: dict[str, Any] = {kind: _all_ours(getattr(value, kind, None) or ()) for kind in kinds}
        return ToolResult(value.content, **lists, artifact=getattr(value, "metadata", None))
    if _is_of(value, _MEDIA):
        given = {name: found for name in _SOURCES if (found := getattr(value, name, None)) is not None}
        name, source = next(iter(given.items()))
        kind = next(cls.__name__ for cls in type(value).__mro__ if cls.__name__ in _MEDIA)
        return _MEDIA[kind](**{name: source, "mime_type": getattr(value, "mime_type", None)})
    return _all_ours(value) if isinstance(value, list | tuple) else value


def _all_ours(values: Sequence[Any]) -> list[Any]:
    return [as_our_value(each) for each in values]


def _is_of(value: Any, names: Any) -> bool:
    classes = type(value).__mro__
    return any(cls.__name__ in names and cls.__module__.partition(".")[0] == "agno" for cls in classes)
