"""Images, audio and files in HTTP requests, validated with the SDK's types."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.responses import ResponseInputItemParam
from pydantic import TypeAdapter

from agno_nb import Agent
from agno_nb.errors import InvalidInputError
from agno_nb.models.base import ModelRequest
from agno_nb.models.openai import OpenAIChat, OpenAIResponses
from agno_nb.types import Media, Message
from tests.fakes.http import Answer, FakeServer, sse, sse_events
from tests.models.asking import ask

IMAGE = Media(kind="image", content=b"\x89PNG", mime_type="image/png", detail="low")
PHOTO = Media(kind="image", url="https://example.com/cat.jpg")
REPORT = Media(kind="file", content=b"%PDF", mime_type="application/pdf", filename="report.pdf")
UNNAMED = Media(kind="file", content=b"%PDF", mime_type="application/pdf")
TABLE = Media(kind="file", content=b"a,b", filename="table.csv")
LINKED = Media(kind="file", url="https://example.com/paper.pdf")
SOUND = Media(kind="audio", content=b"RIFF", mime_type="audio/x-wav")
VIDEO = Media(kind="video", content=b"film", mime_type="video/mp4")

PNG, PDF, CSV = "data:image/png;base64,iVBORw==", "data:application/pdf;base64,JVBERg==", "data:text/csv;base64,YSxi"

Model = OpenAIChat | OpenAIResponses


def messages_sent(server: FakeServer, kind: type[Model], messages: list[Message]) -> list[dict[str, Any]]:
    """Let a model send `messages`, and give them as the server got them."""
    if kind is OpenAIChat:
        answer = sse([{"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]}])
        key, accepted = "messages", TypeAdapter[Any](list[ChatCompletionMessageParam])
    else:
        answer = sse_events([{"type": "response.completed", "response": {"output": []}}])
        key, accepted = "input", TypeAdapter[Any](list[ResponseInputItemParam])
    server.will_say(Answer(chunks=answer))
    _ = ask(kind("m", base_url=server.base_url), ModelRequest(messages=messages)).whole
    sent: list[dict[str, Any]] = server.requests[-1].body[key]
    accepted.validate_python(sent, strict=True)
    return sent


def refusal(server: FakeServer, kind: type[Model], media: Media) -> str:
    message = Message(role="user", content="See", media=[media])
    with pytest.raises(InvalidInputError) as caught:
        asyncio.run(anext(kind("m", base_url=server.base_url).stream(ModelRequest(messages=[message]))))
    assert server.requests == []
    return str(caught.value)


def test_what_chat_completions_is_sent(server: FakeServer) -> None:
    media = [IMAGE, PHOTO, SOUND, REPORT, UNNAMED, TABLE]
    messages = [Message(role="user", content="See", media=media), Message(role="assistant", content="I see")]

    assert messages_sent(server, OpenAIChat, [*messages, Message(role="user", media=[IMAGE])]) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"filename": "report.pdf", "file_data": PDF}},
                {"type": "file", "file": {"filename": "file.pdf", "file_data": PDF}},
                {"type": "file", "file": {"filename": "table.csv", "file_data": CSV}},
            ],
        },
        {"role": "assistant", "content": "I see"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]},
    ]


def test_what_the_responses_api_is_sent(server: FakeServer) -> None:
    messages = [Message(role="user", content="See", media=[IMAGE, PHOTO, REPORT, LINKED])]

    assert messages_sent(server, OpenAIResponses, messages) == [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See"},
                {"type": "input_image", "image_url": PNG, "detail": "low"},
                {"type": "input_image", "image_url": "https://example.com/cat.jpg", "detail": "auto"},
                {"type": "input_file", "filename": "report.pdf", "file_data": PDF},
                {"type": "input_file", "file_url": "https://example.com/paper.pdf"},
            ],
        }
    ]


@pytest.mark.parametrize(
    ("kind", "media", "said"),
    [
        (OpenAIChat, VIDEO, "does not accept video: Media(video, 4 bytes, video/mp4)"),
        (OpenAIChat, LINKED, "does not accept URLs"),
        (OpenAIChat, Media(kind="audio", url="https://example.com/a.wav"), "does not accept URLs"),
        (OpenAIChat, Media(kind="audio", content=b"fLaC", mime_type="audio/flac"), "'audio/flac'"),
        (OpenAIChat, Media(kind="image", content=b"?"), "pass its mime_type"),
        (OpenAIResponses, VIDEO, "does not accept video: Media(video, 4 bytes, video/mp4)"),
        (OpenAIResponses, SOUND, "use OpenAIChat"),
    ],
)
def test_what_an_api_has_no_form_for_is_refused_before_anything_is_sent(
    kind: type[Model], media: Media, said: str, server: FakeServer
) -> None:
    assert said in refusal(server, kind, media)


@pytest.mark.parametrize(("kind", "text"), [(OpenAIChat, "text"), (OpenAIResponses, "input_text")])
def test_in_history_it_is_named_so_that_a_session_goes_on_with_another_model(
    kind: type[Model], text: str, server: FakeServer
) -> None:
    film = Media(kind="video", content=b"film", mime_type="video/mp4", filename="film.mp4")
    earlier = Message(role="user", content="Watch", media=[film, VIDEO], from_history=True)

    sent = messages_sent(server, kind, [earlier, Message(role="user", content="And?")])

    assert sent[0]["content"] == [
        {"type": text, "text": "Watch"},
        {"type": text, "text": "[video film.mp4, which cannot be sent to this model]"},
        {"type": text, "text": "[Media(video, 4 bytes, video/mp4), which cannot be sent to this model]"},
    ]


def test_a_run_takes_media_of_every_kind_in_the_order_of_the_options() -> None:
    run = Agent("demo").run("What is this?", files=[REPORT], audio=[SOUND], images=[IMAGE, PHOTO])

    user = next(message for message in run.messages if message.role == "user")
    assert user.media == [IMAGE, PHOTO, SOUND, REPORT]
    assert str(run.content).startswith("Attachments: image, image cat.jpg, audio and file report.pdf. I am rule-based")


def test_a_question_after_the_picture_is_answered_as_ever() -> None:
    agent = Agent("demo", add_history_to_context=True)
    agent.run("My name is Ada", images=[IMAGE])

    assert "4 * 5 = 20" in str(agent.run("what is 4 * 5").content)
