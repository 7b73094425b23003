"""The servers of a database, and the pool for each."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, cast
from unittest.mock import Mock

import pytest

from interceptor.errors import ClientError
from pooler.auth import PlainPassword
from pooler.config import Config, load_config
from pooler.server import Server

if TYPE_CHECKING:
    from pooler.client import ClientConnection

CONFIG = """
[server]
auth_type = "trust"
max_db_connections = 5
[databases.app]
primary = "postgresql://app:one@10.0.0.1:5433/shop?timezone=UTC"
replicas = ["postgresql://10.0.0.2", "postgresql://app:two@10.0.0.3:5434/shop2"]
min_pool_size = 2
[databases.own]
primary = "postgresql://10.0.0.1"
replicas = ["postgresql://10.0.0.2"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "interceptor.toml"
    file.write_text(CONFIG)
    return load_config(file)


@pytest.fixture
def server(config: Config) -> Server:
    return Server(config)


def test_targets_are_named_in_their_order(server: Server) -> None:
    targets = server.targets.of("app")
    assert [(one.name, one.host, one.port, one.is_primary, one.available) for one in targets] == [
        ("primary", "10.0.0.1", 5433, True, True),
        ("replica1", "10.0.0.2", 5432, False, True),
        ("replica2", "10.0.0.3", 5434, False, True),
    ]
    assert list(server.targets.databases()) == ["app", "own"]
    with pytest.raises(LookupError):
        server.targets.of("nowhere")


def test_a_replica_takes_from_the_primary_what_it_does_not_say(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    first, second = (server.pool_for_target(settings, name) for name in ("replica1", "replica2"))
    assert (first.settings.host, first.settings.port, first.settings.dbname) == ("10.0.0.2", 5432, "shop")
    assert (second.settings.host, second.settings.port, second.settings.dbname) == ("10.0.0.3", 5434, "shop2")
    for pool in (first, second):
        assert (pool.settings.user, pool.settings.parameters) == ("app", settings.parameters)
        assert pool.settings.min_pool_size == 0
    assert str(first) == "app/app on replica1"
    assert server.pool_for_target(settings, "primary") is server.pools.get(settings)
    assert server.pool_for_target(settings, "replica1") is first


def test_each_target_is_logged_into_with_its_own_password(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    server.pools.get(settings).credential = PlainPassword(b"one")
    assert server.pool_for_target(settings, "replica1").credential == PlainPassword(b"one")
    assert server.pool_for_target(settings, "replica2").credential == PlainPassword(b"two")


def test_where_clients_log_in_themselves_the_newest_login_counts_everywhere(server: Server, config: Config) -> None:
    settings = config.pool_settings("own", "alice")
    for password in (b"old", b"new"):
        server.pools.get(settings).credential = PlainPassword(password)
        assert server.pool_for_target(settings, "replica1").credential == PlainPassword(password)


def test_a_profile_of_the_primary_is_one_of_every_target(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    profile = server.pools.get(settings).profile((("a", "b"),))
    assert server.pool_for_target(settings, "replica1").profile((("a", "b"),)) is profile


def test_a_route_to_nowhere_is_an_error_that_the_log_names_once(
    server: Server, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config.pool_settings("app", "alice")
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            with pytest.raises(ClientError, match='no target "replica9", only primary, replica1, replica2') as caught:
                server.pool_for_target(settings, "replica9")
            assert caught.value.failure.code == "route_refused"
            assert not caught.value.fatal
    assert len(caplog.records) == 1


def test_nothing_is_sent_to_a_target_that_is_not_available(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    server.targets.set_available("app", "replica1", False, "it lags by an hour")
    with pytest.raises(ClientError, match="it lags by an hour"):
        server.pool_for_target(settings, "replica1")
    assert [one.available for one in server.targets.of("app")] == [True, False, True]
    server.targets.set_available("app", "replica1", True)
    server.pool_for_target(settings, "replica1")
    with pytest.raises(LookupError):
        server.targets.set_available("app", "replica9", True)


def test_another_primary_is_where_new_clients_go(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    server.targets.set_primary("app", "replica2")
    assert server.pool(settings).settings.host == "10.0.0.3"
    assert [(one.name, one.is_primary) for one in server.targets.of("app")] == [
        ("replica2", True), ("primary", False), ("replica1", False),
    ]  # fmt: skip
    assert server.pool_for_target(settings, "primary") is server.pool(settings)
    assert server.pool(config.pool_settings("own", "alice")).settings.host == "10.0.0.1"


def test_limits_count_each_server_by_itself(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    primary, replica = server.pool(settings), server.pool_for_target(settings, "replica1")
    for _ in range(5):
        primary.growth.logging_in[object()] = primary.profile(())
    assert not server.pools.may_open(primary)
    assert server.pools.may_open(replica)


def test_the_time_that_a_query_takes_is_averaged_when_it_is_asked_for(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    stats = server.pool(settings).stats

    def seconds() -> float:
        replica = server.targets.of("app")[1]
        assert replica.seconds == 0
        return server.targets.of("app")[0].seconds

    assert seconds() == 0
    stats.queries, stats.transactions, stats.transaction_seconds = 4, 2, 5.0
    stats.rest_seconds = 1.0
    assert seconds() == 1.0
    # One that took 2 s.
    stats.queries, stats.transactions, stats.transaction_seconds = 5, 3, 7.0
    assert seconds() == pytest.approx(1.1)
    # As many queries of 1 s as there may be, of which the time counts when their transaction ends.
    stats.queries = 1005
    assert seconds() == pytest.approx(1.1)
    stats.transactions, stats.transaction_seconds = 4, 1007.0
    assert seconds() == pytest.approx(1.0)
    # A pool that nobody uses any more is gone, with what it had counted.
    stats.queries, stats.transactions, stats.transaction_seconds = 1, 1, 9.0
    assert seconds() == pytest.approx(1.0)


def test_who_waits_for_a_replica_keeps_its_pool(server: Server, config: Config) -> None:
    settings = config.pool_settings("app", "alice")
    replica = server.pool_for_target(settings, "replica1")
    waiter = cast("ClientConnection", Mock(profile=replica.profile(())))
    replica.waiting.for_backend.add(waiter, 0.0)
    server.pools.drop_unused(())
    assert replica in list(server.pools)
    replica.waiting.discard(waiter)
    server.pools.drop_unused(())
    assert replica not in list(server.pools)
