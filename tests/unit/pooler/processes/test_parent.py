"""How many processes a configuration asks for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pooler.config import Config, config_from_upstream
from pooler.processes.parent import needs_processes, workers_of


@pytest.fixture
def config() -> Config:
    return config_from_upstream("postgresql://postgres@127.0.0.1/app")


def with_workers(config: Config, workers: int) -> Config:
    return replace(config, server=replace(config.server, workers=workers))


def test_no_number_of_workers_is_one_for_each_core_that_may_be_used(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5})
    assert workers_of(with_workers(config, 0)) == 3
    assert needs_processes(with_workers(config, 0))
    assert workers_of(with_workers(config, 7)) == 7


def test_one_worker_is_one_process_unless_another_node_is_to_take_over(config: Config) -> None:
    assert not needs_processes(with_workers(config, 1))
    assert needs_processes(replace(config, server=replace(config.server, workers=1, run_dir=Path("/run/interceptor"))))
