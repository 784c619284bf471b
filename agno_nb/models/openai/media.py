"""Images, audio and files as parts of a user message in OpenAI's two APIs."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from dataclasses import replace

from agno_nb.errors import InvalidInputError
from agno_nb.types import JsonDict, Media, Message

# The two formats of the API by MIME type.
_AUDIO_FORMATS = {
    "audio/mpeg": "mp3", "audio/mp3": "mp3",
    "audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
}  # fmt: skip


def sendable_result(
    message: Message, *, is_sent: Callable[[Media], bool], part: Callable[[Media], JsonDict]
) -> Message:
    """Return a tool's result with the media that the model is sent. The names of the others are added to the text."""
    sent = [media for media in message.media if is_sent(media) and _has_part(media, part)]
    if len(sent) == len(message.media):
        return message
    others = [_placeholder(media) for media in message.media if all(media is not each for each in sent)]
    return replace(message, content="\n".join([message.content or "", *others]).strip(), media=sent)


def _has_part(media: Media, part: Callable[[Media], JsonDict]) -> bool:
    try:
        part(media)
    except InvalidInputError:
        return False
    return True


def parts(message: Message, *, text_type: str, part: Callable[[Media], JsonDict]) -> list[JsonDict]:
    """Return the text and media of `message` as a list of parts, with `part` for each of the media.

    If the API doesn't support one of the media, this is an error. In messages of earlier runs, such media are replaced
    by their names, so that a session can continue with another model.
    """
    written = [{"type": text_type, "text": message.content}] if message.content else []
    for media in message.media:
        try:
            written.append(part(media))
        except InvalidInputError:
            if not message.from_history:
                raise
            written.append({"type": text_type, "text": _placeholder(media)})
    return written


def chat_part(media: Media) -> JsonDict:
    """Return a part of a Chat Completions message; raise InvalidInputError if the API doesn't support it."""
    if media.kind == "image":
        detail = {"detail": media.detail} if media.detail else {}
        return {"type": "image_url", "image_url": {"url": _url(media), **detail}}
    if media.kind == "audio":
        return {"type": "input_audio", "input_audio": _audio(media)}
    if media.kind == "file":
        if media.content is None and not _is_data(media.url):
            raise InvalidInputError(
                f"Chat Completions does not accept URLs of files: {media!r}; pass the bytes or a path, or use "
                "OpenAIResponses"
            )
        return {"type": "file", "file": {"filename": _filename(media), "file_data": _url(media)}}
    raise _no_part(media, "Chat Completions", "pass images, audio and files")


def responses_part(media: Media) -> JsonDict:
    """Return a part of a Responses API message; raise InvalidInputError if the API doesn't support it."""
    if media.kind == "image":
        return {"type": "input_image", "image_url": _url(media), "detail": media.detail or "auto"}
    if media.kind == "file" and media.content is None and not _is_data(media.url):
        return {"type": "input_file", "file_url": _url(media)}
    if media.kind == "file":
        return {"type": "input_file", "filename": _filename(media), "file_data": _url(media)}
    remedy = "use OpenAIChat" if media.kind == "audio" else "pass images and files"
    raise _no_part(media, "the Responses API", remedy)


def _no_part(media: Media, api: str, remedy: str) -> InvalidInputError:
    return InvalidInputError(f"{api} does not accept {media.kind}: {media!r}; {remedy}")


def _url(media: Media) -> str:
    """Return the URL of `media`, or a data URL of its content."""
    if media.content is None:
        return media.url or ""
    return f"data:{_mime_type(media)};base64,{base64.b64encode(media.content).decode('ascii')}"


def _is_data(url: str | None) -> bool:
    return bool(url) and str(url).startswith("data:")


def _audio(media: Media) -> JsonDict:
    if media.content is None:
        raise InvalidInputError(f"Chat Completions does not accept URLs of audio: {media!r}; pass the bytes or a path")
    mime_type = _mime_type(media)
    if mime_type not in _AUDIO_FORMATS:
        raise InvalidInputError(
            f"Chat Completions does not accept audio of type {mime_type!r}: {media!r}; pass wav or mp3"
        )
    return {"data": base64.b64encode(media.content).decode("ascii"), "format": _AUDIO_FORMATS[mime_type]}


def _mime_type(media: Media) -> str:
    known = media.mime_type or mimetypes.guess_type(media.filename or "")[0]
    if known is None:
        raise InvalidInputError(f"unknown type of {media!r}; pass its mime_type")
    return known


def _filename(media: Media) -> str:
    return media.filename or f"file{mimetypes.guess_extension(media.mime_type or '') or ''}"


def _placeholder(media: Media) -> str:
    return f"[{_named(media)}, which cannot be sent to this model]"


def _named(media: Media) -> str:
    return f"{media.kind} {media.filename}" if media.filename else repr(media)
