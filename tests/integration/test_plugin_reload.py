"""Plugins that are replaced while the server runs, and names that mean something else after DDL."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import LiteralString

import psycopg
import pytest

from interceptor.errors import ConfigError
from interceptor.hooks.loading import PluginsRefused
from interceptor.testing.postgres import PostgresServer
from pooler.config import load_config
from pooler.server import Server
from tests.conftest import FreshDatabase
from tests.support.proxied import upstream

HEAD = "from __future__ import annotations\nfrom interceptor import *\n"

BLOCKS = """
@plugin(version="{version}")
class Blocks:
    def __init__(self, context):
        self.context = context
        context.services.shared.counters("made", 1).add(0)
        context.services.metrics.counter("made_total", "Made.").add()

    @hookimpl
    def guard(self, statement, session):
        if "{word}" in statement.text:
            return Block("42501", "{word} is blocked")

    @hookimpl
    async def start_worker(self):
        self.context.log.info("started %s", "{version}")

    @hookimpl
    async def stop_worker(self):
        made = self.context.services.shared.counters("made", 1).read(0)
        self.context.log.info("stopped %s of %s", "{version}", made)
"""

SECRETS = """
from interceptor.catalogue import Unresolved

@plugin(needs_catalogue=True)
class Secrets:
    def __init__(self, context):
        self.changes = context.services.metrics.counter("changes_total", "Changes.")

    @hookimpl
    def guard(self, statement, session):
        resolution = statement.resolution
        if resolution.closures is None:
            return Block("42501", "the catalogue is not known")
        for name in statement.facts.reads:
            found = resolution.closures.names.relation(resolution.scope, name.name, name.schema)
            if isinstance(found, Unresolved):
                return Block("42501", f"{name} is unresolved: {found.value}")
            if resolution.closures.snapshot.qualified_name(found)[0] == "secret":
                return Block("42501", "secrets stay secret")

    @hookimpl
    def catalogue_changed(self, database, version):
        self.changes.add()
"""

CONFIG = """
[server]
listen_port = 0
auth_type = "trust"
[databases.app]
primary = "{primary}"
[plugins]
modules = ["one.py"]
"""


class World:
    """A server in this process, and the file of its one plugin."""

    def __init__(self, directory: Path, primary: str) -> None:
        self.directory = directory
        (directory / "interceptor.toml").write_text(CONFIG.format(primary=primary))
        self.server: Server | None = None

    def write(self, source: str, **values: str) -> None:
        text = source.format(**values) if values else source
        (self.directory / "one.py").write_text(HEAD + dedent(text))

    async def start(self) -> Server:
        self.server = Server(load_config(self.directory / "interceptor.toml"))
        await self.server.start()
        return self.server

    async def connect(self, user: str = "postgres") -> psycopg.AsyncConnection:
        assert self.server is not None
        return await psycopg.AsyncConnection.connect(
            host="127.0.0.1", port=self.server.port, dbname="app", user=user, autocommit=True
        )


@pytest.fixture
async def world(tmp_path: Path, postgres18: PostgresServer, fresh_database: FreshDatabase) -> AsyncIterator[World]:
    name = fresh_database(postgres18)
    made = World(tmp_path, upstream(postgres18, name))
    yield made
    if made.server is not None:
        await made.server.stop()


async def blocked(client: psycopg.AsyncConnection, sql: LiteralString) -> str:
    """What the client is told; nothing if the statement runs."""
    try:
        await client.execute(sql)
    except psycopg.errors.InsufficientPrivilege as error:
        return error.diag.message_primary or ""
    return ""


async def test_a_reload_replaces_what_plugins_decide_for_those_who_are_here(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.write(BLOCKS, version="1", word="apples")
    with caplog.at_level(logging.INFO, "interceptor.plugins"):
        server = await world.start()
        async with await world.connect() as client:
            for _ in range(2):
                assert await blocked(client, "select 'apples'") == "apples is blocked"
                assert await blocked(client, "select 'pears'") == ""
            world.write(BLOCKS, version="2", word="pears")
            await server.reload_plugins()
            assert server.plugins.plugins[0].version == "2"
            assert await blocked(client, "select 'apples'") == ""
            assert await blocked(client, "select 'pears'") == "pears is blocked"
    told = [record.getMessage() for record in caplog.records if record.name.startswith("interceptor.plugins")]
    assert told == ["started 1", "started 2", "stopped 1 of 2"]
    assert "interceptor_made_total 2.0" in server.host.metrics.render()


@pytest.mark.parametrize("broken", ["def guard(statement", "1 / 0\n" + BLOCKS.format(version="2", word="pears")])
async def test_a_reload_that_fails_leaves_all_as_it_was(world: World, broken: str) -> None:
    world.write(BLOCKS, version="1", word="apples")
    server = await world.start()
    async with await world.connect() as client:
        world.write(broken)
        with pytest.raises(PluginsRefused, match=r"one\.py"):
            await server.reload_plugins()
        (world.directory / "interceptor.toml").write_text("[sever]\n")
        with pytest.raises(ConfigError):
            await server.reload_plugins()
        assert await blocked(client, "select 'apples'") == "apples is blocked"


async def test_what_plugins_add_to_the_server_is_kept(world: World) -> None:
    source = """
@hookimpl
def console_commands():
    return [ConsoleCommand("SHOW MOTTO", (("motto", "text"),), lambda words: [])]

@hookimpl
def http_routes():
    return [HttpRoute("GET", "motto", lambda request: None)]
"""
    world.write(source)
    server = await world.start()
    assert [(one.plugin, one.value.name) for one in server.host.console_commands] == [("one", "SHOW MOTTO")]
    assert [(one.plugin, one.value.path) for one in server.host.http_routes] == [("one", "motto")]
    assert not server.has_sessions


async def test_a_server_without_plugins_has_no_plans_and_no_sessions(world: World) -> None:
    world.write("")
    (world.directory / "interceptor.toml").write_text(
        (world.directory / "interceptor.toml").read_text().partition("[plugins]")[0]
    )
    server = await world.start()
    assert (server.plan_tables, server.has_sessions) == (None, False)
    async with await world.connect() as client:
        assert await blocked(client, "select 1") == ""
        (connection,) = server.clients
        assert connection.plugin_session is None


async def test_names_resolve_as_the_catalogue_says_and_anew_after_ddl(world: World, postgres18: PostgresServer) -> None:
    world.write(SECRETS)
    server = await world.start()
    async with await world.connect() as client:
        await client.execute("create schema secret")
        await client.execute("create table secret.t (i int)")
        await client.execute("create table public.t (i int)")
        server.on_ddl("app")
        assert await blocked(client, "select * from t") == ""
        assert await blocked(client, "select * from secret.t") == "secrets stay secret"
        assert "is unresolved" in await blocked(client, "select * from nothing")
        plans = server.host.metrics.render()
        await client.execute("alter table public.t rename to u")
        await client.execute("alter table secret.t set schema public")
        server.on_ddl("app")
        assert server.host.metrics.render() != plans  # catalogue_changed was called
        assert await blocked(client, "select * from t") == ""
        assert "is unresolved" in await blocked(client, "select * from secret.t")


async def test_where_the_catalogue_can_not_be_had_the_plugin_is_told(world: World, postgres18: PostgresServer) -> None:
    world.write(SECRETS)
    await world.start()
    postgres18.psql("create role no_helper login connection limit 0")
    try:
        file = world.directory / "interceptor.toml"
        assert world.server is not None
        await world.server.stop()
        file.write_text(file.read_text().replace("[plugins]", 'catalogue_user = "no_helper"\n[plugins]'))
        await world.start()
        async with await world.connect() as client:
            assert await blocked(client, "select 1") == "the catalogue is not known"
    finally:
        postgres18.psql("drop role no_helper")
