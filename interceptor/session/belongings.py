"""What belongs to a client in its session, and how it comes along when the client moves to another backend.

Statements that may change the session are noted as doubts. When the transaction is over, before the backend is
released, it is asked what is there now. Settings and the role follow the client: its next backend is given them first.
What can't follow (a temporary table, a lock, a subscription…) keeps the client on its backend, until an answer says
that it is gone.

docs/design/session-following.md has the reasons.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from interceptor.errors import SETTINGS_LOST, ClientError
from interceptor.protocol import messages
from interceptor.protocol.messages import decode_error_fields
from interceptor.session.prepared import MAX_STATEMENTS, ClientStatements, Prepared, parse_apart
from interceptor.session.probe import MAX_CARRIED, Probed, ask_for, ask_for_all, ask_for_channels, decode_probe
from interceptor.session.settings import (
    AUTHORIZATION,
    MAX_SETTINGS,
    MAX_SETTINGS_BYTES,
    NO_SETTINGS,
    ROLE,
    UNKNOWN_SETTINGS,
    settings_of,
    start_over,
    transition,
)
from interceptor.sql.effects import Effect, SessionEffects, graver
from interceptor.sql.lexical import names_of_settings

if TYPE_CHECKING:
    from interceptor.session.backend import BackendSession
    from interceptor.session.client import ClientSession
    from interceptor.session.reported import Reported

_serials = itertools.count(1)

FOR_EVER: Final = frozenset({Effect.UNCOUNTED, Effect.SEED, Effect.LIBRARY, Effect.SESSION_RESOURCE})
"""What no answer of a backend can say the end of."""

MAX_NAMES: Final = 1000
"""Names of custom settings that are asked for at one time."""

NAMING: Final = frozenset({"role", "search_path", "session_authorization"})
"""What decides about what names mean."""

_NO_PINS: Final[frozenset[Effect]] = frozenset()
_NO_NAMES: Final[frozenset[str]] = frozenset()
# One of each for all: CPython makes a new empty frozenset of 216 bytes at each call.

MAX_VALUES: Final = 16 * 1024
"""Bytes of a Bind in which such names are looked for."""

_DEALLOCATE_ALL: Final = messages.encode_query("DEALLOCATE ALL")
_DISCARD_SEQUENCES: Final = messages.encode_query("DISCARD SEQUENCES")


class Belongings:
    """What one client has in its session. Where the pool mode is session, nothing is noted: all stays where it is."""

    __slots__ = (
        "defines",
        "deviates",
        "doubt",
        "named_only",
        "names",
        "pins",
        "sequence_backend",
        "serial",
        "session",
        "settings",
        "told",
        "unsure",
    )

    def __init__(self, session: ClientSession, told: Reported) -> None:
        """``told``: the settings that the client was told of at login."""
        self.session = session
        self.settings = NO_SETTINGS
        """As of the end of its last transaction."""
        self.told = told
        self.pins = _NO_PINS
        """What keeps it on its backend."""
        self.sequence_backend: BackendSession | None = None
        """Where it has its last values of sequences."""
        self.serial = next(_serials)
        """Marks the sequence values on a backend as this client's."""

        # Of the transaction that is open
        self.doubt: Effect | None = None
        """The gravest of what its statements may have done."""
        self.names = _NO_NAMES
        """Settings that they may have set, by name."""
        self.named_only = False
        """They did nothing but set these."""
        self.deviates = False
        """They set what decides how others are parsed, be it for the transaction alone."""
        self.defines = False
        """They may have created or altered what others will use."""

        self.unsure = False
        """``settings`` are not all: it has more of them than follow it, or nobody could be asked."""

    # --- Noting ----------------------------------------------------------------------------------------------------

    def note(self, effects: SessionEffects, backend: BackendSession) -> None:
        """A statement with these effects is about to be sent."""
        if self.session.interception is not None:
            self.session.interception.note_effects(effects)
        if effects.reparses:
            self.deviates = True
        if effects.defines:
            self.defines = True
            self.session.host.on_defining()
        if effects.touches_sequence:
            if self.sequence_backend is not backend:
                # What it left elsewhere is out of date from now on.
                self.sequence_backend = backend
                self.serial = next(_serials)
            backend.note_sequence(self.serial)
        effect = effects.effect
        if effect is None:
            if not self.pins or not effects.ends_pin:
                return
            effect = Effect.REDUCTION
        if effect in FOR_EVER:
            self.pin(effect)
        if effects.reduces:
            backend.watches_tags = True
        named_only = (
            effect is Effect.SETTING
            and effects.statement_count == 1
            and bool(effects.settings)
            and backend.status == messages.IDLE
            and "session_authorization" not in effects.settings
            and (bool(backend.base_role) or ROLE not in effects.settings)
        )
        self.named_only = named_only and (self.doubt is None or self.named_only)
        if self.doubt is None:
            self.doubt = effect
            self.session.read_carefully()
        else:
            self.doubt = graver(self.doubt, effect)
        if len(self.names) < MAX_NAMES:
            self.names |= effects.settings

    def note_values(self, message: bytes) -> None:
        """The values of a statement in doubt, which may be names of settings."""
        if len(self.names) < MAX_NAMES:
            self.names = self.names.union(names_of_settings(message[:MAX_VALUES]))

    def doubt_more(self) -> None:
        """Something of ours goes ahead of a statement of the client's, and is to be asked about."""
        if self.doubt is None:
            self.doubt = Effect.REDUCTION
            self.session.read_carefully()
        self.named_only = False

    def on_error(self) -> None:
        """A statement failed: what was sent is not what was done."""
        self.named_only = False
        if self.session.interception is not None:
            self.session.interception.executions.on_error()

    def pin(self, effect: Effect) -> None:
        """Keep the backend for this, until an answer says that it is gone."""
        if effect not in self.pins:
            self._set_pins(self.pins | {effect})

    def _set_pins(self, pins: frozenset[Effect]) -> None:
        if pins != self.pins:
            self.pins = pins
            self.session.pinned = bool(pins)
            self.session.host.on_pins_changed(pins)

    # --- Asking ----------------------------------------------------------------------------------------------------

    def settle(self, backend: BackendSession) -> bool:
        """At the end of a transaction in doubt: whether all is known. If not, the backend is asked."""
        self.deviates = False
        kept = self.pins & FOR_EVER
        has_nothing = not self.pins and self.settings is NO_SETTINGS and backend.base_settings is NO_SETTINGS
        listening = self.session.listening
        nothing_to_lose = self.doubt is Effect.REDUCTION and has_nothing and not (listening and listening.in_doubt)
        if kept and listening is not None:
            if listening.put_back:
                backend.ask(ask_for_channels(), self._on_channels)
                return False
            listening.give_up()
        if kept or (nothing_to_lose and self.session.named is not None):
            self.unsure = self.unsure or bool(kept)
            self._forget_doubt()
            return True
        if self.named_only and not self.pins and "statement_timeout" not in self.names:
            backend.ask(ask_for(self.names), self._on_named)
        else:
            may_be_short = "statement_timeout" in self.names or "statement_timeout" in self.settings.values
            self._ask_all(backend, without_timeout=may_be_short)
        return False

    def _ask_all(self, backend: BackendSession, *, without_timeout: bool) -> None:
        # The others need not be named, and are told only where they are set.
        known = [name for name in (*self.names, *self.settings.values) if "." in name]
        private = self.session.named is None and self.session.registry is not None
        # Those of this client first, should there be too many.
        names = itertools.islice(dict.fromkeys([*known, *backend.custom_names]), MAX_NAMES)
        message = ask_for_all(
            names,
            backend.login_role,
            statements=private,
            channels=self.session.listening is not None,
            without_timeout=without_timeout,
            base_role=not backend.base_role,
        )
        backend.ask(message, self._on_all if without_timeout else self._on_all_or_timeout)

    def ask_names(self, backend: BackendSession) -> None:
        """In session mode, where nothing else is asked: find out what names mean now."""
        backend.ask(ask_for(NAMING), self._on_names)

    def _on_names(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        interception = self.session.interception
        if interception is not None:
            interception.on_names(None if error else decode_probe(rows).settings)
        return True

    def _on_all_or_timeout(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if b"\0C57014\0" in error:
            # Perhaps the client's own statement_timeout ended it, so ask again under none.
            self._ask_all(backend, without_timeout=True)
            return True
        return self._on_all(backend, rows, error)

    def _forget_doubt(self) -> None:
        self.doubt = None
        self.names = _NO_NAMES
        self.named_only = False
        self.session.read_carefully()

    def _on_named(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if error:
            self._ask_all(backend, without_timeout=True)
            return True
        told = decode_probe(rows).settings
        values = {**self.settings.values, **told}
        for name in self.names:
            if name not in told or ("." in name and not told[name]):
                # What it says as well where it was never set; so it says nothing of this client.
                values.pop(name, None)
        self._learn(backend)
        self._forget_doubt()
        if not self._adopt_settings(backend, values):
            self.pin(Effect.SETTING)
        self.tell(backend)
        return True

    def _on_all(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if error:
            return self._on_no_answer(backend)
        probed = decode_probe(rows)
        backend.base_role = probed.base_role or backend.base_role
        self._learn(backend)
        if self.doubt is Effect.OPAQUE:
            backend.hidden_of = self.serial
        self._forget_doubt()
        assert not self.pins & FOR_EVER, "nothing is asked then"
        pins = set(probed.has)
        if self.session.listening is not None:
            self.session.listening.settle(backend, probed, pins)
        if not self._adopt_settings(backend, probed.settings):
            pins.add(Effect.SETTING)
        self._reconcile_statements(backend, probed, pins)
        self._set_pins(frozenset(pins) if pins else _NO_PINS)
        self.tell(backend)
        return True

    def _on_channels(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        """All that is asked of a backend that the client keeps anyway."""
        self.unsure = True
        self._forget_doubt()
        assert self.session.listening is not None
        if error:
            self.session.listening.give_up()
        else:
            self.session.listening.settle(backend, decode_probe(rows), set())
        return True

    def _on_no_answer(self, backend: BackendSession) -> bool:
        """The backend refused to say: keep it, and ask again when there is a new doubt."""
        self.unsure = True
        self._forget_doubt()
        if self.session.listening is not None:
            self.session.listening.give_up()
        self.pin(Effect.OPAQUE)
        self.tell(backend)
        return True

    def _learn(self, backend: BackendSession) -> None:
        """What one client sets, another may as well, in a way that no text tells."""
        if len(backend.custom_names) < MAX_NAMES:
            backend.custom_names.update([name for name in self.names if "." in name])

    def _adopt_settings(self, backend: BackendSession, values: dict[str, bytes]) -> bool:
        """The client's settings are these now; False if they are too many to follow it."""
        base = backend.base_settings.items
        if AUTHORIZATION not in values:
            # To set that takes the role away, so it has to be set behind it, whatever it is.
            base |= {(ROLE, backend.base_role)}
        settings = settings_of([item for item in values.items() if item not in base])
        self.unsure = len(values) > MAX_SETTINGS or settings.size > MAX_SETTINGS_BYTES
        if self.unsure:
            return False
        self.settings = backend.settings = settings
        if not backend.base_settings.values.keys() <= values.keys():
            # The client has reset what every client of this pool is to have.
            backend.settings = UNKNOWN_SETTINGS
        self.session.read_carefully()
        return True

    def _reconcile_statements(self, backend: BackendSession, probed: Probed, pins: set[Effect]) -> None:
        """Statements of a client that looked at them by SQL are shared again once SQL has made none of them."""
        session = self.session
        if Effect.PREPARED_STATEMENT in pins:
            return
        registry = session.registry
        if registry is None:
            if probed.statement_count:
                pins.add(Effect.PREPARED_STATEMENT)
            return
        if session.named is not None:
            if probed.statement_count != len(backend.prepared):
                # A function has deallocated what we prepared, or prepared by Parse and dropped what SQL had.
                backend.prepared.clear()
                backend.ask(_DEALLOCATE_ALL, self._on_moved)
            return
        if probed.statement_count != len(probed.statements) or probed.statement_count > MAX_CARRIED:
            pins.add(Effect.PREPARED_STATEMENT)
            return
        assert len(probed.statements) <= MAX_STATEMENTS
        statements = ClientStatements(registry)
        for name, body in probed.statements:
            statements.add(name, registry.unshared(body, session.effects_of(body[: body.find(0)])))
        session.named = statements
        backend.prepared.clear()
        if probed.statements:
            backend.ask(_DEALLOCATE_ALL, self._on_moved)

    # --- Moving ----------------------------------------------------------------------------------------------------

    def move_to(self, backend: BackendSession) -> bool:
        """Give a backend that was linked now what the client has. Whether it may be sent more at once."""
        if backend.hidden_of not in (0, self.serial):
            backend.hidden_of = 0
            step = start_over(self.settings, backend.base_settings)
        elif backend.settings is not self.settings:
            step = transition(backend.settings, self.settings, backend.base_settings)
        else:
            self.tell(backend)
            return True
        backend.settings = self.settings
        backend.ask(step.message, self._on_moved if step.sure else self._on_moved_or_not)
        return step.sure

    def _on_moved_or_not(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        """Perhaps what another client left can't be taken back one by one: start over, before anything else is sent."""
        if error and not self.session.finishing:
            backend.ask(start_over(self.settings, backend.base_settings).message, self._on_moved)
            return True
        return self._on_moved(backend, rows, error)

    def _on_moved(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if error:
            reason = decode_error_fields(error).get("M", "it gave no reason")
            self.doubt = Effect.OPAQUE
            self.session.host.on_failed(
                ClientError(
                    SETTINGS_LOST,
                    f"the settings of this client could not be set on another backend: {reason}",
                    detail="They follow a client from backend to backend in transaction pooling.",
                    hint="Connect again, and look whether the role or the object that a setting names is still there.",
                )
            )
            return False
        self.tell(backend)
        return True

    def parse_as_at_first(self, backend: BackendSession, prepared: Prepared) -> bool:
        """Prepare a statement of this client on its backend under the settings that it was parsed under at first.

        A literal in it was read then. False if that is not called for, or can't be done now. The client has to wait.
        """
        wanted = prepared.settings
        current = self.settings.parsing
        if wanted is None or wanted is current or self.deviates or self.doubt is not None:
            return False
        if len(backend.owed) > len(backend.asked) or not backend.ready or backend.status == messages.FAILED_TRANSACTION:
            return False
        local = backend.status == messages.IN_TRANSACTION
        there = transition(current, wanted, backend.base_settings, local=local)
        back = transition(wanted, current, backend.base_settings, local=local)
        backend.ask(there.message, self._on_moved)
        parse_apart(backend, prepared)
        backend.ask(back.message, self._on_moved_back)
        return True

    def _on_moved_back(self, backend: BackendSession, rows: list[bytes], error: bytes) -> bool:
        if error and backend.status == messages.FAILED_TRANSACTION:
            # The statement could not be parsed, which failed the transaction, as it would have without us.
            return True
        return self._on_moved(backend, rows, error)

    def tell(self, backend: BackendSession) -> None:
        """Tell the client which reported settings are others now than it knows, once all is as it is to be."""
        if backend.reported is not self.told and not backend.asked:
            self.session.write(backend.reported.news_since(self.told))
            self.on_told(backend.reported)

    def on_told(self, reported: Reported) -> None:
        """The client knows this now of its reported settings."""
        if reported.standard_lexing is not self.told.standard_lexing:
            self.told = reported
            self.session.read_carefully()
            if self.session.interception is not None:
                self.session.interception.on_lexing()
        self.told = reported

    def may_read_sequences(self, backend: BackendSession) -> bool:
        """Whether what lastval() and currval() say now is surely this client's."""
        return backend.sequences_of in (0, self.serial)

    def hide_sequences(self, backend: BackendSession) -> None:
        """Take away the sequence values of other clients, before this one can ask for them."""
        if backend.sequences_of not in (0, self.serial):
            backend.sequences_of = 0
            backend.ask(_DISCARD_SEQUENCES, self._on_moved)
