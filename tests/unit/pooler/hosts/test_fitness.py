from __future__ import annotations

import pytest

from interceptor.session.reported import reported_of
from pooler.config.hosts import TargetSessionAttrs
from pooler.hosts.fitness import why_unfit
from pooler.login import Welcome


def said(standby: str | None, read_only: str | None) -> Welcome:
    """What a server reports at login; None for what it keeps to itself."""
    named = {b"in_hot_standby": standby, b"default_transaction_read_only": read_only}
    return Welcome(b"", reported_of({name: value.encode() for name, value in named.items() if value is not None}))


async def unexpected(query: str) -> bytes:
    raise AssertionError(query)


PRIMARY, STANDBY, SHUT, BOTH = said("off", "off"), said("on", "off"), said("off", "on"), said("on", "on")


@pytest.mark.parametrize(
    ("attrs", "fit"),
    [
        ("any", [PRIMARY, STANDBY, SHUT, BOTH]),
        ("read-write", [PRIMARY]),
        ("read-only", [STANDBY, SHUT, BOTH]),
        ("primary", [PRIMARY, SHUT]),
        ("standby", [STANDBY, BOTH]),
    ],
)
async def test_servers_that_say_what_they_are(attrs: str, fit: list[Welcome]) -> None:
    for welcome in (PRIMARY, STANDBY, SHUT, BOTH):
        why = await why_unfit(TargetSessionAttrs(attrs), welcome, {}, unexpected)
        assert (why == "") is (welcome in fit)


@pytest.mark.parametrize("answers_yes", [True, False])
@pytest.mark.parametrize(
    ("attrs", "query", "wants"),
    [
        ("read-write", "SHOW transaction_read_only", False),
        ("read-only", "SHOW transaction_read_only", True),
        ("primary", "SELECT pg_catalog.pg_is_in_recovery()", False),
        ("standby", "SELECT pg_catalog.pg_is_in_recovery()", True),
    ],
)
async def test_servers_that_do_not_are_asked(attrs: str, query: str, wants: bool, answers_yes: bool) -> None:
    asked = []

    async def ask(text: str) -> bytes:
        asked.append(text)
        yes, no = (b"on", b"off") if text.startswith("SHOW") else (b"t", b"f")
        return yes if answers_yes else no

    why = await why_unfit(TargetSessionAttrs(attrs), said(None, None), {}, ask)
    assert (why == "") is (answers_yes is wants)
    assert asked == [query]


@pytest.mark.parametrize(
    "profile", [{"default_transaction_read_only": "on"}, {"options": "-c Default_Transaction_Read_Only=on"}]
)
async def test_what_a_session_says_of_itself_is_not_the_server_s(profile: dict[str, str]) -> None:
    assert await why_unfit(TargetSessionAttrs.READ_WRITE, SHUT, profile, unexpected) == ""
    assert await why_unfit(TargetSessionAttrs.READ_WRITE, BOTH, profile, unexpected)
    assert await why_unfit(TargetSessionAttrs.READ_ONLY, BOTH, profile, unexpected) == ""
    assert await why_unfit(TargetSessionAttrs.READ_ONLY, SHUT, profile, unexpected)
