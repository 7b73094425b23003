"""What somebody sees on a terminal while the demo is being set up: what is done, what runs, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

__all__ = ["Display", "Stage"]

_BAR_WIDTH = 57  # fits, with its neighbours, into 80 columns
_REFRESHES = 10  # a second


@dataclass(slots=True)
class Stage:
    """One line: ``steps`` of which ``done`` are done; ``detail`` says which one runs, or what came out."""

    title: str
    steps: int = 1
    detail: str = ""
    done: int = 0
    started: float | None = None
    ended: float | None = None
    failed: bool = False
    spinner: Spinner = field(default_factory=lambda: Spinner("dots"))

    @contextmanager
    def run(self) -> Iterator[Stage]:
        """It runs as long as the block does."""
        self.started = time.monotonic()
        try:
            yield self
            self.done = self.steps
        except BaseException:
            self.failed = True
            raise
        finally:
            self.ended = time.monotonic()

    def render(self, now: float) -> tuple[RenderableType, Text, Text, Text]:
        """Mark, title, detail and time."""
        if self.started is None:
            return "", Text(self.title, style="dim"), Text(), Text()
        mark: RenderableType = self.spinner
        if self.ended is not None:
            mark = Text("✗", style="bold red") if self.failed else Text("✓", style="bold green")
        return mark, Text(self.title, style="bold"), Text(self.detail), _seconds((self.ended or now) - self.started)


class Display:
    """Shows stages; a context manager. Where the console is no terminal it shows nothing at all."""

    def __init__(self, console: Console, *stages: Stage) -> None:
        self._console = console
        self._stages = stages
        self._started = time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=_REFRESHES)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        now = time.monotonic()
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True)
        table.add_column(width=43, no_wrap=True)
        table.add_column(width=7, justify="right")
        for stage in self._stages:
            table.add_row(*stage.render(now))
        return Group(table, self._render_total(now))

    def _render_total(self, now: float) -> RenderableType:
        elapsed = now - self._started
        if all(stage.done == stage.steps for stage in self._stages):
            return Text(f"Ready after {elapsed:.1f} s.\n")
        if any(stage.failed for stage in self._stages):
            return Text()
        bar = ProgressBar(
            total=sum(stage.steps for stage in self._stages),
            completed=sum(stage.done for stage in self._stages),
            width=_BAR_WIDTH,
            style="dim",  # rich's own colours are made for a dark background
            complete_style="green",
        )
        line = Table.grid(padding=(0, 1))
        line.add_column(width=1)
        line.add_column(width=_BAR_WIDTH)
        line.add_column(width=7, justify="right")
        line.add_row("", bar, _seconds(elapsed))
        return line


def _seconds(seconds: float) -> Text:
    return Text(f"{seconds:.1f} s", style="dim")
