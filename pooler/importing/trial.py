"""Trying whether what was written is a whole configuration."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from pooler.config import ConfigErrors, load_config
from pooler.importing.conversion import Imported

__all__ = ["what_is_missing"]


def what_is_missing(imported: Imported) -> list[str]:
    """What ``interceptor check`` would say of the text, with its lines; empty if it is right."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "interceptor.toml"
        file.write_text(imported.toml)
        try:
            load_config(file)
        except ConfigErrors as errors:
            return [str(one).removeprefix(f"{folder}/") for one in errors.errors]
    return []
