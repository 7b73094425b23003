"""Values of our own against PostgreSQL: it reads them as they were meant, and would have sent the same bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.protocol.datatypes import Interval, PythonValue, RawJson, find_type
from interceptor.protocol.text_style import TextStyle
from interceptor.protocol.values import decode_value, encode_binary, encode_text
from interceptor.testing.postgres import PostgresServer

BERLIN = ZoneInfo("Europe/Berlin")

VALUES: dict[str, list[PythonValue]] = {
    "bool": [True, False],
    "int2": [0, -32768, 32767],
    "int4": [0, -(2**31), 2**31 - 1],
    "int8": [0, -(2**63), 2**63 - 1],
    "oid": [0, 2**32 - 1],
    "float4": [0.0, -0.0, 1.5, 0.1, 1e20, 1e-20, 123456.7, 1234567.0, 16777216.0, 3.4028235e38, 1e-45, math.inf,
               -math.inf, math.nan, 1e5, 1e6, 0.0001, 0.00001],
    "float8": [0.0, -0.0, 1.5, 0.1, 1e15, 1e14, 123456789012345.0, 1234567890123456.0, 1e-4, 1e-5, 5e-324,
               1.7976931348623157e308, math.inf, -math.inf, math.nan, 100, Decimal("2.5"), 1 / 3, 1e22],
    "numeric": [0, 1, -1, Decimal("0.0"), Decimal("-0.00"), Decimal("1.10"), Decimal("-123456789.000123"), 10**40,
                Decimal("1e-20"), Decimal("1E+3"), Decimal("NaN"), Decimal("-NaN"), Decimal("Infinity"),
                Decimal("-Infinity"), 0.1, 10000,
                Decimal("10000.0001"), Decimal("0.0001"), Decimal("0.00010000"), Decimal("12345678.9")],
    "text": ["", "abc", "Grüße, 世界 🐘", "a\nb\tc", 'quote " and \\ back'],
    "varchar": ["", "abc"],
    "bytea": [b"", b"\x00\xff\\'a", bytearray(b"abc"), memoryview(b"xyz"), bytes(range(256))],
    "date": [date(1, 1, 1), date(1999, 12, 31), date(2000, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "time": [time(0), time(23, 59, 59, 999999), time(12, 30, 15, 120000), time(1, 2, 3)],
    "timestamp": [datetime(1, 1, 1), datetime(2000, 1, 1), datetime(2024, 2, 29, 23, 59, 59, 123000),
                  datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1969, 7, 20, 20, 17, 40, 1)],
    "timestamptz": [datetime(2024, 7, 1, 12, tzinfo=UTC), datetime(2024, 1, 1, 0, 30, tzinfo=BERLIN),
                    datetime(1890, 1, 1, tzinfo=UTC),
                    datetime(2024, 1, 1, 1, 1, 1, 500, timezone(timedelta(hours=-3)))],
    "interval": [timedelta(0), timedelta(days=1), timedelta(hours=-1), timedelta(days=-1, hours=3, microseconds=5),
                 timedelta(seconds=1.5), Interval(14, 3, 4_000_001), Interval(-14, 3, -4_000_000), Interval(1),
                 Interval(-1), Interval(12), Interval(0, 1), Interval(0, -1, 3_600_000_000), Interval(0, 0, 1_000_000),
                 Interval(0, 0, -1_000_000), Interval(0, 0, 500_000), Interval(-25, -3, -3_723_000_004),
                 Interval(0, 0, 1000 * 3_600_000_000), Interval(13, -2, 0), Interval(2, 0, -1),
                 Interval(0, 1, 1_500_000)],
    "uuid": [UUID(int=0), UUID("12345678-1234-5678-1234-567812345678")],
    "json": [{"b": 1, "a": [None, True, 1.5, "x"]}, [], "text", None, RawJson(' {"kept":  1}')],
    "jsonb": [{"bb": 1, "a": [None, True, 1.5, "ü\n\"\\\u0001"], "aa": {}}, [], "text", 5, Decimal("1.500"), 1e20,
              RawJson('{"a": 1}')],
    "int4[]": [[], [1], [1, None, 3], [[1, 2], [3, None]], [[[1]]], (5, 6)],
    "text[]": [["", "null", "NULL", "a b", 'q"q', "b\\s", "{}", "a,b", None, "\t", "plain", "\u00a0"]],
    "bool[]": [[True, None, False]],
    "numeric[]": [[Decimal("1.10"), None, 3]],
    "timestamp[]": [[datetime(2024, 1, 1, 12)]],
    "interval[]": [[timedelta(days=1), Interval(1, 1, 1)]],
    "jsonb[]": [[{"a": 1}, [1, 2], "x", None]],
    "bytea[]": [[b"a", b"\\"]],
    "float8[]": [[1.0, math.nan]],
    "uuid[]": [[UUID(int=1)]],
    "date[]": [[date(2024, 1, 1)]],
}  # fmt: skip

CASES = [
    pytest.param(name, value, id=f"{name}-{number}")
    for name, values in VALUES.items()
    for number, value in enumerate(values)
    if value is not None
]

STYLES = [
    {"datestyle": "ISO, MDY", "intervalstyle": "postgres", "timezone": "UTC"},
    {"datestyle": "SQL, DMY", "intervalstyle": "sql_standard", "timezone": "Europe/Berlin", "extra_float_digits": "0"},
    {"datestyle": "SQL, MDY", "intervalstyle": "iso_8601", "timezone": "Asia/Kolkata", "bytea_output": "escape"},
    {"datestyle": "Postgres, DMY", "intervalstyle": "postgres_verbose", "timezone": "America/New_York"},
    {"datestyle": "Postgres, MDY", "intervalstyle": "postgres_verbose", "timezone": "UTC", "extra_float_digits": "-3"},
    {"datestyle": "German, DMY", "intervalstyle": "postgres", "timezone": "Europe/Berlin", "extra_float_digits": "3"},
]


@pytest.fixture(scope="module")
def connection(postgres: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as made:
        yield made


def echo(connection: psycopg.Connection, name: str, data: bytes, format: int, result_format: int) -> bytes:
    """What PostgreSQL sends back for a value of this type."""
    oid = find_type(name).oid
    result = connection.pgconn.exec_params(b"SELECT $1", [data], [oid], [format], result_format)
    assert result.status == psycopg.pq.ExecStatus.TUPLES_OK, result.error_message
    assert result.ftype(0) == oid
    found = result.get_value(0, 0)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "value"), CASES)
def test_postgresql_would_send_the_same(connection: psycopg.Connection, name: str, value: PythonValue) -> None:
    reference = find_type(name)
    text, binary = encode_text(reference, value), encode_binary(reference, value)
    connection.execute("SET TimeZone = 'UTC'")
    assert echo(connection, name, binary, 1, 1) == binary
    assert echo(connection, name, binary, 1, 0) == text
    assert echo(connection, name, text, 0, 0) == text
    if name not in ("float4", "float4[]", "json"):
        assert echo(connection, name, text, 0, 1) == binary


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style["datestyle"])
def test_text_follows_the_settings_of_the_session(connection: psycopg.Connection, style: dict[str, str]) -> None:
    for setting, wanted in {"bytea_output": "hex", "extra_float_digits": "1", **style}.items():
        connection.execute(f"SET {setting} = '{wanted}'")
    shown = connection.execute("SELECT lower(name), setting FROM pg_settings WHERE name ~* 'datestyle|intervalstyle'")
    reported = style | {str(name): str(setting) for name, setting in shown}
    ours = TextStyle.of(reported)
    try:
        for name, values in VALUES.items():
            for value in values:
                if value is not None:
                    reference = find_type(name)
                    binary = encode_binary(reference, value)
                    assert encode_text(reference, value, ours) == echo(connection, name, binary, 1, 0), (name, value)
    finally:
        connection.execute("RESET ALL")


def as_float4(value: int) -> float:
    (rounded,) = struct.unpack("f", struct.pack("f", value))
    assert isinstance(rounded, float)
    return rounded


@given(st.one_of(st.floats(width=64), st.integers(2**52, 2**80).map(float)))
@settings(deadline=None)
def test_any_float8(connection: psycopg.Connection, value: float) -> None:
    reference = find_type("float8")
    assert echo(connection, "float8", encode_binary(reference, value), 1, 0) == encode_text(reference, value)


@given(st.one_of(st.floats(width=32), st.integers(2**23, 2**40).map(as_float4)))
@settings(deadline=None)
def test_any_float4(connection: psycopg.Connection, value: float) -> None:
    reference = find_type("float4")
    assert echo(connection, "float4", encode_binary(reference, value), 1, 0) == encode_text(reference, value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
@settings(deadline=None)
def test_any_numeric(connection: psycopg.Connection, value: Decimal) -> None:
    reference = find_type("numeric")
    if abs(value.adjusted()) > 16000 or not -16000 < int(value.as_tuple().exponent) < 16000:
        return
    binary = encode_binary(reference, value)
    assert echo(connection, "numeric", binary, 1, 1) == binary
    assert echo(connection, "numeric", binary, 1, 0) == encode_text(reference, value)
    assert decode_value(reference.oid, 1, binary) == value


@given(st.builds(Interval, *[st.integers(-(2**31) + 1, 2**31 - 1)] * 2, st.integers(-(2**62), 2**62)))
@settings(deadline=None)
def test_any_interval(connection: psycopg.Connection, value: Interval) -> None:
    reference = find_type("interval")
    binary = encode_binary(reference, value)
    for name in ("postgres", "sql_standard", "iso_8601", "postgres_verbose"):
        connection.execute(f"SET intervalstyle = {name}")
        assert encode_text(reference, value, TextStyle(interval_style=name)) == echo(
            connection, "interval", binary, 1, 0
        )
    connection.execute("RESET intervalstyle")


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))))
@settings(deadline=None)
def test_any_array_of_texts(connection: psycopg.Connection, value: list[PythonValue]) -> None:
    reference = find_type("text[]")
    binary = encode_binary(reference, value)
    text = encode_text(reference, value)
    assert echo(connection, "text[]", binary, 1, 0) == text
    assert echo(connection, "text[]", text, 0, 1) == binary
    assert decode_value(reference.oid, 0, text) == decode_value(reference.oid, 1, binary) == value


@pytest.mark.parametrize(("name", "value"), CASES)
@pytest.mark.parametrize("format", [0, 1])
def test_what_was_encoded_is_read_again(name: str, value: PythonValue, format: int) -> None:
    reference = find_type(name)
    data = (encode_binary if format else encode_text)(reference, value)
    found = decode_value(reference.oid, format, data)
    if isinstance(value, (RawJson, Decimal)) and name.startswith("json"):
        assert isinstance(found, (dict, float))
        return
    # Not each type of Python comes back as it went, but it stands for the same value.
    assert (encode_binary if format else encode_text)(reference, found) == data


# --- What doesn't fit -----------------------------------------------------------------------------------------------

BAD: list[tuple[str, PythonValue, str]] = [
    ("bool", 1, "bool takes True or False, and not a value of the type int"),
    ("int2", 32768, "32768 is out of the range of int2"),
    ("int4", -(2**31) - 1, "-2147483649 is out of the range of int4"),
    ("int4", True, "int4 takes an int, and not a value of the type bool"),
    ("int4", "1", "int4 takes an int, and not a value of the type str"),
    ("int8", 1.0, "int8 takes an int, and not a value of the type float"),
    ("oid", -1, "-1 is out of the range of oid"),
    ("float4", 1e39, "1e+39 is out of the range of float4"),
    ("float8", 10**400, "is out of the range of float8"),
    ("numeric", "1", "numeric takes a Decimal, int or float, and not a value of the type str"),
    ("numeric(4,2)", Decimal("1.005"), "a number with 3 decimal places is too fine for numeric(4,2)"),
    ("numeric(4,2)", 100, "this is out of the range of numeric(4,2)"),
    ("numeric", Decimal("1e200000"), "this is out of the range of numeric"),
    ("numeric", Decimal("sNaN"), "a signaling NaN can't be a numeric"),
    ("text", "a\0b", "a text in PostgreSQL can't have a NUL character"),
    ("text", b"abc", "text takes a str, and not a value of the type bytes"),
    ("text", "\ud800", "the client's encoding utf-8 has no '\\ud800'"),
    ("varchar(2)", "abc", "a text of 3 characters is too long for varchar(2)"),
    ("bytea", "abc", "bytea takes bytes, and not a value of the type str"),
    ("date", datetime(2024, 1, 1), "date takes a date, and not a value of the type datetime"),
    ("time", time(1, tzinfo=UTC), "time takes a time without a zone, and not a value of the type time"),
    ("timestamp", datetime(2024, 1, 1, tzinfo=UTC), "timestamp takes a datetime without a zone"),
    ("timestamptz", datetime(2024, 1, 1), "timestamptz takes a datetime with a zone"),
    ("timestamp(3)", datetime(2024, 1, 1, 0, 0, 0, 1), "a time with microseconds is too fine for timestamp(3)"),
    ("interval", 5, "interval takes a timedelta or an Interval, and not a value of the type int"),
    ("interval", Interval(2**31), "this is out of the range of interval"),
    ("uuid", "x", "uuid takes a UUID, and not a value of the type str"),
    ("json", math.nan, "this can't be written as JSON"),
    ("jsonb", {"a": object()}, "this can't be written as JSON"),  # type: ignore[dict-item]
    ("jsonb", "a\0", "a text in jsonb can't have a NUL character"),
    ("int4[]", 5, "an array takes a list, and not a value of the type int"),
    ("int4[]", [1, "x"], "int4 takes an int, and not a value of the type str"),
    ("int4[]", [[1], [2, 3]], "the lists in a list must all have the same length"),
    ("int4[]", [1, [2]], "the lists in a list must all have the same length"),
    ("int4[]", [[[[[[[1]]]]]]], "an array has at most 6 dimensions"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
@pytest.mark.parametrize("encode", [encode_text, encode_binary])
def test_what_does_not_fit_is_a_clear_error(name: str, value: PythonValue, message: str, encode: object) -> None:
    assert callable(encode)
    with pytest.raises(ValueError, match=r".") as raised:
        encode(find_type(name), value)
    assert message in str(raised.value)


def test_scale_is_that_of_the_type() -> None:
    assert encode_text(find_type("numeric(10,3)"), Decimal("1.5")) == b"1.500"
    assert encode_text(find_type("numeric(10,3)[]"), [2]) == b"{2.000}"


def test_text_is_in_the_clients_encoding() -> None:
    latin = TextStyle.of({"client_encoding": "LATIN1"})
    assert encode_text(find_type("text"), "ü", latin) == encode_binary(find_type("text"), "ü", latin) == b"\xfc"
    with pytest.raises(ValueError, match="encoding LATIN1 has no '世'"):
        encode_text(find_type("text"), "世", latin)
    with pytest.raises(ValueError, match="encoding KLINGON"):
        TextStyle.of({"client_encoding": "KLINGON"})
    with pytest.raises(ValueError, match="time zone Nowhere/Land"):
        TextStyle.of({"timezone": "Nowhere/Land"})


@pytest.mark.parametrize(
    ("name", "format", "data"),
    [
        ("int4", 1, b"\0\0"), ("int4", 0, b"x"), ("bool", 1, b""), ("bool", 0, b"maybe"), ("numeric", 1, b"\0"),
        ("int4[]", 1, b"\0\0\0\x09\0\0\0\0\0\0\0\x17"), 
        ("int4[]", 1, b"\0\0\0\x01\0\0\0\0\0\0\0\x17\x7f\xff\xff\xff\0\0\0\x01"),
        ("int4[]", 0, b"{1"), ("int4[]", 0, b"{1}}"), ("int4[]", 0, b"{{"), ("int4[]", 0, b""),
        ("int4[]", 0, b"{1}{2}"),
        ("int4[]", 0, b"{,}"), ("uuid", 1, b"abc"), ("jsonb", 1, b"\2{}"), ("json", 0, b"[" * 100_000),
        ("text", 1, b"\xff"),
        ("timestamptz", 0, b"2024-01-01 00:00:00"), ("interval", 0, b"a while"), ("time", 0, b"25:00"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_a_clear_error(name: str, format: int, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^this is no (text|binary) of the type "):
        decode_value(find_type(name).oid, format, data)


def test_unknown_types_are_their_text() -> None:
    assert decode_value(0, 0, b"abc") == "abc"
    with pytest.raises(ValueError, match="OID 12345"):
        decode_value(12345, 1, b"abc")


def test_names_of_types() -> None:
    assert find_type("varchar(20)").modifier == 24
    assert find_type("double precision").oid == 701
    assert find_type("Timestamp With Time Zone").name == "timestamptz"
    for wrong in ("", "money", "int4(3)", "varchar(0)", "numeric(0)", "int4[][]", "numeric(1001)"):
        with pytest.raises(ValueError, match="type"):
            find_type(wrong)


def test_types_are_those_of_postgresql(connection: psycopg.Connection) -> None:
    from interceptor.protocol.datatypes import TYPES

    rows = connection.execute(
        "SELECT typname, oid::int8, typarray::int8, typlen::int FROM pg_type WHERE typname = ANY(%s)", [list(TYPES)]
    ).fetchall()
    assert sorted(rows) == sorted((one.name, one.oid, one.array_oid, one.size) for one in TYPES.values())


@pytest.mark.parametrize("name", ["varchar(20)", "numeric(10,2)", "numeric(5)", "time(3)", "timestamptz(0)", "int4[]"])
def test_modifiers_are_those_of_postgresql(connection: psycopg.Connection, name: str) -> None:
    result = connection.pgconn.exec_(f"SELECT NULL::{name}".encode())
    assert (result.ftype(0), result.fmod(0), result.fsize(0)) == (
        find_type(name).oid, find_type(name).modifier, find_type(name).size
    )  # fmt: skip
