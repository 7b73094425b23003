"""From a rules file, and what it includes, to a RuleSet; every problem with file, line and key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from interceptor import ConfigError
from interceptor.hooks.files import SettingsFile
from interceptor.sql.canonical import canonical_text
from interceptor_rules.automaton import Automaton, BadExpression
from interceptor_rules.conditions import What
from interceptor_rules.extensions import COMPUTING_EXTENSIONS
from interceptor_rules.kinds import Kinds
from interceptor_rules.model import Rule, RulesFile, RulesTest
from interceptor_rules.patterns import Addresses, BadPattern, NamePattern, Words, parse_hours, parse_weekdays
from interceptor_rules.ruleset import CompiledRule, RuleSet
from interceptor_rules.when import When
from interceptor_rules.who import Who

__all__ = ["PROFILES", "load_rules", "read_rules"]

PROFILES: Final = Path(__file__).parent / "profiles"
_MOST_FILES: Final = 100
_EXPECT: Final = re.compile(r"(allow|block|log|throttle|limit_rows|limit_bytes|set|rewrite)(?::(.+))?")

File = SettingsFile[RulesFile]

# Which actions a key belongs to; "allow" takes those that attach a condition.
_OF_ACTION: Final[dict[str, tuple[str, ...]]] = {
    "sqlstate": ("block", "throttle"),
    "message": ("block", "throttle"),
    "hint": ("block", "throttle"),
    "limit_rows": ("limit_rows", "allow"),
    "limit_bytes": ("limit_bytes", "allow"),
    "set": ("set", "allow"),
    "add_limit": ("rewrite",),
    "per_second": ("throttle",),
    "at_once": ("throttle",),
}
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "throttle": ("per_second", "at_once"),
    "limit_rows": ("limit_rows",),
    "limit_bytes": ("limit_bytes",),
    "set": ("set",),
    "rewrite": ("add_limit",),
}
_SETTABLE: Final = frozenset(["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "work_mem"])


def load_rules(path: Path) -> tuple[RuleSet, tuple[Path, ...]]:
    """Read the rules file; also returns all files that were read. Raises ConfigError."""
    files: list[tuple[File, Path]] = []
    _read(path, files, [])
    return _compile([file for file, _ in files]), tuple([one for _, one in files])


def read_rules(text: str, name: str = "rules.toml", folder: Path | None = None) -> RuleSet:
    """As ``load_rules``, of a text. What it includes is looked for in ``folder``."""
    first = SettingsFile(name, RulesFile, text.encode())
    files: list[tuple[File, Path]] = [(first, Path(name))]
    _include(first, folder or Path(), files, [])
    return _compile([file for file, _ in files])


def _read(path: Path, files: list[tuple[File, Path]], above: list[Path]) -> None:
    file = SettingsFile.read(path, RulesFile)
    files.append((file, path))
    _include(file, path.parent, files, [*above, path])


def _include(file: File, folder: Path, files: list[tuple[File, Path]], above: list[Path]) -> None:
    for index, name in enumerate(file.values.include):
        place = ("include", index)
        if "/" in name or name.endswith(".toml"):
            path = folder / name
        else:
            path = PROFILES / f"{name}.toml"
            if not path.is_file():
                known = ", ".join(sorted(one.stem for one in PROFILES.glob("*.toml")))
                raise file.problem(place, f"there is no profile {name!r}; there are {known}, or give a file")
        if path in above:
            raise file.problem(place, "it includes itself")
        if any(path == one for _, one in files):
            continue
        if len(files) >= _MOST_FILES:
            raise file.problem(place, f"more than {_MOST_FILES} files are included")
        try:
            _read(path, files, above)
        except ConfigError as error:
            if error.file == str(path) and not error.line and not error.key:
                raise file.problem(place, f"{path}: {error.message}") from error
            raise


def _compile(files: list[File]) -> RuleSet:
    main = files[0]
    names: dict[str, tuple[File, int]] = {}
    rules: list[CompiledRule] = []
    for file in files:
        for index, rule in enumerate(file.values.rule):
            if rule.name in names:
                raise file.problem(("rule", index, "name"), f"there is another rule {rule.name!r}; names are unique")
            names[rule.name] = (file, index)
            rules.append(_compile_rule(file, index, rule, len(rules)))
    tests = [(test, file, index) for file in files for index, test in enumerate(file.values.test)]
    for test, file, index in tests:
        _check_test(file, index, test, names)
    for file in files[1:]:
        for key in ("mode", "default", "on_unparsable", "on_opaque"):
            if getattr(file.values, key) != getattr(RulesFile(), key):
                raise file.problem((key,), "it belongs into the main file, not into one that is included")
    values = main.values
    names_something = any(rule.what.names for rule in rules)
    return RuleSet(
        mode=values.mode,
        default_blocks=values.default == "block",
        unparsable_blocks=values.on_unparsable == "block",
        opaque_blocks=names_something if values.on_opaque is None else values.on_opaque == "block",
        rules=tuple(rules),
        tests=tuple(tests),
        learned=tuple([one for file in files for one in file.values.allow]),
        trusted_functions=_patterns(files, "trusted_functions"),
        trusted_tables=_patterns(files, "trusted_tables"),
        trusted_extensions=_extensions(files),
        sources=tuple([file.values for file in files]),
    )


def _extensions(files: list[File]) -> Words:
    """What the files list together; what is known to do no harm, if none of them says anything."""
    found: list[str] | None = None
    for file in files:
        for index, source in enumerate(file.values.trusted_extensions or ()):
            try:
                Words([source])
            except BadPattern as error:
                raise file.problem(("trusted_extensions", index), str(error)) from None
        if file.values.trusted_extensions is not None:
            found = [*(found or ()), *file.values.trusted_extensions]
    return Words(COMPUTING_EXTENSIONS if found is None else found)


def _patterns(files: list[File], key: str) -> tuple[NamePattern, ...]:
    found = []
    for file in files:
        sources: list[str] = getattr(file.values, key)
        for index, source in enumerate(sources):
            try:
                found.append(NamePattern(source, 2))
            except BadPattern as error:
                raise file.problem((key, index), str(error)) from None
    return tuple(found)


def _compile_rule(file: File, index: int, rule: Rule, number: int) -> CompiledRule:
    if not rule.name or len(rule.name) > 200:
        raise file.problem(("rule", index, "name"), "a rule has a name of 1 to 200 characters")
    _check_action(file, index, rule)
    try:
        automaton = Automaton(rule.regex) if rule.regex is not None else None
    except BadExpression as error:
        raise file.problem(("rule", index, "regex"), str(error)) from None
    canonical = _canonical(file, index, rule)
    try:
        return CompiledRule(number, rule, Who(rule), When(rule), What(rule, canonical, automaton), file.name)
    except BadPattern as error:
        raise _locate(file, index, rule, error) from None


def _canonical(file: File, index: int, rule: Rule) -> frozenset[str]:
    found = set()
    for place, text in enumerate(rule.canonical):
        canonical = canonical_text(text)
        if not canonical:
            raise file.problem(("rule", index, "canonical", place), "PostgreSQL's parser can't read this statement")
        found.add(canonical)
    return frozenset(found)


_NAMES: Final = ("tables", "except_tables", "functions", "except_functions")
_WORDS: Final = (
    "databases", "users", "roles", "backend_users", "application_names", "certificates", "except_databases",
    "except_users", "except_roles", "except_backend_users", "except_application_names", "except_certificates",
    "settings", "alterations",
)  # fmt: skip


def _locate(file: File, index: int, rule: Rule, error: BadPattern) -> ConfigError:
    """Which key of a rule is wrong. Asked only when one is."""
    lists: list[tuple[str, Callable[[str], object]]] = [
        *[(key, lambda one: NamePattern(one, 2)) for key in _NAMES],
        ("columns", lambda one: NamePattern(one, 3)),
        *[(key, lambda one: Words([one])) for key in _WORDS],
        *[(key, lambda one: Addresses([one])) for key in ("addresses", "except_addresses")],
        *[(key, lambda one: Kinds([one])) for key in ("statements", "except_statements")],
        ("weekdays", lambda one: parse_weekdays([one])),
    ]
    for key, check in lists:
        for place, value in enumerate(getattr(rule, key)):
            try:
                check(value)
            except BadPattern as wrong:
                return file.problem(("rule", index, key, place), str(wrong))
    if rule.hours is not None:
        try:
            parse_hours(rule.hours)
        except BadPattern as wrong:
            return file.problem(("rule", index, "hours"), str(wrong))
    return file.problem(("rule", index, "time_zone"), str(error))


def _check_action(file: File, index: int, rule: Rule) -> None:
    """Keys that have no meaning for the action are a mistake, and so is an action without its key."""
    action = rule.action
    for key, actions in _OF_ACTION.items():
        value = getattr(rule, key)
        if value not in (None, {}) and action not in actions:
            wanted = " or ".join(f'"{one}"' for one in actions)
            raise file.problem(("rule", index, key), f'it means nothing with action = "{action}", only with {wanted}')
    if rule.except_new_tables and action == "allow":
        raise file.problem(("rule", index, "except_new_tables"), 'it means nothing with action = "allow"')
    needed = _NEEDED.get(action)
    if needed and all(getattr(rule, key) in (None, {}) for key in needed):
        raise file.problem(("rule", index, "action"), f'action = "{action}" needs {" or ".join(needed)}')
    for key in ("limit_rows", "limit_bytes", "add_limit", "per_second", "at_once"):
        value = getattr(rule, key)
        if value is not None and value <= 0:
            raise file.problem(("rule", index, key), "expected a number above 0")
    for key in ("list_over", "limit_over", "size_over", "depth_over", "cost_over", "rows_over"):
        value = getattr(rule, key)
        if value is not None and value < 0:
            raise file.problem(("rule", index, key), "expected a number of at least 0")
    for name in rule.set:
        if name not in _SETTABLE:
            raise file.problem(("rule", index, "set", name), f"only {', '.join(sorted(_SETTABLE))} can be set")
    if rule.sqlstate is not None and (
        not re.fullmatch(r"[0-9A-Z]{5}", rule.sqlstate) or rule.sqlstate[:2] in ("00", "01", "02")
    ):
        raise file.problem(("rule", index, "sqlstate"), "expected the SQLSTATE of an error: five of 0-9 and A-Z")
    if rule.message == "":
        raise file.problem(("rule", index, "message"), "a message can't be empty")


def _check_test(file: File, index: int, test: RulesTest, names: dict[str, tuple[File, int]]) -> None:
    found = _EXPECT.fullmatch(test.expect)
    if found is None:
        raise file.problem(
            ("test", index, "expect"), 'expected "allow", "block", or an action and a rule: "block:NAME"'
        )
    rule = found[2]
    if rule is not None and rule not in names and rule not in ("default", "on_opaque", "on_unparsable"):
        raise file.problem(("test", index, "expect"), f"there is no rule {rule!r}")
