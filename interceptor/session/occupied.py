"""What plugins do for a client beside deciding: answers that are sent, and what is to be done before a commit.

An idle client has nothing of either, and so none of the objects that see to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from interceptor.session.committing import Committing
from interceptor.session.delivery import Delivery
from interceptor.session.naming import Naming

if TYPE_CHECKING:
    from interceptor.hooks.plans import PlanTables
    from interceptor.hooks.statement import Session
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.interception import Interception
    from interceptor.session.staging import Stage
    from interceptor.session.substitutes import Answered

__all__ = ["Occupied"]


class Occupied(Naming):
    """That part of an ``Interception``."""

    __slots__ = ("_committing", "delivery", "stage")

    def __init__(self, session: ClientSession, tables: PlanTables, facts: Session) -> None:
        """As ``Naming``."""
        super().__init__(session, tables, facts)
        self.delivery: Delivery | None = None
        """Of answers, once there has been one."""
        self._committing: Committing | None = None
        self.stage: Stage | None = None
        """What runs before a statement, while it waits for the server or for rows of a plugin."""

    @property
    def busy(self) -> bool:
        """Rows of a plugin are being sent, to the client or before a statement."""
        delivery, committing = self.delivery, self._committing
        return (
            (delivery is not None and delivery.busy)
            or self.stage is not None
            or (committing is not None and committing.asking)
        )

    @property
    def committing(self) -> Committing:
        """What is to be done before the client's transactions are committed. Made when it is first asked for."""
        if self._committing is None:
            self._committing = Committing(cast("Interception", self))
        return self._committing

    @property
    def wants_commit(self) -> bool:
        """Somebody wants to be asked before the transaction is committed."""
        return self.facts.transaction.has_before_commit

    def holds_sync(self, backend: BackendSession | None) -> bool:
        """As ``Committing.holds_sync``."""
        return self.wants_commit and self.committing.holds_sync(backend)

    def deliver(self, answered: Answered, ready: bytes) -> None:
        """Send the rows of an answer, and what ends them (``Delivery.start``)."""
        if self.delivery is None:
            self.delivery = Delivery(self.session, cast("Interception", self), self.tables.waits)
        self.delivery.start(answered, ready)
