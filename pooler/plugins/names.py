"""What decides about names when a client has just logged in: its role and its search_path."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from interceptor.errors import BackendError
from interceptor.sql.statements import analyse_facts
from pooler.helpers import Helper, HelperSettings

if TYPE_CHECKING:
    from pooler.auth import KeyCache
    from pooler.clock import Clock
    from pooler.login import Welcome
    from pooler.pool import Pool
    from pooler.waiting import Profile

__all__ = ["LoginNames", "Names", "may_rename", "reported_path"]

logger = logging.getLogger(__name__)

REMEMBERED: Final = 60.0
"""Seconds. ALTER ROLE … SET search_path is seen by logins after that time, unless the server reports the setting."""
MAX_REMEMBERED: Final = 1000

_QUESTION: Final = "SELECT current_user, pg_catalog.current_setting('search_path')"
_DECIDE: Final = frozenset({"options", "search_path", "role"})
"""Startup parameters that may change the answer."""


_RENAMES: Final = frozenset({"role", "session_authorization", "search_path", "all"})


@dataclass(frozen=True, slots=True)
class Names:
    """None: not known, and then nothing that depends on it resolves."""

    role: str | None
    search_path: str | None


class LoginNames:
    """Asks a server, over a short connection of our own that logs in as the client's backends do, and remembers."""

    def __init__(self, keys: KeyCache, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._known: dict[tuple[object, ...], tuple[float, Names]] = {}

    def known(self, pool: Pool, profile: Profile) -> Names | None:
        """What the server would say to a session of these startup parameters, if it has been asked not long ago."""
        found = self._known.get(_key(pool, profile))
        return found[1] if found is not None and self._clock.now - found[0] < REMEMBERED else None

    def forget(self) -> None:
        """Servers are others than they were."""
        self._known.clear()

    async def ask(self, pool: Pool, profile: Profile) -> Names:
        """Ask. A server that doesn't answer leaves both unknown, and that isn't remembered."""
        settings = pool.settings
        if settings.connect_query and may_rename(settings.connect_query):
            # It runs on backends alone.
            return Names(None, None)
        helper = Helper(
            replace(settings, parameters=_deciding(profile)),
            lambda: pool.credential,
            self._keys,
            HelperSettings(application_name="interceptor names", statement_timeout=5.0),
        )
        try:
            ((role, search_path),) = await helper.query(_QUESTION)
        except BackendError as error:
            logger.warning("the role and the search_path of %s could not be asked for: %s", pool, error)
            return Names(None, None)
        finally:
            await helper.close()
        names = Names(str(role), str(search_path))
        key = _key(pool, profile)
        self._known.pop(key, None)
        self._known[key] = (self._clock.now, names)
        if len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        return names


def reported_path(welcome: Welcome) -> str | None:
    """The search_path of the ParameterStatus messages at login: PostgreSQL 18 has it."""
    value = welcome.reported.values.get(b"search_path")
    return None if value is None else sys.intern(value.decode("utf-8", "surrogateescape"))


def may_rename(sql: str) -> bool:
    """Whether a connect_query may change the role or the search_path. One that calls a function may do anything."""
    facts = analyse_facts(sql)
    settings = [setting for one in facts.all for setting in one.settings]
    return (
        bool(facts.opaque)
        or any(one.functions or one.kind == "discard" for one in facts.all)
        or any(setting.name is None or setting.name in _RENAMES for setting in settings)
    )


def _key(pool: Pool, profile: Profile) -> tuple[object, ...]:
    return (pool.settings.pool_key, *_deciding(profile))


def _deciding(profile: Profile) -> tuple[tuple[str, str], ...]:
    return tuple(item for item in profile.parameters if item[0].lower() in _DECIDE)
