"""A server with the SDK's own classes. `python friendly.py [stdio|streamable-http|sse] [PORT]`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.utilities.types import Audio, Image
from mcp.types import EmbeddedResource, ResourceLink, TextContent, TextResourceContents, ToolAnnotations
from pydantic import BaseModel

server = MCPServer("friendly", instructions="Prefer `add`.")
GIF = b"GIF89a..."


class Point(BaseModel):
    x: int
    y: int


class Size(BaseModel):
    size: int
    note: str = "none"


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}!"


@server.tool()
def point() -> Point:
    """Return a point."""
    return Point(x=1, y=2)


@server.tool()
def words() -> list[str]:
    """Return two words."""
    return ["one", "two"]


@server.tool(structured_output=False)
def photo() -> Any:
    """Return an image and a sound."""
    return ["a photo", Image(data=GIF, format="gif"), Audio(data=b"RIFF0000WAVE", format="wav")]


@server.tool(structured_output=False)
def pages() -> list[Any]:
    """Return resources."""
    return [
        TextContent(text="two pages"),
        ResourceLink(name="atlas", uri="file:///atlas.pdf", mime_type="application/pdf"),
        EmbeddedResource(resource=TextResourceContents(uri="file:///note.txt", text="a note")),
    ]


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("out of paper")


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def erase(path: str) -> str:
    """Erase a file."""
    return f"erased {path}"


@server.tool()
def environment() -> dict[str, str]:
    """Return the environment."""
    return dict(os.environ)


@server.tool()
def process() -> int:
    """Return the ID of the process."""
    return os.getpid()


@server.tool()
async def count(ctx: Context) -> str:
    """Count to three."""
    for number in range(1, 4):
        await ctx.report_progress(number, 3, "reading")
    return "counted"


cancelled: list[str] = []


@server.tool()
async def wait(ctx: Context, name: str = "wait") -> str:
    """Wait until the call is cancelled."""
    await ctx.report_progress(1, None, "waiting")
    try:
        await asyncio.Event().wait()
    except BaseException:
        cancelled.append(name)
        raise
    return "never"


@server.tool()
def was_cancelled() -> list[str]:
    """Return the names of the cancelled calls."""
    return cancelled


@server.tool()
async def order(ctx: Context, item: str) -> str:
    """Order something, after asking for its size."""
    answer = await ctx.elicit(f"Which size of {item}?", Size)
    if answer.action != "accept":
        return f"no {item}: {answer.action}"
    return f"{item} of size {answer.data.size}, note {answer.data.note}"


told, asked = asyncio.Event(), asyncio.Event()


@server.tool()
async def order_when_told(ctx: Context, item: str) -> str:
    """Order something while another call is in progress."""
    await told.wait()
    answer = await order(ctx, item)
    asked.set()
    return answer


@server.tool()
async def tell() -> str:
    """Let the other call ask its question, and wait until it is answered."""
    told.set()
    await asked.wait()
    return "told"


@server.tool()
async def order_two(ctx: Context) -> str:
    """Order two things."""
    sizes = []
    for item in ("hat", "shoe"):
        answer = await ctx.elicit(f"Which size of {item}?", Size)
        if answer.action != "accept":
            return "nothing"
        sizes.append(answer.data.size)
    return f"sizes {sizes}"


@server.tool()
async def ask_model(ctx: Context) -> str:
    """Ask the client's model."""
    from mcp.types import SamplingMessage

    result = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=TextContent(text="Hi"))], max_tokens=10
    )
    return str(result)


@server.tool()
def token(ctx: Context) -> str:
    """Return a header of the request."""
    return str((ctx.headers or {}).get("x-token"))


@server.resource("notes://all", name="notes")
def notes() -> str:
    """All notes."""
    return "nothing"


@server.resource("notes://{day}", name="notes of a day")
def notes_of(day: str) -> str:
    """The notes of a day."""
    return day


@server.prompt(description="Summarize the notes.")
def summarize() -> str:
    return "Summarize the notes."


if __name__ == "__main__":
    transport, port = sys.argv[1:] or ("stdio", "0")
    options: dict[str, Any] = {} if transport == "stdio" else {"host": "127.0.0.1", "port": int(port)}
    server.run(transport, **options)  # type: ignore[call-overload]
