"""Who may come in from where, and how they prove who they are: a file in the form of pg_hba.conf.

The first line that fits decides; where none fits, nobody comes in. Types, databases, users and methods are those of
PgBouncer and more; what PostgreSQL has beyond them is refused when the file is read, with a sentence that says what to
write instead. Source: PostgreSQL documentation, "The pg_hba.conf File".
"""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interceptor.errors import ConfigError
from pooler.auth.hba_text import Token, read_lines, read_text
from pooler.auth.ident import NameMaps
from pooler.config.problems import ConfigErrors

__all__ = ["ConnectionFacts", "Hba", "HbaRule", "Method"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Method(enum.StrEnum):
    """How somebody proves who it is."""

    TRUST = "trust"
    REJECT = "reject"
    PASSWORD = "password"
    MD5 = "md5"
    SCRAM_SHA_256 = "scram-sha-256"
    CERT = "cert"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What a rule looks at. ``address`` is None for a Unix socket."""

    database: str
    user: str
    address: Address | None
    tls: bool
    replication: bool = False
    """It asks for physical replication, which belongs to no database."""


@dataclass(frozen=True, slots=True)
class HbaRule:
    """One line."""

    line: int
    kind: str
    databases: frozenset[str] | None
    """Names; None for all."""
    same_user: bool
    replication: bool
    users: frozenset[str] | None
    networks: tuple[_Network, ...] | None
    """None for all addresses, and for Unix sockets."""
    method: Method
    map: str = ""
    by_distinguished_name: bool = False
    client_certificate: str = ""
    """"verify-ca": one has to be shown; "verify-full": and it has to name the user."""

    def fits(self, facts: ConnectionFacts) -> bool:
        """Whether this line is about such a connection."""
        if (self.kind == "local") is not (facts.address is None):
            return False
        if self.kind in ("hostssl", "hostnossl") and facts.tls is not (self.kind == "hostssl"):
            return False
        if facts.replication:
            if not self.replication:
                return False
        elif self.databases is not None and facts.database not in self.databases:
            if not (self.same_user and facts.database == facts.user):
                return False
        if self.users is not None and facts.user not in self.users:
            return False
        if self.networks is None or facts.address is None:
            return True
        return any(facts.address in network for network in self.networks)


class Hba:
    """The rules of one file."""

    __slots__ = ("file", "rules")

    def __init__(self, rules: tuple[HbaRule, ...], file: str) -> None:
        self.rules = rules
        self.file = file

    def find(self, facts: ConnectionFacts) -> HbaRule | None:
        """The first rule that fits."""
        return next((rule for rule in self.rules if rule.fits(facts)), None)

    @property
    def needs_certificates(self) -> bool:
        """A rule looks at the certificates of clients."""
        return any(rule.method is Method.CERT or rule.client_certificate for rule in self.rules)

    @classmethod
    def load(cls, path: Path, maps: NameMaps) -> Hba:
        """Read a file; ``maps`` are those that its rules may name. Raises ConfigErrors with file and line for all that
        is wrong."""
        try:
            text = read_text(path, "HBA file")
        except ConfigError as error:
            raise ConfigErrors([error]) from None
        return cls.parse(text, str(path), maps)

    @classmethod
    def parse(cls, text: str, file: str, maps: NameMaps) -> Hba:
        """As ``load``, of a text; ``file`` is its name for errors, and the place that ``@file`` is relative to."""
        rules: list[HbaRule] = []
        errors: list[ConfigError] = []
        for number, fields in read_lines(text):
            try:
                if isinstance(fields, str):
                    raise _Wrong(fields)
                rules.append(_Line(number, fields, Path(file).parent, maps).rule())
            except _Wrong as wrong:
                errors.append(ConfigError(file, number, "", str(wrong)))
        if errors:
            raise ConfigErrors(errors)
        return cls(tuple(rules), file)


class _Wrong(Exception):
    """What is wrong with a line."""


_KINDS: Final = ("local", "host", "hostssl", "hostnossl")
_METHODS_WE_LACK: Final = frozenset(["ident", "gss", "sspi", "ldap", "radius", "pam", "bsd", "oauth"])


class _Line:
    """One line, read from left to right."""

    def __init__(self, number: int, fields: list[list[Token]], folder: Path, maps: NameMaps) -> None:
        self._number = number
        self._fields = fields
        self._folder = folder
        self._maps = maps

    def rule(self) -> HbaRule:
        """The rule that it says. Raises _Wrong."""
        kind = self._word("a type: local, host, hostssl or hostnossl")
        if kind in ("include", "include_if_exists", "include_dir"):
            raise _Wrong("files are not included: write their lines here")
        if kind not in _KINDS:
            raise _Wrong(f'expected a type (local, host, hostssl or hostnossl), found "{kind}"')
        databases = self._next("a database, such as all")
        users = self._next("a user, such as all")
        networks = None if kind == "local" else self._networks()
        method = self._method(kind)
        names, same_user, replication = self._databases(databases)
        rule = HbaRule(self._number, kind, names, same_user, replication, self._users(users), networks, method)
        return self._with_options(rule)

    def _next(self, what: str) -> list[Token]:
        if not self._fields:
            raise _Wrong(f"the line ends where {what} is expected")
        return self._fields.pop(0)

    def _word(self, what: str) -> str:
        return self._only(what).text

    def _only(self, what: str) -> Token:
        field = self._next(what)
        if len(field) != 1:
            raise _Wrong(f"expected one word, {what}")
        return field[0]

    def _databases(self, field: list[Token]) -> tuple[frozenset[str] | None, bool, bool]:
        names: set[str] = set()
        everything = same_user = replication = False
        for token in field:
            if token.is_keyword("all"):
                everything = True
            elif token.is_keyword("sameuser"):
                same_user = True
            elif token.is_keyword("replication"):
                replication = True
            elif token.is_keyword("samerole") or token.is_keyword("samegroup"):
                raise _Wrong(f"{token.text}: which roles are members of another is known to PostgreSQL alone")
            else:
                names |= self._names(token)
        return (None if everything else frozenset(names)), same_user, replication

    def _users(self, field: list[Token]) -> frozenset[str] | None:
        names: set[str] = set()
        for token in field:
            if token.is_keyword("all"):
                return None
            if token.text.startswith("+") and not token.quoted:
                raise _Wrong(
                    f"{token.text}: which roles are members of another is known to PostgreSQL alone: list them"
                )
            names |= self._names(token)
        return frozenset(names)

    def _names(self, token: Token) -> set[str]:
        if token.quoted:
            return {token.text}
        if token.text.startswith("/"):
            raise _Wrong("regular expressions (a word that begins with /) are not offered: list the names")
        if not token.text.startswith("@"):
            return {token.text}
        path = self._folder / token.text[1:]
        try:
            text = read_text(path, "file of names")
        except ConfigError as error:
            raise _Wrong(f"{token.text}: {error}") from None
        found: set[str] = set()
        for number, fields in read_lines(text):
            if isinstance(fields, str):
                raise _Wrong(f"{token.text}: {path}:{number}: {fields}")
            found |= {word.text for field in fields for word in field}
        return found

    def _networks(self) -> tuple[_Network, ...] | None:
        token = self._only("an address, such as 10.0.0.0/8")
        word = token.text
        if token.is_keyword("all"):
            return None
        if word in ("samehost", "samenet"):
            raise _Wrong(f"{word}: write the addresses, such as 127.0.0.1/32 and 10.0.0.0/8")
        try:
            if "/" in word:
                return (_normal(ipaddress.ip_network(word)),)
            address = ipaddress.ip_address(word)
        except ValueError as error:
            if "host bits" in str(error):
                raise _Wrong(f"{word}: the address has bits that the mask leaves out") from None
            raise _Wrong(f'expected an address such as 10.0.0.0/8, "all", or an address and its mask, found "{word}": '
                         "host names are not looked up here") from None  # fmt: skip
        mask = self._word("the mask of the address")
        try:
            return (_normal(ipaddress.ip_network(f"{address}/{_length(mask)}")),)
        except ValueError:
            raise _Wrong(f'expected the mask of {word} (or {word}/32 in one word), found "{mask}"') from None

    def _method(self, kind: str) -> Method:
        word = self._word("a method, such as scram-sha-256")
        if word in _METHODS_WE_LACK:
            raise _Wrong(f'the method "{word}" is not spoken here; these are: {", ".join(Method)}')
        try:
            method = Method(word)
        except ValueError:
            raise _Wrong(f'expected a method ({", ".join(Method)}), found "{word}"') from None
        if method is Method.CERT and kind != "hostssl":
            raise _Wrong('the method "cert" looks at TLS certificates, so the type has to be hostssl')
        if method is Method.PEER and kind != "local":
            raise _Wrong('the method "peer" asks the operating system, so the type has to be local')
        return method

    def _with_options(self, rule: HbaRule) -> HbaRule:
        options: dict[str, str] = {}
        for field in self._fields:
            name, equals, value = field[0].text.partition("=")
            if len(field) != 1 or not equals:
                raise _Wrong("after the method only options of the form name=value may follow")
            check = _OPTIONS.get(name)
            if check is None:
                raise _Wrong(f'there is no option "{name}"; these are: {", ".join(_OPTIONS)}')
            wrong = check(rule, value)
            if wrong:
                raise _Wrong(f"{name}: {wrong}")
            options[name] = value
        if "map" in options and options["map"] not in self._maps:
            raise _Wrong(f'map: auth_ident_file has no map "{options["map"]}"')
        return HbaRule(
            *(rule.line, rule.kind, rule.databases, rule.same_user, rule.replication, rule.users, rule.networks),
            rule.method,
            map=options.get("map", ""),
            by_distinguished_name=options.get("clientname") == "DN",
            client_certificate=options.get("clientcert", ""),
        )


def _check_map(rule: HbaRule, _value: str) -> str:
    return "" if rule.method in (Method.CERT, Method.PEER) else 'only the methods "cert" and "peer" have a map'


def _check_client_name(rule: HbaRule, value: str) -> str:
    if rule.method is not Method.CERT:
        return 'only the method "cert" looks at a name'
    return "" if value in ("CN", "DN") else "expected CN or DN"


def _check_client_certificate(rule: HbaRule, value: str) -> str:
    if rule.kind != "hostssl":
        return "the type has to be hostssl"
    return "" if value in ("verify-ca", "verify-full") else "expected verify-ca or verify-full"


_OPTIONS: Final[dict[str, Callable[[HbaRule, str], str]]] = {
    "map": _check_map,
    "clientname": _check_client_name,
    "clientcert": _check_client_certificate,
}


def _length(mask: str) -> int:
    """The bits of a mask. Raises ValueError."""
    address = ipaddress.ip_address(mask)
    bits = int(address)
    width = address.max_prefixlen
    length = bits.bit_count()
    if bits != ((1 << length) - 1) << (width - length):
        raise ValueError("not a mask")
    return length


def _normal(network: _Network) -> _Network:
    """An IPv4 network written as a part of IPv6 as what it is: clients' addresses are brought to this form too."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network
