"""A plugin that rewrites statements as a comment in them says, for the tests of rewrites."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator

from interceptor import (
    Block,
    Blocked,
    Column,
    CopyRows,
    Execution,
    Planned,
    Rewrite,
    SessionClass,
    Statement,
    Value,
    hookimpl,
)

_NAME = re.compile(r"/\* r:(\w+) (\w*) ?\*/ ?")

NUMBERS = "create temporary table if not exists numbers (i int primary key, t text) on commit drop"


def rows(count: int) -> Iterator[tuple[int, str | None]]:
    for number in range(count):
        yield number, None if number % 3 == 0 else f"é{number}"


async def rows_that_fail(count: int) -> AsyncIterator[tuple[int, str | None]]:
    for row in rows(count):
        yield row
    raise Blocked(Block("P0001", "no more rows", detail=f"there were {count}", position=3))


def copied(made: object) -> CopyRows:
    return CopyRows("numbers", (Column("i", "int4"), Column("t", "text")), made)  # type: ignore[arg-type]


def tagged(text: str, argument: str) -> Rewrite:
    return Rewrite("/* tagged */ " + text)


def renumbered(text: str, argument: str) -> Rewrite:
    """As many parameters as ``argument`` says, in the opposite order."""
    count = int(argument)
    numbers = tuple(range(count, 0, -1))
    return Rewrite(re.sub(r"\$(\d)", lambda found: f"${count + 1 - int(found[1])}", text), numbers)


def valued(text: str, argument: str) -> Rewrite:
    """'8' and '{9}' are the plugin's."""
    numbers = sorted({int(number) for number in re.findall(r"\$([1-7])", text)})
    count = len(numbers)
    new = text.replace("'8'", f"${count + 1}").replace("'{9}'", f"${count + 2}")
    return Rewrite(new, (*numbers, Value("int4", 42), Value("text[]", ["é", None, "b'\\"])))


def before(text: str, argument: str) -> Rewrite:
    steps: dict[str, tuple[str | CopyRows, ...]] = {
        "insert": ("insert into t values (100)",),
        "two": ("insert into t values (100)", "insert into t select max(i) + 1 from t"),
        "fails": ("insert into t values (100)", "insert into nowhere values (1)"),
        "several": ("select 1; select 2",),
        "commit": ("commit",),
        "copy": ("copy t from stdin",),
        "returns": ("select i from generate_series(1, 5000) i", "copy (select 1) to stdout", "do 'begin end'"),
        "notice": ("drop table if exists nothing_of_this_name",),
        "rows": (NUMBERS, "truncate numbers", copied(list(rows(10)))),
        "many": (NUMBERS, "truncate numbers", copied(rows(20_000)), "insert into numbers values (-1, 'last')"),
        "failing": (NUMBERS, copied(rows_that_fail(1000))),
        "twice": (NUMBERS, copied([(1, "a"), (1, "b")])),
        "missing": (copied([(1, "a")]),),
        "late": (NUMBERS, "insert into numbers values (19000, 'x')", copied(rows(20_000))),
    }
    return Rewrite(text.replace("shadow", "numbers"), before=steps[argument])


def described(text: str, argument: str) -> Rewrite:
    return Rewrite(f"select x::int4, y::text from (values (7, 'seven')) v (x, y) -- {text}", describe="original")


def described_before(text: str, argument: str) -> Rewrite:
    sql = "select i::int4, t::text from numbers order by i"
    return Rewrite(sql, before=(NUMBERS, "truncate numbers", copied(rows(3))), describe="original")


def nothing(text: str, argument: str) -> Rewrite:
    return Rewrite("-- nothing")


def several(text: str, argument: str) -> Rewrite:
    return Rewrite(f"{text}; select 2")


def writes(text: str, argument: str) -> Rewrite:
    return Rewrite("insert into t values (5)")


def several_valued(text: str, argument: str) -> Rewrite:
    return Rewrite(f"{text}; select $1", (Value("int4", 1),))


def copies_in(text: str, argument: str) -> Rewrite:
    return Rewrite("copy t from stdin", before=("select 1",))


KINDS: dict[str, Callable[[str, str], Rewrite]] = {
    one.__name__: one
    for one in (
        tagged,
        renumbered,
        valued,
        before,
        described,
        described_before,
        nothing,
        several,
        writes,
        several_valued,
        copies_in,
    )
}


@hookimpl
def rewrite(statement: Statement, session: SessionClass) -> Planned:
    """A comment ``r:KIND ARGUMENT`` rewrites at each execution; with a ``const`` in front, at Parse already."""
    found = _NAME.search(statement.text)
    if found is None:
        return None
    name, argument = found[1], found[2]
    text = statement.text[: found.start()] + statement.text[found.end() :]
    if name.startswith("const_"):
        return KINDS[name.removeprefix("const_")](text, argument)

    def step(execution: Execution) -> Rewrite:
        return KINDS[name](text, argument)

    return step
