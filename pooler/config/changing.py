"""Which settings a running server can't change."""

from __future__ import annotations

from typing import Final

from pooler.config.settings import ServerSettings

__all__ = ["FIXED_SETTINGS", "fixed_changes"]

FIXED_SETTINGS: Final = frozenset({"listen_addr", "listen_backlog", "listen_port", "unix_socket_dir", "workers"})
"""What is settled when the sockets are opened and the processes begin."""


def fixed_changes(old: ServerSettings, new: ServerSettings) -> tuple[str, ...]:
    """The settings that differ and stay as they are until a restart."""
    return tuple(sorted(name for name in FIXED_SETTINGS if getattr(old, name) != getattr(new, name)))
