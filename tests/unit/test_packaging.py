"""What is built installs and runs in an environment of its own, and says of itself what is true."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

import interceptor

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ["interceptor", "pooler", *sorted(path.name for path in ROOT.glob("plugins/interceptor_*"))]

# The hooks of a build backend (PEP 517), without a frontend: nothing is downloaded.
BUILD = "import sys, setuptools.build_meta as backend; getattr(backend, 'build_' + sys.argv[1])(sys.argv[2])"


class Distributions(NamedTuple):
    sdist: Path
    wheel: Path


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist, built from a copy of the tree, and the wheel, built from that sdist."""
    folder = tmp_path_factory.mktemp("build")
    tree = folder / "tree"
    ignored = shutil.ignore_patterns(".venv", ".git", "*.egg-info", ".*_cache", "__pycache__", "build", "dist")
    shutil.copytree(ROOT, tree, ignore=ignored)
    run(sys.executable, "-c", BUILD, "sdist", folder, cwd=tree)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    run(sys.executable, "-c", BUILD, "wheel", folder, cwd=folder / sdist.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel, and sees the dependencies of this one."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment)
    python = environment / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python, "install"]
    run(*pip, "--quiet", "--no-deps", "--no-index", distributions.wheel, cwd=environment)
    # A plain path: the .pth files in it, among which the editable installation's, are not followed.
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_the_wheel_holds_the_packages_and_nothing_else(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        names = wheel.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    sources = {str(path.relative_to(ROOT)) for package in ("interceptor", "pooler") for path in modules(package)}
    assert sources <= set(names)
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_sdist_is_the_whole_source(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    wanted = ["LICENSE", "README.md", "CHANGELOG.md", "Makefile", ".ci/run", "plugins/README.md", "tests/conftest.py"]
    assert set(wanted) <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("bench/results")]


def test_the_wheel_is_imported_from_where_it_was_installed(installed: Path) -> None:
    program = "import interceptor, pooler; print(interceptor.__version__, interceptor.__file__, pooler.__file__)"
    version, *files = run(installed / "python", "-c", program, cwd=installed).split()
    assert version == PROJECT["project"]["version"]
    assert all(Path(file).is_relative_to(installed.parent) for file in files)


@pytest.mark.skipif(not (ROOT / "pooler" / "cli.py").exists(), reason="the command line is not written yet")
def test_the_console_script_runs(installed: Path) -> None:
    assert "serve" in run(installed / "interceptor", "--help", cwd=installed)


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_the_version_is_the_same_everywhere() -> None:
    assert interceptor.__version__ == PROJECT["project"]["version"]
    assert f"## [{interceptor.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_licence_is_the_one_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["project"]["license"] == "GPL-3.0-or-later"
    assert re.search(r"GNU GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007", text)
    assert text.rstrip().endswith("<https://www.gnu.org/licenses/why-not-lgpl.html>.")


def test_plugins_is_a_source_root_and_no_package() -> None:
    assert not (ROOT / "plugins" / "__init__.py").exists()
    assert "[project.entry-points.interceptor]" in (ROOT / "plugins" / "README.md").read_text()


def test_each_bundled_plugin_has_its_entry_point() -> None:
    entry_points = PROJECT["project"].get("entry-points", {}).get("interceptor", {})
    assert entry_points == {name.removeprefix("interceptor_"): name for name in PACKAGES[2:]}


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0].replace("_", "-").lower() for requirement in requirements}


def imported_distributions(paths: list[Path]) -> dict[str, Path]:
    """The distributions that these files import anywhere, each with one file that does."""
    providers = packages_distributions()
    found: dict[str, Path] = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - set(PACKAGES) - sys.stdlib_module_names:
                found[providers.get(top, [top])[0].replace("_", "-").lower()] = path
    return found


def test_all_that_the_server_imports_is_a_dependency() -> None:
    declared = requirement_names(PROJECT["project"]["dependencies"])
    optional = PROJECT["project"]["optional-dependencies"]
    extras = {name: declared | requirement_names(optional[name]) for name in ("demo", "traces")}
    for package in PACKAGES:
        paths = modules(package) if package in ("interceptor", "pooler") else modules(f"plugins/{package}")
        for distribution, path in imported_distributions(paths).items():
            # The demo and the testing kit come with one extra, traces with another.
            demo = {"testing", "demo"} & {*path.parts, path.stem}
            allowed = extras["demo"] if demo else extras["traces"] if package == "interceptor_traces" else declared
            assert distribution in allowed, f"{path} imports {distribution}, which pyproject.toml does not require"
