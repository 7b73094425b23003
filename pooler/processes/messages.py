"""What a worker and the control say to each other."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from pooler.processes.notifying_messages import Listen, Notified, Told, Unlisten

__all__ = [
    "Answered",
    "Ask",
    "Banned",
    "Barrier",
    "Busy",
    "Calm",
    "Cancel",
    "Canceled",
    "Closed",
    "Full",
    "Goodbye",
    "Grant",
    "Held",
    "Key",
    "Message",
    "Opened",
    "Passed",
    "Put",
    "Question",
    "Refusal",
    "Register",
    "Release",
    "Return",
    "Welcome",
]

Key: TypeAlias = tuple[str, str, str]
"""Of a pool: ``PoolSettings.pool_key``."""


Row: TypeAlias = list[object]
"""That of ``pooler.node``, whose type refers to itself, which msgspec does not read."""


class Refusal(msgspec.Struct, array_like=True):
    """Why a process did not do what it was told to: a ClientError that is not fatal."""

    code: str
    message: str
    detail: str
    hint: str


class _Tagged(msgspec.Struct, tag=True, array_like=True):
    pass


# --- From a worker ---------------------------------------------------------------------------------------------------


class Held(msgspec.Struct, array_like=True):
    """Permits of one pool that a worker holds."""

    key: Key
    count: int


class Register(_Tagged):
    """The first message: who speaks, and what it holds."""

    slot: int
    pid: int
    held: list[Held]


class Ask(_Tagged):
    """Clients wait for so many permits more than there are. It takes the place of what was asked before."""

    key: Key
    want: int
    demand: int
    """Clients that wait for a backend or have one."""
    since: float
    """When the one that has waited longest came, by the monotonic clock, which all processes share."""
    reserve: bool
    """It has waited for reserve_pool_timeout."""
    floor: bool
    """Nobody waits: it is for min_pool_size, and not to be taken from anybody."""


class Calm(_Tagged):
    """Nobody waits any more."""

    key: Key


class Busy(_Tagged):
    """No backend has been idle for long enough to be given up."""

    key: Key


class Return(_Tagged):
    """These permits are free: their connections have ended."""

    key: Key
    count: int


class Opened(_Tagged):
    """A permit has become a backend; with its socket. Sent before the backend's first query."""

    key: Key
    number: int
    """The worker's own for it."""
    host: str
    port: int
    process_id: int
    secret: bytes
    encrypted: bool
    """By TLS; then a cancel request is, too."""
    ip: str = ""
    """The address that the host had."""


class Closed(_Tagged):
    """The worker has no such backend any more. If not ``certain``, it didn't see the server end the connection, and the
    permit is the control's to return."""

    number: int
    certain: bool


class Goodbye(_Tagged):
    """It ends: what it holds beyond the backends that it has reported is free."""


# --- To a worker -----------------------------------------------------------------------------------------------------


class Grant(_Tagged):
    """Permits."""

    key: Key
    count: int


class Full(_Tagged):
    """There is none to be had just now; it comes when there is."""

    key: Key


class Release(_Tagged):
    """Another worker needs a permit: give up a backend that has nothing to do, or else the next that comes back."""

    key: Key
    idle_only: bool
    """Answer with Busy where none has been idle for a while."""


# --- Both ways -------------------------------------------------------------------------------------------------------


class Cancel(_Tagged):
    """A CancelRequest for a client of another process. ``ticket`` is the asker's, and comes back in the answer."""

    ticket: int
    process_id: int
    secret: bytes


class Banned(_Tagged):
    """An address is left outside of a database for so many seconds; 0, from a worker: one login from there failed."""

    address: str
    database: str
    seconds: float


class Canceled(_Tagged):
    """It has been dealt with. ``found``: there is such a client."""

    ticket: int
    found: bool


class Barrier(_Tagged):
    """Look at what is written on the slate, and say so. From a worker: all others are to. ``ticket`` as in Cancel."""

    ticket: int


class Passed(_Tagged):
    """It has been looked at, by all who were to."""

    ticket: int


class Put(_Tagged):
    """A small value that a plugin shares (``SharedState``). ``version`` counts changes; 0 until the control knows."""

    plugin: str
    key: str
    value: bytes
    version: int
    origin: int
    """The seat of who set it."""


class Question(_Tagged):
    """Of the console: what each process is to tell or to do (``pooler.reports``). ``ticket`` as in Cancel."""

    ticket: int
    name: str
    arguments: tuple[str, ...]
    is_command: bool


class Answered(_Tagged):
    """One process has answered. In the control's answer to the asker: all others have."""

    ticket: int
    rows: list[list[Row]]
    """One list for each process."""
    refusal: Refusal | None


class Welcome(_Tagged):
    """A worker that has registered has now been told all there is."""


Message: TypeAlias = (
    Question
    | Answered
    | Welcome
    | Goodbye
    | Register
    | Ask
    | Calm
    | Busy
    | Return
    | Opened
    | Closed
    | Grant
    | Full
    | Release
    | Banned
    | Barrier
    | Passed
    | Cancel
    | Canceled
    | Put
    | Listen
    | Unlisten
    | Notified
    | Told
)
