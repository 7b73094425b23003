"""Configurations that can't be served: exit code 2, one line that says why, and nothing listens."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from interceptor.testing.machine import free_port
from pooler.cli import app

DATABASE = '[databases.app]\nprimary = "postgresql://app:secret@127.0.0.1:5432/app"\n'


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str


def serve(*arguments: str) -> Done:
    """``interceptor serve``, for what is refused before anything listens."""
    done = CliRunner().invoke(app, ["serve", *arguments])
    return Done(done.exit_code, done.stdout, done.stderr)


def serve_in_a_process(config: Path) -> Done:
    """``interceptor serve``, for what may listen a moment."""
    done = subprocess.run(
        [sys.executable, "-m", "pooler", "serve", "--config", str(config)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def assert_refused(done: Done, *words: str) -> None:
    assert done.exit_code == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("interceptor: ")
    for word in words:
        assert word in line, line


def written(directory: Path, config: str, files: Mapping[str, str] | None = None) -> Path:
    for name, text in (files or {}).items():
        (directory / name).write_text(text)
    path = directory / "interceptor.toml"
    path.write_text(config)
    return path


BAD = {
    "no TOML": ("[server\n", ("interceptor.toml:1",)),
    "an unknown key": ("[server]\nlisten_prt = 6432\n" + DATABASE, ("interceptor.toml:2", "listen_prt", "listen_port")),
    "a wrong type": ('[server]\nlisten_port = "x"\n' + DATABASE, ("interceptor.toml:2", "listen_port")),
    "a port out of range": ("[server]\nlisten_port = 65536\n" + DATABASE, ("interceptor.toml:2", "listen_port")),
    "an unset variable": ('[server]\nauth_file = "${NOT_SET}"\n' + DATABASE, ("interceptor.toml:2", "NOT_SET")),
    "a user file that is missing": ('[server]\nauth_file = "users.txt"\n' + DATABASE, ("users.txt",)),
    "a user file that is a directory": ('[server]\nauth_file = "."\n' + DATABASE, ("auth_file",)),
    "a user file of nonsense": ('[server]\nauth_file = "bad.txt"\n' + DATABASE, ("bad.txt:2",)),
    "a DSN that is none": ('[databases.app]\nprimary = "mysql://x"\n', ("interceptor.toml:2", "primary")),
    "bytes that are no UTF-8": ("\udcff\udcfe", ("interceptor.toml",)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_configuration_with(name: str, tmp_path: Path) -> None:
    config, words = BAD[name]
    path = written(tmp_path, "", {"bad.txt": '"good" "user"\nno user at all\n'})
    path.write_bytes(config.encode("utf-8", "surrogateescape"))
    assert_refused(serve("--config", str(path)), *words)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    assert_refused(serve("--config", str(tmp_path / "nowhere.toml")), "nowhere.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("--config", "--upstream")),
        (("--config", "x.toml", "--upstream", "postgresql://x/y"), ("--config", "--upstream")),
        (("--config", "x.toml", "--listen", "127.0.0.1:1"), ("--listen",)),
        (("--upstream", "mysql://x/y"), ("--upstream", "postgresql://")),
        (("--upstream", "postgresql://x/y", "--listen", "nonsense"), ("nonsense",)),
        (("--upstream", "postgresql://x/y", "--listen", "127.0.0.1:99999"), ("99999",)),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_a_command_line_with(arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(serve(*arguments), *words)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = written(tmp_path, f"[server]\nlisten_port = {port}\n{DATABASE}")
        assert_refused(serve_in_a_process(config), "cannot listen", "in use", str(port))


def test_a_second_address_that_is_taken_and_nothing_listens_on_the_first(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        config = written(
            tmp_path,
            f'[server]\nlisten_addr = ["127.0.0.1", "127.0.0.2"]\nlisten_port = {port}\n'
            f'unix_socket_dir = "{tmp_path}"\n{DATABASE}',
        )
        assert_refused(serve_in_a_process(config), "cannot listen", "in use", "127.0.0.2")
        assert not list(tmp_path.glob(".s.PGSQL.*"))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)


def test_an_address_that_this_machine_has_not(tmp_path: Path) -> None:
    config = written(tmp_path, f'[server]\nlisten_addr = "192.0.2.1"\nlisten_port = {free_port()}\n{DATABASE}')
    assert_refused(serve_in_a_process(config), "cannot listen", "192.0.2.1")


def test_a_directory_for_the_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    config = written(tmp_path, f'[server]\nlisten_port = {free_port()}\nunix_socket_dir = "nowhere"\n{DATABASE}')
    assert_refused(serve_in_a_process(config), "nowhere")
