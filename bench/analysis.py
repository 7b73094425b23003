"""What the judgement of a text costs: ``python -m bench.analysis`` prints a Markdown table.

Microseconds, the least of many runs. "Seen" is a hit of the statement cache; "skimmed" means that no parse was needed;
"C parse" is libpg_query alone, the floor of "analysed".
"""

from __future__ import annotations

from collections.abc import Callable
from timeit import repeat

from pglast import parser

from interceptor.sql.analysis import StatementCache, _analyse
from interceptor.sql.lexical import is_plain

_TEXTS = {
    "pgbench -S": "SELECT abalance FROM pgbench_accounts WHERE aid = 5;",
    "tpcb-like UPDATE": "UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 7;",
    "tpcb-like INSERT": "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1,2,3,4,CURRENT_TIMESTAMP);",
    "primary key, $1": "SELECT id, name, email FROM users WHERE id = $1",
    "ORM, 3 joins": """
        SELECT o.id, o.total, c.name, c.email, p.title, count(*) AS lines FROM orders o
        JOIN customers c ON c.id = o.customer_id JOIN order_lines l ON l.order_id = o.id
        JOIN products p ON p.id = l.product_id WHERE c.country = $1 AND o.created_at >= $2 AND p.active
        GROUP BY o.id, o.total, c.name, c.email, p.title ORDER BY o.created_at DESC LIMIT 50""",
    "ORM, quoted": """
        SELECT "shop_order"."id", "shop_order"."total", "shop_customer"."name" FROM "shop_order" INNER JOIN
        "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE ("shop_customer"."country" = 'NL'
        AND "shop_order"."state" IN (1, 2, 3)) ORDER BY "shop_order"."id" DESC LIMIT 21""",
    "BEGIN": "BEGIN",
    "SET": "SET search_path = tenant_5, public",
}


def main() -> None:
    """Print the table."""
    print("| text | bytes | seen | skimmed | C parse | analysed |")
    print("|---|---|---|---|---|---|")
    for title, text in _TEXTS.items():
        sql = text.encode()
        cache = StatementCache()
        cache._remember(sql, cache.effects(sql))
        seen = _cost(lambda sql=sql, cache=cache: cache.effects(sql))  # type: ignore[misc]
        skimmed = f"{_cost(lambda sql=sql: is_plain(sql)):.2f}" if is_plain(sql) else "–"  # type: ignore[misc]
        parsed = _cost(lambda text=text: parser.parse_sql_json(text))  # type: ignore[misc]
        analysed = _cost(lambda sql=sql: _analyse(sql, 0))  # type: ignore[misc]
        print(f"| {title} | {len(sql)} | {seen:.2f} | {skimmed} | {parsed:.1f} | {analysed:.1f} |")


def _cost(call: Callable[[], object]) -> float:
    number = 500
    overhead = min(repeat(lambda: None, number=number, repeat=50))
    return (min(repeat(call, number=number, repeat=200)) - overhead) / number * 1e6


if __name__ == "__main__":
    main()
