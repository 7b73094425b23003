"""What processes write down for each other: rows, the bell, and who has died. Each process is played by a Slate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pooler.processes import slate
from pooler.processes.slate import EVERYWHERE, News, Reading, Slate

PLACE, OTHER = 17, 18
NOTHING = News(frozenset(), frozenset())


@pytest.fixture
def file() -> int:
    return Slate.make_file()


def member(file: int) -> Slate:
    """A process with a row of its own, that has looked."""
    made = Slate(file)
    (row,) = made.claim(1)
    made.sit(row)
    made.look()
    return made


def rung(one: Slate) -> bool:
    return int(one.bell[0]) != one.heard


def test_what_is_begun_and_ended_is_seen_by_others_and_rings(file: int) -> None:
    writer, reader = member(file), member(file)
    reader.look()
    assert not rung(reader)
    written = writer.begin(PLACE)
    assert rung(reader)
    assert reader.look() == News(frozenset({PLACE}), frozenset())
    assert not rung(reader)
    assert writer.begin(PLACE) == written
    writer.end(written)
    assert reader.look() == News(frozenset({PLACE}), frozenset({PLACE}))
    writer.end(written)
    assert rung(reader)
    assert reader.look() == News(frozenset(), frozenset({PLACE}))
    assert reader.look() == NOTHING
    assert writer.look() == NOTHING, "its own is no news"


def test_what_is_defined_is_told_once(file: int) -> None:
    writer, reader = member(file), member(file)
    reader.look()
    for place in (PLACE, OTHER, PLACE):
        writer.define(place)
    assert rung(reader)
    assert reader.look() == News(frozenset(), frozenset({PLACE, OTHER}))
    assert reader.look() == NOTHING


@pytest.mark.parametrize("count", [slate._EVENTS - 2, slate._EVENTS - 1, slate._EVENTS, 3 * slate._EVENTS + 1])
def test_who_missed_too_much_takes_it_for_everything(file: int, count: int) -> None:
    writer, reader = member(file), member(file)
    reader.look()
    writer.define(OTHER)
    for _ in range(count):
        writer.define(PLACE)
    (defined,) = {reader.look().defined}
    assert EVERYWHERE in defined or defined == {PLACE, OTHER}
    assert count < slate._EVENTS - 1 or EVERYWHERE in defined
    writer.define(PLACE)
    assert reader.look().defined == {PLACE}


def test_more_places_than_there_is_room_for_are_all(file: int) -> None:
    writer, reader = member(file), member(file)
    written = [writer.begin(place) for place in range(1, 100)]
    assert written.count(EVERYWHERE) == 99 - (slate._PLACES - 1)
    assert EVERYWHERE in reader.look().changing
    for one in written:
        writer.end(one)
    news = reader.look()
    assert news.changing == frozenset()
    assert EVERYWHERE in news.defined
    assert writer.begin(PLACE) == PLACE, "there is room again"


def test_whoever_takes_a_row_has_what_was_under_way_there(file: int) -> None:
    writer, reader = member(file), member(file)
    (row,) = writer.claim(1)
    assert writer.sit(row) == []
    writer.begin(PLACE)
    writer.begin(PLACE)
    writer.begin(OTHER)
    heard = int(writer.bell[0])
    successor = Slate(file)
    assert sorted(successor.sit(row)) == [PLACE, PLACE, OTHER]
    for place in (PLACE, PLACE, OTHER):
        assert reader.look().changing
        successor.end(place)
        assert int(successor.bell[0]) != heard, "no number is rung twice"
    assert reader.look().changing == frozenset()


def test_who_is_dead_is_believed_for_a_while(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = member(file)
    code = (
        "import sys; from pooler.processes.slate import Slate; s = Slate(int(sys.argv[1])); "
        f"s.sit(s.claim(1)[0]); s.begin({PLACE})"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], pass_fds=[file], check=True)
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert reader.look().changing == {PLACE}
    now += slate.ABANDONED - 1
    assert reader.look().changing == {PLACE}
    now += 2
    assert reader.look().changing == frozenset()
    # Its row is another's now, who has to do with nothing of it.
    rows = Slate(file).claim(2)
    assert 1 in rows
    assert reader.look().defined == {PLACE}


def test_rows_of_the_living_are_not_given_away(file: int) -> None:
    rows = Slate(file).claim(3)
    assert len({*rows, *Slate(file).claim(2)}) == 5
    with pytest.raises(ValueError, match="no rows"):
        Slate(file).claim(slate._MOST_ROWS - 4)


def test_two_nodes_of_as_many_workers_as_may_be_have_rows(file: int) -> None:
    rows = [*Slate(file).claim(1000), *Slate(file).claim(1000)]
    assert len(set(rows)) == 2000


def test_a_row_is_taken_as_long_as_its_owner_lives_whatever_number_that_has(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in another container, whose processes have other numbers."""
    claims = "kept = Slate(int(sys.argv[1])); print(kept.claim(2), flush=True); sys.stdin.read()"
    code = f"import sys; from pooler.processes.slate import Slate; {claims}"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        pass_fds=[file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"[0, 1]\n"
        monkeypatch.setattr(slate, "_is_alive", lambda pid: False)
        assert Slate(file).claim(1) == [2]
        other.communicate()
    assert Slate(file).claim(2) == [0, 1]


def test_readings_are_found_by_place(file: int) -> None:
    writer, reader = member(file), member(file)
    writer.note_reading(PLACE, Reading(10.0, 15.0, 77))
    writer.note_reading(OTHER, Reading(11.0, 16.0, 78))
    assert reader.readings(PLACE) == [Reading(10.0, 15.0, 77)]
    writer.note_reading(PLACE, Reading(15.0, 20.0, 2**55))
    assert reader.readings(PLACE) == [Reading(15.0, 20.0, 2**55)]
    assert writer.readings(PLACE) == [], "its own is nobody else's"
    for place in range(100, 100 + slate._READINGS):
        writer.note_reading(place, Reading(30.0, 35.0, 1))
    assert reader.readings(PLACE) == []


def test_one_process_alone_needs_no_file() -> None:
    alone = Slate()
    alone.end(alone.begin(PLACE))
    alone.define(PLACE)
    assert alone.look() == NOTHING
    assert alone.readings(PLACE) == []
