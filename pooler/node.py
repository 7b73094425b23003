"""All processes of this node as one: questions that each of them answers, and commands that each of them obeys.

What goes to and fro is plain: texts, numbers, None and lists of them, so that it can be sent from process to process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from pooler.reports import answer, obey

if TYPE_CHECKING:
    from pooler.server import Server

__all__ = ["LocalNode", "Node", "Row", "Value"]

Value: TypeAlias = "str | int | float | list[Value] | None"
Row: TypeAlias = list[Value]


class Node(Protocol):
    """The processes that share the listening address and the limits."""

    async def ask_all(self, question: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """What each process answers (``pooler.reports.answer``), this one included: one list of rows for each."""

    async def tell_all(self, command: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """Have each process carry out a command (``pooler.reports.obey``), and wait until all have.

        Returns one list of rows for each. Raises ClientError, not fatal, where one refuses it.
        """


class LocalNode:
    """A node of this process alone."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def ask_all(self, question: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.ask_all``."""
        return [await answer(self._server, question, arguments)]

    async def tell_all(self, command: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.tell_all``."""
        return [await obey(self._server, command, arguments)]
