"""The file of users and passwords, in PgBouncer's auth_file format (its src/loader.c, load_auth_file).

::

    ; a comment, which needs its own line
    "alice" "plain password"
    "bob" "md5..."
    "carol" "SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>" what follows is ignored
    "dave" "a double quote "" is written twice"

What PgBouncer's own parser lets pass though it can only be a mistake is an error here: an entry over several lines (a
closing quote is missing), something between the two fields, and a SCRAM verifier that can't be read, which PgBouncer
would take for a plain password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from interceptor.errors import ConfigError
from interceptor.protocol.md5 import is_md5_hash
from interceptor.protocol.scram_keys import decode_verifier, is_verifier
from pooler.auth.credentials import Md5Hash, PlainPassword, StoredCredential
from pooler.auth.stand_in import Shapes

__all__ = ["MAX_PASSWORD_LENGTH", "MAX_USER_LENGTH", "UserList", "decode_password"]

MAX_USER_LENGTH = 127  # bytes; PgBouncer's MAX_USERNAME counts a final zero byte
MAX_PASSWORD_LENGTH = 65530  # bytes; PgBouncer's MAX_PASSWORD, likewise
MAX_FILE_SIZE = 1 << 30  # bytes; five million users with verifiers

_BLANK = b" \t\v\f\r"  # what C's isspace finds inside a line
_FIELD = re.compile(rb'"((?:[^"]|"")*)"')


class UserList:
    """The users of one file. Immutable: a reload makes another."""

    __slots__ = ("_credentials", "shapes")

    def __init__(self, credentials: Mapping[str, StoredCredential] | None = None) -> None:
        self._credentials = dict(credentials or {})
        self.shapes = Shapes(self._credentials.values())

    def __len__(self) -> int:
        return len(self._credentials)

    def __iter__(self) -> Iterator[str]:
        return iter(self._credentials)

    def __repr__(self) -> str:
        return f"<UserList of {len(self)} users>"

    def get(self, name: str) -> StoredCredential | None:
        """What the file holds of a user, or None if it doesn't name it."""
        return self._credentials.get(name)

    @classmethod
    def load(cls, path: str | Path) -> UserList:
        """Read a user file. Of two lines for one user the later holds, as in PgBouncer.

        Raises ConfigError with file and line; its text shows nothing that the line holds.
        """
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_FILE_SIZE + 1)
        except OSError as error:
            raise ConfigError(str(path), 0, "", f"the user file can't be read: {error.strerror}") from error
        if len(content) > MAX_FILE_SIZE:
            raise ConfigError(str(path), 0, "", f"the user file is larger than {MAX_FILE_SIZE} bytes")
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, file: str) -> UserList:
        """Read the content of a user file; ``file`` is its name for errors. Raises ConfigError as `load` does."""
        credentials: dict[str, StoredCredential] = {}
        for number, line in enumerate(content.split(b"\n"), 1):
            line = line.strip(_BLANK)
            if line and not line.startswith(b";"):
                try:
                    name, credential = _decode_line(line)
                except ValueError as error:
                    raise ConfigError(file, number, "", str(error)) from error
                credentials[name] = credential
        return cls(credentials)


def decode_password(stored: bytes) -> StoredCredential:
    """Tell what kind of a password this is, by the rules of PostgreSQL's get_password_type.

    Raises ValueError, which shows nothing of it, for a SCRAM verifier that can't be read.
    """
    if is_verifier(stored):
        return decode_verifier(stored)
    return Md5Hash(stored) if is_md5_hash(stored) else PlainPassword(stored)


def _decode_line(line: bytes) -> tuple[str, StoredCredential]:
    if b"\0" in line:
        raise ValueError("a zero byte: this is not a text file")
    name, end = _decode_field(line, 0, "a user name", MAX_USER_LENGTH)
    if not name:
        raise ValueError("the user name is empty")
    start = end
    while line[start : start + 1] and line[start] in _BLANK:
        start += 1
    password, _ = _decode_field(line, start, "a password", MAX_PASSWORD_LENGTH)
    try:
        return name.decode(), decode_password(password)
    except UnicodeDecodeError:
        # Without the cause, which carries the bytes that could not be decoded.
        raise ValueError("the user name is not UTF-8") from None


def _decode_field(line: bytes, start: int, what: str, max_length: int) -> tuple[bytes, int]:
    match = _FIELD.match(line, start)
    if match is None:
        raise ValueError(
            f"expected {what} in double quotes (a quote inside is written twice); "
            'a line has the form "user" "password", and comments begin with ;'
        )
    value = match[1].replace(b'""', b'"')
    if len(value) > max_length:
        raise ValueError(f"{what} may not be longer than {max_length} bytes")
    return value, match.end()
