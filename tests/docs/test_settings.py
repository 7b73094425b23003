"""docs/reference/settings.md says what the code does: every setting, its kind, its default and its sections."""

from __future__ import annotations

import ast
import dataclasses
import enum
import json
import re
from pathlib import Path

import pytest

from pooler.config import ApiSettings, DatabaseSettings, PoolSettings, ServerSettings, UserSettings, load_config
from pooler.config.checks import NOT_BUILT
from pooler.config.convert import kinds_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "settings.md").read_text()
SECTIONS = {"server": ServerSettings, "database": DatabaseSettings, "user": UserSettings, "api": ApiSettings}
FACTS = re.compile(
    r"Kind: (?P<kind>[a-z ]+)\. Default: (?P<default>`[^`]+`|[^`.]+|that of `\w+`)\. "
    r"In: (?P<sections>[a-z, ]+)\. PgBouncer: (?P<pgbouncer>.+)\.$"
)

# PgBouncer's defaults, from the documentation of 1.25; a setting that is not here does not exist there.
PGBOUNCER = {
    "listen_port": "6432", "listen_backlog": "128", "unix_socket_dir": "/tmp", "tcp_keepalive": "1",
    "pool_mode": "session", "default_pool_size": "20", "min_pool_size": "0", "reserve_pool_size": "0",
    "reserve_pool_timeout": "5.0", "max_client_conn": "100", "max_db_connections": "0", "max_user_connections": "0",
    "server_round_robin": "0", "server_reset_query": "DISCARD ALL", "server_reset_query_always": "0",
    "server_check_query": "<empty>", "server_check_delay": "30.0", "server_lifetime": "3600.0",
    "server_idle_timeout": "600.0", "server_connect_timeout": "15.0", "server_login_retry": "15.0",
    "dns_max_ttl": "15.0", "dns_nxdomain_ttl": "15.0",
    "client_login_timeout": "60.0", "query_timeout": "0.0", "query_wait_timeout": "120.0",
    "cancel_wait_timeout": "10.0", "max_prepared_statements": "200",
    "client_idle_timeout": "0.0", "idle_transaction_timeout": "0.0",
    "transaction_timeout": "0.0", "ignore_startup_parameters": "", "max_packet_size": "2147483647",
    "auth_type": "md5", "scram_iterations": "4096", "admin_users": "", "stats_users": "", "log_connections": "1",
    "log_disconnections": "1", "log_pooler_errors": "1", "verbose": "0", "connect_query": "", "auth_file": "",
    "listen_addr": "", "pool_size": "", "stats_period": "60",
    "auth_hba_file": "", "auth_ident_file": "", "auth_user": "", "auth_dbname": "",
    "auth_query": "SELECT rolname, CASE WHEN rolvaliduntil < pg_catalog.now() THEN NULL ELSE rolpassword END "
    "FROM pg_authid WHERE rolname=$1 AND rolcanlogin",
    "client_tls_sslmode": "disable", "server_tls_sslmode": "prefer",
    **{f"{side}_tls_{name}": value for side in ("client", "server") for name, value in (
        ("ca_file", ""), ("cert_file", ""), ("key_file", ""), ("protocols", "secure"), ("ciphers", "default"),
    )},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Documented:
    kind: str
    default: str
    sections: list[str]
    pgbouncer: str
    text: str


def documented() -> dict[str, Documented]:
    found: dict[str, Documented] = {}
    for heading, body in re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        assert heading not in found, f"{heading} is described twice"
        facts = FACTS.match(body.strip().split("\n")[0])
        assert facts, f"the first line of {heading} is not of the form of the others"
        text = body.strip().partition("\n\n")[2]
        sections = facts["sections"].split(", ")
        found[heading] = Documented(facts["kind"], facts["default"], sections, facts["pgbouncer"], text)
    return found


PAGES = documented()
SETTINGS = sorted({field.name for section in SECTIONS.values() for field in dataclasses.fields(section)})


def default_of(section: type[ServerSettings | DatabaseSettings | UserSettings | ApiSettings], name: str) -> object:
    return next(field.default for field in dataclasses.fields(section) if field.name == name)


def as_toml(value: object) -> str:
    """A default as one would write it into the file."""
    match value:
        case None:
            return '""'
        case (str(only),):
            return json.dumps(only)
        case enum.Enum():
            return json.dumps(value.value)
        case tuple():
            return json.dumps(list(value))
        case float():
            return f"{value:g}"
        case _:
            return json.dumps(value)


def test_no_setting_is_undocumented_and_none_is_made_up() -> None:
    assert sorted(PAGES) == SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_described_as_it_is(name: str) -> None:
    page = PAGES[name]
    sections = [heading for heading, section in SECTIONS.items() if name in kinds_of(section)]
    assert page.sections == sections
    assert {kinds_of(SECTIONS[section])[name].name for section in sections} == {page.kind}
    default = default_of(SECTIONS[sections[0]], name)
    match name:
        case "primary":
            assert page.default == "none, it must be given"
            assert default is dataclasses.MISSING
        case "pool_size":
            assert page.default == "that of `default_pool_size`"
            assert default is None
        case _:
            assert page.default == f"`{as_toml(default)}`"
    assert len(page.text) > 20


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_said_of_pgbouncer_is_true(name: str) -> None:
    said = PAGES[name].pgbouncer
    ours = PAGES[name].default.strip('`"').replace("[]", "").replace("true", "1").replace("false", "0")
    if name not in PGBOUNCER:
        assert said == "has none"
    elif name == "listen_addr":
        assert said == "not set by default"
    elif said.startswith("the same"):
        theirs = PGBOUNCER[name].removesuffix(".0")
        assert name == "pool_size" or theirs == ours
    else:
        assert said.startswith(f"by default `{PGBOUNCER[name]}`")
        assert PGBOUNCER[name].removesuffix(".0") != ours


@pytest.mark.parametrize("name", [name for name in SETTINGS if name in kinds_of(ServerSettings)])
def test_a_documented_default_can_be_written_into_a_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "interceptor.toml"
    file.write_text(f'databases.a.primary = "postgresql://a:b@h"\nserver.{name} = {PAGES[name].default.strip("`")}\n')
    assert load_config(file).server == ServerSettings()


def names_read_by_the_server() -> set[str]:
    """Every attribute that the server's code reads, outside the configuration itself."""
    names: set[str] = set()
    for path in sorted((ROOT / "pooler").rglob("*.py")):
        if "config" not in path.relative_to(ROOT).parts:
            tree = ast.parse(path.read_text())
            names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names


def test_every_setting_is_obeyed_or_refused() -> None:
    read = names_read_by_the_server()
    # These come out of the configuration under another name.
    becomes = {"default_pool_size": "pool_size", "primary": "host"}
    tls = {"sslmode": "mode", **{name: name for name in ("ca_file", "cert_file", "key_file", "protocols", "ciphers")}}
    becomes |= {f"{side}_tls_{name}": attribute for side in ("client", "server") for name, attribute in tls.items()}
    assert {name for name in SETTINGS if becomes.get(name, name) not in read} == set(NOT_BUILT)
    for name in NOT_BUILT:
        assert re.search(r"only\b.*\baccepted", PAGES[name].text, re.DOTALL), f"{name} is not said to be refused"


def test_what_is_merged_for_a_pool_is_read() -> None:
    read = names_read_by_the_server()
    merged = {field.name for field in dataclasses.fields(PoolSettings)}
    assert {name for name in merged if name not in read} <= set(NOT_BUILT)


def test_the_page_tells_every_kind_of_value() -> None:
    kinds = {kind.name for section in SECTIONS.values() for kind in kinds_of(section).values()}
    table = PAGE.partition("### Values")[2].partition("###")[0]
    assert set(re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)) == kinds
