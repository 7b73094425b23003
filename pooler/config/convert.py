"""From the tables that TOML gave to typed settings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, TypeGuard, TypeVar, get_args, get_origin, get_type_hints

from pooler.config import dsn
from pooler.config.environment import expand, expand_dsn, has_variable
from pooler.config.problems import KeyPath, Problems, dotted
from pooler.config.unknown import explain_unknown
from pooler.config.values import Kind, Unfit, describe

__all__ = ["Table", "is_table", "kinds_of", "parse_value", "read_named", "read_section"]

S = TypeVar("S")
T = TypeVar("T")

Table = Mapping[str, object]


def is_table(value: object) -> TypeGuard[Table]:
    return isinstance(value, dict)


@functools.cache
def kinds_of(settings: Callable[..., object]) -> dict[str, Kind[object]]:
    """The kind of each setting of a settings class."""
    return {name: _kind(hint) for name, hint in get_type_hints(settings, include_extras=True).items()}


def _kind(hint: object) -> Kind[object]:
    if get_origin(hint) is Annotated:
        kind = get_args(hint)[1]
        assert isinstance(kind, Kind)
        return kind
    # Optional: what may be left out has the kind of what may be said.
    return next(_kind(member) for member in get_args(hint) if get_origin(member) is Annotated)


def parse_value(kind: Kind[T], value: object, environ: Mapping[str, str]) -> T:
    """Turn what TOML gave into a setting's value. Raises Unfit, with a text that says it all and holds no secret."""
    put_in = expand_dsn if kind in (dsn.upstream, dsn.upstreams) else expand
    # What comes from the environment is not repeated, since it may be a secret in the wrong place.
    shown = not kind.secret and not any(has_variable(text) for text in _texts(value))
    try:
        if isinstance(value, str):
            parsed = kind.parse(put_in(value, environ))
        elif isinstance(value, list):
            parsed = kind.parse([put_in(item, environ) if isinstance(item, str) else item for item in value])
        else:
            parsed = kind.parse(value)
    except Unfit as unfit:
        if unfit.args:
            raise
        raise Unfit(f"expected {kind.expected}" + (f", found {describe(value)}" if shown else "")) from None
    return parsed


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def read_section(
    settings: Callable[..., S],
    heading: str,
    path: KeyPath,
    table: Table,
    problems: Problems,
    environ: Mapping[str, str],
    required: tuple[str, ...] = (),
) -> S | None:
    """Make settings of one table; None if a required one is wrong or missing. What is wrong goes to ``problems``."""
    kinds = kinds_of(settings)
    said: dict[str, object] = {}
    for name, value in table.items():
        if name not in kinds:
            problems.add((*path, name), explain_unknown(heading, name))
            continue
        try:
            said[name] = parse_value(kinds[name], value, environ)
        except Unfit as unfit:
            problems.add((*path, name), str(unfit))
    for name in required:
        if name not in table:
            problems.add((*path, name), f"missing; expected {kinds[name].expected}")
    return settings(**said) if all(name in said for name in required) else None


def read_named(
    settings: Callable[..., S],
    section: str,
    value: object,
    problems: Problems,
    environ: Mapping[str, str],
    required: tuple[str, ...] = (),
) -> dict[str, S]:
    """Make settings of each table under a section such as ``[databases]``, by name. Wrong ones are left out."""
    if not is_table(value):
        problems.add((section,), f"expected tables such as [{section}.NAME], found {describe(value)}")
        return {}
    found: dict[str, S] = {}
    for name, table in value.items():
        path: KeyPath = (section, name)
        if not is_table(table):
            problems.add(path, f"expected a table [{dotted(path)}], found {describe(table)}")
            continue
        made = read_section(settings, f"[{section}.NAME]", path, table, problems, environ, required)
        if made is not None:
            found[name] = made
    return found
