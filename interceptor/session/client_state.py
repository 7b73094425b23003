"""What is known of one client: what it has in its session, what has come from it, and how its texts are judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from interceptor.session.actions import ClientHost
from interceptor.session.belongings import Belongings
from interceptor.session.bounds import MAX_JUDGED, WHOLE_MESSAGE
from interceptor.session.judgements import LASTING, Judgements, judge_nothing
from interceptor.session.prepared import ClientStatements, Meaning, Prepared, PreparedRegistry
from interceptor.session.requests import HANDLERS, INTERCEPTED
from interceptor.session.states import PoolMode
from interceptor.sql.effects import OPAQUE, SessionEffects

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.interception import Interception
    from interceptor.session.listening import Listening

MAX_KEPT_INPUT: Final = 256 * 1024
"""Bytes that a client may send ahead while it waits; beyond them its socket is not read."""


class ClientState:
    """What one client's half of a conversation knows; ``ClientSession`` acts on it."""

    __slots__ = (
        "analyse",
        "backend",
        "begins",
        "belongings",
        "deciding",
        "discarding",
        "effects_of",
        "finishing",
        "follows",
        "handlers",
        "held",
        "host",
        "ignoring",
        "interception",
        "listening",
        "max_whole",
        "mode",
        "named",
        "paused",
        "pinned",
        "reads_unnamed",
        "registry",
        "rest",
        "retry",
        "reused",
        "reused_parse",
        "reuses",
        "settling",
        "streaming",
        "texts",
        "unnamed",
        "waiting",
        "wants_flush",
        "wants_release",
        "write",
    )

    # Set by ClientSession
    belongings: Belongings

    def __init__(
        self,
        host: ClientHost,
        mode: PoolMode,
        analyse: Callable[..., SessionEffects],
        registry: PreparedRegistry | None,
        *,
        reuses: bool,
        texts: Judgements | None,
    ) -> None:
        """As ``ClientSession``."""
        self.host = host
        self.write: Callable[[bytes], None] = host.write
        self.mode = mode
        self.analyse = analyse
        self.texts: Judgements = texts or LASTING
        self.effects_of: Callable[[bytes], SessionEffects] = analyse
        """What a text may do to this client's session."""
        self.backend: BackendSession | None = None

        # What plugins decide
        self.interception: Interception | None = None
        self.handlers = HANDLERS
        self.settling = False
        """Its last transaction is over, and its backend is asked what it left in its session."""
        self.deciding = False
        """Until a plugin has decided about what came."""
        self.begins = False
        """What is held begins a batch that nobody has looked at."""
        self.max_whole = WHOLE_MESSAGE
        """Bytes up to which a message is collected before it is acted on."""

        # What it has in its session, and what keeps its backend
        self.follows = mode is not PoolMode.SESSION
        """Its session follows it from backend to backend."""
        self.pinned = not self.follows
        self.unnamed = b""
        """The Parse message of the unnamed statement, which the next backend has to be given; empty if none."""

        self.reads_unnamed = False
        """It has prepared an unnamed statement that may ask for a sequence value."""
        self.retry: tuple[bytes, int, Prepared] | tuple[()] | None = None
        """The batch under way, from the message on that runs this statement; empty if it has been sent again."""
        self.registry = registry if self.follows else None
        self.reuses = reuses
        self.reused: Prepared | None = None
        """What stands for the unnamed statement in this batch."""
        self.reused_parse = b""
        """Its Parse, while nothing has been sent yet that uses it."""
        self.named = None if self.registry is None else ClientStatements(self.registry)
        """The named statements that follow it; None where they are the backend's own, by their own names."""

        self.listening: Listening | None = None
        """What it hears of channels, once it has listened to one with others."""

        # Where it is
        self.wants_flush = False
        self.wants_release = False
        self.waiting = False
        """For a backend."""
        self.held = False
        """Until the backend has answered more: what ``rest`` means depends on it."""
        self.ignoring = False
        """Up to the next Sync, because of an error."""
        self.finishing = False
        """It said Terminate."""
        self.paused = False
        """We asked the host to read no more."""

        # Where the bytes are
        self.rest = b""
        """What came and is not acted on yet."""
        self.streaming = 0
        """Bytes still to come of a message that is being forwarded in pieces."""
        self.discarding = 0
        """Bytes still to come of a message that goes nowhere."""

    def intercept(self, interception: Interception) -> None:
        """From now on plugins decide about the statements of this client."""
        self.interception = interception
        self.handlers = INTERCEPTED
        self.max_whole = MAX_JUDGED

    # --- What came, to be acted on later ---

    def keep_input(self, data: bytes) -> None:
        """Act on this later."""
        if self.finishing:
            return
        self.rest = data
        most = MAX_KEPT_INPUT if self.interception is None else MAX_JUDGED + MAX_KEPT_INPUT
        if len(data) > most and not self.paused:
            self.paused = True
            self.host.pause_reading()

    def take_kept(self) -> bytes:
        """What was kept to be acted on later."""
        data, self.rest = self.rest, b""
        self.host.catch_up()
        if self.paused:
            self.paused = False
            self.host.resume_reading()
        return data

    # --- How texts are judged ---

    def read_carefully(self) -> None:
        """Judge texts by what is known now of how SQL reads in this session."""
        belongings = self.belongings
        if belongings.settings.misleading:
            self.effects_of = judge_nothing
        elif belongings.told.standard_lexing and belongings.doubt is None:
            self.effects_of = self.analyse
        else:
            # A statement is under way that may have changed it: only what reads alike is understood.
            self.effects_of = partial(self.analyse, standard_lexing=False)

    @property
    def meaning(self) -> Meaning:
        """What the meaning of a text that it prepares now depends on."""
        belongings = self.belongings
        return belongings.settings.parsing, belongings.told.standard_lexing, self.texts.generation

    def judge_anew(self, prepared: Prepared) -> SessionEffects:
        """What a prepared statement may do, by what is known now."""
        if prepared.era is not self.texts.era:
            settings = prepared.settings
            if settings is not None and settings.misleading:
                prepared.effects = OPAQUE
            else:
                text = prepared.body[: prepared.body.find(0)]
                prepared.effects = self.analyse(text, prepared.standard_lexing)
            prepared.era = self.texts.era
        return prepared.effects
