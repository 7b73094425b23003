"""Texts that are analysed beside the loop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from interceptor.sql.facts import MessageFacts, OpaqueReason
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts
from pooler.plugins import long_sql
from pooler.plugins.analyst import Analyst
from pooler.plugins.long_sql import LongSql


@pytest.fixture
async def long() -> AsyncIterator[LongSql]:
    made = LongSql()
    yield made
    await made.close()


def analyst_of(long: LongSql) -> Analyst:
    return Analyst(lambda session: None, lambda database, version: None, long)


LIST = b"SELECT * FROM t WHERE i IN (" + b"7, " * 20_000 + b"8)"


async def test_a_long_text_has_the_facts_that_it_would_have_here(long: LongSql) -> None:
    pending = analyst_of(long).facts(LIST, True)
    assert not isinstance(pending, MessageFacts)
    facts = await pending
    assert facts == analyse_facts(LIST, True, HELPER)
    assert len(facts.literals) == 20_001
    assert not facts.opaque


async def test_a_text_with_very_many_literals_has_facts_without_them(long: LongSql) -> None:
    facts = await long.facts(b"INSERT INTO t VALUES " + b"(1, 2), " * 60_000 + b"(3, 4)", True)
    assert facts.literals == ()
    assert facts.statements[0].rows == 60_001
    assert not facts.opaque


async def test_what_is_known_need_not_be_waited_for(long: LongSql) -> None:
    analyst = analyst_of(long)
    pending = analyst.facts(LIST, True)
    assert not isinstance(pending, MessageFacts)
    facts = await pending
    assert analyst.facts(LIST, True) is facts
    # Under another lexing it is another question.
    assert long.known(LIST, False) is None


@pytest.mark.parametrize(
    "sql", [b"SELECT 1", b"SELEC 1", b"SELECT " + b"(" * 600 + b"1" + b")" * 600, b"x" * 5_000_000]
)
async def test_a_text_that_a_helper_knows_no_more_about_is_not_sent_there(long: LongSql, sql: bytes) -> None:
    assert isinstance(analyst_of(long).facts(sql, True), MessageFacts)


async def test_names_without_end_are_opaque(long: LongSql) -> None:
    sql = b"SELECT " + b", ".join(b"c%d" % number for number in range(20_000)) + b" FROM t"
    facts = await long.facts(sql, True)
    assert [one.reason for one in facts.opaque] == [OpaqueReason.TOO_COMPLEX]
    assert len(facts.statements) == 1


async def test_texts_take_turns_and_a_canceled_one_disturbs_nobody(long: LongSql) -> None:
    texts = [b"SELECT %d, '%s'" % (number, b"x" * 20_000) for number in range(6)]
    waiting = [asyncio.ensure_future(long.facts(text, True)) for text in texts]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[3].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    for number, (text, facts) in enumerate(zip(texts, found, strict=True)):
        if number in (0, 3):
            assert isinstance(facts, asyncio.CancelledError)
        else:
            assert facts == analyse_facts(text, True, HELPER)


async def test_a_process_that_dies_leaves_its_text_opaque_and_the_next_one_gets_another(long: LongSql) -> None:
    await long.facts(b"SELECT 1", True)
    process = long._process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    pending = asyncio.ensure_future(long.facts(b"SELECT 2", True))
    await asyncio.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    facts = await pending
    assert [one.reason for one in facts.opaque] == [OpaqueReason.TOO_COMPLEX]
    again = await long.facts(b"SELECT 3", True)
    assert not again.opaque


async def test_who_waits_too_long_gets_opaque_facts(long: LongSql, monkeypatch: pytest.MonkeyPatch) -> None:
    await long.facts(b"SELECT 1", True)
    process = long._process
    assert process is not None
    monkeypatch.setattr(long_sql, "TIMEOUT", 0.05)
    os.kill(process.pid, signal.SIGSTOP)
    facts = await long.facts(b"SELECT 2", True)
    assert "0.05 s" in facts.opaque[0].detail
    await process.wait()
    monkeypatch.undo()
    assert not (await long.facts(b"SELECT 2", True)).opaque


async def test_a_closed_one_answers_at_once(long: LongSql) -> None:
    await long.facts(b"SELECT 1", True)
    process = long._process
    assert process is not None
    await long.close()
    assert await process.wait() == -signal.SIGKILL
    begun = time.monotonic()
    assert (await long.facts(b"SELECT 2", True)).opaque
    assert time.monotonic() - begun < 10
