"""agno's functions for messages of a program, on the logger ``agno_nb`` of :mod:`logging`.

agno_nb itself logs nothing: problems are exceptions and warnings, and the events of runs are in the store.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = [
    "agent_logger",
    "build_logger",
    "configure_agno_logging",
    "log_debug",
    "log_error",
    "log_exception",
    "log_info",
    "log_warning",
    "logger",
    "set_log_level_to_debug",
    "set_log_level_to_error",
    "set_log_level_to_info",
    "set_log_level_to_warning",
    "team_logger",
    "use_agent_logger",
    "use_team_logger",
    "use_workflow_logger",
    "workflow_logger",
]


def build_logger(logger_name: str, source_type: str | None = None) -> logging.Logger:
    """Return the logger with a name. Its level and handlers are those that the program sets.

    Parameters
    ----------
    source_type : str, optional
        agno's choice of colors, which has no effect.
    """
    return logging.getLogger(logger_name)


agent_logger = build_logger("agno_nb")
team_logger = build_logger("agno_nb.team")
workflow_logger = build_logger("agno_nb.workflow")
logger = agent_logger
"""The logger in use."""


def log_debug(msg: object, *args: Any, **kwargs: Any) -> None:
    """Log a message. agno's `log_level` and `center` are accepted and have no effect."""
    _log(logging.DEBUG, msg, *args, **kwargs)


def log_info(msg: object, *args: Any, **kwargs: Any) -> None:
    """Log a message; see :func:`log_debug`."""
    _log(logging.INFO, msg, *args, **kwargs)


def log_warning(msg: object, *args: Any, **kwargs: Any) -> None:
    """Log a message; see :func:`log_debug`."""
    _log(logging.WARNING, msg, *args, **kwargs)


def log_error(msg: object, *args: Any, **kwargs: Any) -> None:
    """Log a message; see :func:`log_debug`."""
    _log(logging.ERROR, msg, *args, **kwargs)


def log_exception(msg: object, *args: Any, **kwargs: Any) -> None:
    """Log a message with the traceback of the current exception; see :func:`log_debug`."""
    _log(logging.ERROR, msg, *args, **{"exc_info": True, **kwargs})


def _log(level: int, message: object, *args: Any, **kwargs: Any) -> None:
    for name in ("center", "symbol", "log_level"):
        kwargs.pop(name, None)
    # The level of the caller's line, not that of this function.
    logger.log(level, message, *args, **{"stacklevel": 3, **kwargs})


def set_log_level_to_debug(*_: Any, **__: Any) -> None:
    """Show all messages."""
    logger.setLevel(logging.DEBUG)


def set_log_level_to_info(*_: Any, **__: Any) -> None:
    """Show messages of :func:`log_info` and above."""
    logger.setLevel(logging.INFO)


def set_log_level_to_warning(*_: Any, **__: Any) -> None:
    """Show messages of :func:`log_warning` and above."""
    logger.setLevel(logging.WARNING)


def set_log_level_to_error(*_: Any, **__: Any) -> None:
    """Show messages of :func:`log_error` only."""
    logger.setLevel(logging.ERROR)


def use_agent_logger() -> None:
    """Log with `agent_logger`, the default."""
    _use(agent_logger)


def use_team_logger() -> None:
    """Log with `team_logger`. Runs of teams don't call this, unlike agno's."""
    _use(team_logger)


def use_workflow_logger() -> None:
    """Log with `workflow_logger`. Runs of workflows don't call this, unlike agno's."""
    _use(workflow_logger)


def _use(chosen: logging.Logger) -> None:
    global logger
    logger = chosen


def configure_agno_logging(
    custom_default_logger: logging.Logger | None = None,
    custom_agent_logger: logging.Logger | None = None,
    custom_team_logger: logging.Logger | None = None,
    custom_workflow_logger: logging.Logger | None = None,
    enable_log_tracebacks: bool | None = None,
) -> None:
    """Use other loggers for the functions of this module.

    Parameters
    ----------
    custom_default_logger : logging.Logger, optional
        The logger to use from now on.
    custom_agent_logger, custom_team_logger, custom_workflow_logger : logging.Logger, optional
        The loggers of :func:`use_agent_logger`, :func:`use_team_logger` and :func:`use_workflow_logger`.
    enable_log_tracebacks : bool, optional
        agno's setting for its own warnings. Here it has no effect.
    """
    global agent_logger, team_logger, workflow_logger
    agent_logger = custom_agent_logger or agent_logger
    team_logger = custom_team_logger or team_logger
    workflow_logger = custom_workflow_logger or workflow_logger
    _use(custom_default_logger or logger)
