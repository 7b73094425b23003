from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.config.conninfo import is_conninfo, join_conninfo, split_conninfo
from pooler.config.dsn import Upstream, parse_dsn
from pooler.config.environment import expand_dsn
from pooler.config.hosts import HostChoice, LoadBalanceHosts, TargetSessionAttrs
from pooler.config.secret import Secret
from pooler.config.values import HostPort, Unfit


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://a,b/d", [("a", 5432), ("b", 5432)]),
        ("postgresql://u:p@a:1,[::2]:3,c/d", [("a", 1), ("::2", 3), ("c", 5432)]),
        ("postgresql://a,b:7/d", [("a", 5432), ("b", 7)]),
        ("postgresql:///d?host=a,/run/b,::1&port=1,2,3", [("a", 1), ("/run/b", 2), ("::1", 3)]),
        ("postgresql://a,b/d?port=9", [("a", 9), ("b", 9)]),
        ("host=a,b port=5432,5433", [("a", 5432), ("b", 5433)]),
        ("host=a,b port=6", [("a", 6), ("b", 6)]),
        ("host=a,b port=,7", [("a", 5432), ("b", 7)]),
    ],
)
def test_several_hosts(dsn: str, hosts: list[tuple[str, int]]) -> None:
    assert parse_dsn(dsn).hosts == tuple(HostPort(*host) for host in hosts)


@pytest.mark.parametrize(
    "host",
    ["db..example", ".example", "x" * 64, "a." * 127 + "a"],
    ids=["gap", "point", "part", "all"],
)
def test_what_can_be_no_name_is_named(host: str) -> None:
    for dsn in (f"postgresql://{host}/d", f"postgresql://a,{host}/d", f"postgresql:///d?host={host}"):
        with pytest.raises(Unfit, match="one of its hosts is no name"):
            parse_dsn(dsn)


@pytest.mark.parametrize(
    "host", ["db.example.", "my_db", "b\u00fcro.example", "x" * 63, "/run/" + "x" * 70, "fe80::1%eth0"]
)
def test_what_can_be_a_name_is_one(host: str) -> None:
    assert parse_dsn(f"host={host}").host == host


def test_which_host_is_meant() -> None:
    options = "target_session_attrs=read-write&load_balance_hosts=random"
    choice = HostChoice(TargetSessionAttrs.READ_WRITE, LoadBalanceHosts.RANDOM)
    assert parse_dsn(f"postgresql://a,b/d?{options}").choice == choice
    assert parse_dsn(f"host=a {options.replace('&', ' ')}").choice == choice


def test_the_form_with_blanks_says_the_same_as_a_uri() -> None:
    dsn = (
        r" host = h  port=5433 dbname='my db' user=app password='it\'s \\ a = secret' application_name=x\ y sslmode=''"
    )
    with pytest.raises(Unfit, match="the option sslmode must be one of"):
        parse_dsn(dsn)
    assert parse_dsn(dsn.replace("sslmode=''", "timezone=UTC")) == Upstream(
        "h",
        5433,
        "my db",
        "app",
        Secret(r"it's \ a = secret"),
        (("application_name", "x y"), ("timezone", "UTC")),
    )


@pytest.mark.parametrize(
    ("dsn", "error"),
    [
        ("postgresql://a,,b/d", "one of its hosts is empty: write their names with one comma between each two"),
        ("postgresql://a,/d", "one of its hosts is empty: write their names with one comma between each two"),
        ("host=a,b,c port=1,2", "it has 3 hosts and 2 ports: write one port for all, or one for each"),
        ("host=a,b port=1,x", "the port must be a number from 1 to 65535"),
        ("user=app", "it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket"),
        ("host=a hunter2", "option 2 is not of the form name=value; a value with blanks stands in quotes"),
        ("host=a zzz=x", "option 2 is unknown"),
        ("host=a pasword=hunter2", 'option 2 is unknown; did you mean "password"?'),
        ("host=a host=b", "the option host says again what was said before"),
        ("host=a connect_timeout=3", "there is no option connect_timeout here: use the setting server_connect_timeout"),
        ("host=a load_balance_hosts=all", "the option load_balance_hosts must be one of disable, random, round-robin"),
        (
            "host=a user=x password='hunter2",
            "the quoted value of option 3 has no end, or no blank after it: "
            "a quote or a backslash inside has a backslash before it",
        ),
        ("host=a user=x password=hunter2\\", "the value of option 3 ends with a backslash"),
    ],
)
def test_errors_say_what_and_hide_the_rest(dsn: str, error: str) -> None:
    with pytest.raises(Unfit) as refused:
        parse_dsn(dsn)
    assert str(refused.value) == error


def test_what_comes_from_the_environment_is_one_value() -> None:
    environ = {"HOSTS": "a,b", "PW": r"it's host=c \ x", "DSN": "host=d"}
    assert parse_dsn(expand_dsn("host=${HOSTS} user=u password=${PW}", environ)) == Upstream(
        "a", user="u", password=Secret(environ["PW"]), other_hosts=(HostPort("b", 5432),)
    )
    assert parse_dsn(expand_dsn("${DSN}", environ)) == Upstream("d")


@given(st.lists(st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=12)), min_size=1))
def test_what_is_joined_is_taken_apart_into_the_same(pairs: list[tuple[str, str]]) -> None:
    text = join_conninfo(pairs)
    assert is_conninfo(text)
    assert split_conninfo(text) == pairs
