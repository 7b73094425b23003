"""The pair that is compared: PostgreSQL on one side, the proxy before a copy of its database on the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support.compare import Comparison
from tests.support.proxy import Tables, run_proxy
from tests.support.relay import MUTATIONS, MutatingRelay
from tests.support.script import PoolMode
from tests.support.wire import Endpoint
from tests.support.world import ROLE, World

# The name of a mutation of tests.support.relay: replies of the proxy are spoilt on their way, and every test of this
# folder that compares with the proxy and looks at such replies must fail.
MUTATION = os.environ.get("DIFFERENTIAL_MUTATION", "")
# Seconds to wait for a reply. An answer that is missing costs as long.
TIMEOUT = float(os.environ.get("DIFFERENTIAL_TIMEOUT", "10"))


@dataclass(frozen=True, slots=True)
class Pair:
    """A comparison of the proxy with PostgreSQL, and what it is made of."""

    comparison: Comparison
    mode: PoolMode
    version: int


@pytest.fixture(scope="session")
def world(postgres: PostgresServer) -> Iterator[World]:
    """The two databases, on each version in turn."""
    with World(Endpoint(postgres.host, postgres.port, "postgres")) as world:
        yield world


@pytest.fixture(scope="session", params=list(PoolMode), ids=lambda mode: mode.value)
def pair(request: pytest.FixtureRequest, postgres: PostgresServer, world: World) -> Iterator[Pair]:
    """The proxy in each pool mode, with a pool so small that backends pass from client to client."""
    mode: PoolMode = request.param
    tables: Tables = {
        "server": {"pool_mode": mode.value, "default_pool_size": 2},
        "databases.app": {"primary": postgres.dsn(world.compared.database, ROLE)},
    }
    with ExitStack() as stack:
        proxy = stack.enter_context(run_proxy(tables))
        port = proxy.port
        if MUTATION:
            port = stack.enter_context(MutatingRelay((proxy.host, port), MUTATIONS[MUTATION])).port
        endpoint = Endpoint(proxy.host, port, "app", ROLE)
        comparison = stack.enter_context(closing(Comparison(world, endpoint, timeout=TIMEOUT)))
        yield Pair(comparison, mode, postgres.version)
