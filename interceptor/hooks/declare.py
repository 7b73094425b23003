"""How a plugin says what it is: the markers, and the declaration of its name, version, config and policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Literal, ParamSpec, Protocol, TypeAlias, TypeVar

import msgspec
import pluggy

from interceptor.hooks.statement import DEPENDENCIES

if TYPE_CHECKING:
    from interceptor.services.plugins import Services

__all__ = [
    "DEADLINE",
    "Contribution",
    "NoSettings",
    "PluginContext",
    "PluginHost",
    "PluginInfo",
    "Policy",
    "declared_info",
    "hookimpl",
    "hookspec",
    "plugin",
]

C_co = TypeVar("C_co", covariant=True)
T = TypeVar("T")
P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., object])

hookimpl: Final = pluggy.HookimplMarker("interceptor")
"""Marks a function, or a method of a plugin's class, as the implementation of the hook of that name."""

hookspec: Final = pluggy.HookspecMarker("interceptor")
"""Marks a function as a hook that a plugin brings and other plugins implement."""

Policy: TypeAlias = Literal["by phase", "closed"]
"""What holds when a hook fails. ``by phase``: guard, virtual and admit refuse, all others let pass.
``closed``: all refuse."""

DEADLINE: Final = 5.0
"""Seconds that one awaitable of a plugin may take, unless the plugin declares another number."""


_OF_NAMES: Final = frozenset(["role", "search_path"])


class NoSettings(msgspec.Struct, frozen=True):
    """The config of a plugin that has none: its table must be empty."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """What a plugin declares. A module without a class puts one into ``plugin_info``.

    ``config``: a msgspec Struct, into which the plugin's table is decoded. ``depends_on``: what of the session its
    plans rest on beside database and user (``DEPENDENCIES``, ``setting:NAME``). ``needs_catalogue``: statements come
    with ``resolution``. ``deadline``: seconds for one awaitable.
    """

    version: str = ""
    config: type[msgspec.Struct] = NoSettings
    policy: Policy = "by phase"
    depends_on: tuple[str, ...] = ()
    needs_catalogue: bool = False
    deadline: float = DEADLINE

    @property
    def dependencies(self) -> frozenset[str]:
        """All that the plugin's plans may rest on: names mean what the role and the search_path make of them."""
        names = _OF_NAMES if self.needs_catalogue else frozenset()
        return (frozenset(self.depends_on) - {"transaction"}) | names

    def __post_init__(self) -> None:
        if self.policy not in ("by phase", "closed"):
            raise ValueError(f'the policy of a plugin is "by phase" or "closed", not {self.policy!r}')
        names: object = self.depends_on
        if isinstance(names, str):
            raise TypeError(f"depends_on is a tuple of names: write depends_on=({self.depends_on!r},)")
        for name in self.depends_on:
            if name not in DEPENDENCIES and not name.startswith("setting:"):
                known = ", ".join(sorted(DEPENDENCIES))
                raise ValueError(f'depends_on names {name!r}, which is none of {known} and no "setting:NAME"')
        if not 0 < self.deadline <= 3600:
            raise ValueError(f"a deadline is more than 0 and at most 3600 seconds: {self.deadline}")


@dataclass(frozen=True, slots=True)
class Contribution(Generic[T]):
    """What one plugin answered to a hook that all are asked."""

    plugin: str
    value: T


class PluginHost(Protocol):
    """What the set of plugins does for one of them."""

    def collect(self, name: str, arguments: dict[str, object]) -> list[Contribution[object]]:
        """Call a hook of every plugin that implements it, contained."""

    def invalidate_plans(self, database: str | None) -> None:
        """Forget plans."""


@dataclass(frozen=True, slots=True)
class PluginContext(Generic[C_co]):
    """What a plugin's class is made with. It holds as long as the instance: a reload makes another."""

    name: str
    config: C_co
    services: Services
    log: logging.Logger
    host: PluginHost = field(repr=False)
    folder: Path = field(default_factory=Path)
    """Of the config file: relative paths in the plugin's config are counted from there."""

    def invalidate_plans(self, database: str | None = None) -> None:
        """Have all plans made anew, or those of one database: something that they rest on is different now.

        For all databases, sessions are classified anew too (``classify_session``).
        """
        self.host.invalidate_plans(database)

    def collect(self, spec: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> tuple[Contribution[T], ...]:
        """Ask all plugins that implement a hook of this plugin's own. A broken one is missing from the answer.

        Not before all plugins are made: call it in ``start_worker``, or later.
        """
        if args:
            raise TypeError("give the arguments of a hook by name")
        answers = self.host.collect(spec.__name__, dict(kwargs))
        return tuple(answers)  # type: ignore[arg-type]  # pluggy can't tell what implementations return


_INFO: Final = "__interceptor_plugin__"


def plugin(
    *,
    version: str = "",
    config: type[msgspec.Struct] = NoSettings,
    policy: Policy = "by phase",
    depends_on: tuple[str, ...] = (),
    needs_catalogue: bool = False,
    deadline: float = DEADLINE,
) -> Callable[[F], F]:
    """Declare the class below to be a plugin. It is made with one argument, a ``PluginContext`` of its config.

    The arguments are those of ``PluginInfo``. A module has one such class, or hooks as plain functions.
    """
    info = PluginInfo(version, config, policy, depends_on, needs_catalogue, deadline)

    def mark(made: F) -> F:
        setattr(made, _INFO, info)
        return made

    return mark


def declared_info(made: object) -> PluginInfo | None:
    """What ``plugin`` was called with for this class; a class below it declares for itself."""
    found = getattr(made, "__dict__", {}).get(_INFO)
    return found if isinstance(found, PluginInfo) else None
