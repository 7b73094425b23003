"""Queries of our own on a server, beside those of clients. ``pooler`` implements them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Protocol

__all__ = ["HelperQueries", "Parameter", "Row", "Value"]

Value = None | bool | int | float | str | bytes | Decimal | list["Value"]
"""A value of PostgreSQL, by its type: bool; int (int2, int4, int8, oid); float; Decimal (numeric); bytes (bytea); a
list (arrays, nested where they have several dimensions); str for all others, as PostgreSQL writes it; None for NULL."""

Row = tuple[Value, ...]

Parameter = None | bool | int | float | str | bytes | Decimal | Sequence["Parameter"]
"""What may stand for ``$1``, ``$2`` and so on. It goes as text, and PostgreSQL finds the type where it is used."""


class HelperQueries(Protocol):
    """Queries of our own on one database, over a connection that no client shares.

    One statement a call, over the extended protocol: a parameter is never a part of the text. Callers take turns.

    Each raises BackendError: the server can't be reached, refuses the login, or fails the statement (its ``sqlstate``
    is the server's). Nothing is repeated by itself, unless the connection turned out to be dead before it was used.
    """

    async def query(self, sql: str, *parameters: Parameter) -> list[Row]:
        """Run a statement, and return its rows."""

    def pages(self, sql: str, *parameters: Parameter, size: int = 500) -> AsyncGenerator[list[Row], None]:
        """Run a statement, and give its rows in lists of at most ``size``: memory holds one at a time.

        The connection is the caller's until the iterator ends or is closed (``contextlib.aclosing``).
        """

    def snapshot(self) -> AbstractAsyncContextManager[HelperQueries]:
        """A transaction, REPEATABLE READ and READ ONLY: all its queries see the same. It ends with the block.

        Of an error inside the block nothing remains, since nothing was written. Don't nest it.
        """
