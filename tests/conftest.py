"""Fixtures that every test may use: PostgreSQL servers, fresh databases, and the markers for tools of the machine."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from interceptor.testing.postgres import PostgresServer

# Marker and the program it looks for. What is missing is skipped, except in CI, which installs them all.
TOOLS = {
    "needs_postgres_tls": "pg_lsclusters",  # Debian's PostgreSQL, built with TLS: tests.support.certificates finds it
    "needs_exporter": "prometheus-pgbouncer-exporter",
    "needs_pgbouncer": "pgbouncer",
    "needs_psql": "psql",  # the system's, linked with TLS; PostgresServer.bin("psql") is always there
}

# The same examples each time, however slow the machine is: a failure here is one of the commit, not of the day.
# `make fuzz` looks for others.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize="FUZZ_SECONDS" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

FreshDatabase = Callable[[PostgresServer], str]

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    for marker, program in TOOLS.items():
        config.addinivalue_line("markers", f"{marker}: needs the program {program} of the machine")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, program in TOOLS.items():
        # Debian keeps servers such as pgbouncer in sbin, which is not on everybody's path.
        if item.get_closest_marker(marker) and not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin"):
            if os.environ.get("INTERCEPTOR_REQUIRE_TOOLS"):
                pytest.fail(f"{program} is not installed, and INTERCEPTOR_REQUIRE_TOOLS says that it must be")
            pytest.skip(f"{program} is not installed")


def _server(version: int) -> Iterator[PostgresServer]:
    # Enough connections that a test of two hundred clients can also go to the server directly.
    with PostgresServer.start(version, settings={"max_connections": 300}) as server:
        yield server


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """PostgreSQL 18, one server for the session (and for each worker of pytest-xdist).

    A test that stops it, changes its settings or its users starts one of its own with PostgresServer.start().
    """
    yield from _server(18)


@pytest.fixture(scope="session")
def postgres16() -> Iterator[PostgresServer]:
    """PostgreSQL 16; otherwise as ``postgres18``."""
    yield from _server(16)


@pytest.fixture(scope="session", params=[18, 16], ids=["pg18", "pg16"])
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """Each version in turn: the test runs once with 18 and once with 16."""
    server = request.getfixturevalue(f"postgres{request.param}")
    assert isinstance(server, PostgresServer)
    return server


@pytest.fixture
def fresh_database() -> Iterator[FreshDatabase]:
    """Call it with a server for the name of a new, empty database, dropped after the test: 60 ms for both."""
    made: list[tuple[PostgresServer, str]] = []

    def make(server: PostgresServer) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        server.create_database(name)
        made.append((server, name))
        return name

    yield make
    for server, name in made:
        server.drop_database(name)
