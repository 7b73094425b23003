"""What happened in a run, counted; and what went wrong, kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Counts"]


@dataclass
class Counts:
    """Shared by all parts of a run."""

    events: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """Errors that were to be expected, by SQLSTATE or class."""
    wrong: list[str] = field(default_factory=list)
    """What should never have happened. The run fails with the first of them."""

    def blame(self, what: str) -> None:
        """Note something that should never have happened."""
        self.wrong.append(what)

    def __str__(self) -> str:
        return "  ".join(f"{name} {count:,}" for name, count in sorted(self.events.items()))
