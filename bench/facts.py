"""What the facts of a text cost: ``python -m bench.facts`` prints two Markdown tables.

Microseconds of processor time, the least of many runs. "Seen" is a hit of the cache, "other values" one of its second
level; "parse" is libpg_query's JSON and its decoding alone, the floor of "unseen". "Entry" is bytes of memory in the
cache. The second table is of hostile texts: milliseconds, and why they were refused if they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from timeit import repeat

import msgspec
from pglast import parser

from interceptor.sql.facts_cache import FactsCache, facts_size
from interceptor.sql.statements import analyse_facts

_TEXTS = {
    "primary key, $1": "SELECT id, name, email FROM users WHERE id = $1",
    "pgbench -S": "SELECT abalance FROM pgbench_accounts WHERE aid = 5;",
    "INSERT RETURNING": "INSERT INTO orders (customer_id, total, created_at) VALUES ($1, $2, now()) RETURNING id",
    "UPDATE": "UPDATE accounts SET balance = balance - $1 WHERE id = $2 AND balance >= $1",
    "ORM, 3 joins": """
        SELECT o.id, o.total, c.name, c.email, p.title, count(*) AS lines FROM orders o
        JOIN customers c ON c.id = o.customer_id JOIN order_lines l ON l.order_id = o.id
        JOIN products p ON p.id = l.product_id WHERE c.country = $1 AND o.created_at >= $2 AND p.active
        GROUP BY o.id, o.total, c.name, c.email, p.title ORDER BY o.created_at DESC LIMIT 50""",
    "ORM, quoted": """
        SELECT "shop_order"."id", "shop_order"."total", "shop_customer"."name" FROM "shop_order" INNER JOIN
        "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE ("shop_customer"."country" = 'NL'
        AND "shop_order"."state" IN (1, 2, 3)) ORDER BY "shop_order"."id" DESC LIMIT 21""",
    "with a hint": "/*+ cache ttl=30s */ SELECT id, name, email FROM users WHERE id = $1",
    "BEGIN": "BEGIN",
}

_HOSTILE = {
    "1 MB": "select " + "1," * 500_000 + "1",
    "20,000 list items": f"select a from t where b in ({','.join(['1'] * 20_000)})",
    "5,000 levels": "select " + "(" * 5000 + "1" + ")" * 5000,
    "2,400 list items": f"select a from t where b in ({','.join(map(str, range(2400)))})",
    "740 rows of VALUES": "insert into t values " + ",".join(["(1,2,3)"] * 740),
    "180 levels of FROM": "select * from " + "(select * from " * 180 + "t" + ") x" * 180,
    "100 joins of 4 columns": "select * from " + "(" * 100 + "t " + " join u using (a, b, c, d))" * 100,
    "200 CASE": "select a from t where " + " or ".join(["case when a then 1 else 1 end = 1"] * 200),
    "110 statements in DO": "do $$ begin " + "perform f(1, 2, 3, a, b, c);" * 110 + "end $$",
    "3,900 comments": "select 1" + "/**/" * 3900,
}


def main() -> None:
    """Print the tables."""
    print("| text | bytes | seen | other values | parse | unseen | unseen / parse | entry |")
    print("|---|---|---|---|---|---|---|---|")
    decode = msgspec.json.Decoder().decode
    for title, text in _TEXTS.items():
        sql = text.encode()
        cache = FactsCache()
        facts = cache.exact(sql)
        cache._texts.remember(sql, facts)
        seen = _cost(lambda sql=sql, cache=cache: cache.facts(sql))  # type: ignore[misc]
        shared = FactsCache()
        example = shared.facts(sql).example
        other = f"{_cost(lambda sql=sql, cache=shared: cache.facts(sql)):.2f}" if example else "–"  # type: ignore[misc]
        parse = _cost(lambda text=text: decode(parser.parse_sql_json(text)))  # type: ignore[misc]
        unseen = _cost(lambda sql=sql: analyse_facts(sql))  # type: ignore[misc]
        print(
            f"| {title} | {len(sql)} | {seen:.2f} | {other} | {parse:.1f} | {unseen:.1f} | {unseen / parse:.1f} |"
            f" {len(sql) + facts_size(facts)} |"
        )
    print("\n| hostile text | bytes | ms | refused |\n|---|---|---|---|")
    for title, text in _HOSTILE.items():
        sql = text.encode()
        least = min(_milliseconds(lambda sql=sql: analyse_facts(sql)) for _ in range(10))  # type: ignore[misc]
        refused = ", ".join(opaque.reason.name for opaque in analyse_facts(sql).opaque)
        print(f"| {title} | {len(sql)} | {least:.2f} | {refused} |")


def _cost(call: Callable[[], object]) -> float:
    number = 50  # short beside the scheduler's turns
    overhead = min(repeat(lambda: None, number=number, repeat=100, timer=time.thread_time))
    return (min(repeat(call, number=number, repeat=500, timer=time.thread_time)) - overhead) / number * 1e6


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1000


if __name__ == "__main__":
    main()
