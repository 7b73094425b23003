"""Whether a server is what ``target_session_attrs`` asks for, found out as libpq does.

PostgreSQL 14 and later say it at login, as the parameters ``in_hot_standby`` and ``default_transaction_read_only``.
Others, and poolers that keep that to themselves, are asked. Source: fe-connect.c, CONNECTION_CHECK_TARGET.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from pooler.config.hosts import TargetSessionAttrs

if TYPE_CHECKING:
    from pooler.login_exchange import Welcome

__all__ = ["why_unfit"]

Ask = Callable[[str], Awaitable[bytes]]
"""Runs a query, and gives the one value that it returns. Raises what ends the connection."""

_RECOVERY: Final = "SELECT pg_catalog.pg_is_in_recovery()"
_READ_ONLY: Final = "SHOW transaction_read_only"

_STANDBY: Final = "it is a standby"
_NO_STANDBY: Final = "it is no standby"
_READS_ONLY: Final = "its sessions are read-only"
_WRITES: Final = "its sessions are read-write"


async def why_unfit(attrs: TargetSessionAttrs, welcome: Welcome, profile: Mapping[str, str], ask: Ask) -> str:
    """Why the server is not the one that is meant; "" if it is.

    A session that is read-only because its ``profile`` says so tells nothing of the server.
    """
    match attrs:
        case TargetSessionAttrs.ANY | TargetSessionAttrs.PREFER_STANDBY:
            return ""
        case TargetSessionAttrs.PRIMARY:
            return _STANDBY if await _in_recovery(welcome, ask) else ""
        case TargetSessionAttrs.STANDBY:
            return "" if await _in_recovery(welcome, ask) else _NO_STANDBY
        case TargetSessionAttrs.READ_WRITE:
            if _says_read_only(profile):
                return _STANDBY if await _in_recovery(welcome, ask) else ""
            return _READS_ONLY if await _reads_only(welcome, ask) else ""
        case TargetSessionAttrs.READ_ONLY:
            if _says_read_only(profile):
                return "" if await _in_recovery(welcome, ask) else _NO_STANDBY
            return "" if await _reads_only(welcome, ask) else _WRITES


def _says_read_only(profile: Mapping[str, str]) -> bool:
    return any("transaction_read_only" in f"{name} {value}".lower() for name, value in profile.items())


async def _in_recovery(welcome: Welcome, ask: Ask) -> bool:
    said = welcome.reported.values.get(b"in_hot_standby")
    return said == b"on" if said is not None else await ask(_RECOVERY) == b"t"


async def _reads_only(welcome: Welcome, ask: Ask) -> bool:
    reported = welcome.reported.values
    standby, default = reported.get(b"in_hot_standby"), reported.get(b"default_transaction_read_only")
    if standby is None or default is None:
        return await ask(_READ_ONLY) == b"on"
    return b"on" in (standby, default)
