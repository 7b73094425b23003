"""Plans that hear of their refusals, sessions that are classified anew, and the folder of the config file."""

from __future__ import annotations

from pathlib import Path

from interceptor import Block
from interceptor.hooks.chain import Chain
from interceptor.testing.harness import PluginHarness
from tests.unit.interceptor.hooks.conftest import MakeHarness

COUNTING = """
    NOTES = StateKey(list)

    @hookimpl
    def guard(statement, session):
        return Plan(Block("42501", "no"), refused=lambda session: session.get(NOTES).append(statement.text))
"""


def test_a_constant_block_hears_of_each_refusal_at_parse_and_at_execution(make: MakeHarness) -> None:
    harness = make(COUNTING)
    session = harness.session()
    assert harness.at_parse("SELECT 1", session=session)
    assert isinstance(harness.decide("SELECT 2", session=session).action, Block)
    assert session._state is not None
    assert list(session._state.values()) == [["SELECT 1", "SELECT 2"]]


def test_sessions_are_classified_anew_when_all_plans_are_forgotten(make: MakeHarness) -> None:
    harness = make("""
    @hookimpl
    def classify_session(session):
        return session.application_name

    @hookimpl
    def guard(statement, session):
        return Block("42501", session.label) if session.label else None
    """)
    session = harness.session()
    assert harness.tables.lookup(session, b"SELECT 1") is False
    session.application_name = "other"
    harness.plugins.invalidate_plans("app")
    assert harness.tables.lookup(session, b"SELECT 1") is False
    harness.plugins.invalidate_plans(None)
    assert isinstance(harness.tables.lookup(session, b"SELECT 1"), Chain)


def test_a_plugin_is_told_the_folder_of_the_config_file(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text("""
from interceptor import Block, hookimpl, plugin

@plugin()
class One:
    def __init__(self, context):
        self.folder = context.folder

    @hookimpl
    def guard(self, statement, session):
        return Block("42501", str(self.folder))
""")
    action = PluginHarness(path).decide("SELECT 1").action
    assert isinstance(action, Block)
    assert Path(action.message) == Path.cwd()
