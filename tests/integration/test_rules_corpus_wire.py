"""The corpus once more on the wire: through a running proxy, in both protocols and in pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pglast
import pytest

from interceptor.testing.postgres import PostgresServer
from tests.integration.rules_world import CANARY, CORPUS, SALARY, Case, read_cases
from tests.support import frontend as f
from tests.support.backend import Reply, decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Tables, run_proxy
from tests.support.wire import WireClient

ROLES = ("analyst_jo", "payroll", "reader")
EVASIONS = read_cases("evasions_*.sql")
INNOCENTS = read_cases("innocents*.sql")
SEEN = {"secret": CANARY, "file": CANARY, "salary": SALARY, "xml": b"unsupported XML feature"}


@pytest.fixture(scope="module")
def clients(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    server = postgres18
    file = tmp_path_factory.mktemp("corpus") / "rules.toml"
    file.write_text((CORPUS / "rules.toml").read_text())
    (server.data_directory / "canary.txt").write_bytes(CANARY + b"\n")
    for role in ROLES:
        server.psql(f"drop role if exists {role}")
    server.create_database("world")
    server.psql((CORPUS / "world.sql").read_text(), dbname="world")
    tables: Tables = {
        "databases.world": {"primary": upstream(server, "world"), "pool_size": 2},
        "plugins.rules": {"file": str(file)},
    }
    with run_proxy(tables) as proxy, Clients(proxy) as made:
        yield made
    server.drop_database("world")
    (server.data_directory / "canary.txt").unlink()
    for role in ROLES:
        server.psql(f"drop role {role}")


Batches = Callable[[Sequence[str]], list[list[Frontend]]]


def simple(messages: Sequence[str]) -> list[list[Frontend]]:
    """Each message as a Query."""
    return [[f.query(message)] for message in messages]


def extended(messages: Sequence[str]) -> list[list[Frontend]]:
    """Each statement of each message by itself."""
    return [[*run(sql), f.sync()] for message in messages for sql in pglast.split(message)]


def pipelined(messages: Sequence[str]) -> list[list[Frontend]]:
    """All statements of all messages before one Sync, each parsed under a name."""
    texts = [sql for message in messages for sql in pglast.split(message)]
    return [[one for number, sql in enumerate(texts) for one in run(sql, f"s{number}")] + [f.sync()]]


def run(sql: str, name: str = "") -> list[Frontend]:
    return [f.parse(sql, name), f.bind(statement=name), f.describe_portal(), f.execute()]


def converse(client: WireClient, batches: list[list[Frontend]]) -> list[Reply]:
    """What is answered to these batches, in a transaction that is open already."""
    seen = len(client.replies)
    for batch in batches:
        ready, copies = client.ready_count, count_copies(client)
        client.send(*batch)
        while client.ready_count == ready:
            client.read_until(lambda: client.ready_count > ready or count_copies(client) > copies)  # noqa: B023
            if client.ready_count == ready:
                copies += 1
                client.send(f.copy_data(b"99\n"), f.copy_done(), *([] if batch[0].name == "Query" else [f.sync()]))
    return client.replies[seen:]


def count_copies(client: WireClient) -> int:
    return sum(one.tag == b"G" for one in client.replies)


def what_was_done(client: WireClient, case: Case, replies: list[Reply]) -> str:
    """The deed, if it was done; else nothing."""
    said = b"".join(one.body for one in replies if one.tag in b"DdNEC")
    if SEEN.get(case.deed, CANARY) in said:
        return "it was told"
    if client.last_status != "T":
        return ""
    if case.deed == "unbounded" and client.query("select id from public.orders where amount = 100 and id < 20") == []:
        return "nothing was left"
    if case.deed == "write" and client.query("select pg_current_xact_id_if_assigned() is not null") == [("t",)]:
        return "something was written"
    return ""


def refusals(replies: list[Reply]) -> list[str]:
    return [decode_error(one.body)["M"] for one in replies if one.tag == b"E"]


@pytest.mark.parametrize("batches", [simple, extended, pipelined])
def test_no_evasion_passes_on_the_wire(clients: Clients, batches: Batches) -> None:
    passed = []
    for case in EVASIONS:
        client = clients.connect("world", case.user)
        client.query("begin")
        replies = converse(client, batches(case.messages))
        done = what_was_done(client, case, replies)
        # Not for any other reason: what PostgreSQL refuses by itself proves nothing of the rules.
        blocked = [one for one in refusals(replies) if "rule" in one or "need a WHERE" in one]
        if done or not blocked:
            passed.append(f"{case.name}: {done}; {refusals(replies)}")
        client.send_goodbye()
        client.close()
    assert not passed, "\n".join(passed)


def test_every_innocent_passes_on_the_wire(clients: Clients) -> None:
    refused = []
    for case in INNOCENTS:
        client = clients.connect("world", case.user)
        client.query("begin")
        found = refusals(converse(client, extended(case.messages)))
        if found:
            refused.append(f"{case.name}: {found}")
        client.send_goodbye()
        client.close()
    assert not refused, "\n".join(refused)


def test_nothing_of_it_remains(clients: Clients) -> None:
    assert clients.connect("world").query("select count(*) from public.orders where amount = 100") == [("10",)]
