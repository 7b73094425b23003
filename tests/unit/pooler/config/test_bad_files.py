"""Files that are wrong: everything wrong is named at once, with file, line, key and what was expected."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from interceptor.errors import ConfigError
from pooler.config import ConfigErrors, load_config

ENVIRON = {"PASSWORD": "hunter2", "WORD": "hunter2", "PORT": "6000"}

# A file and the whole text of its errors, each line without the path before it.
BAD_FILES = {
    "empty": ("", ': databases: there is no database: write at least one [databases.NAME], or [databases."*"]'),
    "not toml": ("[server]\nlisten_port = \n", ":2: not valid TOML at column 15: Invalid value"),
    "unclosed": ('[server\n"', ":1: not valid TOML at column 8: Expected ']' at the end of a table declaration"),
    "ends early": ('a = """\n\n', ":3: not valid TOML at the end: Unterminated string"),
    "twice": (
        "[server]\nlisten_port = 1\nlisten_port = 2\n",
        ":3: not valid TOML at column 16: Cannot overwrite a value",
    ),
    "nested deep": ("a = " + "[" * 2000 + "]" * 2000, ": arrays or tables are nested too deep"),
    "many digits": ("a = " + "1" * 5000, ": a number has too many digits"),
    "not utf-8": ("[server]\n# \udcff\n", ":2: the file is not UTF-8, which TOML must be"),
    "numbers": (
        """
[server]
listen_port = 65536
listen_backlog = 0
default_pool_size = 0
min_pool_size = -1
reserve_pool_size = 1.5
max_client_conn = "many"
max_db_connections = true
scram_iterations = 2000000
verbose = [1]
""",
        """
:3: server.listen_port: expected a whole number from 0 to 65535, found 65536
:4: server.listen_backlog: expected a whole number from 1 to 2147483647, found 0
:5: server.default_pool_size: expected a whole number from 1 to 2147483647, found 0
:6: server.min_pool_size: expected a whole number from 0 to 2147483647, found -1
:7: server.reserve_pool_size: expected a whole number from 0 to 2147483647, found 1.5
:8: server.max_client_conn: expected a whole number from 1 to 2147483647, found "many"
:9: server.max_db_connections: expected a whole number from 0 to 2147483647, found true
:10: server.scram_iterations: expected a whole number from 1 to 1000000, found 2000000
:11: server.verbose: expected a whole number from 0 to 3, found an array
: databases: there is no database: write at least one [databases.NAME], or [databases."*"]
""",
    ),
    "other kinds": (
        """
databases.a.primary = "postgresql://h"
server = { auth_type = "trust", query_timeout = "5 minutes", server_lifetime = -1, server_round_robin = 2 }
users."x y" = { query_wait_timeout = inf, pool_mode = 'Session' }
users.z = 5
""",
        """
:3: server.query_timeout: expected a duration from 0 to ten years: seconds, or a text such as "10ms", "5s", "2min", \
"1h" or "1d", found "5 minutes"
:3: server.server_lifetime: expected a duration from 0 to ten years: seconds, or a text such as "10ms", "5s", "2min", \
"1h" or "1d", found -1
:3: server.server_round_robin: expected true or false (or 1 or 0), found 2
:4: users."x y".query_wait_timeout: expected a duration from 0 to ten years: seconds, or a text such as "10ms", "5s", \
"2min", "1h" or "1d", found inf
:4: users."x y".pool_mode: expected one of "session", "transaction", "statement", found "Session"
:5: users.z: expected a table [users.z], found 5
""",
    ),
    "texts": (
        """
[server]
auth_type = "trust"
listen_addr = ["a", 1]
max_packet_size = "1 kilobyte"
server_reset_query = 5
server_check_query = "a\\u0000"
auth_file = 2026-01-02
[databases.a]
primary = ["postgresql://h"]
connect_query = true
""",
        """
:4: server.listen_addr: expected an array of names such as ["a", "b"], or a text with commas such as "a, b", \
found an array
:5: server.max_packet_size: expected a size from 1024 to 2147483647 bytes, such as 65536 or "64MB" (B, kB, MB, GB, \
TB), found "1 kilobyte"
:6: server.server_reset_query: expected a text without NUL characters, found 5
:7: server.server_check_query: expected a text without NUL characters, found "a\\u0000"
:8: server.auth_file: expected a path, or "" for none, found a date or time
:10: databases.a.primary: expected a connection string of the form postgresql://USER:PASSWORD@HOST:PORT/DBNAME
:11: databases.a.connect_query: expected a text without NUL characters, found true
""",
    ),
    "unknown names": (
        """
pool_mode = "session"
sever = 1
[server]
auth_type = "trust"
listen_adress = "127.0.0.1"
logfile = "/var/log/x"
pool_size = 5
so_reuseport = 1
[databases.app]
primary = "postgresql://h"
host = "10.0.0.1"
replicas = ["postgresql://bob@h"]
default_pool_size = 3
[users.alice]
password = "hunter2"
[users.alice.more]
x = 1
[pgbouncer]
listen_port = 1
[api]
jwt_secret = "hunter2"
""",
        """
:2: pool_mode: this setting does not belong before the first section, but into [server] or [databases.NAME] or \
[users.NAME]
:3: sever: unknown section; did you mean "server"?
:6: server.listen_adress: unknown setting; did you mean "listen_addr"?
:7: server.logfile: there is no such setting here: messages go to the standard error output, where the service \
manager takes them up
:8: server.pool_size: this setting does not belong into [server], but into [databases.NAME] or [users.NAME]; for all \
pools its name is default_pool_size
:9: server.so_reuseport: there is no such setting here: the workers of one node share a port, and hand cancel \
requests to each other, by themselves
:12: databases.app.host: there is no such setting here: it is part of the connection string, as in \
primary = "postgresql://USER:PASSWORD@HOST:PORT/DBNAME"
:13: databases.app.replicas[0]: the user must be each client's own, as in the primary's connection string: leave it \
out here
:14: databases.app.default_pool_size: there is no such setting here: its name is pool_size here
:16: users.alice.password: there is no such setting here: passwords stand in the auth_file
:17: users.alice.more: unknown setting
:19: pgbouncer: the section is called [server] here
:22: api.jwt_secret: expected a text of at least 32 bytes, or "" for none
""",
    ),
    "not built yet": (
        """
[server]
auth_type = "cert"
workers = -1
admin_users = "postgres"
stats_users = [7]
max_packet_size = "1MB"
disable_pqexec = 1
[databases.app]
primary = "postgresql://a:b@h?sslmode=verify-full"
""",
        """
:2: server.client_tls_sslmode: auth_type = "cert" needs TLS: write "require", or "verify-ca"
:4: server.workers: expected a whole number from 0 to 1000, found -1
:6: server.stats_users: expected an array of names such as ["a", "b"], or a text with commas such as "a, b", found an \
array
:7: server.max_packet_size: other limits than PostgreSQL's own, 1 GB, are not built yet: leave it out
:8: server.disable_pqexec: there is no such setting here: a message may have several statements; a rule can block them
:10: databases.app.primary: sslrootcert: "verify-full" needs the authorities that sign servers' certificates
""",
    ),
    "plugins": (
        """
[plugins]
modules = ["./x.py", 5, "x", "${NOWHERE}.py"]
rules = "rules.toml"
[plugins.words]
list = ["a", "${NOWHERE}"]
deep = { a = [{ b = "${NOWHERE}" }] }
[databases.app]
primary = "postgresql://a:b@h"
""",
        """
:3: plugins.modules[1]: expected a file of Python, such as "./my_plugin.py", found 5
:3: plugins.modules[2]: expected a file of Python, such as "./my_plugin.py", found "x"
:3: plugins.modules[3]: the environment variable NOWHERE is not set
:4: plugins.rules: expected a table [plugins.rules], found "rules.toml"
:6: plugins.words.list[1]: the environment variable NOWHERE is not set
:7: plugins.words.deep.a[0].b: the environment variable NOWHERE is not set
""",
    ),
    "modules that are no array": (
        "[plugins]\nmodules = './x.py'\n[databases.app]\nprimary = 'postgresql://a:b@h'\n",
        ':2: plugins.modules: expected an array of files, such as ["./my_plugin.py"], found "./x.py"',
    ),
    "sections that are no tables": (
        "server = 1\ndatabases = 'x'\nusers = []\nplugins = true\n",
        """
:1: server: expected a table [server], found 1
:2: databases: expected tables such as [databases.NAME], found "x"
:3: users: expected tables such as [users.NAME], found an array
:4: plugins: expected a table [plugins], found true
""",
    ),
    "databases that are no tables": (
        'databases.app = "postgresql://app:hunter2@h"\n',
        ":1: databases.app: expected a table [databases.app], found a text",
    ),
    "array of tables": (
        "[[server]]\nlisten_port = 1\n[[databases.app]]\n",
        """
:1: server: expected a table [server], found an array
:3: databases.app: expected a table [databases.app], found an array
""",
    ),
    "no primary": (
        "[server]\nauth_type = 'trust'\n[databases.app]\npool_size = 5\n",
        ":3: databases.app.primary: missing; expected a connection string of the form "
        "postgresql://USER:PASSWORD@HOST:PORT/DBNAME",
    ),
    "environment": (
        """
[server]
auth_type = "${NONE}"
pool_mode = "${WORD}"
listen_port = "${PORT}00"
admin_users = ["${WORD}", ""]
server_reset_query = "${"
[databases.app]
primary = "postgresql://app:${NONE}@h"
[databases.other]
primary = "${WORD}"
""",
        """
:3: server.auth_type: the environment variable NONE is not set
:4: server.pool_mode: expected one of "session", "transaction", "statement"
:5: server.listen_port: expected a whole number from 0 to 65535
:6: server.admin_users: expected an array of names such as ["a", "b"], or a text with commas such as "a, b"
:7: server.server_reset_query: "${" begins the name of an environment variable, as in ${NAME}; write "$${" for the \
text "${"
:9: databases.app.primary: the environment variable NONE is not set
:11: databases.other.primary: expected a connection string of the form postgresql://USER:PASSWORD@HOST:PORT/DBNAME
""",
    ),
    "names": (
        """
[server]
auth_type = "plain"
[databases.pgbouncer]
primary = "postgresql://h"
[databases.interceptor]
primary = "postgresql://h"
[databases.""]
primary = "postgresql://h"
[users."*"]
pool_size = 5
[users.""]
""",
        """
:3: server.auth_type: "plain" is PgBouncer's name for "password": write "password"
:4: databases.pgbouncer: this name belongs to the admin console: take another name
:6: databases.interceptor: this name belongs to the admin console: take another name
:8: databases."": a database needs a name
:10: users."*": "*" is no user here: what is meant for all users stands in [server]
:12: users."": a user needs a name
""",
    ),
    "sizes": (
        """
[server]
auth_type = "trust"
min_pool_size = 5
reserve_pool_size = 1
reserve_pool_timeout = 0
[databases.a]
primary = "postgresql://h"
pool_size = 4
[databases.b]
primary = "postgresql://h"
min_pool_size = 21
[databases.c]
primary = "postgresql://h"
pool_size = 5
""",
        """
:5: server.reserve_pool_size: has no effect: a reserve_pool_timeout of 0 turns the reserve off
:9: databases.a.pool_size: min_pool_size must not be above pool_size, but here it is 5 and pool_size is 4
:12: databases.b.min_pool_size: min_pool_size must not be above pool_size, but here it is 21 and pool_size is 20
""",
    ),
    "server sizes": (
        """
databases.a.primary = "postgresql://h"
[server]
auth_type = "trust"
min_pool_size = 21
""",
        ":5: server.min_pool_size: must not be above default_pool_size, which is 20, but is 21",
    ),
    "no effect": (
        """
server.auth_type = "trust"
databases.a.primary = "postgresql://app@h"
[users.app]
pool_size = 5
[users.alice]
query_timeout = 5
pool_size = 5
reserve_pool_size = 5
max_user_connections = 5
""",
        """
:8: users.alice.pool_size: has no effect: it is about backends that log in under this name, and the connection \
string of each database has another user
:9: users.alice.reserve_pool_size: has no effect: it is about backends that log in under this name, and the \
connection string of each database has another user
:10: users.alice.max_user_connections: has no effect: it is about backends that log in under this name, and the \
connection string of each database has another user
""",
    ),
    "nobody could log in": (
        """
[databases.a]
primary = "postgresql://h"
[databases.b]
primary = "postgresql://app@h"
[databases.c]
primary = "postgresql://app:${PASSWORD}@h"
[databases.d]
primary = "postgresql://app:other@h"
[databases.e]
primary = "postgresql://app:hunter2@h"
""",
        """
:3: databases.a.primary: nobody could log in: auth_type is "scram-sha-256", and neither is there an auth_file nor \
a user and password in this connection string
:5: databases.b.primary: nobody could log in: auth_type is "scram-sha-256", and neither is there an auth_file nor \
a user and password in this connection string
:9: databases.d.primary: the same user has another password in the database "c", so it is not clear which one opens \
the console: write an auth_file
""",
    ),
    "nothing to listen on": (
        """
databases.a.primary = "postgresql://h"
[server]
auth_type = "trust"
listen_addr = ""
""",
        ":5: server.listen_addr: nothing to listen on: give an address here, or a unix_socket_dir",
    ),
    "files": (
        """
databases.a.primary = "postgresql://h"
[server]
auth_file = "none.txt"
unix_socket_dir = "sub/none"
""",
        """
:4: server.auth_file: there is no file {folder}/none.txt
:5: server.unix_socket_dir: there is no directory {folder}/sub/none
""",
    ),
    "a folder for a file": (
        """
databases.a.primary = "postgresql://h"
[server]
auth_file = "."
unix_socket_dir = "bad.toml"
""",
        """
:4: server.auth_file: {folder} is not a file
:5: server.unix_socket_dir: there is no directory {folder}/bad.toml
""",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_file(name: str, tmp_path: Path) -> None:
    text, expected = BAD_FILES[name]
    file = tmp_path / "bad.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))

    with pytest.raises(ConfigErrors) as raised:
        load_config(file, ENVIRON)

    lines = expected.replace("{folder}", str(tmp_path)).strip().split("\n")
    assert sorted(str(raised.value).split("\n")) == sorted(f"{file}{line}" for line in lines)
    assert [error.line for error in raised.value.errors] == sorted(error.line for error in raised.value.errors)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path / "none.toml")
    assert str(raised.value) == f"{tmp_path}/none.toml: the file can't be read: No such file or directory"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path)
    assert str(raised.value) == f"{tmp_path}: the file can't be read: Is a directory"


def test_permissions_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser, who runs tests in containers, may read everything: so the question is answered by the mode's bits.
    def access(path: Path, mode: int) -> bool:
        bits = stat.S_IMODE(path.stat().st_mode) >> 6
        return bits & mode == mode

    monkeypatch.setattr(os, "access", access)
    (tmp_path / "users.txt").touch(0o200)
    (tmp_path / "sockets").mkdir(0o500)
    file = tmp_path / "bad.toml"
    file.write_text(
        'databases.a.primary = "postgresql://h"\nserver = { auth_file = "users.txt", unix_socket_dir = "sockets" }'
    )
    with pytest.raises(ConfigErrors) as raised:
        load_config(file)
    assert str(raised.value).split("\n") == [
        f"{file}:2: server.unix_socket_dir: no permission to make a socket in the directory {tmp_path}/sockets",
        f"{file}:2: server.auth_file: no permission to read the file {tmp_path}/users.txt",
    ]


def test_a_path_through_a_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('databases.a.primary = "postgresql://h"\nserver.auth_file = "bad.toml/users.txt"')
    with pytest.raises(ConfigErrors) as raised:
        load_config(file)
    assert str(raised.value) == (
        f"{file}:2: server.auth_file: the file {file}/users.txt can't be read: Not a directory"
    )
