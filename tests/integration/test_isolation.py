"""No client ever sees what another did to its session: it follows its client, or keeps the backend for it.

What ends that is in test_pins.py; more of settings in test_session_settings.py, and of sequences in test_sequences.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import row_values
from tests.support.proxied import Clients, errors, pid_of, tags, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import Activity, wait_until
from tests.support.wire import WireClient

DATABASE = "isolation"
INT4, TEXT = 23, 25


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    server = postgres18
    server.create_database(DATABASE)
    server.psql("create table t (i int); create role iso_role; create role iso_login login superuser", dbname=DATABASE)
    server.psql("create sequence s", dbname=DATABASE)
    tables: Tables = {
        # Backends are counted and watched here: one that is asked what a statement did is not free yet.
        "server": {"catalogue": False, "listen": "pin"},
        "databases.one": {"primary": upstream(server, DATABASE), "pool_size": 1},
        # One backend more than clients that are pinned in a test: the others share it, and find what was left there.
        "databases.app": {"primary": upstream(server, DATABASE), "pool_size": 2},
        "databases.two": {"primary": upstream(server, DATABASE), "pool_size": 3},
    }
    with run_proxy(tables) as running:
        yield running
    server.drop_database(DATABASE)
    server.psql("drop role iso_role; drop role iso_login")


def extended(client: WireClient, sql: str, *values: bytes, types: tuple[int, ...] = ()) -> list[bytes | None]:
    """Run it with the unnamed statement; the first column."""
    seen, ready = len(client.replies), client.ready_count
    client.send(f.parse(sql, types=types), f.bind(values), f.execute(), f.sync())
    client.read_until_ready(ready + 1)
    assert not errors(client, seen)
    return [row_values(reply)[0] for reply in client.replies[seen:] if reply.tag == b"D"]


def execute(client: WireClient, *values: bytes, statement: str = "") -> list[bytes | None]:
    """Run a statement that was parsed before; the first column."""
    seen, ready = len(client.replies), client.ready_count
    client.send(f.bind(values, statement=statement), f.execute(), f.sync())
    client.read_until_ready(ready + 1)
    assert not errors(client, seen)
    return [row_values(reply)[0] for reply in client.replies[seen:] if reply.tag == b"D"]


def prepare(client: WireClient, sql: str, name: str, types: tuple[int, ...] = ()) -> list[dict[str, str]]:
    """Parse it under a name; the errors."""
    seen, ready = len(client.replies), client.ready_count
    client.send(f.parse(sql, name, types), f.sync())
    client.read_until_ready(ready + 1)
    return errors(client, seen)


# What the client does, how it looks at it, and what it then sees; another client sees the rest.
FOLLOWING = {
    "set": ("set work_mem = '77MB'", "show work_mem", "77MB"),
    "set_of_a_reported_setting": ("set timezone = 'Asia/Kathmandu'", "show timezone", "Asia/Kathmandu"),
    "set_in_a_transaction": ("begin; set work_mem = '77MB'; commit", "show work_mem", "77MB"),
    "set_after_set_local": ("begin; set local work_mem='5MB'; set work_mem='77MB'; commit", "show work_mem", "77MB"),
    "set_config": ("select set_config('work_mem', '77MB', false)", "show work_mem", "77MB"),
    "set_config_in_a_subquery": (
        "select count(*) from (select set_config('work_mem', '77MB', false)) x",
        "show work_mem",
        "77MB",
    ),
    "set_by_do": ("do $$ begin set work_mem = '77MB'; end $$", "show work_mem", "77MB"),
    "search_path": ("set search_path = 'else, where', public", "show search_path", '"else, where", public'),
    "read_only": ("set default_transaction_read_only = on", "show default_transaction_read_only", "on"),
    "statement_timeout": ("set statement_timeout = '77min'", "show statement_timeout", "77min"),
    "session_characteristics": (
        "set session characteristics as transaction isolation level serializable",
        "show transaction_isolation",
        "serializable",
    ),
    "set_role": ("set role iso_role", "select current_user", "iso_role"),
    "set_session_authorization": ("set session authorization iso_login", "select session_user", "iso_login"),
    "own_setting": ("set my.setting = 'mine'", "select coalesce(current_setting('my.setting', true), '')", "mine"),
    "client_encoding": ("set client_encoding = 'LATIN1'", "show client_encoding", "LATIN1"),
}

PINNING = {
    "temporary_table": ("create temp table mine ()", "select coalesce(to_regclass('mine')::text, '')", "mine"),
    "temporary_view": ("create temp view mine as select 1", "select coalesce(to_regclass('mine')::text, '')", "mine"),
    "temporary_table_of_select": (
        "select 1 as i into temp mine",
        "select coalesce(to_regclass('mine')::text, '')",
        "mine",
    ),
    "cursor_with_hold": (
        "declare c cursor with hold for select 1",
        "select coalesce((select name from pg_cursors), '')",
        "c",
    ),
    "prepare": ("prepare p as select 1", "select coalesce((select name from pg_prepared_statements), '')", "p"),
    "listen": ("listen gossip", "select coalesce((select pg_listening_channels()), '')", "gossip"),
    "advisory_lock": (
        "select pg_advisory_lock(4242)",
        "select count(*)::text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
        "1",
    ),
}


def change_session(client: WireClient, change: str, protocol: str) -> None:
    if protocol == "simple":
        client.query(change)
    else:
        for statement in [change] if change.startswith("do ") else change.split("; "):
            extended(client, statement)


def leave(client: WireClient, *, goodbye: bool) -> None:
    if goodbye:
        client.send_goodbye()
    else:
        client.close()


@pytest.mark.parametrize("case", FOLLOWING)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("goodbye", [True, False], ids=["terminate", "vanish"])
def test_a_setting_follows_its_client_over_a_backend_that_all_share(
    clients: Clients, case: str, protocol: str, goodbye: bool
) -> None:
    """Traps 18, 19 and 22."""
    change, look, seen = FOLLOWING[case]
    owner, *others = [clients.connect("one") for _ in range(3)]
    before = [other.query(look) for other in others]
    assert [(seen,)] not in before
    change_session(owner, change, protocol)
    pids = set()
    for _ in range(2):
        assert [other.query(look) for other in others] == before
        assert owner.query(look) == [(seen,)]
        pids.add(pid_of(owner))
    leave(owner, goodbye=goodbye)
    assert [other.query(look) for other in others] == before
    # Its backend works on, for the others.
    assert {*pids, *(pid_of(other) for other in others)} == pids
    assert len(pids) == 1


@pytest.mark.parametrize("case", PINNING)
@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("goodbye", [True, False], ids=["terminate", "vanish"])
def test_what_cannot_follow_a_client_stays_with_it_and_goes_with_it(
    clients: Clients, postgres18: PostgresServer, case: str, protocol: str, goodbye: bool
) -> None:
    """Traps 18, 19 and 22."""
    change, look, seen = PINNING[case]
    # A look at pg_prepared_statements keeps the backend until all is known: what it shows is this backend's.
    database = "two" if case == "prepare" else "app"
    owner, *others = [clients.connect(database) for _ in range(3)]
    change_session(owner, change, protocol)
    pid = pid_of(owner)
    for _ in range(2):
        for other in others:
            assert other.query(look) != [(seen,)]
            assert pid_of(other) != pid
        assert owner.query(look) == [(seen,)]
        assert pid_of(owner) == pid
    leave(owner, goodbye=goodbye)
    with Activity(postgres18, DATABASE) as activity:
        wait_until(lambda: pid not in activity.pids(), "its backend is closed, and the lock with it")
    for other in others:
        assert other.query(look) != [(seen,)]


@pytest.mark.parametrize(
    "sql",
    [
        "begin; set local work_mem = '77MB'; commit",
        "begin; set work_mem = '77MB'; rollback",
        "begin; set local role iso_role; commit",
        "begin; select set_config('work_mem', '77MB', true); commit",
        "begin; create temp table mine () on commit drop; commit",
        "begin; declare c cursor for select 1; fetch c; commit",
        "begin; select pg_advisory_xact_lock(4242); commit",
        "set work_mem = '77MB'; reset all",
        "set role iso_role; reset role",
        "listen gossip; unlisten *",
    ],
)
def test_what_a_client_has_undone_is_seen_by_nobody(clients: Clients, sql: str) -> None:
    """Trap 18."""
    look = (
        "select current_setting('work_mem'), current_user, to_regclass('mine')::text,"
        " (select count(*) from pg_cursors),"
        " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),"
        " (select count(*) from pg_listening_channels())"
    )
    plain = [("4MB", "postgres", None, "0", "0", "0")]
    first, *others = [clients.connect("app") for _ in range(3)]
    first.query(sql)
    for client in (first, *others, first):
        assert client.query(look) == plain


def test_default_transaction_read_only_leaves_others_able_to_write(clients: Clients) -> None:
    """Trap 19."""
    reader, writer = clients.connect("app"), clients.connect("app")
    reader.query("set default_transaction_read_only = on; set statement_timeout = '1ms'")
    writer.query("insert into t values (1)")
    writer.query("select pg_sleep(0.05)")
    assert not errors(writer)


def test_a_named_statement_is_there_whatever_the_others_did_meanwhile(clients: Clients) -> None:
    """Trap 1."""
    client, *others = [clients.connect("app") for _ in range(4)]
    assert not prepare(client, "select $1::int + 1", "plus_one")
    for number in range(5):
        for other in others:
            other.query("begin; select 1; commit")
        assert execute(client, str(number).encode(), statement="plus_one") == [str(number + 1).encode()]


def test_the_same_name_means_to_each_client_its_own_statement(clients: Clients) -> None:
    """Trap 2."""
    first, second = clients.connect("two"), clients.connect("two")
    assert not prepare(first, "select 'first'", "s")
    assert not prepare(second, "select 'second'", "s")
    for _ in range(3):
        assert execute(first, statement="s") == [b"first"]
        assert execute(second, statement="s") == [b"second"]


def test_the_same_text_with_other_parameter_types_is_another_statement(clients: Clients) -> None:
    """Trap 3."""
    first, second = clients.connect("two"), clients.connect("two")
    text = "select pg_typeof($1)::text"
    assert not prepare(first, text, "s", (INT4,))
    assert not prepare(second, text, "s", (TEXT,))
    assert execute(first, b"1", statement="s") == [b"integer"]
    assert execute(second, b"1", statement="s") == [b"text"]


def test_a_statement_that_could_not_be_parsed_can_be_parsed_later(clients: Clients) -> None:
    """Trap 4."""
    client, maker = clients.connect("two"), clients.connect("two")
    for name in ("", "named"):
        maker.query("drop table if exists later")
        assert [error["C"] for error in prepare(client, "select count(*) from later", name)] == ["42P01"]
        maker.query("create table later ()")
        assert prepare(client, "select count(*) from later", name) == []
        assert execute(client, statement=name) == [b"0"]


def test_closing_a_statement_concerns_its_client_alone(clients: Clients) -> None:
    """Trap 6."""
    first, second = clients.connect("two"), clients.connect("two")
    for client in (first, second):
        assert not prepare(client, "select 1", "s")
    seen = len(first.replies)
    first.send(f.close_statement("s"), f.parse("select 2", "s"), f.sync())
    first.read_until_ready(first.ready_count + 1)
    assert tags(first, seen) == b"31Z"
    assert execute(first, statement="s") == [b"2"]
    assert execute(second, statement="s") == [b"1"]


@pytest.mark.parametrize("sql", ["deallocate s", "deallocate all", "discard all"])
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_deallocate_and_discard_concern_their_client_alone(clients: Clients, sql: str, protocol: str) -> None:
    """Trap 7."""
    first, second = clients.connect("two"), clients.connect("two")
    for client in (first, second):
        assert not prepare(client, "select 1", "s")
    if protocol == "simple":
        first.query(sql)
    else:
        extended(first, sql)
    assert not prepare(first, "select 2", "s")
    assert execute(first, statement="s") == [b"2"]
    assert execute(second, statement="s") == [b"1"]


def test_each_client_has_its_own_unnamed_statement(clients: Clients) -> None:
    """Traps 1 and 2 for the statement without a name, which pins nobody: it is given to the next backend again."""
    first, second, third = [clients.connect("app") for _ in range(3)]
    for client, text in ((first, "select 'first'"), (second, "select $1::text")):
        client.send(f.parse(text), f.sync())
        client.read_until_ready(2)
    for number in range(4):
        assert execute(first) == [b"first"]
        third.query("select 1")
        assert execute(second, str(number).encode()) == [str(number).encode()]
    # A simple query takes it away, and one's own only.
    first.query("select 1")
    first.send(f.bind(), f.execute(), f.sync())
    first.read_until_ready(first.ready_count + 1)
    assert [error["C"] for error in errors(first)] == ["26000"]
    assert execute(second, b"still") == [b"still"]
    # One that never parsed anything finds nothing.
    third.send(f.bind(), f.execute(), f.sync())
    third.read_until_ready(third.ready_count + 1)
    assert [error["C"] for error in errors(third)] == ["26000"]


def changing_plan(clients: Clients) -> WireClient:
    """A client with a statement "s" that has run, and whose result is another by now."""
    client, maker = clients.connect("two"), clients.connect("two")
    maker.query("drop table if exists changing; create table changing (a int); insert into changing values (1)")
    assert not prepare(client, "select * from changing", "s")
    assert execute(client, statement="s") == [b"1"]
    maker.query("alter table changing alter a type text using 'now ' || a")
    return client


def test_a_cached_plan_whose_result_changes_goes_on_where_nothing_was_done_before_it(clients: Clients) -> None:
    """Trap 8."""
    client = changing_plan(clients)
    assert execute(client, statement="s") == [b"now 1"]
    assert not errors(client)
    assert execute(client, statement="s") == [b"now 1"]


def test_a_cached_plan_whose_result_changes_fails_in_a_transaction_and_goes_on_when_parsed_again(
    clients: Clients,
) -> None:
    """Trap 8."""
    client = changing_plan(clients)
    client.query("begin")
    client.send(f.bind(statement="s"), f.execute(), f.sync())
    client.read_until_ready(client.ready_count + 1)
    assert [error["C"] for error in errors(client)] == ["0A000"]
    client.query("rollback")
    client.send(f.close_statement("s"), f.sync())
    client.read_until_ready(client.ready_count + 1)
    assert not prepare(client, "select * from changing", "s")
    assert execute(client, statement="s") == [b"now 1"]


def test_an_error_in_a_pipeline_skips_to_its_sync_and_undoes_its_earlier_part(clients: Clients) -> None:
    """Trap 9."""
    client = clients.connect("app")
    client.query("truncate t")
    seen = len(client.replies)
    insert = f.parse("insert into t values (1)"), f.bind(), f.execute()
    client.send(*insert, f.parse("select 1/0"), f.bind(), f.execute(), *insert, f.sync(), *insert, f.sync())
    client.read_until_ready(client.ready_count + 2)
    assert tags(client, seen) == b"12C1EZ12CZ"
    assert client.query("select count(*) from t") == [("1",)]


def test_notifications_reach_who_listens_and_nobody_else(clients: Clients) -> None:
    """Trap 24: the listener is pinned, the one who notifies need not be."""
    listener, teller, other = [clients.connect("two") for _ in range(3)]
    listener.query("listen gossip")
    teller.query("begin; notify gossip, 'never'; rollback")
    teller.query("notify gossip, 'news'")
    listener.read_until(lambda: b"A" in tags(listener))
    assert [reply.fields()[1:] for reply in listener.replies if reply.tag == b"A"] == [("'gossip'", "'news'")]
    for client in (teller, other):
        client.query("select 1")
        assert b"A" not in tags(client)


def test_statements_that_are_sent_before_the_login_has_ended(clients: Clients) -> None:
    """The login of each needs a backend first, and the statements come with the answer to it."""
    members = [clients.raw() for _ in range(2)]
    parameters = {"user": "postgres", "database": "app", "application_name": "hasty"}
    for member in members:
        member.send(f.startup(parameters), f.query("begin"), f.query("select pg_backend_pid()"))
    for member in members:
        member.read_until_ready(3)
        assert not errors(member)
    assert pid_of(members[0]) != pid_of(members[1])
    for member in members:
        member.query("rollback")
