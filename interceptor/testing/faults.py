"""Hooks of plugins that fail on command: in this process, or in a proxy that was started for a test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from interceptor.hooks.containment import Hook

__all__ = ["InjectedFault", "fail_as_told", "failing_hooks"]

_call: Final = Hook.call


class InjectedFault(Exception):
    """What a hook raises that a test told to fail."""


@contextmanager
def failing_hooks(*names: str) -> Iterator[None]:
    """Within the block these hooks raise InjectedFault in place of running.

    A name is the plugin's and the hook's, as in ``my_plugin.guard``; a function that a plan gave is a hook of its own,
    ``my_plugin.guard step``, and all observers of a plugin are one, ``my_plugin.observer``. Awaitables that are waited
    for already go on.
    """
    _fail(lambda: names)
    try:
        yield
    finally:
        Hook.call = _call  # type: ignore[method-assign]


def fail_as_told(file: Path) -> None:
    """From now on the hooks fail whose names are lines of this file, if it is there. For a proxy of ``ProxyServer``."""

    def names() -> Collection[str]:
        try:
            return file.read_text().splitlines()
        except FileNotFoundError:
            return ()

    _fail(names)


def _fail(names: Callable[[], Collection[str]]) -> None:
    def call(hook: Hook, function: Callable[..., object], *args: object) -> object:
        if f"{hook.plugin.name}.{hook.name}" in names():
            return _call(hook, _raise)
        return _call(hook, function, *args)

    Hook.call = call  # type: ignore[method-assign,assignment]


def _raise() -> None:
    raise InjectedFault("a test told this hook to fail")
