"""What the server offers of its catalogue to its own parts and to plugins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from interceptor.catalogue.snapshot import Snapshot

__all__ = ["CatalogueService", "Listener"]

Listener = Callable[[int], None]
"""Told the new version. What was concluded from an older one is worth nothing from then on."""


class CatalogueService(Protocol):
    """One database's catalogue. docs/design/catalogue.md says how old an answer may be."""

    @property
    def version(self) -> int:
        """Goes up whenever what was concluded so far may be wrong."""

    @property
    def snapshot(self) -> Snapshot | None:
        """The catalogue, if it is loaded and nothing is known to have changed since. Counts as a use."""

    async def current(self) -> Snapshot:
        """The catalogue, loaded first where it has to be; who asks at the same time shares one load.

        Raises BackendError where the server can't be asked; then nothing is known, and names are unresolved.
        """

    def touch(self) -> None:
        """Say that conclusions from the catalogue are in use. What nobody uses for a while is dropped, as if it had
        changed."""

    def on_ddl(self) -> None:
        """Something was defined: what is known may be wrong.

        To be called when the server has acknowledged the commit, not before: else the catalogue is read again before
        there is anything new in it.
        """

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every new version. Returns what ends it. ``listener`` must not raise."""
