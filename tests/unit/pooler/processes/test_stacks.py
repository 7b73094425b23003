"""Who holds up a process, by the stack that it wrote."""

from __future__ import annotations

from pathlib import Path

from pooler.processes.stacks import find_culprit

STACK = """Stack (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/site/interceptor_rules/patterns/matching.py", line 12 in matches
  File "/site/interceptor_rules/__init__.py", line 80 in guard
  File "/site/interceptor/hooks/containment.py", line 149 in call
  File "/site/my_plugin.py", line 3 in outer
  File "/site/pooler/client.py", line 190 in data_received
"""
PLUGINS = {"rules": Path("/site/interceptor_rules"), "mine": Path("/site/my_plugin.py"), "none": None}


def test_the_innermost_plugin_is_named_with_its_line_and_the_hook_that_was_called() -> None:
    culprit = find_culprit(STACK, PLUGINS)
    assert culprit is not None
    assert (culprit.plugin, culprit.line, culprit.function, culprit.hook) == ("rules", 12, "matches", "guard")
    assert str(culprit) == (
        "the plugin rules holds it up, in matches (/site/interceptor_rules/patterns/matching.py:12), "
        "called through its guard"
    )


def test_a_plugin_of_one_file() -> None:
    culprit = find_culprit("\n".join(STACK.splitlines()[5:]), PLUGINS)
    assert culprit is not None
    assert str(culprit) == "the plugin mine holds it up, in outer (/site/my_plugin.py:3)"


def test_where_no_plugin_is_at_work_the_innermost_line_is_told() -> None:
    culprit = find_culprit(STACK, {})
    assert culprit is not None
    assert str(culprit) == "it is in match (/usr/lib/python3.11/re/__init__.py:166)"
    assert find_culprit("", PLUGINS) is None
