"""What servers report of their settings, as values."""

from __future__ import annotations

import pytest

from interceptor.session.reported import reported_of
from tests.support.recorder import message


def test_equal_reports_are_one_object() -> None:
    one = reported_of({b"TimeZone": b"UTC", b"DateStyle": b"ISO"})
    assert reported_of({b"DateStyle": b"ISO", b"TimeZone": b"UTC"}) is one
    assert one.changed(b"TimeZone", b"UTC") is one
    assert one.changed(b"TimeZone", b"CET").changed(b"TimeZone", b"UTC") is one


def test_a_change_leaves_the_rest() -> None:
    one = reported_of({b"TimeZone": b"UTC", b"DateStyle": b"ISO"})
    assert one.changed(b"TimeZone", b"CET").values == {b"TimeZone": b"CET", b"DateStyle": b"ISO"}
    assert one.changed(b"is_superuser", b"on").values == {**one.values, b"is_superuser": b"on"}
    assert one.values == {b"TimeZone": b"UTC", b"DateStyle": b"ISO"}


def test_only_news_are_told() -> None:
    told = reported_of({b"TimeZone": b"UTC", b"DateStyle": b"ISO", b"application_name": b"a"})
    now = told.changed(b"TimeZone", b"CET").changed(b"application_name", b"")
    assert now.news_since(told) == message("S", b"TimeZone\0CET\0") + message("S", b"application_name\0\0")
    assert told.news_since(told) == b""


def test_a_setting_that_is_new_to_the_client_is_told() -> None:
    assert reported_of({b"a": b"1"}).news_since(reported_of({})) == message("S", b"a\x001\0")


@pytest.mark.parametrize(
    ("conforming", "encoding", "standard"),
    [
        (b"on", b"UTF8", True),
        (b"on", b"LATIN1", True),
        (b"off", b"UTF8", False),
        *[(b"on", unsafe, False) for unsafe in (b"SJIS", b"SHIFT_JIS_2004", b"BIG5", b"GBK", b"UHC", b"JOHAB")],
        (b"on", b"GB18030", False),
    ],
)
def test_how_sql_reads(conforming: bytes, encoding: bytes, standard: bool) -> None:
    reported = reported_of({b"standard_conforming_strings": conforming, b"client_encoding": encoding})
    assert reported.standard_lexing is standard


def test_a_server_that_does_not_say_how_sql_reads_is_not_trusted() -> None:
    assert not reported_of({b"client_encoding": b"UTF8"}).standard_lexing


def test_no_value_is_in_the_repr() -> None:
    assert repr(reported_of({b"application_name": b"secret"})) == "Reported(1 settings)"
