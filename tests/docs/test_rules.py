"""The pages about rules: their examples hold, and every key is on the reference page with an example."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from interceptor_rules.checking import run_tests
from interceptor_rules.config import Config
from interceptor_rules.loading import PROFILES, load_rules, read_rules
from interceptor_rules.model import LearnedStatement, Rule, RulesFile, RulesTest

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "rules.md").read_text()
HOWTO = (DOCS / "howto" / "block-queries.md").read_text()
EXAMPLES = [one for one in re.findall(r"```toml\n(.*?)```", REFERENCE + HOWTO, re.DOTALL) if "[[" in one]


def fields(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n")[0])
def test_an_example_does_what_its_tests_say(text: str) -> None:
    rules = read_rules(text)
    assert rules.tests
    assert list(run_tests(rules)) == []


@pytest.mark.parametrize("key", [*fields(Config), *fields(RulesFile), *fields(Rule), *fields(RulesTest)])
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in REFERENCE or f"`[[{key}]]`" in REFERENCE


def test_every_key_has_an_example() -> None:
    used: set[str] = set()
    for text in EXAMPLES:
        document = tomllib.loads(text)
        used |= document.keys()
        for name in ("rule", "test", "allow"):
            for table in document.get(name, []):
                used |= {f"{name}.{key}" for key in table}
    wanted = {f"rule.{key}" for key in fields(Rule)} | {f"test.{key}" for key in fields(RulesTest)}
    assert wanted | {f"allow.{key}" for key in fields(LearnedStatement)} <= used


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_profile_is_documented_and_holds(path: Path) -> None:
    assert f"| `{path.stem}` |" in REFERENCE
    rules, _ = load_rules(path)
    assert rules.tests
    assert list(run_tests(rules)) == []
