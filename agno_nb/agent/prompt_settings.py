"""Settings of an agent for the messages before the user's: the system prompt, and examples."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agno_nb.errors import InvalidInputError
from agno_nb.run.inputs import as_messages
from agno_nb.types import Message

if TYPE_CHECKING:
    from pydantic import BaseModel

TextSource: TypeAlias = "str | Callable[..., Any]"

SYSTEM_ROLES = ("system", "developer")


@dataclass(eq=False, repr=False, kw_only=True)
class PromptSettings:
    """Settings for the system prompt and the messages before the history."""

    role: str | None = None
    """Role in a team, in a few words. It is part of the leader's prompt and of the agent's own."""
    instructions: str | Sequence[str] | Callable[..., Any] | None = None
    """Instructions for the model, part of the system prompt: a string, a list of strings, or a function that returns
    them for each run. It may be async, and may have the parameters `agent`, `team`, `run_context`, `session_state` and
    `dependencies`."""
    use_instruction_tags: bool = False
    """Put the instructions into ``<instructions>`` tags."""
    expected_output: str | None = None
    """Description of the answer that is expected, part of the system prompt."""
    additional_context: str | None = None
    """Text for the end of the instructions, in which ``{name}`` is not replaced."""
    markdown: bool = False
    """Ask for an answer in Markdown."""
    add_name_to_context: bool = False
    """Tell the model the agent's name."""
    add_datetime_to_context: bool = False
    """Tell the model the date and time at the start of the run. The response cache then has no answer for later runs,
    whose request is different."""
    datetime_format: str | None = None
    """Format of the time, for ``datetime.strftime()``."""
    timezone_identifier: str | None = None
    """Time zone of the time, such as "Europe/Paris"; defaults to the computer's."""
    add_location_to_context: bool = False
    """Tell the model the region that the time zone names. Nothing is requested from a web service."""
    add_dependencies_to_context: bool = False
    """Add the dependencies to the system prompt, as JSON."""
    add_session_state_to_context: bool = False
    """Add the session's state to the system prompt."""
    resolve_in_context: bool = True
    """Replace ``{name}`` by the value of that name in the session's state, the dependencies or the metadata: in
    `description`, `role`, `instructions` and `system_message`, and in a string passed to :meth:`run`, which does not
    read the dependencies. Other braces, the tasks of members and steps, and the text of ``%%agent`` cells are not
    changed."""
    system_message: str | Callable[..., Any] | Message | None = None
    """The whole system message instead of the one made of the settings: a string, a message, or a function that returns
    one of them, with parameters as in `instructions`."""
    system_message_role: str = "system"
    """"system" or "developer", which are the same here: each server is sent the role that it knows."""
    build_context: bool = True
    """If False, send no system message except `system_message`."""
    introduction: str | None = None
    """The assistant's first message of a new session. It is stored as a turn of its own, which later turns are sent as
    part of the history."""
    additional_input: Sequence[Message | Mapping[str, Any] | BaseModel | str] | None = None
    """Messages to send before the history in every run, such as few-shot examples: messages, dicts such as
    ``{"role": "user", "content": "Hi"}``, or strings and objects, which become user messages. They are not stored."""

    def check_prompt_settings(self) -> None:
        """Raise an InvalidInputError if a setting is invalid."""
        if not callable(self.instructions):
            check_instructions(self.instructions)
        if self.system_message_role not in SYSTEM_ROLES:
            raise InvalidInputError(
                f"system_message_role is {self.system_message_role!r}; use 'system' or 'developer', and "
                "additional_input=[{'role': ..., 'content': ...}] for a first message with another role"
            )
        if self.timezone_identifier is not None:
            find_zone(self.timezone_identifier)
        as_messages(self.additional_input)

    def facts(self, name: str | None) -> list[str]:
        """Return the facts of the system prompt, a sentence each, for an agent with this name."""
        facts = []
        if self.markdown:
            facts.append("Write your answer in Markdown.")
        if self.add_name_to_context and name:
            facts.append(f"You are called {name}.")
        zone = None if self.timezone_identifier is None else find_zone(self.timezone_identifier)
        if self.add_datetime_to_context:
            now = datetime.now(zone) if zone is not None else datetime.now().astimezone()
            shown = now.strftime(self.datetime_format) if self.datetime_format else now.isoformat(" ", "seconds")
            facts.append(f"It is {shown} now.")
        if self.add_location_to_context and (region := self.timezone_identifier or local_zone_name()):
            facts.append(f"The user is somewhere in the time zone {region}.")
        return facts


def check_instructions(value: Any, of: str = "instructions") -> None:
    """Raise an InvalidInputError if `value` is neither a string nor a list of strings."""
    lines = value if isinstance(value, list | tuple) else [value or ""]
    if not all(isinstance(each, str) for each in lines):
        raise InvalidInputError(
            f"{of} is {value!r}; pass a string, a list of strings, or a function that returns them. For values that "
            "change from run to run, use {name}, which is replaced from session_state and dependencies"
        )


def find_zone(identifier: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    Raises
    ------
    InvalidInputError
        There is no such time zone.
    """
    try:
        return ZoneInfo(identifier)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInputError(
            f"timezone_identifier is {identifier!r}, which is not a time zone; use a name such as 'Europe/Paris'"
        ) from None


def local_zone_name() -> str | None:
    """Return the name of the computer's time zone, or None for UTC, which says nothing of a place."""
    name = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    name = name or time.tzname[0]
    return None if name in ("UTC", "GMT", "Universal", "Zulu") or name.startswith("Etc/") else name
