"""Where a PostgreSQL server is and how to log in there: ``postgresql://user:secret@host:port/dbname?option=value``.

The form is libpq's connection URI (PostgreSQL manual, 34.1.1.2). No error here repeats a part of the text, since a
password in which a character was not escaped ends up in whatever part follows it.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from pooler.config.secret import Secret
from pooler.config.suggest import did_you_mean
from pooler.config.tls import ChannelBinding, SslMode, SslNegotiation
from pooler.config.values import Kind, Unfit

__all__ = ["DEFAULT_PORT", "SCHEMES", "TlsOptions", "Upstream", "parse_dsn", "upstream", "upstreams"]

E = TypeVar("E", bound=enum.StrEnum)

DEFAULT_PORT = 5432
SCHEMES = ("postgresql://", "postgres://")

# What PostgreSQL takes in a StartupMessage and a pool may set for all of its connections.
_PARAMETERS = ("application_name", "client_encoding", "datestyle", "timezone", "options")
_PLACES = ("host", "port", "user", "password", "dbname")
_PLAIN_ONLY = {"gssencmode": "GSSAPI encryption"}
_TLS = ("sslmode", "sslnegotiation", "channel_binding", "sslrootcert", "sslcert", "sslkey")
_INSTEAD = {
    "connect_timeout": "use the setting server_connect_timeout",
    "target_session_attrs": "servers are not chosen by their state yet",
    "load_balance_hosts": "a primary is one host",
    "hostaddr": "use host, which may be an address",
    "sslcrl": "lists of revoked certificates are not read",
    "sslpassword": "store the key without a passphrase, readable by the proxy's user alone",
    "sslsni": "a host name is always told to the server",
    "ssl_min_protocol_version": "use the setting server_tls_protocols",
    "ssl_max_protocol_version": "use the setting server_tls_protocols",
}
_OPTIONS = (*_PLACES, *_PARAMETERS, *_TLS, *_PLAIN_ONLY)
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


@dataclass(frozen=True, slots=True)
class Upstream:
    """A PostgreSQL server, and the login there.

    ``host`` is a name, an address without brackets, or, beginning with "/", the directory of a Unix socket.
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


def parse_dsn(dsn: str) -> Upstream:
    """Parse a connection URI. Raises Unfit, whose text holds no part of the URI's login."""
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
    tls: dict[str, str] = {}
    parameters = _query(query, parts, tls)
    return _upstream(parts, parameters, _tls_options(tls))


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
    if "," in address:
        raise Unfit("a primary is one host: several hosts, separated by commas, are not built yet")
    if address.startswith("["):
        host, bracket, port = address[1:].partition("]")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise Unfit("an IPv6 address belongs between the brackets") from None
        if not bracket or (port and not port.startswith(":")):
            raise Unfit("after the ] of an IPv6 address only :PORT may follow")
        port = port[1:]
    else:
        host, _, port = address.partition(":")
        if ":" in port:
            raise Unfit("an IPv6 address must stand in brackets, as in [::1]:5432")
    parts = {"host": _decode(host, "the host")} if host else {}
    return parts | ({"port": port} if port else {})


def _query(query: str, parts: dict[str, str], tls: dict[str, str]) -> dict[str, str]:
    """Put options that say where into ``parts``, those about TLS into ``tls``, and give back startup parameters."""
    parameters: dict[str, str] = {}
    seen: set[str] = set()
    for number, option in enumerate(query.split("&") if query else (), 1):
        name, equals, encoded = option.partition("=")
        if not equals:
            raise Unfit("each option after the ? has the form name=value")
        if name not in _OPTIONS and name not in _INSTEAD:
            # The name is not repeated: an unescaped ? or & of a password makes what follows look like one.
            raise Unfit(f"option {number} after the ? is unknown{did_you_mean(name, _OPTIONS)}")
        value = _decode(encoded, f"the option {name}")
        if name in seen or name in parts:
            raise Unfit(f"the option {name} says again what was said before")
        seen.add(name)
        if name in _PLACES:
            parts[name] = value
        elif name in _TLS:
            tls[name] = value
        elif name in _PARAMETERS:
            parameters[name] = value
        elif name in _INSTEAD:
            raise Unfit(f"there is no option {name} here: {_INSTEAD[name]}")
        elif value != "disable":
            raise Unfit(f"{_PLAIN_ONLY[name]} is not built yet: write {name}=disable")
    return parameters


def _tls_options(said: dict[str, str]) -> TlsOptions:
    for name in ("sslrootcert", "sslcert", "sslkey"):
        if said.get(name) == "":
            raise Unfit(f"the option {name} names no file")
    return TlsOptions(
        sslmode=_one_of(SslMode, "sslmode", said),
        sslnegotiation=_one_of(SslNegotiation, "sslnegotiation", said),
        channel_binding=_one_of(ChannelBinding, "channel_binding", said),
        sslrootcert=said.get("sslrootcert"),
        sslcert=said.get("sslcert"),
        sslkey=said.get("sslkey"),
    )


def _one_of(enumeration: type[E], name: str, said: dict[str, str]) -> E | None:
    if name not in said:
        return None
    try:
        return enumeration(said[name])
    except ValueError:
        offered = ", ".join(member.value for member in enumeration)
        raise Unfit(f"the option {name} must be one of {offered}") from None


def _upstream(parts: dict[str, str], parameters: dict[str, str], tls: TlsOptions) -> Upstream:
    host, port, password = parts.get("host"), parts.get("port", str(DEFAULT_PORT)), parts.get("password")
    if not host:
        raise Unfit("it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port[:6]) <= 65535:
        raise Unfit("the port must be a number from 1 to 65535")
    if password is not None and not parts.get("user"):
        raise Unfit("it has a password, but no user name")
    return Upstream(
        host=host,
        port=int(port),
        dbname=parts.get("dbname") or None,
        user=parts.get("user") or None,
        # libpq takes an empty password for none.
        password=Secret(password) if password else None,
        parameters=tuple(parameters.items()),
        tls=tls,
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
