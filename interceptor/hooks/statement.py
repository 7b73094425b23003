"""What a plugin is shown: a text with its facts, a class of sessions, and one execution."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeAlias, TypeVar, cast

from interceptor.hooks.deeds import Deeds, deeds_of
from interceptor.sql.canonical import canonical_text
from interceptor.sql.facts_cache import without_literals

if TYPE_CHECKING:
    from interceptor.catalogue import Closures, Scope
    from interceptor.hooks.parameters import Parameters
    from interceptor.hooks.plans import PlanTable
    from interceptor.hooks.transaction import Transaction
    from interceptor.sql.facts import MessageFacts

__all__ = [
    "DEPENDENCIES",
    "Execution",
    "Names",
    "Protocol",
    "Resolution",
    "Session",
    "SessionClass",
    "StateKey",
    "Statement",
    "UndeclaredDependency",
]

T = TypeVar("T")

Protocol: TypeAlias = Literal["simple", "extended", "function call"]

Names: TypeAlias = Literal["known", "own", "unresolved"]
"""How names of relations resolve for a session: as the catalogue says, differently because it has temporary objects,
or not at all because its transaction changed the schema."""

DEPENDENCIES: Final = frozenset(
    ["role", "search_path", "application_name", "backend_user", "tls", "certificate_subject", "transaction"]
)
"""What ``depends_on`` may name, besides ``setting:NAME``. The last is nothing of a class of sessions: steps and
observers read it (``Transaction``), and it is kept only where somebody wants it."""


class UndeclaredDependency(Exception):
    """A plan hook read something of its session that its plugin has not declared, so that no plan may rest on it."""


_look_into = object.__setattr__


class Statement:
    """The text of one Query or Parse message, whole: it may have several statements.

    For a FunctionCall message ``function`` is the OID of what is called, and the text is empty.
    """

    __slots__ = (
        "_canonical",
        "_deeds",
        "_exact",
        "_sql",
        "facts",
        "function",
        "looked_into",
        "reads_alike",
        "resolution",
    )

    _sql: bytes
    looked_into: bool
    """Somebody asked for the text, or for its own literals and places: what he makes of it is of no other text."""
    facts: MessageFacts
    """What it is and does, from the text alone. Literals and places may be those of an example: see ``exact``."""
    resolution: Resolution | None
    """What its names mean in the catalogue; None if no plugin declared ``needs_catalogue``."""
    reads_alike: bool
    """The server reads the text as the facts do: see ``Session.reads_alike``."""
    function: int
    _exact: Callable[[bytes], MessageFacts] | None
    _deeds: Deeds | None
    _canonical: str | None
    """Unset until somebody asks."""

    def __init__(
        self,
        sql: bytes,
        facts: MessageFacts,
        *,
        resolution: Resolution | None = None,
        reads_alike: bool = True,
        function: int = 0,
        exact: Callable[[bytes], MessageFacts] | None = None,
    ) -> None:
        """``exact`` gives the facts of a text itself, where ``facts`` may be an example's."""
        put = _look_into
        put(self, "_sql", sql)
        put(self, "looked_into", False)
        put(self, "facts", facts)
        put(self, "resolution", resolution)
        put(self, "reads_alike", reads_alike)
        put(self, "function", function)
        put(self, "_exact", exact)
        put(self, "_deeds", None)

    def __setattr__(self, name: str, value: object) -> None:
        # All plugins see the same one, and what one of them wrote into it the next would judge.
        raise AttributeError(f"the {name} of a Statement can't be changed: a rewrite is a decision")

    @property
    def sql(self) -> bytes:
        """As it was sent, without the final NUL."""
        _look_into(self, "looked_into", True)
        return self._sql

    @property
    def text(self) -> str:
        """The same, decoded; bytes that aren't UTF-8 as surrogates."""
        return self.sql.decode("utf-8", "surrogateescape")

    @property
    def deeds(self) -> Deeds:
        """What it does to its transaction, from its facts alone."""
        if self._deeds is None:
            _look_into(self, "_deeds", deeds_of(self.facts))
            assert self._deeds is not None
        return self._deeds

    @property
    def canonical(self) -> str | None:
        """The canonical text, which has parameters for constants (``interceptor.sql.canonical``); None if the text
        can't be read, or is too long for that.

        It costs some 100 µs when it is first asked for. Texts that differ in the values of constants alone share it, so
        it may decide about what they share (``Observer.shared``).
        """
        try:
            return self._canonical
        except AttributeError:
            text = self._find_canonical()
            _look_into(self, "_canonical", text)
            return text

    def _find_canonical(self) -> str | None:
        facts = self.facts
        if not facts.example:
            return canonical_text(self._sql, facts)
        if self._exact is None:
            return None
        text = canonical_text(self._sql, self._exact(self._sql))
        written = b"" if text is None else text.encode("utf-8", "surrogateescape")
        if text is None or without_literals(written) != written:
            # A constant stands in it for which there can be no parameter: of others it is another.
            _look_into(self, "looked_into", True)
        return text

    def exact(self) -> MessageFacts:
        """The facts with this text's own literals and places. It costs an analysis if ``facts.example`` is true."""
        _look_into(self, "looked_into", True)
        if self.facts.example and self._exact is not None:
            return self._exact(self._sql)
        return self.facts

    def for_text(self, sql: bytes) -> Statement:
        """The statement of another text that differs in the values of constants alone."""
        return Statement(sql, self.facts, resolution=self.resolution, reads_alike=self.reads_alike, exact=self._exact)

    def __repr__(self) -> str:
        return f"<Statement {self.text[:60]!r}>"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the names of a statement mean: the catalogue of its database, and what decides about names in its session.

    ``closures`` is None while the catalogue can't be had: then no name resolves, and what rests on one must assume the
    worst. ``closures.names`` finds relations, functions and operators; ``closures.snapshot`` is the catalogue itself.
    """

    closures: Closures | None
    scope: Scope


class StateKey(Generic[T]):
    """Names a plugin's own state on each session; ``make`` makes it when it is first asked for."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], T]) -> None:
        self.make: Final = make


class Session:
    """One client's session, as far as it is known. Plugins read it; the proxy writes it.

    What was set by something that can't be seen into is None until it is known again.
    """

    __slots__ = (
        "_state",
        "application_name",
        "backend_user",
        "certificate_subject",
        "client_address",
        "database",
        "id",
        "names",
        "reads_alike",
        "role",
        "search_path",
        "settings",
        "settings_unknown",
        "startup",
        "table",
        "temporary",
        "tls",
        "transaction",
        "user",
    )

    def __init__(
        self,
        *,
        id: int,
        database: str,
        user: str,
        transaction: Transaction,
        backend_user: str = "",
        client_address: str = "",
        tls: bool = False,
        certificate_subject: str = "",
        startup: Mapping[str, str] | None = None,
    ) -> None:
        self.id = id
        """Of the connection, as shown on the console."""
        self.database = database
        """By the name that the client asked for."""
        self.user = user
        self.backend_user = backend_user or user
        """Whom PostgreSQL takes it for, before any SET ROLE."""
        self.client_address = client_address
        """An IP address; empty for a Unix socket."""
        self.tls = tls
        self.certificate_subject = certificate_subject
        self.startup: Mapping[str, str] = startup or {}
        """The parameters of its StartupMessage."""
        self.application_name: str | None = self.startup.get("application_name", "")
        self.role: str | None = self.backend_user
        """Whose privileges count: changed by SET ROLE and SET SESSION AUTHORIZATION."""
        self.search_path: str | None = None
        """The setting's text."""
        self.settings: dict[str, str | None] = {}
        """Settings that it changed, by lower-case name."""
        self.settings_unknown = False
        """It may have changed any setting."""
        self.reads_alike = True
        """standard_conforming_strings is on, and no byte below 128 is part of another character in its encoding."""
        self.names: Names = "known"
        self.temporary: frozenset[str] | None = None
        """The names of its own temporary relations, where ``names`` is ``own`` and they are known."""
        self.transaction = transaction
        self.table: PlanTable | None = None
        """Of its class. Set it to None when something changes that the class is made of."""
        self._state: dict[StateKey[object], object] | None = None

    def scope(self) -> Scope:
        """What decides about names in it just now, as the catalogue wants to know it."""
        if self.names == "known":
            return _scope_of(self.search_path, self.role)
        from interceptor.catalogue import Scope, parse_search_path

        return Scope(
            None if self.search_path is None else parse_search_path(self.search_path),
            self.role or "",  # nobody's name: what depends on the role is then unresolved
            self.temporary,
            self.names == "unresolved",
        )

    def get(self, key: StateKey[T]) -> T:
        """A plugin's own state on this session. It lasts as long as the connection."""
        if self._state is None:
            self._state = {}
        found = self._state.get(cast("StateKey[object]", key))
        if found is None:
            found = self._state[cast("StateKey[object]", key)] = key.make()
        return cast("T", found)

    def __repr__(self) -> str:
        return f"<Session {self.id} {self.user}@{self.database}>"


@lru_cache(maxsize=1000)
def _scope_of(search_path: str | None, role: str | None) -> Scope:
    from interceptor.catalogue import Scope, parse_search_path

    return Scope(None if search_path is None else parse_search_path(search_path), role or "")


class SessionClass:
    """What plans may rest on: that which all sessions of a class have in common, as far as one plugin declared it."""

    __slots__ = ("_declared", "_plugin", "_values", "database", "label", "names", "user")

    def __init__(
        self,
        plugin: str,
        database: str,
        user: str,
        names: Names,
        declared: frozenset[str],
        values: Mapping[str, str | bool | None],
        label: Hashable,
    ) -> None:
        self.database: Final = database
        self.user: Final = user
        self.names: Final = names
        self.label: Final = label
        """What the plugin's own ``classify_session`` gave."""
        self._plugin = plugin
        self._declared = declared
        self._values = values

    def _get(self, name: str) -> str | bool | None:
        if name not in self._declared:
            raise UndeclaredDependency(
                f'the plugin {self._plugin} makes a plan from "{name}" of the session without saying so: '
                f'declare depends_on=("{name}",), or look at execution.session in a step'
            )
        return self._values[name]

    @property
    def role(self) -> str | None:
        """As ``Session.role``; None if it isn't known."""
        return cast("str | None", self._get("role"))

    @property
    def search_path(self) -> str | None:
        """As ``Session.search_path``."""
        return cast("str | None", self._get("search_path"))

    @property
    def application_name(self) -> str | None:
        """As ``Session.application_name``."""
        return cast("str | None", self._get("application_name"))

    @property
    def backend_user(self) -> str:
        """As ``Session.backend_user``."""
        return cast("str", self._get("backend_user"))

    @property
    def tls(self) -> bool:
        """As ``Session.tls``."""
        return cast("bool", self._get("tls"))

    @property
    def certificate_subject(self) -> str:
        """As ``Session.certificate_subject``."""
        return cast("str", self._get("certificate_subject"))

    def setting(self, name: str) -> str | None:
        """A setting that the session changed; None if it did not, or if it isn't known."""
        return cast("str | None", self._get(f"setting:{name}"))


class Execution:
    """One run of a statement: a Query, or a Bind with its Execute."""

    __slots__ = ("original", "parameters", "protocol", "result_formats", "session", "statement")

    def __init__(
        self,
        statement: Statement,
        session: Session,
        parameters: Parameters,
        *,
        protocol: Protocol = "simple",
        result_formats: tuple[int, ...] = (),
        original: Execution | None = None,
    ) -> None:
        self.statement = statement
        self.session = session
        self.parameters = parameters
        """Of the statement as it is now; none in the simple protocol."""
        self.protocol: Protocol = protocol
        self.result_formats = result_formats
        """As in Bind: none (all text), one for all columns, or one for each; 0 is text, 1 binary."""
        self.original: Execution = original or self
        """As the client sent it, where this one was rewritten; else itself."""

    @property
    def transaction(self) -> Transaction:
        """The session's transaction."""
        return self.session.transaction

    @property
    def rewritten(self) -> bool:
        """Whether it is not what the client sent."""
        return self.original is not self

    def with_statement(self, statement: Statement, parameters: Parameters) -> Execution:
        """This execution, of another statement."""
        return Execution(
            statement,
            self.session,
            parameters,
            protocol=self.protocol,
            result_formats=self.result_formats,
            original=self.original,
        )
