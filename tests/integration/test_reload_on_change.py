"""A configuration that is reloaded because its files have changed, in all of several workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend as f
from tests.support.login import LoginFailed
from tests.support.proxied import Clients, upstream
from tests.support.proxy import Proxy, Value, run_proxy, to_toml
from tests.support.watch import wait_for, wait_until

PROCESSES = 3
"""Two workers and the control."""

RELOADED = "the configuration was reloaded from"
REFUSED = "the configuration has changed and can't be used, so nothing has changed"


def tables_of(server: PostgresServer, *databases: str) -> dict[str, dict[str, Value]]:
    return {
        "server": {
            "listen_addr": "127.0.0.1",
            "listen_port": 0,
            "workers": 2,
            "auth_file": "users.txt",
            "auth_type": "scram-sha-256",
            "reload_check_interval": "20ms",
            "catalogue": False,
        },
        **{f"databases.{name}": {"primary": upstream(server, "postgres")} for name in databases},
    }


@pytest.fixture(scope="module")
def proxy(postgres18: PostgresServer) -> Iterator[Proxy]:
    with run_proxy(tables_of(postgres18, "app"), {"users.txt": '"postgres" "first"\n'}) as running:
        yield running


def replace(path: Path, text: str) -> None:
    """As an editor does: another file takes its place."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def lead_to(path: Path, target: str) -> None:
    """Make a symbolic link, or have it lead elsewhere, at once."""
    new = path.with_suffix(".new")
    new.symlink_to(target)
    new.replace(path)


def answers(proxy: Proxy, database: str, password: str = "first") -> bool:
    with Clients(proxy) as clients:
        try:
            return clients.connect(database, "postgres", password).query("select 1") == [("1",)]
        except LoginFailed:
            return False


def reloads(proxy: Proxy) -> int:
    return proxy.log.count(RELOADED)


def wait_for_reload(proxy: Proxy, before: int) -> None:
    wait_until(lambda: reloads(proxy) - before >= PROCESSES, "all processes have reloaded")


def test_a_file_that_changes_is_read_by_all_processes(proxy: Proxy, postgres18: PostgresServer) -> None:
    file = proxy.directory / "interceptor.toml"
    before = reloads(proxy)
    file.write_text(to_toml(tables_of(postgres18, "app", "written")))
    wait_for_reload(proxy, before)
    assert answers(proxy, "written")
    replace(file, to_toml(tables_of(postgres18, "app", "replaced")))
    wait_for_reload(proxy, before + PROCESSES)
    assert answers(proxy, "replaced")
    assert not answers(proxy, "written")


def test_what_is_half_written_changes_nothing_and_is_told_once(proxy: Proxy, postgres18: PostgresServer) -> None:
    file = proxy.directory / "interceptor.toml"
    text = to_toml(tables_of(postgres18, "app", "whole"))
    before, refused = reloads(proxy), proxy.log.count(REFUSED)
    replace(file, text[: text.rindex("=") + 2])
    wait_until(lambda: proxy.log.count(REFUSED) > refused)
    assert answers(proxy, "app")
    assert reloads(proxy) == before
    replace(file, text)
    wait_for_reload(proxy, before)
    assert answers(proxy, "whole")
    assert proxy.log.count(REFUSED) == refused + 1


def test_a_file_that_is_named_before_it_is_there(proxy: Proxy, postgres18: PostgresServer) -> None:
    before, refused = reloads(proxy), proxy.log.count(REFUSED)
    tables = tables_of(postgres18, "app")
    tables["server"]["auth_file"] = "late.txt"
    replace(proxy.directory / "interceptor.toml", to_toml(tables))
    wait_until(lambda: proxy.log.count(REFUSED) > refused)
    (proxy.directory / "late.txt").write_text('"postgres" "second"\n')
    wait_for_reload(proxy, before)
    assert answers(proxy, "app", "second")
    replace(proxy.directory / "late.txt", '"postgres" "first"\n')
    wait_for_reload(proxy, before + PROCESSES)
    assert answers(proxy, "app")


def test_a_link_that_leads_elsewhere_counts_and_a_new_time_alone_does_not(
    proxy: Proxy, postgres18: PostgresServer
) -> None:
    folder, file = proxy.directory, proxy.directory / "interceptor.toml"
    tables = tables_of(postgres18, "app")
    tables["server"]["auth_file"] = str(folder / "users.txt")
    expected = reloads(proxy)

    def one_reload() -> None:
        nonlocal expected
        wait_for_reload(proxy, expected)
        expected += PROCESSES
        assert reloads(proxy) == expected

    replace(file, to_toml(tables))
    one_reload()
    for version in ("one", "two"):
        (folder / version).mkdir()
        tables |= {f"databases.{version}": tables["databases.app"]}
        (folder / version / "interceptor.toml").write_text(to_toml(tables))
    # As a ConfigMap: the file is a link into a folder that is a link.
    lead_to(folder / "data", "one")
    lead_to(file, "data/interceptor.toml")
    one_reload()
    assert answers(proxy, "one")
    lead_to(folder / "data", "two")
    one_reload()
    assert answers(proxy, "two")
    os.utime(folder / "two" / "interceptor.toml", ns=(1, 1))
    replace(folder / "users.txt", '"postgres" "third"\n')
    one_reload()
    assert answers(proxy, "app", "third")
    replace(folder / "users.txt", '"postgres" "first"\n')
    one_reload()


@pytest.mark.parametrize(
    "told", [pytest.param(True, id="RELOAD"), pytest.param(False, id="on change", marks=pytest.mark.soak_processes)]
)
def test_a_file_system_that_hangs_holds_up_neither_clients_nor_the_end(postgres18: PostgresServer, told: bool) -> None:
    """A pipe that nobody writes to stands for it: whoever reads it waits."""
    tables = tables_of(postgres18, "app")
    tables["server"] |= {"workers": 1, "admin_users": ["postgres"], "reload_check_interval": 0 if told else "20ms"}
    with run_proxy(tables, {"users.txt": '"postgres" "first"\n'}) as running, Clients(running) as clients:
        client = clients.connect("app", "postgres", "first")
        os.mkfifo(running.directory / "pipe")
        (running.directory / "pipe").replace(running.directory / "interceptor.toml")
        if told:
            clients.connect("pgbouncer", "postgres", "first").send(f.query("RELOAD"))
        writer = wait_for("somebody reads the file", lambda: _open_if_read(running.directory / "interceptor.toml"))
        try:
            assert client.query("select 1") == [("1",)]
            running.process.send_signal(signal.SIGTERM)
            assert running.wait() == 0
        finally:
            os.close(writer)


def _open_if_read(pipe: Path) -> int | None:
    """The end to write to, if somebody has begun to read; who reads then goes on to wait."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
