"""Names without a server: what a call may reach, and what a search_path says."""

from __future__ import annotations

import pytest

from interceptor.catalogue import Function, FunctionKind, Names, Role, Schema, Scope, Snapshot, Unresolved, Volatility
from interceptor.catalogue import parse_search_path as parse

INT, TEXT = 23, 25


def function(oid: int, schema: int, *arguments: int, defaults: int = 0, variadic: bool = False) -> Function:
    return Function(
        oid, schema, "f", FunctionKind.FUNCTION, Volatility.VOLATILE, "sql", 10, arguments, defaults, variadic, INT,
        False, (), False, "",
    )  # fmt: skip


@pytest.fixture
def snapshot() -> Snapshot:
    made = Snapshot()
    made.add_role(Role(10, "owner", True, False, frozenset()))
    for oid, name in ((11, "pg_catalog"), (100, "one"), (101, "two")):
        made.add_schema(Schema(oid, name, 10, frozenset([0])))
    made.add_function(function(1, 100, INT))
    made.add_function(function(2, 101, INT))
    made.add_function(function(3, 101, INT, TEXT, defaults=1))
    made.add_function(function(4, 101, INT, 1009, variadic=True))
    return made


@pytest.mark.parametrize(
    ("path", "count", "oids"),
    [
        (("one", "two"), None, {1, 3, 4}),
        (("two", "one"), None, {2, 3, 4}),
        (("two",), 1, {2, 3}),
        (("two",), 2, {3, 4}),
        (("two",), 5, {4}),
        (("one",), 2, set()),
    ],
)
def test_what_a_call_may_reach(snapshot: Snapshot, path: tuple[str, ...], count: int | None, oids: set[int]) -> None:
    found = Names(snapshot).functions(Scope(path, "owner"), "f", argument_count=count)
    if oids:
        assert not isinstance(found, Unresolved)
        assert {one.oid for one in found} == oids
    else:
        assert found is Unresolved.ABSENT


def test_a_scope_is_a_key() -> None:
    assert Scope(("a",), "b") == Scope(("a",), "b")
    assert len({Scope(("a",), "b"), Scope(("a",), "b", None), Scope(("a",), "b").with_role("c")}) == 3
    assert Scope(None, "b").with_path('a, "B c"') == Scope(("a", "B c"), "b")


@pytest.mark.parametrize(
    ("setting", "entries"),
    [
        ("", ()),
        ('"$user", public', ("$user", "public")),
        ("Public,PG_TEMP", ("public", "pg_temp")),
        ('"we""ird" , "a, b"', ('we"ird', "a, b")),
        ("a,", None),
        ("a b", None),
        ('"a', None),
        ("é" * 40, ("é" * 31,)),
    ],
)
def test_search_paths(setting: str, entries: tuple[str, ...] | None) -> None:
    assert parse(setting) == entries
