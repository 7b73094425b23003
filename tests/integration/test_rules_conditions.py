"""Who, when and what is done about it, through a running proxy and in both protocols."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.backend import decode_error
from tests.support.frontend import Frontend
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Tables, run_proxy
from tests.support.watch import wait_until
from tests.support.wire import WireClient

CONDITIONS = {
    "database": 'databases = ["conditions"]',
    "other_database": 'databases = ["elsewhere"]',
    "user": 'users = ["other*"]',
    "except_user": 'except_users = ["other"]',
    "backend_user": 'backend_users = ["postgres"]',
    "role": 'roles = ["watcher"]',
    "except_role": 'except_roles = ["watcher"]',
    "application": 'application_names = ["excel*"]',
    "address": 'addresses = ["127.0.0.0/8"]',
    "except_address": 'except_addresses = ["127.0.0.1"]',
    "tls": "tls = true",
    "no_tls": "tls = false",
    "certificate": 'certificates = ["CN=*"]',
    "transaction": "in_transaction = true",
    "no_transaction": "in_transaction = false",
    "simple": 'protocols = ["simple"]',
    "extended": 'protocols = ["extended"]',
    "copy": 'protocols = ["copy"]',
    "always": 'hours = "00:00-12:00"',
    "afternoon": 'hours = "12:00-00:00"',
    "weekdays": 'weekdays = ["mon-sun"]',
    "shadow": "shadow = true",
}
OF_THE_MOMENT = ("role", "transaction", "simple", "extended", "copy", "always")
RULES = "".join(
    f'[[rule]]\nname = "{name}"\nregex = "probe_{name}\\\\b"\n{keys}\naction = "block"\nsqlstate = "45000"\n'
    f'message = "{name} it is"\nhint = "none"\n'
    for name, keys in CONDITIONS.items()
)
ACTIONS = """
[[rule]]
name = "slowly"
regex = "probe_slowly"
action = "throttle"
per_second = 0.001

[[rule]]
name = "slowly for each"
regex = "probe_for_each"
action = "throttle"
per_second = 0.001
per = "user"

[[rule]]
name = "page"
regex = "probe_page"
action = "rewrite"
add_limit = 2

[[rule]]
name = "bytes"
regex = "probe_bytes"
action = "limit_bytes"
limit_bytes = 40
"""


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    postgres18.create_database("conditions")
    postgres18.psql("create role watcher")
    primary = upstream(postgres18, "conditions")
    tables: Tables = {
        "databases.conditions": {"primary": primary},
        "databases.elsewhere": {"primary": primary},
        "plugins.rules": {"file": "rules.toml"},
    }
    with run_proxy(tables, {"rules.toml": RULES + ACTIONS}) as made:
        yield made
    postgres18.drop_database("conditions")
    postgres18.psql("drop role watcher")


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[Clients]:
    with Clients(proxy) as made:
        yield made


def say(client: WireClient, *sent: Frontend) -> list[str]:
    """The SQLSTATEs of what is refused, or the rows."""
    seen = len(client.replies)
    client.send(*sent)
    client.read_until_ready(client.ready_count + 1)
    return [
        decode_error(reply.body)["C"] if reply.tag == b"E" else str(reply)
        for reply in client.replies[seen:]
        if reply.tag in b"ED"
    ]


def extended(sql: str) -> list[Frontend]:
    return [f.parse(sql), f.bind(), f.execute(), f.sync()]


def holds(client: WireClient, name: str) -> bool:
    """Whether a rule refuses its probe, in both protocols alike."""
    probe = f"select 1 as probe_{name}"
    simple, other = say(client, f.query(probe)), say(client, *extended(probe))
    assert simple == other
    return simple == ["45000"]


@pytest.mark.parametrize("name", [one for one in CONDITIONS if one not in OF_THE_MOMENT])
def test_who_and_when(clients: Clients, name: str) -> None:
    expected = name in (
        "database", "except_user", "backend_user", "except_role", "address", "no_tls", "no_transaction", "weekdays",
    )  # fmt: skip
    client = clients.connect("conditions")
    if name == "afternoon":
        expected = not holds(client, "always")
    assert holds(client, name) is expected
    other = clients.connect("elsewhere", "other", application_name="excel 7")
    turned = {"database", "other_database", "user", "except_user", "application"}
    assert holds(other, name) is (expected is (name not in turned))


def test_the_role_of_the_moment(clients: Clients) -> None:
    client = clients.connect("conditions")
    assert not holds(client, "role")
    client.query("set role watcher")
    assert holds(client, "role")
    assert not holds(client, "except_role")
    client.query("reset role")
    assert not holds(client, "role")
    client.query("begin")
    client.query("set local role watcher")
    assert say(client, f.query("select 1 as probe_role")) == ["45000"]
    client.query("rollback")
    assert not holds(client, "role")


def test_the_application_name_of_the_moment(clients: Clients) -> None:
    client = clients.connect("conditions")
    assert not holds(client, "application")
    client.query("set application_name = 'excel'")
    assert holds(client, "application")


def test_in_a_transaction_and_outside(clients: Clients) -> None:
    client = clients.connect("conditions")
    assert not holds(client, "transaction")
    client.query("begin")
    assert say(client, f.query("select 1 as probe_no_transaction")) == ["DataRow b'1'"]
    assert say(client, *extended("select 1 as probe_transaction")) == ["45000"]


def test_protocols(clients: Clients) -> None:
    client = clients.connect("conditions")
    assert say(client, f.query("select 1 as probe_simple")) == ["45000"]
    assert say(client, *extended("select 1 as probe_simple")) == ["DataRow b'1'"]
    assert say(client, f.query("select 1 as probe_extended")) == ["DataRow b'1'"]
    assert say(client, *extended("select 1 as probe_extended")) == ["45000"]
    assert say(client, f.query("select 1 as probe_copy")) == ["DataRow b'1'"]
    assert say(client, f.query("copy (select 1 as probe_copy) to stdout")) == ["45000"]


def test_what_a_client_is_told(clients: Clients, proxy: Proxy) -> None:
    client = clients.connect("conditions")
    say(client, f.query("select 'secret' as probe_database"))
    error = next(decode_error(one.body) for one in client.replies if one.tag == b"E")
    assert (error["C"], error["M"], error["H"]) == ("45000", "database it is", "none")

    def logged(probe: str, line: str) -> bool:
        # Ten lines in a second at most, those of other tests included.
        say(client, f.query(f"select 'secret' as {probe}"))
        return f"{line} for user postgres of database conditions" in proxy.log

    wait_until(lambda: logged("probe_database", "rule database did block"), "the refusal is logged")
    wait_until(lambda: logged("probe_shadow", "rule shadow would block"), "what would be refused is logged")
    assert "select $1 as probe_database" in proxy.log
    assert "'secret'" not in proxy.log


def test_throttles(clients: Clients) -> None:
    client, other = clients.connect("conditions"), clients.connect("conditions", "other")
    assert say(client, f.query("select 1 as probe_slowly")) == ["DataRow b'1'"]
    assert say(client, *extended("select 1 as probe_slowly")) == ["53400"]
    assert say(other, f.query("select 1 as probe_slowly")) == ["53400"]
    assert say(client, *extended("select 1 as probe_for_each")) == ["DataRow b'1'"]
    assert say(client, f.query("select 1 as probe_for_each")) == ["53400"]
    assert say(other, f.query("select 1 as probe_for_each")) == ["DataRow b'1'"]


@pytest.mark.parametrize("results", [[], [1]], ids=["text", "binary"])
def test_results_that_end(clients: Clients, results: list[int]) -> None:
    client = clients.connect("conditions")
    sql = "select i as probe_page from generate_series(1, 9) i"
    assert len(say(client, f.parse(sql), f.bind(results=results), f.execute(), f.sync())) == 2
    assert say(client, f.query(sql)) == ["DataRow b'1'", "DataRow b'2'"]
    sql = "select repeat('x', 9) as probe_bytes from generate_series(1, 9)"
    said = say(client, f.parse(sql), f.bind(results=results), f.execute(), f.sync())
    assert said == ["DataRow b'xxxxxxxxx'"] * 2 + ["54000"]
    assert say(client, f.query("copy (" + sql + ") to stdout")) == ["54000"]
