"""Texts of SQL that benchmarks read, and how long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from timeit import repeat

__all__ = ["HOSTILE", "TEXTS", "cost", "milliseconds"]

TEXTS = {
    "primary key, $1": "SELECT id, name, email FROM users WHERE id = $1",
    "pgbench -S": "SELECT abalance FROM pgbench_accounts WHERE aid = 5;",
    "tpcb-like UPDATE": "UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 7;",
    "tpcb-like INSERT": "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1,2,3,4,CURRENT_TIMESTAMP);",
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
    "SET": "SET search_path = tenant_5, public",
}

HOSTILE = {
    "1 MB": "select " + "1," * 500_000 + "1",
    "1 MB in one string": "select '" + "a" * 1_000_000 + "'",
    "1 MB in one comment": "select 1 /*" + "a" * 1_000_000 + "*/",
    "1 MB of comments": "select 1" + " /**/" * 200_000,
    "1 MB of spaces": "select" + " " * 1_000_000 + "1",
    "1 MB of rows": "insert into t values " + ",".join(["(1,'a')"] * 125_000),
    "1 MB that is no SQL": "selec " + "1," * 500_000,
    "10,000 statements": "select 1;" * 10_000,
    "1,000 statements": "select 1;" * 1000,
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


def cost(call: Callable[[], object]) -> float:
    """Microseconds of processor time of a call: the least of many runs."""
    number = 50  # short beside the scheduler's turns
    overhead = min(repeat(lambda: None, number=number, repeat=100, timer=time.thread_time))
    return (min(repeat(call, number=number, repeat=500, timer=time.thread_time)) - overhead) / number * 1e6


def milliseconds(call: Callable[[], object]) -> float:
    """Milliseconds of processor time of one call."""
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1000
