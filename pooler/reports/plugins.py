"""Plugins, their hooks, and what keeps clients on their backends, in one process."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from typing import TYPE_CHECKING

from interceptor.errors import CONSOLE_FAILED, ClientError
from interceptor.sql.effects import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interceptor import PythonValue
    from interceptor.services import ConsoleCommand
    from pooler.node import Row
    from pooler.server import Server

__all__ = ["gather", "hooks", "pins", "plugin_command", "plugins", "run_plugin_command"]

logger = logging.getLogger("interceptor.plugins")


def plugins(server: Server) -> list[Row]:
    """Name, version, state, policy, hooks, why it is not active; calls, failures, µs at work and µs waited for."""
    return [
        [
            one.name,
            one.version,
            one.state,
            one.policy,
            ", ".join(one.hooks),
            one.reason,
            one.calls,
            one.failures,
            round(one.seconds * 1e6),
            round(one.waited * 1e6),
        ]
        for one in server.plugins.status()
    ]


def hooks(server: Server) -> list[Row]:
    """Plugin, hook, state, calls, failures, µs at work, µs of the slowest call, and µs waited for."""
    return [
        [
            plugin.name,
            hook.name,
            "tripped" if hook.breaker.tripped else "active",
            hook.calls,
            hook.failures,
            round(hook.seconds * 1e6),
            round(hook.slowest * 1e6),
            round(hook.waited * 1e6),
        ]
        for plugin in server.plugins.plugins
        for hook in plugin.runtime.hooks.values()
    ]


def pins(server: Server) -> list[Row]:
    """Database, user, reason; how many clients keep a backend for it, and since how many µs the longest does."""
    now = server.clock.tick()
    counts: Counter[tuple[str, str, Effect]] = Counter()
    oldest: dict[tuple[str, str, Effect], float] = {}
    for pool in server.pools:
        for pinned in pool.pinned.values():
            for reason in pinned.reasons:
                key = (pool.settings.database, pool.settings.user, reason)
                counts[key] += 1
                oldest[key] = max(oldest.get(key, 0.0), now - pinned.since)
    return [
        [database, user, reason.value, count, round(oldest[database, user, reason] * 1e6)]
        for (database, user, reason), count in sorted(counts.items(), key=lambda item: (*item[0][:2], item[0][2].value))
    ]


def plugin_command(server: Server, words: Sequence[str]) -> tuple[ConsoleCommand, tuple[str, ...]] | None:
    """The command of a plugin that these words call, and its arguments. Of several the longest name counts."""
    upper = [word.upper() for word in words]
    found: tuple[ConsoleCommand, tuple[str, ...]] | None = None
    longest = 0
    for contribution in server.host.console_commands:
        name = contribution.value.name.upper().split()
        if len(name) > longest and upper[: len(name)] == name:
            found = contribution.value, tuple(words[len(name) :])
            longest = len(name)
    return found


def gather(command: ConsoleCommand, answers: Sequence[Sequence[Row]]) -> Sequence[Sequence[PythonValue]]:
    """What all processes have said, as the plugin puts it together. Raises as ``run_plugin_command``."""
    assert command.gather is not None
    try:
        return command.gather(answers)
    except Exception:
        raise _failed(command) from None


async def run_plugin_command(server: Server, words: tuple[str, ...]) -> list[Sequence[PythonValue]]:
    """Run it. Raises ClientError, not fatal, where it fails; its own words are logged, and shown to nobody else."""
    found = plugin_command(server, words)
    if found is None:
        raise ClientError(CONSOLE_FAILED, f"no plugin of this process has the command {' '.join(words)}", fatal=False)
    command, arguments = found
    try:
        answer = command.run(arguments)
        rows = await answer if inspect.isawaitable(answer) else answer
        return list(rows)
    except Exception:
        raise _failed(command) from None


def _failed(command: ConsoleCommand) -> ClientError:
    logger.exception("the console command %s failed", command.name)
    return ClientError(
        CONSOLE_FAILED,
        f"the command {command.name} failed in its plugin",
        hint="The log of the proxy says why.",
        fatal=False,
    )
