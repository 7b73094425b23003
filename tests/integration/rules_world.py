"""The database of the corpus, its statements, and how a statement is tried against the rules and against PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from interceptor import Block, Session
from interceptor.catalogue import Snapshot
from interceptor.testing.harness import PluginHarness
from interceptor.testing.postgres import PostgresServer
from tests.integration.catalogue_world import snapshot_of
from tests.support import frontend
from tests.support.backend import Reply, decode_error
from tests.support.wire import Endpoint, WireClient

__all__ = ["CANARY", "CORPUS", "Case", "RulesWorld", "is_refused", "is_told", "read_cases"]

CORPUS = Path(__file__).parent / "rules_corpus"
CANARY = b"canary-7f3a"
SALARY = b"424242"
_DEFINES = re.compile(r"\b(create|alter|drop)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One entry of the corpus: messages, and what PostgreSQL would do if nobody stopped them."""

    name: str
    deed: str
    user: str
    refused_by: frozenset[str]
    """Of innocents the profiles that refuse them rightly."""
    messages: tuple[str, ...]


def is_told(replies: Sequence[Reply], canary: bytes = CANARY) -> bool:
    """Whether the secret is among the rows and notices of an answer."""
    return any(canary in one.body for one in replies if one.tag in b"DN")


def is_refused(replies: Sequence[Reply]) -> bool:
    """Whether rules refused it."""
    return any(decode_error(one.body)["C"] == "42501" for one in replies if one.tag == b"E")


def read_cases(files: str) -> list[Case]:
    """The entries of files of the corpus: ``--! name | deed | user | profiles``, then messages with ``--;`` between
    them."""
    cases = []
    for file in sorted(CORPUS.glob(files)):
        for entry in file.read_text().split("--! ")[1:]:
            head, _, body = entry.partition("\n")
            parts = [part.strip() for part in head.split("|")]
            name, deed, user, profiles = [*parts, *["app", ""][len(parts) - 2 :]]
            messages = tuple([message.strip("\n") for message in re.split(r"^--;\n", body, flags=re.MULTILINE)])
            cases.append(Case(name, deed, user, frozenset(profiles.split(", ")) - {""}, messages))
    assert len({case.name for case in cases}) == len(cases), "two entries have one name"
    return cases


class RulesWorld:
    """A server with the corpus's database, and the plugin with its rules and the catalogue of that."""

    def __init__(self, server: PostgresServer, folder: Path, rules: str) -> None:
        self.server = server
        folder.mkdir(exist_ok=True)
        (server.data_directory / "canary.txt").write_bytes(CANARY + b"\n")
        for role in ("analyst_jo", "payroll", "reader"):
            server.psql(f"drop role if exists {role}")
        server.create_database("world")
        server.psql((CORPUS / "world.sql").read_text(), dbname="world")
        server.psql("alter role analyst_jo superuser")
        self.snapshot: Snapshot = snapshot_of(server, "world")
        self._folder = folder
        self.harness = self.make(rules)
        self._copies = 0

    def make(self, rules: str) -> PluginHarness:
        """The plugin with other rules."""
        module = self._folder / "rules.py"
        module.write_text("from interceptor_rules import Rules\n\n__all__ = ['Rules']\n")
        file = self._folder / "rules.toml"
        file.write_text(rules)
        return PluginHarness(module, config={"file": str(file)}, catalogue=self.snapshot)

    def drop(self) -> None:
        """Leave the server as it was."""
        self.server.drop_database("world")
        (self.server.data_directory / "canary.txt").unlink()
        for role in ("analyst_jo", "payroll", "reader"):
            self.server.psql(f"drop role {role}")

    @contextmanager
    def attack(self, case: Case) -> Iterator[Attack]:
        """A conversation of which nothing remains."""
        database = "world"
        if re.search(r"\bcommit\b", " ".join(case.messages)):
            self._copies += 1
            database = f"world_{self._copies}"
            self.server.psql(f"create database {database} template world")
        user = "analyst_jo" if case.user == "analyst_jo" else "postgres"
        try:
            with WireClient.connect(Endpoint(self.server.host, self.server.port, database, user)) as client:
                client.query("begin")
                yield Attack(self.harness, client, case.user, user)
        finally:
            if database != "world":
                self.server.drop_database(database)


class Attack:
    """What comes of the messages of one entry: with the rules, and without them."""

    def __init__(self, harness: PluginHarness, client: WireClient, user: str, role: str) -> None:
        """``replies`` is what the server says to the messages."""
        self._harness = harness
        self._client = client
        self.replies: list[Reply] = []
        self.session: Session = harness.session(database="world", user=user, role=role)
        self._follow()

    def _follow(self) -> None:
        """What the proxy would know of the session by now."""
        if self._client.last_status == "T":
            ((path, role),) = self._client.query("select current_setting('search_path'), current_user")
            self.session.search_path = path
            self.session.role = role
        self.session.table = None

    def try_rules(self, message: str) -> list[Block]:
        """The refusals of a message: of a Query, of a Parse, and of an execution without a Parse before."""
        found = []
        outcome = self._harness.decide(message, session=self.session)
        if isinstance(outcome.action, Block):
            found.append(outcome.action)
        else:
            self._harness.finish(outcome)
        at_parse = self._harness.at_parse(message, session=self.session)
        if at_parse is not None and at_parse.block is not None:
            found.append(at_parse.block)
        return found

    def run(self, message: str) -> None:
        """Run it on the server."""
        client = self._client
        ready, seen = client.ready_count, len(client.replies)
        client.send(frontend.query(message))
        client.read_until(lambda: client.ready_count > ready or any(one.tag == b"G" for one in client.replies[seen:]))
        if client.ready_count == ready:
            client.send(frontend.copy_data(b"99\n"), frontend.copy_done())
            client.read_until_ready(ready + 1)
        self.replies += client.replies[seen:]
        if _DEFINES.search(message):
            self.session.names = "unresolved"
        self._follow()

    def deed_is_done(self, deed: str) -> bool:
        """Whether PostgreSQL did what should never have happened."""
        said = b"".join(one.body for one in self.replies)
        if deed in ("secret", "file"):
            return CANARY in said
        if deed == "xml":
            # A server without XML gets as far as to say so, which is far enough.
            return CANARY in said or b"unsupported XML feature" in said
        if deed == "salary":
            return SALARY in said
        if deed == "unbounded":
            (row,) = self._client.query("select count(*) from public.orders where amount = 100")
            return row == ("0",)
        if deed == "write":
            (row,) = self._client.query("select pg_current_xact_id_if_assigned() is not null")
            return row == ("t",)
        raise AssertionError(f"no such deed: {deed}")
