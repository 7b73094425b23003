"""What the judgement of a text costs: ``python -m bench.analysis`` prints a Markdown table.

Microseconds, the least of many runs. "Seen" is a hit of the statement cache; "skimmed" means that no parse was needed;
"C parse" is libpg_query alone, the floor of "analysed".
"""

from __future__ import annotations

from pglast import parser

from bench.texts import TEXTS, cost
from interceptor.sql.analysis import StatementCache, _analyse
from interceptor.sql.lexical import is_plain


def main() -> None:
    """Print the table."""
    print("| text | bytes | seen | skimmed | C parse | analysed |")
    print("|---|---|---|---|---|---|")
    for title, text in TEXTS.items():
        sql = text.encode()
        cache = StatementCache()
        cache._remember(sql, cache.effects(sql))
        seen = cost(lambda sql=sql, cache=cache: cache.effects(sql))  # type: ignore[misc]
        skimmed = f"{cost(lambda sql=sql: is_plain(sql)):.2f}" if is_plain(sql) else "–"  # type: ignore[misc]
        parsed = cost(lambda text=text: parser.parse_sql_json(text))  # type: ignore[misc]
        analysed = cost(lambda sql=sql: _analyse(sql, 0))  # type: ignore[misc]
        print(f"| {title} | {len(sql)} | {seen:.2f} | {skimmed} | {parsed:.1f} | {analysed:.1f} |")


if __name__ == "__main__":
    main()
