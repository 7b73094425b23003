"""Results of our own as messages, against those that PostgreSQL sends for the same rows."""

from __future__ import annotations

import pytest

from interceptor.protocol.datatypes import PythonValue, find_type
from interceptor.protocol.messages import encode_message
from interceptor.protocol.rows import (
    ColumnDescription,
    RowEncoder,
    encode_command_complete,
    encode_error_fields,
    encode_parameter_description,
    encode_row_description,
    spread_formats,
)
from interceptor.testing.postgres import PostgresServer
from tests.support.backend import decode_error
from tests.support.frontend import bind, describe_portal, describe_statement, execute, parse, sync
from tests.support.wire import Endpoint, WireClient

COLUMNS = [
    ColumnDescription("number", find_type("int4")),
    ColumnDescription("Text column", find_type("varchar(7)")),
    ColumnDescription("n", find_type("numeric(10,2)")),
    ColumnDescription("list", find_type("text[]")),
]
SQL = """
SELECT $1::int4 AS number, 'abc'::varchar(7) AS "Text column", NULL::numeric(10,2) AS n, '{a,NULL}'::text[] AS list
"""
ROW: tuple[PythonValue, ...] = (5, "abc", None, ["a", None])


@pytest.mark.parametrize("formats", [(), (0,), (1,), (1, 0, 1, 0)])
def test_messages_are_those_of_postgresql(postgres18: PostgresServer, formats: tuple[int, ...]) -> None:
    with WireClient.connect(Endpoint(postgres18.host, postgres18.port, "postgres")) as client:
        before = len(client.replies)
        client.send(parse(SQL), describe_statement(), bind([b"5"], results=formats), describe_portal())
        client.send(execute(), sync())
        client.read_until_ready(2)
        replies = client.replies[before:]
    expected = [
        encode_parameter_description([23]),
        encode_row_description(COLUMNS),
        encode_row_description(COLUMNS, formats),
        RowEncoder(COLUMNS, formats).encode(ROW),
        encode_command_complete("SELECT 1"),
    ]
    assert not [str(one) for one in replies if one.tag == b"E"]
    assert [encode_message(one.tag[0], one.body) for one in replies if one.tag in b"tTDC"] == expected


def test_formats_are_spread_as_bind_says() -> None:
    assert spread_formats((), 2) == (0, 0)
    assert spread_formats((1,), 2) == (1, 1)
    assert spread_formats((1, 0), 2) == (1, 0)
    assert spread_formats((), 0) == ()
    for wrong in ((1, 0), (0, 0, 0, 0)):
        with pytest.raises(ValueError, match=f"has {len(wrong)} result formats but query has 3 columns"):
            RowEncoder(COLUMNS[:3], wrong)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((5, "abc", None), "a row has 3 values where there are 4 columns"),
        ("abcd", "a row is a list or a tuple of values, and not a str"),
        ({"number": 5}, "a row is a list or a tuple of values, and not a dict"),
        ((5, "too long for it", None, []), 'column "Text column": a text of 15 characters is too long for varchar(7)'),
        ((5, "abc", None, [1]), 'column "list": text takes a str, and not a value of the type int'),
    ],
)
def test_a_row_that_does_not_fit_names_its_column(row: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        RowEncoder(COLUMNS).encode(row)  # type: ignore[arg-type]
    assert str(raised.value) == message


def test_a_result_has_as_many_columns_as_postgresql_allows() -> None:
    encode_row_description(COLUMNS[:1] * 1664)
    with pytest.raises(ValueError, match="at most 1664 columns, and not 1665"):
        encode_row_description(COLUMNS[:1] * 1665)


def test_an_error_has_the_fields_that_are_there_and_no_others() -> None:
    message = encode_error_fields([("S", "ERROR"), ("C", "23514"), ("M", "no\0Cgood"), ("H", ""), ("c", "email")])
    fields = decode_error(message[5:])
    assert fields == {"S": "ERROR", "C": "23514", "M": "noCgood", "c": "email"}
