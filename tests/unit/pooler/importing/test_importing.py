"""A PgBouncer's configuration becomes one of ours that does the same."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import ConfigError
from pooler.config import Config, PoolMode, load_config
from pooler.config.hosts import LoadBalanceHosts
from pooler.config.values import HostPort
from pooler.importing import Imported, import_pgbouncer, what_is_missing
from pooler.importing.ini import parse_pairs
from pooler.importing.toml import key, quote

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def imported(folder: Path, text: str) -> Imported:
    file = folder / "pgbouncer.ini"
    file.write_text(text)
    return import_pgbouncer(file)


def config_of(folder: Path, text: str) -> Config:
    made = imported(folder, text)
    assert what_is_missing(made) == []
    file = folder / "interceptor.toml"
    file.write_text(made.toml)
    return load_config(file)


WHOLE = """
; comment
# comment
[databases]
app = host=10.0.0.1 port=5433 dbname=app_production user=app password='it''s se/cret@' pool_size=30
"odd ""name" = host=db.internal
* = host=::1
local = dbname=local client_encoding=UTF8 reserve_pool=3
[users]
alice = pool_mode=statement max_user_connections=10
[pgbouncer]
listen_addr = 127.0.0.1, ::1
auth_type = trust
query_wait_timeout = 60.5
server_reset_query_always = 1
ignore_startup_parameters = extra_float_digits, search_path
default_pool_size = 7
"""


def test_what_both_have_is_taken_over_with_its_meaning(tmp_path: Path) -> None:
    config = config_of(tmp_path, WHOLE)
    app = config.databases["app"]
    assert (app.primary.host, app.primary.port, app.primary.dbname, app.primary.user) == (
        "10.0.0.1",
        5433,
        "app_production",
        "app",
    )
    assert app.primary.password is not None
    assert app.primary.password.reveal() == "it's se/cret@"
    assert app.pool_size == 30
    assert config.databases['odd "name'].primary.host == "db.internal"
    assert config.databases["*"].primary.host == "::1"
    local = config.databases["local"]
    assert (local.primary.host, local.primary.parameters, local.reserve_pool_size) == (
        "/tmp",
        (("client_encoding", "UTF8"),),
        3,
    )
    assert config.users["alice"].pool_mode is PoolMode.STATEMENT
    assert config.users["alice"].max_user_connections == 10
    server = config.server
    assert server.listen_addr == ("127.0.0.1", "::1")
    assert server.query_wait_timeout == 60.5
    assert server.server_reset_query_always
    assert server.ignore_startup_parameters == ("extra_float_digits", "search_path")
    assert server.default_pool_size == 7


def test_what_was_not_said_keeps_what_it_was_in_pgbouncer(tmp_path: Path) -> None:
    config = config_of(tmp_path, "[databases]\nx = host=h\n[pgbouncer]\nauth_type = trust\nlisten_addr = ::1\n")
    assert config.server.pool_mode is PoolMode.SESSION
    assert config.server.max_client_conn == 100
    assert str(config.server.unix_socket_dir) == "/tmp"


def test_every_setting_without_a_counterpart_is_a_comment_that_says_why(tmp_path: Path) -> None:
    made = imported(tmp_path, "[pgbouncer]\npkt_buf = 8192\nlogfile = /x\nquark = 3\n[peers]\n1 = host=/tmp\n")
    assert made.without == ["pkt_buf", "logfile", "quark", "[peers] 1"]
    for name in made.without:
        assert f"# {name}: " in made.toml
    assert "8192" not in made.toml


def test_a_database_without_a_host_is_where_pgbouncer_looks_for_it(tmp_path: Path) -> None:
    made = imported(tmp_path, "[databases]\nx =\n[pgbouncer]\nunix_socket_dir = /run/postgresql\n")
    assert tomllib.loads(made.toml)["databases"]["x"]["primary"] == "postgresql:///?host=/run/postgresql"
    assert "host=/tmp" in imported(tmp_path, "[databases]\nx = port=7\n").toml


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("unix_socket_mode = 0700", "unix_socket_mode is set"),
        ("unix_socket_mode = 0777", ""),
        ("max_db_client_connections = 10", "max_db_client_connections is set"),
        ("max_db_client_connections = 0", ""),
        ("disable_pqexec = 1", "disable_pqexec is set"),
        ("auth_type = pam", "auth_type is left at its default"),
        ("query_timeout = soon", "query_timeout is left at its default"),
    ],
)
def test_what_kept_somebody_out_is_not_lost_in_a_comment(tmp_path: Path, line: str, left: str) -> None:
    made = imported(tmp_path, f"[pgbouncer]\n{line}\n")
    assert len(made.incomplete) == bool(left)
    assert all(one.startswith(left) for one in made.incomplete)
    assert f"# {line.split()[0]}: " in made.toml or left


def test_no_limit_is_never_guessed_in_silence(tmp_path: Path) -> None:
    made = imported(tmp_path, "[pgbouncer]\ndefault_pool_size = 0\n")
    assert "default_pool_size" in made.incomplete[0]
    assert "# To be completed: default_pool_size" in made.toml


def test_a_zero_of_a_narrower_section_is_not_taken_for_a_limit_lifted(tmp_path: Path) -> None:
    made = imported(tmp_path, "[databases]\nx = host=h pool_size=0\n[users]\na = query_timeout=0\n")
    assert "pool_size" not in tomllib.loads(made.toml)["databases"]["x"]
    assert "query_timeout" not in tomllib.loads(made.toml)["users"]["a"]


def test_several_hosts_are_taken_over_with_the_order_in_which_they_are_tried(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        "[databases]\nx = host='10.0.0.1, ::2' port=6000 load_balance_hosts=disable\ny = host=a,/tmp\n"
        "z = host=a load_balance_hosts=disable\n"
        "[pgbouncer]\nlisten_addr = ::1\nauth_type = trust\ndns_max_ttl = 7\n",
    )
    x, y = config.databases["x"].primary, config.databases["y"].primary
    assert x.hosts == (HostPort("10.0.0.1", 6000), HostPort("::2", 6000))
    assert x.choice.load_balance is LoadBalanceHosts.DISABLE
    assert y.hosts == (HostPort("a", 5432), HostPort("/tmp", 5432))
    assert y.choice.load_balance is LoadBalanceHosts.ROUND_ROBIN
    assert config.server.dns_max_ttl == 7


def test_files_that_are_included_count(tmp_path: Path) -> None:
    other = tmp_path / "other.ini"
    other.write_text("[databases]\nincluded = host=h\n")
    made = imported(tmp_path, f"[pgbouncer]\nauth_type = trust\n%include {other}\n")
    assert "included" in tomllib.loads(made.toml)["databases"]


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pgbouncer.ini"
    with pytest.raises(ConfigError, match="included in each other"):
        imported(tmp_path, f"%include {file}\n")


@pytest.mark.parametrize("line", ["[broken", "no value", "= 3", "[pgbouncer]\nwhat is this"])
def test_what_pgbouncer_could_not_read_is_named_with_its_line_and_not_repeated(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        imported(tmp_path, f"; first\n{line}\n")
    assert caught.value.line == 1 + len(line.split("\n"))
    assert "what is this" not in str(caught.value)


def test_a_database_that_cannot_be_read_is_named_and_shows_no_password(tmp_path: Path) -> None:
    made = imported(tmp_path, "[databases]\nx = host=h password='open\n")
    assert len(made.incomplete) == 1
    assert "open" not in made.toml
    assert "x" in made.incomplete[0]


@given(TEXTS)
def test_every_text_is_written_so_that_it_reads_the_same(text: str) -> None:
    assert tomllib.loads(f"a = {quote(text)}")["a"] == text.replace("${", "$${")
    assert tomllib.loads(f"{key(text)} = 1") == {text: 1}


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), TEXTS.filter(lambda text: "\n" not in text)))
def test_every_option_is_read_as_it_was_quoted(pairs: dict[str, str]) -> None:
    line = " ".join("{}='{}'".format(name, value.replace("'", "''")) for name, value in pairs.items())
    assert parse_pairs(line) == pairs


def test_the_command_prints_the_text_and_says_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "pgbouncer.ini"
    file.write_text(WHOLE)
    command = [sys.executable, "-m", "pooler", "import", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(done.stdout)["databases"]["app"]["pool_size"] == 30
    file.write_text("[pgbouncer]\ndefault_pool_size = 0\n")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "default_pool_size was 0" in done.stderr.replace("\n", " ")
