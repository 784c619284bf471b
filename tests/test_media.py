"""Images, audio, videos and files created by users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agno_nb.errors import InvalidInputError
from agno_nb.media import Audio, File, Image, Video
from agno_nb.types import Media

PNG = b"\x89PNG\r\n\x1a\n...."


@pytest.mark.parametrize(
    ("media", "mime_type"),
    [
        (Image(content=PNG), "image/png"),
        (Image(content=b"\xff\xd8\xff\xe0"), "image/jpeg"),
        (Image(content=b"GIF89a"), "image/gif"),
        (Image(content=b"RIFF\0\0\0\0WEBPVP8 "), "image/webp"),
        (Image(content=b"\0\0\0 ftypavif"), "image/avif"),
        (Image(content=b"who knows"), None),
        (Image(content=b"who knows", format="webp"), "image/webp"),
        (Image(content=b"who knows", mime_type="image/x-own"), "image/x-own"),
        (Image(url="https://example.com/cat.JPG?size=1"), "image/jpeg"),
        (Image(url="https://example.com/cat"), None),
        (Audio(content=b"RIFF\0\0\0\0WAVEfmt "), "audio/wav"),
        (Audio(content=b"ID3\4"), "audio/mpeg"),
        (Audio(content=b"raw", format="mp3"), "audio/mpeg"),
        (Audio(content=b"\0\0\0 ftypM4A "), "audio/mp4"),
        (Video(content=b"\0\0\0 ftypisom"), "video/mp4"),
        (Video(url="https://example.com/a.webm"), "video/webm"),
        (File(content=b"%PDF-1.7"), "application/pdf"),
        (File(content=b"a,b", filename="table.csv"), "text/csv"),
        (File(content=b"a,b"), None),
    ],
)
def test_the_type_is_told_by_the_bytes_the_format_or_the_name(media: Media, mime_type: str | None) -> None:
    assert media.mime_type == mime_type


def test_a_file_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "really.jpg"
    path.write_bytes(PNG)
    image = Image(filepath=path, detail="high")
    path.unlink()
    assert image == Media(kind="image", content=PNG, mime_type="image/png", filename="really.jpg", detail="high")


def test_a_relative_path_is_looked_for_where_one_works(working_directory: Path) -> None:
    (working_directory / "notes.csv").write_text("a,b")
    assert File(filepath="notes.csv") == Media(kind="file", content=b"a,b", mime_type="text/csv", filename="notes.csv")
    assert File(filepath="notes.csv", filename="table.txt").filename == "table.txt"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({}, "image needs exactly one of url, filepath and content; got none of them"),
        ({"url": "x", "content": b"x"}, "got url and content"),
        ({"filepath": "no/cat.png"}, "cannot read image 'no/cat.png': No such file or directory; the current"),
        ({"filepath": "."}, "cannot read image '.'"),
        ({"content": "text"}, "content of image has type str; pass bytes"),
    ],
)
def test_what_cannot_be_an_image_is_refused(source: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        Image(**source)
