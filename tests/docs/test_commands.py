"""docs/reference/commands.md names every command and option of the command line, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import typer
import typer.core

from pooler.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def _documented() -> dict[str, set[str]]:
    sections = re.split(r"^## `interceptor ([\w-]+)`$", PAGE.read_text(), flags=re.MULTILINE)[1:]
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {name: set(re.findall(r"^\| `(--[\w-]+)", text, flags=re.MULTILINE)) for name, text in pairs}


def _actual() -> dict[str, set[str]]:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in group.commands.items()
    }


def test_every_command_and_option_is_documented() -> None:
    assert _documented() == _actual()
