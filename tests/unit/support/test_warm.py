"""Processes of the proxy that are forked from one that has imported it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.proxy import run_proxy
from tests.support.warm import start_warm


@pytest.mark.parametrize(("arguments", "code"), [(["plugins"], 0), (["serve", "--nonsense"], 2)])
def test_it_ends_with_the_exit_code_of_the_command(arguments: list[str], code: int, tmp_path: Path) -> None:
    process = start_warm(arguments, tmp_path / "log", os.environ, tmp_path)
    assert process.wait(30) == code == process.returncode
    assert ("nonsense" if code else "rules") in (tmp_path / "log").read_text()


def test_it_has_a_folder_and_an_environment_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "here.toml").write_text('[server]\nauth_type = "trust"\n[databases.app]\nprimary = "${PRIMARY}"\n')
    environment = {**os.environ, "PRIMARY": "postgresql://postgres@127.0.0.1:1/app"}
    process = start_warm(["check", "--config", "here.toml"], tmp_path / "log", environment, tmp_path)
    assert process.wait(30) == 0, (tmp_path / "log").read_text()
    assert start_warm(["check", "--config", "here.toml"], tmp_path / "log", os.environ, tmp_path).wait(30) != 0


def test_it_can_be_waited_for_and_killed() -> None:
    with run_proxy({"databases.app": {"primary": "postgresql://postgres@127.0.0.1:1/app"}}) as proxy:
        with pytest.raises(subprocess.TimeoutExpired):
            proxy.process.wait(0.01)
        assert proxy.process.poll() is None
        proxy.process.kill()
        assert proxy.wait() == -signal.SIGKILL
        proxy.process.send_signal(signal.SIGTERM)  # it is gone, and its number may be another's
