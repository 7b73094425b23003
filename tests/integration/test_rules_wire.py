"""The rules of the example on the wire: in both protocols, prepared before, and reloaded in between."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CORPUS
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.wire import WireClient

PLUGINS = Path(__file__).parents[2] / "plugins"
MODULE = f"import sys\nsys.path.insert(0, {str(PLUGINS)!r})\nfrom interceptor_rules import Rules\n"
MORE = """
[[rule]]
name = "expensive"
tables = ["public.lines"]
rows_over = 1000
action = "block"
message = "too many rows"

[[rule]]
name = "flood"
tables = ["public.fuse"]
action = "limit_rows"
limit_rows = 3

[[rule]]
name = "no-waiting"
alterations = ["add column"]
lock_timeout = "missing"
action = "block"

[[rule]]
name = "slow"
functions = ["pg_sleep"]
action = "set"
set = { statement_timeout = "50ms" }
"""
SECRET = "select value from vault.secret where id = 1"


@pytest.fixture(scope="module")
def rules_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wire") / "rules.toml"
    path.write_text((CORPUS / "rules.toml").read_text() + MORE)
    return path


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, rules_file: Path) -> Iterator[Proxy]:
    server = postgres18
    server.create_database("wired")
    for role in ("analyst_jo", "payroll", "reader"):
        server.psql(f"drop role if exists {role}")
    server.psql((CORPUS / "world.sql").read_text(), dbname="wired")
    module = rules_file.with_name("rules.py")
    module.write_text(MODULE)
    tables: Tables = {
        "databases.wired": {"primary": upstream(server, "wired"), "pool_size": 2},
        "plugins": {"modules": [str(module)]},
        "plugins.rules": {"file": str(rules_file), "check_interval": "50ms"},
        "server": {"admin_users": ["postgres"], "admin_listen": "127.0.0.1:0"},
    }
    with run_proxy(tables) as made:
        yield made
    server.drop_database("wired")
    for role in ("analyst_jo", "payroll", "reader"):
        server.psql(f"drop role {role}")


@pytest.fixture(scope="module")
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


@pytest.fixture
def client(clients: Clients) -> Iterator[WireClient]:
    made = clients.connect("wired")
    yield made
    made.send_goodbye()


def say(client: WireClient, *sent: Frontend) -> list[str]:
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + 1)
    return [
        f"Error {decode_error(reply.body)['C']}" if reply.tag == b"E" else str(reply)
        for reply in client.replies[seen:]
        if reply.tag in b"EDZ"
    ]


def extended(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute(), f.sync()]


@pytest.mark.parametrize(
    "sql",
    [
        SECRET,
        "select * from v_deep",
        "select f_plpgsql()",
        "select o.f_of_row from orders o",
        "delete from orders",
        "with d as (delete from orders where true returning 1) select 1",
        "select salary from hr.employees",
        "do $$ begin end $$",
        "copy (table vault.secret) to stdout",
        "insert into note values (1, '')",
        "this is no sql",
    ],
)
def test_blocked_in_both_protocols(client: WireClient, sql: str) -> None:
    assert say(client, f.query(sql)) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, *extended(sql)) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, f.query("select 1")) == ["DataRow b'1'", "ReadyForQuery I"]


def test_a_blocked_message_runs_nothing_of_itself(client: WireClient) -> None:
    assert say(client, f.query(f"insert into people (id) values (500); {SECRET}")) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, f.query("select count(*) from people where id = 500")) == ["DataRow b'0'", "ReadyForQuery I"]


def test_a_blocked_execution_undoes_what_its_pipeline_did(client: WireClient) -> None:
    sent = [f.parse("insert into people (id) values (501)"), f.bind(), f.execute(), *extended(SECRET)]
    assert say(client, *sent) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, f.query("select count(*) from people where id = 501")) == ["DataRow b'0'", "ReadyForQuery I"]


def test_a_transaction_fails_with_what_is_blocked_in_it(client: WireClient) -> None:
    say(client, f.query("begin"))
    assert say(client, f.query(SECRET)) == ["Error 42501", "ReadyForQuery E"]
    assert say(client, f.query("select 1")) == ["Error 25P02", "ReadyForQuery E"]
    assert say(client, f.query("rollback")) == ["ReadyForQuery I"]


def test_the_path_of_the_session_counts(client: WireClient) -> None:
    assert say(client, f.query("select value from secret")) == ["DataRow b'decoy'", "ReadyForQuery I"]
    say(client, f.query("set search_path = vault"))
    assert say(client, f.query("select value from secret")) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, *extended("select value from secret")) == ["Error 42501", "ReadyForQuery I"]


def test_parsed_under_one_path_and_executed_under_another(client: WireClient) -> None:
    assert say(client, f.parse("select value from secret", "s"), f.sync()) == ["ReadyForQuery I"]
    assert say(client, f.bind(statement="s"), f.execute(), f.sync()) == ["DataRow b'decoy'", "ReadyForQuery I"]
    say(client, f.query("set search_path = vault"))
    assert say(client, f.bind(statement="s"), f.execute(), f.sync()) == ["Error 42501", "ReadyForQuery I"]


def test_the_estimate_of_the_planner(client: WireClient) -> None:
    # Nothing was analysed: the planner guesses 2,260 rows, and 11 of them with one value.
    assert say(client, f.query("select order_id from lines")) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, f.query("select order_id from lines where order_id = 1")) == ["DataRow b'1'", "ReadyForQuery I"]
    sent = [f.parse("select n from lines where order_id = $1"), f.bind([b"1"]), f.execute(), f.sync()]
    assert say(client, *sent) == ["DataRow b'1'", "ReadyForQuery I"]
    assert say(client, *extended("select n from lines")) == ["Error 42501", "ReadyForQuery I"]


@pytest.fixture(scope="module")
def nine(clients: Clients, postgres18: PostgresServer) -> None:
    """Nine rows in a table of which a result may have three, and 60 of its bytes in a COPY."""
    postgres18.psql("alter table fuse disable trigger all", dbname="wired")
    postgres18.psql("insert into fuse select generate_series(1, 9)", dbname="wired")


ROWS = ["DataRow b'1'", "DataRow b'2'", "DataRow b'3'"]
CUT = [*ROWS, "Error 54000"]


@pytest.mark.usefixtures("nine")
@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([f.query("select id from fuse where id < 3")], [*ROWS[:2], "ReadyForQuery I"]),
        ([f.query("select id from fuse")], [*CUT, "ReadyForQuery I"]),
        (extended("select id from fuse"), [*CUT, "ReadyForQuery I"]),
        ([f.query("with q as (select * from fuse) select * from q")], [*CUT, "ReadyForQuery I"]),
        ([f.query("table fuse; select 1")], [*CUT, "ReadyForQuery I"]),
        ([f.query("select 1; table fuse")], ["DataRow b'1'", *ROWS[:2], "Error 54000", "ReadyForQuery I"]),
        ([f.query("copy fuse to stdout")], ["Error 54000", "ReadyForQuery I"]),
        ([f.query("prepare flood as table fuse")], ["ReadyForQuery I"]),
    ],
)
def test_a_flood_ends(client: WireClient, sent: list[Frontend], said: list[str]) -> None:
    assert say(client, *sent) == said
    assert say(client, f.query("select 1")) == ["DataRow b'1'", "ReadyForQuery I"]


@pytest.mark.usefixtures("nine")
def test_a_flood_of_a_prepared_statement(client: WireClient) -> None:
    say(client, f.query("prepare p as table fuse"))
    assert say(client, f.query("execute p")) == [*CUT, "ReadyForQuery I"]
    assert say(client, f.parse("table fuse", "s"), f.sync()) == ["ReadyForQuery I"]
    assert say(client, f.bind(statement="s"), f.execute(), f.sync()) == [*CUT, "ReadyForQuery I"]


@pytest.mark.usefixtures("nine")
def test_a_flood_in_pieces(client: WireClient) -> None:
    say(client, f.query("begin"))
    opening = [f.parse("table fuse"), f.bind(portal="p"), f.execute("p", 2), f.sync()]
    assert say(client, *opening) == [*ROWS[:2], "ReadyForQuery T"]
    assert say(client, f.execute("p", 2), f.sync()) == [ROWS[2], "Error 54000", "ReadyForQuery E"]
    assert say(client, f.query("rollback")) == ["ReadyForQuery I"]


@pytest.mark.usefixtures("nine")
def test_a_flood_of_a_cursor(client: WireClient) -> None:
    say(client, f.query("begin"))
    say(client, f.query("declare c cursor for table fuse"))
    assert say(client, f.query("fetch 3 from c")) == [*ROWS, "ReadyForQuery T"]
    assert say(client, f.query("fetch 2 from c")) == ["DataRow b'4'", "DataRow b'5'", "ReadyForQuery T"]
    assert say(client, f.query("fetch all from c"))[-2:] == ["Error 54000", "ReadyForQuery E"]
    assert say(client, f.query("rollback")) == ["ReadyForQuery I"]
    say(client, f.query("declare h cursor with hold for table fuse"))
    assert say(client, *extended("fetch all from h")) == [*CUT, "ReadyForQuery I"]
    say(client, f.query("close h"))


@pytest.mark.usefixtures("nine")
def test_a_flood_in_a_pipeline(client: WireClient) -> None:
    sent = [*extended("select 7")[:-1], *extended("table fuse")[:-1], *extended("select 8")]
    assert say(client, *sent) == ["DataRow b'7'", *CUT, "ReadyForQuery I"]


@pytest.mark.parametrize("before", [[], [f.query("begin")], [f.query("set statement_timeout = '7s'")]])
def test_a_setting_for_one_statement(client: WireClient, before: list[Frontend]) -> None:
    if before:
        say(client, *before)
    own = "7s" if before and "set" in before[0].note else "0"
    state = "T" if before and "begin" in before[0].note else "I"
    show = [f"DataRow b'{own}'", f"ReadyForQuery {state}"]
    assert say(client, f.query("select 'a', pg_sleep(0)")) == ["DataRow b'a' b''", f"ReadyForQuery {state}"]
    assert say(client, f.query("show statement_timeout")) == show
    assert say(client, *extended("select 'a', pg_sleep(0)")) == ["DataRow b'a' b''", f"ReadyForQuery {state}"]
    assert say(client, f.query("show statement_timeout")) == show
    failed = "E" if state == "T" else "I"
    assert say(client, f.query("select pg_sleep(5)")) == ["Error 57014", f"ReadyForQuery {failed}"]
    if state == "T":
        say(client, f.query("rollback"))
    assert say(client, *extended("select pg_sleep(5)")) == ["Error 57014", "ReadyForQuery I"]
    assert say(client, f.query("show statement_timeout")) == [show[0], "ReadyForQuery I"]


def test_a_lock_timeout_of_the_transaction(client: WireClient) -> None:
    change = f.query("alter table people add column later int")
    assert say(client, change) == ["Error 42501", "ReadyForQuery I"]
    for setting in ("set local lock_timeout = '2s'", "set lock_timeout to 2000"):
        say(
            client,
            f.query("begin"),
        )
        say(client, f.query(setting))
        assert say(client, change) == ["ReadyForQuery T"]
        say(client, f.query("set local lock_timeout = 0"))
        assert say(client, change) == ["Error 42501", "ReadyForQuery E"]
        say(client, f.query("rollback"))
    assert say(client, change) == ["Error 42501", "ReadyForQuery I"]
    say(client, f.query("set lock_timeout = '3s'"))
    say(client, f.query("begin"))
    assert say(client, change) == ["ReadyForQuery T"]
    say(client, f.query("rollback"))


def test_a_setting_in_a_pipeline(client: WireClient) -> None:
    sent = [*extended("select 1")[:-1], *extended("select pg_sleep(5)")[:-1], *extended("select 2")]
    assert say(client, *sent) == ["DataRow b'1'", "Error 57014", "ReadyForQuery I"]
    sent = [*extended("select 'a', pg_sleep(0)")[:-1], *extended("show statement_timeout")]
    assert say(client, *sent) == ["DataRow b'a' b''", "DataRow b'0'", "ReadyForQuery I"]


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("sent", [[f.query(SECRET)], extended(SECRET)])
def test_a_statement_in_pieces(client: WireClient, sent: list[Frontend], size: int) -> None:
    data = b"".join(one.data for one in sent)
    ready = client.ready_count
    for position in range(0, len(data), size):
        client.write(data[position : position + size])
    client.read_until_ready(ready + 1)
    assert [decode_error(one.body)["C"] for one in client.replies if one.tag in b"ED"] == ["42501"]


@pytest.mark.parametrize("size", [17_000, 70_000, 300_000, 2_000_000])
def test_a_statement_behind_much_else(client: WireClient, size: int) -> None:
    for sql in (f"/*{'x' * size}*/ {SECRET}", f"{SECRET} and value <> '{'x' * size}'"):
        assert say(client, f.query(sql)) == ["Error 42501", "ReadyForQuery I"]
        assert say(client, *extended(sql)) == ["Error 42501", "ReadyForQuery I"]


@pytest.mark.parametrize("text", [b"select 1\0" + SECRET.encode(), SECRET.encode() + b"\0select 1"])
def test_a_statement_with_a_zero_in_it(client: WireClient, text: bytes) -> None:
    """It is no Query at all, and refused as PostgreSQL does before a rule could be asked."""
    data = text + b"\0"
    client.write(b"Q" + (len(data) + 4).to_bytes(4, "big") + data)
    client.read_until_ready(2)
    assert [decode_error(one.body)["C"] for one in client.replies if one.tag in b"ED"] == ["08P01"]


def test_rules_on_the_console_and_in_the_metrics(clients: Clients, client: WireClient, proxy: Proxy) -> None:
    console = clients.connect("interceptor")
    columns = ("name", "action", "mode", "hits", "shadow_hits", "last_hit", "file")

    def shown() -> dict[str, str | None]:
        rows = [dict(zip(columns, row, strict=True)) for row in console.query("show rules")]
        assert [row["name"] for row in rows][-3:] == ["on_unparsable", "on_opaque", "default"]
        return next(row for row in rows if row["name"] == "secrets")

    port = re.search(r"HTTP at 127\.0\.0\.1 port (\d+)", proxy.log)
    assert port is not None

    def counted() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r'^interceptor_rules_hits_total\{[^}]*rule="secrets"[^}]*\} ([\d.]+)', text, re.MULTILINE)
        return 0.0 if found is None else float(found[1])

    hits, count = int(shown()["hits"] or 0), counted()
    say(client, f.query(SECRET))
    say(client, *extended(SECRET))
    after = shown()
    assert (after["hits"], after["action"], after["mode"], after["shadow_hits"]) == (
        str(hits + 2), "block", "enforce", "0",
    )  # fmt: skip
    assert after["last_hit"]
    assert after["file"].endswith("rules.toml") if after["file"] else False
    assert counted() == count + 2


def test_a_function_call_is_refused(client: WireClient, postgres18: PostgresServer) -> None:
    oid = int(postgres18.psql("select 'f_sql'::regproc::oid", dbname="wired"))
    assert say(client, f.function_call(oid, [])) == ["Error 42501", "ReadyForQuery I"]


@pytest.mark.parametrize(
    "sql",
    [
        "set standard_conforming_strings = off",
        "set local standard_conforming_strings to false",
        "select set_config('standard_conforming_strings', 'off', false)",
        "set client_encoding = 'SJIS'",
        "set names 'gb-18030'",
        "alter role current_user set search_path = vault",
        "alter database wired set role = reader",
        "alter system set standard_conforming_strings = off",
    ],
)
def test_what_would_have_texts_read_in_another_way(client: WireClient, sql: str) -> None:
    assert say(client, f.query(sql)) == ["Error 42501", "ReadyForQuery I"]
    assert say(client, *extended(sql)) == ["Error 42501", "ReadyForQuery I"]


def test_an_encoding_by_a_name_that_is_computed_ends_the_session(client: WireClient) -> None:
    client.send(f.query("select set_config('standard_conforming_' || 'strings', 'off', false)"))
    client.read_until(lambda: client.closed)
    (refusal,) = [decode_error(one.body) for one in client.replies if one.tag == b"E"]
    assert refusal["S"] == "FATAL"
    assert refusal["M"].startswith("(session_refused)")


def test_prepared_before_and_executed_after_a_reload(clients: Clients, rules_file: Path) -> None:
    client = clients.connect("wired")
    assert say(client, f.parse("select name from customers where id = 0", "s"), f.sync()) == ["ReadyForQuery I"]
    execution = (f.bind(statement="s"), f.execute(), f.sync())
    assert say(client, *execution) == ["DataRow b'a'", "ReadyForQuery I"]
    before = rules_file.read_text()
    new = before + '\n[[rule]]\nname = "new"\ntables = ["public.customers"]\naction = "block"\n'
    rules_file.write_text(new + "this is wrong")
    assert say(client, *execution) == ["DataRow b'a'", "ReadyForQuery I"]
    rules_file.write_text(new)
    for _ in range(500):
        if say(client, *execution) == ["Error 42501", "ReadyForQuery I"]:
            break
        say(client, f.query("select pg_sleep(0.02)"))
    else:
        pytest.fail("the new rules did not come")
    rules_file.write_text(before)
    client.send_goodbye()
