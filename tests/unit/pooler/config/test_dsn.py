"""Connection strings: what each part means, and that an error repeats nothing that may belong to a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pooler.config.dsn import TlsOptions, Upstream, parse_dsn, upstream
from pooler.config.secret import Secret
from pooler.config.tls import ChannelBinding, SslMode, SslNegotiation
from pooler.config.values import Unfit


def requiring(*methods: str) -> Upstream:
    return Upstream("h", tls=TlsOptions(require_auth=frozenset(methods)))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("gss", "may name md5, none, password, scram-sha-256"),
        ("md5,!none", "before some of its methods"),
        ("!md5,!none,!password,!scram-sha-256", "leaves no method"),
    ],
)
def test_methods_that_make_no_sense(value: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        parse_dsn(f"postgresql://h?require_auth={value}")


@pytest.mark.parametrize(
    ("dsn", "meaning"),
    [
        ("postgresql://h", Upstream("h")),
        ("postgres://h/", Upstream("h")),
        ("postgresql://10.0.0.1:6000/shop", Upstream("10.0.0.1", 6000, "shop")),
        ("postgresql://h:/d", Upstream("h", 5432, "d")),
        ("postgresql://app@h/d", Upstream("h", 5432, "d", "app")),
        ("postgresql://app:@h/d", Upstream("h", 5432, "d", "app")),
        ("postgresql://app:s@h/d", Upstream("h", 5432, "d", "app", Secret("s"))),
        ("postgresql://a%40b:p%3A%2F%3F%23%25%40@h/d%2Fe", Upstream("h", 5432, "d/e", "a@b", Secret("p:/?#%@"))),
        ("postgresql://app:a:b@h/d", Upstream("h", 5432, "d", "app", Secret("a:b"))),
        ("postgresql://app:a@b@h/d", Upstream("h", 5432, "d", "app", Secret("a@b"))),
        ("postgresql://p%C3%A4ul@h/b%C3%BCcher", Upstream("h", 5432, "bücher", "päul")),
        ("postgresql://[::1]/d", Upstream("::1", 5432, "d")),
        ("postgresql://[fe80::1%25eth0]:5433/d", Upstream("fe80::1%eth0", 5433, "d")),
        ("postgresql://%2Fvar%2Frun/d", Upstream("/var/run", 5432, "d")),
        ("postgresql://app:s@%2Ftmp:5433/d", Upstream("/tmp", 5433, "d", "app", Secret("s"))),
        ("postgresql:///d?host=/var/run", Upstream("/var/run", 5432, "d")),
        ("postgresql://?host=/tmp&port=6000&dbname=d", Upstream("/tmp", 6000, "d")),
        ("postgresql://h?user=app&password=a%26b", Upstream("h", 5432, None, "app", Secret("a&b"))),
        (
            "postgresql://h/d?application_name=a+b&options=-c%20geqo%3Doff&sslmode=disable&gssencmode=disable",
            Upstream(
                "h",
                dbname="d",
                parameters=(("application_name", "a+b"), ("options", "-c geqo=off")),
                tls=TlsOptions(sslmode=SslMode.DISABLE),
            ),
        ),
        (
            "postgresql://h?sslmode=verify-full&sslnegotiation=direct&channel_binding=require&sslrootcert=system"
            "&sslcert=a%20b.crt&sslkey=/k",
            Upstream(
                "h",
                tls=TlsOptions(
                    SslMode.VERIFY_FULL, SslNegotiation.DIRECT, ChannelBinding.REQUIRE, "system", "a b.crt", "/k"
                ),
            ),
        ),
        ("postgresql://h?require_auth=scram-sha-256", requiring("scram-sha-256")),
        ("postgresql://h?require_auth=md5,%20none", requiring("md5", "none")),
        ("host=h require_auth=!password,!none", requiring("md5", "scram-sha-256")),
    ],
)
def test_what_it_means(dsn: str, meaning: Upstream) -> None:
    assert parse_dsn(dsn) == meaning


LOGIN = "postgresql://app:hunter2"
ESCAPE = (
    'a "/", "?", "#" or "@" inside a user name, password or option stands there as it is: '
    "write %2F, %3F, %23 or %40 for it"
)


@pytest.mark.parametrize(
    ("dsn", "error"),
    [
        (f"{LOGIN}@", "it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket"),
        (f"{LOGIN}@/d", "it names no host: write postgresql://HOST/..., or ?host=/DIRECTORY for a Unix socket"),
        (f"{LOGIN}/2@h/d", ESCAPE),
        (f"{LOGIN}?2@h/d", ESCAPE),
        (f"{LOGIN}#2@h/d", ESCAPE),
        (f"{LOGIN}@h/d#x", ESCAPE),
        (f"{LOGIN}@h#x", ESCAPE),
        (f"{LOGIN}@h/d?application_name=a@b", ESCAPE),
        (f"{LOGIN}@h/d/e", 'a "/" inside the database name must be written %2F'),
        (f"{LOGIN}%@h/d", "a % in the password must be written %25, or be followed by two hexadecimal digits"),
        (f"{LOGIN}%zz@h/d", "a % in the password must be written %25, or be followed by two hexadecimal digits"),
        (f"{LOGIN}%ff@h/d", "the password is not UTF-8 once its %XX are decoded"),
        (f"{LOGIN}%00@h/d", "the password must not hold a NUL character (%00)"),
        (f"{LOGIN}@h/%ff", "the database name is not UTF-8 once its %XX are decoded"),
        ("postgresql://:hunter2@h/d", "the user name before the @ is missing"),
        ("postgresql://@h/d", "the user name before the @ is missing"),
        ("postgresql://h/d?password=hunter2", "it has a password, but no user name"),
        (f"{LOGIN}@::1/d", "an IPv6 address must stand in brackets, as in [::1]:5432"),
        (f"{LOGIN}@[h]/d", "an IPv6 address belongs between the brackets"),
        (f"{LOGIN}@[::1/d", "after the ] of an IPv6 address only :PORT may follow"),
        (f"{LOGIN}@[::1]5432/d", "after the ] of an IPv6 address only :PORT may follow"),
        (f"{LOGIN}@h:0/d", "the port must be a number from 1 to 65535"),
        (f"{LOGIN}@h:65536/d", "the port must be a number from 1 to 65535"),
        (f"{LOGIN}@h:{'1' * 5000}/d", "the port must be a number from 1 to 65535"),
        (f"{LOGIN}@h:x/d", "the port must be a number from 1 to 65535"),
        (f"{LOGIN}@h:٣/d", "the port must be a number from 1 to 65535"),
        (LOGIN, "the port must be a number from 1 to 65535"),
        (f"{LOGIN}@h/d?x", "each option after the ? has the form name=value"),
        (
            f"{LOGIN}@h/d?sslmode=on",
            "the option sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        (f"{LOGIN}@h/d?sslnegotiation=on", "the option sslnegotiation must be one of postgres, direct"),
        (f"{LOGIN}@h/d?sslcert=", "the option sslcert names no file"),
        (f"{LOGIN}@h/d?sslcrl=x", "there is no option sslcrl here: lists of revoked certificates are not read"),
        (f"{LOGIN}@h/d?gssencmode=prefer", "GSSAPI encryption is not built yet: write gssencmode=disable"),
        (
            f"{LOGIN}@h/d?connect_timeout=5",
            "there is no option connect_timeout here: use the setting server_connect_timeout",
        ),
        (
            f"{LOGIN}@h/d?timezone=UTC&aplication_name=x",
            'option 2 after the ? is unknown; did you mean "application_name"?',
        ),
        (f"{LOGIN}@h/d?zzz=x", "option 1 after the ? is unknown"),
        (
            f"{LOGIN}@h/d?timezone=%",
            "a % in the option timezone must be written %25, or be followed by two hexadecimal digits",
        ),
        (f"{LOGIN}@h/d?dbname=e", "the option dbname says again what was said before"),
        (f"{LOGIN}@h/d?timezone=a&timezone=b", "the option timezone says again what was said before"),
        ("postgresql://h?user=a&password=hun&hunter2=x", "option 3 after the ? is unknown"),
        ("postgresql://h?user=a&password=hun&user=x", "the option user says again what was said before"),
    ],
)
def test_errors_say_what_and_hide_the_rest(dsn: str, error: str) -> None:
    with pytest.raises(Unfit) as refused:
        parse_dsn(dsn)
    assert str(refused.value) == error
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", ["", "h", "mysql://h/d", "POSTGRESQL://h", "h:5432", 5, [], True])
def test_what_is_no_connection_string_is_told_the_form(value: object) -> None:
    with pytest.raises(Unfit) as refused:
        upstream.parse(value)
    assert not refused.value.args
    assert upstream.secret


@given(password=st.text(alphabet="hunter2@:/?#%&=[]$ ä,", min_size=7), rest=st.sampled_from(["@h/d", "@h", "", "/d"]))
def test_an_unescaped_password_never_comes_out(password: str, rest: str) -> None:
    error = ""
    try:
        # What happens to be a connection string, though another than was meant, can't be told from one.
        parse_dsn(f"postgresql://app:{password}{rest}")
    except Unfit as refused:
        error = str(refused)
    # Five characters in a row would be telling; the messages' own words hold none that can be drawn here.
    assert not [at for at in range(len(password) - 4) if password[at : at + 5] in error]


@given(
    user=st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", codec="utf-8")),
    password=st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", codec="utf-8")),
    dbname=st.text(min_size=1, alphabet=st.characters(exclude_characters="\0", codec="utf-8")),
)
def test_escaped_parts_come_out_as_they_went_in(user: str, password: str, dbname: str) -> None:
    def escaped(text: str) -> str:
        return "".join(f"%{byte:02x}" for byte in text.encode())

    parsed = parse_dsn(f"postgresql://{escaped(user)}:{escaped(password)}@h/{escaped(dbname)}")
    assert (parsed.user, parsed.password, parsed.dbname) == (user, Secret(password), dbname)
