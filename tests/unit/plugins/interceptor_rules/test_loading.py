"""Rules files that are wrong: the file, the line and the key are named, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from interceptor import ConfigError
from interceptor_rules.loading import load_rules, read_rules

RULE = '[[rule]]\nname = "a"\naction = "block"\n'


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ('mode = "on"', 1, "mode", 'expected one of "enforce", "learn", "shadow"'),
        (RULE + 'tabels = ["a"]', 4, "rule[0].tabels", 'unknown setting; did you mean "tables"?'),
        ('[[rule]]\naction = "block"', 1, "rule[0].name", "missing; it must be given"),
        (RULE + RULE, 5, "rule[1].name", "there is another rule 'a'"),
        (RULE + 'statements = ["slect"]', 4, "rule[0].statements[0]", 'did you mean "select"?'),
        (RULE + 'tables = ["a",\n "a.b.c"]', 5, "rule[0].tables[1]", "has 3 parts"),
        (RULE + 'columns = ["a..b"]', 4, "rule[0].columns[0]", "is no name"),
        (RULE + 'addresses = ["10.0.0.300"]', 4, "rule[0].addresses[0]", "expected a network"),
        (RULE + 'users = ["*a*b*c*d*e*"]', 4, "rule[0].users[0]", "at most 4 stars"),
        (RULE + 'hours = "8-9"', 4, "rule[0].hours", "expected hours"),
        (RULE + 'weekdays = ["monday"]', 4, "rule[0].weekdays[0]", "expected weekdays"),
        (RULE + 'time_zone = "Mars/Olympus"', 4, "rule[0].time_zone", "there is no time zone"),
        (RULE + 'time_zone = "../../etc/passwd"', 4, "rule[0].time_zone", "there is no time zone"),
        (RULE + 'regex = "(a"', 4, "rule[0].regex", "a ) is missing"),
        (RULE + 'canonical = ["selec 1"]', 4, "rule[0].canonical[0]", "can't read this statement"),
        (RULE + 'sqlstate = "00000"', 4, "rule[0].sqlstate", "expected the SQLSTATE of an error"),
        (RULE + 'message = ""', 4, "rule[0].message", "can't be empty"),
        (RULE + "limit_rows = 5", 4, "rule[0].limit_rows", 'means nothing with action = "block"'),
        (RULE.replace("block", "throttle"), 3, "rule[0].action", "needs per_second or at_once"),
        (RULE.replace("block", "allow") + "except_new_tables = true", 4, "rule[0].except_new_tables", "means nothing"),
        (RULE.replace("block", "limit_rows") + "limit_rows = 0", 4, "rule[0].limit_rows", "a number above 0"),
        (RULE + "list_over = -1", 4, "rule[0].list_over", "at least 0"),
        (RULE.replace("block", "set") + 'set = { role = "x" }', 4, "rule[0].set.role", "can be set"),
        (RULE + '[[test]]\nsql = "x"\nexpect = "block:b"', 6, "test[0].expect", "there is no rule 'b'"),
        (RULE + '[[test]]\nsql = "x"\nexpect = "no"', 6, "test[0].expect", "expected"),
        ('include = ["none"]', 1, "include[0]", "there is no profile 'none'; there are"),
        ('include = ["./none.toml"]', 1, "include[0]", "can't be read"),
        ('trusted_functions = ["a.b.c"]', 1, "trusted_functions[0]", "has 3 parts"),
        ('trusted_extensions = ["a", "a*b*c*d*e*f*g*h*i*j*k*l*m*n*o*"]', 1, "trusted_extensions[1]", "stars"),
    ],
)
def test_what_is_wrong(text: str, line: int, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_rules(text)
    error = caught.value
    assert (error.line, error.key) == (line, key), error
    assert message in error.message


def test_files_that_are_included(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "rules.toml").write_text('include = ["sub/more.toml", "safe-writes"]\n' + RULE)
    (tmp_path / "sub" / "more.toml").write_text('include = ["./last.toml"]\n' + RULE.replace('"a"', '"b"'))
    (tmp_path / "sub" / "last.toml").write_text(RULE.replace('"a"', '"c"'))
    rules, files = load_rules(tmp_path / "rules.toml")
    assert [rule.name for rule in rules.rules][:3] == ["a", "b", "c"]
    assert [path.name for path in files] == ["rules.toml", "more.toml", "last.toml", "safe-writes.toml"]


def test_a_file_that_is_wrong_below(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text('include = ["./more.toml"]\n')
    (tmp_path / "more.toml").write_text('mode = "shadow"\n')
    with pytest.raises(ConfigError) as caught:
        load_rules(tmp_path / "rules.toml")
    assert (Path(caught.value.file).name, caught.value.key) == ("more.toml", "mode")
    (tmp_path / "more.toml").write_text('include = ["./rules.toml"]\n')
    with pytest.raises(ConfigError, match="includes itself"):
        load_rules(tmp_path / "rules.toml")


def test_names_make_opaque_statements_blocked() -> None:
    assert not read_rules(RULE).opaque_blocks
    assert read_rules(RULE + 'tables = ["t"]').opaque_blocks
    assert not read_rules('on_opaque = "allow"\n' + RULE + 'tables = ["t"]').opaque_blocks


def test_ten_thousand_rules_are_read() -> None:
    text = "".join(f'[[rule]]\nname = "r{n}"\ntables = ["s{n}.t"]\naction = "block"\n' for n in range(10_000))
    assert len(read_rules(text).rules) == 10_000
