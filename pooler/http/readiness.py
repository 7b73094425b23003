"""Whether clients can be served: whether the servers of the databases that are required can be reached."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from interceptor.errors import BACKEND_LOGIN, BackendError
from interceptor.protocol.messages import TERMINATE_MESSAGE
from interceptor.protocol.startup import SSL_REQUEST_PACKET
from pooler.config import ANY_DATABASE
from pooler.config.hosts import TargetSessionAttrs
from pooler.login import log_in

if TYPE_CHECKING:
    from pooler.config import Upstream
    from pooler.config.values import HostPort
    from pooler.node import Node
    from pooler.server import Server

__all__ = ["Readiness", "ReadinessReport"]

_TIMEOUT: Final = 2.0
"""Seconds in which a server has to say something."""
_FRESH: Final = 2.0
"""Seconds for which a report is repeated: probes of many balancers cost the servers no more than one does."""

_MATTERS: Final = frozenset(TargetSessionAttrs) - {TargetSessionAttrs.ANY, TargetSessionAttrs.PREFER_STANDBY}
"""Where not any server will do."""


@dataclass(slots=True)
class ReadinessReport:
    """What stands in the way, by database; nothing where a database is well."""

    unreachable: dict[str, str] = field(default_factory=dict)
    databases: tuple[str, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether all is well."""
        return not self.unreachable

    def as_json(self) -> dict[str, object]:
        """As ``/readyz`` shows it."""
        states = {name: self.unreachable.get(name, "reachable") for name in self.databases}
        return {"ready": self.ready, "databases": states}


class Readiness:
    """Asks the servers, at most once in a while."""

    def __init__(self, server: Server, node: Node) -> None:
        self._server = server
        self._node = node
        self._report: ReadinessReport | None = None
        self._at = 0.0
        self._asking: asyncio.Task[ReadinessReport] | None = None

    async def report(self) -> ReadinessReport:
        """How it is, as of some two seconds ago at most."""
        if self._report is not None and time.monotonic() - self._at < _FRESH:
            return self._report
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._look(), name="readiness")
            self._asking.add_done_callback(self._on_looked)
        return await asyncio.shield(self._asking)

    def _on_looked(self, task: asyncio.Task[ReadinessReport]) -> None:
        self._asking = None
        if not task.cancelled() and task.exception() is None:
            self._report, self._at = task.result(), time.monotonic()

    async def _look(self) -> ReadinessReport:
        databases = self._server.config.databases
        required = [name for name, found in databases.items() if found.required and name != ANY_DATABASE]
        states = await self._node.ask_all("readiness")
        known = {str(database): str(reason) for rows in states for database, reason in rows if reason}
        well = {str(database) for rows in states for database, reason in rows if not reason}
        unknown = [name for name in required if name not in well and name not in known]
        probes = await asyncio.gather(*(self._probe(name, databases[name].primary) for name in unknown))
        found = dict(zip(unknown, probes, strict=True))
        report = ReadinessReport(databases=tuple(required))
        for name in required:
            reason = "" if name in well else known.get(name) or found.get(name, "")
            if reason:
                report.unreachable[name] = reason
        return report

    async def _probe(self, name: str, upstream: Upstream) -> str:
        """Why a database can't be reached, or "" if it can. Where any server will do, whether one answers is asked;
        else one has to be logged in to, for what a server is it says after that."""
        if upstream.choice.attrs not in _MATTERS or upstream.user is None:
            reasons = await asyncio.gather(*(_probe_host(place) for place in upstream.hosts))
            return "; ".join(reasons) if all(reasons) else ""
        server = self._server
        if server.config.find_database(name) is None:
            return ""  # it has just gone
        settings = server.config.pool_settings(name, upstream.user)
        parameters = {**dict(settings.parameters), "application_name": "interceptor readiness"}
        try:
            async with asyncio.timeout(_TIMEOUT):
                logged_in = await log_in(settings, parameters, server.backend_credential(settings, None), server.keys)
        except TimeoutError:
            return f"no server has let us in for {_TIMEOUT:g} s"
        except BackendError as error:
            # Who is refused has reached it.
            return "" if error.failure is BACKEND_LOGIN else error.message
        logged_in.transport.write(TERMINATE_MESSAGE)
        logged_in.transport.close()
        return ""


async def _probe_host(place: HostPort) -> str:
    """Ask a server whether it speaks TLS, which any PostgreSQL answers with one byte; why not, or "" if it did."""
    where = str(place)
    try:
        async with asyncio.timeout(_TIMEOUT):
            if place.host.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(f"{place.host}/.s.PGSQL.{place.port}")
            else:
                reader, writer = await asyncio.open_connection(place.host, place.port)
            try:
                writer.write(SSL_REQUEST_PACKET)
                answer = await reader.read(1)
            finally:
                writer.close()
    except TimeoutError:
        return f"{where} says nothing for {_TIMEOUT:g} s"
    except OSError as error:
        return f"{where} can't be reached: {error.strerror or error}"
    return "" if answer in (b"S", b"N") else f"{where} is no PostgreSQL server"
