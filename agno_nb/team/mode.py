"""The modes of a team: who decides about the members' work, and who answers."""

from __future__ import annotations

from enum import StrEnum


class TeamMode(StrEnum):
    """How the leader of a team works with its members."""

    coordinate = "coordinate"
    """The leader gives tasks to members and writes the answer from their results. The default."""
    route = "route"
    """The leader hands the request to a member, whose answer is the team's; the same as `respond_directly`."""
    broadcast = "broadcast"
    """The leader gives each task to all members; the same as `delegate_to_all_members`."""
    tasks = "tasks"
    """The leader plans tasks in a list and works on it until all are completed, or for `max_iterations`."""


__all__ = ["TeamMode"]
