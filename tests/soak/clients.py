"""The clients of a run. Each does one thing after another, checks every answer, and comes back whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from random import Random
from typing import ClassVar

from tests.soak.bank import SUM, Ledger, Transfer
from tests.soak.counts import Counts
from tests.soak.wire import AsyncWire, ServerSaid, rows, send_cancel
from tests.support import frontend

__all__ = ["PATIENCE", "TROUBLE", "Client", "WireUser", "transacts"]

PATIENCE = 90.0
"""Seconds after which an answer counts as lost. Nobody is made to wait nearly as long on purpose."""

TROUBLE = frozenset({"57P01", "57P02", "57P03", "08006", "08001", "08004", "08003"})
"""SQLSTATEs that come of backends that are killed, servers that restart and networks that fail."""

DEADLOCK = "40P01"

Deed = Callable[[AsyncWire], Awaitable[None]]


class Client:
    """What all clients have in common: one deed after another until it is told to stop."""

    def __init__(self, name: str, mode: str, address: tuple[str, int], counts: Counts, ledger: Ledger) -> None:
        self.name = name
        self.mode = mode
        self.host, self.port = address
        self.database = f"soak_{mode}"
        self.counts = counts
        self.ledger = ledger
        self.random = Random(name)
        self.deeds = 0
        """Things done without an error."""
        self.stopping = False

    async def run(self) -> None:
        """Work until ``stopping``."""
        while not self.stopping:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self.visit()
            except TimeoutError:
                self.counts.blame(f"{self.name} had no answer for {PATIENCE:g} s")
                return
            except (OSError, EOFError) as error:
                self.counts.errors[type(error).__name__] += 1
            except ServerSaid as error:
                self.note(error.sqlstate, error)
            except Exception as error:
                self.counts.blame(f"{self.name}: {error!r}")
                raise
            self.counts.events["reconnects"] += 1
            # Whoever was thrown out does not come back in the same instant.
            await asyncio.sleep(self.random.random() * 0.2)

    async def visit(self) -> None:
        """Connect, do some things, and leave."""
        raise NotImplementedError

    def note(self, sqlstate: str, error: Exception) -> None:
        """Hold that an error is one that this run transacts."""
        if sqlstate in TROUBLE:
            self.counts.errors[sqlstate] += 1
        else:
            self.counts.blame(f"{self.name}: {error}")

    def nonce(self) -> str:
        """A text that nobody else asks for."""
        return f"{self.name}-{self.random.getrandbits(64):016x}"

    def expect(self, got: object, wanted: object) -> None:
        """Hold that an answer is the one that was asked for."""
        if got != wanted:
            self.counts.blame(f"{self.name} asked for {wanted!r} and was told {got!r}"[:500])

    def done(self, event: str) -> None:
        """Count a thing that was done."""
        self.deeds += 1
        self.counts.events[event] += 1


def transacts(mode: str) -> bool:
    """Whether clients of this mode may open transactions."""
    return mode != "statement"


class WireUser(Client):
    """A client that speaks the protocol itself, and misbehaves."""

    VANISHING: ClassVar[float] = 0.03
    """How often it breaks off in the midst of a thing."""

    async def visit(self) -> None:
        wire = await AsyncWire.connect(self.host, self.port, self.database)
        deeds: list[Deed] = [self.ask, self.ask, self.ask_extended, self.pipeline, self.copy_out, self.copy_in]
        deeds += [self.transfer, self.transfer, self.check_sum, self.cancel, self.read_slowly]
        try:
            for _ in range(self.random.randint(1, 5 if self.mode == "session" else 40)):
                if self.stopping:
                    break
                if self.random.random() < self.VANISHING:
                    await self.break_off(wire)
                    return
                await self.random.choice(deeds)(wire)
            await wire.close()
        finally:
            wire.vanish()

    async def ask(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        self.expect(await wire.query(f"SELECT '{nonce}'"), [(nonce,)])
        self.done("queries")

    async def ask_extended(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        wire.send(frontend.parse("SELECT $1::text"), frontend.bind([nonce.encode()]), frontend.execute())
        wire.send(frontend.sync())
        self.expect(rows(await wire.read_until_ready()), [(nonce,)])
        self.done("queries")

    async def pipeline(self, wire: AsyncWire) -> None:
        """Several batches at once, one of which fails."""
        nonces = [self.nonce() for _ in range(5)]
        for nonce in nonces:
            wire.send(frontend.parse("SELECT $1::text"), frontend.bind([nonce.encode()]), frontend.execute())
            wire.send(frontend.sync())
        wire.send(frontend.parse("SELECT 1/0"), frontend.bind(), frontend.execute(), frontend.sync())
        replies = []
        for _ in range(len(nonces) + 1):
            try:
                replies += await wire.read_until_ready()
            except ServerSaid as error:
                if error.sqlstate != "22012":
                    raise
        self.expect(rows(replies), [(nonce,) for nonce in nonces])
        self.done("pipelines")

    async def copy_out(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        count = self.random.randint(1, 2000)
        wire.send(frontend.query(f"COPY (SELECT '{nonce}' FROM generate_series(1, {count})) TO STDOUT"))
        replies = await wire.read_until_ready()
        self.expect({reply.body for reply in replies if reply.tag == b"d"}, {f"{nonce}\n".encode()})
        self.expect(sum(reply.tag == b"d" for reply in replies), count)
        self.done("copies")

    async def copy_in(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        count = self.random.randint(1, 500)
        wire.send(frontend.query("COPY copied FROM STDIN"))
        while (reply := await wire.read()).tag != b"G":
            if reply.tag == b"E":
                raise ServerSaid(reply)
        for number in range(count):
            wire.send(frontend.copy_data(f"{nonce}\t{number}\n".encode()))
        await wire.drain()
        wire.send(frontend.copy_done())
        await wire.read_until_ready()
        found = await wire.query(f"SELECT count(*), count(DISTINCT i) FROM copied WHERE client = '{nonce}'")
        self.expect(found, [(str(count), str(count))])
        await wire.query(f"DELETE FROM copied WHERE client = '{nonce}'")
        self.done("copies")

    async def check_sum(self, wire: AsyncWire) -> None:
        self.expect(await wire.query("SELECT sum(balance) FROM accounts"), [(str(SUM),)])
        self.done("sums")

    async def transfer(self, wire: AsyncWire) -> None:
        transfer = Transfer.choose(self.random)
        if not transacts(self.mode):
            await self._finish(wire, transfer, transfer.statement())
            return
        self.ledger.not_done.add(transfer.id)
        await wire.query("BEGIN")
        for statement in transfer.statements():
            await wire.query(statement)
        if self.random.random() < 0.1:
            await wire.query("ROLLBACK")
            self.done("rollbacks")
        else:
            self.ledger.not_done.discard(transfer.id)
            await self._finish(wire, transfer, "COMMIT")

    async def _finish(self, wire: AsyncWire, transfer: Transfer, statement: str) -> None:
        self.ledger.open.add(transfer.id)
        try:
            await wire.query(statement)
        except ServerSaid as error:
            if error.sqlstate != DEADLOCK:
                raise
            self.ledger.open.discard(transfer.id)
            self.ledger.not_done.add(transfer.id)
            self.done("deadlocks")
            return
        self.ledger.open.discard(transfer.id)
        self.ledger.done.add(transfer.id)
        self.done("transfers")

    async def cancel(self, wire: AsyncWire) -> None:
        wire.send(frontend.query("SELECT pg_sleep(5)"))
        await wire.drain()
        await asyncio.sleep(self.random.random() * 0.2)
        await send_cancel(self.host, self.port, wire.key)
        try:
            await wire.read_until_ready()
        except ServerSaid as error:
            if error.sqlstate != "57014":
                raise
        # The next query is not what was canceled.
        await self.ask(wire)
        self.done("cancels")

    async def read_slowly(self, wire: AsyncWire) -> None:
        nonce = self.nonce()
        wire.send(frontend.query(f"SELECT repeat('{nonce}', 1000) FROM generate_series(1, 50)"))
        seen = []
        while (reply := await wire.read()).tag != b"Z":
            if reply.tag == b"E":
                raise ServerSaid(reply)
            seen += [hashlib.sha256(row[0].encode()).digest() for row in rows([reply])]
            await asyncio.sleep(0.002)
        self.expect(seen, [hashlib.sha256((nonce * 1000).encode()).digest()] * 50)
        self.done("slow reads")

    async def break_off(self, wire: AsyncWire) -> None:
        """Vanish: in a message, a transaction, a COPY, or with an answer under way."""
        unbooked = Transfer.choose(self.random)
        self.ledger.not_done.add(unbooked.id)
        begun = frontend.query("BEGIN").data if transacts(self.mode) else b""
        copy = frontend.query("COPY copied FROM STDIN").data + frontend.copy_data(b"never\t1\n").data
        data = self.random.choice(
            [
                begun + b"".join(frontend.query(each).data for each in unbooked.statements()) if begun else b"",
                copy,
                frontend.query("SELECT repeat('x', 100000) FROM generate_series(1, 100)").data,
                frontend.query("SELECT pg_sleep(0.5)").data,
                frontend.parse("SELECT 1").data + frontend.bind().data + frontend.execute().data,
                frontend.query("SELECT '" + "x" * 100_000 + "'").data,
            ]
        )
        wire.write(data[: self.random.randint(0, len(data))])
        if self.random.random() < 0.5:
            await wire.drain()
            await asyncio.sleep(self.random.random() * 0.05)
        wire.vanish()
        self.counts.events["vanished"] += 1
