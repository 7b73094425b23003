"""Clients that take more than their share: too many connections, answers that nobody reads, floods."""

from __future__ import annotations

import hashlib
import itertools
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from interceptor.testing.postgres import PostgresServer
from tests.support import frontend
from tests.support.backend import decode_error
from tests.support.crowd import crowd
from tests.support.login import LoginFailed
from tests.support.proxy import run_proxy
from tests.support.vitals import MEGABYTE, Neighbour, Victim, Vitals, neighbour, run_victim
from tests.support.watch import wait_for, wait_until
from tests.support.wire import Endpoint, WireClient

SILENT = 10_000
LOGIN_TIMEOUT = 5
SHORT_LOGIN_TIMEOUT = 3
"""Where a hundred connections are waited for, and not ten thousand."""
READY = b"Z\0\0\0\5I"


@pytest.fixture(scope="module")
def victim(postgres18: PostgresServer) -> Iterator[Victim]:
    # Lines of the log are counted.
    settings = {"client_login_timeout": LOGIN_TIMEOUT, "max_client_conn": SILENT + 100, "log_rate_limit": 0}
    with run_victim(postgres18, settings) as victim:
        yield victim


def flood(endpoint: Endpoint, data: bytes, size: int, working: Neighbour) -> int:
    """Log in, and write ``data`` over and over without ever reading, ``size`` bytes at most. Returns how many went.

    It ends when nothing more goes although the proxy has had the time to read it: it has served a neighbour meanwhile.
    """
    with WireClient.connect(endpoint) as client, socket.socket(fileno=os.dup(client.fileno)) as stream:
        stream.settimeout(0.2)
        taken, stuck = 0, 0
        while taken < size and stuck < 3:
            try:
                taken += stream.send(data)
                stuck = 0
            except TimeoutError:
                stuck += 1
                working.wait_for_progress()
        return taken


@pytest.mark.slow
def test_connections_that_say_nothing_are_ended_and_harm_nobody(victim: Victim) -> None:
    # An accepted connection costs the process some 2 KB.
    with victim.unharmed(growth=SILENT * 4_000) as working:
        with crowd(victim.endpoint.host, victim.endpoint.port, SILENT) as silent:
            working.wait_for_progress()
            assert silent.count_ended() == SILENT
            working.wait_for_progress()
    text = "client_login_timeout"
    assert victim.proxy.log.count(text) >= SILENT


def test_beyond_max_client_conn_a_newcomer_is_told_so_and_those_inside_go_on(postgres18: PostgresServer) -> None:
    with run_victim(postgres18, {"max_client_conn": 50}, database="full") as victim:
        with neighbour(victim.endpoint) as working, ExitStack() as inside:
            for _ in range(49):
                inside.enter_context(WireClient.connect(victim.endpoint))
            with pytest.raises(LoginFailed, match=r"too_many_clients.*max_client_conn is 50"):
                WireClient.connect(victim.endpoint)
            working.wait_for_progress()
        with WireClient.connect(victim.endpoint) as client:
            assert client.query("SELECT 1") == [("1",)]


def test_those_who_have_not_said_who_they_are_keep_nobody_out(postgres18: PostgresServer) -> None:
    settings = {"max_client_conn": 50, "client_login_timeout": SHORT_LOGIN_TIMEOUT}
    with run_victim(postgres18, settings, database="silent") as victim:
        with neighbour(victim.endpoint) as working, crowd(victim.endpoint.host, victim.endpoint.port, 60) as silent:
            with WireClient.connect(victim.endpoint) as client:
                assert client.query("SELECT 1") == [("1",)]
            working.wait_for_progress()
            assert silent.count_ended() == 60


def test_without_descriptors_left_those_inside_go_on_and_newcomers_get_in_later(postgres18: PostgresServer) -> None:
    with run_victim(postgres18, {"client_login_timeout": SHORT_LOGIN_TIMEOUT}, database="short") as victim:
        victim.warm_up()
        with neighbour(victim.endpoint) as working:
            left = Vitals.of(victim.proxy.pid).descriptors + 20
            resource.prlimit(victim.proxy.pid, resource.RLIMIT_NOFILE, (left, left))
            with crowd(victim.endpoint.host, victim.endpoint.port, 100) as silent:
                working.wait_for_progress()
                assert silent.count_ended() == 100
            working.wait_for_progress()
            with WireClient.connect(victim.endpoint) as client:
                assert client.query("SELECT 1") == [("1",)]
        # A listener without descriptors must not spin, nor fill the disk with complaints.
        assert len(victim.proxy.log) < MEGABYTE


def test_a_result_of_1_gb_that_nobody_reads_costs_a_buffer(victim: Victim) -> None:
    with victim.unharmed(), WireClient.connect(victim.endpoint) as client:
        client.send(frontend.query("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"))
        with victim.activity() as activity, neighbour(victim.endpoint) as working:

            def stands_still() -> bool:
                """The server waits for its reader, and still does when the proxy has served others meanwhile."""
                before = activity.backends("AND wait_event = 'ClientWrite'")
                working.wait_for_progress(100)
                return bool(before) and activity.backends("AND wait_event = 'ClientWrite'") == before

            # Not at the first look: it waits now and then while the buffers between it and the client fill up.
            wait_for("the server waits for its reader for good", stands_still)


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(frontend.query("SELECT 1").data * 1000, id="Query"),
        pytest.param(
            (frontend.parse("SELECT 1").data + frontend.bind().data + frontend.execute().data + frontend.sync().data)
            * 1000,
            id="extended",
        ),
        pytest.param(frontend.sync().data * 10_000, id="Sync"),
        pytest.param((frontend.parse("SELECT 1").data + frontend.sync().data * 100) * 100, id="Parse and Syncs"),
        pytest.param(frontend.query("").data * 5000, id="empty Query"),
        pytest.param((frontend.query("BEGIN").data + frontend.query("ROLLBACK").data) * 1000, id="transactions"),
    ],
)
def test_an_endless_pipeline_whose_answers_nobody_reads_is_read_no_further(endless: bytes, victim: Victim) -> None:
    size = 50 * MEGABYTE
    with victim.unharmed() as working:
        assert flood(victim.endpoint, endless, size, working) < size


def test_a_pipeline_of_a_million_syncs_is_answered_to_one_who_reads(victim: Victim) -> None:
    count = 1_000_000
    with victim.unharmed(), WireClient.connect(victim.endpoint) as client:
        with socket.socket(fileno=os.dup(client.fileno)) as stream:
            stream.settimeout(60)
            writer = threading.Thread(target=stream.sendall, args=(frontend.sync().data * count,))
            writer.start()
            answers = hashlib.sha256()
            left = count * len(READY)
            while left:
                piece = stream.recv(min(left, MEGABYTE))
                assert piece, "the proxy hung up"
                left -= len(piece)
                answers.update(piece)
            writer.join()
    assert answers.digest() == hashlib.sha256(READY * count).digest()


def test_a_message_of_1_gb_that_is_announced_and_never_comes(victim: Victim) -> None:
    with victim.unharmed(), ExitStack() as clients:
        for size in (0, 4, 1000, 100_000, 10 * MEGABYTE):
            client = clients.enter_context(WireClient.connect(victim.endpoint))
            client.write(b"Q\x3f\xff\xff\xfe" + b" " * size)
            if size >= 100_000:
                # The part that came occupies a backend, as it would in PostgreSQL: one at a time.
                client.close()


def test_a_message_of_64_mb_streams_through(victim: Victim) -> None:
    beginning, end = b"SELECT length('", b"')\0"
    size = 64 * MEGABYTE
    with victim.unharmed(), WireClient.connect(victim.endpoint) as client:
        client.write(b"Q" + (len(beginning) + size + len(end) + 4).to_bytes(4, "big") + beginning)
        for _ in range(64):
            client.write(b"x" * MEGABYTE)
        client.write(end)
        client.read_until_ready(2)
        assert str(client.replies[-3]) == f"DataRow b'{size}'"


def test_a_flood_of_cancel_requests_harms_nobody_and_cancels_nobody_else(victim: Victim) -> None:
    with victim.unharmed() as working, ExitStack() as clients:
        canceled = clients.enter_context(WireClient.connect(victim.endpoint))
        canceled.send(frontend.query("SELECT pg_sleep(3600)"))
        with victim.activity() as activity:
            activity.wait_for_query("pg_sleep(3600)")
        pid, key = canceled.key
        for number in range(2000):
            wrong = hashlib.sha256(number.to_bytes(4, "big")).digest()[:4]
            with WireClient(victim.endpoint.host, victim.endpoint.port) as client:
                client.send(frontend.cancel_request(pid if number % 2 else number, wrong))
        working.wait_for_progress()
        canceled.read_available()
        assert canceled.ready_count == 1, "a wrong key canceled it"
        for _ in range(2):
            # Open until the proxy has hung up: one that it reads later means this client's next query.
            requests = [WireClient(victim.endpoint.host, victim.endpoint.port) for _ in range(400)]
            for request in requests:
                clients.enter_context(request).send(frontend.cancel_request(pid, key))
            for request in requests:
                request.read_to_end()
                request.close()
        canceled.read_until_ready(2)
        assert decode_error(canceled.replies[-2].body)["C"] == "57014"
        # The requests that came too late hit nobody: neither this client's next query nor another's.
        for number in range(50):
            assert canceled.query(f"SELECT {number}") == [(str(number),)]


def test_a_flood_of_wrong_passwords_does_not_hold_others_up(postgres18: PostgresServer) -> None:
    files = {"users.txt": '"postgres" "right"\n'}
    primary = f"postgresql://postgres@{postgres18.host}:{postgres18.port}/postgres"
    server: dict[str, str | int | float] = {
        "auth_type": "scram-sha-256",
        "auth_file": "users.txt",
        # Some 20 ms of hashing for each attempt, so that the attackers alone could fill both processors.
        "scram_iterations": 50_000,
        "log_connections": False,
    }
    with run_proxy({"server": server, "databases.postgres": {"primary": primary}}, files) as proxy:
        right = Endpoint(proxy.host, proxy.port, "postgres", "postgres", "right")
        attempts = itertools.count()
        stop = threading.Event()

        def attack(user: str) -> None:
            wrong = Endpoint(proxy.host, proxy.port, "postgres", user, "wrong")
            while not stop.is_set():
                with suppress(LoginFailed):
                    WireClient.connect(wrong).close()
                next(attempts)

        attackers = [threading.Thread(target=attack, args=(user,)) for user in ("postgres", "nobody") * 8]
        with neighbour(right) as working:
            for attacker in attackers:
                attacker.start()
            try:
                wait_for("the attack is on", lambda: next(attempts) > 32)
                before, done = next(attempts), working.answers
                wait_until(lambda: next(attempts) > before + 100, "the attack goes on")
                # A query costs a hundredth of an attempt. Were it queued behind the sixteen attackers, there would be
                # one answer for each round of them: 7 to 15. There are hundreds, and 69 on a machine in distress.
                assert working.answers - done > 30
                with WireClient.connect(right) as client:
                    assert client.query("SELECT 1") == [("1",)]
            finally:
                stop.set()
                for attacker in attackers:
                    attacker.join()
