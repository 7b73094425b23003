"""Dates, times and intervals as PostgreSQL writes them under each DateStyle and IntervalStyle.

Source: datetime.c, EncodeDateOnly, EncodeDateTime, EncodeInterval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from interceptor.protocol.datatypes import Interval

__all__ = ["DEFAULT_STYLE", "TextStyle", "write_date", "write_interval", "write_time", "write_timestamp"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# PostgreSQL's names of encodings that Python calls otherwise; all else Python finds by itself (LATIN1, EUC_JP…).
_CODECS: Final = {"SQL_ASCII": "utf-8", "UNICODE": "utf-8", "UTF8": "utf-8", "UHC": "cp949", "MULE_INTERNAL": ""}


@dataclass(frozen=True, slots=True)
class TextStyle:
    """The settings of a session that decide how values look as text."""

    encoding: str = "utf-8"
    """Python's name of it."""
    date_style: str = "ISO"
    """``ISO``, ``SQL``, ``Postgres`` or ``German``."""
    day_first: bool = False
    interval_style: str = "postgres"
    time_zone: tzinfo = UTC
    bytea_escape: bool = False
    float_digits: int = 1
    """extra_float_digits."""

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> TextStyle:
        """From settings as the server reports them, by lower-case name. Raises ValueError for one that isn't known."""
        style, _, order = settings.get("datestyle", "ISO, MDY").partition(", ")
        encoding = settings.get("client_encoding", "UTF8").upper()
        codec = _CODECS.get(encoding) or encoding.replace("WIN", "cp")
        try:
            "".encode(codec)
        except LookupError:
            raise ValueError(f"values can't be written in the client's encoding {encoding}") from None
        return cls(
            encoding=codec,
            date_style=style,
            day_first=order == "DMY",
            interval_style=settings.get("intervalstyle", "postgres"),
            time_zone=_zone(settings.get("timezone", "UTC")),
            bytea_escape=settings.get("bytea_output", "hex") == "escape",
            float_digits=int(settings.get("extra_float_digits", "1")),
        )


def _zone(name: str) -> tzinfo:
    if name.upper() in ("UTC", "ETC/UTC"):
        return UTC  # without the time zone database, which a small image may lack
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"the client's time zone {name} is not known here") from None


DEFAULT_STYLE: Final = TextStyle()


def write_date(value: date, style: TextStyle) -> str:
    """A date."""
    year, month, day = f"{value.year:04}", f"{value.month:02}", f"{value.day:02}"
    match style.date_style:
        case "ISO":
            return f"{year}-{month}-{day}"
        case "SQL":
            return f"{day}/{month}/{year}" if style.day_first else f"{month}/{day}/{year}"
        case "German":
            return f"{day}.{month}.{year}"
        case _:
            return f"{day}-{month}-{year}" if style.day_first else f"{month}-{day}-{year}"


def write_time(value: time | datetime) -> str:
    """A time of day, without a zone."""
    fraction = f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
    return f"{value.hour:02}:{value.minute:02}:{value.second:02}{fraction}"


def write_timestamp(value: datetime, style: TextStyle) -> str:
    """A timestamp; one with a zone in the session's zone."""
    zone = ""
    if value.tzinfo is not None:
        value = value.astimezone(style.time_zone)
        zone = _offset(value) if style.date_style == "ISO" else f" {value.tzname()}"
    if style.date_style not in ("ISO", "SQL", "German"):
        month, day = _MONTHS[value.month - 1], f"{value.day:02}"
        first = f"{day} {month}" if style.day_first else f"{month} {day}"
        return f"{_DAYS[value.weekday()]} {first} {write_time(value)} {value.year:04}{zone}"
    return f"{write_date(value, style)} {write_time(value)}{zone}"


def _offset(value: datetime) -> str:
    """+02, or +05:30, or -00:01:15."""
    offset = value.utcoffset()
    assert offset is not None
    seconds = round(offset.total_seconds())
    minutes, second = divmod(abs(seconds), 60)
    hour, minute = divmod(minutes, 60)
    text = f"{'-' if seconds < 0 else '+'}{hour:02}"
    if minute or second:
        text += f":{minute:02}"
    return text + (f":{second:02}" if second else "")


@dataclass(frozen=True, slots=True)
class _Parts:
    """An interval as PostgreSQL prints it: all parts of a division have the sign of what was divided."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    micro: int

    @property
    def has_time(self) -> bool:
        return bool(self.hour or self.minute or self.second or self.micro)

    @property
    def negative_time(self) -> bool:
        return self.hour < 0 or self.minute < 0 or self.second < 0 or self.micro < 0


def _split(value: Interval) -> _Parts:
    sign = -1 if value.months < 0 else 1
    year, month = divmod(abs(value.months), 12)
    time_sign = -1 if value.microseconds < 0 else 1
    seconds, micro = divmod(abs(value.microseconds), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return _Parts(
        sign * year, sign * month, value.days,
        time_sign * hour, time_sign * minute, time_sign * second, time_sign * micro,
    )  # fmt: skip


def write_interval(value: Interval, style: TextStyle) -> str:
    """An interval."""
    parts = _split(value)
    match style.interval_style:
        case "sql_standard":
            return _sql_standard(parts)
        case "iso_8601":
            return _iso_8601(parts)
        case "postgres_verbose":
            return _verbose(parts)
        case _:
            return _postgres(parts)


def _seconds(parts: _Parts, fill: bool) -> str:
    whole = f"{abs(parts.second):02}" if fill else str(abs(parts.second))
    return whole + (f".{abs(parts.micro):06}".rstrip("0") if parts.micro else "")


def _postgres(parts: _Parts) -> str:
    words: list[str] = []
    before = False
    for value, unit in ((parts.year, "year"), (parts.month, "mon"), (parts.day, "day")):
        if value:
            words.append(f"{'+' if before and value > 0 else ''}{value} {unit}{'' if value == 1 else 's'}")
            before = value < 0
    if parts.has_time or not words:
        sign = "-" if parts.negative_time else "+" if before else ""
        words.append(f"{sign}{abs(parts.hour):02}:{abs(parts.minute):02}:{_seconds(parts, True)}")
    return " ".join(words)


def _sql_standard(parts: _Parts) -> str:
    values = (parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second, parts.micro)
    negative, positive = any(one < 0 for one in values), any(one > 0 for one in values)
    if not negative and not positive:
        return "0"
    years = bool(parts.year or parts.month)
    clock = f"{abs(parts.hour)}:{abs(parts.minute):02}:{_seconds(parts, True)}"
    if (negative and positive) or (years and (parts.day or parts.has_time)):
        year_sign = "-" if parts.year < 0 or parts.month < 0 else "+"
        day_sign = "-" if parts.day < 0 else "+"
        time_sign = "-" if parts.negative_time else "+"
        return f"{year_sign}{abs(parts.year)}-{abs(parts.month)} {day_sign}{abs(parts.day)} {time_sign}{clock}"
    sign = "-" if negative else ""
    if years:
        return f"{sign}{abs(parts.year)}-{abs(parts.month)}"
    return f"{sign}{abs(parts.day)} {clock}" if parts.day else f"{sign}{clock}"


def _iso_8601(parts: _Parts) -> str:
    day = [(parts.year, "Y"), (parts.month, "M"), (parts.day, "D")]
    text = "P" + "".join(f"{value}{unit}" for value, unit in day if value)
    if parts.has_time:
        text += "T" + "".join(f"{value}{unit}" for value, unit in ((parts.hour, "H"), (parts.minute, "M")) if value)
        if parts.second or parts.micro:
            text += f"{'-' if parts.second < 0 or parts.micro < 0 else ''}{_seconds(parts, False)}S"
    return text if text != "P" else "PT0S"


def _verbose(parts: _Parts) -> str:
    words: list[str] = []
    ago = False
    units = (
        (parts.year, "year"),
        (parts.month, "mon"),
        (parts.day, "day"),
        (parts.hour, "hour"),
        (parts.minute, "min"),
    )
    for value, unit in units:
        if value:
            if not words:
                ago = value < 0
            shown = -value if ago else value
            words.append(f"{shown} {unit}{'' if shown == 1 else 's'}")
    if parts.second or parts.micro:
        negative = parts.second < 0 or parts.micro < 0
        if not words:
            ago = negative
        sign = "-" if negative != ago else ""
        plural = "" if abs(parts.second) == 1 and not parts.micro else "s"
        words.append(f"{sign}{_seconds(parts, False)} sec{plural}")
    return "@ " + (" ".join(words) or "0") + (" ago" if ago else "")
