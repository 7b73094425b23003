"""A bound on lines of one sort: a storm of one event must neither fill the disk nor hide everything else."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Final

from interceptor.errors import BackendError, ClientError

__all__ = ["RateLimit"]

MAX_SORTS: Final = 1000
"""Sorts of lines that are counted. There are some hundred in the code; plugins write their own."""


class RateLimit(logging.Filter):
    """Lets so many lines of one sort pass in a second. The next one that passes says how many did not.

    A sort is what a line was written with before its arguments were put in. Errors pass always: they are our own bugs.
    So does what was written with ``extra={"unlimited": True}``, such as a log of queries.
    """

    def __init__(self, per_second: int) -> None:
        super().__init__()
        self._most = per_second
        self._sorts: dict[tuple[object, ...], list[int]] = {}
        """Of each sort: the second that it was last seen in, its lines in that second, and those left out since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """As ``logging.Filter.filter``."""
        if record.levelno >= logging.ERROR or not self._most or hasattr(record, "unlimited"):
            return True
        if len(self._sorts) > MAX_SORTS:
            self._sorts.clear()
        now = int(monotonic())
        counts = self._sorts.setdefault(_sort_of(record), [now, 0, 0])
        if counts[0] != now:
            counts[0], counts[1] = now, 0
        counts[1] += 1
        if counts[1] > self._most:
            counts[2] += 1
            return False
        if counts[2]:
            record.msg = f"{record.msg} (and %d more of this sort were left out)"
            record.args = (*(record.args if isinstance(record.args, tuple) else ()), counts[2])
            counts[2] = 0
        return True


def _sort_of(record: logging.LogRecord) -> tuple[object, ...]:
    """What was written before its arguments were put in; of our own errors also which it is."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    codes = [one.failure.code for one in arguments if isinstance(one, ClientError | BackendError)]
    return (record.name, record.levelno, record.msg, *codes)
