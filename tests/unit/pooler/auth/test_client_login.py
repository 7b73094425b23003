"""The login of a client: who gets in by what, and what it gives for logging in to a backend."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.errors import BackendError, ClientError, ProtocolViolation
from interceptor.protocol.md5 import md5_hash
from interceptor.protocol.scram_keys import derive_keys
from pooler.auth import (
    MAX_LOGIN_MESSAGE,
    Accepted,
    AuthType,
    BackendCredential,
    BackendLogin,
    ClientLogin,
    KeyCache,
    LoginSettings,
    Md5Hash,
    PlainPassword,
    ScramVerifier,
    Send,
    Shapes,
    StoredCredential,
    Work,
)
from tests.support import frontend as f
from tests.unit.pooler.auth.exchange import SECRET, Outcome, body_of, log_in, run_client_login

ITERATIONS = 3
KEYS = derive_keys(b"pencil", b"the salt of alice", ITERATIONS)
PLAIN = PlainPassword(b"pencil")
MD5 = Md5Hash(md5_hash(b"pencil", b"alice"))
SCRAM = ScramVerifier(KEYS.salt, KEYS.iterations, KEYS.stored_key, KEYS.server_key)
EMPTY = PlainPassword(b"")

ENTRIES: dict[str, StoredCredential] = {"plain": PLAIN, "md5": MD5, "scram": SCRAM}
CLEARTEXT_REQUEST, MD5_REQUEST, SASL_REQUEST = 3, 5, 10


def settings_of(auth_type: AuthType, *entries: StoredCredential) -> LoginSettings:
    return LoginSettings(auth_type, SECRET, Shapes(entries), scram_iterations=ITERATIONS)


# --- who gets in, and with what --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth_type", "entry", "request_code", "credential"),
    [
        ("password", PLAIN, CLEARTEXT_REQUEST, PLAIN),
        ("password", MD5, CLEARTEXT_REQUEST, PLAIN),
        ("password", SCRAM, CLEARTEXT_REQUEST, PLAIN),
        ("md5", PLAIN, MD5_REQUEST, PLAIN),
        ("md5", MD5, MD5_REQUEST, MD5),
        ("md5", SCRAM, SASL_REQUEST, KEYS),
        ("scram-sha-256", PLAIN, SASL_REQUEST, PLAIN),
        ("scram-sha-256", SCRAM, SASL_REQUEST, KEYS),
    ],
)
def test_the_right_password_gets_in(
    auth_type: AuthType, entry: StoredCredential, request_code: int, credential: BackendCredential
) -> None:
    outcome = log_in(settings_of(auth_type, entry), "alice", entry, PLAIN)
    assert outcome.accepted
    assert outcome.visible[0][1] == request_code
    assert outcome.credential == credential


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
@pytest.mark.parametrize("entry", [PLAIN, MD5, SCRAM, EMPTY, None], ids=["plain", "md5", "scram", "empty", "unknown"])
def test_a_wrong_password_does_not(auth_type: AuthType, entry: StoredCredential | None) -> None:
    outcome = log_in(settings_of(auth_type, *ENTRIES.values()), "alice", entry, PlainPassword(b"pencils"))
    assert outcome.error is not None
    assert outcome.error.failure.sqlstate == "28P01"
    assert outcome.error.message == 'password authentication failed for user "alice"'
    assert (outcome.error.detail, outcome.error.hint) == ("", "")


def test_an_md5_entry_cannot_log_in_by_scram() -> None:
    outcome = log_in(settings_of("scram-sha-256", MD5, SCRAM), "alice", MD5, PLAIN)
    assert outcome.error is not None
    assert outcome.visible[0][1] == SASL_REQUEST


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
def test_nobody_gets_in_as_a_stand_in(auth_type: AuthType) -> None:
    """Not even one who knows the secret that stand-ins are made of."""
    for entry in ENTRIES.values():
        settings = settings_of(auth_type, entry)
        login = ClientLogin("nobody", None, settings)
        stand_in = login._entry
        typed = stand_in if isinstance(stand_in, PlainPassword | Md5Hash) else PLAIN
        if auth_type == "md5" or isinstance(typed, PlainPassword):
            assert log_in(settings, "nobody", None, typed).error is not None


@pytest.mark.parametrize(
    ("entry", "credential"), [(PLAIN, PLAIN), (MD5, MD5), (SCRAM, None), (EMPTY, None), (None, None)]
)
def test_trust_asks_nothing_and_gives_what_the_file_has(
    entry: StoredCredential | None, credential: BackendCredential | None
) -> None:
    assert ClientLogin("alice", entry, settings_of("trust")).start() == Accepted(b"", credential)


def test_an_empty_password_is_refused_as_postgresql_does() -> None:
    for entry in (PLAIN, EMPTY, None):
        login = ClientLogin("alice", entry, settings_of("password", PLAIN))
        login.start()
        with pytest.raises(ClientError, match="empty password returned by client"):
            login.receive(ord("p"), b"\0")


passwords = st.one_of(
    st.text(min_size=1).map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(min_size=1)
)


@settings(deadline=None)
@given(passwords.filter(lambda password: 0 not in password), st.sampled_from(["password", "md5", "scram-sha-256"]))
def test_any_password_gets_in(password: bytes, auth_type: AuthType) -> None:
    """SASLprep or not, valid UTF-8 or not."""
    keys = derive_keys(password, b"salt", ITERATIONS)
    entries: list[StoredCredential] = [
        PlainPassword(password),
        ScramVerifier(keys.salt, keys.iterations, keys.stored_key, keys.server_key),
    ]
    for entry in entries:
        assert log_in(settings_of(auth_type, entry), "alice", entry, PlainPassword(password)).accepted


def test_a_password_typed_in_another_form_gets_in_by_scram() -> None:
    entry = PlainPassword("\u00e9".encode())
    assert log_in(settings_of("scram-sha-256"), "alice", entry, PlainPassword("e\u0301".encode())).accepted


def test_a_client_may_let_itself_be_asked_for_its_first_sasl_message() -> None:
    login = ClientLogin("alice", SCRAM, settings_of("scram-sha-256"))
    login.start()
    assert login.receive(ord("p"), b"SCRAM-SHA-256\0\xff\xff\xff\xff") == Send(b"R\0\0\0\x08\0\0\0\x0b")
    step = login.receive(ord("p"), b"n,,n=,r=abc")
    assert isinstance(step, Send)
    assert body_of(step.data).startswith(b"\0\0\0\x0br=abc")


# --- hashing ---------------------------------------------------------------------------------------------------------


def test_a_storm_of_logins_derives_the_keys_of_a_plain_password_once() -> None:
    settings = settings_of("scram-sha-256", PLAIN)
    iterations = [log_in(settings, "alice", PLAIN, PLAIN).hashing.pbkdf2_iterations for _ in range(5)]
    assert iterations == [ITERATIONS, 0, 0, 0, 0]


def test_a_changed_password_holds_at_once() -> None:
    settings = settings_of("scram-sha-256", PLAIN)
    assert log_in(settings, "alice", PLAIN, PLAIN).accepted
    assert log_in(settings, "alice", PlainPassword(b"new"), PLAIN).error
    assert log_in(settings, "alice", PlainPassword(b"new"), PlainPassword(b"new")).accepted


def test_strangers_cannot_fill_the_cache() -> None:
    settings = settings_of("scram-sha-256", PLAIN)
    for number in range(5):
        log_in(settings, f"nobody{number}", None, PLAIN)
    assert len(settings.keys) == 0


def test_a_refusal_is_known_before_its_hashing_is_over() -> None:
    """Who hangs up before it hears of it has failed all the same. Of one that may still be right, nothing is known."""

    def guess(settings: LoginSettings) -> ClientLogin:
        login = ClientLogin("alice", PLAIN, settings)
        login.start()
        first = login.receive(ord("p"), f.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abc").data[5:])
        assert isinstance(first, Send)
        nonce = body_of(first.data)[4:].split(b",")[0]
        assert isinstance(login.receive(ord("p"), b"c=biws," + nonce + b",p=" + b64encode(bytes(32))), Work)
        return login

    settings = settings_of("scram-sha-256", PLAIN)
    assert not guess(settings).is_refused
    assert log_in(settings, "alice", PLAIN, PLAIN).accepted
    assert guess(settings).is_refused


# --- unknown users ---------------------------------------------------------------------------------------------------


def seen(outcome: Outcome, user: str) -> object:
    assert outcome.error is not None
    return outcome.visible, outcome.hashing, outcome.error.failure, outcome.error.message.replace(user, "x")


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize("has_logged_in", [False, True], ids=["first login", "after a login"])
def test_an_unknown_user_looks_like_a_wrong_password(auth_type: AuthType, kind: str, has_logged_in: bool) -> None:
    """The same messages of the same lengths in the same number, the same error, and as much hashing."""
    entry = ENTRIES[kind]
    settings = settings_of(auth_type, entry)
    wrong = PlainPassword(b"wrong")
    if has_logged_in:
        log_in(settings, "alice", entry, PLAIN)
    of_known = log_in(settings, "alice", entry, wrong)
    of_known_again = log_in(settings, "alice", entry, wrong)
    of_unknown = log_in(settings, "nobody", None, wrong)
    assert seen(of_known, "alice") == seen(of_known_again, "alice") == seen(of_unknown, "nobody")


@pytest.mark.parametrize("auth_type", ["password", "md5", "scram-sha-256"])
def test_that_holds_without_a_user_file_too(auth_type: AuthType) -> None:
    """Where the only credential is the password of a connection string, which no shape tells of."""
    settings = settings_of(auth_type)
    wrong = PlainPassword(b"wrong")
    of_known = log_in(settings, "alice", PLAIN, wrong)
    assert seen(of_known, "alice") == seen(log_in(settings, "nobody", None, wrong), "nobody")


@pytest.mark.parametrize("auth_type", ["md5", "scram-sha-256"])
@pytest.mark.parametrize("entry", [PLAIN, SCRAM])
def test_salt_and_iterations_of_an_unknown_user_stay_the_same(auth_type: AuthType, entry: StoredCredential) -> None:
    """As they do for a user that exists, in all processes that share the secret."""

    def challenges(user: str, credential: StoredCredential | None) -> set[bytes]:
        of_each = set()
        for _ in range(3):
            settings = replace(settings_of(auth_type, SCRAM), shapes=Shapes([entry]))
            outcome = log_in(settings, user, credential, PlainPassword(b"wrong"))
            if outcome.visible[0][1] == SASL_REQUEST:
                of_each.add(outcome.sent[1].partition(b",")[2])
            else:
                of_each.add(b"md5 has a new salt each time")
        return of_each

    assert len(challenges("alice", entry)) == 1
    assert len(challenges("nobody", None)) == 1
    if auth_type == "scram-sha-256":
        assert challenges("nobody", None) != challenges("no one", None)


# --- bad input -------------------------------------------------------------------------------------------------------


def awaiting_password() -> ClientLogin:
    return started("password", PLAIN)


def awaiting_md5() -> ClientLogin:
    return started("md5", PLAIN)


def awaiting_sasl() -> ClientLogin:
    return started("scram-sha-256", PLAIN)


def awaiting_sasl_first() -> ClientLogin:
    login = awaiting_sasl()
    login.receive(ord("p"), b"SCRAM-SHA-256\0\xff\xff\xff\xff")
    return login


def awaiting_sasl_final() -> ClientLogin:
    login = awaiting_sasl()
    login.receive(ord("p"), b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc")
    return login


def started(auth_type: AuthType, entry: StoredCredential) -> ClientLogin:
    login = ClientLogin("alice", entry, settings_of(auth_type, entry))
    assert isinstance(login.start(), Send)
    return login


STATES = [awaiting_password, awaiting_md5, awaiting_sasl, awaiting_sasl_first, awaiting_sasl_final]


@pytest.mark.parametrize("begin", STATES)
@pytest.mark.parametrize("message_type", [*b"QXPd", 0, 255])
def test_another_message_than_a_password_is_a_violation(begin: Callable[[], ClientLogin], message_type: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"response, got message type {message_type}"):
        begin().receive(message_type, b"pencil\0")


@pytest.mark.parametrize("begin", STATES)
def test_a_huge_message_is_a_violation(begin: Callable[[], ClientLogin]) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        begin().receive(ord("p"), b"x" * MAX_LOGIN_MESSAGE + b"\0")
    assert caught.value.failure.sqlstate == "54000"


@pytest.mark.parametrize(
    ("begin", "body"),
    [
        (awaiting_password, b""),
        (awaiting_password, b"pencil"),
        (awaiting_password, b"pencil\0\0"),
        (awaiting_password, b"pencil\0pencil\0"),
        (awaiting_md5, b""),
        (awaiting_sasl, b""),
        (awaiting_sasl, b"SCRAM-SHA-256"),
        (awaiting_sasl, b"SCRAM-SHA-256\0"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\0\0\0"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\0\0\0\0"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\0\0\0\x0an,,n=,r=abc"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\0\0\0\x0cn,,n=,r=abc"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\xff\xff\xff\xffn,,n=,r=abc"),
        (awaiting_sasl, b"SCRAM-SHA-256\0\xff\xff\xff\xfen,,n=,r=abc"),
        (awaiting_sasl, b"SCRAM-SHA-256-PLUS\0\0\0\0\x0bn,,n=,r=abc"),
        (awaiting_sasl, b"scram-sha-256\0\0\0\0\x0bn,,n=,r=abc"),
        (awaiting_sasl_first, b""),
        (awaiting_sasl_final, b""),
    ],
)
def test_malformed_messages_are_violations(begin: Callable[[], ClientLogin], body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        begin().receive(ord("p"), body)


@settings(deadline=None)
@given(
    st.sampled_from(STATES),
    st.sampled_from([b"", b"SCRAM-SHA-256\0", b"SCRAM-SHA-256\0\0\0\0\x0bn,,", b"md5", b"c=biws,r=abc"]),
    st.binary(max_size=60),
    st.sampled_from([b"", b"\0", b",p=AAAA", b",n=,r=x"]),
)
def test_any_bytes_are_answered_by_a_step_or_a_client_error(
    begin: Callable[[], ClientLogin], head: bytes, middle: bytes, tail: bytes
) -> None:
    try:
        step = begin().receive(ord("p"), head + middle + tail)
    except ClientError:
        return
    assert isinstance(step, Send | Work | Accepted)


@settings(deadline=None)
@given(st.data())
def test_a_valid_login_with_any_byte_changed_is_a_client_error_or_a_login(data: st.DataObject) -> None:
    victim = data.draw(st.integers(1, 2))
    rounds = 0

    def spoil(body: bytes) -> bytes:
        nonlocal rounds
        rounds += 1
        if rounds != victim:
            return body
        position = data.draw(st.integers(0, len(body) - 1))
        return body[:position] + data.draw(st.binary(max_size=2)) + body[position + 1 :]

    backend_login = BackendLogin("alice", KEYS, KeyCache())

    def answer(body: bytes) -> bytes:
        step = backend_login.receive(body)
        assert isinstance(step, Send)
        return spoil(body_of(step.data))

    with suppress(BackendError):  # which our client raises where its nonce was spoiled
        outcome = run_client_login(ClientLogin("alice", SCRAM, settings_of("scram-sha-256", SCRAM)), answer)
        assert outcome.accepted or outcome.error


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_nothing_that_is_handed_out_shows_a_secret() -> None:
    settings = settings_of("scram-sha-256", PLAIN)
    step = awaiting_password().receive(ord("p"), b"pencil\0")
    assert isinstance(step, Accepted)
    shown = repr([settings, step, PLAIN, MD5, SCRAM, KEYS, ClientLogin("alice", PLAIN, settings)])
    for secret in (b"pencil", MD5.stored, KEYS.client_key, KEYS.server_key, SECRET):
        assert repr(secret)[2:-1] not in shown


def test_work_shows_no_secret() -> None:
    login = awaiting_sasl()
    reply = login.receive(ord("p"), b"SCRAM-SHA-256\0\0\0\0\x0bn,,n=,r=abc")
    assert isinstance(reply, Send)
    nonce = reply.data[9:].partition(b",")[0]
    step = login.receive(ord("p"), b"c=biws," + nonce + b",p=" + b"A" * 43 + b"=")
    assert isinstance(step, Work)
    assert "pencil" not in repr(step) + repr(step.function)
