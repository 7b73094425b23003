"""The conditions of one rule about the session that a statement comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interceptor_rules.model import Rule
from interceptor_rules.patterns import Addresses, Words

__all__ = ["Who", "Whom"]


@dataclass(frozen=True, slots=True)
class Whom:
    """A session, as far as rules look at it. None: not known, so that it may be any."""

    database: str
    user: str
    backend_user: str
    role: str | None
    application_name: str | None
    address: str
    tls: bool
    certificate: str


class Who:
    """The conditions about the session."""

    __slots__ = ("_addresses", "_except_addresses", "_excepted", "_tls", "_wanted")

    def __init__(self, rule: Rule) -> None:
        """Raises BadPattern."""
        self._tls = rule.tls
        self._wanted = _words(
            ("database", rule.databases),
            ("user", rule.users),
            ("backend_user", rule.backend_users),
            ("role", rule.roles),
            ("application_name", rule.application_names),
            ("certificate", rule.certificates),
        )
        self._excepted = _words(
            ("database", rule.except_databases),
            ("user", rule.except_users),
            ("backend_user", rule.except_backend_users),
            ("role", rule.except_roles),
            ("application_name", rule.except_application_names),
            ("certificate", rule.except_certificates),
        )
        self._addresses = Addresses(rule.addresses) if rule.addresses else None
        self._except_addresses = Addresses(rule.except_addresses) if rule.except_addresses else None

    @property
    def anybody(self) -> bool:
        """Whether it says nothing."""
        return self._tls is None and not (self._wanted or self._excepted or self._addresses or self._except_addresses)

    def match(self, whom: Whom, unknown: bool) -> bool:
        """Whether it is about this session; ``unknown``: what to say where that can't be told."""
        if self._tls is not None and self._tls is not whom.tls:
            return False
        if self._addresses is not None and not self._addresses.match(whom.address):
            return False
        if self._except_addresses is not None and self._except_addresses.match(whom.address):
            return False
        for key, words in self._wanted:
            value: str | None = getattr(whom, key)
            if not (unknown if value is None else words.match(value)):
                return False
        for key, words in self._excepted:
            value = getattr(whom, key)
            if not unknown if value is None else words.match(value):
                return False
        return True


def _words(*keys: tuple[str, Sequence[str]]) -> tuple[tuple[str, Words], ...]:
    return tuple([(key, Words(patterns)) for key, patterns in keys if patterns])
