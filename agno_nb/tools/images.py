"""Images and other media that tools return. They are sent to models that read them, next to the text of the result."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.arrow_tables import is_a
from agno_nb.errors import InvalidInputError
from agno_nb.event_loop import in_thread
from agno_nb.media import Audio, File, Image, Video
from agno_nb.tools.result import ATTACHED, NOT_SHOWN, repr_without_address, to_text
from agno_nb.types import Alias, Media, counted, is_deeper

MAX_IMAGES = 10
"""Number of images of a result that are sent. Longer lists are results without images."""
_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What models accept. With another type, every later request of the session would be refused."""
_MAX_DEPTH = 100
"""Levels of nesting of an artifact that is stored."""
_URLS = ("https://", "http://", *(f"data:{each}" for each in _TYPES))


@suggest_on_unknown_kwarg({"metadata": "artifact"})
@dataclass(repr=False)
class ToolResult:
    """The result of a tool with images and other media, which are stored and in `images`, `files` etc. of the run.

    They are sent to models that are known to read them; other models are sent their names. A tool can also return a
    single image, or a list or tuple with images among other values.

    Examples
    --------
    >>> ToolResult("The latest photo.", images=[Image(content=b"GIF89a...")])
    ToolResult(content='The latest photo.', images=[Media(image, 9 bytes, image/gif)])
    """

    content: Any = ""
    """The result without its media: text, or any other value that a tool may return."""
    images: Sequence[Any] | None = ()
    """Images: matplotlib figures, Pillow images, `Image` objects, or bytes of image files."""
    videos: Sequence[Any] | None = field(default=(), kw_only=True)
    """`Video` objects, or bytes of video files. Models are sent their names only."""
    audios: Sequence[Any] | None = field(default=(), kw_only=True)
    """`Audio` objects, or bytes of audio files."""
    files: Sequence[Any] | None = field(default=(), kw_only=True)
    """`File` objects, or bytes of other files."""
    artifact: Any = field(default=None, kw_only=True)
    """A value for your program, which the model is not sent. If JSON can hold it, it is stored as the `artifact` of the
    tool call."""

    metadata = Alias[Any]("artifact")

    def __repr__(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        # Without a truth value of the content and the artifact: a DataFrame has none.
        shown = {
            name: value
            for name, value in values.items()
            if value is not None and not (isinstance(value, str | list | tuple) and not value)
        }
        return f"ToolResult({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def as_png(value: Any) -> bytes | None:
    """Return a matplotlib figure or a Pillow image as PNG, or None for other values."""
    file = io.BytesIO()
    if is_a("matplotlib.axes", "Axes", value):
        value = value.get_figure()
    if is_a("matplotlib.figure", "Figure", value):
        # Without the name of the software, equal figures are equal bytes.
        value.savefig(file, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    elif is_a("PIL.Image", "Image", value):
        value.save(file, format="PNG")
    return file.getvalue() or None


def is_image(value: Any) -> bool:
    """Whether `value` is an image that can be sent: a media object, a matplotlib figure or axes, or a Pillow image."""
    if isinstance(value, Media):
        is_known = value.mime_type in _TYPES if value.content is not None else str(value.url).startswith(_URLS)
        return value.kind == "image" and is_known
    kinds = (("matplotlib.figure", "Figure"), ("matplotlib.axes", "Axes"), ("PIL.Image", "Image"))
    return any(is_a(*kind, value) for kind in kinds)


def as_known(value: Any) -> Any:
    """Return agno's ToolResult or media object as ours; other values unchanged."""
    parts = value if isinstance(value, list | tuple) and len(value) <= MAX_IMAGES else (value,)
    if "agno" not in {type(each).__module__.partition(".")[0] for each in parts}:
        return value
    from agno_nb.integrations.agno_values import as_our_value

    return as_our_value(value)


def json_artifact(value: Any) -> Any:
    """Return the artifact of a result if JSON can hold it."""
    artifact = value.artifact if isinstance(value, ToolResult) else None
    with suppress(TypeError, ValueError, RecursionError):
        if (
            artifact is not None
            and not is_deeper(artifact, _MAX_DEPTH)
            and json.loads(json.dumps(artifact, allow_nan=False)) == artifact
        ):
            return artifact
    return None


async def to_text_and_media(value: Any, *, sees_images: bool) -> tuple[str, list[Media]]:
    """Return the result of a tool as text for the model, and its media.

    Figures are not drawn for a model that doesn't see. Media of a `ToolResult` are returned in any case, because the
    program may want them.

    Raises
    ------
    InvalidInputError
        A `ToolResult` has something else among its media.
    """
    if isinstance(value, ToolResult):
        return _text_of(value), [*await _as_media(_checked_images(value)), *_other_media(value)]
    if is_image(value):
        images, without = [value], _described(value, sees_images)
        return without, await _as_media(images) if sees_images else []
    if isinstance(value, list | tuple) and len(value) <= MAX_IMAGES and any(map(is_image, value)):
        text = to_text([_described(each, sees_images) if is_image(each) else each for each in value])
        return text, await _as_media([each for each in value if is_image(each)]) if sees_images else []
    return to_text(value), []


def _checked_images(result: ToolResult) -> Sequence[Any]:
    for image in result.images or ():
        if not is_image(media := Image(content=image) if isinstance(image, bytes) else image):
            raise _wrong_media(
                media, "images", "figures, Pillow images, or PNG, JPEG, GIF or WebP as bytes or as Image(...)"
            )
    return result.images or ()


_OTHERS = {"videos": ("video", Video), "audios": ("audio", Audio), "files": ("file", File)}
"""The media of a result besides images: their kind and its constructor."""
_NOUNS = {"images": "image", "videos": "video", "audios": "audio recording", "files": "file"}


def _other_media(result: ToolResult) -> list[Media]:
    found = list[Media]()
    for name, (kind, make) in _OTHERS.items():
        for each in getattr(result, name) or ():
            media = make(content=each) if isinstance(each, bytes) else each
            if not isinstance(media, Media) or media.kind != kind:
                raise _wrong_media(media, name, f"bytes or {make.__name__}(...)")
            found.append(media)
    return found


def _wrong_media(value: Any, name: str, wanted: str) -> InvalidInputError:
    named = repr(value) if isinstance(value, Media) else type(value).__name__
    return InvalidInputError(f"a ToolResult has {named} among its {name}; pass {wanted} from agno_nb.media")


def _text_of(result: ToolResult) -> str:
    """Return the content, and which media the result has. What is sent depends on the model of each request."""
    counts = {noun: len(getattr(result, name) or ()) for name, noun in _NOUNS.items()}
    has = [f"The result has {counted(count, noun)}." for noun, count in counts.items() if count]
    return "\n".join([to_text(result.content), *has]).strip()


def _described(image: Any, sees_images: bool) -> str:
    return f"{repr_without_address(image)}, {ATTACHED if sees_images else NOT_SHOWN}"


async def _as_media(images: Sequence[Any]) -> list[Media]:
    """Return images as media. Figures are drawn in a thread, which takes a while."""
    return [each if isinstance(each, Media) else await in_thread(_to_media, each) for each in images]


def _to_media(image: Any) -> Media:
    if isinstance(image, bytes):
        return Image(content=image)
    return Image(content=as_png(image), mime_type="image/png")
