"""Rows of plugins as messages: in pieces, within limits, and with an error where they are wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import cast

import pytest

from interceptor import Block, Blocked, Column, Limits, Respond
from interceptor.hooks import answers, breaker, gathering
from interceptor.hooks.answers import Answer, Piece, describe_columns
from interceptor.hooks.asyncio_waits import AsyncioWaits
from interceptor.hooks.containment import Hook, PluginRuntime, Running
from interceptor.hooks.decisions import Row, Rows
from interceptor.protocol.datatypes import find_type
from interceptor.protocol.rows import ColumnDescription, RowEncoder

COLUMNS = (Column("number", "int4"), Column("name", "text"))
ENCODER = RowEncoder([ColumnDescription(one.name, find_type(one.type)) for one in COLUMNS])


@pytest.fixture
def hook() -> Hook:
    return PluginRuntime("crm", closed=False, deadline=0.2, running=Running()).hook("virtual")


def answer(hook: Hook, rows: Rows, limits: Limits | None = None, formats: tuple[int, ...] = ()) -> Answer:
    return Answer(Respond(COLUMNS, rows), hook, AsyncioWaits(), formats=formats, limits=limits)


async def pull(one: Answer, most: int = 0) -> Piece:
    piece = one.pull(most)
    return piece if isinstance(piece, Piece) else await piece


async def everything(one: Answer) -> tuple[bytes, Block | None, list[int]]:
    messages, counts = b"", []
    while True:
        piece = await pull(one)
        messages += piece.messages
        counts.append(piece.rows)
        if piece.done or piece.block is not None:
            return messages, piece.block, counts


def table(count: int) -> list[Row]:
    return [(number, f"name {number}") for number in range(count)]


class Source:
    """Rows, and whether it was closed."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.pulled = 0
        self.closed = 0

    def plain(self) -> Iterator[Row]:
        try:
            for row in self.rows:
                self.pulled += 1
                yield row
        finally:
            self.closed += 1

    async def asynchronous(self) -> AsyncIterator[Row]:
        try:
            for row in self.rows:
                self.pulled += 1
                yield row
        finally:
            self.closed += 1

    def of(self, kind: str) -> Rows:
        return self.plain() if kind == "plain" else self.asynchronous()


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_all_rows_come_in_pieces(hook: Hook, kind: str) -> None:
    rows = table(1200)
    messages, block, counts = await everything(answer(hook, Source(rows).of(kind)))
    assert block is None
    assert messages == b"".join(map(ENCODER.encode, rows))
    assert max(counts) <= answers.PIECE_ROWS


async def test_a_list_is_a_source_as_well(hook: Hook) -> None:
    messages, block, _ = await everything(answer(hook, table(3)))
    assert (messages, block) == (b"".join(map(ENCODER.encode, table(3))), None)
    assert await everything(answer(hook, [])) == (b"", None, [0])


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_no_more_is_pulled_than_is_wanted(hook: Hook, kind: str) -> None:
    source = Source(table(100))
    one = answer(hook, source.of(kind))
    assert (await pull(one, 7)).rows <= 7
    assert source.pulled <= 7
    closing = one.close()
    if closing is not None:
        await closing
    assert source.closed == (1 if source.pulled else 0)


async def test_a_piece_is_bounded_in_bytes(hook: Hook) -> None:
    rows: list[Row] = [(number, "x" * 1000) for number in range(1000)]
    one = answer(hook, rows)
    while not (piece := await pull(one)).done:
        assert len(piece.messages) <= gathering.PIECE_BYTES + 1100


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a"), (2,)], "a row has 1 values where there are 2 columns"),
        ([(1, "a"), ("2", "b")], 'column "number": int4 takes an int, and not a value of the type str'),
        ([(1, "a"), 5], "a row is a list or a tuple of values, and not a int"),
    ],
)
async def test_a_wrong_row_names_plugin_and_column(hook: Hook, kind: str, rows: list[Row], message: str) -> None:
    messages, block, _ = await everything(answer(hook, Source(rows).of(kind)))
    assert messages == ENCODER.encode((1, "a"))
    assert block == Block("58000", f"(plugin_failed) a row of the plugin crm is wrong: {message}")
    assert hook.failures == 1


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_a_source_that_fails_ends_the_answer(hook: Hook, kind: str) -> None:
    def failing() -> Iterator[Row]:
        yield (1, "a")
        raise KeyError("secret")

    async def failing_later() -> AsyncIterator[Row]:
        for row in failing():
            yield row

    messages, block, _ = await everything(answer(hook, failing() if kind == "plain" else failing_later()))
    assert messages == ENCODER.encode((1, "a"))
    assert block is not None
    assert block.sqlstate == "58000"
    assert "secret" not in block.message
    assert hook.failures == 1


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_a_source_may_raise_an_error_of_its_own(hook: Hook, kind: str) -> None:
    def failing() -> Iterator[Row]:
        yield (1, "a")
        raise Blocked(Block("HV000", "the service is down"))

    async def failing_later() -> AsyncIterator[Row]:
        for row in failing():
            yield row

    _, block, _ = await everything(answer(hook, failing() if kind == "plain" else failing_later()))
    assert block == Block("HV000", "the service is down")
    assert hook.failures == 0


async def test_what_is_no_source_ends_the_answer(hook: Hook) -> None:
    _, block, _ = await everything(answer(hook, cast("Rows", 5)))
    assert block is not None
    assert block.sqlstate == "58000"


async def test_a_source_that_stops_giving_is_cut_at_its_deadline(hook: Hook) -> None:
    async def stuck() -> AsyncIterator[Row]:
        yield (1, "a")
        await asyncio.sleep(0.01)
        yield (2, "b")
        await asyncio.Event().wait()

    messages, block, _ = await everything(answer(hook, stuck()))
    assert messages == ENCODER.encode((1, "a")) + ENCODER.encode((2, "b"))
    assert block is not None
    assert hook.failures == 1


async def test_a_slow_source_has_its_deadline_for_each_row(hook: Hook) -> None:
    async def slow() -> AsyncIterator[Row]:
        for number in range(5):
            await asyncio.sleep(0.08)
            yield (number, "x")

    messages, block, counts = await everything(answer(hook, slow()))
    assert block is None
    assert messages.count(b"x") == 5
    assert len(counts) > 2


async def test_rows_in_hand_do_not_wait_for_the_next(hook: Hook) -> None:
    more = asyncio.Event()

    async def held() -> AsyncIterator[Row]:
        yield (1, "a")
        await more.wait()
        yield (2, "b")
        yield (3, "c")

    one = answer(hook, held())
    piece = await asyncio.wait_for(pull(one), 10)
    assert (piece.messages, piece.done) == (ENCODER.encode((1, "a")), False)
    more.set()
    messages, block, _ = await everything(one)
    assert (messages, block) == (ENCODER.encode((2, "b")) + ENCODER.encode((3, "c")), None)


async def test_rows_that_came_while_nobody_asked_are_kept_in_order_and_bounded(hook: Hook) -> None:
    source = Source(table(2000))
    go_on = asyncio.Event()

    async def slow_then_fast() -> AsyncIterator[Row]:
        async for row in source.asynchronous():
            yield row
            if row[0] == 0:
                await go_on.wait()

    one = answer(hook, slow_then_fast())
    first = await pull(one)
    assert first.rows == 1
    go_on.set()
    for _ in range(100):
        await asyncio.sleep(0)
    assert 1 < source.pulled <= answers.PIECE_ROWS
    messages, block, counts = await everything(one)
    assert (first.messages + messages, block) == (b"".join(map(ENCODER.encode, table(2000))), None)
    assert max(counts) <= answers.PIECE_ROWS


async def test_no_more_is_gathered_than_was_asked_for(hook: Hook) -> None:
    source = Source(table(20))

    async def slow() -> AsyncIterator[Row]:
        async for row in source.asynchronous():
            yield row
            await asyncio.sleep(0.006)

    one, got = answer(hook, slow()), 0
    while got < 7:
        piece = await pull(one, 7 - got)
        assert not piece.done
        got += piece.rows
    assert (got, source.pulled) == (7, 7)
    closing = one.close()
    assert closing is not None
    await closing
    assert source.closed == 1


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_source_that_is_waited_for_is_ended_when_it_is_closed(
    hook: Hook, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "_GRACE", 0.05)
    ended: list[str] = []
    let_go = asyncio.Event()

    async def held() -> AsyncIterator[Row]:
        try:
            yield (1, "a")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not stubborn:
                    raise
                await let_go.wait()
        finally:
            ended.append("ended")

    one = answer(hook, held())
    assert (await pull(one)).rows == 1
    closing = one.close()
    assert closing is not None
    await closing
    assert (ended, hook.failures) == (([], 1) if stubborn else (["ended"], 0))
    let_go.set()
    while not ended:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
async def test_an_answer_that_has_begun_goes_on_though_its_hook_is_left_out(hook: Hook, kind: str) -> None:
    source = Source(table(1200))
    one = answer(hook, source.of(kind))
    first = await pull(one)
    for _ in range(breaker.MOST_FAILURES):
        hook.failed("failed")
    messages, block, _ = await everything(one)
    assert (first.messages + messages, block) == (b"".join(map(ENCODER.encode, table(1200))), None)
    closing = one.close()
    if closing is not None:
        await closing
    assert source.closed == 1
    _, refused, _ = await everything(answer(hook, table(1)))
    assert refused is not None


async def test_a_source_is_closed_though_its_hook_is_left_out(hook: Hook) -> None:
    source = Source(table(1200))
    one = answer(hook, source.plain())
    await pull(one, 1)
    for _ in range(breaker.MOST_FAILURES):
        hook.failed("failed")
    one.close()
    assert source.closed == 1


@pytest.mark.parametrize(("limits", "fits"), [(Limits(rows=3), 3), (Limits(bytes=60), 2), (Limits(), 10)])
async def test_a_result_over_its_limit_ends_with_an_error(hook: Hook, limits: Limits, fits: int) -> None:
    _, block, _ = await everything(answer(hook, table(fits), limits))
    assert block is None
    messages, block, _ = await everything(answer(hook, table(1000), limits))
    assert (block is None) is (limits == Limits())
    if block is not None:
        assert block.sqlstate == "54000"
        assert str(limits.rows or limits.bytes) in block.message
        assert not limits.rows or len(messages) <= len(b"".join(map(ENCODER.encode, table(limits.rows))))


async def test_tags_and_descriptions(hook: Hook) -> None:
    one = answer(hook, [])
    assert one.tag(3) == "SELECT 3"
    assert Answer(Respond(COLUMNS, [], tag="SHOW"), hook, AsyncioWaits()).tag(3) == "SHOW"
    assert describe_columns(COLUMNS, (1,)).count(b"\0\1") >= 2
    with pytest.raises(ValueError, match="has 3 result formats but query has 2 columns"):
        answer(hook, [], formats=(0, 0, 1))
