"""Cutting of parts, and how scripts read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.frontend import query, sync
from tests.support.script import EVERY_MODE, NOT_STATEMENT, Part, PoolMode, no_wait, part, stream


@given(cuts=st.lists(st.integers(-50, 50)), bytewise=st.booleans())
def test_the_pieces_are_the_whole(cuts: list[int], bytewise: bool) -> None:
    each = part(query("SELECT 1"), sync(), cuts=cuts, bytewise=bytewise)
    assert b"".join(each.pieces()) == each.data
    assert all(each.pieces())
    if bytewise:
        assert len(each.pieces()) == len(each.data)


def test_cuts_are_where_they_are_asked_for() -> None:
    assert part(query("SELECT 1"), cuts=[1, 5]).pieces() == [b"Q", b"\0\0\0\r", b"SELECT 1\0"]
    assert Part(()).pieces() == [b""]


def test_a_bare_message_waits() -> None:
    script = stream("two", query("SELECT 1"), no_wait(query("SELECT 2")))
    assert [each.wait for each in script.parts] == [True, False]
    assert [message.note for message in script.messages] == ["'SELECT 1'", "'SELECT 2'"]


def test_modes() -> None:
    assert PoolMode.STATEMENT in EVERY_MODE
    assert PoolMode.STATEMENT not in NOT_STATEMENT


def test_a_script_reads_like_one() -> None:
    text = str(stream("name", part(query("SELECT 1"), cuts=[3]), no_wait(sync())))
    assert "> Query 'SELECT 1'\n  wait (cut at [3])\n  > Sync\n  go on" in text
