"""From the configuration to the handlers of the process."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pooler.config import ServerSettings
from pooler.config.values import LogFormat
from pooler.logs.formats import JsonFormatter, TextFormatter
from pooler.logs.limit import RateLimit

__all__ = ["give_up_unwritten", "set_up_logging"]

_handler: logging.Handler | None = None
"""Ours; those of whoever embeds the server stay."""


def set_up_logging(settings: ServerSettings) -> None:
    """Log to the standard error, in place of what was set up here before: also for a reload."""
    global _handler
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format is LogFormat.JSON else TextFormatter())
    handler.addFilter(RateLimit(settings.log_rate_limit))
    root = logging.getLogger()
    if _handler is not None:
        root.removeHandler(_handler)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if settings.verbose else logging.INFO)
    _handler = handler


def give_up_unwritten() -> None:
    """Let go of lines that a full disk does not take, or Python would end with an exit code of its own for them."""
    try:
        sys.stderr.flush()
    except OSError:
        sys.stderr = Path(os.devnull).open("w")
