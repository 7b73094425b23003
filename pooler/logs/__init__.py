"""The log: one line for each event, as text for people or as JSON for programs, and never more than can be read."""

from __future__ import annotations

from pooler.logs.formats import FIELDS, JsonFormatter, LogSubject, TextFormatter
from pooler.logs.limit import RateLimit
from pooler.logs.setup import give_up_unwritten, set_up_logging

__all__ = ["FIELDS", "JsonFormatter", "LogSubject", "RateLimit", "TextFormatter", "give_up_unwritten", "set_up_logging"]
