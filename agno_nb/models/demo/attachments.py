"""Images, sounds and files, which rules cannot look into: all they can do is to say what arrived."""

from __future__ import annotations

import re
from urllib.parse import unquote

from agno_nb.models.demo.context import NO_SENSES, Context, Reply, listed
from agno_nb.models.demo.schema import as_dict
from agno_nb.types import JsonDict

_KINDS = {
    "image_url": "an image", "input_image": "an image", "input_audio": "a sound", "file": "a file",
    "input_file": "a file",
}  # fmt: skip


def name_attachments(context: Context) -> Reply | None:
    """Say what came with the prompt, and that it was not looked into."""
    attached = context.turn.attachments
    if not attached:
        return None
    return Reply(text=f"{NO_SENSES}, because I am rules. What arrived is {listed(attached)}.")


def attachment(part: JsonDict) -> str:
    """Describe a part of a message that is not text, in words.

    Examples
    --------
    >>> attachment({"type": "file", "file": {"filename": "a.csv", "file_data": "data:text/csv;base64,YSxiCg=="}})
    'a file (a.csv, text/csv, 4 bytes)'
    """
    kind = _KINDS.get(str(part.get("type")), f"something of type {part.get('type')!r}")
    # Chat Completions puts what the Responses API says in the part itself one level below.
    inner = {**part, **as_dict(part.get(str(part.get("type"))))}
    known = [inner.get("filename"), inner.get("format")]
    for name in ("url", "image_url", "file_url", "file_data", "data"):
        if isinstance(value := inner.get(name), str):
            known += _address(value) if "url" in name and not value.startswith("data:") else _data(value)
    said = [str(one) for one in dict.fromkeys(known) if one]
    return f"{kind} ({', '.join(said)})" if said else kind


def _address(url: str) -> list[str]:
    # urllib.parse refuses addresses that are malformed.
    match = re.match(r"\w+://([^/?#]*)([^?#]*)", url[:2000])
    return [unquote(match[2].rpartition("/")[2]), match[1]] if match else [url[:100]]


def _data(value: str) -> list[str]:
    """The kind and size of a data URL, or of base64 alone."""
    head, comma, body = value.partition(",") if value.startswith("data:") else ("", "", value)
    size = len(body) * 3 // 4 - body[-2:].count("=")
    return [head.removeprefix("data:").partition(";")[0] if comma else "", _size(size)]


def _size(size: int) -> str:
    if size < 1000:
        return f"{size} byte{'s' * (size != 1)}"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"
