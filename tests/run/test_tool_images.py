"""Images that tools return go to models that see, next to the text of the result."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from agno_nb import Agent, DuckDb, ScriptedModel
from agno_nb.errors import InvalidInputError
from agno_nb.media import File, Image, Video
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.testing import call
from agno_nb.tools import ToolResult
from agno_nb.tools.images import MAX_IMAGES, to_text_and_media
from tests.fakes.strict import StrictServer, calls, says

PNG = b"\x89PNG\r\n\x1a\n"


def figure() -> Any:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(1, 1))
    drawn.subplots().plot([1, 2])
    return drawn


def axes() -> Any:
    return figure().axes[0]


def photo() -> Any:
    from PIL.Image import new

    return new("RGB", (2, 1), "red")


RETURNED = [
    pytest.param(figure, "Figure(100x100), whose image is attached.", 1, id="a figure"),
    pytest.param(photo, "<PIL.Image.Image image mode=RGB size=2x1>, whose image is attached.", 1, id="a Pillow image"),
    pytest.param(
        lambda: Image(content=PNG), "Media(image, 8 bytes, image/png), whose image is attached.", 1, id="an Image"
    ),
    pytest.param(
        lambda: ToolResult("Two.", images=[PNG, photo()]), "Two.\nThe result has 2 images.", 2, id="a ToolResult"
    ),
    pytest.param(lambda: ToolResult({"n": 1}), '{"n": 1}', 0, id="a ToolResult without images"),
    pytest.param(
        lambda: ("mean: 3", photo()),
        '["mean: 3", "<PIL.Image.Image image mode=RGB size=2x1>, whose image is attached."]',
        1,
        id="a tuple",
    ),
    pytest.param(
        lambda: Image(content=b"<svg/>", mime_type="image/svg+xml"),
        "Media(image, 6 bytes, image/svg+xml), which is not shown. The user's program has it.",
        0,
        id="an SVG",
    ),
    pytest.param(
        lambda: Image(url="file:///plot.png"),
        "Media(image, 'file:///plot.png', image/png), which is not shown. The user's program has it.",
        0,
        id="a local URL",
    ),
    pytest.param(
        lambda: Image(url="https://example.com/plot.png"),
        "Media(image, 'https://example.com/plot.png', image/png), whose image is attached.",
        1,
        id="a URL",
    ),
    pytest.param(lambda: PNG, "8 bytes, which are not shown. The user's program has them.", 0, id="bytes"),
    pytest.param(lambda: [1, 2], "[1, 2]", 0, id="no image"),
]


@pytest.mark.parametrize(("make", "text", "count"), RETURNED)
async def test_the_text_and_images_of_a_result(make: Any, text: str, count: int) -> None:
    written, images = await to_text_and_media(make(), sees_images=True)
    blind, none = await to_text_and_media(make(), sees_images=False)

    assert (written, len(images)) == (text, count)
    assert all(image.url or (image.content or b"").startswith(PNG) for image in images)
    assert {image.mime_type for image in images} <= {"image/png"}
    assert len(none) == (count if "The result has" in text else 0)
    assert "attached" not in blind
    assert ("not shown" in blind) == ("attached" in text or "not shown" in text)


async def test_axes_are_sent_as_their_figure_and_a_long_list_is_not_sent() -> None:
    _, (image,) = await to_text_and_media(axes(), sees_images=True)
    _, none = await to_text_and_media([Image(content=PNG)] * (MAX_IMAGES + 1), sees_images=True)

    assert image.content is not None
    assert image.content.startswith(PNG)
    assert none == []


@pytest.mark.parametrize(
    ("image", "name"),
    [("plot.png", "str"), (b"<svg/>", "Media(image, 6 bytes, None)")],
    ids=["a path", "bytes of an unknown type"],
)
def test_something_else_among_the_images_is_an_error_for_the_model(image: Any, name: str) -> None:
    model = ScriptedModel([call("plot"), "Sorry."])

    run = Agent(model, tools=[_named(lambda: ToolResult("x", images=[image]))]).run("go")

    assert f"a ToolResult has {name} among its images; pass figures" in (run.tools[0].result or "")
    assert run.tools[0].tool_call_error


def _named(function: Any) -> Any:
    function.__name__ = "plot"
    return function


@pytest.mark.parametrize("api", [OpenAIChat, OpenAIResponses])
def test_the_model_sees_what_a_tool_drew_now_and_in_later_runs(api: type[OpenAIModel], tmp_path: Path) -> None:
    with StrictServer() as server:
        server.will_say(calls(("plot", {})), says("A line."), says("Still a line."))
        model = api("m", base_url=server.base_url, api_key="none", tool_images=True)
        options: dict[str, Any] = {"tools": [_named(photo)], "session_id": "s", "add_history_to_context": True}

        run = Agent(model, db=DuckDb(tmp_path / "store"), **options).run("Plot it")
        Agent(model, db=DuckDb(tmp_path / "store"), **options).run("And now?")

        assert server.refused == []
        _, second, third = [_images(request.body) for request in server.requests]
        assert second == third
        (url,) = second
        stored = run.messages[2]
        assert (stored.role, [media.content for media in stored.media]) == ("tool", [b64decode(url.partition(",")[2])])
        assert run.tools[0].result == "<PIL.Image.Image image mode=RGB size=2x1>, whose image is attached."


def _images(body: dict[str, Any]) -> list[str]:
    if "input" in body:
        parts = [part for item in body["input"] if isinstance(item.get("output"), list) for part in item["output"]]
        return [part["image_url"] for part in parts if part["type"] == "input_image"]
    parts = [
        part for message in body["messages"] if isinstance(message.get("content"), list) for part in message["content"]
    ]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def test_a_model_that_is_not_known_to_see_gets_the_text_only() -> None:
    model = ScriptedModel([call("plot"), "Fine."])

    run = Agent(model, tools=[_named(photo)]).run("Plot it")

    assert run.tools[0].result == (
        "<PIL.Image.Image image mode=RGB size=2x1>, which is not shown. The user's program has it."
    )
    assert [message.media for message in model.requests[1].messages] == [[], [], []]


def test_images_are_not_stored_with_store_media_off(tmp_path: Path) -> None:
    with StrictServer() as server:
        server.will_say(calls(("plot", {})), says("A line."))
        model = OpenAIChat("m", base_url=server.base_url, api_key="none", tool_images=True)
        db = DuckDb(tmp_path / "store")

        run = Agent(model, db=db, tools=[_named(photo)], store_media=False).run("Plot it")

        assert [len(message.media) for message in run.messages] == [0, 0, 1, 0]
        stored = db.get_run(run.run_id)
        assert stored is not None
        assert not any(message.media for message in stored.messages)


PDF, WAV = b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVE"


def scan() -> ToolResult:
    """Scan."""
    return ToolResult(
        "Scanned.",
        images=[Image(content=PNG)],
        videos=[Video(url="https://example.com/scan.mp4")],
        audios=[WAV],
        files=[File(content=PDF, filename="scan.pdf"), File(content=b"a,b", filename="scan.csv")],
        metadata={"pages": 1},
    )


TEXT = (
    "Scanned.\nThe result has 1 image.\nThe result has 1 video.\nThe result has 1 audio recording.\n"
    "The result has 2 files."
)


def unsent(*names: str) -> str:
    return "".join(f"\n[{name}, which cannot be sent to this model]" for name in names)


VIDEO = "Media(video, 'https://example.com/scan.mp4', video/mp4)"
SOUND = "Media(audio, 12 bytes, audio/wav)"


@pytest.mark.parametrize(
    ("model", "provider", "types", "others"),
    [
        ("gpt-5-mini", "openai", ["image_url", "file"], (VIDEO, SOUND, "file scan.csv")),
        ("gpt-audio", "openai", ["image_url", "input_audio", "file"], (VIDEO, "file scan.csv")),
        ("qwen", "", [], ("Media(image, 8 bytes, image/png)", VIDEO, SOUND, "file scan.pdf", "file scan.csv")),
    ],
    ids=["OpenAI", "a model that hears", "an unknown model"],
)
def test_media_of_a_result_are_stored_and_sent_to_models_that_read_them(
    model: str, provider: str, types: list[str], others: tuple[str, ...], tmp_path: Path
) -> None:
    with StrictServer() as server:
        server.will_say(calls(("scan", {})), says("Done."), says("Still."))
        db = DuckDb(tmp_path / "store")
        chat = OpenAIChat(model, base_url=server.base_url, api_key="none", provider=provider)
        agent = Agent(chat, db=db, tools=[scan], session_id="s", add_history_to_context=True)

        run = agent.run("Scan it")
        agent.run("And now?")

        assert server.refused == []
        for request in server.requests[1:]:
            (result,) = [each for each in request.body["messages"] if each["role"] == "tool"]
            assert result["content"] == TEXT + unsent(*others)
            contents = [each["content"] for each in request.body["messages"] if isinstance(each["content"], list)]
            parts = [part for content in contents for part in content]
            assert [part["type"] for part in parts if part["type"] != "text"] == types
        stored = db.get_run(run.run_id)
        assert stored is not None
        for each in (run, stored):
            assert [media.content for media in each.images] == [PNG]
            assert [media.url for media in each.videos] == ["https://example.com/scan.mp4"]
            assert [media.content for media in each.audio] == [WAV]
            assert [media.filename for media in each.files] == ["scan.pdf", "scan.csv"]
        assert run.tools[0].value.metadata == {"pages": 1}


def test_the_responses_api_takes_a_pdf_in_the_output_of_a_call(tmp_path: Path) -> None:
    with StrictServer() as server:
        server.will_say(calls(("scan", {})), says("Done."))
        model = OpenAIResponses("gpt-audio", base_url=server.base_url, api_key="none", provider="openai")
        Agent(model, tools=[scan]).run("Scan it")

        assert server.refused == []
        (output,) = [item["output"] for item in server.requests[-1].body["input"] if "output" in item]
        assert [part["type"] for part in output] == ["input_text", "input_image", "input_file"]
        assert output[0]["text"] == TEXT + unsent(VIDEO, SOUND, "file scan.csv")


@pytest.mark.parametrize(
    ("media", "message"),
    [
        ({"files": [Image(content=PNG)]}, r"Media\(image, 8 bytes, image/png\) among its files; pass bytes or File\("),
        ({"audios": ["a.wav"]}, r"str among its audios; pass bytes or Audio\(\.\.\.\) from agno_nb\.media"),
    ],
    ids=["another kind", "a path"],
)
async def test_something_else_among_the_media_is_an_error(media: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        await to_text_and_media(ToolResult("x", **media), sees_images=True)
