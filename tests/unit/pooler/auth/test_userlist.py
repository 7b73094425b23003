"""The user file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.errors import ConfigError
from interceptor.protocol.scram_keys import derive_keys, encode_verifier
from pooler.auth import Md5Hash, PlainPassword, ScramVerifier, UserList
from pooler.auth.userlist import MAX_PASSWORD_LENGTH, MAX_USER_LENGTH

VERIFIER = encode_verifier(derive_keys(b"hidden", b"the salt", 5))


def parse(content: bytes) -> UserList:
    return UserList.parse(content, "users.txt")


def test_the_three_kinds_of_entries(tmp_path: Path) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes(b'"alice" "hidden"\n"bob" "md545f2603610af569b6155c45067268c6b"\n"carol" "%b"\n' % VERIFIER)
    users = UserList.load(path)
    assert list(users) == ["alice", "bob", "carol"]
    assert users.get("alice") == PlainPassword(b"hidden")
    assert users.get("bob") == Md5Hash(b"md545f2603610af569b6155c45067268c6b")
    carol = users.get("carol")
    assert isinstance(carol, ScramVerifier)
    assert encode_verifier(carol) == VERIFIER
    assert users.get("dave") is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b'"alice" "hidden"', id="no line end"),
        pytest.param(b'"alice" "hidden"\r\n', id="line ends of Windows"),
        pytest.param(b'\n  \n\t"alice"\t "hidden"\n', id="blanks"),
        pytest.param(b'; "bob" "x"\n  ;"carol" "y"\n"alice" "hidden"\n;', id="comments"),
        pytest.param(b'"alice" "hidden" "third field" ; and more\n', id="rest of the line"),
        pytest.param(b'"alice" "old"\n"alice" "hidden"\n', id="the later line holds"),
    ],
)
def test_what_pgbouncer_reads(content: bytes) -> None:
    users = parse(content)
    assert list(users) == ["alice"]
    assert users.get("alice") == PlainPassword(b"hidden")


def test_an_entry_without_password_is_read() -> None:
    assert parse(b'"alice" ""').get("alice") == PlainPassword(b"")


def test_md5_for_a_plain_password_that_looks_a_little_like_a_hash() -> None:
    assert parse(b'"alice" "md5rocks"').get("alice") == PlainPassword(b"md5rocks")


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        pytest.param(b"# hidden\n", 1, "comments begin with ;", id="not PgBouncer's comment sign"),
        pytest.param(b'\n"alice" "x"\nalice "hidden"', 3, "a user name in double quotes", id="user without quotes"),
        pytest.param(b'"alice hidden', 1, "a user name in double quotes", id="user not closed"),
        pytest.param(b'"alice" hidden', 1, "a password in double quotes", id="password without quotes"),
        pytest.param(b'"alice" "hidden\n"bob" "x"', 1, "a password in double quotes", id="password not closed"),
        pytest.param(b'"alice"\n"hidden" "x"', 1, "a password in double quotes", id="no password"),
        pytest.param(b'"alice""hidden"', 1, "a password in double quotes", id="doubled quote where one field ends"),
        pytest.param(b'"alice" : "hidden"', 1, "a password in double quotes", id="something between"),
        pytest.param(b'"" "hidden"', 1, "the user name is empty", id="empty user"),
        pytest.param(b'"\xff" "hidden"', 1, "not UTF-8", id="user in no encoding"),
        pytest.param(b'"alice" "hid\0den"', 1, "not a text file", id="zero byte"),
        pytest.param(b'\xef\xbb\xbf"alice" "hidden"', 1, "a user name in double quotes", id="byte order mark"),
        pytest.param(b'"alice" "SCRAM-SHA-256$hidden"', 1, "has the form SCRAM-SHA-256", id="broken verifier"),
        pytest.param(b'"%b" "hidden"' % (b"a" * (MAX_USER_LENGTH + 1)), 1, "longer than 127 bytes", id="long user"),
        pytest.param(
            b'"alice" "hidden%b"' % (b"a" * MAX_PASSWORD_LENGTH), 1, "longer than 65530 bytes", id="long password"
        ),
    ],
)
def test_mistakes_are_named_and_the_line_is_not_shown(content: bytes, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        parse(content)
    assert (caught.value.file, caught.value.line) == ("users.txt", line)
    shown = f"{caught.value} {caught.value.__cause__!r}"
    assert "hidden" not in shown
    assert "alice" not in shown


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"users\.txt: the user file can't be read: No such file or directory"):
        UserList.load(tmp_path / "users.txt")


def test_no_repr_shows_a_password() -> None:
    users = parse(b'"alice" "hidden"\n"bob" "md545f2603610af569b6155c45067268c6b"\n"carol" "%b"\n' % VERIFIER)
    shown = repr(users) + repr([users.get(name) for name in users])
    assert "hidden" not in shown
    assert "45f26" not in shown


quotable = st.binary(max_size=40).filter(lambda value: not {0, 10} & set(value))
names = st.text(st.characters(exclude_characters="\0\n", exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(deadline=None)
@given(st.dictionaries(names, quotable.filter(lambda value: not value.startswith(b"SCRAM-SHA-256$"))))
def test_any_users_survive_the_way_through_the_file(passwords: dict[str, bytes]) -> None:
    lines = [
        b'"%b" "%b"\n' % (name.encode().replace(b'"', b'""'), password.replace(b'"', b'""'))
        for name, password in passwords.items()
    ]
    users = parse(b"".join(lines))
    assert {name: users.get(name) for name in users} == {
        name: PlainPassword(password) for name, password in passwords.items()
    }


@settings(deadline=None)
@given(st.one_of(st.binary(), st.text('"a; \n\\').map(str.encode)))
def test_any_bytes_are_a_user_file_or_a_config_error(content: bytes) -> None:
    try:
        parse(content)
    except ConfigError as error:
        assert 1 <= error.line <= content.count(b"\n") + 1  # noqa: PT017
