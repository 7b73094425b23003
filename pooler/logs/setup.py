"""From the configuration to the handlers of the process."""

from __future__ import annotations

import logging

from pooler.config import ServerSettings
from pooler.config.values import LogFormat
from pooler.logs.formats import JsonFormatter, TextFormatter
from pooler.logs.limit import RateLimit

__all__ = ["set_up_logging"]


def set_up_logging(settings: ServerSettings) -> None:
    """Log to the standard error, in place of whatever was set up before: also for a reload."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format is LogFormat.JSON else TextFormatter())
    handler.addFilter(RateLimit(settings.log_rate_limit))
    logging.basicConfig(level=logging.DEBUG if settings.verbose else logging.INFO, handlers=[handler], force=True)
