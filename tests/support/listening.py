"""Conversations of clients that listen, made at random, and what each client hears of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.wire import WireClient

__all__ = ["Heard", "Step", "Way", "conversation", "converse", "told"]

CHANNELS = ("a", "b", '"C c"', "ABC")
CLIENTS = 3
_END = "the_end"

_ENDS = ("commit", "commit", "rollback")
_KINDS = {
    "listen": 8.0,
    "unlisten": 4.0,
    "unlisten *": 1.0,
    "notify": 8.0,
    "begin": 4.0,
    "commit": 4.0,
    "rollback": 2.0,
    "savepoint s": 2.0,
    "rollback to s": 2.0,
    "release s": 1.0,
    "discard all": 0.5,
    "select 1/0": 1.0,
    "select 1": 1.0,
    "set my.x = '1'": 1.0,
    "several": 2.0,
    "do": 0.7,
}
"""What a client says, and how often."""


class Way(Enum):
    """How a client sends statements: each as a message, or a batch of its own; prepared by one batch and run by the
    next; or all in one batch."""

    SIMPLE = "simple"
    EXTENDED = "extended"
    NAMED = "named"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Step:
    """What one client sends at once."""

    client: int
    way: Way
    statements: tuple[str, ...]

    def messages(self) -> list[Frontend]:
        """As frontend messages."""
        match self.way:
            case Way.SIMPLE:
                return [f.query(sql) for sql in self.statements]
            case Way.EXTENDED:
                return [one for sql in self.statements for one in (f.parse(sql), f.bind(), f.execute(), f.sync())]
            case Way.BATCH:
                return [*(one for sql in self.statements for one in (f.parse(sql), f.bind(), f.execute())), f.sync()]
            case Way.NAMED:
                return [one for sql in self.statements for one in _named(sql)]


def _named(sql: str) -> list[Frontend]:
    prepare = [f.parse(sql, name="n"), f.describe_statement("n"), f.sync()]
    return [*prepare, f.bind(statement="n"), f.execute(), f.sync(), f.close_statement("n"), f.sync()]


@dataclass(slots=True)
class Heard:
    """What one client was told."""

    notifications: list[tuple[str, str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Everything else, in order: types of messages, command tags, SQLSTATEs, transaction status."""


def told(client: WireClient) -> list[tuple[str, str]]:
    """The channels and payloads of all notifications that came."""
    found = []
    for reply in client.replies:
        if reply.tag == b"A":
            channel, payload, _ = reply.body[4:].split(b"\0")
            found.append((channel.decode(), payload.decode()))
    return found


# --- Making them up --------------------------------------------------------------------------------------------------


def conversation(seed: int) -> list[Step]:
    """Some steps of some clients, one after the other. Nobody says anything while another has a transaction open.

    What is known to differ (docs/design/notifications.md, Known differences) is left out.
    """
    return _Author(random.Random(seed)).write()


class _Author:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._serial = 0
        self._left_something = self._may_not_leave = False

    def write(self) -> list[Step]:
        rng = self._rng
        steps: list[Step] = []
        for _ in range(rng.randint(3, 8)):
            client = rng.randrange(CLIENTS)
            self._left_something = self._may_not_leave = False
            steps += [self._step(client) for _ in range(rng.randint(1, 5))]
            steps.append(Step(client, Way.SIMPLE, (rng.choice(_ENDS),)))
        return steps

    def _step(self, client: int) -> Step:
        rng = self._rng
        statements = [self._that_counts(self._statement()) for _ in range(rng.choice([1, 1, 2, 3, 5]))]
        text = " ".join(statements)
        way = rng.choice(list(Way))
        if way is Way.BATCH and ("commit" in text or "rollback" in text):
            # Of several transactions in one batch only the first UNLISTEN counts.
            way = Way.EXTENDED
        return Step(client, way, tuple(statements))

    def _that_counts(self, sql: str) -> str:
        if sql.startswith("do"):
            return self._one_that_counts(sql)
        return "; ".join([self._one_that_counts(one) for one in sql.split("; ")])

    def _one_that_counts(self, sql: str) -> str:
        """This, or something else. Who leaves right behind its own notification may not hear it; and after UNLISTEN and
        ROLLBACK TO a savepoint from before it, another UNLISTEN has no effect."""
        if "unlisten" in sql or sql == "discard all":
            if self._may_not_leave:
                return "select 1"
            self._left_something = True
        elif sql == "rollback to s":
            self._may_not_leave = self._may_not_leave or self._left_something
        elif sql.startswith("notify"):
            self._may_not_leave = True
        return sql

    def _statement(self) -> str:
        rng = self._rng
        kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
        channel = rng.choice(CHANNELS)
        self._serial += 1
        note = f"notify {channel}, '{self._serial}'"
        match kind:
            case "listen" | "unlisten":
                return f"{kind} {channel}"
            case "notify":
                return note
            case "do":
                return f"do $$ begin unlisten {channel}; end $$"
            case "several":
                left = f"unlisten {rng.choice(CHANNELS)}"
                # No COMMIT: between two transactions of one message nothing is asked.
                some = [f"listen {channel}", left, note, "select 1/0", "begin", "select 1"]
                return "; ".join(rng.sample(some, 3))
        return kind


# --- Having them -----------------------------------------------------------------------------------------------------


def converse(steps: list[Step], connect: Callable[[], WireClient], settle: Callable[[], None]) -> list[Heard]:
    """Let clients say all this, and tell what each has heard. ``settle`` returns when everybody has been told of what
    was notified."""
    clients = [connect() for _ in range(CLIENTS)]
    starts = [len(client.replies) for client in clients]
    try:
        for step in steps:
            _say(clients[step.client], step.messages())
            settle()
        for client in clients:
            _say(client, [f.query(f"listen {_END}")])
        _say(clients[0], [f.query(f"notify {_END}")])
        for client in clients:
            _read_to_end(client)
        return [_heard(client, start) for client, start in zip(clients, starts, strict=True)]
    finally:
        for client in clients:
            client.close()


def _say(client: WireClient, messages: list[Frontend]) -> None:
    ends = client.ready_count + sum(message.name in ("Query", "Sync") for message in messages)
    client.send(*messages)
    client.read_until_ready(ends)


def _read_to_end(client: WireClient) -> None:
    client.read_until(lambda: (_END, "") in told(client))


def _heard(client: WireClient, start: int) -> Heard:
    heard = Heard(told(client))
    for reply in client.replies[start:]:
        if reply.tag == b"E":
            heard.answers.append(decode_error(reply.body)["C"])
        elif reply.tag in (b"C", b"Z"):
            heard.answers.append(reply.body.rstrip(b"\0").decode())
        elif reply.tag not in (b"A", b"S", b"N"):
            heard.answers.append(reply.tag.decode())
    return heard
