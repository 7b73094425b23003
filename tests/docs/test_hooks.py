"""docs/reference/hooks.md says of every hook what it is, when it is called, and what it costs; its examples load."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import interceptor
from interceptor.hooks import specs
from interceptor.hooks.decisions import Block
from interceptor.testing.harness import PluginHarness

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text()
HEAD = "from __future__ import annotations\nfrom collections.abc import Hashable, Iterable\nfrom interceptor import *\n"
HOOKS = sorted(specs.__all__)
PARTS = ("When", "Arguments", "Return", "On error", "Cost", "Example")


def sections() -> dict[str, tuple[str, str]]:
    """Heading and text of each hook, by its name."""
    found = {}
    for heading, text in re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        found[heading.partition("(")[0]] = (heading, text)
    return found


SECTIONS = sections()


def example(name: str) -> str:
    (found,) = re.findall(r"```python\n(.*?)```", SECTIONS[name][1], re.DOTALL)
    assert isinstance(found, str)
    return found


def test_no_hook_is_undocumented_and_none_is_made_up() -> None:
    assert sorted(SECTIONS) == HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_described_as_it_is(name: str) -> None:
    heading, text = SECTIONS[name]
    signature = str(inspect.signature(getattr(specs, name))).replace("'", "")
    assert heading == name + signature
    for part in PARTS:
        match = re.search(rf"^\*\*{part}\.\*\*(.*?)(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL)
        assert match is not None, f"{name} lacks {part}"
        assert match[1].strip(), f"{part} of {name} is empty"


@pytest.mark.parametrize("name", HOOKS)
def test_the_example_of_a_hook_loads(name: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(HEAD + example(name))
    harness = PluginHarness(file)
    assert harness.status()[0].hooks == (name,)


def test_the_first_example_blocks(tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(
        PAGE.partition("```python\n")[2].partition("```")[0].replace("import msgspec\n\n", "import msgspec\n")
    )
    outcome = PluginHarness(file, config={"word": "secret"}).decide("SELECT secret")
    assert outcome.action == Block("42501", "secret is not allowed here")


@pytest.mark.parametrize("name", sorted(set(interceptor.__all__) - {"__version__"}))
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"\b{name}\b", PAGE), f"{name} is not mentioned"


def test_examples_do_what_they_say(tmp_path: Path) -> None:
    def harness(name: str) -> PluginHarness:
        file = tmp_path / f"{name}.py"
        file.write_text(HEAD + example(name))
        return PluginHarness(file)

    assert isinstance(harness("guard").decide("BEGIN; TRUNCATE orders").action, Block)
    assert harness("virtual").rows(harness("virtual").decide("SHOW motto")) == [("festina lente",)]
    limited = harness("rewrite").decide("SELECT * FROM orders -- all")
    assert limited.execution.statement.text == "SELECT * FROM orders -- all\nLIMIT 1000"
    assert harness("route").decide("SELECT 1", user="reporting").target == "replica1"
    assert harness("classify_session").tables.table_of(harness("classify_session").session()) is not None
