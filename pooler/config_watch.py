"""Looking whether the configuration's files have changed, so that nobody has to say RELOAD.

Looked at, and not listened to: a look follows symbolic links wherever they lead by now (Kubernetes swaps the one of a
whole folder), meets a file that an editor has put in the place of another, and needs no descriptor for each folder on
the way. A change counts when two looks in a row see the same. Then the whole configuration is read in this process;
only if it is right are all processes told to reload.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from interceptor.errors import ClientError, ConfigError
from pooler.access import AccessFiles
from pooler.config import Config, load_config
from pooler.config.tls import SYSTEM_CA
from pooler.tasks import read_files

if TYPE_CHECKING:
    from pooler.config import Upstream
    from pooler.server import Server

__all__ = ["ConfigWatch", "files_of"]

logger = logging.getLogger(__name__)

_UNWATCHED: Final = 1.0
"""Seconds between two looks whether the configuration says by now that its files are to be watched."""

_NAMES_FILE: Final = re.compile(r'(?:^|[\s,])@([^\s,"#]+)', re.MULTILINE)
"""In an HBA file: a list of names."""

_Stamp: TypeAlias = "dict[Path, tuple[int, int, int, int] | None]"
"""What tells one state of the files from another; None for one that can't be had."""


def files_of(config: Config) -> list[Path]:
    """The file of a configuration and those that it refers to. The rules plugin looks after its own."""
    server = config.server
    found: list[Path | None] = [
        *(config.file, server.auth_file, server.auth_hba_file, server.auth_ident_file),
        *(server.client_tls_cert_file, server.client_tls_key_file, server.client_tls_ca_file),
        *(server.server_tls_cert_file, server.server_tls_key_file, server.server_tls_ca_file),
        *(module.path for module in config.plugins.modules),
    ]
    for database in config.databases.values():
        for upstream in (database.primary, *database.replicas):
            found += _certificates(upstream)
    if server.auth_hba_file is not None:
        found += _names_files(server.auth_hba_file)
    return list(dict.fromkeys(path for path in found if path is not None))


def _certificates(upstream: Upstream) -> Iterable[Path]:
    tls = upstream.tls
    named = (tls.sslrootcert, tls.sslcert, tls.sslkey)
    return [Path(name) for name in named if name is not None and name != SYSTEM_CA]


def _names_files(hba: Path) -> Iterable[Path]:
    try:
        text = hba.read_text(errors="replace")
    except OSError:
        return []
    return [hba.parent / name for name in _NAMES_FILE.findall(text)]


class ConfigWatch:
    """Reloads the configuration when its files change, while ``reload_check_interval`` is not 0."""

    def __init__(self, server: Server) -> None:
        """The files as they are by now are taken for those that the server runs by."""
        self._server = server
        self._files: list[Path] = []
        self._stamp: _Stamp = {}
        self._digest = b""
        self._take(server.config)
        self._pending = self._stamp
        self._refused = ""
        """Why the files, as they are, can't be used."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            interval = self._server.config.server.reload_check_interval
            await asyncio.sleep(interval or _UNWATCHED)
            if interval and self._server.config.file is not None:
                await self._look(self._server.config.file)

    async def _look(self, file: Path) -> None:
        stamp = await read_files(lambda: _stamp_of(self._files))
        if stamp == self._stamp and not self._refused:
            return
        if stamp != self._pending:
            self._pending = stamp
            return
        if not self._refused and await read_files(lambda: _digest_of(self._files)) == self._digest:
            self._stamp = stamp
            return
        try:
            config = await read_files(lambda: _load(file))
        except ConfigError as error:
            # A file that it names may come later, so this is tried again, and told again when there is more to say.
            if str(error) != self._refused:
                self._refused = str(error)
                logger.error("the configuration has changed and can't be used, so nothing has changed:\n%s", error)
            return
        self._refused = ""
        await read_files(lambda: self._take(config))
        self._pending = self._stamp
        logger.info("the files of the configuration have changed")
        try:
            await self._server.node.tell_all("RELOAD")
        except ClientError as error:
            logger.error("the configuration was not reloaded: %s", error)

    def _take(self, config: Config) -> None:
        """These files are read from now on: what changes after this is seen."""
        self._files = files_of(config)
        self._stamp = _stamp_of(self._files)
        self._digest = _digest_of(self._files)


def _load(file: Path) -> Config:
    config = load_config(file)
    AccessFiles.load(config)
    return config


def _stamp_of(files: Iterable[Path]) -> _Stamp:
    found: _Stamp = {}
    for path in files:
        try:
            status = path.stat()
            found[path] = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
        except OSError:
            found[path] = None
    return found


def _digest_of(files: Iterable[Path]) -> bytes:
    digest = hashlib.sha256()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()
