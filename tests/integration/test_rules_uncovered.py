"""What a DROP or REVOKE uncovers: a name that was hidden by another of its kind, earlier in the search_path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CORPUS, is_refused, is_told
from tests.support import frontend as f
from tests.support.backend import Reply
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import run_proxy
from tests.support.saying import replies_to
from tests.support.wire import Endpoint, WireClient

SECRET = "select value from secret"
TABLE = "create table {s}.secret (id int, value text)"
FUNCTION = "create function {s}.f_sql() returns text language sql as 'select null::text'"
OPERATOR = "create operator {s}.<?> (leftarg = int, rightarg = int, function = int4pl)"
USAGE = TABLE + "; grant usage on schema {s} to public; grant all on {s}.secret to public"
UNCOVERED: dict[str, tuple[str, str, str]] = {
    "of_table": (TABLE, "drop table {s}.secret", SECRET),
    "of_schema": (TABLE, "drop schema {s} cascade", SECRET),
    "of_view": ("create view {s}.secret as select 1 as id, null::text as value", "drop view {s}.secret", SECRET),
    "of_renamed": (TABLE, "alter table {s}.secret rename to other", SECRET),
    "of_moved": (TABLE, "alter table {s}.secret set schema billing", SECRET),
    "of_renamed_schema": (TABLE, "alter schema {s} rename to {s}_other", SECRET),
    "of_function": (FUNCTION, "drop function {s}.f_sql()", "select f_sql()"),
    "of_renamed_function": (FUNCTION, "alter function {s}.f_sql() rename to other", "select f_sql()"),
    "of_operator": (OPERATOR, "drop operator {s}.<?> (int, int)", "select (1 <?> 2)::text"),
    "of_type": ("create domain {s}.checked as int", "drop domain {s}.checked", "select ('1'::checked)::int"),
    "of_unusable": (USAGE, "revoke usage on schema {s} from public", SECRET),
}
"""What hides the secret, what uncovers it, and what reads it then: ``s`` is a schema that is searched first."""

WAYS = ("at once", "prepared before", "by another client")


def run(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute()]


def again(what: str) -> list[Frontend]:
    return [f.bind(statement=what), f.execute()]


def enter(client: WireClient, what: str) -> None:
    """Search the schema of that name first, as somebody with few rights where rights are what it is about."""
    client.query("reset role")
    client.query(f"set search_path = {what}, vault, public")
    if what == "of_unusable":
        client.query("set role reader")


@pytest.fixture(scope="module")
def server(postgres18: PostgresServer) -> Iterator[PostgresServer]:
    roles = ("analyst_jo", "payroll", "reader")
    for role in roles:
        postgres18.psql(f"drop role if exists {role}")
    postgres18.create_database("uncovered")
    postgres18.psql((CORPUS / "world.sql").read_text(), dbname="uncovered")
    yield postgres18
    postgres18.drop_database("uncovered")
    for role in roles:
        postgres18.psql(f"drop role {role}")


@pytest.fixture(scope="module")
def clients(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    file = tmp_path_factory.mktemp("uncovered") / "rules.toml"
    # Nothing is trusted, for then more is refused for other reasons.
    rules = (CORPUS / "rules.toml").read_text().replace('["billing.*", "postgis.*"]', "[]")
    file.write_text(rules)
    with run_proxy({
        "databases.transaction": {"primary": upstream(server, "uncovered")},
        "databases.session": {"primary": upstream(server, "uncovered"), "pool_mode": "session"},
        "plugins.rules": {"file": str(file)},
    }) as proxy, Clients(proxy) as made:  # fmt: skip
        yield made


def cover(client: WireClient) -> None:
    client.query("; ".join([f"create schema {what}; {one[0].format(s=what)}" for what, one in UNCOVERED.items()]))


def attempt(client: WireClient, other: WireClient, shift: int) -> dict[str, list[Reply]]:
    """What is said to who reads behind what uncovers it. What hides it is read before, which nobody refuses.

    Each kind is tried in one of the ``WAYS``, the next one with the next ``shift``.
    """
    ways = {what: WAYS[(position + shift) % len(WAYS)] for position, what in enumerate(UNCOVERED)}
    cover(client)
    for what, (_, _, reads) in UNCOVERED.items():
        enter(client, what)
        before = replies_to(client, f.parse(reads, what), *again(what), f.sync())
        assert not is_told(before), what
        assert not is_refused(before), what
    client.query("reset role")
    for taker, taken in (
        (client, [what for what, way in ways.items() if way != "by another client"]),
        (other, [what for what, way in ways.items() if way == "by another client"]),
    ):
        taker.query("; ".join([UNCOVERED[what][1].format(s=what) for what in taken]))
    found = {}
    for what, (_, _, reads) in UNCOVERED.items():
        enter(client, what)
        found[what] = (
            replies_to(client, f.query(reads))
            if ways[what] == "at once"
            else replies_to(client, *again(what), f.sync())
        )
    client.query("reset role")
    left = [what for what in UNCOVERED if what not in ("of_schema", "of_renamed_schema")]
    client.query(f"drop schema {', '.join(left)}, of_renamed_schema_other cascade; drop table billing.secret")
    return found


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_what_hid_a_name_is_gone_once_it_was_taken_away(clients: Clients, mode: str) -> None:
    shift = 0 if mode == "transaction" else 1
    for what, found in attempt(clients.connect(mode), clients.connect(mode), shift).items():
        assert not is_told(found), what
        assert is_refused(found), what


def test_postgresql_would_have_told(server: PostgresServer) -> None:
    address = Endpoint(server.host, server.port, "uncovered", "postgres")
    with WireClient.connect(address) as client, WireClient.connect(address) as other:
        for shift in (0, 1):
            for what, found in attempt(client, other, shift).items():
                assert is_told(found), what
            client.query("deallocate all")


def within(client: WireClient, way: int, what: str) -> list[Reply]:
    """What is said to who reads in the transaction that uncovers it: in a block, in a pipeline, in one message."""
    _, uncovers, reads = UNCOVERED[what]
    first, role = uncovers.format(s=what), "set role reader" if what == "of_unusable" else "select 1"
    if way == 0:
        client.query("begin")
        client.query(first)
        client.query(role)
        found = replies_to(client, f.query(reads))
        client.query("rollback")
        return found
    if way == 1:
        return replies_to(client, *run(first), *run(role), *again(what), f.sync())
    return replies_to(client, f.query(f"{first}; {role}; {reads}"))


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_what_hid_a_name_is_gone_within_a_transaction_and_a_pipeline(clients: Clients, mode: str) -> None:
    client = clients.connect(mode)
    cover(client)
    for position, (what, (_, _, reads)) in enumerate(UNCOVERED.items()):
        enter(client, what)
        replies_to(client, f.parse(reads, what), *again(what), f.sync())
        client.query("reset role")
        found = within(client, (position + (mode == "session")) % 3, what)
        assert not is_told(found), what
        assert is_refused(found), what
    client.query("reset role")
    client.query(f"drop schema if exists {', '.join(UNCOVERED)} cascade")
    client.close()


def test_what_takes_nothing_of_a_rule_away_refuses_nothing(clients: Clients) -> None:
    client = clients.connect("transaction")
    for sql in (
        "create schema mine; create table mine.old (id int); create table mine.secrets (id int)",
        "set search_path = mine, public", "begin", "drop table old", "select count(*) from orders",
        "select name from customers c where c.id = 1", "insert into lines values (1, 2)", "rollback",
        "drop table if exists old, never", "select count(*) from orders", "drop schema mine cascade",
        "select lower(name) from customers", "select value from public.secret",
    ):  # fmt: skip
        assert not is_refused(replies_to(client, f.query(sql))), sql
