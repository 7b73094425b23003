"""The HBA file: which line fits, and what is wrong with a line that PostgreSQL might take and we don't."""

from __future__ import annotations

import contextlib
import ipaddress
from pathlib import Path

import pytest

from pooler.auth.hba import ConnectionFacts, Hba, Method
from pooler.auth.ident import NameMaps
from pooler.config.problems import ConfigErrors

MAPS = NameMaps.parse("staff alice@shop alice\nstaff root all\n", "pg_ident.conf")
METHODS = "trust, reject, password, md5, scram-sha-256, cert, peer"
RULES = """
# a comment
local   all             postgres                        peer map=staff
local   all             all                             scram-sha-256   # another
hostssl "all"           all             all             reject
hostssl app,crm         alice, bob      10.0.0.0/8      cert map=staff clientname=CN
hostnossl all           all             10.9.0.0 255.255.0.0  reject
host    sameuser        all             ::1/128         md5
host    replication     walker          all             password
host    all             @names          192.0.2.7       255.255.255.255 \\
        trust
hostssl all             "+odd"          0.0.0.0/0       scram-sha-256 clientcert=verify-full
"""


@pytest.fixture
def hba(tmp_path: Path) -> Hba:
    (tmp_path / "names").write_text('carol, "dave d"\nerin # and no more\n')
    file = tmp_path / "hba.conf"
    file.write_text(RULES)
    return Hba.load(file, MAPS)


@pytest.mark.parametrize(
    ("database", "user", "address", "tls", "line"),
    [
        ("app", "postgres", "", False, 3),
        ("app", "alice", "", False, 4),
        ("all", "alice", "10.1.1.1", True, 5),
        ("app", "alice", "10.1.1.1", True, 6),
        ("crm", "bob", "10.1.1.1", True, 6),
        ("crm", "bob", "10.1.1.1", False, None),
        ("crm", "bob", "10.9.1.1", False, 7),
        ("crm", "bob", "11.9.1.1", True, None),
        ("bob", "bob", "::1", False, 8),
        ("bob", "bob", "::2", False, None),
        ("app", "carol", "192.0.2.7", False, 10),
        ("app", "dave d", "192.0.2.7", True, 10),
        ("app", "erin", "192.0.2.8", True, None),
        ("app", "+odd", "192.0.2.8", True, 12),
        ("app", "+odd", "192.0.2.8", False, None),
        ("replication", "walker", "192.0.2.8", False, None),
    ],
)
def test_the_first_line_that_fits_decides(
    hba: Hba, database: str, user: str, address: str, tls: bool, line: int | None
) -> None:
    place = ipaddress.ip_address(address) if address else None
    rule = hba.find(ConnectionFacts(database, user, place, tls))
    assert (rule and rule.line) == line


def test_physical_replication_is_named_by_its_own_word(hba: Hba) -> None:
    place = ipaddress.ip_address("192.0.2.8")
    rule = hba.find(ConnectionFacts("app", "walker", place, False, replication=True))
    assert rule is not None
    assert rule.method is Method.PASSWORD
    assert hba.find(ConnectionFacts("app", "carol", ipaddress.ip_address("192.0.2.7"), False, replication=True)) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hostgssenc all all all trust", 'expected a type (local, host, hostssl or hostnossl), found "hostgssenc"'),
        ("include other.conf", "files are not included: write their lines here"),
        ("host", "the line ends where a database, such as all is expected"),
        ("host all all 10.0.0.0/8", "the line ends where a method, such as scram-sha-256 is expected"),
        ("host all all 10.0.0.1/8 trust", "10.0.0.1/8: the address has bits that the mask leaves out"),
        (
            "host all all 10.0.0.0 255.0.255.0 trust",
            'expected the mask of 10.0.0.0 (or 10.0.0.0/32 in one word), found "255.0.255.0"',
        ),
        (
            "host all all db.example trust",
            'expected an address such as 10.0.0.0/8, "all", or an address and its mask, found "db.example": '
            "host names are not looked up here",
        ),
        (
            'host all all "all" trust',
            'expected an address such as 10.0.0.0/8, "all", or an address and its mask, found "all": '
            "host names are not looked up here",
        ),
        ("host all all samenet trust", "samenet: write the addresses, such as 127.0.0.1/32 and 10.0.0.0/8"),
        (
            "host all +staff all trust",
            "+staff: which roles are members of another is known to PostgreSQL alone: list them",
        ),
        ("host samerole all all trust", "samerole: which roles are members of another is known to PostgreSQL alone"),
        ("host all /^a all trust", "regular expressions (a word that begins with /) are not offered: list the names"),
        ("host all all all ldap", f'the method "ldap" is not spoken here; these are: {METHODS}'),
        ("host all all all scram", f'expected a method ({METHODS}), found "scram"'),
        ("host all all all cert", 'the method "cert" looks at TLS certificates, so the type has to be hostssl'),
        ("host all all all peer", 'the method "peer" asks the operating system, so the type has to be local'),
        ("host all all all trust map=staff", 'map: only the methods "cert" and "peer" have a map'),
        ("local all all peer map=nobody", 'map: auth_ident_file has no map "nobody"'),
        ("hostssl all all all cert clientname=dn", "clientname: expected CN or DN"),
        ("host all all all md5 clientcert=verify-ca", "clientcert: the type has to be hostssl"),
        ("host all all all md5 a=b", 'there is no option "a"; these are: map, clientname, clientcert'),
        ("host all all all md5 really", "after the method only options of the form name=value may follow"),
        ('host "all all all md5', "a quote is not closed"),
        ("host all, all", "the line ends where a user, such as all is expected"),
        ("host all,", "there is nothing after the last comma"),
        (", all", "there is nothing before this comma"),
    ],
)
def test_a_wrong_line_is_named(line: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        Hba.parse(f"local all all trust\n{line}\nhost all all all nothing\n", "hba.conf", MAPS)
    first, second = raised.value.errors
    assert str(first) == f"hba.conf:2: {message}"
    assert second.line == 3


def test_a_file_of_names_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"hba.conf:1: @nowhere: .*nowhere: the file of names can't be read"):
        Hba.parse("local @nowhere all trust", str(tmp_path / "hba.conf"), MAPS)


def test_name_maps() -> None:
    assert MAPS.allows("staff", "alice@shop", "alice")
    assert not MAPS.allows("staff", "alice@shop", "bob")
    assert MAPS.allows("staff", "root", "anybody")
    assert not MAPS.allows("other", "root", "root")
    with pytest.raises(ConfigErrors) as raised:
        NameMaps.parse("staff a all\nstaff one\nstaff a +b\n", "pg_ident.conf")
    assert [error.line for error in raised.value.errors] == [2, 3]


def test_name_maps_with_regular_expressions() -> None:
    maps = NameMaps.parse(
        r"""
        mail   /^([a-z]+)@shop\.example$     \1
        mail   /^root@                         all
        mail   "/^(.*)$"                       quoted
        first  /^(x)?admin$                    \1
        dn     /"^CN=(.*),O=shop$"             \1
        within /ops                            deploy
        """,
        "pg_ident.conf",
    )
    assert maps.allows("mail", "alice@shop.example", "alice")
    assert not maps.allows("mail", "alice@shop.example", "bob")
    assert not maps.allows("mail", "alice@shopxexample", "alice"), "a point is a point where it is escaped"
    assert not maps.allows("mail", "alice@shop.example\n", "alice"), "the end is the end, and no line's"
    assert not maps.allows("mail", "all@shop.example", "anybody"), "who is called all is not everybody"
    assert maps.allows("mail", "root@anywhere", "anybody")
    assert maps.allows("mail", "/^(.*)$", "quoted")
    assert not maps.allows("mail", "bob", "quoted")
    assert not maps.allows("first", "admin", ""), "the part that is named has matched nothing"
    assert maps.allows("dn", "CN=alice,O=shop", "alice"), "in quotes behind the /, a comma is one"
    assert maps.allows("within", "my ops team", "deploy"), "as in PostgreSQL, it may match within"
    assert not maps.allows("within", "ops" + "x" * 2000, "deploy")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r"m /^(.*$ a", "the regular expression makes no sense: missing ), unterminated subpattern"),
        (r"m /^.*$ \1", r"\1 stands for what the first parentheses of the regular expression match, and it has none"),
        (
            r"m /a /b",
            "a regular expression may stand for whom the certificate or the system names, and not for the user",
        ),
    ],
)
def test_a_wrong_regular_expression_is_named(line: str, message: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        NameMaps.parse(f"# maps\n{line}\n", "pg_ident.conf")
    (error,) = raised.value.errors
    assert str(error).startswith(f"pg_ident.conf:2: {message}")


def test_any_bytes_end_in_an_error_or_in_rules() -> None:
    for text in ('"', "\\", "a\\\nb", "\0", "@", "host all all all trust\\", '""', "local \"\" '' trust"):
        with contextlib.suppress(ConfigErrors):
            Hba.parse(text, "hba.conf", MAPS)
