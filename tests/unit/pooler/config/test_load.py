"""Good files, and no file at all: what the configuration is then."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.hooks.sources import ModuleFile
from pooler.config import (
    AuthType,
    Config,
    ConfigErrors,
    DatabaseSettings,
    Login,
    PoolMode,
    Secret,
    ServerSettings,
    Upstream,
    UserSettings,
    config_from_upstream,
    load_config,
)

LOGIN = "postgresql://app:hunter2@10.0.0.1:5433/shop"


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "interceptor.toml"
    file.write_text(text)
    return load_config(file, environ)


def test_the_least_that_a_file_can_say(tmp_path: Path) -> None:
    config = load(tmp_path, f"databases.shop.primary = '{LOGIN}'")
    assert config.file == tmp_path / "interceptor.toml"
    assert config.server == ServerSettings()
    assert config.databases == {
        "shop": DatabaseSettings(primary=Upstream("10.0.0.1", 5433, "shop", "app", Secret("hunter2")))
    }
    assert config.users == {}


def test_a_file_that_says_much(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text('"alice" "s"\n')
    (tmp_path / "sockets").mkdir()
    config = load(
        tmp_path,
        """
        [server]
        listen_addr = "127.0.0.1, ::1"
        listen_port = "${PORT}"
        unix_socket_dir = "sockets"
        workers = 1
        pool_mode = "session"
        server_round_robin = 1
        query_wait_timeout = "2min"
        server_check_delay = "${DELAY}"
        ignore_startup_parameters = ["extra_float_digits", "search_path"]
        auth_type = "md5"
        auth_file = "users.txt"

        [databases."*"]
        primary = "postgresql://${HOST}"

        [databases.shop]
        primary = "postgresql://app:${PASSWORD}@[::1]/real?application_name=proxy"
        pool_size = 5
        min_pool_size = 1
        server_lifetime = "1h"
        connect_query = "SET search_path TO $${NOT}"

        [users.alice]
        pool_mode = "transaction"
        pool_size = 3
        query_timeout = "500ms"

        [plugins]
        """,
        PORT="6000",
        DELAY="1.5s",
        HOST="db:6001",
        PASSWORD="p@ss/w?rd#%",
    )
    assert config.server == ServerSettings(
        listen_addr=("127.0.0.1", "::1"),
        listen_port=6000,
        unix_socket_dir=tmp_path / "sockets",
        pool_mode=PoolMode.SESSION,
        server_round_robin=True,
        query_wait_timeout=120.0,
        server_check_delay=1.5,
        ignore_startup_parameters=("extra_float_digits", "search_path"),
        auth_type=AuthType.MD5,
        auth_file=tmp_path / "users.txt",
    )
    assert config.databases == {
        "*": DatabaseSettings(primary=Upstream("db", 6001)),
        "shop": DatabaseSettings(
            primary=Upstream("::1", 5432, "real", "app", Secret("p@ss/w?rd#%"), (("application_name", "proxy"),)),
            pool_size=5,
            min_pool_size=1,
            server_lifetime=3600.0,
            connect_query="SET search_path TO ${NOT}",
        ),
    }
    assert config.users == {"alice": UserSettings(pool_mode=PoolMode.TRANSACTION, pool_size=3, query_timeout=0.5)}
    assert "p@ss" not in repr(config)


def test_paths_go_by_the_files_folder_and_not_by_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "users.txt").touch()
    (tmp_path / "etc" / "interceptor.toml").write_text(
        f"server.auth_file = 'users.txt'\ndatabases.shop.primary = '{LOGIN}'"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config("etc/interceptor.toml")
    assert config.server.auth_file == tmp_path / "etc" / "users.txt"
    assert config.server.auth_file.is_absolute()


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    users = tmp_path / "elsewhere.txt"
    users.touch()
    folder = tmp_path / "etc"
    folder.mkdir()
    assert load(folder, f"server.auth_file = '{users}'\ndatabases.a.primary = '{LOGIN}'").server.auth_file == users


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "interceptor.toml"
    file.write_text("databases.shop.primary = '${UPSTREAM}'")
    monkeypatch.setenv("UPSTREAM", LOGIN)
    assert load_config(file).databases["shop"].primary.dbname == "shop"
    assert config_from_upstream("${UPSTREAM}").find_database("shop") is not None


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "interceptor.toml"
    file.write_text(f"databases.shop.primary = '{LOGIN}'", encoding="utf-8-sig")
    assert load_config(file).find_database("shop")


@pytest.mark.parametrize("auth_type", ["any", "ldap", "pam", "peer", "plain"])
def test_what_pgbouncer_has_besides_is_told_apart_from_a_misspelling(tmp_path: Path, auth_type: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        load(tmp_path, f"server.auth_type = '{auth_type}'\ndatabases.shop.primary = '{LOGIN}'")
    (error,) = raised.value.errors
    assert (error.key, error.line) == ("server.auth_type", 1)
    assert error.message.startswith(f'"{auth_type}" ')


@pytest.mark.parametrize("auth_type", ["trust", "password", "md5", "scram-sha-256"])
def test_auth_types(tmp_path: Path, auth_type: str) -> None:
    config = load(tmp_path, f"server.auth_type = '{auth_type}'\ndatabases.shop.primary = '{LOGIN}'")
    assert config.server.auth_type is AuthType(auth_type)


def test_trust_needs_no_file(tmp_path: Path) -> None:
    config = load(tmp_path, 'server.auth_type = "trust"\ndatabases.shop.primary = "postgresql://h"')
    assert config.server.auth_file is None
    assert config.login_for("shop", "anybody") is None


GOOD = """
[server]
listen_addr = ["127.0.0.1", '::1']
query_wait_timeout = "2min" # and a comment
auth_type = "trust"
[databases."*"]
primary = "postgresql://app:hunter2@[::1]:5433/?options=-c%20geqo%3Doff"
[users]
"al ice" = { pool_mode = "session", pool_size = 3 }
[plugins]
"""


@given(
    st.integers(0, len(GOOD)),
    st.integers(0, 3),
    st.text(alphabet="[]{}=\"'\n#.,${} 0aZ\\\x00\r\ud800é", max_size=4),
)
def test_a_damaged_file_is_accepted_or_refused_and_nothing_else(at: int, gone: int, put_in: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "interceptor.toml"
        file.write_bytes((GOOD[:at] + put_in + GOOD[at + gone :]).encode(errors="surrogatepass"))
        shown, lines = outcome(file)
    assert "hunter2" not in shown
    assert all(lines)


def outcome(file: Path) -> tuple[str, list[int]]:
    """What loading the file shows, and the lines of its errors about keys that are written down."""
    try:
        return repr(load_config(file, {})), []
    except ConfigErrors as errors:
        return str(errors), [error.line for error in errors.errors if "." in error.key]


# ---- --upstream


def test_an_upstream_alone() -> None:
    config = config_from_upstream(LOGIN, environ={})
    assert config.file is None
    assert config.server == ServerSettings()
    assert (config.server.listen_addr, config.server.listen_port) == (("127.0.0.1",), 6432)
    assert config.server.auth_type is AuthType.SCRAM_SHA_256
    assert config.login_for("shop", "app") == Login("app", Secret("hunter2"))
    assert config.login_for("shop", "postgres") is None
    assert config.find_database("other") is None
    assert "hunter2" not in repr(config)


def test_an_upstream_without_a_database_serves_all_of_the_servers() -> None:
    config = config_from_upstream("postgresql://app:s@h", environ={})
    assert config.pool_settings("any", "app").dbname == "any"
    assert config.login_for("any", "app") == Login("app", Secret("s"))


def test_an_upstream_without_a_password_trusts_everybody_on_loopback() -> None:
    config = config_from_upstream("postgresql://h/shop", environ={})
    assert config.server.auth_type is AuthType.TRUST
    assert config.pool_settings("shop", "alice").user == "alice"
    forced = config_from_upstream("postgresql://app@h/shop", environ={})
    assert forced.pool_settings("shop", "alice").user == "app"


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:6000", "127.0.0.1", 6000),
        ("127.1.2.3:0", "127.1.2.3", 0),
        ("localhost:6000", "localhost", 6000),
        ("[::1]:6000", "::1", 6000),
    ],
)
def test_where_to_listen(listen: str, host: str, port: int) -> None:
    config = config_from_upstream("postgresql://h/shop", listen, environ={})
    assert (config.server.listen_addr, config.server.listen_port) == ((host,), port)


@pytest.mark.parametrize("listen", ["0.0.0.0:6432", "*:6432", "[::]:6432", "10.0.0.1:6432", "example.org:6432"])
def test_others_may_connect_only_where_there_is_a_password(listen: str) -> None:
    assert config_from_upstream(LOGIN, listen, environ={}).server.auth_type is AuthType.SCRAM_SHA_256
    for dsn in ("postgresql://h/shop", "postgresql://app@h/shop", "postgresql://app:@h/shop"):
        with pytest.raises(ConfigErrors) as raised:
            config_from_upstream(dsn, listen, environ={})
        host = listen.rsplit(":", 1)[0].strip("[]")
        assert str(raised.value) == (
            "--upstream: without a password in the connection string everybody is let in, so only a loopback address "
            f"such as 127.0.0.1 may be listened on, not {host}: add a password, or write a config file with an "
            "auth_file"
        )


@pytest.mark.parametrize(
    ("dsn", "listen", "error"),
    [
        (
            "h:5432",
            None,
            "--upstream: expected a connection string of the form postgresql://USER:PASSWORD@HOST:PORT/DBNAME",
        ),
        (
            "postgresql://app:hunter2@",
            None,
            "--upstream: it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket",
        ),
        ("${UPSTREAM}", None, "--upstream: the environment variable UPSTREAM is not set"),
        (
            "postgresql://h/pgbouncer",
            None,
            "--upstream: the database name pgbouncer belongs to the admin console: write a config file",
        ),
        (LOGIN, "6432", '--listen: expected HOST:PORT, such as 127.0.0.1:6432 or [::1]:6432, found "6432"'),
        (LOGIN, ":6432", '--listen: expected HOST:PORT, such as 127.0.0.1:6432 or [::1]:6432, found ":6432"'),
        (LOGIN, "::1:6432", '--listen: expected HOST:PORT, such as 127.0.0.1:6432 or [::1]:6432, found "::1:6432"'),
        (LOGIN, LOGIN, "--listen: expected HOST:PORT, such as 127.0.0.1:6432 or [::1]:6432, found a text"),
        (LOGIN, "h:", '--listen: expected a whole number from 0 to 65535 after the colon, found ""'),
        (LOGIN, "h:65536", '--listen: expected a whole number from 0 to 65535 after the colon, found "65536"'),
    ],
)
def test_what_the_command_line_may_not_say(dsn: str, listen: str | None, error: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        config_from_upstream(dsn, listen, environ={})
    assert str(raised.value) == error
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_tables_of_plugins_are_kept_as_they_are_with_their_lines(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """databases.a.primary = 'postgresql://a:b@h'
[plugins]
modules = ["./words.py", "/opt/other.py"]
[plugins.words]
list = ["a", "${SECRET}"]
[[plugins.words.rule]]
name = "x"
[plugins.cache]
""",
        SECRET="hunter2",
    )
    plugins = config.plugins
    assert plugins.modules == (ModuleFile(tmp_path / "words.py", 3), ModuleFile(Path("/opt/other.py"), 3))
    assert [one.name for one in plugins.modules] == ["words", "other"]
    assert list(plugins.tables) == ["words", "cache"]
    words = plugins.tables["words"]
    assert dict(words.values) == {"list": ["a", "hunter2"], "rule": [{"name": "x"}]}
    assert [words.line_of(path) for path in ((), ("list", 1), ("rule", 0, "name"), ("rule", 0, "gone"))] == [4, 5, 7, 6]
    assert "hunter2" not in repr(config)
