"""The same agent in agno and agno_nb, on several stores, with a model that answers immediately."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agno.db.base import BaseDb

    from agno_nb.db.sql_store import SqlDb

PROMPT = "How many penguins of each species are there on every island?"
ANSWER = "There are Adelie penguins on all three islands, Chinstrap on Dream and Gentoo on Biscoe. " * 4
HISTORY_RUNS = 3


def count_penguins(species: str, island: str = "all") -> int:
    """Count the penguins of a species on an island.

    Parameters
    ----------
    species : str
        Adelie, Chinstrap or Gentoo.
    island : str
        Biscoe, Dream, Torgersen or all.
    """
    return len(species) + len(island)


class Contender(Protocol):
    """The operations that are measured for each package."""

    name: str

    def construct(self) -> Any:
        """Create an agent with a model, a store and a tool."""

    def construct_team(self) -> Any:
        """Create a team with two such agents as members."""

    def turn(self) -> None:
        """Add a turn to the session, with the last three runs in the context."""


class AgnoNb:
    """agno_nb with one of its stores."""

    def __init__(self, db: SqlDb) -> None:
        from agno_nb.agent import Agent
        from agno_nb.team import Team

        self.name = f"agno_nb {version('agno_nb')} {type(db).__name__}"
        self._make, self._make_team = Agent, Team
        self._model = instant_model()
        self.db = db
        self._agent = self.construct()

    def construct(self) -> Any:
        return self._make(
            model=self._model,
            db=self.db,
            session_id="benchmark",
            instructions="Be brief.",
            tools=[count_penguins],
            add_history_to_context=True,
            num_history_runs=HISTORY_RUNS,
        )

    def construct_team(self) -> Any:
        members = [self._make(model=self._model, name=name, tools=[count_penguins]) for name in ("one", "two")]
        return self._make_team(members=members, model=self._model, db=self.db, instructions="Be brief.")

    def turn(self) -> None:
        assert self._agent.run(PROMPT).content == ANSWER


class Agno:
    """agno with one of its stores, without telemetry."""

    def __init__(self, db: BaseDb) -> None:
        from agno.agent import Agent
        from agno.team import Team

        self.name = f"agno {version('agno')} {type(db).__name__}"
        self._make, self._make_team = Agent, Team
        self._model = instant_agno_model()
        self.db = db
        self._agent = self.construct()

    def construct(self) -> Any:
        return self._make(
            model=self._model,
            db=self.db,
            session_id="benchmark",
            instructions="Be brief.",
            tools=[count_penguins],
            add_history_to_context=True,
            num_history_runs=HISTORY_RUNS,
            telemetry=False,
        )

    def construct_team(self) -> Any:
        members = [
            self._make(model=self._model, name=name, tools=[count_penguins], telemetry=False) for name in ("one", "two")
        ]
        return self._make_team(
            members=members, model=self._model, db=self.db, instructions="Be brief.", telemetry=False
        )

    def turn(self) -> None:
        assert self._agent.run(PROMPT).content == ANSWER


def instant_model() -> Any:
    from agno_nb.models.base import Model, ModelRequest, ModelResponse

    class InstantModel(Model):
        id, provider = "instant", "benchmarks"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelResponse]:
            yield ModelResponse(content=ANSWER, finish_reason="stop")

    return InstantModel()


def instant_agno_model() -> Any:
    from agno.models.base import Model
    from agno.models.response import ModelResponse

    class InstantModel(Model):
        def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return ModelResponse(role="assistant", content=ANSWER)

        async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return self.invoke()

        def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
            yield self.invoke()

        async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> Any:
            yield self.invoke()

        def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
            return response

        def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
            return response

    return InstantModel(id="instant")
