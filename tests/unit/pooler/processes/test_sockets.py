"""Listening sockets that a node opens before it forks."""

from __future__ import annotations

import os
from pathlib import Path

from interceptor.testing.machine import free_port
from pooler.config import ServerSettings
from pooler.processes.sockets import close_sockets, open_sockets


def test_other_users_may_connect_to_the_unix_socket(tmp_path: Path) -> None:
    port = free_port()
    before = os.umask(0o077)
    try:
        opened = open_sockets(ServerSettings(listen_addr=(), listen_port=port, unix_socket_dir=tmp_path))
    finally:
        os.umask(before)
    assert (tmp_path / f".s.PGSQL.{port}").stat().st_mode & 0o777 == 0o777
    close_sockets(opened, remove=True)
