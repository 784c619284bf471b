"""agno's functions for messages of a program, on the logger ``agno_nb`` of :mod:`logging`.

agno_nb itself logs nothing: problems are exceptions and warnings, and the events of runs are in the store.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = [
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
]

logger = logging.getLogger("agno_nb")


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


def configure_agno_logging(
    custom_default_logger: logging.Logger | None = None, **custom_loggers: logging.Logger | None
) -> None:
    """Use another logger for the functions of this module.

    Parameters
    ----------
    custom_default_logger : logging.Logger, optional
    **custom_loggers
        agno's loggers for agents, teams and workflows. Here they have no effect.
    """
    global logger
    logger = custom_default_logger or logger
