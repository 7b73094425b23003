"""Money that moves between accounts: its sum never changes, and each transfer is booked once or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from uuid import UUID

__all__ = ["ACCOUNTS", "SCHEMA", "SUM", "Ledger", "Transfer"]

ACCOUNTS = 20
SUM = ACCOUNTS * 1000
SCHEMA = f"""
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL);
INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, {ACCOUNTS}) AS i;
CREATE TABLE ledger (id uuid PRIMARY KEY);
CREATE TABLE copied (client text, i int);
"""


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer; ``id`` is booked in its transaction."""

    id: UUID
    source: int
    target: int
    amount: int

    @classmethod
    def choose(cls, random: Random) -> Transfer:
        source, target = random.sample(range(1, ACCOUNTS + 1), 2)
        return cls(UUID(int=random.getrandbits(128)), source, target, random.randint(1, 50))

    def statements(self) -> list[str]:
        """As statements of one transaction. The accounts are locked in their order, so that nobody deadlocks."""
        changes = sorted([(self.source, -self.amount), (self.target, self.amount)])
        updates = [f"UPDATE accounts SET balance = balance + {by} WHERE id = {account}" for account, by in changes]
        return [*updates, f"INSERT INTO ledger VALUES ('{self.id}')"]

    def statement(self) -> str:
        """As one statement. It locks the accounts in any order, so PostgreSQL may find a deadlock and undo it."""
        return (
            f"WITH booked AS (INSERT INTO ledger VALUES ('{self.id}')) "
            f"UPDATE accounts SET balance = balance + CASE WHEN id = {self.source} THEN -{self.amount} "
            f"ELSE {self.amount} END WHERE id IN ({self.source}, {self.target})"
        )


@dataclass
class Ledger:
    """What clients believe of their transfers."""

    done: set[UUID] = field(default_factory=set)
    """The server said so."""
    not_done: set[UUID] = field(default_factory=set)
    """Rolled back, or given up before COMMIT was sent."""
    open: set[UUID] = field(default_factory=set)
    """The answer to COMMIT never came: either may be true."""

    def discrepancies(self, booked: set[UUID]) -> list[str]:
        """What is wrong with the transfers that were booked."""
        found = []
        if self.done - booked:
            found.append(f"{len(self.done - booked)} transfers were acknowledged and are not booked")
        if self.not_done & booked:
            found.append(f"{len(self.not_done & booked)} transfers were rolled back and are booked")
        if booked - self.done - self.open:
            found.append(f"{len(booked - self.done - self.open)} transfers are booked that nobody asked for")
        return found
