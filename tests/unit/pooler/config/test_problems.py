"""Gathering problems: where they stand, in which order they come, and how a key is written."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import ConfigError
from pooler.config.problems import ConfigErrors, Problems, dotted


def test_all_are_raised_at_once_in_the_order_of_the_file() -> None:
    problems = Problems("f.toml", {("b",): 7, ("a",): 3, ("a", "x"): 4})
    problems.add(("b",), "second")
    problems.add(("a", "x", "y"), "first")
    with pytest.raises(ConfigErrors) as raised:
        problems.raise_if_any()
    error = raised.value
    assert str(error) == "f.toml:4: a.x.y: first\nf.toml:7: b: second"
    assert (error.file, error.line, error.key, error.message) == ("f.toml", 4, "a.x.y", "first")
    assert [str(one) for one in error.errors] == str(error).split("\n")
    assert isinstance(error, ConfigError)


def test_nothing_is_raised_where_nothing_is_wrong() -> None:
    Problems("f.toml", {}).raise_if_any()


def test_a_key_has_one_problem_and_a_place_that_is_not_written_down_has_no_line() -> None:
    problems = Problems("f.toml", {})
    problems.add(("a",), "first")
    problems.add(("a",), "second")
    with pytest.raises(ConfigErrors, match=r"^f\.toml: a: first$"):
        problems.raise_if_any()


def test_concern() -> None:
    problems = Problems("f.toml", {})
    problems.add(("a", "b"), "wrong")
    assert problems.concern(("a",))
    assert problems.concern(("a", "b"))
    assert problems.concern(("a", "b", "c"))
    assert not problems.concern(("a", "c"))
    assert not problems.concern(("b",))


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ((), ""),
        (("server", "listen_port"), "server.listen_port"),
        (("databases", "*", "replicas", 1), 'databases."*".replicas[1]'),
        (("a.b", "", 'q"\\', "\n"), '"a.b".""."q\\"\\\\"."\\u000A"'),
        (("é", "\U000e0001"), '"é"."\\U000E0001"'),
    ],
)
def test_dotted(path: tuple[str | int, ...], written: str) -> None:
    assert dotted(path) == written


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=1, max_size=3))
def test_a_dotted_key_can_be_pasted_into_a_file(keys: list[str]) -> None:
    found: object = tomllib.loads(f"{dotted(tuple(keys))} = 1")
    for key in keys:
        assert isinstance(found, dict)
        found = found[key]
    assert found == 1
