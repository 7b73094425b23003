"""The markers for tools of the machine."""

from __future__ import annotations

import pytest

from tests import conftest


@pytest.fixture
def marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.Item:
    """A test that needs a program which is nowhere."""
    monkeypatch.setitem(conftest.TOOLS, "needs_psql", "no-such-program")
    request.node.add_marker("needs_psql")
    assert isinstance(request.node, pytest.Item)
    return request.node


def test_a_missing_tool_skips_the_test(marked: pytest.Item, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERCEPTOR_REQUIRE_TOOLS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not installed"):
        conftest.pytest_runtest_setup(marked)


def test_a_missing_tool_fails_the_test_where_all_are_required(
    marked: pytest.Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERCEPTOR_REQUIRE_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not installed"):
        conftest.pytest_runtest_setup(marked)


def test_a_tool_that_is_there_runs_the_test(marked: pytest.Item, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conftest.TOOLS, "needs_psql", "sh")
    monkeypatch.setenv("INTERCEPTOR_REQUIRE_TOOLS", "1")
    conftest.pytest_runtest_setup(marked)


def test_a_test_without_a_marker_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(conftest.TOOLS, "needs_psql", "no-such-program")
    assert isinstance(request.node, pytest.Item)
    conftest.pytest_runtest_setup(request.node)
