"""Send reads to another server: single SELECTs that call no function but those that are listed.

[plugins]
modules = ["read_elsewhere.py"]
[plugins.read_elsewhere]
target = "replica1"
functions = ["count", "sum"]
"""

from __future__ import annotations

import msgspec

from interceptor import Group, Plan, PluginContext, Route, SessionClass, Statement, hookimpl, plugin


class Settings(msgspec.Struct, frozen=True):
    target: str
    functions: frozenset[str] = frozenset()


@plugin(version="1.0", config=Settings)
class ReadElsewhere:
    def __init__(self, context: PluginContext[Settings]) -> None:
        self.settings = context.config

    @hookimpl
    def route(self, statement: Statement, session: SessionClass) -> Plan:
        facts = statement.facts
        if facts.opaque or len(facts.statements) != 1 or any(one.group is not Group.READ for one in facts.all):
            return Plan(reason="it is not a single read")
        if any(one.locking or one.into for one in facts.all):
            return Plan(reason="it locks rows, or makes a table")
        called = {use.name.name for one in facts.all for use in one.functions}
        if not called <= self.settings.functions:
            return Plan(reason="it calls a function that is not listed", facts=tuple(sorted(called)))
        return Plan(Route(self.settings.target), reason="a read that calls nothing unknown")
