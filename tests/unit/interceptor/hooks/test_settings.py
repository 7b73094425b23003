"""A plugin's table becomes its Struct, or an error that names the key and repeats no value."""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Literal

import msgspec
import pytest

from interceptor import Duration, Hidden, Size
from interceptor.hooks.settings import SettingsProblem, decode_settings


class Mode(enum.Enum):
    ENFORCE = "enforce"
    SHADOW = "shadow"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    tables: tuple[str, ...] = ()
    cache: bool = True
    ttl: Duration | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    mode: Mode = Mode.ENFORCE
    rule: tuple[Rule, ...] = ()
    by_name: dict[str, Rule] = {}
    ttl: Duration = Duration(60)
    max_bytes: Size = Size(0)
    password: Hidden | None = None
    balance: Literal["p2c", "round_robin"] = "p2c"
    port: int = 0


class Methods(msgspec.Struct, frozen=True, kw_only=True):
    values: bool = False
    items: str = ""
    get: int = 0


def test_a_key_may_have_the_name_of_a_method_of_the_table() -> None:
    assert decode_settings(Methods, MappingProxyType({"get": 3})) == Methods(get=3)


def test_everything_is_read() -> None:
    settings = decode_settings(
        Settings,
        {
            "mode": "shadow",
            "rule": [{"name": "a", "tables": ["x"], "cache": False, "ttl": "10m" + "s"}, {"name": "b"}],
            "by_name": {"c": {"name": "c"}},
            "ttl": 5,
            "max_bytes": "256MB",
            "password": "hunter2",
            "balance": "round_robin",
            "port": 5432,
        },
    )
    assert settings == Settings(
        mode=Mode.SHADOW,
        rule=(Rule(name="a", tables=("x",), cache=False, ttl=Duration(0.01)), Rule(name="b")),
        by_name={"c": Rule(name="c")},
        ttl=Duration(5),
        max_bytes=Size(256 * 1024 * 1024),
        password=Hidden("hunter2"),
        balance="round_robin",
        port=5432,
    )
    assert "hunter2" not in repr(settings)
    assert settings.password is not None
    assert settings.password.reveal() == "hunter2"
    assert isinstance(settings.ttl, Duration)


@pytest.mark.parametrize(
    ("table", "path", "message"),
    [
        ({"moed": 1}, ("moed",), 'unknown setting; did you mean "mode"?'),
        ({"zzz": 1}, ("zzz",), "unknown setting"),
        ({"rule": [{"name": "a"}, {"name": "b", "table": []}]}, ("rule", 1, "table"),
         'unknown setting; did you mean "tables"?'),
        ({"by_name": {"x": {"name": "x", "tll": 1}}}, ("by_name", "x", "tll"), 'unknown setting; did you mean "ttl"?'),
        ({"rule": [{}]}, ("rule", 0, "name"), "missing; it must be given"),
        ({"rule": [{"name": 5}]}, ("rule", 0, "name"), "expected str, got int"),
        ({"rule": {}}, ("rule",), "expected array, got object"),
        ({"mode": "s3cret"}, ("mode",), 'expected one of "enforce", "shadow"'),
        ({"balance": "s3cret"}, ("balance",), 'expected one of "p2c", "round_robin"'),
        ({"ttl": "s3cret"}, ("ttl",), 'expected a duration, such as 5, 0.5 or "10ms"'),
        ({"ttl": -1}, ("ttl",), 'expected a duration, such as 5, 0.5 or "10ms"'),
        ({"ttl": True}, ("ttl",), 'expected a duration, such as 5, 0.5 or "10ms"'),
        ({"max_bytes": "64"}, ("max_bytes",), 'expected a size, such as 65536 or "64MB"'),
        ({"password": 5}, ("password",), "expected a text"),
        ({"port": "s3cret"}, ("port",), "expected int, got str"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_key(table: dict[str, object], path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(SettingsProblem) as raised:
        decode_settings(Settings, table)
    assert (raised.value.path, raised.value.message) == (path, message)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250us", 0.00025), ("10ms", 0.01), ("5s", 5), ("2min", 120), ("1.5h", 5400), ("1 d", 86400)]
)
def test_durations_are_written_as_elsewhere(text: str, seconds: float) -> None:
    assert decode_settings(Settings, {"ttl": text}).ttl == pytest.approx(seconds)
