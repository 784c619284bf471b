"""Images that tools return. Models that see are sent them next to the text of the result."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agno_nb._keywords import suggest_on_unknown_kwarg
from agno_nb.db.arrow_tables import is_a
from agno_nb.errors import InvalidInputError
from agno_nb.event_loop import in_thread
from agno_nb.media import Image
from agno_nb.tools.result import ATTACHED, NOT_SHOWN, repr_without_address, to_text
from agno_nb.types import Media, counted

MAX_IMAGES = 10
"""Number of images of a result that are sent. Longer lists are results without images."""


@suggest_on_unknown_kwarg({})
@dataclass(kw_only=False)
class ToolResult:
    """The result of a tool with images.

    A tool can also return a single image, or a list or tuple with images among other values.

    Examples
    --------
    >>> ToolResult("The latest photo.", images=[Image(content=b"GIF89a...")])
    ToolResult(content='The latest photo.', images=[Media(image, 9 bytes, image/gif)])
    """

    content: Any = ""
    """The result without its images: text, or any other value that a tool may return."""
    images: Sequence[Any] = ()
    """Images: matplotlib figures, Pillow images, `Image` objects, or bytes of image files."""


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
        return value.kind == "image"
    kinds = (("matplotlib.figure", "Figure"), ("matplotlib.axes", "Axes"), ("PIL.Image", "Image"))
    return any(is_a(*kind, value) for kind in kinds)


async def to_text_and_images(value: Any, *, sees_images: bool) -> tuple[str, list[Media]]:
    """Return the result of a tool as text for the model, and its images if the model sees them.

    Raises
    ------
    InvalidInputError
        A `ToolResult` has something else among its images.
    """
    if isinstance(value, ToolResult):
        for image in value.images:
            if not isinstance(image, bytes) and not is_image(image):
                raise InvalidInputError(
                    f"a ToolResult has {type(image).__name__} among its images; pass figures, Pillow images, "
                    "Image(...) from agno_nb.media, or bytes"
                )
        text = to_text(value.content)
        if value.images:
            is_or_are = "is" if len(value.images) == 1 else "are"
            note = f"{is_or_are} attached." if sees_images else f"{is_or_are} not shown."
            text = f"{text}\n{counted(len(value.images), 'image')} {note}".strip()
        return text, await _as_media(value.images) if sees_images else []
    if is_image(value):
        images, without = [value], _described(value, sees_images)
        return without, await _as_media(images) if sees_images else []
    if isinstance(value, list | tuple) and len(value) <= MAX_IMAGES and any(map(is_image, value)):
        text = to_text([_described(each, sees_images) if is_image(each) else each for each in value])
        return text, await _as_media([each for each in value if is_image(each)]) if sees_images else []
    return to_text(value), []


def _described(image: Any, sees_images: bool) -> str:
    return f"{repr_without_address(image)}, {ATTACHED if sees_images else NOT_SHOWN}"


async def _as_media(images: Sequence[Any]) -> list[Media]:
    """Return images as media. Figures are drawn in a thread, which takes a while."""
    return [each if isinstance(each, Media) else await in_thread(_to_media, each) for each in images]


def _to_media(image: Any) -> Media:
    if isinstance(image, bytes):
        return Image(content=image)
    return Image(content=as_png(image), mime_type="image/png")
