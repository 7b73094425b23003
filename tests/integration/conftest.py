"""Fixtures of tests that talk through a proxy. Each module brings its own ``proxy``, and names its ``DATABASE``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support.proxied import Clients
from tests.support.proxy import Proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity
from tests.support.wire import WireClient


def database_of(request: pytest.FixtureRequest) -> str:
    name = request.module.DATABASE
    assert isinstance(name, str)
    return name


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    """Clients of the module's proxy, closed after the test."""
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def client(request: pytest.FixtureRequest, clients: Clients) -> Iterator[WireClient]:
    """A client of the module's database, which says goodbye after the test."""
    made = clients.connect(database_of(request))
    yield made
    made.send_goodbye()


@pytest.fixture
def activity(request: pytest.FixtureRequest, postgres18: PostgresServer) -> Iterator[Activity]:
    """Who is at work in the module's database."""
    with Activity(postgres18, database_of(request)) as made:
        yield made


@pytest.fixture
def empty_table(request: pytest.FixtureRequest, proxy: Proxy, postgres18: PostgresServer) -> Iterator[None]:
    """The table ``t`` of the module's database is emptied after the test: for ``pytest.mark.usefixtures``.

    It comes before the clients and so ends after them. What they held locked is free by then, or will be in a moment.
    """
    yield
    postgres18.psql("set lock_timeout = '9s'; truncate t", dbname=database_of(request))


@pytest.fixture(scope="module")
def relay(postgres18: PostgresServer) -> Iterator[CutRelay]:
    """A network between a proxy and PostgreSQL 18 that can be stalled and cut."""
    with CutRelay(postgres18.host, postgres18.port) as made:
        yield made


@pytest.fixture
def diagnosis() -> Iterator[SocketDiagnosis]:
    """The kernel's view of sockets."""
    made = SocketDiagnosis()
    yield made
    made.close()
