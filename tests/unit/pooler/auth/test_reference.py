"""docs/reference/auth.md gives the limits that hold."""

from __future__ import annotations

import re
from pathlib import Path

from interceptor.protocol.saslprep import MAX_PREPARED
from interceptor.protocol.scram import MAX_CLIENT_MESSAGE, MAX_SERVER_MESSAGE
from interceptor.protocol.scram_keys import MAX_ITERATIONS, MAX_SALT_LENGTH
from pooler.auth import MAX_LOGIN_MESSAGE
from pooler.auth.key_cache import MAX_ENTRIES
from pooler.auth.userlist import MAX_FILE_SIZE, MAX_PASSWORD_LENGTH, MAX_USER_LENGTH

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "auth.md"


def test_every_limit_is_documented_with_its_number() -> None:
    section = PAGE.read_text().partition("## Limits")[2].partition("\n## ")[0]
    numbers = [int(number) for number in re.findall(r"^\| [^|]+ \| (\d+)", section, re.MULTILINE)]
    assert numbers == [
        MAX_USER_LENGTH,
        MAX_PASSWORD_LENGTH,
        MAX_FILE_SIZE,
        MAX_LOGIN_MESSAGE,
        MAX_CLIENT_MESSAGE,
        MAX_SERVER_MESSAGE,
        MAX_SALT_LENGTH,
        MAX_ITERATIONS,
        MAX_PREPARED,
        MAX_ENTRIES,
    ]
