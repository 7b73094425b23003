"""Several clients of one pool, each compared with a PostgreSQL session of its own that hears the same.

A conversation of several is a list of *turns*. Within its turn a client may open transactions, and do what pins its
backend; at the end of the turn it has ended both. So a pool of one serves them all, and one in which a turn leaves
something behind does not: the next client waits in vain, which is a difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import frontend
from tests.support.backend import Reply
from tests.support.compare import Comparison, Difference, Run, Transcript, open_conversation, unequal, without_place
from tests.support.frontend import Frontend
from tests.support.login import LoginFailed
from tests.support.script import Ending, Opening, Part, part
from tests.support.settle import Settler
from tests.support.wire import Endpoint, ReplyTimeout, WireClient, WireError

if TYPE_CHECKING:
    from hypothesis.vendor.pretty import RepresentationPrinter

__all__ = ["LOOK", "InterleavedComparison", "Interleaving", "Turn", "interleaving", "turn"]

LOOK = frontend.query(
    "SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'DateStyle', 'IntervalStyle', 'search_path', "
    "'work_mem', 'statement_timeout', 'extra_float_digits', 'bytea_output', 'application_name', 'client_encoding', "
    "'standard_conforming_strings', 'default_transaction_isolation', 'default_transaction_read_only') ORDER BY name; "
    "SELECT current_user, session_user, current_setting('role'), coalesce(current_setting('app.tenant', true), '')"
)
"""What a client sees of its session. Each has it for its last words."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one client says before the next one's turn comes. Its last part waits.

    ``elsewhere``: where the pool has two backends, the client meets the other one than who had the turn before.
    """

    client: int
    parts: tuple[Part, ...]
    elsewhere: bool = False

    def __str__(self) -> str:
        where = ", on the other backend" if self.elsewhere else ""
        return "\n".join([f" client {self.client}{where}:", *map(str, self.parts)])


@dataclass(frozen=True, slots=True)
class Interleaving:
    """The whole conversation: how each client opens, and the turns."""

    name: str
    openings: tuple[Opening, ...]
    turns: tuple[Turn, ...]

    def __str__(self) -> str:
        openings = [f" client {number} opens: {opening}" for number, opening in enumerate(self.openings)]
        return "\n".join([f"interleaving {self.name}", *openings, *map(str, self.turns)])

    __repr__ = __str__

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        # Hypothesis would print every byte of every field.
        printer.text(str(self))


def turn(client: int, *parts: Part | Frontend | str, elsewhere: bool = False) -> Turn:
    """A turn. A bare message is a part of its own, followed by a wait; a text is a Query."""
    return Turn(client, tuple(_as_part(each) for each in parts), elsewhere)


def _as_part(each: Part | Frontend | str) -> Part:
    if isinstance(each, str):
        each = frontend.query(each)
    return part(each) if isinstance(each, Frontend) else each


def interleaving(name: str, *turns: Turn, openings: Sequence[Opening] = ()) -> Interleaving:
    """A conversation of as many clients as take turns. Those without an opening open with nothing in particular."""
    count = max(each.client for each in turns) + 1
    return Interleaving(name, (*openings, *(Opening() for _ in range(count - len(openings)))), turns)


class InterleavedComparison(Comparison):
    """Compares several clients of the endpoint under test with as many sessions of PostgreSQL."""

    moves_clients = False
    """Whether to heed ``Turn.elsewhere``. The pool under test has to have two backends then."""

    def check_interleaving(self, conversation: Interleaving) -> None:
        """Run the conversation on both sides. Raises Difference."""
        self._world.reset()
        reference = self._rehearse_all(conversation)
        compared, trouble = self._perform_all(conversation, reference)
        problem = trouble
        for number, (ours, theirs) in enumerate(zip(reference, compared, strict=True)):
            if found := self._difference_of_one(ours, theirs):
                problem += f"Client {number}: {found}\n"
        tables = self._difference_of_contents(0)
        if problem or tables:
            raise Difference(f"{problem or tables}\n\n{conversation}")

    def _rehearse_all(self, conversation: Interleaving) -> list[Transcript]:
        with ExitStack() as stack:
            runs, settlers = [], []
            for opening in conversation.openings:
                client = stack.enter_context(open_conversation(self._world.reference, opening, self._timeout))
                runs.append(Run(client, self._diagnosis))
                settlers.append(Settler(client, self._world.control(self._world.reference), self._diagnosis))
            for each in _with_last_looks(conversation):
                for piece in each.parts:
                    runs[each.client].deliver(piece)
                    if piece.wait:
                        settlers[each.client].settle()
                        runs[each.client].mark()
            for run in runs:
                run.end(Ending.TIDY)
            return [run.transcript([]) for run in runs]

    def _perform_all(self, conversation: Interleaving, reference: Sequence[Transcript]) -> tuple[list[Transcript], str]:
        with ExitStack() as stack:
            clients, runs, trouble = [], [], ""
            try:
                for opening in conversation.openings:
                    clients.append(stack.enter_context(open_conversation(self._compared, opening, self._timeout)))
                    runs.append(Run(clients[-1], self._diagnosis))
            except (LoginFailed, ReplyTimeout) as error:
                raise Difference(
                    f"PostgreSQL let client {len(runs)} in, and the endpoint under test: {error}\n\n{conversation}"
                ) from error
            movers = stack.enter_context(closing(_Movers(self._compared, self._timeout)))
            marks = [iter(each.marks) for each in reference]
            for number, each in enumerate(_with_last_looks(conversation)):
                client, run = clients[each.client], runs[each.client]
                try:
                    if each.elsewhere and self.moves_clients:
                        movers.move()
                    for piece in each.parts:
                        run.deliver(piece)
                        if piece.wait:
                            client.read_count(run.start + next(marks[each.client]))
                            run.mark()
                except (ReplyTimeout, WireError) as error:
                    trouble = f"In turn {number}, of client {each.client}: {error}\n"
                    break
            movers.close()
            for run in runs:
                try:
                    run.end(Ending.TIDY)
                except ReplyTimeout as error:
                    trouble = trouble or f"At the goodbye: {error}\n"
            return [run.transcript([]) for run in runs], trouble

    def _difference_of_one(self, reference: Transcript, compared: Transcript) -> str:
        if self._compare_openings and (problem := unequal(reference.opening, compared.opening)):
            return f"The openings differ.\n{problem}"
        if problem := unequal(_settled(reference.replies), _settled(compared.replies)):
            return f"The replies differ.\n{problem}"
        return "It was hung up on." if compared.hung_up and not reference.hung_up else ""


class _Movers:
    """Two more clients, one of which holds a backend at any time: whoever comes finds the other one."""

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._clients: list[WireClient] = []

    def move(self) -> None:
        """From now on the free backend is the one that was held. Raises ReplyTimeout if none was free."""
        mover = WireClient.connect(self._endpoint, timeout=self._timeout)
        self._clients.append(mover)
        mover.query("BEGIN")
        if len(self._clients) > 1:
            holder = self._clients.pop(0)
            holder.query("ROLLBACK")
            holder.close()

    def close(self) -> None:
        """Hold nothing any more."""
        for client in self._clients:
            client.close()
        self._clients.clear()


def _settled(replies: Sequence[Reply]) -> list[Reply]:
    """The replies without what depends on the history of a backend, and no client can go by.

    That is the place of some errors in the source, and the order in which several settings are reported at a time.
    """
    settled: list[Reply] = []
    for tag, group in itertools.groupby(map(without_place, replies), key=lambda reply: reply.tag):
        together = list(group)
        settled += sorted(together, key=lambda reply: reply.body) if tag == b"S" else together
    return settled


def _with_last_looks(conversation: Interleaving) -> Sequence[Turn]:
    looks = [Turn(number, (part(LOOK),)) for number in range(len(conversation.openings))]
    return [*conversation.turns, *looks]
