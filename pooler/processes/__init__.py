"""A node of several processes: a parent that replaces what dies, a control that holds the limits, and workers.

docs/design/processes.md has the drawing, and who loses what when one of them is killed.
"""

from __future__ import annotations
