"""What plugins do before a commit, however a transaction comes to its commit, and what becomes of it if they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.saying import say
from tests.support.wire import WireClient

DATABASE = "commits"

PLUGIN = """
from __future__ import annotations
import asyncio, re
from pathlib import Path
from interceptor import *
import msgspec

class Settings(msgspec.Struct, frozen=True):
    told: str

@plugin(config=Settings)
class Commits:
    def __init__(self, context): self.told = Path(context.config.told)

    def write(self, text):
        with self.told.open("a") as out: out.write(text + "\\n")

    @hookimpl
    def virtual(self, statement, session):
        found = re.search(r"/\\* commit (\\w+) \\*/", statement.text)
        if not found:
            return None
        name = found[1]
        def step(execution):
            def plain():
                self.write(name)
                if name == "block":
                    return Block("P0002", "not now")
                if name == "raise":
                    raise Blocked(Block("P0003", "not now"))
            async def late():
                await asyncio.sleep(0)
                return plain()
            execution.transaction.before_commit(late if name == "late" else plain)
            execution.transaction.after_end(lambda committed: self.write(f"ended {committed}"))
            if "answered" in statement.text:
                return Respond((Column("a", "text"),), [("here",)])
            if "rewritten" in statement.text:
                return Rewrite(statement.text.replace("/* commit", "/* "))
            return None
        return step
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("commits") / "told"
    made.touch()
    return made


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer, file: Path) -> Iterator[Proxy]:
    postgres18.create_database(DATABASE)
    postgres18.psql("create table t (i int primary key deferrable initially deferred)", dbname=DATABASE)
    primary = upstream(postgres18, DATABASE)
    tables: Tables = {
        f"databases.{DATABASE}": {"primary": primary, "pool_size": 2},
        "databases.session": {"primary": primary, "pool_size": 2, "pool_mode": "session"},
        "plugins": {"modules": ["commits.py"]},
        "plugins.commits": {"told": str(file)},
    }
    with run_proxy(tables, {"commits.py": PLUGIN}) as made:
        yield made
    postgres18.drop_database(DATABASE)


pytestmark = pytest.mark.usefixtures("empty_table")


@pytest.fixture(params=[DATABASE, "session"], ids=["transaction", "session"])
def client(request: pytest.FixtureRequest, clients: Clients) -> Iterator[WireClient]:
    made = clients.connect(request.param)
    yield made
    made.send_goodbye()


class Told:
    """What the plugin was told since the last call."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = len(file.read_text().splitlines())

    def take(self) -> list[str]:
        lines = self._file.read_text().splitlines()[self._seen :]
        self._seen += len(lines)
        return lines


@pytest.fixture
def told(file: Path) -> Told:
    return Told(file)


def table(client: WireClient) -> list[str]:
    return [str(row[0]) for row in client.query("select i from t order by i")]


def insert(number: int, name: str, more: str = "") -> str:
    return f"insert into t values ({number}) /* commit {name} */ {more}"


def batch(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute()]


def run(client: WireClient, sql: str, *, extended: bool) -> list[str]:
    """Without what the protocols differ in."""
    said = say(client, *batch(sql), f.sync()) if extended else say(client, f.query(sql))
    return [one for one in said if one not in ("ParseComplete", "BindComplete")]


both = pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
REFUSED = {"block": "Error P0002", "raise": "Error P0003"}


@both
@pytest.mark.parametrize("name", ["ok", "late"])
@pytest.mark.parametrize("end", ["commit", "end", "/* x */ commit work;"])
def test_a_transaction_that_commits(client: WireClient, told: Told, extended: bool, name: str, end: str) -> None:
    run(client, "begin", extended=extended)
    run(client, insert(1, name), extended=extended)
    run(client, insert(2, "ok", "/* rewritten */"), extended=extended)
    assert told.take() == []
    assert run(client, end, extended=extended) == ["CommandComplete 'COMMIT'", "ReadyForQuery I"]
    assert told.take() == [name, "ok", "ended True", "ended True"]
    assert table(client) == ["1", "2"]


@both
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("end", ["commit", "commit and chain", "prepare transaction 'x'"])
def test_a_transaction_whose_commit_is_refused(
    client: WireClient, told: Told, extended: bool, name: str, end: str
) -> None:
    run(client, "begin", extended=extended)
    run(client, insert(1, "ok"), extended=extended)
    run(client, insert(2, name), extended=extended)
    run(client, insert(3, "late"), extended=extended)
    assert run(client, end, extended=extended) == [REFUSED[name], "ReadyForQuery I"]
    assert told.take() == ["ok", name, *["ended False"] * 3]
    assert table(client) == []


@both
def test_neither_at_a_rollback_nor_in_a_failed_transaction(client: WireClient, told: Told, extended: bool) -> None:
    run(client, "begin", extended=extended)
    run(client, insert(1, "block"), extended=extended)
    assert run(client, "rollback", extended=extended) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    run(client, "begin", extended=extended)
    run(client, insert(1, "block"), extended=extended)
    run(client, "select 1/0", extended=extended)
    assert run(client, "commit", extended=extended) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    assert told.take() == ["ended False"] * 2
    run(client, insert(5, "ok"), extended=extended)
    assert told.take() == ["ok", "ended True"]


@both
@pytest.mark.parametrize("more", ["", "/* rewritten */"], ids=["as it is", "rewritten"])
def test_a_statement_that_commits_by_itself(client: WireClient, told: Told, extended: bool, more: str) -> None:
    for number, name in enumerate(("ok", "late")):
        said = run(client, insert(number, name, more), extended=extended)
        assert said == ["CommandComplete 'INSERT 0 1'", "ReadyForQuery I"]
        assert told.take() == [name, "ended True"]
    for name, error in REFUSED.items():
        said = run(client, insert(7, name, more), extended=extended)
        # As for a deferred constraint: with the extended protocol the commit comes with the Sync, behind the tag.
        assert said == ["CommandComplete 'INSERT 0 1'"] * extended + [error, "ReadyForQuery I"]
        assert told.take() == [name, "ended False"]
    assert table(client) == ["0", "1"]


@both
def test_a_commit_that_the_server_refuses(client: WireClient, told: Told, extended: bool) -> None:
    run(client, insert(1, "ok"), extended=extended)
    told.take()
    said = run(client, insert(1, "ok"), extended=extended)
    assert said == ["CommandComplete 'INSERT 0 1'"] * extended + ["Error 23505", "ReadyForQuery I"]
    assert told.take() == ["ok", "ended False"]


@both
def test_rows_come_before_the_commit(client: WireClient, told: Told, extended: bool) -> None:
    sql = "insert into t select generate_series(1, 3) returning i /* commit {} */"
    rows = [f"DataRow b'{number}'" for number in (1, 2, 3)]
    told_first = [] if extended else ["RowDescription"]
    said = run(client, sql.format("block"), extended=extended)
    assert said == told_first + rows + ["CommandComplete 'INSERT 0 3'"] * extended + ["Error P0002", "ReadyForQuery I"]
    said = run(client, sql.format("ok"), extended=extended)
    assert said == [*told_first, *rows, "CommandComplete 'INSERT 0 3'", "ReadyForQuery I"]


@both
def test_nobody_is_asked_about_what_failed(client: WireClient, told: Told, extended: bool) -> None:
    said = run(client, "select 1/(i - i) from generate_series(1, 1) i /* commit ok */", extended=extended)
    assert said[-2:] == ["Error 22012", "ReadyForQuery I"]
    assert run(client, "selec /* commit ok */", extended=extended) == ["Error 42601", "ReadyForQuery I"]
    assert told.take() == ["ended False"] * 2


@both
def test_an_answer_of_a_plugin_commits_too(client: WireClient, told: Told, extended: bool) -> None:
    said = run(client, "select /* commit ok */ 'answered'", extended=extended)
    assert said[-3:] == ["DataRow b'here'", "CommandComplete 'SELECT 1'", "ReadyForQuery I"]
    assert told.take()[0] == "ok"
    said = run(client, "select /* commit block */ 'answered'", extended=extended)
    assert said[-2:] == ["Error P0002", "ReadyForQuery I"]
    assert told.take()[0] == "block"
    run(client, "begin", extended=extended)
    run(client, "select /* commit block */ 'answered'", extended=extended)
    assert run(client, "commit", extended=extended) == ["Error P0002", "ReadyForQuery I"]


def test_a_batch_of_several_statements(client: WireClient, told: Told) -> None:
    said = say(client, *batch(insert(1, "ok")), *batch("insert into t values (2)"), *batch(insert(3, "late")), f.sync())
    assert said[-2:] == ["CommandComplete 'INSERT 0 1'", "ReadyForQuery I"]
    assert told.take() == ["ok", "late", *["ended True"] * 2]
    said = say(
        client, *batch(insert(4, "ok")), *batch("insert into t values (5)"), *batch(insert(6, "block")), f.sync()
    )
    assert said[-2:] == ["Error P0002", "ReadyForQuery I"]
    assert told.take() == ["ok", "block", *["ended False"] * 2]
    said = say(client, *batch(insert(4, "ok")), *batch("select 1/0"), *batch(insert(6, "block")), f.sync())
    assert said[-2:] == ["Error 22012", "ReadyForQuery I"]
    assert "ok" not in told.take()
    assert table(client) == ["1", "2", "3"]


def test_a_transaction_in_one_batch(client: WireClient, told: Told) -> None:
    said = say(client, *batch("begin"), *batch(insert(1, "ok")), *batch("commit"), *batch(insert(2, "late")), f.sync())
    assert [one for one in said if one.startswith(("Command", "Error"))] == [
        "CommandComplete 'BEGIN'",
        "CommandComplete 'INSERT 0 1'",
        "CommandComplete 'COMMIT'",
        "CommandComplete 'INSERT 0 1'",
    ]
    assert sorted(one for one in told.take() if not one.startswith("ended")) == ["late", "ok"]
    said = say(client, *batch("begin"), *batch(insert(3, "block")), *batch("commit"), *batch("select 1"), f.sync())
    assert said[-2:] == ["Error P0002", "ReadyForQuery I"]
    assert table(client) == ["1", "2"]
    say(client, *batch("begin"), *batch(insert(4, "block")), f.sync())
    assert "block" not in told.take()[1:]
    assert say(client, f.query("rollback")) == ["CommandComplete 'ROLLBACK'", "ReadyForQuery I"]
    assert told.take() == ["ended False"]


def test_pipelined_transactions(client: WireClient, told: Told) -> None:
    sent = [f.query("begin"), f.query(insert(1, "block")), f.query("commit"), *batch(insert(2, "ok")), f.sync()]
    said = say(client, *sent, f.query(insert(3, "raise")), f.query("select 'end'"), readies=6)
    assert [one for one in said if one.startswith(("Error", "Ready"))] == [
        "ReadyForQuery T",
        "ReadyForQuery T",
        "Error P0002",
        *["ReadyForQuery I"] * 2,
        "Error P0003",
        *["ReadyForQuery I"] * 2,
    ]
    assert table(client) == ["2"]


@pytest.mark.parametrize(
    "sql", ["insert into t values (1); insert into t values (2) /* commit ok */", "copy t from stdin /* commit ok */"]
)
def test_what_can_not_be_held_back_is_refused(client: WireClient, told: Told, sql: str) -> None:
    assert say(client, f.query(sql)) == ["Error 0A000", "ReadyForQuery I"]
    assert told.take() in ([], ["ended False"])
    say(client, f.query("begin"))
    say(client, f.query(insert(1, "ok")))
    assert say(client, f.query("insert into t values (2); commit")) == ["Error 0A000", "ReadyForQuery E"]
    assert say(client, f.query("rollback"))[-1] == "ReadyForQuery I"
    assert table(client) == []
