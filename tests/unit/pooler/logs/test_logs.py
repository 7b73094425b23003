"""How lines of the log look, and how many there are."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

import pytest

from interceptor.errors import QUERY_CANCELED, QUERY_WAIT_TIMEOUT, ClientError
from pooler.logs import FIELDS, JsonFormatter, RateLimit, TextFormatter
from pooler.logs import limit as limit_module


class Somebody:
    def __str__(self) -> str:
        return "client 7"

    def log_fields(self) -> Mapping[str, str | int]:
        return {"client": 7, "database": "app"}


def record(message: str, *arguments: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("pooler.client", level, __file__, 1, message, arguments, None)


def test_a_line_of_json_has_the_parts_of_what_it_is_about() -> None:
    line = json.loads(JsonFormatter().format(record('%s: "%s"\nand more', Somebody(), "ü")))
    assert line["message"] == 'client 7: "ü"\nand more'
    assert (line["client"], line["database"], line["level"], line["logger"]) == (7, "app", "WARNING", "pooler.client")
    assert line.keys() <= FIELDS.keys()


def test_json_is_one_line_with_a_time_that_programs_read() -> None:
    made = record("a\nb")
    made.created, made.msecs = 1.25, 250.0
    text = JsonFormatter().format(made)
    assert "\n" not in text
    assert json.loads(text)["time"] == "1970-01-01T00:00:01.250Z"


def test_a_trace_is_a_field() -> None:
    try:
        raise ValueError("a defect")
    except ValueError as error:
        made = record("failed")
        made.exc_info = (type(error), error, error.__traceback__)
    assert "ValueError: a defect" in json.loads(JsonFormatter().format(made))["trace"]


def test_nobody_can_forge_a_line_of_text() -> None:
    forged = TextFormatter().format(record("%s: login", "x\n2026-01-01 00:00:00 INFO pooler: all is well\r"))
    assert [line[:4] for line in forged.split("\n")[1:]] == ["    "]
    assert "\r" not in forged


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_name_is_a_command_to_the_terminal(formatter: logging.Formatter) -> None:
    name = "a\x1b[2Jb\x9b31mc\x07d\u2028e\x7f\x00ü"
    line = formatter.format(record("%s: login", name))
    assert line.isprintable()
    assert "ü" in line
    if isinstance(formatter, JsonFormatter):
        assert json.loads(line)["message"] == f"{name}: login"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(limit_module, "monotonic", lambda: now[0])
    return now


def test_a_storm_is_counted_and_told_of(clock: list[float]) -> None:
    limit = RateLimit(3)
    assert [limit.filter(record("%s: gone", number)) for number in range(5)] == [True] * 3 + [False] * 2
    assert limit.filter(record("%s: login", 1)), "another sort is not held up"
    clock[0] += 1
    made = record("%s: gone", 9)
    assert limit.filter(made)
    assert made.getMessage() == "9: gone (and 2 more of this sort were left out)"
    again = record("%s: gone", 9)
    assert limit.filter(again)
    assert again.getMessage() == "9: gone"


def test_errors_with_another_code_are_another_sort(clock: list[float]) -> None:
    limit = RateLimit(1)
    one, other = ClientError(QUERY_CANCELED, "x"), ClientError(QUERY_WAIT_TIMEOUT, "y")
    assert [limit.filter(record("%s: %s", 1, error)) for error in (one, one, other)] == [True, False, True]


def test_our_own_bugs_are_never_left_out(clock: list[float]) -> None:
    limit = RateLimit(1)
    assert all(limit.filter(record("a bug", level=logging.ERROR)) for _ in range(5))
    assert all(RateLimit(0).filter(record("x")) for _ in range(500))


def test_sorts_that_never_end_take_no_more_memory(clock: list[float]) -> None:
    limit = RateLimit(1)
    for number in range(5000):
        limit.filter(record(f"sort {number}"))
    assert len(limit._sorts) <= limit_module.MAX_SORTS + 1
