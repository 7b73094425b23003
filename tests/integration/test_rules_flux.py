"""What others are told while somebody's DROP is committed, and its client, or the proxy, hasn't heard of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CORPUS, is_refused, is_told
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import run_proxy
from tests.support.saying import replies_to
from tests.support.watch import wait_until
from tests.support.wire import Endpoint, WireClient

READ = "select value from secret"
PATH = "set search_path = hides, vault, public"
LOCK = "select pg_advisory_lock(77)"
"""Waits for as long as the test wants."""


@pytest.fixture(scope="module")
def server(postgres18: PostgresServer) -> Iterator[PostgresServer]:
    postgres18.create_database("flux")
    for role in ("analyst_jo", "payroll", "reader"):
        postgres18.psql(f"drop role if exists {role}")
    postgres18.psql((CORPUS / "world.sql").read_text(), dbname="flux")
    yield postgres18
    postgres18.drop_database("flux")
    for role in ("analyst_jo", "payroll", "reader"):
        postgres18.psql(f"drop role {role}")


@pytest.fixture(scope="module")
def clients(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    file = tmp_path_factory.mktemp("flux") / "rules.toml"
    # The function that waits is in C, though PostgreSQL's own.
    file.write_text(
        '[[rule]]\nname = "secrets"\ntables = ["vault.secret"]\naction = "block"\n'
        '[[rule]]\nname = "in time"\nregex = "probe_set"\naction = "set"\nset = { statement_timeout = "1min" }\n'
    )
    with run_proxy({
        "databases.transaction": {"primary": upstream(server, "flux")},
        "databases.session": {"primary": upstream(server, "flux"), "pool_mode": "session"},
        "plugins.rules": {"file": str(file)},
    }) as proxy, Clients(proxy) as made:  # fmt: skip
        yield made


@pytest.fixture
def direct(server: PostgresServer, clients: Clients) -> Iterator[WireClient]:
    """Holds the lock, and sees what is there. What hides the secret is made through the proxy, which knows of it."""
    made = "drop schema if exists hides cascade; create schema hides; create table hides.secret (id int, value text)"
    assert not is_refused(replies_to(clients.connect("transaction"), f.query(made)))
    with WireClient.connect(Endpoint(server.host, server.port, "flux", "postgres")) as client:
        client.query(LOCK)
        yield client


def one_message(drop: str) -> list[Frontend]:
    return [f.query(f"{drop}; commit; {LOCK}")]


def one_pipeline(drop: str) -> list[Frontend]:
    return [*run(drop), *run("commit"), *run(LOCK), f.sync()]


def run(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute()]


def is_there(direct: WireClient) -> bool:
    return not any(
        one.body.endswith(b"t")
        for one in replies_to(direct, f.query("select to_regclass('hides.secret') is null"))
        if one.tag == b"D"
    )


def waits_for_lock(direct: WireClient) -> bool:
    found = replies_to(direct, f.query("select 1 from pg_locks where locktype = 'advisory' and not granted"))
    return any(one.tag == b"D" for one in found)


@contextmanager
def waiting(client: WireClient, direct: WireClient, messages: list[Frontend]) -> Iterator[None]:
    """Until its DROP is committed; then it goes on waiting."""
    ready = client.ready_count + sum(one.data[:1] in b"QS" for one in messages)
    client.send(*messages)
    wait_until(lambda: not is_there(direct), "the table is gone")
    try:
        yield
    finally:
        direct.query("select pg_advisory_unlock(77)")
        client.read_until_ready(ready)
        client.query("select pg_advisory_unlock_all()")


@pytest.mark.parametrize(("mode", "way"), [("transaction", one_message), ("session", one_pipeline)])
def test_others_read_nothing_that_a_drop_uncovers_before_it_is_answered(
    clients: Clients, direct: WireClient, mode: str, way: Callable[[str], list[Frontend]]
) -> None:
    client, other = clients.connect(mode), clients.connect(mode)
    other.query(PATH)
    assert not is_refused(
        replies_to(other, f.parse(READ, "prepared"), f.bind(statement="prepared"), f.execute(), f.sync())
    )
    with waiting(client, direct, way("drop table hides.secret")):
        for found in (
            replies_to(other, f.query(READ)),
            replies_to(other, f.bind(statement="prepared"), f.execute(), f.sync()),
        ):
            assert not is_told(found)
            assert is_refused(found)
        assert not is_refused(replies_to(other, f.query("select count(*) from orders")))
        assert is_told(replies_to(direct, f.query(f"{PATH}; {READ}")))


def test_what_is_hidden_again_is_read_again(clients: Clients, direct: WireClient) -> None:
    client, other = clients.connect("transaction"), clients.connect("session")
    other.query(PATH)
    client.query("begin; drop table hides.secret")
    assert is_refused(replies_to(other, f.query(READ)))
    client.query("rollback")
    assert not is_refused(replies_to(other, f.query(READ)))


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_what_is_refused_before_it_is_sent_takes_nothing_away(clients: Clients, direct: WireClient, mode: str) -> None:
    """A timeout can't be made to hold for several statements at once, which is found when all rules have decided."""
    client, other = clients.connect(mode), clients.connect("session")
    other.query(PATH)
    found = replies_to(client, f.query("drop table hides.secret; select 1 as probe_set"))
    assert [decode_error(one.body)["C"] for one in found if one.tag == b"E"] == ["0A000"]
    assert not is_refused(replies_to(other, f.query(READ)))


# The last one: its database stays in flux for a minute.
def test_nothing_is_read_behind_who_left_before_its_drop_was_answered(clients: Clients, direct: WireClient) -> None:
    client, other = clients.connect("transaction"), clients.connect("transaction")
    other.query(PATH)
    assert not is_refused(replies_to(other, f.query(READ)))
    client.send(*one_message("drop table hides.secret"))
    wait_until(lambda: not is_there(direct), "the table is gone")
    client.close()
    wait_until(lambda: not waits_for_lock(direct), "what waited for the lock is gone")
    found = replies_to(other, f.query(READ))
    assert not is_told(found)
    assert is_refused(found)
