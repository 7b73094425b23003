"""What is read from strangers and from files: whatever the bytes, what comes out is a value or an error for people."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from struct import pack

import pytest
from hypothesis import strategies as st

from interceptor.errors import BackendError, ClientError, ConfigError
from interceptor.protocol import messages
from interceptor.protocol.framing import FrameBuffer
from interceptor.protocol.startup import MAX_STARTUP_PACKET, StartupMessage, decode_first_packet
from interceptor.sql.analysis import analyse
from pooler.auth import (
    Accepted,
    BackendLogin,
    ClientLogin,
    KeyCache,
    LoginSettings,
    PlainPassword,
    Step,
    UserList,
    Work,
)
from pooler.config import load_config
from tests.fuzz.running import attempt, fuzz

# --- The first packet -------------------------------------------------------------------------------------------------

_words = st.sampled_from([b"user", b"database", b"postgres", b"options", b"replication", b"_pq_.x", b"", b"\xff", b"a"])
_codes = st.one_of(
    st.sampled_from([0x30000, 0x30002, 0x30063, 0x20000, 0x40000, 80877102, 80877103, 80877104]),
    st.integers(0, 2**32 - 1),
)
_bodies = st.one_of(st.binary(max_size=60), st.lists(_words, max_size=8).map(b"\0".join))
_packets = st.builds(
    lambda code, body, end, error: pack("!II", max(0, len(body + end) + 8 + error), code) + body + end,
    _codes,
    _bodies,
    st.sampled_from([b"", b"\0", b"\0\0"]),
    st.sampled_from([0, 0, 0, -1, 1, 1000, 2**31]),
)


def test_first_packets() -> None:
    @fuzz(st.one_of(_packets, st.binary(max_size=100)))
    def check(data: bytes) -> None:
        found = attempt(lambda: decode_first_packet(data), ClientError)
        if isinstance(found, ClientError):
            assert found.fatal
            assert len(messages.encode_failure(found)) < 2 * MAX_STARTUP_PACKET
            return
        if found is None:
            # What will never be a packet is refused at once, so that nobody waits for the rest of it.
            assert len(data) < 4 or len(data) < int.from_bytes(data[:4], "big") <= MAX_STARTUP_PACKET + 4
            return
        packet, size = found
        assert 8 <= size <= len(data)
        if isinstance(packet, StartupMessage):
            assert packet.parameters["user"]
        # Nothing behind the packet has a part in it.
        assert decode_first_packet(data[:size]) == found

    check()


# --- Logins -----------------------------------------------------------------------------------------------------------

_sasl = st.one_of(
    st.sampled_from(
        [
            b"SCRAM-SHA-256\0" + pack("!i", 24) + b"n,,n=user,r=abcdefghijkl",
            b"SCRAM-SHA-256\0\xff\xff\xff\xff",
            b"n,,n=user,r=abcdefghijkl",
            b"c=biws,r=abcdefghijkl,p=" + b"A" * 43 + b"=",
            b"right\0",
            b"\0",
        ]
    ),
    st.binary(max_size=60),
)


def _mutated(parts: tuple[bytes, int, bytes]) -> bytes:
    data, at, change = parts
    at %= len(data) + 1
    return data[:at] + change + data[at + len(change) :]


_answers = st.lists(
    st.tuples(st.sampled_from(b"pppppQX"), st.tuples(_sasl, st.integers(0, 60), st.binary(max_size=4)).map(_mutated)),
    max_size=4,
)


@pytest.mark.parametrize("method", ["trust", "password", "md5", "scram-sha-256"])
def test_logins_of_clients(method: str) -> None:
    settings = LoginSettings(auth_type=method, mock_secret=bytes(32), scram_iterations=1)  # type: ignore[arg-type]

    @fuzz(_answers, st.booleans())
    def check(answers: list[tuple[int, bytes]], known: bool) -> None:
        login = ClientLogin("user", PlainPassword(b"right") if known else None, settings)

        def log_in() -> Step:
            step = login.start()
            for kind, body in answers:
                if isinstance(step, Accepted):
                    break
                step = login.receive(kind, body)
                if isinstance(step, Work):
                    step = login.resume(step.function())
            return step

        step = attempt(log_in, ClientError)
        if isinstance(step, ClientError):
            assert step.fatal
        if isinstance(step, Accepted) and method != "trust":
            assert known
            # The proof of SCRAM can't be guessed.
            assert method == "password"
            assert any(body == b"right\0" for _, body in answers)

    check()


_requests = st.lists(
    st.one_of(
        st.builds(lambda code, data: pack("!I", code) + data, st.sampled_from([0, 3, 5, 7, 10, 11, 12, 99]), _sasl),
        st.just(pack("!I", 10) + b"SCRAM-SHA-256\0\0"),
        st.binary(max_size=30),
    ),
    max_size=4,
)


def keep_the_password(requests: list[bytes], has_password: bool) -> None:
    """Log in to a server that asks this, which has never seen the password, and hold that no error tells it."""
    login = BackendLogin("user", PlainPassword(b"unheard-of") if has_password else None, KeyCache())

    def log_in() -> None:
        for body in requests:
            if login.done:
                break
            step = login.receive(body)
            if isinstance(step, Work):
                login.resume(step.function())

    error = attempt(log_in, BackendError, ClientError)
    assert "unheard-of" not in str(error)


def test_logins_to_servers() -> None:
    @fuzz(_requests, st.booleans())
    def check(requests: list[bytes], has_password: bool) -> None:
        keep_the_password(requests, has_password)

    check()


def test_what_a_server_says_itself_is_no_secret() -> None:
    # An error quotes the names of mechanisms: "right" is one of the words that servers say here.
    keep_the_password([pack("!I", 10) + b"right\0"], True)


# --- Frames, and messages that we read --------------------------------------------------------------------------------


def test_frames() -> None:
    @fuzz(st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"Z\0\0\0\5I", b"D\0\0\0\4"])), max_size=10))
    def check(pieces: list[bytes]) -> None:
        whole, piecewise = FrameBuffer(1000), FrameBuffer(1000)
        whole.feed(b"".join(pieces))
        try:
            expected = list(iter(whole.next_frame, None))
        except ClientError:
            return
        found = []
        for piece in pieces:
            piecewise.feed(piece)
            found += list(iter(piecewise.next_frame, None))
        assert found == expected
        assert piecewise.take_rest() == whole.take_rest()

    check()


def test_fields_of_errors() -> None:
    @fuzz(st.binary(max_size=60))
    def check(body: bytes) -> None:
        with contextlib.suppress(ClientError):
            messages.decode_error_fields(body)

    check()


# --- Files ------------------------------------------------------------------------------------------------------------

_EXAMPLE = (Path(__file__).parents[2] / "examples" / "interceptor.toml").read_bytes()
_changes = st.lists(
    st.tuples(
        st.integers(0, len(_EXAMPLE)),
        st.integers(0, 8),
        st.one_of(
            st.binary(max_size=4),
            st.sampled_from(
                [
                    b"[",
                    b"]",
                    b'"',
                    b"=",
                    b"\n",
                    b"''' ",
                    b"${",
                    b"}",
                    b"[[",
                    b".",
                    b"-1",
                    b"1e999",
                    b"{}",
                    b"[databases]",
                ]
            ),
        ),
    ),
    max_size=4,
)


def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "interceptor.toml"

    @fuzz(_changes)
    def check(changes: list[tuple[int, int, bytes]]) -> None:
        data = _EXAMPLE
        for at, removed, added in changes:
            data = data[:at] + added + data[at + removed :]
        path.write_bytes(data)
        loaded = attempt(lambda: load_config(path, {}), ConfigError)
        if isinstance(loaded, ConfigError):
            assert loaded.file == str(path)
            assert str(loaded).startswith(str(path))

    check()


def test_user_files(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    lines = st.sampled_from(
        [
            b'"alice" "plain"',
            b'"bob" "md5' + b"0" * 32 + b'"',
            b'"carol" "SCRAM-SHA-256$4096:c2FsdA==$',
            b";",
            b'"',
            b"\r",
            b"\0",
        ]
    )

    @fuzz(st.lists(st.one_of(lines, st.binary(max_size=30)), max_size=5).map(b"\n".join))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        loaded = attempt(lambda: UserList.load(path), ConfigError)
        assert not isinstance(loaded, ConfigError) or loaded.file == str(path)

    check()


# --- SQL --------------------------------------------------------------------------------------------------------------

_tokens = st.sampled_from(
    "SELECT FROM WHERE INSERT INTO VALUES UPDATE SET DELETE WITH AS ( ( ) ) , ; ; ' \" $$ $1 $a$ -- /* */ E' U&' \\ :: "
    "* + - 1 NULL t x y BEGIN COMMIT PREPARE EXECUTE COPY STDIN CREATE TEMP TABLE DO LISTEN DECLARE CURSOR HOLD CASE "
    "WHEN THEN END UNION ALL ARRAY[ ] {x} nextval('s') set_config('a','b',false) pg_advisory_lock(1) \0 é \n".split(" ")
)


def test_sql_is_judged_whatever_it_is() -> None:
    @fuzz(st.one_of(st.lists(_tokens, max_size=30).map(" ".join).map(str.encode), st.binary(max_size=60)))
    def check(sql: bytes) -> None:
        assert analyse(sql) is not None

    check()


@pytest.mark.skipif("FUZZ_SECONDS" not in os.environ, reason="deep SQL takes a while")
def test_deep_sql_is_judged() -> None:
    for opening, closing in (
        ("(", ")"),
        ("SELECT (", ")"),
        ("-", ""),
        ("NOT ", ""),
        ("ARRAY[", "]"),
        ("CASE WHEN ", " END"),
    ):
        for depth in (10, 1000, 100_000):
            assert analyse(("SELECT " + opening * depth + "1" + closing * depth).encode()) is not None
