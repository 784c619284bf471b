"""What users send with a text: images, sounds, videos and files.

Each is given by exactly one of a URL, a path or its bytes. A file is read at once: what is sent, and stored, is what
was in it when the value was made.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.errors import InvalidInputError
from agno_nb.types import Media

__all__ = ["Audio", "File", "Image", "Video"]

_MARKS = {
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
"""What files of a type begin with."""
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BOXES = {b"M4A ": "audio/mp4", b"qt  ": "video/quicktime", b"heic": "image/heic", b"avif": "image/avif"}


@suggest_on_unknown_kwarg({})
def Image(
    *,
    url: str | None = None,
    filepath: str | Path | None = None,
    content: bytes | None = None,
    format: str | None = None,
    mime_type: str | None = None,
    detail: Literal["low", "high", "auto"] | None = None,
) -> Media:
    """Make an image to be sent with a message.

    Parameters
    ----------
    url : str, optional
        Where the provider finds it.
    filepath : str or Path, optional
        A file to read.
    content : bytes, optional
        The image itself.
    format : str, optional
        Its format, as in "png", where neither the bytes nor the name tell.
    mime_type : str, optional
        The same as a type, as in "image/png".
    detail : {"low", "high", "auto"}, optional
        How closely the model should look.

    Raises
    ------
    InvalidInputError
        Not exactly one of `url`, `filepath` and `content` is given, or the file cannot be read.

    Examples
    --------
    >>> Image(content=b"GIF89a...")
    Media(image, 9 bytes, image/gif)
    >>> Image(url="https://example.com/cat.jpg")
    Media(image, 'https://example.com/cat.jpg', image/jpeg)
    """
    media = _media("image", url, filepath, content, format, mime_type)
    media.detail = detail
    return media


@suggest_on_unknown_kwarg({})
def Audio(
    *,
    url: str | None = None,
    filepath: str | Path | None = None,
    content: bytes | None = None,
    format: str | None = None,
    mime_type: str | None = None,
) -> Media:
    """Make a sound to be sent with a message. Parameters and errors are those of :func:`Image`."""
    return _media("audio", url, filepath, content, format, mime_type)


@suggest_on_unknown_kwarg({})
def Video(
    *,
    url: str | None = None,
    filepath: str | Path | None = None,
    content: bytes | None = None,
    format: str | None = None,
    mime_type: str | None = None,
) -> Media:
    """Make a video to be sent with a message. Parameters and errors are those of :func:`Image`."""
    return _media("video", url, filepath, content, format, mime_type)


@suggest_on_unknown_kwarg({})
def File(
    *,
    url: str | None = None,
    filepath: str | Path | None = None,
    content: bytes | None = None,
    format: str | None = None,
    mime_type: str | None = None,
    filename: str | None = None,
) -> Media:
    """Make a file to be sent with a message. Parameters and errors are those of :func:`Image`.

    `filename` is what the model is told that the file is called, where it is not the name of `filepath`.
    """
    return _media("file", url, filepath, content, format, mime_type, filename)


def _media(
    kind: Literal["image", "audio", "video", "file"],
    url: str | None,
    filepath: str | Path | None,
    content: bytes | None,
    format: str | None,
    mime_type: str | None,
    filename: str | None = None,
) -> Media:
    sources = {"url": url, "filepath": filepath, "content": content}
    sources_given = [name for name, source in sources.items() if source is not None]
    if len(sources_given) != 1:
        got = " and ".join(sources_given) or "none of them"
        raise InvalidInputError(f"{kind} needs exactly one of url, filepath and content; it got {got}")
    if filepath is not None:
        path = Path(filepath).expanduser()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(
                f"{kind} {str(filepath)!r} cannot be read: {error.strerror}; looked for in {Path.cwd()}"
            ) from error
        filename = filename or path.name
    if content is not None and not isinstance(content, bytes):
        raise InvalidInputError(f"content of {kind} is of type {type(content).__name__}; give bytes")
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
    return next((mime_type for mark, mime_type in _MARKS.items() if content.startswith(mark)), None)
