"""Where a PostgreSQL server is and how to log in there: ``postgresql://user:secret@host:port/dbname?option=value``, or
``host=a,b user=app``.

The forms are libpq's (PostgreSQL manual, 34.1.1). No error here repeats a part of the text, since a
password in which a character was not escaped ends up in whatever part follows it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from pooler.config.conninfo import is_conninfo, split_conninfo
from pooler.config.hosts import (
    ANY_HOST,
    DEFAULT_PORT,
    HostChoice,
    LoadBalanceHosts,
    TargetSessionAttrs,
    hosts_of,
    split_address,
)
from pooler.config.secret import Secret
from pooler.config.suggest import did_you_mean
from pooler.config.tls import AUTH_METHODS, ChannelBinding, SslMode, SslNegotiation
from pooler.config.values import HostPort, Kind, Unfit

__all__ = ["DEFAULT_PORT", "SCHEMES", "TlsOptions", "Upstream", "parse_dsn", "upstream", "upstreams"]

E = TypeVar("E", bound=enum.StrEnum)

SCHEMES = ("postgresql://", "postgres://")

# What PostgreSQL takes in a StartupMessage and a pool may set for all of its connections.
_PARAMETERS = ("application_name", "client_encoding", "datestyle", "timezone", "options")
_PLACES = ("host", "port", "user", "password", "dbname")
_PLAIN_ONLY = {"gssencmode": "GSSAPI encryption"}
_TLS = ("sslmode", "sslnegotiation", "channel_binding", "require_auth", "sslrootcert", "sslcert", "sslkey")
_INSTEAD = {
    "connect_timeout": "use the setting server_connect_timeout",
    "hostaddr": "use host, which may be an address",
    "sslcrl": "lists of revoked certificates are not read",
    "sslpassword": "store the key without a passphrase, readable by the proxy's user alone",
    "sslsni": "a host name is always told to the server",
    "ssl_min_protocol_version": "use the setting server_tls_protocols",
    "ssl_max_protocol_version": "use the setting server_tls_protocols",
}
_CHOICE = ("target_session_attrs", "load_balance_hosts")
_OPTIONS = (*_PLACES, *_PARAMETERS, *_TLS, *_CHOICE, *_PLAIN_ONLY)
_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What a connection string says about TLS; None for what it doesn't say. Paths as they are written there."""

    sslmode: SslMode | None = None
    sslnegotiation: SslNegotiation | None = None
    channel_binding: ChannelBinding | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    require_auth: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """A PostgreSQL server, and the login there.

    ``host`` is a name, an address without brackets, or, beginning with "/", the directory of a Unix socket. Where there
    are ``other_hosts``, ``choice`` says which of all of them a connection goes to.
    ``dbname`` None stands for the database name that the client asked for; ``user`` None for the client's own name.
    With a ``user`` but no ``password``, the password is the one that auth_file has for that user.
    ``parameters`` go into the StartupMessage of every connection.
    """

    host: str
    port: int = DEFAULT_PORT
    dbname: str | None = None
    user: str | None = None
    password: Secret | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    tls: TlsOptions = TlsOptions()
    other_hosts: tuple[HostPort, ...] = ()
    choice: HostChoice = ANY_HOST

    @property
    def hosts(self) -> tuple[HostPort, ...]:
        """All of them, in the order of the connection string."""
        return (HostPort(self.host, self.port), *self.other_hosts)


def parse_dsn(dsn: str) -> Upstream:
    """Parse a connection string of either form. Raises Unfit, whose text holds no part of its login."""
    if is_conninfo(dsn):
        return _parse_conninfo(dsn)
    scheme = next((scheme for scheme in SCHEMES if dsn.startswith(scheme)), None)
    if scheme is None:
        raise Unfit
    authority, slash, rest = _split_at(dsn.removeprefix(scheme), "/?#")
    if "@" in rest or "#" in slash + rest:
        raise Unfit(
            'a "/", "?", "#" or "@" inside a user name, password or option stands there as it is: '
            "write %2F, %3F, %23 or %40 for it"
        )
    dbname, _, query = (rest if slash == "/" else "?" + rest).partition("?")
    if "/" in dbname:
        raise Unfit('a "/" inside the database name must be written %2F')

    login, at, address = authority.rpartition("@")
    user, colon, password = login.partition(":")
    parts = _address(address)
    parts |= {"user": _decode(user, "the user name")} if user else {}
    parts |= {"password": _decode(password, "the password")} if colon else {}
    parts |= {"dbname": _decode(dbname, "the database name")} if dbname else {}
    if at and not user:
        raise Unfit("the user name before the @ is missing")
    said = _Said(parts)
    _query(query, said)
    return said.upstream()


def _split_at(rest: str, characters: str) -> tuple[str, str, str]:
    ends = [end for character in characters if (end := rest.find(character)) >= 0]
    if not ends:
        return rest, "", ""
    end = min(ends)
    return rest[:end], rest[end], rest[end + 1 :]


def _decode(encoded: str, part: str) -> str:
    raw = encoded.encode()
    if _PERCENT.search(raw):
        raise Unfit(f"a % in {part} must be written %25, or be followed by two hexadecimal digits")
    try:
        decoded = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise Unfit(f"{part} is not UTF-8 once its %XX are decoded") from None
    if "\0" in decoded:
        raise Unfit(f"{part} must not hold a NUL character (%00)")
    return decoded


def _address(address: str) -> dict[str, str]:
    if not address:
        return {}
    hosts, ports = zip(*map(split_address, address.split(",")), strict=True)
    parts = {"host": ",".join(_decode(host, "the host") for host in hosts)} if any(hosts) else {}
    return parts | ({"port": ",".join(ports)} if any(ports) else {})


def _parse_conninfo(dsn: str) -> Upstream:
    said = _Said()
    for number, (name, value) in enumerate(split_conninfo(dsn), 1):
        if name not in _OPTIONS and name not in _INSTEAD:
            raise Unfit(f"option {number} is unknown{did_you_mean(name, _OPTIONS)}")
        if "\0" in value:
            raise Unfit(f"the option {name} must not hold a NUL character")
        said.take(name, value)
    return said.upstream()


class _Said:
    """What the options say: where, how it is encrypted, which host, and startup parameters."""

    def __init__(self, places: Mapping[str, str] | None = None) -> None:
        self.places = dict(places or {})
        self.tls: dict[str, str] = {}
        self.choice: dict[str, str] = {}
        self.parameters: dict[str, str] = {}

    def take(self, name: str, value: str) -> None:
        """One of _OPTIONS or _INSTEAD."""
        if name in _INSTEAD:
            raise Unfit(f"there is no option {name} here: {_INSTEAD[name]}")
        if name in _PLAIN_ONLY:
            if value != "disable":
                raise Unfit(f"{_PLAIN_ONLY[name]} is not built yet: write {name}=disable")
            return
        kinds = ((_PLACES, self.places), (_TLS, self.tls), (_CHOICE, self.choice), (_PARAMETERS, self.parameters))
        said = next(said for names, said in kinds if name in names)
        if name in said:
            raise Unfit(f"the option {name} says again what was said before")
        said[name] = value

    def upstream(self) -> Upstream:
        """What all of it means."""
        return _upstream(self.places, self.parameters, _tls_options(self.tls), _choice(self.choice))


def _query(query: str, said: _Said) -> None:
    for number, option in enumerate(query.split("&") if query else (), 1):
        name, equals, encoded = option.partition("=")
        if not equals:
            raise Unfit("each option after the ? has the form name=value")
        if name not in _OPTIONS and name not in _INSTEAD:
            # The name is not repeated: an unescaped ? or & of a password makes what follows look like one.
            raise Unfit(f"option {number} after the ? is unknown{did_you_mean(name, _OPTIONS)}")
        said.take(name, _decode(encoded, f"the option {name}"))


def _choice(said: dict[str, str]) -> HostChoice:
    return HostChoice(
        _one_of(TargetSessionAttrs, "target_session_attrs", said) or TargetSessionAttrs.ANY,
        _one_of(LoadBalanceHosts, "load_balance_hosts", said) or LoadBalanceHosts.DISABLE,
    )


def _tls_options(said: dict[str, str]) -> TlsOptions:
    for name in ("sslrootcert", "sslcert", "sslkey"):
        if said.get(name) == "":
            raise Unfit(f"the option {name} names no file")
    return TlsOptions(
        sslmode=_one_of(SslMode, "sslmode", said),
        sslnegotiation=_one_of(SslNegotiation, "sslnegotiation", said),
        channel_binding=_one_of(ChannelBinding, "channel_binding", said),
        require_auth=_methods(said["require_auth"]) if said.get("require_auth") else None,
        sslrootcert=said.get("sslrootcert"),
        sslcert=said.get("sslcert"),
        sslkey=said.get("sslkey"),
    )


def _methods(text: str) -> frozenset[str]:
    """What a server may ask for: those that are listed, or all but those that are listed with a ! before each."""
    words = [word.strip() for word in text.split(",")]
    named = frozenset(word.removeprefix("!") for word in words)
    denied = [word.startswith("!") for word in words]
    if not named <= AUTH_METHODS:
        raise Unfit(
            f"the option require_auth may name {', '.join(sorted(AUTH_METHODS))}, each with a ! before it or none"
        )
    if any(denied) and not all(denied):
        raise Unfit("the option require_auth has a ! before some of its methods: it belongs before all, or none")
    allowed = AUTH_METHODS - named if any(denied) else named
    if not allowed:
        raise Unfit("the option require_auth leaves no method")
    return allowed


def _one_of(enumeration: type[E], name: str, said: dict[str, str]) -> E | None:
    if name not in said:
        return None
    try:
        return enumeration(said[name])
    except ValueError:
        offered = ", ".join(member.value for member in enumeration)
        raise Unfit(f"the option {name} must be one of {offered}") from None


def _upstream(parts: dict[str, str], parameters: dict[str, str], tls: TlsOptions, choice: HostChoice) -> Upstream:
    first, *others = hosts_of(parts)
    password = parts.get("password")
    if password is not None and not parts.get("user"):
        raise Unfit("it has a password, but no user name")
    return Upstream(
        host=first.host,
        port=first.port,
        dbname=parts.get("dbname") or None,
        user=parts.get("user") or None,
        # libpq takes an empty password for none.
        password=Secret(password) if password else None,
        parameters=tuple(parameters.items()),
        tls=tls,
        other_hosts=tuple(others),
        choice=choice,
    )


def _parse_upstream(value: object) -> Upstream:
    if not isinstance(value, str):
        raise Unfit
    return parse_dsn(value)


upstream: Kind[Upstream] = Kind(
    "connection string",
    "a connection string of the form postgresql://USER:PASSWORD@HOST:PORT/DBNAME",
    _parse_upstream,
    secret=True,
)


def _parse_upstreams(value: object) -> tuple[Upstream, ...]:
    if not isinstance(value, list):
        raise Unfit
    return tuple(_parse_upstream(item) for item in value)


upstreams: Kind[tuple[Upstream, ...]] = Kind(
    "connection strings",
    "an array of connection strings of the form postgresql://USER:PASSWORD@HOST:PORT/DBNAME",
    _parse_upstreams,
    secret=True,
)
