"""What keeps a backend with its client, and how it ends: who waits gets the backend while the first client stays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.proxied import Clients, errors, tags, upstream, wait_for_arrival
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.sockets import SocketDiagnosis
from tests.support.watch import Activity, wait_until
from tests.support.wire import Endpoint, WireClient

DATABASE = "pins"


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int); insert into t select generate_series(1, 10)", dbname=DATABASE)
    primary = upstream(server, DATABASE)
    tables: Tables = {
        "server": {"listen": "pin"},
        "databases.one": {"primary": primary, "pool_size": 1},
        "databases.three": {"primary": primary, "pool_size": 3},
        "databases.limited": {"primary": primary, "pool_size": 3, "max_pinned": 1},
        "databases.unlimited": {"primary": primary, "pool_size": 2, "max_pinned": 0},
        "databases.hasty": {"primary": primary, "pool_size": 1, "pin_timeout": 0.3},
        "databases.at_work": {"primary": primary, "pool_size": 1, "pin_timeout": 1.5},
        "databases.both": {"primary": primary, "pool_size": 3, "pin_timeout": 1},
        "users.patient": {"pin_timeout": 0},
        "users.impatient": {"query_wait_timeout": 0.3},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)


@dataclass(frozen=True)
class Pin:
    """How something that pins is made, what shows that it is there, and all the ways in which it can go."""

    make: tuple[str, ...]
    shown_by: str
    ways_to_end: tuple[tuple[str, ...], ...]


TEMPORARY_OBJECTS = "select count(*) > 0 from pg_depend where refclassid = 2615 and refobjid = pg_my_temp_schema()"
LOCKS = "select count(*) > 0 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
CURSORS = "select count(*) > 0 from pg_cursors"
CHANNELS = "select count(*) > 0 from pg_listening_channels()"
PREPARED = "execute p"

PINS = {
    "temporary_table": Pin(
        ("create temp table mine (i int)",),
        TEMPORARY_OBJECTS,
        (
            ("drop table mine",),
            ("drop table pg_temp.mine",),
            ("discard temp",),
            ("discard all",),
            ("begin", "drop table mine", "commit"),
            ("do $$ begin drop table mine; end $$",),
        ),
    ),
    "temporary_table_as": Pin(("create temp table mine as select 1 as i",), TEMPORARY_OBJECTS, (("drop table mine",),)),
    "select_into_temp": Pin(("select 1 as i into temp mine",), TEMPORARY_OBJECTS, (("drop table mine",),)),
    "two_temporary_tables": Pin(
        ("create temp table mine (i int)", "create temp table other (i int)"),
        TEMPORARY_OBJECTS,
        (("drop table mine, other",), ("drop table mine", "drop table other"), ("discard temp",)),
    ),
    "temporary_view": Pin(
        ("create temp view mine as select 1",), TEMPORARY_OBJECTS, (("drop view mine",), ("discard temp",))
    ),
    "temporary_sequence": Pin(
        ("create temp sequence mine",),
        TEMPORARY_OBJECTS,
        (("drop sequence mine",), ("discard temp",), ("discard all",)),
    ),
    "function_in_pg_temp": Pin(
        ("create function pg_temp.mine() returns int language sql as 'select 1'",),
        TEMPORARY_OBJECTS,
        (("drop function pg_temp.mine()",), ("discard temp",)),
    ),
    "type_in_pg_temp": Pin(
        ("create type pg_temp.mine as (i int)",), TEMPORARY_OBJECTS, (("drop type pg_temp.mine",), ("discard all",))
    ),
    "table_where_search_path_says_pg_temp": Pin(
        ("set search_path = pg_temp, public", "create table mine (i int)"), TEMPORARY_OBJECTS, (("drop table mine",),)
    ),
    "cursor_with_hold": Pin(
        ("declare mine cursor with hold for select i from t",),
        CURSORS,
        (("close mine",), ("close all",), ("discard all",), ("begin", "close mine", "commit")),
    ),
    "cursor_with_hold_of_a_transaction": Pin(
        ("begin", "declare mine cursor with hold for select i from t", "fetch mine", "commit"),
        CURSORS,
        (("close mine",), ("close all",)),
    ),
    "advisory_lock": Pin(
        ("select pg_advisory_lock(7)",),
        LOCKS,
        (
            ("select pg_advisory_unlock(7)",),
            ("select pg_advisory_unlock_all()",),
            ("discard all",),
            ("do $$ begin perform pg_advisory_unlock(7); end $$",),
        ),
    ),
    "advisory_lock_taken_twice": Pin(
        ("select pg_advisory_lock(7)", "select pg_advisory_lock(7)"),
        LOCKS,
        (("select pg_advisory_unlock(7)", "select pg_advisory_unlock(7)"), ("select pg_advisory_unlock_all()",)),
    ),
    "shared_advisory_lock": Pin(
        ("select pg_advisory_lock_shared(7)",),
        LOCKS,
        (("select pg_advisory_unlock_shared(7)",), ("select pg_advisory_unlock_all()",)),
    ),
    "advisory_lock_of_two_keys": Pin(
        ("select pg_advisory_lock(7, 8)",),
        LOCKS,
        (("select pg_advisory_unlock(7, 8)",), ("select pg_advisory_unlock_all()",)),
    ),
    "tried_advisory_lock": Pin(
        ("select pg_try_advisory_lock(7)",), LOCKS, (("select pg_advisory_unlock(7)",), ("discard all",))
    ),
    "tried_shared_advisory_lock_of_two_keys": Pin(
        ("select pg_try_advisory_lock_shared(7, 8)",), LOCKS, (("select pg_advisory_unlock_shared(7, 8)",),)
    ),
    "advisory_lock_of_a_transaction_that_was_rolled_back": Pin(
        ("begin", "select pg_advisory_lock(7)", "rollback"), LOCKS, (("select pg_advisory_unlock(7)",),)
    ),
    "listen": Pin(
        ("listen gossip",),
        CHANNELS,
        (("unlisten gossip",), ("unlisten *",), ("discard all",), ("begin", "unlisten gossip", "commit")),
    ),
    "listen_to_two": Pin(
        ("listen gossip", "listen news"), CHANNELS, (("unlisten gossip", "unlisten news"), ("unlisten *",))
    ),
    "prepare": Pin(
        ("prepare p as select true",),
        PREPARED,
        (("deallocate p",), ("deallocate prepare p",), ("deallocate all",), ("discard all",)),
    ),
    "prepare_in_a_transaction_that_was_rolled_back": Pin(
        ("begin", "prepare p as select true", "rollback"), PREPARED, (("deallocate p",),)
    ),
    "do_that_makes_a_temporary_table": Pin(
        ("do $$ begin create temp table mine (i int); end $$",),
        TEMPORARY_OBJECTS,
        (("drop table mine",), ("do $$ begin drop table mine; end $$",), ("discard temp",)),
    ),
    "do_that_locks": Pin(
        ("do $$ begin perform pg_advisory_lock(7); end $$",), LOCKS, (("select pg_advisory_unlock(7)",),)
    ),
    "do_that_listens": Pin(("do $$ begin execute 'listen gossip'; end $$",), CHANNELS, (("unlisten *",),)),
    "do_that_declares_a_cursor": Pin(
        ("do $$ begin execute 'declare mine cursor with hold for select 1'; end $$",), CURSORS, (("close all",),)
    ),
    "do_that_prepares": Pin(
        ("do $$ begin execute 'prepare p as select true'; end $$",), PREPARED, (("deallocate p",), ("deallocate all",))
    ),
    "all_of_them": Pin(
        (
            "create temp table mine (i int)",
            "declare mine cursor with hold for select i from t",
            "select pg_advisory_lock(7)",
            "listen gossip",
            "prepare p as select true",
        ),
        PREPARED,
        (
            ("discard all",),
            ("discard temp", "close all", "select pg_advisory_unlock_all()", "unlisten *", "deallocate all"),
        ),
    ),
}

CASES = [pytest.param(pin, way, id=f"{name}-{'; '.join(way)}") for name, pin in PINS.items() for way in pin.ways_to_end]


def run(client: WireClient, statement: str, protocol: str) -> None:
    """Run it in this protocol. It must not fail."""
    seen, ready = len(client.replies), client.ready_count
    if protocol == "simple":
        client.send(f.query(statement))
    else:
        client.send(f.parse(statement), f.bind(), f.execute(), f.sync())
    client.read_until_ready(ready + 1)
    assert not errors(client, seen)


def ask_in_vain(client: WireClient, diagnosis: SocketDiagnosis) -> None:
    """Ask for the backend, which somebody else has."""
    client.send(f.query("select 'got it'"))
    wait_for_arrival(client, diagnosis)


def gets_it(client: WireClient) -> None:
    """The answer to ``ask_in_vain`` comes."""
    client.read_until_ready(2)
    assert tags(client)[-4:] == b"TDCZ"
    client.send_goodbye()


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize(("pin", "way"), CASES)
def test_who_waits_gets_the_backend_once_the_cause_has_gone(
    clients: Clients, diagnosis: SocketDiagnosis, pin: Pin, way: tuple[str, ...], protocol: str
) -> None:
    """Trap 22."""
    owner, other = clients.connect("one"), clients.connect("one")
    for statement in pin.make:
        run(owner, statement, protocol)
    ask_in_vain(other, diagnosis)
    for _ in range(2):
        # Had the other been given the backend, this client would see it: it would wait, or find nothing there.
        assert owner.query(pin.shown_by) == [("t",)]
    other.read_available()
    assert other.ready_count == 1
    for statement in way:
        run(owner, statement, protocol)
    gets_it(other)
    assert owner.query("select 'still here'") == [("still here",)]
    owner.send_goodbye()


NOTHING_PINS = {
    "temporary_table_rolled_back": ("begin", "create temp table mine (i int)", "rollback"),
    "temporary_table_rolled_back_to_a_savepoint": (
        "begin",
        "savepoint s",
        "create temp table mine (i int)",
        "rollback to s",
        "commit",
    ),
    "temporary_table_on_commit_drop": ("begin", "create temp table mine () on commit drop", "commit"),
    "temporary_table_made_and_dropped": ("begin", "create temp table mine (i int)", "drop table mine", "commit"),
    "cursor_rolled_back": ("begin", "declare mine cursor with hold for select 1", "rollback"),
    "cursor_without_hold": ("begin", "declare mine cursor for select 1", "fetch mine", "commit"),
    "lock_of_the_transaction": ("begin", "select pg_advisory_xact_lock(7)", "commit"),
    "lock_and_unlock": ("select pg_advisory_lock(7), pg_advisory_unlock(7)",),
    "listen_rolled_back": ("begin", "listen gossip", "rollback"),
    "listen_and_unlisten": ("begin", "listen gossip", "unlisten gossip", "commit"),
    "notify": ("notify gossip",),
    "prepare_and_deallocate": ("begin", "prepare p as select 1", "execute p", "deallocate p", "commit"),
    "do_that_does_nothing": ("do $$ begin end $$",),
    "do_that_takes_back": ("do $$ begin create temp table mine (i int); drop table mine; end $$",),
    "do_that_sets": ("do $$ begin set work_mem = '5MB'; end $$",),
    "set_of_much": ("set work_mem = '5MB'; set timezone = 'Asia/Tokyo'; set role pg_monitor", "reset role"),
    "nextval": ("create sequence if not exists s", "select nextval('s')"),
    "unlock_of_nothing": ("select pg_advisory_unlock(7)",),
}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("case", NOTHING_PINS)
def test_what_leaves_nothing_behind_keeps_no_backend(clients: Clients, case: str, protocol: str) -> None:
    owner, other = clients.connect("one"), clients.connect("one")
    for statement in NOTHING_PINS[case]:
        for each in statement.split("; ") if protocol == "extended" and not statement.startswith("do") else [statement]:
            run(owner, each, protocol)
    assert other.query("select 'got it'") == [("got it",)]
    assert owner.query("select 'still here'") == [("still here",)]


@pytest.mark.parametrize("call", ["pg_try_advisory_lock(42)", "pg_try_advisory_lock_shared(42)"])
def test_an_advisory_lock_that_was_tried_in_vain_keeps_no_backend(
    clients: Clients, postgres18: PostgresServer, call: str
) -> None:
    """Trap 23."""
    with WireClient.connect(Endpoint(postgres18.host, postgres18.port, DATABASE)) as holder:
        holder.query("select pg_advisory_lock(42)")
        owner, other = clients.connect("one"), clients.connect("one")
        assert owner.query(f"select {call}") == [("f",)]
        assert other.query("select 'got it'") == [("got it",)]


def test_a_pin_ends_with_its_client(clients: Clients, diagnosis: SocketDiagnosis) -> None:
    for goodbye in (True, False):
        owner, other = clients.connect("one"), clients.connect("one")
        owner.query("create temp table mine (i int); select pg_advisory_lock(7); listen gossip")
        ask_in_vain(other, diagnosis)
        if goodbye:
            owner.send_goodbye()
        else:
            owner.close()
        gets_it(other)


def test_a_transaction_that_is_open_does_not_end_with_the_cause(clients: Clients, diagnosis: SocketDiagnosis) -> None:
    owner, other = clients.connect("one"), clients.connect("one")
    owner.query("create temp table mine (i int)")
    ask_in_vain(other, diagnosis)
    owner.query("begin; drop table mine")
    owner.query("rollback")
    assert owner.query(TEMPORARY_OBJECTS) == [("t",)]
    owner.query("begin; drop table mine")
    assert owner.query(TEMPORARY_OBJECTS) == [("f",)]
    other.read_available()
    assert other.ready_count == 1
    owner.query("commit")
    gets_it(other)


def test_one_cause_of_two_is_enough(clients: Clients, diagnosis: SocketDiagnosis) -> None:
    owner, other = clients.connect("one"), clients.connect("one")
    owner.query("create temp table mine (i int); listen gossip")
    ask_in_vain(other, diagnosis)
    owner.query("drop table mine")
    assert owner.query(CHANNELS) == [("t",)]
    other.read_available()
    assert other.ready_count == 1
    owner.query("unlisten *")
    gets_it(other)


def test_a_listener_hears_what_others_say_as_long_as_it_listens(clients: Clients) -> None:
    """Trap 24."""
    listener, teller = clients.connect("three"), clients.connect("three")
    listener.query("listen gossip")
    teller.query("notify gossip, 'news'")
    listener.read_until(lambda: b"A" in tags(listener))
    listener.query("unlisten gossip")
    heard = tags(listener).count(b"A")
    for _ in range(3):
        teller.query("notify gossip, 'later'")
        listener.query("select 1")
    assert tags(listener).count(b"A") == heard == 1
    assert b"A" not in tags(teller)


def test_a_client_that_was_pinned_takes_its_settings_with_it(clients: Clients) -> None:
    owner, other = clients.connect("one"), clients.connect("one")
    owner.query("create temp table mine (i int); set work_mem = '5MB'; set app.tenant = 'mine'")
    owner.query("drop table mine")
    look = "select current_setting('work_mem'), coalesce(current_setting('app.tenant', true), '')"
    for _ in range(2):
        assert other.query(look) == [("4MB", "")]
        assert owner.query(look) == [("5MB", "mine")]


# --- Limits ------------------------------------------------------------------------------------------------------


def pin(client: WireClient, statement: str) -> None:
    """Run it, and wait until it is known what it did: what comes next is not looked at before."""
    client.query(statement)
    client.query("select 1")


@pytest.mark.parametrize(
    "statement", ["create temp table mine (i int)", "do $$ begin perform pg_advisory_lock(7); end $$"]
)
def test_one_client_too_many_is_told_so(clients: Clients, statement: str) -> None:
    first, second, third = [clients.connect("limited") for _ in range(3)]
    pin(first, "listen gossip")
    seen = len(second.replies)
    second.send(f.query(statement))
    second.read_to_end()
    told = errors(second, seen)[-1]
    assert (told["S"], told["C"]) == ("FATAL", "53300")
    assert "max_pinned is 1" in told["M"]
    # The others go on, and the place is free again when the first gives it up.
    assert third.query("select 1") == [("1",)]
    assert first.query(CHANNELS) == [("t",)]
    first.query("unlisten *")
    pin(third, "create temp table mine (i int)")
    assert third.query(TEMPORARY_OBJECTS) == [("t",)]


def test_what_the_client_too_many_had_is_gone(clients: Clients, activity: Activity, postgres18: PostgresServer) -> None:
    first, second = clients.connect("limited"), clients.connect("limited")
    pin(first, "listen gossip")
    second.send(f.query("select pg_advisory_lock(77)"))
    second.read_to_end()
    assert errors(second)
    held = "select from pg_locks where locktype = 'advisory' and objid = 77"
    wait_until(lambda: not activity.control.query(held), "the lock is gone with its session")


def test_not_all_backends_can_be_pinned_unless_it_is_said(clients: Clients) -> None:
    pinned = [clients.connect("three") for _ in range(3)]
    for client in pinned[:2]:
        pin(client, "listen gossip")
    pinned[2].send(f.query("listen gossip"))
    pinned[2].read_to_end()
    assert [error["C"] for error in errors(pinned[2])] == ["53300"]
    for _ in range(3):
        assert clients.connect("three").query("select 1") == [("1",)]


def test_who_waits_where_all_are_pinned_is_told_why(clients: Clients) -> None:
    for _ in range(2):
        pin(clients.connect("unlimited"), "create temp table mine (i int)")
    other = clients.connect("unlimited", "impatient")
    other.send(f.query("select 1"))
    other.read_until(lambda: bool(errors(other)))
    told = errors(other)[0]
    assert "kept by one client" in told.get("D", "") + told["M"]
    assert "temporary" in told.get("D", "") + told["M"]


def test_a_pin_that_lasts_too_long_ends_with_its_client(clients: Clients) -> None:
    owner = clients.connect("hasty")
    owner.query("create temp table mine (i int)")
    other = clients.connect("hasty")
    assert other.query("select 1") == [("1",)]
    owner.read_to_end()
    told = errors(owner)[-1]
    assert (told["S"], told["C"]) == ("FATAL", "57P05")
    assert "pin_timeout" in told["M"]
    assert "temporary" in told["M"]


def test_who_is_at_work_is_not_idle(clients: Clients) -> None:
    owner = clients.connect("at_work")
    owner.query("create temp table mine (i int)")
    assert owner.query("select count(pg_sleep(2)) from mine right join (select 1) as one on true") == [("1",)]
    owner.query("drop table mine")
    assert owner.query("select 1") == [("1",)]


def test_a_user_may_have_a_limit_of_its_own(clients: Clients, diagnosis: SocketDiagnosis) -> None:
    patient, hasty, other = clients.connect("both", "patient"), clients.connect("both"), clients.connect("both")
    pin(patient, "listen gossip")
    pin(hasty, "listen gossip")
    hasty.read_to_end()
    assert errors(hasty)[-1]["C"] == "57P05"
    ask_in_vain(other, diagnosis)
    gets_it(other)
    assert patient.query(CHANNELS) == [("t",)]
