"""Routed statements that fail on their target and are run once more on another, unless that could do harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from interceptor.testing.relay import CutRelay
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.saying import say
from tests.support.watch import wait_until
from tests.support.wire import WireClient

DATABASE = "retried"

PLUGIN = """
from __future__ import annotations
import json, re
from pathlib import Path
from interceptor import *
import msgspec

class Settings(msgspec.Struct, frozen=True):
    told: str

class Ends(Observer):
    def __init__(self, file): self.file = file
    def write(self, *what):
        with self.file.open("a") as out: out.write(json.dumps(what) + "\\n")
    def started(self, execution): self.write("started")
    def finished(self, execution, completion): self.write("finished", completion.tag, completion.target)
    def failed(self, execution, failure): self.write("failed", failure.sqlstate, failure.target, failure.retried)

@plugin(config=Settings)
class Routes:
    def __init__(self, context): self.ends = Ends(Path(context.config.told))

    @hookimpl
    def route(self, statement, session):
        found = re.search(r"/\\* to (\\w+) \\*/", statement.text)
        if found:
            return Route(found[1], Retry("primary", frozenset({"40001", "25006", "57P01"})))

    @hookimpl
    def observe(self, statement, session):
        return self.ends if "observed" in statement.text else None
"""

SAYS = "create function says(how text) returns text language plpgsql volatile as $$ begin {} return 'primary'; end $$"
FAILS = """if how = 'sleeps' then perform pg_sleep(60);
 elsif how = 'rows' then return 'replica';
 else raise 'no' using errcode = how; end if;"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("retries") / "told"
    file.touch()
    return file


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, relay: CutRelay, told: Path) -> Iterator[Proxy]:
    server = postgres18
    for name, body in ((DATABASE, ""), (f"{DATABASE}_replica", FAILS)):
        server.create_database(name)
        server.psql("create table t (i int)", dbname=name)
        server.psql(SAYS.format(body), dbname=name)
        slow = "view slow as select pg_sleep(60)::text as x" if body else "table slow (x text)"
        server.psql(f"create {slow}", dbname=name)
    behind_relay = f"postgresql://postgres@127.0.0.1:{relay.port}/{DATABASE}_replica"
    tables: Tables = {
        f"databases.{DATABASE}": {
            "primary": upstream(server, DATABASE),
            "replicas": [upstream(server, f"{DATABASE}_replica"), behind_relay],
            "pool_size": 2,
        },
        "plugins": {"modules": ["routes.py"]},
        "plugins.routes": {"told": str(told)},
    }
    with run_proxy(tables, {"routes.py": PLUGIN}) as running:
        yield running
    for name in (DATABASE, f"{DATABASE}_replica"):
        server.drop_database(name)


def batch(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.describe_portal(), f.execute(), f.sync()]


SIMPLE = ["RowDescription", "DataRow b'primary'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
EXTENDED = ["ParseComplete", "BindComplete", *SIMPLE]


def reads(how: str, target: str = "replica1") -> str:
    return f"select says('{how}') /* to {target} */"


@pytest.mark.parametrize("how", ["40001", "25006"])
def test_what_fails_there_runs_here(client: WireClient, how: str) -> None:
    assert say(client, f.query(reads(how))) == SIMPLE
    assert say(client, *batch(reads(how))) == EXTENDED
    say(client, f.parse(reads(how), "s"), f.sync())
    bound = [f.bind(statement="s"), f.execute(), f.sync()]
    assert say(client, *bound) == ["BindComplete", *SIMPLE[1:]]
    assert say(client, *bound, *bound, f.query(reads(how)), readies=3) == ["BindComplete", *SIMPLE[1:]] * 2 + SIMPLE


def test_what_goes_well_there_stays_there(client: WireClient) -> None:
    assert say(client, f.query(reads("rows")))[1] == "DataRow b'replica'"
    assert say(client, *batch(reads("rows")))[3] == "DataRow b'replica'"


def test_other_errors_are_the_clients(client: WireClient) -> None:
    assert say(client, f.query(reads("22012"))) == ["RowDescription", "Error 22012", "ReadyForQuery I"]
    assert say(client, *batch(reads("22012")))[-2:] == ["Error 22012", "ReadyForQuery I"]


def test_not_after_a_row_was_sent(client: WireClient) -> None:
    sql = "select case i when 100000 then says('40001') else repeat('x', 100) end from generate_series(1, 100000) i"
    for sent in ([f.query(f"{sql} /* to replica1 */")], batch(f"{sql} /* to replica1 */")):
        assert say(client, *sent)[-2:] == ["Error 40001", "ReadyForQuery I"]


def test_a_row_held_in_the_same_piece_counts_as_sent(client: WireClient) -> None:
    sql = "select says(case i when 1 then 'rows' else '40001' end) from generate_series(1, 2) i /* to replica1 */"
    assert say(client, f.query(sql))[-2:] == ["Error 40001", "ReadyForQuery I"]


def test_not_with_anything_else_in_its_batch(client: WireClient) -> None:
    sql = reads("40001")
    two = [f.parse(sql), f.bind(), f.execute(), f.parse(sql), f.bind(), f.execute(), f.sync()]
    assert say(client, *two)[-2:] == ["Error 40001", "ReadyForQuery I"]
    assert say(client, f.query(f"select 1; {sql}"))[-2:] == ["Error 40001", "ReadyForQuery I"]
    assert say(client, f.parse(sql, "s"), f.bind(statement="s"), f.execute(), f.sync())[-2] == "Error 40001"


def test_not_within_a_transaction(client: WireClient) -> None:
    say(client, f.query("begin /* to replica1 */"))
    assert say(client, f.query(reads("40001"))) == ["RowDescription", "Error 40001", "ReadyForQuery E"]
    assert say(client, f.query("rollback"))[-1] == "ReadyForQuery I"


def test_a_write_that_its_server_refused_runs_here_once(client: WireClient, postgres18: PostgresServer) -> None:
    sql = "insert into t select 1 where says('40001') = 'primary' /* to replica1 */"
    assert say(client, f.query(sql)) == ["CommandComplete 'INSERT 0 1'", "ReadyForQuery I"]
    assert postgres18.psql("select count(*) from t where i = 1", dbname=DATABASE) == "1"
    assert postgres18.psql("select count(*) from t where i = 1", dbname=f"{DATABASE}_replica") == "0"


@pytest.mark.parametrize("sql", ["do $$ begin perform says('40001'); end $$", "call nothing()"])
def test_what_can_commit_by_itself_is_not_run_twice(client: WireClient, sql: str) -> None:
    assert say(client, f.query(f"{sql} /* to replica1 */"))[-2].startswith("Error ")


def kill(server: PostgresServer) -> bool:
    """End what sleeps at the replica, if anything does."""
    sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like '%sleeps%'"
    return server.psql(f"{sql} and state = 'active' and pid <> pg_backend_pid()", dbname=DATABASE) == "1"


def test_a_read_goes_on_when_its_server_is_killed(client: WireClient, postgres18: PostgresServer) -> None:
    sql = "select x from slow union all select 'primary' /* to replica1 */ -- sleeps"
    for sent, said in (([f.query(sql)], SIMPLE), (batch(sql), EXTENDED)):
        seen = len(client.replies)
        client.send(*sent)
        wait_until(lambda: kill(postgres18), "it was killed")
        client.read_until_ready(client.ready_count + 1)
        assert [str(one).split(" x(")[0] for one in client.replies[seen:]] == said


def test_a_write_is_not_repeated_when_its_server_is_killed(clients: Clients, postgres18: PostgresServer) -> None:
    client = clients.connect(DATABASE)
    client.send(f.query("insert into t select 1 where says('sleeps') = '' /* to replica1 */"))
    wait_until(lambda: kill(postgres18), "it was killed")
    client.read_until(lambda: client.closed)
    assert [decode_error(one.body)["C"] for one in client.replies if one.tag == b"E"] == ["57P01"]


def test_the_second_failure_is_the_clients(client: WireClient) -> None:
    assert say(client, f.query("select says('40001'), nope /* to replica1 */"))[0] == "Error 42703"
    sql = f"select says('40001') from {DATABASE}.nowhere /* to replica1 */"
    assert say(client, f.query(sql)) == ["Error 42P01", "ReadyForQuery I"]


def test_a_target_that_is_not_there(client: WireClient) -> None:
    assert say(client, f.query(reads("x", "replica9"))) == SIMPLE
    assert say(client, *batch(reads("x", "replica9"))) == EXTENDED


def test_a_target_that_can_not_be_reached(clients: Clients, relay: CutRelay) -> None:
    client = clients.connect(DATABASE)
    relay.refuse()
    try:
        for _ in range(2):
            assert say(client, f.query(reads("40001", "replica2"))) == SIMPLE
            assert say(client, *batch(reads("40001", "replica2"))) == EXTENDED
    finally:
        relay.accept()


def test_observers_hear_of_both_runs(client: WireClient, told: Path) -> None:
    for sent in ([f.query(f"{reads('40001')} -- observed")], batch(f"{reads('25006')} -- observed")):
        before = len(told.read_text().splitlines())
        say(client, *sent)
        failure = "25006" if len(sent) > 1 else "40001"
        assert [json.loads(line) for line in told.read_text().splitlines()[before:]] == [
            ["started"],
            ["failed", failure, "replica1", True],
            ["finished", "SELECT 1", "primary"],
        ]


def test_what_follows_is_answered_in_order(client: WireClient) -> None:
    said = say(
        client, f.query(reads("40001")), f.query("select 2"), *batch(reads("25006")), f.query("select 3"), readies=4
    )
    assert [one for one in said if one.startswith("DataRow")] == [
        "DataRow b'primary'",
        "DataRow b'2'",
        "DataRow b'primary'",
        "DataRow b'3'",
    ]
