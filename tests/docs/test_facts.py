"""docs/reference/facts.md names every field, word and reason, and its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import msgspec

from interceptor.sql import facts
from interceptor.sql.bodies import BodyFacts
from interceptor.sql.facts import Group, LiteralKind, OpaqueReason, Via, Where
from interceptor.sql.hints import Hint
from interceptor.sql.statements import analyse_facts
from tests.integration.test_facts import corpus

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "facts.md").read_text()
STRUCTS: list[type[msgspec.Struct]] = [
    kind for kind in vars(facts).values() if inspect.isclass(kind) and issubclass(kind, msgspec.Struct)
]


def section(name: str) -> str:
    """What the page says of one type: its section, or its paragraph."""
    found = re.search(rf"^(?:## {name}$|\*\*{name}\*\*)(.*?)(?=^## |^\*\*|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    if found is None:
        found = re.search(rf"\*\*{name}\*\*(.*?)(?=\*\*[A-Z]|\Z)", PAGE, re.DOTALL)
    assert found is not None, f"{name} is not documented"
    return found.group(1)


def test_every_field_is_documented() -> None:
    kinds: list[type[msgspec.Struct]] = [*STRUCTS, BodyFacts, Hint]
    missing = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name in kind.__struct_fields__
        if not re.search(rf"`[^`]*\b{name}\b[^`]*`", section(kind.__name__))
    ]
    assert missing == []


def test_every_value_is_documented() -> None:
    values = [value.value for kind in (Group, Via, LiteralKind) for value in kind]
    assert [value for value in values if f'"{value}"' not in PAGE] == []
    names = [value.name for kind in (OpaqueReason, Where) for value in kind]
    assert [name for name in names if not re.search(rf"`(Where\.)?{name}`", PAGE)] == []


def test_every_word_is_documented() -> None:
    """Those of the corpus; privileges, options and modes are the statement's own."""
    words = {
        word
        for part in ("queries", "writes", "definitions", "others")
        for line in corpus(part)
        for one in analyse_facts(line.text).all
        if one.kind not in ("grant", "revoke", "vacuum", "analyze", "reindex", "cluster", "lock", "alter")
        for word in one.words
    }
    assert [word for word in sorted(words) if f'"{word}"' not in PAGE] == []


def test_every_kind_has_its_group_documented() -> None:
    table = dict(re.findall(r'^\| "(\w+)" \| (.*) \|$', PAGE, re.MULTILINE))
    wrong = {
        (one.kind, one.group.value)
        for part in ("queries", "writes", "definitions", "others")
        for line in corpus(part)
        for one in analyse_facts(line.text).all
        if not re.search(rf"\b{one.kind}\b", table[one.group.value])
    }
    assert wrong == set()


def test_the_examples_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    namespace: dict[str, object] = {}
    for block in blocks:
        exec(block, namespace)
