"""A proxy before a PostgreSQL server: where to connect, and what a client was told."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import quote

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import decode_error
from tests.support.proxy import Proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import wait_until
from tests.support.wire import DEFAULT_TIMEOUT, Endpoint, WireClient

__all__ = [
    "Clients",
    "commit_and_leave",
    "crowd",
    "errors",
    "pid_of",
    "tags",
    "upstream",
    "wait_for_arrival",
    "wait_for_departure",
]


def upstream(server: PostgresServer, database: str = "", user: str = "postgres", **options: str) -> str:
    """The connection string by which the proxy reaches a database. Without ``user`` each client's own; ``options`` as
    in a URI, such as ``application_name``, by which pg_stat_activity then tells one pool from another."""
    login = f"{user}@" if user else ""
    query = "?" + "&".join(f"{name}={quote(value)}" for name, value in options.items()) if options else ""
    return f"postgresql://{login}{server.host}:{server.port}/{database}{query}"


class Clients:
    """Makes clients of one proxy, and closes them all at the end. Close it, or use ``with``."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._made: list[WireClient] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close them all."""
        for client in self._made:
            client.close()

    @property
    def made(self) -> Sequence[WireClient]:
        """All of them so far."""
        return self._made

    def raw(self, timeout: float = DEFAULT_TIMEOUT) -> WireClient:
        """A connection on which nothing was said yet. ``timeout`` bounds each of its waits, in seconds."""
        client = WireClient(self._proxy.host, self._proxy.port, timeout)
        self._made.append(client)
        return client

    def connect(
        self,
        database: str,
        user: str = "postgres",
        password: str | None = None,
        *,
        version: int = frontend.PROTOCOL_3_0,
        timeout: float = DEFAULT_TIMEOUT,
        parameters: Mapping[str, str] | None = None,
        **named: str,
    ) -> WireClient:
        """A client that has logged in, with these startup parameters and those ``named``. Raises LoginFailed."""
        client = self.raw(timeout)
        endpoint = Endpoint(self._proxy.host, self._proxy.port, database, user, password)
        client.log_in(endpoint, version=version, parameters={**(parameters or {}), **named})
        return client

    def cancel(self, key: tuple[int, bytes]) -> None:
        """Ask to cancel what the connection with this key runs, and wait until the proxy has taken note."""
        client = self.raw()
        client.send(frontend.cancel_request(*key))
        client.read_to_end()
        client.close()


def commit_and_leave(client: WireClient) -> None:
    """Commit, where the proxy then ends the connection with 57P01: that may come along with the answer."""
    seen = len(client.replies)
    client.send(frontend.query("commit"))
    client.read_to_end()
    assert [reply.body for reply in client.replies[seen:] if reply.tag == b"C"] == [b"COMMIT\0"]
    assert [error["C"] for error in errors(client)] == ["57P01"]


def errors(client: WireClient, start: int = 0) -> list[dict[str, str]]:
    """The fields of all ErrorResponses that came, from the reply with this number on."""
    return [decode_error(reply.body) for reply in client.replies[start:] if reply.tag == b"E"]


def tags(client: WireClient, start: int = 0) -> bytes:
    """The types of all replies that came, from the reply with this number on."""
    return b"".join(reply.tag for reply in client.replies[start:])


def pid_of(client: WireClient) -> int:
    """The process id of the backend that serves this client now."""
    return int(client.query("select pg_backend_pid()")[0][0] or 0)


def wait_for_arrival(client: WireClient, diagnosis: SocketDiagnosis) -> None:
    """Wait until the proxy has read all that the client wrote: what is sent after this comes after it there too."""

    def arrived() -> bool:
        state = diagnosis.state(client.peer, client.address)
        return state is None or (state.arrived == client.bytes_written and not state.unread)

    wait_until(arrived, "the proxy has read what was sent")


def wait_for_departure(client: WireClient, diagnosis: SocketDiagnosis) -> None:
    """Hang up without a word, and wait until the proxy has noticed."""
    own, peer = client.address, client.peer
    client.close()
    wait_until(lambda: diagnosis.state(peer, own) is None, "the proxy has noticed that the client is gone")


@contextmanager
def crowd(proxy: Proxy, database: str, size: int, sql: str, user: str = "postgres") -> Iterator[list[WireClient]]:
    """So many clients that ask ``sql`` again and again, each as soon as it has been answered, until the block ends."""
    leave = threading.Event()

    def work(members: list[WireClient]) -> None:
        for member in members:
            member.send(frontend.query(sql))
        while not leave.is_set():
            for member in members:
                ready = member.ready_count
                member.read_available()
                if member.ready_count > ready:
                    member.send(frontend.query(sql))
            select.select([member.fileno for member in members], [], [], 0.1)

    with Clients(proxy) as clients:
        members = [clients.connect(database, user) for _ in range(size)]
        worker = threading.Thread(target=work, args=(members,))
        worker.start()
        try:
            yield members
        finally:
            leave.set()
            worker.join()
        for member in members:
            assert not errors(member)
