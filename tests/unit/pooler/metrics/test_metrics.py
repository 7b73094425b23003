"""The metrics of a node: what its processes say as one text, and what of it stays when they are gone."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pooler.config import load_config
from pooler.metrics.collect import collect
from pooler.metrics.continuity import Continuity
from pooler.metrics.counting import Histogram
from pooler.metrics.families import MAX_LABEL_SETS, SECONDS
from pooler.metrics.pools import NamedPools
from pooler.metrics.rendering import render
from pooler.metrics.samples import Sample
from pooler.node import Row
from pooler.pool import Pool
from pooler.server import Server

Values = dict[tuple[str, ...], float]


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def said(process: int, *samples: Sample) -> list[Row]:
    head: Row = [process]
    return [head, *(sample.as_row() for sample in samples)]


def counter(number: float, *values: str) -> Sample:
    return Sample("interceptor_x_total", "counter", "X.", ("database",)[: len(values)], values, [number])


def gauge(number: float) -> Sample:
    return Sample("interceptor_y", "gauge", "Y.", (), (), [number])


def histogram(*times: float) -> Sample:
    kept = Histogram()
    for one in times:
        kept.observe(one)
    return Sample("interceptor_z_seconds", "histogram", "Z.", (), (), kept.numbers, SECONDS)


def read(text: str) -> Values:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def look(continuity: Continuity, *answers: list[Row]) -> Values:
    return read((await continuity.page(answers)).decode())


async def test_no_counter_goes_back_with_the_process_that_counted(gone: int) -> None:
    continuity, here = Continuity(), os.getpid()
    name = "interceptor_x_total"
    before = await look(
        continuity, said(here, counter(5), gauge(2)), said(gone, counter(7), gauge(3), histogram(0.001, 0.3))
    )
    assert (before[name,], before["interceptor_y",]) == (12, 5)
    after = await look(continuity, said(here, counter(6), gauge(2)))
    assert (after[name,], after["interceptor_y",]) == (13, 2)
    assert after["interceptor_z_seconds_count",] == before["interceptor_z_seconds_count",] == 2
    assert after["interceptor_z_seconds_sum",] == pytest.approx(0.301)
    assert (await look(continuity, said(here, counter(6)), said(1, counter(1))))[name,] == 14


async def test_a_process_that_is_late_is_not_counted_twice() -> None:
    continuity, here = Continuity(), os.getpid()
    name = ("interceptor_x_total",)
    assert (await look(continuity, said(1, counter(5)), said(here, counter(7))))[name] == 12
    assert (await look(continuity, said(1, counter(6))))[name] == 13
    assert (await look(continuity, said(1, counter(6)), said(here, counter(8))))[name] == 14


async def test_no_counter_goes_back_with_the_pool_that_counted() -> None:
    continuity, here = Continuity(), os.getpid()
    wanted = ("interceptor_x_total", "app")
    assert (await look(continuity, said(here, counter(5, "app"))))[wanted] == 5
    assert (await look(continuity, said(here)))[wanted] == 5
    assert (await look(continuity, said(here, counter(2, "app"))))[wanted] == 7


async def test_what_ended_is_bounded(gone: int) -> None:
    continuity, most = Continuity(), MAX_LABEL_SETS + 5
    await look(continuity, said(gone, *(counter(1, f"tenant{number}") for number in range(most))))
    after = await look(continuity)
    assert len(after) == MAX_LABEL_SETS + 1
    assert after["interceptor_x_total", "other"] == 5
    assert sum(after.values()) == most


async def test_bytes_that_are_no_text_break_no_page() -> None:
    page = await Continuity().page([said(os.getpid(), counter(1, b"\xff\xfe".decode("utf-8", "surrogateescape")))])
    assert b'database="' in page
    assert read(page.decode())


@pytest.mark.parametrize("value", ['"} 1\ninterceptor_forged_total 7', "\\", "\\n", "é\u2028\x1b[31m", ""])
def test_a_name_stays_within_its_label(value: str) -> None:
    assert read("".join(render([counter(3, value)]))) == {("interceptor_x_total", value): 3}


def test_a_histogram_is_read_as_it_was_counted() -> None:
    times = [0.00005, 0.0001, 0.0002, 0.3, 61]
    found = read("".join(render([histogram(*times)])))
    for bound in SECONDS:
        assert found["interceptor_z_seconds_bucket", repr(bound)] == sum(time <= bound for time in times)
    assert found["interceptor_z_seconds_bucket", "+Inf"] == found["interceptor_z_seconds_count",] == len(times)
    assert found["interceptor_z_seconds_sum",] == pytest.approx(sum(times))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """Takes any name of a database, and serves nobody."""
    file = tmp_path / "interceptor.toml"
    file.write_text(
        '[server]\nauth_type = "trust"\n[databases."*"]\nprimary = "postgresql://postgres@127.0.0.1:1/app"\n'
    )
    return Server(load_config(file))


def pool_of(server: Server, tenant: str) -> Pool:
    return server.pools.get(server.config.pool_settings(tenant, "postgres"))


def test_pools_beyond_a_number_are_summed_up(server: Server) -> None:
    server.named_pools = NamedPools(2)
    for tenant in "abcd":
        pool_of(server, tenant).stats.queries += 1
    samples = [Sample.from_row(row) for row in list(collect(server))[1:] if row is not None]
    counted = {one.values[0]: one.numbers[0] for one in samples if one.name == "interceptor_queries_total"}
    assert counted == {"a": 1, "b": 1, "other": 2}
    states = {one.values for one in samples if one.name == "interceptor_backends"}
    assert ("other", "other", "other", "idle") in states


def test_a_pool_never_moves_from_the_others_to_a_name_of_its_own(server: Server) -> None:
    named = NamedPools(2)
    pools = {tenant: pool_of(server, tenant) for tenant in "abc"}
    assert [pool in named for pool in pools.values()] == [True, True, False]
    server.pools.drop_unused(())
    del pools["a"]
    gc.collect()
    assert pools["c"] not in named
    assert pool_of(server, "d") in named
    assert pools["b"] in named
