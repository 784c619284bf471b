"""A loopback server with OpenAI's API for programs that were written for agno, and a Postgres store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from agno_nb.db.base import Db
from agno_nb.db.postgres import PostgresDb
from agno_nb.run import background_tasks
from agno_nb.types import JsonDict
from tests.fakes.demo import DemoServer
from tests.fakes.http import Answer, Request


@dataclass(kw_only=True)
class Asked:
    """One request that the server got, whichever API it is of."""

    path: str
    body: JsonDict

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each message."""
        several = self.body.get("messages") or self.body["input"]
        return [(str(one["role"]), str(one["content"] or "")) for one in several]

    def by(self, role: str) -> list[str]:
        return [text for who, text in self.messages if who == role]

    @property
    def tools(self) -> set[str]:
        return {tool["function"]["name"] for tool in self.body.get("tools", [])}


@dataclass
class Server:
    """Requests to the server in order, by agent."""

    requests: list[Asked] = field(default_factory=list)

    @property
    def for_summaries(self) -> list[Asked]:
        return [one for one in self.requests if "response_format" in one.body]

    @property
    def for_memories(self) -> list[Asked]:
        return [one for one in self.requests if "add_memory" in one.tools]

    @property
    def for_answers(self) -> list[Asked]:
        others = [*self.for_summaries, *self.for_memories]
        return [one for one in self.requests if one not in others]

    @property
    def prompts(self) -> list[str]:
        """The last thing that the user says in each request for an answer."""
        return [one.by("user")[-1] for one in self.for_answers]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A loopback server that everybody is sent to: OpenAI's clients and Gemini's."""
    recorded = Server()

    class Recording(DemoServer):
        def answer_to(self, request: Request) -> Answer:
            if request.method == "POST":
                recorded.requests.append(Asked(path=request.path, body=request.body))
            return super().answer_to(request)

    with Recording() as demo:
        for name in ("OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"):
            monkeypatch.setenv(name, demo.base_url)
        for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY"):
            monkeypatch.setenv(name, "a-key-for-loopback")
        yield recorded


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Db]:
    db = PostgresDb(postgres_url)
    yield db
    # Summaries and memories of the last runs, before the database goes.
    background_tasks._finish()
    db.close()
