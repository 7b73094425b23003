"""The pair that is compared: PostgreSQL on one side, the proxy before a copy of its database on the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
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
TIMEOUT = float(os.environ.get("DIFFERENTIAL_TIMEOUT", "60"))
# How many generated streams for each combination; 0 leaves it to the tests.
EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "0"))

# Versions differ in what they answer and hardly in how a pooler has to treat it: in the suite, the older one is
# compared in the usual mode alone.
COMBINATIONS = [(18, mode) for mode in PoolMode]
COMBINATIONS += [(16, mode) for mode in PoolMode if EXAMPLES or mode is PoolMode.TRANSACTION]


@dataclass(frozen=True, slots=True)
class Pair:
    """A comparison of the proxy with PostgreSQL, and what it is made of."""

    comparison: Comparison
    mode: PoolMode
    version: int


@pytest.fixture(scope="session")
def world18(postgres18: PostgresServer) -> Iterator[World]:
    """The two databases on PostgreSQL 18."""
    with World(Endpoint(postgres18.host, postgres18.port, "postgres")) as world:
        yield world


@pytest.fixture(scope="session")
def world16(postgres16: PostgresServer) -> Iterator[World]:
    """The two databases on PostgreSQL 16."""
    with World(Endpoint(postgres16.host, postgres16.port, "postgres")) as world:
        yield world


@pytest.fixture(scope="session", params=[18, 16], ids=["pg18", "pg16"])
def world(request: pytest.FixtureRequest) -> World:
    """The two databases, on each version in turn."""
    world = request.getfixturevalue(f"world{request.param}")
    assert isinstance(world, World)
    return world


@pytest.fixture(scope="session")
def pairs() -> Iterator[Callable[[World, int, PoolMode], Pair]]:
    """Makes pairs, and keeps each until the end.

    As a parametrised fixture of the session they would come and go: pytest orders tests by the position of a parameter,
    and not by its value, where tests bring parameters of their own.
    """
    made: dict[tuple[int, PoolMode], Pair] = {}
    with ExitStack() as stack:

        def make(world: World, version: int, mode: PoolMode) -> Pair:
            if (version, mode) not in made:
                comparison = stack.enter_context(_comparison(world, mode))
                made[version, mode] = Pair(comparison, mode, version)
            return made[version, mode]

        yield make


@contextmanager
def _comparison(world: World, mode: PoolMode) -> Iterator[Comparison]:
    """The proxy compared, with a pool so small that backends pass from client to client."""
    backend = world.compared
    tables: Tables = {
        "server": {"pool_mode": mode.value, "listen": "pin", "default_pool_size": 2},
        "databases.app": {"primary": f"postgresql://{ROLE}@{backend.host}:{backend.port}/{backend.database}"},
    }
    with ExitStack() as stack:
        proxy = stack.enter_context(run_proxy(tables))
        port = proxy.port
        if MUTATION:
            port = stack.enter_context(MutatingRelay((proxy.host, port), MUTATIONS[MUTATION])).port
        endpoint = Endpoint(proxy.host, port, "app", ROLE)
        yield stack.enter_context(closing(Comparison(world, endpoint, timeout=TIMEOUT)))


@pytest.fixture(params=COMBINATIONS, ids=lambda each: f"pg{each[0]}-{each[1].value}")
def pair(request: pytest.FixtureRequest, pairs: Callable[[World, int, PoolMode], Pair]) -> Pair:
    """The proxy in a pool mode before a version."""
    version, mode = request.param
    world = request.getfixturevalue(f"world{version}")
    assert isinstance(world, World)
    return pairs(world, version, mode)
