"""Results of MCP tools as values: structured content, text, images, audio, and resources."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.media import Audio, File, Image, Video
from agno_nb.tools.images import MAX_IMAGES, ToolResult, is_image
from agno_nb.types import Media

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock

MAX_TEXT = 100_000
"""Length limit of the text of a result."""
_MEDIA = {"image": Image, "audio": Audio, "video": Video}


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=False)
class ServerResult(ToolResult):
    """The result of an MCP tool that is more than text or JSON. Only images are sent to the model."""

    structured_content: Any = None
    """The structured content, if there is any."""
    media: Sequence[Media] = ()
    """All images, audio and other binary resources."""


def value_of(result: CallToolResult) -> Any:
    """Return the value of a result.

    If the text only repeats the structured content, as the specification recommends, it is that content. Text alone is
    a string. Anything else is a :class:`ServerResult`.
    """
    texts: list[str] = []
    media: list[Media] = []
    notes: list[str] = []
    for block in result.content:
        if block.type == "text":
            texts.append(block.text)
        elif (found := _media_of(block)) is not None:
            media.append(found)
        else:
            notes.append(_resource_text(block))
    structured = result.structured_content
    plain = _unwrapped(structured)
    if structured is not None and not media and not notes and (not texts or _repeats(texts, structured)):
        return _cut(plain) if isinstance(plain, str) else plain
    text = "\n".join(texts + notes)
    if structured is not None and not _repeats(texts, structured):
        text = f"{text}\n{json.dumps(plain, ensure_ascii=False)}".strip()
    if not media and structured is None:
        return _cut(text)
    shown = [each for each in media if is_image(each)][:MAX_IMAGES]
    others = [f"[{each!r}, which is not shown. The user's program has it.]" for each in media if each not in shown]
    return ServerResult("\n".join(filter(None, [_cut(text), *others])), shown, structured, media)


def error_text(result: CallToolResult) -> str:
    """Return the text of a result that is an error."""
    texts = [block.text for block in result.content if block.type == "text"]
    text = "\n".join(texts).strip()
    if not text and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    return _cut(text) or "the tool failed without a message"


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}… (cut: the first {MAX_TEXT:,} of {len(text):,} characters)"


def _unwrapped(structured: Any) -> Any:
    """Return the value that servers wrap in an object, because structured content has to be one."""
    return structured["result"] if isinstance(structured, dict) and [*structured] == ["result"] else structured


def _repeats(texts: list[str], structured: Any) -> bool:
    values = [_parsed(text) for text in texts]
    plain = _unwrapped(structured)
    candidates: list[Any] = [[structured], [plain]]
    if isinstance(plain, list):
        candidates.append(plain)
    return values in candidates or texts in candidates


def _parsed(text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    return text


def _media_of(block: ContentBlock) -> Media | None:
    """Return a block with binary content as media."""
    if block.type in ("image", "audio"):
        data, name = block.data, None
        mime_type: str | None = block.mime_type
    elif block.type == "resource" and hasattr(block.resource, "blob"):
        data, mime_type, name = block.resource.blob, block.resource.mime_type, str(block.resource.uri)
    else:
        return None
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
    kind = _MEDIA.get((mime_type or "").partition("/")[0])
    if kind is None:
        return File(content=content, mime_type=mime_type, filename=name and name.rpartition("/")[2])
    return kind(content=content, mime_type=mime_type)


def _resource_text(block: ContentBlock) -> str:
    """Return a resource, or a block that cannot be read, as text."""
    if block.type == "resource_link":
        about = [block.title or block.name, block.mime_type, block.description]
        return f"[resource {block.uri}: {', '.join(filter(None, about))}]"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return f"[resource {block.resource.uri}]" + (f"\n{text}" if text is not None else " with invalid content")
    return f"[{block.type} with invalid content]"
