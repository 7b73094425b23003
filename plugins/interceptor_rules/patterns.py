"""Patterns of the rules file: names of users and the like, names of SQL objects, addresses, hours and weekdays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Addresses", "BadPattern", "NamePattern", "Part", "Words", "parse_hours", "parse_weekdays"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class BadPattern(ValueError):
    """A pattern that means nothing. Its text is a sentence for people."""


def _glob(text: str) -> str:
    """The regular expression of a text in which * stands for any characters and ? for one.

    Stars in a row are one: more of them would make the search take longer, and mean nothing.
    """
    return "".join(
        ".*" if run[0] == "*" else "." if run == "?" else re.escape(run) for run in re.findall(r"\*+|\?|[^*?]+", text)
    )


_MOST_STARS = 4  # each one may multiply the time of a search by the length of the text


def _check_stars(text: str) -> None:
    if len(re.findall(r"\*+", text)) > _MOST_STARS:
        raise BadPattern(f"at most {_MOST_STARS} stars may stand in a pattern: {text!r}")


class Words:
    """Any of some texts, with * and ?. Letters count as they are written."""

    __slots__ = ("_exact", "_globs")

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises BadPattern."""
        exact, globs = set(), []
        for pattern in patterns:
            if "*" in pattern or "?" in pattern:
                _check_stars(pattern)
                globs.append(_glob(pattern))
            else:
                exact.add(pattern)
        self._exact = frozenset(exact)
        self._globs = re.compile("|".join(globs), re.DOTALL) if globs else None

    def match(self, text: str) -> bool:
        """Whether the text is one of them."""
        return text in self._exact or (self._globs is not None and self._globs.fullmatch(text) is not None)


class Part:
    """One part of a name: ``text`` where it is exact, else a pattern."""

    __slots__ = ("_expression", "anything", "source", "text")

    def __init__(self, source: str) -> None:
        self.source = source
        self.text: str | None = None
        self.anything = False
        self._expression: re.Pattern[str] | None = None
        if source.startswith('"'):
            if len(source) < 3 or not source.endswith('"'):
                raise BadPattern(f"a quoted name ends with a quote and isn't empty: {source}")
            self.text = source[1:-1].replace('""', '"')
        elif not source:
            raise BadPattern("a name can't be empty between its dots")
        elif "*" in source or "?" in source:
            _check_stars(source)
            self.anything = set(source) == {"*"}
            self._expression = re.compile(_glob(_folded(source)), re.DOTALL)
        else:
            self.text = _folded(source)

    def match(self, name: str) -> bool:
        """Whether it stands for the name."""
        if self._expression is None:
            return name == self.text
        return self._expression.fullmatch(name) is not None


def _folded(text: str) -> str:
    # As PostgreSQL folds a name without quotes; only ASCII is sure to be folded.
    if text.isascii():
        return text.lower()
    return "".join([chr(ord(one) + 32) if "A" <= one <= "Z" else one for one in text])


_PARTS = re.compile(r'("(?:[^"]|"")*"|[^."]+)(\.|\Z)')


class NamePattern:
    """A name of a table, function or column, with fewer parts than it has or with all of them.

    As in SQL: quotes keep letters as they are, and make * and ? characters like any other; without them capital
    letters count as small ones.
    """

    __slots__ = ("last", "parts", "source")

    def __init__(self, source: str, most: int) -> None:
        """``most`` parts at most: 2 for tables and functions, 3 for columns. Raises BadPattern."""
        parts = []
        place = 0
        while place < len(source):
            found = _PARTS.match(source, place)
            if found is None:
                raise BadPattern(f"{source!r} is no name: put what is unusual in it into double quotes")
            parts.append(Part(found[1]))
            place = found.end()
        if not parts or source.endswith("."):
            raise BadPattern(f"{source!r} is no name")
        if len(parts) > most:
            wanted = "schema.table.column" if most == 3 else "schema.name"
            raise BadPattern(f"{source!r} has {len(parts)} parts, and there are {most} at most: {wanted}")
        self.source = source
        self.parts = tuple(parts)
        self.last = parts[-1]

    def match(self, names: Sequence[str | None]) -> bool:
        """Whether it stands for the name, given as all of its parts; None for one that isn't known, which may be any.

        A pattern of fewer parts says nothing of the first ones.
        """
        for part, name in zip(reversed(self.parts), reversed(names), strict=False):
            if name is not None and not part.match(name):
                return False
        return True

    def __str__(self) -> str:
        return self.source


class Addresses:
    """Any of some networks. ``local`` stands for a Unix socket."""

    __slots__ = ("_local", "_networks", "_seen")

    def __init__(self, networks: Iterable[str]) -> None:
        """Raises BadPattern."""
        self._local = False
        self._networks: list[Network] = []
        self._seen: dict[str, bool] = {}
        for text in networks:
            if text == "local":
                self._local = True
                continue
            try:
                self._networks.append(ip_network(text))
            except ValueError as error:
                raise BadPattern(
                    f'expected a network such as "10.0.0.0/8" or "::1", or "local" for Unix sockets: {error}'
                ) from None

    def match(self, address: str) -> bool:
        """Whether an address, as text, is in one of them; an empty text is a Unix socket."""
        if not address:
            return self._local
        known = self._seen.get(address)
        if known is None:
            if len(self._seen) > 10_000:
                self._seen.clear()
            known = self._seen[address] = self._find(address)
        return known

    def _find(self, address: str) -> bool:
        try:
            parsed: Address = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)


_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)-([01]?\d|2[0-4]):([0-5]\d)")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def parse_hours(text: str) -> tuple[int, int]:
    """Read ``"22:00-06:00"``: minutes of the day, the end excluded. Raises BadPattern."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise BadPattern(f'expected hours such as "08:00-18:00" or "22:00-06:00", found {text!r}')
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if start > 1440 or end > 1440 or start == end:
        raise BadPattern(f"{text!r} are no hours of a day")
    return start, end


def parse_weekdays(texts: Iterable[str]) -> frozenset[int]:
    """Read ``["mon-fri", "sun"]``; Monday is 0. Raises BadPattern."""
    found: set[int] = set()
    for text in texts:
        first, _, last = text.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise BadPattern(f'expected weekdays such as "mon" or "mon-fri", found {text!r}')
        day, end = _DAYS.index(first), _DAYS.index(last or first)
        found.add(day)
        while day != end:
            day = (day + 1) % 7
            found.add(day)
    return frozenset(found)
