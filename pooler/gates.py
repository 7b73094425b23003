"""Which databases are held up, or closed to new clients, by somebody's command."""

from __future__ import annotations

__all__ = ["Gates"]


class Gates:
    """What PAUSE, KILL and DISABLE have said. A pool that is made later obeys it too."""

    def __init__(self) -> None:
        self.all_paused = False
        self.paused: set[str] = set()
        """Databases that were paused by name."""
        self.disabled: set[str] = set()
        """Databases that take no new clients."""

    def holds(self, database: str) -> bool:
        """Whether nobody gets a backend of this database for now."""
        return self.all_paused or database in self.paused
