"""The plugin with a rules file of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interceptor import Services
from interceptor.catalogue import Snapshot
from interceptor.testing.harness import PluginHarness

# As a file of [plugins] modules, so that no test depends on what is installed.
MODULE = "from interceptor_rules import Rules\n\n__all__ = ['Rules']\n"

MakeRules = Callable[..., PluginHarness]


@pytest.fixture
def make_rules(tmp_path: Path) -> MakeRules:
    """Call it with the text of a rules file."""

    def make(
        rules: str, *, catalogue: Snapshot | None = None, services: Services | None = None, **config: object
    ) -> PluginHarness:
        module = tmp_path / "rules.py"
        module.write_text(MODULE)
        file = tmp_path / "rules.toml"
        file.write_text(rules)
        return PluginHarness(module, config={"file": str(file), **config}, catalogue=catalogue, services=services)

    return make
