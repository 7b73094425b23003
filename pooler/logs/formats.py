"""How a line looks.

What a line is about is among its arguments: a client, a backend or a pool tells its fields by itself (``LogSubject``),
so that the text names it and the JSON has its parts.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from typing import Final, Protocol, runtime_checkable

__all__ = ["FIELDS", "JsonFormatter", "LogSubject", "TextFormatter"]

FIELDS: Final = {
    "time": "when, in UTC, to the millisecond (RFC 3339)",
    "level": "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    "logger": "which part of the proxy says it",
    "process": "the process's number",
    "message": "what happened, for people; the same as in the text form",
    "client": "the number of the client's connection, as in SHOW CLIENTS",
    "address": "where the client comes from",
    "database": "the database by the name that clients use",
    "user": "who logged in; of a backend or a pool, the role on the server",
    "backend": "the process number of the backend on its server",
    "target": "which of the database's servers",
    "trace": "a traceback, where there is one",
}
"""Every field of a JSON line, and what it says. docs/reference/log.md is held to this."""


@runtime_checkable
class LogSubject(Protocol):
    """Something that lines of the log are about."""

    def log_fields(self) -> Mapping[str, str | float]:
        """Its fields, by names of ``FIELDS``. No secret is among them."""


def _subjects_of(record: logging.LogRecord) -> Iterator[LogSubject]:
    """What a line is about."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return (argument for argument in arguments if isinstance(argument, LogSubject))


class TextFormatter(logging.Formatter):
    """Lines for people: no line break of a message begins what looks like another line."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """As ``logging.Formatter.format``."""
        line = super().format(record)
        # Names come from clients: in a terminal they might be commands to it.
        return _CONTROLS.sub(_escaped, line).replace("\n", "\n    ")


_CONTROLS: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def _escaped(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """As ``logging.Formatter.format``."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, str | float] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": record.name,
            "process": record.process or 0,
            "message": record.getMessage(),
        }
        for subject in _subjects_of(record):
            line |= subject.log_fields()
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        # JSON itself escapes only those below a blank.
        return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(line, ensure_ascii=False, default=str))
