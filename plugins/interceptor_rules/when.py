"""The conditions that are different from one execution to the next."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from interceptor import Execution
from interceptor_rules.model import Rule
from interceptor_rules.patterns import BadPattern, parse_hours, parse_weekdays

__all__ = ["Moment", "When"]


class Moment:
    """One execution, as far as rules look at it. None: not known."""

    __slots__ = ("copies", "execution", "now", "protocol")

    def __init__(self, now: datetime, protocol: str, execution: Execution | None, *, copies: bool) -> None:
        self.now = now
        """With a time zone; without one it is the time in whichever zone is asked for."""
        self.protocol = protocol
        self.execution = execution
        self.copies = copies
        """It takes rows from the client or gives them by COPY."""


class When:
    """What a rule says of the time, the transaction, and the protocol."""

    __slots__ = ("_hours", "_protocols", "_weekdays", "_zone", "always", "estimates", "in_transaction", "rule")

    def __init__(self, rule: Rule) -> None:
        """Raises BadPattern."""
        self.rule: Final = rule
        self._hours = parse_hours(rule.hours) if rule.hours is not None else None
        self._weekdays = parse_weekdays(rule.weekdays) if rule.weekdays else None
        try:
            self._zone = ZoneInfo(rule.time_zone)
        except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
            raise BadPattern(f"there is no time zone {rule.time_zone!r}") from None
        except KeyError:
            raise BadPattern(f"there is no time zone {rule.time_zone!r}") from None
        self._protocols = frozenset(rule.protocols)
        self.in_transaction = rule.in_transaction
        self.estimates = rule.cost_over is not None or rule.rows_over is not None
        self.always = not (
            self._hours or self._weekdays or self._protocols or self.in_transaction is not None or self.estimates
            or rule.lock_timeout or rule.limit_over is not None
        )  # fmt: skip
        """Whether it says nothing."""

    def match(self, moment: Moment, *, in_transaction: bool, lock_timeout: str | None, limit: int | None) -> bool:
        """Whether it holds now, apart from the planner's estimate. ``limit``: the value of LIMIT where it is a
        parameter."""
        if self.in_transaction is not None and self.in_transaction is not in_transaction:
            return False
        if self._protocols:
            protocols = {moment.protocol, "copy"} if moment.copies else {moment.protocol}
            if self._protocols.isdisjoint(protocols):
                return False
        if self.rule.lock_timeout and lock_timeout not in (None, "", "0", "0ms", "0s"):
            return False
        if limit is not None and self.rule.limit_over is not None and limit <= self.rule.limit_over:
            return False
        if self._hours is not None or self._weekdays is not None:
            return self._match_time(moment.now)
        return True

    def _match_time(self, now: datetime) -> bool:
        local = now.astimezone(self._zone) if now.tzinfo is not None else now
        day = local.weekday()
        if self._hours is not None:
            start, end = self._hours
            minute = local.hour * 60 + local.minute
            if start < end:
                if not start <= minute < end:
                    return False
            elif minute < end:
                day = (day - 1) % 7  # the night began the day before
            elif minute < start:
                return False
        return self._weekdays is None or day in self._weekdays
