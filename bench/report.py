"""Where figures go: Markdown sections of docs/performance.md, and JSON in bench/results."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markdown import Markdown

__all__ = ["command_line", "markdown_table", "running_as", "save_json", "show", "write_picture", "write_section"]

_ROOT = Path(__file__).resolve().parent.parent
DOCS = _ROOT / "docs"
RESULTS = _ROOT / "bench" / "results"


_WIDEST = 150
_alone: list[str] = []


@contextmanager
def running_as(name: str) -> Iterator[None]:
    """Let ``command_line`` tell of the script ``name`` alone, though one command runs several."""
    _alone.append(name)
    try:
        yield
    finally:
        _alone.pop()


def command_line(name: str) -> str:
    """What to type to repeat the run of the script ``name`` that is under way."""
    arguments = [] if _alone else [argument for argument in sys.argv[1:] if argument != name]
    return " ".join(["python -m bench", name, *map(shlex.quote, arguments)])


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A table in Markdown, its columns aligned in the source too. All but the first ``words`` columns are figures."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = ["-" * width if column < words else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(cells[0]), line(rule), *map(line, cells[1:])])


def write_section(name: str, text: str) -> None:
    """Replace what docs/performance.md has between the markers of section ``name``, or add it at the end."""
    page = DOCS / "performance.md"
    start, end = f"<!-- bench {name}: start -->", f"<!-- bench {name}: end -->"
    block = f"{start}\n\n{text.strip()}\n\n{end}"
    old = page.read_text(encoding="utf-8") if page.exists() else "# Performance\n"
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(old):
        new = pattern.sub(lambda _: block, old, count=1)
    else:
        new = f"{old.rstrip()}\n\n{block}\n"
    page.write_text(new, encoding="utf-8")


def write_picture(name: str, svg: str) -> None:
    """Put a picture beside the page, which refers to it as performance-<name>.svg."""
    (DOCS / f"performance-{name}.svg").write_text(svg, encoding="utf-8")


def show(text: str) -> None:
    """Print Markdown: drawn on a terminal that is wide enough for our tables, else as it is."""
    console = Console()
    if console.is_terminal and console.width >= _WIDEST:
        console.print(Markdown(text))
    else:
        print(text)


def save_json(name: str, payload: object) -> Path:
    """Keep every single figure of a run, for whoever wants to compare; the folder is not under version control."""
    RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    path = RESULTS / f"{name}-{stamp}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(payload), indent=1))
    return path
