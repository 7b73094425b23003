"""Clients that keep their backends beyond a transaction, and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interceptor.errors import TOO_MANY_PINNED, ClientError
from interceptor.sql.effects import Effect

if TYPE_CHECKING:
    from pooler.client import ClientConnection
    from pooler.pool import Pool

__all__ = ["Pinned", "describe_pins", "note_pins"]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Pinned:
    """Why a client keeps its backend beyond a transaction, and since when (seconds of the clock)."""

    since: float
    reasons: frozenset[Effect]


def note_pins(pool: Pool, client: ClientConnection, reasons: frozenset[Effect]) -> None:
    """A client keeps its backend for these reasons, or, if there are none, no longer than its transaction.

    Raises ClientError if as many do already as may.
    """
    if not reasons:
        pool.pinned.pop(client, None)
        return
    if client in pool.pinned:
        pool.pinned[client].reasons = reasons
        return
    limit = pool.settings.max_pinned
    if limit and len(pool.pinned) >= limit:
        raise ClientError(
            TOO_MANY_PINNED,
            f"{describe_pins(reasons)}, so this client would have to keep its backend, and {limit} clients of "
            f"the pool {pool} do so already (max_pinned is {limit})",
            hint='Raise max_pinned and pool_size, use pool_mode = "session" for this user, or do without.',
        )
    pool.pinned[client] = Pinned(pool.clock.tick(), reasons)
    logger.info("%s keeps its backend: %s", client, describe_pins(reasons))


def describe_pins(reasons: frozenset[Effect]) -> str:
    """The reasons in words, in an order that does not change: "it holds …, and it has …"."""
    return ", and ".join([effect.value for effect in Effect if effect in reasons])
