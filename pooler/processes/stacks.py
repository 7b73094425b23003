"""Where a process is that does not move, told by the stack that the C runtime writes on a signal.

It does so at once, whatever holds Python's interpreter: a loop, a sleep, or C code such as a regular expression.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pooler.processes.signals import DUMP

__all__ = ["Culprit", "find_culprit", "read_stack"]

_FRAME: Final = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)
_CALL_OF_HOOK: Final = str(Path("interceptor", "hooks", "containment.py"))
_PATIENCE: Final = 0.3
"""Seconds that a process has to write its stack."""


@dataclass(frozen=True, slots=True)
class Culprit:
    """The plugin that holds up a process, or the innermost line of something else."""

    plugin: str
    """Empty if no plugin is in the stack."""
    hook: str
    """The plugin's function that was called."""
    file: str
    line: int
    function: str

    def __str__(self) -> str:
        where = f"{self.function} ({self.file}:{self.line})"
        if not self.plugin:
            return f"it is in {where}"
        entered = f", called through its {self.hook}" if self.hook not in ("", self.function) else ""
        return f"the plugin {self.plugin} holds it up, in {where}{entered}"


def read_stack(pid: int, file: int) -> str:
    """Have a process write its stack into a memory file. Empty if it does not: it is stopped, or in the kernel."""
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    try:
        os.kill(pid, DUMP)
    except ProcessLookupError:
        return ""
    deadline = time.monotonic() + _PATIENCE
    stack = b""
    while time.monotonic() < deadline:
        time.sleep(0.01)
        before, stack = stack, os.pread(file, 256 * 1024, 0)
        if stack and stack == before:
            break
    return stack.decode(errors="replace")


def find_culprit(stack: str, plugins: Mapping[str, Path | None]) -> Culprit | None:
    """Whose code the innermost frame of any plugin is. ``plugins``: the file or folder of each."""
    frames = [(frame["file"], int(frame["line"]), frame["function"]) for frame in _FRAME.finditer(stack)]
    if not frames:
        return None
    for position, (file, line, function) in enumerate(frames):
        name = _plugin_of(file, plugins)
        if name:
            return Culprit(name, _entrance(frames[position:]), file, line, function)
    file, line, function = frames[0]
    return Culprit("", "", file, line, function)


def _entrance(frames: list[tuple[str, int, str]]) -> str:
    """The function that the call of hooks called."""
    for inner, outer in itertools.pairwise(frames):
        if outer[0].endswith(_CALL_OF_HOOK):
            return inner[2]
    return ""


def _plugin_of(file: str, plugins: Mapping[str, Path | None]) -> str:
    path = Path(file)
    for name, origin in plugins.items():
        if origin is not None and (path == origin or origin in path.parents):
            return name
    return ""
