"""The container file and the systemd unit name what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = (ROOT / "deploy" / "Containerfile").read_text()
UNIT = ROOT / "deploy" / "interceptor.service"
SEATS = ROOT / "deploy" / "interceptor@.service"


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", CONTAINER, re.MULTILINE)


def test_each_file_that_the_container_copies_is_there_and_all_that_the_package_needs() -> None:
    sources = [word for line in instructions("COPY") if not line.startswith("--from") for word in line.split()[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == set(sources), ".dockerignore lets them through, and nothing else"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "interceptor", "pooler", "plugins"}
    assert needed | {project["project"]["readme"], *project["project"]["license-files"]} <= set(sources)


def test_what_the_container_and_the_unit_run_is_a_command_of_the_package() -> None:
    ((entry,),), (arguments,) = map(json.loads, instructions("ENTRYPOINT")), map(json.loads, instructions("CMD"))
    (started,) = re.findall(r"^ExecStart=(\S+) (.*)$", UNIT.read_text(), re.MULTILINE)
    assert started == (entry, " ".join(arguments))
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert Path(entry).name in scripts
    command = [sys.executable, "-m", "pooler", arguments[0], "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, env={"COLUMNS": "200"})
    assert arguments[1] in done.stdout


def test_who_ends_the_container_or_the_unit_sends_what_lets_transactions_end() -> None:
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert "\nKillSignal=SIGTERM\n" in UNIT.read_text()
    assert instructions("USER") == ["interceptor"]
    assert "\nUser=interceptor\n" in UNIT.read_text()


def test_the_unit_with_seats_is_the_other_one_but_for_the_takeover() -> None:
    plain, seats = (
        {line for line in unit.read_text().splitlines() if line and not line.startswith(("#", "Description="))}
        for unit in (UNIT, SEATS)
    )
    (start,) = plain - seats
    assert seats - plain == {
        f"{start} --takeover",
        "ExecStartPre=/usr/bin/install -d -m 700 /run/interceptor/takeover",
    }
    assert 'run_dir = "/run/interceptor/takeover"' in SEATS.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", [UNIT, SEATS], ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path, unit: Path) -> None:
    # The program and the user are made where it is installed.
    text = unit.read_text().replace("/opt/interceptor/bin/interceptor", sys.executable)
    copy = tmp_path / unit.name.replace("@", "@a")
    copy.write_text(re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False)
    assert copy.name not in done.stderr, done.stderr
