"""What holds for one login to one database: which of the three places wins, setting by setting."""

from __future__ import annotations

import dataclasses
from typing import Never, TypeVar, cast

import pytest

from pooler.config import Config, DatabaseSettings, PoolMode, PoolSettings, ServerSettings, Upstream, UserSettings
from pooler.config.secret import Secret
from pooler.config.values import ListenMode

S = TypeVar("S", ServerSettings, DatabaseSettings, UserSettings)

OPEN = Upstream("h", 5433, "real")
FORCED = Upstream("h", 5433, "real", "app", Secret("s"), (("application_name", "x"),))


def settings(
    server: ServerSettings | None = None,
    database: DatabaseSettings | None = None,
    users: dict[str, UserSettings] | None = None,
    client_user: str = "alice",
) -> PoolSettings:
    config = Config(
        server=server or ServerSettings(),
        databases={"shop": database or DatabaseSettings(primary=OPEN)},
        users=users or {},
    )
    return config.pool_settings("shop", client_user)


def changed(settings: S, name: str, value: object) -> S:
    return dataclasses.replace(settings, **cast("dict[str, Never]", {name: value}))


# Each row: the setting, its value in [server], and the values that the narrower places give it.
SERVER_NAMES = {"pool_size": "default_pool_size"}
NARROWER: list[tuple[str, object, object, object]] = [
    ("pool_mode", PoolMode.STATEMENT, PoolMode.SESSION, PoolMode.TRANSACTION),
    ("pool_size", 11, 12, 13),
    ("reserve_pool_size", 1, 2, 0),
    ("query_wait_timeout", 1.0, 2.0, 0.0),
    ("min_pool_size", 1, 0, None),
    ("max_db_connections", 5, 0, None),
    ("server_lifetime", 5.0, 0.0, None),
    ("max_pinned", 4, 3, 0),
    ("pin_timeout", 5.0, 6.0, 0.0),
    ("listen", ListenMode.PIN, ListenMode.SHARED, None),
    ("reuse_unnamed_statements", True, False, None),
    ("catalogue", False, True, None),
    ("max_user_connections", 5, None, 0),
    ("query_timeout", 5.0, None, 0.0),
    ("client_idle_timeout", 5.0, None, 0.0),
    ("idle_transaction_timeout", 5.0, None, 0.0),
    ("transaction_timeout", 5.0, None, 0.0),
]


@pytest.mark.parametrize(("name", "of_server", "of_database", "of_user"), NARROWER)
def test_the_narrower_place_wins_and_zero_counts(
    name: str, of_server: object, of_database: object, of_user: object
) -> None:
    server = changed(ServerSettings(), SERVER_NAMES.get(name, name), of_server)
    assert getattr(settings(server), name) == of_server
    database = DatabaseSettings(primary=OPEN)
    if of_database is not None:
        database = changed(database, name, of_database)
        assert getattr(settings(server, database), name) == of_database
    if of_user is not None:
        users = {"alice": changed(UserSettings(), name, of_user)}
        assert getattr(settings(server, database, users), name) == of_user
        assert getattr(settings(server, database, users, "bob"), name) != of_user


def test_no_narrower_setting_is_left_out_of_the_table() -> None:
    alone = {"primary", "replicas", "connect_query", "catalogue_user", "required"} | {
        "auth_user",
        "auth_query",
        "auth_dbname",
    }
    of_database = {field.name for field in dataclasses.fields(DatabaseSettings)} - alone
    assert {row[0] for row in NARROWER if row[2] is not None} == of_database
    assert {row[0] for row in NARROWER if row[3] is not None} == {
        field.name for field in dataclasses.fields(UserSettings)
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reserve_pool_timeout", 1.5),
        ("server_round_robin", True),
        ("server_reset_query", "RESET ALL"),
        ("server_reset_query_always", True),
        ("server_check_query", "SELECT 1"),
        ("server_check_delay", 1.5),
        ("server_idle_timeout", 1.5),
        ("server_connect_timeout", 1.5),
        ("server_login_retry", 1.5),
        ("cancel_wait_timeout", 1.5),
        ("max_prepared_statements", 7),
        ("max_packet_size", 4096),
    ],
)
def test_what_only_the_server_says_is_passed_on(name: str, value: object) -> None:
    server = changed(ServerSettings(), name, value)
    assert getattr(settings(), name) != value
    assert getattr(settings(server), name) == value


@pytest.mark.parametrize(("pool_size", "may_be_pinned"), [(20, 19), (2, 1), (1, 1)])
def test_by_default_one_backend_of_a_pool_is_never_pinned(pool_size: int, may_be_pinned: int) -> None:
    assert settings(ServerSettings(default_pool_size=pool_size)).max_pinned == may_be_pinned
    narrower = DatabaseSettings(primary=OPEN, max_pinned=-1)
    assert settings(ServerSettings(default_pool_size=pool_size, max_pinned=5), narrower).max_pinned == may_be_pinned


def test_catalogue_user_is_passed_on() -> None:
    assert settings(database=DatabaseSettings(primary=OPEN)).catalogue_user == ""
    assert settings(database=DatabaseSettings(primary=OPEN, catalogue_user="watcher")).catalogue_user == "watcher"


def test_connect_query_is_passed_on() -> None:
    assert settings(database=DatabaseSettings(primary=OPEN, connect_query="SELECT 1")).connect_query == "SELECT 1"


def test_without_a_user_in_the_connection_string_each_client_has_its_own_pool() -> None:
    own = settings()
    assert (own.user, own.forced_user, own.password) == ("alice", False, None)
    assert own.pool_key == ("shop", "alice", "primary")
    assert (own.host, own.port, own.dbname) == ("h", 5433, "real")


def test_with_a_user_in_the_connection_string_all_clients_share_its_pool() -> None:
    shared = settings(database=DatabaseSettings(primary=FORCED))
    assert (shared.client_user, shared.user, shared.forced_user) == ("alice", "app", True)
    assert shared.password == Secret("s")
    assert shared.pool_key == ("shop", "app", "primary")
    assert shared.parameters == (("application_name", "x"),)


def test_the_size_of_a_shared_pool_goes_by_its_role_and_the_treatment_of_a_client_by_its_login() -> None:
    users = {
        "alice": UserSettings(pool_mode=PoolMode.SESSION, pool_size=1, reserve_pool_size=1, query_timeout=1.0),
        "app": UserSettings(pool_size=2, reserve_pool_size=2, max_user_connections=2, query_timeout=2.0),
    }
    shared = settings(database=DatabaseSettings(primary=FORCED), users=users)
    assert (shared.pool_size, shared.reserve_pool_size, shared.max_user_connections) == (2, 2, 2)
    assert (shared.pool_mode, shared.query_timeout) == (PoolMode.SESSION, 1.0)


def test_min_pool_size_is_capped_where_a_user_has_a_smaller_pool() -> None:
    database = DatabaseSettings(primary=OPEN, min_pool_size=10)
    assert settings(database=database, users={"alice": UserSettings(pool_size=3)}).min_pool_size == 3
    assert settings(database=database).min_pool_size == 10


@pytest.mark.parametrize(("written", "meaning"), [("<empty>", ""), ("", None), ("SELECT 1", "SELECT 1")])
def test_server_check_query(written: str, meaning: str | None) -> None:
    assert settings(ServerSettings(server_check_query=written)).server_check_query == meaning


def test_nothing_can_be_changed_afterwards() -> None:
    merged = settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        merged.pool_size = 5  # type: ignore[misc]
    assert not hasattr(merged, "__dict__")
