"""Questions about thousands of pools, asked of a process that has clients to serve."""

from __future__ import annotations

from pathlib import Path

import pytest

from pooler.config import load_config
from pooler.reports import QUESTIONS, answer
from pooler.server import Server

POOLS = 50


@pytest.fixture
def server(tmp_path: Path) -> Server:
    file = tmp_path / "interceptor.toml"
    file.write_text(
        '[server]\nauth_type = "trust"\n[databases."*"]\nprimary = "postgresql://postgres@127.0.0.1:1/app"\n'
    )
    made = Server(load_config(file))
    for number in range(POOLS):
        made.pools.get(made.config.pool_settings(f"tenant{number}", "postgres")).stats.queries += 1
    return made


@pytest.mark.parametrize("question", ["databases", "metrics", "pools", "statistics", "users"])
async def test_each_pool_is_a_step_behind_which_others_may_have_their_turn(server: Server, question: str) -> None:
    found = QUESTIONS[question](server)
    assert not isinstance(found, list)
    assert list(found).count(None) >= POOLS
    assert None not in await answer(server, question)


async def test_what_is_counted_is_told_once_for_each(server: Server) -> None:
    assert sum(int(str(row[3])) for row in await answer(server, "statistics")) == POOLS
    assert len({str(row[0]) for row in await answer(server, "databases")}) == POOLS + 2
    assert len({str(row[0]) for row in await answer(server, "pools")}) == POOLS + 2
