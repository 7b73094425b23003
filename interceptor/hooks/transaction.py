"""What is known of a client's transaction, and who wants to be asked before it is committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from interceptor.hooks.decisions import Block

__all__ = ["AfterEnd", "BeforeCommit", "Transaction", "TransactionStatus"]

TransactionStatus: TypeAlias = Literal["idle", "open", "failed"]

_TRACKED: Final = frozenset(["wrote", "locked", "changed_schema", "statements", "read_only", "isolation"])

BeforeCommit: TypeAlias = "Callable[[], Block | Awaitable[Block | None] | None]"
AfterEnd: TypeAlias = Callable[[bool], None]


class Transaction:
    """The transaction of one session. Plugins read it; the proxy writes it, and ends it with ``end``.

    All of it counts what was sent, whether or not it has been answered: all up to a Sync, and a whole Query of several
    statements, is one transaction, though the last status said idle.
    """

    __slots__ = (
        "_after_end",
        "_before_commit",
        "changed_schema",
        "implicit",
        "isolation",
        "locked",
        "read_only",
        "statements",
        "status",
        "tracked",
        "wrote",
    )

    def __init__(self, *, tracked: bool = True) -> None:
        """``tracked``: it is kept what its statements do. If not, to read that is an UndeclaredDependency."""
        self.tracked = tracked
        self.status: TransactionStatus = "idle"
        """Of the last ReadyForQuery."""
        self._before_commit: tuple[BeforeCommit, ...] = ()
        self._after_end: tuple[AfterEnd, ...] = ()
        self._clear()

    def _clear(self) -> None:
        self.implicit = False
        """Something was sent since, which the next Sync or the end of the Query commits."""
        if not self.tracked:
            # What was never set can't be read: see __getattr__.
            return
        self.wrote = False
        """It may have written."""
        self.locked = False
        """It may hold locks that a plain SELECT does not take."""
        self.changed_schema = False
        """It may have changed what names mean."""
        self.statements = 0
        """Executions in it so far."""
        self.read_only: bool | None = None
        """As said at its beginning, or by SET TRANSACTION; None if nothing was said."""
        self.isolation: str | None = None
        """As ``read_only``: ``read committed``, ``repeatable read`` or ``serializable``."""

    def track(self) -> None:
        """From now on it is kept what its statements do."""
        implicit = self.implicit
        self.tracked = True
        self._clear()
        self.implicit = implicit

    def __getattr__(self, name: str) -> object:
        from interceptor.hooks.statement import UndeclaredDependency

        if name in _TRACKED:
            raise UndeclaredDependency(
                f'what a transaction did ("{name}") is kept only for plugins that want it: '
                'declare depends_on=("transaction",)'
            )
        raise AttributeError(name)

    @property
    def open(self) -> bool:
        """Whether the next statement joins what went before: then it can't be sent elsewhere."""
        return self.implicit or self.status != "idle"

    def before_commit(self, callback: BeforeCommit) -> None:
        """Call this before the transaction is committed. A Block makes the commit fail, and is what the client gets.

        Called once at most, in the order of registration, and not at all if the transaction is rolled back.
        """
        self._before_commit += (callback,)

    def after_end(self, callback: AfterEnd) -> None:
        """Call this when the transaction has ended, with whether it was committed, before the client is told."""
        self._after_end += (callback,)

    @property
    def has_before_commit(self) -> bool:
        """Whether somebody wants to be asked before it is committed."""
        return bool(self._before_commit)

    @property
    def has_after_end(self) -> bool:
        """Whether somebody wants to be told when it has ended."""
        return bool(self._after_end)

    @property
    def has_callbacks(self) -> bool:
        """Whether somebody wants to be asked or told at its end."""
        return bool(self._before_commit or self._after_end)

    def take_before_commit(self) -> tuple[BeforeCommit, ...]:
        """The callbacks to be run now; the proxy asks before it commits."""
        callbacks, self._before_commit = self._before_commit, ()
        return callbacks

    def end(self) -> tuple[AfterEnd, ...]:
        """Forget all of it, and return the callbacks to be run now."""
        callbacks = self._after_end
        self._before_commit = self._after_end = ()
        self.status = "idle"
        self._clear()
        return callbacks
