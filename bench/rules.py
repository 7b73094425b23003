"""What rules cost: ``python -m bench.rules`` prints Markdown tables.

Microseconds and milliseconds of processor time, the least of many runs. Needs no server: names are those of a catalogue
of some tables, made here.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.texts import HOSTILE
from interceptor import Statement
from interceptor.catalogue import Closures, Kind, Persistence, Relation, Role, Schema, Scope, Snapshot
from interceptor.sql.facts_cache import FactsCache
from interceptor.sql.parsing import HELPER
from interceptor.sql.statements import analyse_facts
from interceptor_rules.judging import judge
from interceptor_rules.loading import load_rules, read_rules
from interceptor_rules.ruleset import RuleSet
from interceptor_rules.who import Whom
from interceptor_rules.world import World, Worlds

__all__ = ["main"]

EXAMPLE = """
[[rule]]
name = "no-unbounded-writes"
statements = ["update", "delete"]
where = "missing"
action = "block"

[[rule]]
name = "secrets"
tables = ["vault.secret", "audit.*"]
functions = ["pg_read_file", "dblink*"]
columns = ["hr.employees.salary"]
action = "block"
"""
UNSEEN = {
    "primary key": "SELECT name AS a{n} FROM users WHERE id = $1",
    "UPDATE": "UPDATE users SET name = $1 WHERE id = $2 AND name <> 'a{n}'",
    "3 joins": "SELECT u.name, l.n AS b{n}, u.id FROM orders o JOIN users u ON u.id = o.id JOIN lines l ON l.id = o.id "
    "WHERE u.name = $1 AND l.n > $2 ORDER BY 1 LIMIT 50",
    "an unknown function": "SELECT unknown(name) AS c{n} FROM users WHERE id = $1",
    "DO": "DO $$ BEGIN PERFORM {n} FROM users; END $$",
    "no SQL": "SELEC {n}",
}
_RUNS = 15
_TEXTS = 100


def rules_of(count: int) -> str:
    """So many rules, of all sorts: the example's, and others about tables, functions, columns, users and kinds."""
    shapes = (
        'tables = ["schema{n}.table{n}"]',
        'functions = ["tools{n}.run{n}"]',
        'columns = ["schema{n}.table{n}.column{n}"]',
        'tables = ["closed{n}.*"]\nstatements = ["write"]',
        'users = ["report{n}_*"]\nstatements = ["ddl"]',
    )
    more = [
        f'[[rule]]\nname = "rule {n}"\naction = "block"\n{shapes[n % len(shapes)].format(n=n)}\n'
        for n in range(count - 2)
    ]
    return EXAMPLE + "\n".join(more)


def small_world(rules: RuleSet) -> World:
    """What names mean where there are some tables."""
    snapshot = Snapshot(server_version=180000)
    snapshot.add_role(Role(10, "app", True, True, frozenset()))
    for oid, name in ((11, "pg_catalog"), (2200, "public")):
        snapshot.add_schema(Schema(oid, name, 10, frozenset([0])))
    for oid, name in enumerate(("users", "orders", "lines"), 20_000):
        snapshot.add_relation(Relation(oid, 2200, name, Kind.TABLE, Persistence.PERMANENT, 10, False, False, False))
        columns = [f"{number} 25 -1 0 0 - - {json.dumps(one)}" for number, one in enumerate(("id", "name", "n"), 1)]
        snapshot.add_columns(oid, "\n".join(columns))
    worlds = Worlds(rules.trusts_function, rules.trusts_table, rules.guards_columns)
    return worlds.of(Closures(snapshot), Scope(("public",), "app"))


def judging(rules: RuleSet, world: World) -> Callable[[bytes], None]:
    """Analyse a text and try the rules on it, as for one that was never seen."""
    subset = rules.for_session(Whom("app", "app", "app", "app", "", "127.0.0.1", False, ""))

    def run(text: bytes) -> None:
        judge(subset, world, Statement(text, analyse_facts(text)), user="app", database="app")

    return run


def unseen() -> None:
    """The cost of a statement that was never seen, by the number of rules."""
    print("| unseen statement, µs | facts alone | 10 rules | 1,000 rules | 1,000 over 10 |")
    print("|---|---|---|---|---|")
    sets = {count: read_rules(rules_of(count)) for count in (10, 1000)}
    ways: dict[int, Callable[[bytes], object]] = {0: analyse_facts}
    ways |= {count: judging(rules, small_world(rules)) for count, rules in sets.items()}
    for title, text in UNSEEN.items():
        best = dict.fromkeys(ways, float("inf"))
        for run in range(_RUNS):
            # One after the other, so that what else the machine does meets all alike.
            for count, way in ways.items():
                texts = [text.format(n=run * _TEXTS + n).encode() for n in range(_TEXTS)]
                began = time.process_time()
                for one in texts:
                    way(one)
                best[count] = min(best[count], (time.process_time() - began) / _TEXTS * 1e6)
        more = best[1000] / best[10] - 1
        print(f"| {title} | {best[0]:.1f} | {best[10]:.1f} | {best[1000]:.1f} | {more:+.1%} |")


def loading() -> None:
    """The cost of a large file."""
    print("\n| file | bytes | processor time, ms | of it TOML |")
    print("|---|---|---|---|")
    import tomllib

    with tempfile.TemporaryDirectory() as folder:
        for count in (1000, 10_000):
            path = Path(folder) / "rules.toml"
            path.write_text(rules_of(count))
            whole = least(lambda path=path: load_rules(path), 3)  # type: ignore[misc]
            toml = least(lambda path=path: tomllib.loads(path.read_text()), 3)  # type: ignore[misc]
            print(f"| {count:,} rules | {path.stat().st_size:,} | {whole:.0f} | {toml:.0f} |")


def hostile() -> None:
    """How long the loop is held by texts that are made to hold it: what is too much for it goes to another process."""
    print("\n| text | bytes | in the loop, ms: facts | rules | in the helper process |")
    print("|---|---|---|---|---|")
    rules = read_rules(EXAMPLE)
    world = small_world(rules)
    subset = rules.for_session(Whom("app", "app", "app", "app", "", "127.0.0.1", False, ""))
    for title, text in HOSTILE.items():
        sql = text.encode()
        loop = least(lambda sql=sql: FactsCache().facts(sql, True), 5)  # type: ignore[misc]
        facts = FactsCache().facts(sql, True)
        elsewhere = "–"
        if facts.opaque:
            elsewhere = f"{least(lambda sql=sql: analyse_facts(sql, True, HELPER), 2):.0f}"  # type: ignore[misc]
            facts = analyse_facts(sql, True, HELPER)
        statement = Statement(sql, facts)
        tried = least(lambda statement=statement: judge(subset, world, statement, user="a", database="a"), 5)  # type: ignore[misc]
        print(f"| {title} | {len(sql):,} | {loop:.2f} | {tried:.2f} | {elsewhere} |")


def least(call: Callable[[], object], times: int) -> float:
    """Milliseconds of processor time."""
    best = float("inf")
    for _ in range(times):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return best * 1e3


def main() -> None:
    """Print all tables."""
    unseen()
    loading()
    hostile()


if __name__ == "__main__":
    main()
