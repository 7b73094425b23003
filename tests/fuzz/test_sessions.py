"""The sessions between any clients and a model of the server: each client hears what the server alone would tell it."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st

from interceptor.session import PoolMode, bounds, client_state, linked, sending
from interceptor.session import client as client_module
from tests.fuzz.running import fuzz
from tests.fuzz.scheduler import Scheduler
from tests.fuzz.streams import streams
from tests.support.model import BAD_ROW, ModelServer
from tests.support.recorder import COPY_DONE, SYNC, describe, message, parse, query


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that short streams go beyond."""
    monkeypatch.setattr(bounds, "WHOLE_MESSAGE", 150)
    monkeypatch.setattr(client_state, "MAX_KEPT_INPUT", 400)
    for module in (bounds, client_module, linked, sending):
        monkeypatch.setattr(module, "MAX_OWED", 10)


def alone(stream: bytes) -> tuple[bytes, bytes]:
    """What a server of its own tells a client that says this: what it sends, and what it keeps until a Flush."""
    server = ModelServer()
    return server.feed(stream), server.unflushed


@pytest.mark.parametrize(
    ("mode", "shared"),
    [(PoolMode.TRANSACTION, False), (PoolMode.TRANSACTION, True), (PoolMode.SESSION, False)],
    ids=["transaction", "transaction, statements shared", "session"],
)
def test_every_client_hears_what_a_server_of_its_own_would_tell_it(mode: PoolMode, shared: bool) -> None:
    @fuzz(st.lists(streams(), min_size=1, max_size=3), st.integers(1, 2), st.integers(0, 2**32))
    def check(spoken: list[bytes], backends: int, seed: int) -> None:
        scheduler = Scheduler(spoken, mode, backends, Random(seed), shared=shared)
        scheduler.run()
        for stream, client in zip(spoken, scheduler.clients, strict=True):
            sent, kept = alone(stream)
            # The proxy may have asked for more than the client did, where it has to know the answer.
            assert client.sure is not None or client.heard.startswith(sent)
            assert (sent + kept).startswith(client.heard_for_sure)

    check()


@pytest.mark.parametrize("shared", [False, True], ids=["", "statements shared"])
def test_a_client_that_vanishes_leaves_no_backend_in_doubt_to_others(shared: bool) -> None:
    @fuzz(st.lists(st.tuples(streams(), st.integers(0, 400)), min_size=2, max_size=3), st.integers(0, 2**32))
    def check(spoken: list[tuple[bytes, int]], seed: int) -> None:
        said = [stream[:cut] for stream, cut in spoken]
        scheduler = Scheduler(said, PoolMode.TRANSACTION, 1, Random(seed), shared=shared, vanishing=True)
        scheduler.run()
        for stream, client in zip(said, scheduler.clients, strict=True):
            assert b"".join(alone(stream)).startswith(client.heard_for_sure)

    check()


@pytest.mark.parametrize("seed", range(20))
def test_named_statements_are_there_behind_a_copy_that_failed_with_a_sync_in_it(seed: int) -> None:
    copy = query("COPY t FROM STDIN") + SYNC + message("d", BAD_ROW) + COPY_DONE
    stream = parse("SELECT 'a'", "s") + SYNC + copy + describe("S", "s") + SYNC
    scheduler = Scheduler([stream], PoolMode.TRANSACTION, 1, Random(seed), shared=True)
    scheduler.run()
    (client,) = scheduler.clients
    assert client.sure is None
    assert client.heard == alone(stream)[0]
