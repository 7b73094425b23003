"""What is known of settings by their names, held against what servers say of them."""

from __future__ import annotations

import pytest

from interceptor.sql.gucs import NOT_PARSED, OF_TRANSACTION, SURE, decides_parsing
from interceptor.testing.postgres import PostgresServer


@pytest.mark.parametrize(
    "name",
    [
        "search_path", "datestyle", "timezone", "intervalstyle", "role", "session_authorization", "client_encoding",
        "standard_conforming_strings", "default_text_search_config", "lc_monetary", "a_setting_of_a_newer_server",
    ],
)  # fmt: skip
def test_what_decides_parsing(name: str) -> None:
    assert decides_parsing(name)


@pytest.mark.parametrize("name", ["work_mem", "statement_timeout", "application_name", "app.tenant", "jit"])
def test_what_has_no_part_in_parsing(name: str) -> None:
    assert not decides_parsing(name)


def test_what_names_something_that_may_be_gone_can_fail() -> None:
    assert not SURE & {
        "role", "session_authorization", "default_tablespace", "temp_tablespaces", "default_table_access_method",
        "default_text_search_config", "session_preload_libraries", "local_preload_libraries", "log_statement",
    }  # fmt: skip
    assert not SURE & OF_TRANSACTION
    assert NOT_PARSED < SURE


@pytest.fixture(params=[16, 18])
def server(request: pytest.FixtureRequest) -> PostgresServer:
    found = request.getfixturevalue(f"postgres{request.param}")
    assert isinstance(found, PostgresServer)
    return found


def test_what_is_sure_can_be_set_by_anybody_at_any_time(server: PostgresServer) -> None:
    rows = server.psql("select lower(name), context from pg_settings").splitlines()
    contexts = dict(row.split("|") for row in rows)
    assert {name: contexts[name] for name in SURE if contexts.get(name, "user") != "user"} == {}


def test_names_are_spelt_as_servers_spell_them(postgres16: PostgresServer, postgres18: PostgresServer) -> None:
    """A misspelt name would judge nothing."""
    known = {
        name
        for server in (postgres16, postgres18)
        for name in server.psql("select lower(name) from pg_settings").splitlines()
    }
    assert (SURE | NOT_PARSED | OF_TRANSACTION) - known == set()
