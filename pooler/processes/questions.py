"""Questions of the console to all processes: the worker that has the console asks, and the control puts the answers
together."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import msgspec

from interceptor.errors import CONSOLE_FAILED, FAILURES, ClientError
from pooler.processes.messages import Answered, Message, Question, Refusal
from pooler.processes.signals import RENEW
from pooler.reports import answer, obey
from pooler.tasks import spawn

if TYPE_CHECKING:
    from pooler.gates import Gates
    from pooler.node import Node, Row
    from pooler.processes.control import Peer
    from pooler.server import Server

__all__ = ["ControlNode", "ProcessNode", "QuestionRouter"]

Send = Callable[[Message, int], None]
_NO_FILE: Final = -1
_ANSWER_WITHIN: Final = 5.0
"""Seconds that a process has to say how it is. Commands may take as long as they do."""
_LATE_WITHIN: Final = 0.25
"""Seconds for one that did not answer the last question: a SHOW may be several, and who looks is in a hurry."""
_OF_GATES: Final = frozenset({"DISABLE", "ENABLE", "KILL", "PAUSE", "RESUME"})
_GATES: Final = "gates"
_SET: Final = "set"
_OF_ALL: Final = frozenset({"RECONNECT", "RELOAD", "SET", "UNBAN"})
"""Commands that the control obeys too: it has the limits, the connections that listen, and counts failed logins."""

logger = logging.getLogger(__name__)


class _Obeying:
    """Carries out commands in this process, and keeps for its successor what they have changed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._gates = server.host.shared.own("gates").state
        self._settings = server.host.shared.own("set").state

    async def _obey(self, command: str, arguments: tuple[str, ...]) -> list[Row]:
        task = asyncio.get_running_loop().create_task(obey(self._server, command, arguments), name=command)
        try:
            if command in _OF_GATES:
                # What it changes at once holds for a worker that is replaced, too.
                await asyncio.sleep(0)
                self._gates.set(_GATES, _encode_gates(self._server.pools.gates))
            rows = await task
        finally:
            task.cancel()
        if command == "SET":
            self._settings.set(_SET, msgspec.msgpack.encode({**self._what_was_set(), arguments[0]: arguments[1]}))
        elif command == "RELOAD":
            self._settings.set(_SET, msgspec.msgpack.encode({}))
        return rows

    def take_gates(self) -> None:
        """Hold up what the others hold up. For a new worker, before it serves, and for the control at any time."""
        known = self._gates.get(_GATES)
        if known is not None:
            gates = self._server.pools.gates
            gates.all_paused, gates.paused, gates.disabled = msgspec.msgpack.decode(
                known, type=tuple[bool, set[str], set[str]]
            )

    async def take_settings(self) -> None:
        """Have the settings that SET has given the others. For a process that takes the place of another."""
        for name, value in self._what_was_set().items():
            try:
                await self._server.reloader.set(name, value)
            except ClientError as error:
                logger.error("what SET has changed is not taken up by this process: %s: %s", name, error)

    def _what_was_set(self) -> dict[str, str]:
        known = self._settings.get(_SET)
        return {} if known is None else msgspec.msgpack.decode(known, type=dict[str, str])


class ProcessNode(_Obeying):
    """Implements ``Node`` for one of several workers."""

    def __init__(self, server: Server, send: Send) -> None:
        super().__init__(server)
        self._send = send
        self._tickets = 0
        self._pending: dict[int, asyncio.Future[Answered]] = {}
        self.connected = False
        """There is a control."""

    async def ask_all(self, question: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.ask_all``."""
        own = await answer(self._server, question, arguments)
        return [own, *await self._ask(question, arguments, is_command=False)]

    async def tell_all(self, command: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.tell_all``."""
        # At the same time: some commands wait for what happens in all processes.
        both = asyncio.gather(self._ask(command, arguments, is_command=True), self._obey(command, arguments))
        others: list[list[Row]]
        own: list[Row]
        others, own = await both
        return [own, *others]

    async def _ask(self, name: str, arguments: tuple[str, ...], *, is_command: bool) -> list[list[Row]]:
        if not self.connected:
            raise _lost()
        self._tickets += 1
        ticket = self._tickets
        pending = self._pending[ticket] = asyncio.get_running_loop().create_future()
        self._send(Question(ticket, name, arguments, is_command), _NO_FILE)
        try:
            answered = await pending
        finally:
            del self._pending[ticket]
        return _rows_of(answered)

    # --- For the link ------------------------------------------------------------------------------------------------

    def on_answered(self, answered: Answered) -> None:
        """The other processes have answered."""
        pending = self._pending.get(answered.ticket)
        if pending is not None and not pending.done():
            pending.set_result(answered)

    def on_question(self, question: Question) -> None:
        """Another process's console asks."""
        spawn(self._reply(question), name=f"answer about {question.name}")

    def on_lost(self) -> None:
        """The control is gone, and with it the answers."""
        self.connected = False
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(_lost())

    async def _reply(self, question: Question) -> None:
        name, arguments = question.name, question.arguments
        work = self._obey(name, arguments) if question.is_command else answer(self._server, name, arguments)
        self._send(await _answer_to(work, question.ticket), _NO_FILE)


def _rows_of(answered: Answered) -> list[list[Row]]:
    refusal = answered.refusal
    if refusal is not None:
        failure = FAILURES[refusal.code]
        raise ClientError(failure, refusal.message, detail=refusal.detail, hint=refusal.hint, fatal=False)
    return cast("list[list[Row]]", answered.rows)


def _lost() -> ClientError:
    text = "the control process, through which all processes answer, is being replaced"
    return ClientError(CONSOLE_FAILED, text, hint="Try again.", fatal=False)


def _encode_gates(gates: Gates) -> bytes:
    return msgspec.msgpack.encode((gates.all_paused, sorted(gates.paused), sorted(gates.disabled)))


async def _answer_to(work: Awaitable[list[Row]], ticket: int) -> Answered:
    rows: list[Row] = []
    refusal: Refusal | None = None
    try:
        rows = await work
    except ClientError as error:
        refusal = Refusal(error.failure.code, error.message, error.detail, error.hint)
    return Answered(ticket, cast("list[list[list[object]]]", [rows]), refusal)


class _Round:
    """One question to all but the asker."""

    def __init__(self, ticket: int, reply: Callable[[Answered], None]) -> None:
        self.ticket = ticket
        self.reply = reply
        self.open: dict[int, Peer | None] = {}
        """Who has yet to answer; None for the control itself."""
        self.rows: list[list[list[object]]] = []
        self.refusal: Refusal | None = None


class QuestionRouter:
    """The control's half."""

    def __init__(self, peers: Mapping[int, Peer]) -> None:
        self._peers = peers
        self.on_command: Callable[[Question], Awaitable[Answered]] | None = None
        """What the control itself does."""
        self._rounds: dict[int, _Round] = {}
        self._late: set[Peer] = set()
        """Who did not answer the last question in time."""
        self._tickets = 0
        self.ready = False
        """All who were there before this control have made themselves known: nobody is left out."""
        self._early: list[tuple[Question, _Round, Peer | None]] = []
        """What was asked before."""

    def on_ready(self) -> None:
        """All who live are known."""
        self.ready = True
        early, self._early = self._early, []
        for question, one, asker in early:
            self._begin(question, one, asker)

    def on_question(self, asker: Peer, question: Question) -> None:
        """A worker's console asks all others."""
        self._begin(question, _Round(question.ticket, asker.channel.send), asker)

    async def ask(self, name: str, arguments: tuple[str, ...], *, is_command: bool) -> Answered:
        """Ask all workers, for this process."""
        answered = asyncio.get_running_loop().create_future()

        def reply(message: Answered) -> None:
            if not answered.done():
                answered.set_result(message)

        self._begin(Question(0, name, arguments, is_command), _Round(0, reply), None)
        found: Answered = await answered
        return found

    def _begin(self, question: Question, one: _Round, asker: Peer | None) -> None:
        if not self.ready:
            self._early.append((question, one, asker))
            return
        for peer in self._peers.values():
            if peer is not asker and peer.answers:
                self._tickets += 1
                one.open[self._tickets] = peer
                self._rounds[self._tickets] = one
        for ticket, asked in list(one.open.items()):
            assert asked is not None
            asked.channel.send(Question(ticket, question.name, question.arguments, question.is_command))
        if question.is_command and question.name in _OF_ALL and self.on_command is not None:
            self._tickets += 1
            one.open[self._tickets] = None
            self._rounds[self._tickets] = one
            own = Question(self._tickets, question.name, question.arguments, is_command=True)
            spawn(self._obey_too(self.on_command(own)), name=question.name)
        if not question.is_command and one.open:
            loop = asyncio.get_running_loop()
            loop.call_later(_ANSWER_WITHIN, self._give_up, one, list(one.open))
            late = [ticket for ticket, asked in one.open.items() if asked in self._late]
            if late:
                loop.call_later(_LATE_WITHIN, self._give_up, one, late)
        self._close_if_done(one)

    async def _obey_too(self, work: Awaitable[Answered]) -> None:
        self.on_answered(await work)

    def _give_up(self, one: _Round, tickets: list[int]) -> None:
        """Go on without those of these that have not answered: a worker that stalls must not blind who looks for it."""
        for ticket in one.open.keys() & tickets:
            asked = one.open.pop(ticket)
            if asked is not None:
                self._late.add(asked)
            del self._rounds[ticket]
            self._close_if_done(one)

    def on_answered(self, answered: Answered, peer: Peer | None = None) -> None:
        """One of them has answered; None for the control itself."""
        if peer is not None:
            self._late.discard(peer)  # also where nobody waits for this answer any more
        one = self._rounds.pop(answered.ticket, None)
        if one is not None:
            del one.open[answered.ticket]
            one.rows += answered.rows
            one.refusal = one.refusal or answered.refusal
            self._close_if_done(one)

    def on_gone(self, peer: Peer) -> None:
        """It answers no more: what it had is gone with it."""
        self._late.discard(peer)
        for ticket, one in list(self._rounds.items()):
            if one.open.get(ticket) is peer:
                del self._rounds[ticket], one.open[ticket]
                self._close_if_done(one)

    def _close_if_done(self, one: _Round) -> None:
        if not one.open:
            one.reply(Answered(one.ticket, one.rows, one.refusal))


class ControlNode(_Obeying):
    """Implements ``Node`` for the control, which has no clients and tells of itself too."""

    def __init__(
        self,
        server: Server,
        router: QuestionRouter,
        tell_parent: Callable[[signal.Signals], None],
        on_changed: Callable[[], None],
    ) -> None:
        """``on_changed`` is called when the configuration is another."""
        super().__init__(server)
        self._router = router
        self._tell_parent = tell_parent
        self._on_changed = on_changed
        router.on_command = self._on_command
        self._gates.on_change(lambda _: self._on_gates())

    def _on_gates(self) -> None:
        """PAUSE holds up the connections that listen, too."""
        self.take_gates()
        self._server.hubs.look_around()

    async def _on_command(self, question: Question) -> Answered:
        answered = await _answer_to(self._obey(question.name, question.arguments), question.ticket)
        self._on_changed()
        if question.name == "RELOAD" and answered.refusal is None:
            # Processes that are to replace others begin with this configuration.
            self._tell_parent(RENEW)
        return answered

    async def ask_all(self, question: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.ask_all``."""
        answered = await self._router.ask(question, arguments, is_command=False)
        return [await answer(self._server, question, arguments), *_rows_of(answered)]

    async def tell_all(self, command: str, arguments: tuple[str, ...] = ()) -> list[list[Row]]:
        """As ``Node.tell_all``."""
        return _rows_of(await self._router.ask(command, arguments, is_command=True))


if TYPE_CHECKING:

    def _node(node: ProcessNode) -> Node:
        return node

    def _control_node(node: ControlNode) -> Node:
        return node
