"""What a backend is asked about its session, where the text of a statement does not tell what it left there.

All names are qualified, operators too: under a client's search_path, ``=`` may be anybody's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from interceptor.protocol.messages import QUERY, encode_message
from interceptor.session.settings import MAX_SETTINGS_BYTES, quote
from interceptor.sql.effects import Effect
from interceptor.sql.gucs import OF_TRANSACTION

MAX_CARRIED: Final = 1000
"""Statements made by SQL's PREPARE, or beside it, that are asked for by name. A client with more keeps its backend."""

MAX_CARRIED_BYTES: Final = 16 * 1024
"""Bytes of text of one of them."""

_EQ: Final = b"OPERATOR(pg_catalog.=)"
_NE: Final = b"OPERATOR(pg_catalog.<>)"


def _hex(value: bytes) -> bytes:
    """An expression for the bytes of a text in the database's encoding, whatever the client's; cut off if too long."""
    return (
        b'pg_catalog.encode(pg_catalog.convert_to(pg_catalog."left"(%b, %d), '
        b"pg_catalog.getdatabaseencoding()), 'hex')" % (value, MAX_SETTINGS_BYTES + 1)
    )


def _has(effect: Effect, condition: bytes) -> bytes:
    return b"UNION ALL SELECT 'has', '%b', NULL, NULL WHERE %b\n" % (effect.name.encode(), condition)


_SETTINGS: Final = (
    # MATERIALIZED, for pg_settings lists all settings each time that it is looked at.
    b"WITH g AS MATERIALIZED (SELECT pg_catalog.lower(name) AS name, setting, source FROM pg_catalog.pg_settings\n"
    b"  WHERE source " + _EQ + b" 'session' OR name OPERATOR(pg_catalog.~~) '%%.%%')\n"
    b"SELECT 'set', g.name, " + _hex(b"g.setting") + b", NULL::pg_catalog.text FROM g WHERE g.source "
    + _EQ
    + b" 'session'\n"
    # Settings that no library knows are in no list: whoever wants to know has to know their names.
    b"UNION ALL SELECT 'set', c.name, " + _hex(b"c.setting") + b", NULL FROM (SELECT n.name,\n"
    b"    pg_catalog.current_setting(n.name, true) AS setting FROM pg_catalog.unnest(%b) AS n (name)) AS c\n"
    b"  WHERE c.setting " + _NE + b" '' AND NOT EXISTS (SELECT FROM g WHERE g.name " + _EQ + b" c.name)\n"
    b"UNION ALL SELECT 'set', 'role', " + _hex(b"pg_catalog.current_setting('role')") + b", NULL\n"
    b"UNION ALL SELECT 'set', 'session_authorization', " + _hex(b"session_user::pg_catalog.text") + b", NULL\n"
    b"  WHERE session_user::pg_catalog.text " + _NE + b" %b\n"
)  # fmt: skip

_RESOURCES: Final = (
    # All that is in a schema depends on it, and pg_depend has an index for that question.
    _has(
        Effect.TEMPORARY_OBJECT,
        b"pg_catalog.pg_my_temp_schema() " + _NE + b" 0 AND EXISTS (SELECT FROM pg_catalog.pg_depend\n"
        b"  WHERE refclassid " + _EQ + b" 2615 AND refobjid " + _EQ + b" pg_catalog.pg_my_temp_schema())",
    )
    + _has(
        Effect.ADVISORY_LOCK,
        b"EXISTS (SELECT FROM pg_catalog.pg_lock_status() WHERE locktype " + _EQ + b" 'advisory'\n"
        b"  AND pid " + _EQ + b" pg_catalog.pg_backend_pid())",
    )
    + _has(Effect.LISTEN, b"EXISTS (SELECT FROM pg_catalog.pg_listening_channels())")
    + _has(Effect.HOLD_CURSOR, b"EXISTS (SELECT FROM pg_catalog.pg_cursor())")
    + _has(Effect.PREPARED_STATEMENT, b"EXISTS (SELECT FROM pg_catalog.pg_prepared_statement() WHERE from_sql)")
    + b"UNION ALL SELECT 'count', '', pg_catalog.count(*)::pg_catalog.text, NULL "
    b"FROM pg_catalog.pg_prepared_statement()\n"
)

_LISTENS: Final = b"interceptor.listens"

_CHANNELS: Final = (
    b"SELECT 'channel', '', " + _hex(b"c.name") + b", NULL\n"
    b"  FROM pg_catalog.pg_listening_channels() AS c (name)\n"
    b"UNION ALL SELECT 'put_back', '', NULL, NULL\n"
    b"  WHERE pg_catalog.current_setting('" + _LISTENS + b"', true) " + _EQ + b" '1'\n"
)  # fmt: skip

UNLISTEN_ALL: Final = encode_message(
    QUERY, b"UNLISTEN *; SELECT pg_catalog.set_config('" + _LISTENS + b"', '', false)\0"
)
"""A Query message that ends what ``ask_for_all`` was told of channels, and with what ``put_back`` was marked."""

_STATEMENTS: Final = (
    b"UNION ALL (SELECT 'statement', name, statement, pg_catalog.array_to_string(\n"
    b"    parameter_types::pg_catalog.oid[], ',') FROM pg_catalog.pg_prepared_statement()\n"
    b"  WHERE NOT from_sql AND pg_catalog.octet_length(statement) OPERATOR(pg_catalog.<=) %d LIMIT %d)\n"
    % (MAX_CARRIED_BYTES, MAX_CARRIED + 1)
)


# One Query is one transaction, at whose end SET LOCAL ends too.
_LIFT_TIMEOUT: Final = b"SELECT 'was', 'statement_timeout', %b, NULL;\nSET LOCAL statement_timeout = 0;\n" % _hex(
    b"pg_catalog.current_setting('statement_timeout')"
)


# What RESET ROLE would give: a startup option, or the settings of a role or a database, may name one.
_BASE_ROLE: Final = b";\nSET LOCAL role TO DEFAULT;\nSELECT 'base', 'role', %b, NULL" % _hex(
    b"pg_catalog.current_setting('role')"
)


@dataclass(slots=True)
class Probed:
    """What a backend has said of its session."""

    settings: dict[str, bytes] = field(default_factory=dict)
    has: set[Effect] = field(default_factory=set)
    """What keeps the client on this backend."""
    base_role: bytes = b""
    """What the role was after login; empty if that was not asked."""
    statement_count: int = 0
    """Of all prepared statements."""
    channels: set[bytes] = field(default_factory=set)
    """What it listens to, in the database's encoding."""
    put_back: bool = False
    """What ``put_back`` has sent stands."""
    statements: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Of those made by Parse: their names, and what would follow the name in a Parse message."""


def ask_for(names: Iterable[str]) -> bytes:
    """A Query message that asks for these settings only."""
    return encode_message(
        QUERY,
        b"SELECT 'set', n.name, %b, NULL FROM pg_catalog.unnest(%b) AS n (name)\n"
        b"  WHERE pg_catalog.current_setting(n.name, true) IS NOT NULL\0"
        % (_hex(b"pg_catalog.current_setting(n.name, true)"), _array(names)),
    )


def ask_for_all(
    names: Iterable[str],
    login: bytes,
    *,
    statements: bool,
    channels: bool = False,
    without_timeout: bool = False,
    base_role: bool = False,
) -> bytes:
    """A Query message that asks for all that may be in a session.

    ``names``: custom settings that may be set. ``login``: who logged in. ``statements``: the text of prepared ones too.
    ``channels``: the names of those that are listened to.
    ``without_timeout``: whatever statement_timeout the client has set. ``base_role``: the role after login, too.
    """
    sql = _SETTINGS % (_array(names), quote(login)) + _RESOURCES
    if channels:
        sql += b"UNION ALL " + _CHANNELS
    if statements:
        sql += _STATEMENTS
    if base_role:
        sql += _BASE_ROLE
    return encode_message(QUERY, (_LIFT_TIMEOUT + sql if without_timeout else sql) + b"\0")


def ask_for_channels() -> bytes:
    """A Query message that asks only which channels a session listens to."""
    return encode_message(QUERY, _CHANNELS + b"\0")


def put_back(channels: Iterable[bytes]) -> list[bytes]:
    """Statements that make a session listen to these again, and mark that they stand."""
    return [
        *(b'LISTEN "%b"' % channel.replace(b'"', b'""') for channel in sorted(channels)),
        b"SELECT pg_catalog.set_config('%b', '1', false)" % _LISTENS,
    ]


def decode_probe(rows: Sequence[bytes]) -> Probed:
    """What the rows of ``ask_for_all`` or ``ask_for`` say."""
    probed = Probed()
    lifted: bytes | None = None
    for row in rows:
        kind, name, value, more = _columns(row)
        if kind == b"set":
            key = name.decode()
            if key not in OF_TRANSACTION:
                probed.settings[key] = bytes.fromhex(value.decode())
        elif kind == b"base":
            probed.base_role = bytes.fromhex(value.decode())
        elif kind == b"was":
            lifted = bytes.fromhex(value.decode())
        elif kind == b"has":
            probed.has.add(Effect[name.decode()])
        elif kind == b"channel":
            probed.channels.add(bytes.fromhex(value.decode()))
        elif kind == b"put_back":
            probed.put_back = True
        elif kind == b"count":
            probed.statement_count = int(value)
        else:
            types = [int(oid) for oid in more.split(b",") if oid]
            body = value + b"\0" + len(types).to_bytes(2, "big") + b"".join([oid.to_bytes(4, "big") for oid in types])
            probed.statements.append((name, body))
    if lifted is not None:
        if lifted == b"0":
            # Nobody could tell whether it was set to that.
            probed.settings.pop("statement_timeout", None)
        else:
            probed.settings["statement_timeout"] = lifted
    return probed


def _array(names: Iterable[str]) -> bytes:
    quoted: Collection[bytes] = [quote(name.encode()) for name in names]
    return b"ARRAY[%b]::pg_catalog.text[]" % b", ".join(quoted)


def _columns(row: bytes) -> list[bytes]:
    """The four columns of a DataRow; NULL is empty."""
    columns = []
    position = 2
    for _ in range(4):
        size = int.from_bytes(row[position : position + 4], "big", signed=True)
        position += 4
        columns.append(row[position : position + size] if size > 0 else b"")
        position += max(size, 0)
    return columns
