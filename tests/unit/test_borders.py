"""What each package may import, and what it lets others import from it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import interceptor
import pooler

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
SANS_IO = ("interceptor.catalogue", "interceptor.protocol", "interceptor.sql", "interceptor.session")


def module_names(package: ModuleType) -> list[str]:
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    # __main__ runs when it is imported.
    return [package.__name__, *(module.name for module in found if not module.name.endswith("__main__"))]


MODULES = [*module_names(interceptor), *module_names(pooler)]


@pytest.mark.parametrize("name", MODULES)
def test_all_is_unique_complete_and_true(name: str) -> None:
    module = importlib.import_module(name)
    exported: list[str] = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported)), "a name occurs twice"
    assert not [one for one in exported if not hasattr(module, one)], "a name does not exist"
    if exported:
        own = {
            one
            for one, value in vars(module).items()
            if (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == name
        }
        assert not [one for one in own - set(exported) if not one.startswith("_")], "public, but not in __all__"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.path[:0] = ['.', 'plugins']; from importlinter.cli import lint_imports_command as run; run()"
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copied_tree(tmp_path: Path) -> Path:
    for package in ("interceptor", "pooler", "plugins"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_borders_hold() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("interceptor/protocol/intruder.py", "import asyncio"),
        ("interceptor/session/intruder.py", "import socket"),
        ("interceptor/intruder.py", "import pooler"),
    ],
)
def test_a_breach_of_the_borders_is_found(copied_tree: Path, path: str, line: str) -> None:
    (copied_tree / path).write_text(f"{line}\n")
    done = lint_imports(copied_tree)
    assert done.returncode != 0
    assert "intruder" in done.stdout


def test_every_package_is_under_contract() -> None:
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    assert set(SETTINGS["root_packages"]) == {"interceptor", "pooler"} | plugins
    contracts = {contract["id"]: contract for contract in SETTINGS["contracts"]}
    existing = {name for name in SANS_IO if (ROOT / name.replace(".", "/") / "__init__.py").exists()}
    assert set(contracts["sans-io"]["source_modules"]) == existing
    side_by_side = set(contracts["border"]["layers"][0].replace("(", "").replace(")", "").split(" | "))
    assert {"pooler"} | plugins <= side_by_side
