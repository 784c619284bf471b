"""The settings of a notebook: their sources, and invalid values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from traitlets.config import Config, Configurable

from agno_nb.errors import InvalidInputError
from agno_nb.notebook.settings import AgnoNb


def settings(**configured: Any) -> AgnoNb:
    return AgnoNb(parent=Configurable(config=Config(AgnoNb=configured)))


def test_a_file_counts_more_than_the_environment_and_that_more_than_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in {"HISTORY": "3", "RERUN": "append", "SUMMARIES": "1", "USER": "ada"}.items():
        monkeypatch.setenv(f"AGNO_NB_{name}", text)
    made = settings(history=5, user="bob")
    assert (made.history, made.user, made.rerun, made.summaries, made.cache) == (5, "bob", "append", True, False)


@pytest.mark.parametrize(
    ("name", "text"), [("HISTORY", "-1"), ("HISTORY", "many"), ("RERUN", "never"), ("CACHE", "?"), ("REPLAY", "?")]
)
def test_an_environment_that_makes_no_sense_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"AGNO_NB_{name}", text)
    with pytest.raises(InvalidInputError, match=f"invalid AGNO_NB_{name}='"):
        settings()


def test_a_change_that_fails_leaves_the_setting_as_it_was() -> None:
    done: list[str] = []

    def use(name: str) -> None:
        if name == "nonsense":
            raise InvalidInputError("no such model")
        done.append(name)

    made = settings()
    made.bind({"model": use})
    made.change("model", "demo")
    with pytest.raises(InvalidInputError, match="no such model"):
        made.change("model", "nonsense")
    with pytest.raises(InvalidInputError, match="invalid --history: pass a number of runs, 0 or more, not -1"):
        made.change("history", -1)
    assert (made.model, made.history, done) == ("demo", 10, ["demo"])
    made.change("model", "demo")
    assert done == ["demo", "demo"]


def test_replay_is_another_name_of_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cache", "replay"):
        made = settings(**{name: True})
        assert (made.cache, made.replay) == (True, True)
        made.change("replay" if name == "cache" else "cache", False)
        assert (made.cache, made.replay) == (False, False)
    monkeypatch.setenv("AGNO_NB_REPLAY", "true")
    assert settings().cache is True
    assert settings(cache=False).cache is False


def test_every_setting_is_explained() -> None:
    traits = AgnoNb.class_own_traits(config=True)
    assert all(trait.help for trait in traits.values())
    assert SimpleNamespace(**traits).rerun.values == ("replace", "append", "branch")
