"""Plugins written by the tests themselves, each a file of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Protocol

import pytest

from interceptor.testing.harness import PluginHarness


class MakeHarness(Protocol):
    def __call__(self, *sources: str, config: Mapping[str, object] | None = None) -> PluginHarness:
        """A harness of these plugins, called p1, p2 and so on; ``config`` is that of the first."""


HEAD = """
from __future__ import annotations
import msgspec
from interceptor import *
"""


def write_plugin(path: Path, source: str) -> Path:
    path.write_text(HEAD + dedent(source))
    return path


@pytest.fixture
def make(tmp_path: Path) -> MakeHarness:
    def made(*sources: str, config: Mapping[str, object] | None = None) -> PluginHarness:
        files = [write_plugin(tmp_path / f"p{number}.py", source) for number, source in enumerate(sources, start=1)]
        return PluginHarness(*files, config=config)

    return made


@pytest.fixture
def plugin_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="interceptor.plugins"):
        yield caplog
