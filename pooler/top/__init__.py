"""``interceptor top``: what a running proxy does just now, in the terminal."""

from __future__ import annotations

from pooler.top.screen import make_screen
from pooler.top.watching import Picture, Watch, run_top

__all__ = ["Picture", "Watch", "make_screen", "run_top"]
