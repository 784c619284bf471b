"""Images, audio, videos and files to send with a prompt.

Each has a URL, a path or bytes. Files are read immediately: their content at that time is sent and stored.
"""

from __future__ import annotations

import mimetypes
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypedDict, Unpack
from urllib.parse import urlsplit

from agno_nb._agno_parts import explain_missing_names
from agno_nb._keywords import typed_kwargs
from agno_nb.errors import InvalidInputError
from agno_nb.types import Media

__all__ = ["Audio", "File", "Image", "Video"]

explain_missing_names(__name__)

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": "application/pdf",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"fLaC": "audio/flac",
    b"OggS": "audio/ogg",
    b"\x1aE\xdf\xa3": "video/webm",
}
"""File signatures."""
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BOXES = {b"M4A ": "audio/mp4", b"qt  ": "video/quicktime", b"heic": "image/heic", b"avif": "image/avif"}


class MediaSource(TypedDict, total=False):
    """Where media come from, and their type."""

    url: str | None
    filepath: str | Path | None
    content: bytes | None
    format: str | None
    mime_type: str | None


@typed_kwargs(MediaSource)
def Image(*, detail: Literal["low", "high", "auto"] | None = None, **source: Unpack[MediaSource]) -> Media:
    """Return an image to send with a prompt.

    Parameters
    ----------
    url : str, optional
        URL from which the provider downloads it.
    filepath : str or Path, optional
        A file to read.
    content : bytes, optional
        The bytes of the image.
    format : str, optional
        For example "png", if neither the bytes nor the name determine it.
    mime_type : str, optional
        For example "image/png", instead of `format`.
    detail : {"low", "high", "auto"}, optional
        The resolution for the model.

    Raises
    ------
    InvalidInputError
        Not exactly one of `url`, `filepath` and `content` was passed, or the file cannot be read.

    Examples
    --------
    >>> Image(content=b"GIF89a...")
    Media(image, 9 bytes, image/gif)
    >>> Image(url="https://example.com/cat.jpg")
    Media(image, 'https://example.com/cat.jpg', image/jpeg)
    """
    return replace(_media("image", **source), detail=detail)


@typed_kwargs(MediaSource)
def Audio(**source: Unpack[MediaSource]) -> Media:
    """Return audio to send with a prompt. See :func:`Image` for parameters and errors."""
    return _media("audio", **source)


@typed_kwargs(MediaSource)
def Video(**source: Unpack[MediaSource]) -> Media:
    """Return a video to send with a prompt. See :func:`Image` for parameters and errors."""
    return _media("video", **source)


@typed_kwargs(MediaSource)
def File(*, filename: str | None = None, **source: Unpack[MediaSource]) -> Media:
    """Return a file to send with a prompt. See :func:`Image` for parameters and errors.

    `filename` is the name that is sent to the model; by default the name of `filepath`.
    """
    return _media("file", filename=filename, **source)


def _media(
    kind: Literal["image", "audio", "video", "file"],
    *,
    url: str | None = None,
    filepath: str | Path | None = None,
    content: bytes | None = None,
    format: str | None = None,
    mime_type: str | None = None,
    filename: str | None = None,
) -> Media:
    sources = {"url": url, "filepath": filepath, "content": content}
    sources_given = [name for name, source in sources.items() if source is not None]
    if len(sources_given) != 1:
        got = " and ".join(sources_given) or "none of them"
        raise InvalidInputError(f"{kind} needs exactly one of url, filepath and content; got {got}")
    if filepath is not None:
        path = Path(filepath).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"cannot read {kind} {str(filepath)!r}: {error.strerror}; the current directory is {Path.cwd()}"
            ) from error
        filename = filename or path.name
    if content is not None and not isinstance(content, bytes):
        raise InvalidInputError(f"content of {kind} has type {type(content).__name__}; pass bytes")
    if mime_type is None:
        known = _type_of_bytes(content) if content is not None else None
        filename_hint = f"x.{format}" if format is not None else filename or urlsplit(url or "").path
        mime_type = known or mimetypes.guess_type(filename_hint)[0]
    return Media(kind=kind, url=url, content=content, mime_type=mime_type, filename=filename)


def _type_of_bytes(content: bytes) -> str | None:
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    if content[4:8] == b"ftyp":
        return _BOXES.get(content[8:12], "video/mp4")
    return next((mime_type for mark, mime_type in _SIGNATURES.items() if content.startswith(mark)), None)
