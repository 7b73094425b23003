"""Work of plugins beside the queries."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pooler.plugins.tasks import PluginTasks


async def test_what_is_asked_for_early_begins_with_the_server() -> None:
    tasks = PluginTasks("one")
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    tasks.spawn(work(), "work")
    await asyncio.sleep(0)
    assert not done.is_set()
    tasks.start()
    await asyncio.wait_for(done.wait(), 10)
    await tasks.close(1)


async def test_work_ends_with_the_plugin_and_none_begins_later() -> None:
    tasks = PluginTasks("one")
    tasks.start()
    ended: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def late() -> None:
        ended.append("late")

    tasks.spawn(work(), "work")
    await begun.wait()
    await tasks.close(10)
    assert ended == ["work"]
    tasks.spawn(late(), "late")
    await asyncio.sleep(0)
    assert ended == ["work"]


async def test_what_never_began_is_dropped_without_a_complaint() -> None:
    async def work() -> None:
        raise AssertionError

    tasks = PluginTasks("one")
    tasks.spawn(work(), "work")
    await tasks.close(1)  # a coroutine that nobody awaits would be a warning, and that an error here


async def test_a_failure_is_logged_with_the_names(caplog: pytest.LogCaptureFixture) -> None:
    tasks = PluginTasks("one")
    tasks.start()
    raised = asyncio.Event()

    async def work() -> None:
        raised.set()
        raise SystemExit(3)

    with caplog.at_level(logging.ERROR):
        tasks.spawn(work(), "hard work")
        await raised.wait()
        await tasks.close(1)
    assert "plugin one: its task hard work failed" in caplog.text


async def test_a_timer_goes_on_after_failures_which_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tasks = PluginTasks("one")
    tasks.start()
    calls = 0
    enough = asyncio.Event()

    async def later() -> None:
        if calls == 4:
            raise RuntimeError("again")

    def call() -> asyncio.Future[None] | None:
        nonlocal calls
        calls += 1
        if calls == 6:
            enough.set()
        if calls < 3:
            raise RuntimeError("at first")
        return asyncio.ensure_future(later())

    with caplog.at_level(logging.ERROR):
        tasks.every(0.001, call, "tick")
        await asyncio.wait_for(enough.wait(), 10)
        await tasks.close(1)
    assert [record.getMessage() for record in caplog.records] == ["plugin one: its timer tick failed, and goes on"] * 2


def test_a_timer_without_a_pause_is_refused() -> None:
    with pytest.raises(ValueError, match="pause"):
        PluginTasks("one").every(0, lambda: None, "tick")


async def test_work_that_does_not_end_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    tasks = PluginTasks("one")
    tasks.start()
    begun = asyncio.Event()
    let_go = asyncio.Event()

    async def work() -> None:
        begun.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    tasks.spawn(work(), "mule")
    await begun.wait()
    with caplog.at_level(logging.WARNING):
        await tasks.close(0.01)
    assert "its task one: mule does not end" in caplog.text
    let_go.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
