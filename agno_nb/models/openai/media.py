"""Images, sounds and files as OpenAI's two APIs want them: parts of a user's message."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable

from agno_nb.errors import InvalidInputError
from agno_nb.types import JsonDict, Media, Message

# The two that the APIs name, under the names that files of these kinds go by.
_SOUND_FORMATS = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
}  # fmt: skip


def parts(message: Message, *, text_type: str, part: Callable[[Media], JsonDict]) -> list[JsonDict]:
    """Write the text and the media of `message` as a list of parts.

    Parameters
    ----------
    message : Message
    text_type : str
        What the API calls a part that is text.
    part : callable
        Writes one of the media.

    Raises
    ------
    InvalidInputError
        The API has no form for one of the media. What was said in an earlier run is named instead: it was sent to
        another model, and must not make the session unusable with this one.
    """
    written = [{"type": text_type, "text": message.content}] if message.content else []
    for media in message.media:
        try:
            written.append(part(media))
        except InvalidInputError:
            if not message.from_history:
                raise
            written.append({"type": text_type, "text": f"[{_named(media)}, which cannot be sent to this model]"})
    return written


def chat_part(media: Media) -> JsonDict:
    """Write a part of a message of Chat Completions.

    Raises
    ------
    InvalidInputError
        There is no such part.
    """
    if media.kind == "image":
        detail = {"detail": media.detail} if media.detail else {}
        return {"type": "image_url", "image_url": {"url": _url(media), **detail}}
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": {"data": _base64(media), "format": _sound_format(media)}}
    if media.kind == "file":
        if media.content is None and not _is_data(media.url):
            raise InvalidInputError(
                f"Chat Completions takes files by their content only, and this one is a URL: {media!r}. Give the "
                "bytes or a path, or use OpenAIResponses."
            )
        return {"type": "file", "file": {"filename": _filename(media), "file_data": _url(media)}}
    raise _no_part(media, "Chat Completions")


def responses_part(media: Media) -> JsonDict:
    """Write a part of a message of the Responses API.

    Raises
    ------
    InvalidInputError
        There is no such part.
    """
    if media.kind == "image":
        return {"type": "input_image", "image_url": _url(media), "detail": media.detail or "auto"}
    if media.kind == "file" and media.content is None and not _is_data(media.url):
        return {"type": "input_file", "file_url": _url(media)}
    if media.kind == "file":
        return {"type": "input_file", "filename": _filename(media), "file_data": _url(media)}
    raise _no_part(media, "the Responses API", " OpenAIChat takes sounds." if media.kind == "audio" else "")


def _no_part(media: Media, api: str, instead: str = "") -> InvalidInputError:
    accepted = "images, sounds and files" if api == "Chat Completions" else "images and files"
    return InvalidInputError(f"{api} takes {accepted}, and no {media.kind}: {media!r} cannot be sent.{instead}")


def _url(media: Media) -> str:
    """Give the address of `media`, which is a data URL where its bytes are given."""
    if media.content is None:
        return media.url or ""
    return f"data:{_mime_type(media)};base64,{base64.b64encode(media.content).decode('ascii')}"


def _is_data(url: str | None) -> bool:
    return bool(url) and str(url).startswith("data:")


def _base64(media: Media) -> str:
    if media.content is None:
        raise InvalidInputError(
            f"Chat Completions takes sounds by their content only, and this one is a URL: {media!r}. Give the bytes "
            "or a path."
        )
    return base64.b64encode(media.content).decode("ascii")


def _sound_format(media: Media) -> str:
    mime_type = _mime_type(media)
    if mime_type not in _SOUND_FORMATS:
        raise InvalidInputError(
            f"Chat Completions takes sounds as wav or mp3, and this one is {mime_type!r}: {media!r}"
        )
    return _SOUND_FORMATS[mime_type]


def _mime_type(media: Media) -> str:
    known = media.mime_type or mimetypes.guess_type(media.filename or "")[0]
    if known is None:
        raise InvalidInputError(f"it is not known what kind of {media.kind} {media!r} is: give its mime_type")
    return known


def _filename(media: Media) -> str:
    return media.filename or f"file{mimetypes.guess_extension(media.mime_type or '') or ''}"


def _named(media: Media) -> str:
    return f"{media.kind} {media.filename}" if media.filename else repr(media)
