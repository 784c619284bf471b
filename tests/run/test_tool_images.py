"""Images that tools return go to models that see, next to the text of the result."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from agno_nb import Agent, DuckDb, ScriptedModel
from agno_nb.media import Image
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.models.openai.client import OpenAIModel
from agno_nb.testing import call
from agno_nb.tools import ToolResult
from agno_nb.tools.images import MAX_IMAGES, to_text_and_images
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
        lambda: ToolResult("Two.", images=[PNG, photo()]), "Two.\n2 images are attached.", 2, id="a ToolResult"
    ),
    pytest.param(lambda: ToolResult({"n": 1}), '{"n": 1}', 0, id="a ToolResult without images"),
    pytest.param(
        lambda: ("mean: 3", photo()),
        '["mean: 3", "<PIL.Image.Image image mode=RGB size=2x1>, whose image is attached."]',
        1,
        id="a tuple",
    ),
    pytest.param(lambda: PNG, "8 bytes, which are not shown. The user's program has them.", 0, id="bytes"),
    pytest.param(lambda: [1, 2], "[1, 2]", 0, id="no image"),
]


@pytest.mark.parametrize(("make", "text", "count"), RETURNED)
async def test_the_text_and_images_of_a_result(make: Any, text: str, count: int) -> None:
    written, images = await to_text_and_images(make(), sees_images=True)
    blind, none = await to_text_and_images(make(), sees_images=False)

    assert (written, len(images)) == (text, count)
    assert all(image.content is not None and image.content.startswith(PNG) for image in images)
    assert {image.mime_type for image in images} <= {"image/png"}
    assert none == []
    assert "attached" not in blind
    assert ("not shown" in blind) == ("attached" in text or "not shown" in text)


async def test_axes_are_sent_as_their_figure_and_a_long_list_is_not_sent() -> None:
    _, (image,) = await to_text_and_images(axes(), sees_images=True)
    _, none = await to_text_and_images([Image(content=PNG)] * (MAX_IMAGES + 1), sees_images=True)

    assert image.content is not None
    assert image.content.startswith(PNG)
    assert none == []


def test_something_else_among_the_images_is_an_error_for_the_model() -> None:
    model = ScriptedModel([call("plot"), "Sorry."])

    run = Agent(model, tools=[_named(lambda: ToolResult("x", images=["plot.png"]))]).run("go")

    assert "a ToolResult has str among its images; pass figures" in (run.tools[0].result or "")
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
