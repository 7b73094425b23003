"""The questions that a Config answers: which database, which settings, which login."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooler.config import ANY_DATABASE, AuthType, Config, DatabaseSettings, Login, Secret, ServerSettings, Upstream

SHOP = DatabaseSettings(primary=Upstream("h", 5432, "shop", "app", Secret("s")))
OTHERS = DatabaseSettings(primary=Upstream("h", 5433, None, "rest", Secret("t")))
BOTH = Config(databases={"shop": SHOP, ANY_DATABASE: OTHERS})


def test_a_database_is_found_by_name_then_by_the_star() -> None:
    assert BOTH.find_database("shop") is SHOP
    assert BOTH.find_database("any") is OTHERS
    assert BOTH.find_database("") is OTHERS
    assert BOTH.find_database("*") is OTHERS
    assert Config(databases={"shop": SHOP}).find_database("any") is None


@pytest.mark.parametrize("console", ["pgbouncer", "interceptor"])
def test_the_star_does_not_stand_for_the_console(console: str) -> None:
    assert BOTH.find_database(console) is None


def test_under_the_star_the_servers_database_has_the_clients_name() -> None:
    merged = BOTH.pool_settings("tenant-1", "alice")
    assert (merged.database, merged.dbname) == ("tenant-1", "tenant-1")
    assert merged.pool_key == ("tenant-1", "rest", "primary")


def test_pool_settings_of_no_database() -> None:
    with pytest.raises(LookupError):
        Config(databases={"shop": SHOP}).pool_settings("any", "alice")


def test_pool_settings_are_merged_once_and_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pooler.config.model._MOST_CACHED", 3)
    config = Config(databases={"shop": SHOP, ANY_DATABASE: OTHERS})
    first = config.pool_settings("shop", "alice")
    assert config.pool_settings("shop", "alice") is first
    assert config.pool_settings("shop", "bob") is not first
    for number in range(10):
        config.pool_settings(f"tenant-{number}", "alice")
    assert len(config._merged) == 3
    assert config.pool_settings("shop", "alice") == first


def test_a_connection_string_lends_its_login_to_its_own_database() -> None:
    assert BOTH.login_for("shop", "app") == Login("app", Secret("s"))
    assert BOTH.login_for("any", "rest") == Login("rest", Secret("t"))
    assert BOTH.login_for("any", "app") is None
    assert BOTH.login_for("shop", "rest") is None
    assert BOTH.login_for("shop", "") is None


def test_any_of_these_logins_opens_the_console() -> None:
    assert BOTH.login_for("pgbouncer", "app") == Login("app", Secret("s"))
    assert BOTH.login_for("interceptor", "rest") == Login("rest", Secret("t"))
    assert BOTH.login_for("pgbouncer", "alice") is None


def test_nothing_is_lent_beside_an_auth_file_or_under_trust() -> None:
    for server in (
        ServerSettings(auth_type=AuthType.TRUST),
        ServerSettings(auth_file=Path("users.txt")),
    ):
        assert Config(server=server, databases=BOTH.databases).login_for("shop", "app") is None


def test_a_login_without_a_password_lends_nothing() -> None:
    config = Config(databases={"shop": DatabaseSettings(primary=Upstream("h", 5432, "shop", "app"))})
    assert config.login_for("shop", "app") is None
