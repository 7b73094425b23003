"""How often which rule matched, and what is logged of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from interceptor import Services, Session
from interceptor.services import Counter
from interceptor_rules.judging import Step

__all__ = ["Hits", "Notes"]

_LINES_PER_SECOND = 10


@dataclass(slots=True)
class Hits:
    """Of one rule, in this process."""

    hits: int = 0
    shadow_hits: int = 0
    last_hit: float = 0.0
    """Seconds since 1970; 0: never."""


class Notes:
    """Counts and logs. One lasts as long as the plugin, through all reloads of the rules file."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._hits: dict[str, Hits] = {}
        self._counter: Counter | None = None
        self._shadow: Counter | None = None
        self._second = 0
        self._lines = 0
        self._dropped = 0

    def start(self, services: Services) -> None:
        """Count in the metrics of the server, too."""
        self._counter = services.metrics.counter(
            "rules_hits_total", "Executions on which a rule acted", ("rule", "action")
        )
        self._shadow = services.metrics.counter(
            "rules_shadow_hits_total", "Executions on which a rule would have acted", ("rule", "action")
        )

    def hits(self, name: str) -> Hits:
        """Of the rule of this name, or of default, on_opaque, on_unparsable."""
        found = self._hits.get(name)
        if found is None:
            found = self._hits[name] = Hits()
        return found

    def count(self, step: Step, action: str, *, shadow: bool) -> None:
        """Count one execution."""
        hits = self.hits(step.name)
        hits.last_hit = self._clock()
        if shadow:
            hits.shadow_hits += 1
        else:
            hits.hits += 1
        counter = self._shadow if shadow else self._counter
        if counter is not None:
            counter.add(1, step.name, action)

    def log(self, step: Step, action: str, session: Session, text: Callable[[], str], *, shadow: bool) -> None:
        """Write a line, but no more than some in a second. There is no value of the statement in it."""
        now = int(self._clock())
        if now != self._second:
            if self._dropped:
                self._log.warning("%d more lines of rules were left out", self._dropped)
            self._second, self._lines, self._dropped = now, 0, 0
        if self._lines >= _LINES_PER_SECOND:
            self._dropped += 1
            return
        self._lines += 1
        self._log.warning(
            "rule %s %s %s for user %s of database %s, session %d: %s: %s",
            step.name,
            "would" if shadow else "did",
            action,
            session.user,
            session.database,
            session.id,
            "; ".join(step.found.because) or "it matches",
            text()[:1000],
        )
