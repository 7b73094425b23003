"""Rewritten statements over both protocols and real servers: what runs first, other values, other descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.wire import WireClient

DATABASE = "rewritten"
PLUGIN = Path(__file__).with_name("rewriting.py")
MODES = ("shared", "reused", "session", "unshared")


@pytest.fixture(scope="module", params=[16, 18])
def server(request: pytest.FixtureRequest, postgres16: PostgresServer, postgres18: PostgresServer) -> PostgresServer:
    return {16: postgres16, 18: postgres18}[request.param]


@pytest.fixture(scope="module")
def proxies(server: PostgresServer) -> Iterator[dict[str, Proxy]]:
    """By mode, each of which is a database of theirs."""
    server.create_database(DATABASE)
    server.psql("create table t (i int primary key); create table shadow (i int, t text)", dbname=DATABASE)
    primary = upstream(server, DATABASE)
    plugins: Tables = {"plugins": {"modules": [str(PLUGIN)]}}
    pooled: Tables = {
        "databases.shared": {"primary": primary, "pool_size": 2},
        "databases.reused": {"primary": primary, "pool_size": 2, "reuse_unnamed_statements": True},
        "databases.session": {"primary": primary, "pool_size": 2, "pool_mode": "session"},
    }
    unshared: Tables = {
        "server": {"max_prepared_statements": 0},
        "databases.unshared": {"primary": primary, "pool_size": 2},
    }
    with run_proxy({**pooled, **plugins}) as one, run_proxy({**unshared, **plugins}) as other:
        yield {"shared": one, "reused": one, "session": one, "unshared": other}
    server.drop_database(DATABASE)


@pytest.fixture(params=MODES)
def client(request: pytest.FixtureRequest, proxies: dict[str, Proxy], server: PostgresServer) -> Iterator[WireClient]:
    if server.version == 16 and request.param != "shared":
        pytest.skip("what a mode changes is the same for each server")
    with Clients(proxies[request.param]) as clients:
        made = clients.connect(request.param)
        yield made
        made.send_goodbye()
    server.psql("set lock_timeout = '9s'; truncate t", dbname=DATABASE)


@pytest.fixture
def clients(proxies: dict[str, Proxy]) -> Iterator[Clients]:
    with Clients(proxies["shared"]) as made:
        yield made


def say(client: WireClient, *sent: Frontend, readies: int = 1) -> list[str]:
    """The names of the replies, rows in full; an error by its SQLSTATE and position."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + readies)
    said = []
    for reply in client.replies[seen:]:
        text = str(reply)
        if reply.tag == b"E":
            fields = decode_error(reply.body)
            text = f"Error {fields['C']} {fields.get('P', '')}".rstrip()
        said.append(text)
    return said


def columns(client: WireClient, said: list[str]) -> str:
    """The one RowDescription, which is taken out of what was said."""
    (found,) = [one for one in said if one.startswith("RowDescription")]
    said.remove(found)
    return found


def batch(sql: str, *values: bytes, name: str = "", results: tuple[int, ...] = ()) -> list[Frontend]:
    return [
        f.parse(sql, name),
        f.bind(values, statement=name, results=results),
        f.describe_portal(),
        f.execute(),
    ]


def table(client: WireClient) -> list[str]:
    return [str(row[0]) for row in client.query("select i from t order by i")]


both = pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])


def run(client: WireClient, sql: str, *, extended: bool) -> list[str]:
    """Without what the protocols differ in."""
    said = say(client, *batch(sql), f.sync()) if extended else say(client, f.query(sql))
    return [one for one in said if one not in ("ParseComplete", "BindComplete", "NoData")]


@both
def test_an_error_points_into_the_clients_text(client: WireClient, extended: bool) -> None:
    for kind in ("tagged", "const_tagged"):
        sql = f"select /* r:{kind}  */ nope from t"
        assert run(client, sql, extended=extended) == [f"Error 42703 {sql.index('nope') + 1}", "ReadyForQuery I"]
        assert run(client, f"selec /* r:{kind}  */", extended=extended) == ["Error 42601 1", "ReadyForQuery I"]


@both
@pytest.mark.parametrize("name", ["insert", "two"])
def test_what_runs_first_runs_first(client: WireClient, extended: bool, name: str) -> None:
    said = run(client, f"select /* r:before {name} */ count(*) from t", extended=extended)
    assert columns(client, said)
    assert said == [f"DataRow b'{len(table(client))}'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
    assert table(client) == ["100", "101"][: len(table(client))]


@both
@pytest.mark.parametrize("name", ["insert", "two", "rows"])
def test_all_of_it_is_one_transaction(client: WireClient, extended: bool, name: str) -> None:
    said = run(client, f"insert into t /* r:before {name} */ values (100), (100)", extended=extended)
    assert said == ["Error 23505", "ReadyForQuery I"]
    assert table(client) == []
    said = run(client, f"select /* r:before {name} */ 1/(i - i) from generate_series(1, 1) i", extended=extended)
    assert said[-2:] == ["Error 22012", "ReadyForQuery I"]
    assert table(client) == []


@both
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("fails", "Error 42P01"),
        ("several", "Error 0A000"),
        ("commit", "Error 0A000"),
        ("copy", "Error 0A000"),
        ("failing", "Error P0001 3"),
        ("twice", "Error 23505"),
        ("missing", "Error 42P01"),
        ("late", "Error 23505"),
    ],
)
def test_an_error_of_what_runs_first_is_the_clients(client: WireClient, extended: bool, name: str, error: str) -> None:
    sql = f"select /* r:before {name} */ 5"
    assert run(client, sql, extended=extended) == [error, "ReadyForQuery I"]
    assert table(client) == []
    say(client, f.query("begin"))
    assert run(client, sql, extended=extended) == [error, "ReadyForQuery E"]
    assert run(client, sql, extended=extended)[0].startswith("Error ")
    assert say(client, f.query("commit")) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    assert client.query("select 'on'") == [("on",)]


@both
def test_what_it_returns_is_not_shown(client: WireClient, extended: bool) -> None:
    for name in ("returns", "notice"):
        said = run(client, f"select /* r:before {name} */ 5", extended=extended)
        columns(client, said)
        assert said == ["DataRow b'5'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]


@both
def test_rows_of_a_plugin_fill_a_table(client: WireClient, extended: bool) -> None:
    sql = "select /* r:before many */ count(*), count(t), min(i), max(t) from shadow"
    said = run(client, sql, extended=extended)
    columns(client, said)
    assert said[0] == "DataRow b'20001' b'13334' b'-1' b'last'" or "b'20001' b'13334' b'-1'" in said[0]
    say(client, f.query("begin"))
    for _ in range(2):
        said = run(client, "select /* r:before rows */ t from shadow where i = 4", extended=extended)
        columns(client, said)
        assert said == ["DataRow 'é4'", "CommandComplete 'SELECT 1'", "ReadyForQuery T"] or "4'" in said[0]
    assert say(client, f.query("commit")) == ["CommandComplete 'COMMIT'", "ReadyForQuery I"]


def test_rows_in_the_midst_of_a_pipeline(client: WireClient) -> None:
    counted = "select /* r:before rows */ count(*) from shadow"
    said = say(
        client,
        *batch("insert into t values (1)"),
        *batch(counted),
        *batch("insert into t select count(*) from shadow"),
        f.sync(),
        *batch(counted),
        f.sync(),
        f.query(counted),
        f.query("select 'end'"),
        readies=4,
    )
    assert [one for one in said if one.startswith(("DataRow", "Error", "CommandComplete", "Ready"))] == [
        "CommandComplete 'INSERT 0 1'",
        "DataRow b'10'",
        "CommandComplete 'SELECT 1'",
        "CommandComplete 'INSERT 0 1'",
        "ReadyForQuery I",
        *["DataRow b'10'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"] * 2,
        "DataRow b'end'",
        "CommandComplete 'SELECT 1'",
        "ReadyForQuery I",
    ]
    assert table(client) == ["0", "1"]


@pytest.mark.parametrize("name", ["failing", "twice", "fails", "late"])
def test_a_failure_skips_the_rest_of_the_batch_and_nothing_more(client: WireClient, name: str) -> None:
    said = say(
        client,
        *batch("insert into t values (1)"),
        *batch(f"select /* r:before {name} */ 1"),
        *batch("insert into t values (2)"),
        f.sync(),
        *batch("insert into t values (3)"),
        f.sync(),
        readies=2,
    )
    assert [one for one in said if one.startswith(("Error", "CommandComplete", "Ready"))] == [
        "CommandComplete 'INSERT 0 1'",
        {"failing": "Error P0001 3", "fails": "Error 42P01"}.get(name, "Error 23505"),
        "ReadyForQuery I",
        "CommandComplete 'INSERT 0 1'",
        "ReadyForQuery I",
    ]
    assert table(client) == ["3"]


def test_a_statement_behind_an_error_is_not_prepared_for(client: WireClient) -> None:
    for name in ("insert", "rows"):
        said = say(client, *batch("select 1/0"), *batch(f"select /* r:before {name} */ 1"), f.sync())
        assert [one for one in said if one.startswith(("Error", "Ready"))] == ["Error 22012", "ReadyForQuery I"]
        said = say(client, *batch("select 1/0"), f.query(f"select /* r:before {name} */ 1"), f.sync())
        assert [one for one in said if one.startswith(("Error", "Ready"))] == ["Error 22012", "ReadyForQuery I"]
    assert table(client) == []


def test_each_execution_is_prepared_for(client: WireClient) -> None:
    say(client, f.parse("select /* r:before two */ count(*) from t where i > $1", "s"), f.sync())
    assert "DataRow b'2'" in say(client, f.bind([b"0"], statement="s"), f.execute(), f.sync())
    say(client, f.query("delete from t where i = 100"))
    assert "DataRow b'3'" in say(client, f.bind([b"0"], statement="s"), f.execute(), f.sync())


@pytest.mark.parametrize("kind", ["renumbered", "const_renumbered"])
@pytest.mark.parametrize("types", [(), (25, 23), (0, 20)])
@pytest.mark.parametrize("name", ["", "s"])
def test_parameters_renumbered(client: WireClient, kind: str, types: tuple[int, ...], name: str) -> None:
    sql = f"select /* r:{kind} 2 */ $1::text || '-', $2 + 1"
    prepare = [f.parse(sql, name, types), f.describe_statement(name)]
    size = 8 if 20 in types else 4
    number = (6).to_bytes(size, "big")
    oid = 20 if 20 in types else 23
    said = say(client, *prepare, f.bind([b"a", number], statement=name, formats=[0, 1]), f.execute(), f.sync())
    assert f"ParameterDescription [25, {oid}]" in said
    assert said[-3:] == ["DataRow b'a-' b'7'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
    run_again = [f.bind([b"b", None], statement=name, formats=[1, 0], results=[1]), f.execute(), f.sync()]
    assert say(client, *run_again)[-3:] == ["DataRow b'b-' NULL", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]


@pytest.mark.parametrize("kind", ["valued", "const_valued"])
def test_values_of_the_plugins(client: WireClient, kind: str) -> None:
    sql = f"select /* r:{kind}  */ '8'::int, '{{9}}'::text[]"
    for extended in (False, True):
        said = run(client, sql, extended=extended)
        columns(client, said)
        assert said[1:] == ["CommandComplete 'SELECT 1'", "ReadyForQuery I"]
        assert said[0].startswith("DataRow b'42' ")
        assert "NULL" in said[0]
    said = say(client, *batch(f"select /* r:{kind}  */ '8'::int, $1::text, ('{{9}}'::text[])[1]", b"x"), f.sync())
    assert "DataRow b'42' b'x' b'\\xc3\\xa9'" in said


def test_a_query_with_values_in_a_transaction_and_with_errors(client: WireClient) -> None:
    assert say(
        client, f.query("insert into t /* r:valued  */ select i from generate_series('8'::int, '8'::int + 1) i")
    ) == [
        "CommandComplete 'INSERT 0 2'",
        "ReadyForQuery I",
    ]
    say(client, f.query("begin"))
    sql = "select /* r:valued  */ nope, '8'::int from t"
    assert say(client, f.query(sql)) == [f"Error 42703 {sql.index('nope') + 1}", "ReadyForQuery E"]
    assert say(client, f.query("rollback")) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    assert table(client) == ["42", "43"]


def test_values_in_another_encoding(clients: Clients) -> None:
    client = clients.connect("shared", client_encoding="LATIN1")
    said = say(client, f.query("select /* r:valued  */ ('{9}'::text[])[1], ascii(('{9}'::text[])[1]), '8'::int"))
    assert "DataRow b'\\xe9' b'233' b'42'" in said


@pytest.mark.parametrize("kind", ["described", "const_described"])
def test_the_clients_own_text_is_described(client: WireClient, kind: str) -> None:
    sql = f"select i as number, i::text as word from t /* r:{kind}  */"
    plain = say(client, f.query(sql.replace("r:", "")))
    own = columns(client, plain)
    said = say(client, f.query(sql))
    assert columns(client, said) == own
    assert said == ["DataRow b'7' b'seven'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
    binary = say(client, *batch(sql.replace("r:", ""), results=(1, 0)), f.sync())
    said = say(client, f.parse(sql, "s"), f.describe_statement("s"), f.sync())
    assert columns(client, said) == own
    own_binary = columns(client, binary)
    assert own_binary != own
    for results in ((1, 0), (1,), ()):
        sent = [f.bind(statement="s", portal="p", results=results), f.close_statement("s"), f.describe_portal("p")]
        said = say(client, *sent, f.execute("p"), f.sync(), f.parse(sql, "s"), f.sync(), readies=2)
        told = columns(client, said)
        if results == (1, 0):
            assert told == own_binary
        assert r"DataRow b'\x00\x00\x00\x07' " in said[2] or "DataRow b'7' " in said[2]


@both
def test_described_as_the_client_said_and_filled_first(client: WireClient, extended: bool) -> None:
    sql = "select i as number, i::text as word from t /* r:described_before  */"
    plain = run(client, sql.replace("r:", ""), extended=extended)
    said = run(client, sql, extended=extended)
    assert columns(client, said) == columns(client, plain)
    assert said[3:] == ["CommandComplete 'SELECT 3'", "ReadyForQuery I"]


@pytest.mark.parametrize("kind", ["nothing", "const_nothing"])
def test_rewritten_to_no_statement(client: WireClient, kind: str) -> None:
    for extended in (False, True):
        assert run(client, f"select 1 /* r:{kind}  */", extended=extended) == [
            "EmptyQueryResponse",
            "ReadyForQuery I",
        ]


@pytest.mark.parametrize("kind", ["several", "const_several"])
def test_rewritten_to_several_statements(client: WireClient, kind: str) -> None:
    sql = f"select 1 /* r:{kind}  */"
    said = [one for one in say(client, f.query(sql)) if not one.startswith("Row")]
    assert said == [
        "DataRow b'1'",
        "CommandComplete 'SELECT 1'",
        "DataRow b'2'",
        "CommandComplete 'SELECT 1'",
        "ReadyForQuery I",
    ]
    assert run(client, sql, extended=True) == ["Error 42601", "ReadyForQuery I"]


@pytest.mark.parametrize("kind", ["writes", "const_writes"])
def test_rewritten_to_a_statement_without_rows(client: WireClient, kind: str) -> None:
    sql = f"select 1 /* r:{kind}  */"
    assert run(client, sql, extended=True) == ["CommandComplete 'INSERT 0 1'", "ReadyForQuery I"]
    assert run(client, sql, extended=False) == ["Error 23505", "ReadyForQuery I"]


@pytest.mark.parametrize("kind", ["several_valued", "copies_in"])
def test_what_can_not_be_done_in_the_simple_protocol_is_refused(client: WireClient, kind: str) -> None:
    assert say(client, f.query(f"select 1 /* r:{kind}  */")) == ["Error 0A000", "ReadyForQuery I"]


def test_a_copy_with_something_before_it(client: WireClient) -> None:
    sent = [*batch("select 1 /* r:copies_in  */"), f.sync()]
    seen = len(client.replies)
    client.send(*sent)
    client.read_until(lambda: any(one.tag == b"G" for one in client.replies[seen:]))
    assert say(client, f.copy_data(b"7\n"), f.copy_done(), f.sync())[-2:] == [
        "CommandComplete 'COPY 1'",
        "ReadyForQuery I",
    ]
    assert table(client) == ["7"]


def test_temporary_tables_that_stay_keep_the_backend(clients: Clients) -> None:
    """What a rewritten statement does to its session is noted as for one of the client's own."""
    client, other = clients.connect("shared"), clients.connect("shared")
    say(client, *batch("select set_config('work_mem', '5MB', false) /* r:tagged  */"), f.sync())
    assert other.query("show work_mem") == [("4MB",)]
    assert client.query("show work_mem") == [("5MB",)]


@pytest.mark.parametrize("name", ["", "mine"])
@pytest.mark.parametrize("kind", ["before insert", "tagged "])
def test_an_error_of_a_bind_names_the_clients_statement(client: WireClient, kind: str, name: str) -> None:
    sql = f"/* r:{kind} */ explain select $1::int4"
    sent = [f.parse(sql, name), f.bind([], statement=name), f.sync()]
    assert say(client, *sent)[-2:] == ["Error 08P01", "ReadyForQuery I"]
    text = decode_error(client.replies[-2].body)["M"]
    assert text == f'bind message supplies 0 parameters, but prepared statement "{name}" requires 1'


@pytest.mark.parametrize("kind", ["tagged ", "before notice"])
def test_a_result_must_not_change_its_type_once_it_was_told(
    client: WireClient, server: PostgresServer, kind: str
) -> None:
    server.psql("drop table if exists changing; create table changing as select 1 as one", dbname=DATABASE)
    sql = f"/* r:{kind} */ select * from changing"
    run = [f.bind(statement="s"), f.execute()]
    said = say(client, f.parse(sql, "s"), f.describe_statement("s"), *run, f.sync())
    assert "DataRow b'1'" in said
    assert "DataRow b'1'" in say(client, *run, f.sync())
    server.psql("alter table changing add column two int default 2; truncate t", dbname=DATABASE)
    assert say(client, *run, f.sync()) == ["Error 0A000", "ReadyForQuery I"]
    assert decode_error(client.replies[-2].body)["M"] == "cached plan must not change result type"
    assert say(client, f.close_statement("s"), f.parse(sql, "s"), *run, f.sync())[-3] == "DataRow b'1' b'2'"
    assert say(client, *run, f.sync())[-3] == "DataRow b'1' b'2'"
