"""What the facts of a text cost: ``python -m bench.facts`` prints two Markdown tables.

Microseconds of processor time, the least of many runs. "Seen" is a hit of the cache, "other values" one of its second
level; "parse" is libpg_query's JSON and its decoding alone, the floor of "unseen". "Entry" is bytes of memory in the
cache. The second table is of hostile texts: milliseconds, and why they were refused if they were.
"""

from __future__ import annotations

import msgspec
from pglast import parser

from bench.texts import HOSTILE, TEXTS, cost, milliseconds
from interceptor.sql.facts_cache import FactsCache, facts_size
from interceptor.sql.statements import analyse_facts


def main() -> None:
    """Print the tables."""
    print("| text | bytes | seen | other values | parse | unseen | unseen / parse | entry |")
    print("|---|---|---|---|---|---|---|---|")
    decode = msgspec.json.Decoder().decode
    for title, text in TEXTS.items():
        sql = text.encode()
        cache = FactsCache()
        facts = cache.exact(sql)
        cache._texts.remember(sql, facts)
        seen = cost(lambda sql=sql, cache=cache: cache.facts(sql))  # type: ignore[misc]
        shared = FactsCache()
        example = shared.facts(sql).example
        other = f"{cost(lambda sql=sql, cache=shared: cache.facts(sql)):.2f}" if example else "–"  # type: ignore[misc]
        parse = cost(lambda text=text: decode(parser.parse_sql_json(text)))  # type: ignore[misc]
        unseen = cost(lambda sql=sql: analyse_facts(sql))  # type: ignore[misc]
        print(
            f"| {title} | {len(sql)} | {seen:.2f} | {other} | {parse:.1f} | {unseen:.1f} | {unseen / parse:.1f} |"
            f" {len(sql) + facts_size(facts)} |"
        )
    print("\n| hostile text | bytes | ms | refused |\n|---|---|---|---|")
    for title, text in HOSTILE.items():
        sql = text.encode()
        least = min(milliseconds(lambda sql=sql: analyse_facts(sql)) for _ in range(10))  # type: ignore[misc]
        refused = ", ".join(opaque.reason.name for opaque in analyse_facts(sql).opaque)
        print(f"| {title} | {len(sql)} | {least:.2f} | {refused} |")


if __name__ == "__main__":
    main()
