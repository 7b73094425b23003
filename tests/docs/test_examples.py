"""The files in examples/ do what their comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooler.config import load_config

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "path",
    sorted(one for one in EXAMPLES.glob("*.toml") if not one.name.startswith("rules")),
    ids=lambda path: path.name,
)
def test_an_example_config_is_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "a b@c")
    config = load_config(path)
    assert config.databases


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "a b@c")
    config = load_config(EXAMPLES / "interceptor.toml")
    login = config.login_for("app", "app")
    assert login is not None
    assert login.password.reveal() == "a b@c"
