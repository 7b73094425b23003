"""The rules file as it is now: read, kept, and read again when it changed."""

from __future__ import annotations

from pathlib import Path

from interceptor import Session
from interceptor.catalogue import Scope
from interceptor.hooks.statement import Resolution
from interceptor_rules.loading import load_rules
from interceptor_rules.ruleset import RuleSet
from interceptor_rules.who import Whom
from interceptor_rules.world import World, Worlds

__all__ = ["ReadRules", "WatchedRules"]

ReadRules = tuple[RuleSet, tuple[Path, ...]]
"""Rules, and the files that they were read from."""

_Stamp = tuple[tuple[str, int, int, int], ...]


class WatchedRules:
    """The rules, and what is known of the catalogue for them. Both are replaced in one step."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self.path = path
        self._files: tuple[Path, ...] = (path,)
        self._stamp = _stamp(self._files)
        self.put(self.read())

    def changed(self) -> bool:
        """Whether the file, or one that it includes, is another than when this was asked last."""
        now = _stamp(self._files)
        if now == self._stamp:
            return False
        self._stamp = now
        return True

    def read(self) -> ReadRules:
        """Read the file. Takes its time, changes nothing, and may run in a thread. Raises ConfigError."""
        return load_rules(self.path)

    def put(self, found: ReadRules) -> None:
        """Use these rules from now on."""
        rules, files = found
        if files != self._files:
            # What was written while it was read is seen the next time, but for files that were not known of.
            self._files = files
            self._stamp = _stamp(files)
        self.rules: RuleSet = rules
        self._worlds: dict[str, Worlds] = {}

    def world(self, resolution: Resolution | None, database: str = "") -> World:
        """What names mean there; without a catalogue nearly nothing."""
        rules = self.rules
        worlds = self._worlds.get(database)
        if worlds is None:
            worlds = self._worlds[database] = Worlds(
                rules.trusts_function,
                rules.trusts_table,
                rules.guards_columns,
                trusted_extension=rules.trusts_extension,
                trusts_any=bool(rules.trusted_functions),
            )
        if resolution is None:
            return worlds.of(None, Scope(None, ""))
        return worlds.of(resolution.closures, resolution.scope)

    @staticmethod
    def whom(session: Session) -> Whom:
        """A session, as rules look at it."""
        return Whom(
            session.database,
            session.user,
            session.backend_user,
            session.role,
            session.application_name,
            session.client_address,
            session.tls,
            session.certificate_subject,
        )


def _stamp(files: tuple[Path, ...]) -> _Stamp:
    """What tells one state of the files from another."""
    found = []
    for path in files:
        try:
            status = path.stat()
            found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            found.append((str(path), 0, 0, 0))
    return tuple(found)
