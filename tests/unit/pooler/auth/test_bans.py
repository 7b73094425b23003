"""Bans: how many failures in which time, for how long, of whom, and that neither table grows."""

from __future__ import annotations

from pooler.auth.bans import ANY_OTHER, Bans, BanSettings


class Clock:
    """A time that the test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(bans: Bans, times: int, address: str = "192.0.2.1", database: str = "app") -> bool:
    return any([bans.on_failure(address, database) is not None for _ in range(times)])


def test_the_tenth_failure_within_the_window_bans_the_address_for_that_database() -> None:
    clock = Clock()
    bans = Bans(BanSettings(10, 150.0, 120.0), clock)
    assert not fail(bans, 9)
    clock.now += 149
    assert bans.find("192.0.2.1", "app") is None
    assert fail(bans, 1)
    assert bans.find("192.0.2.1", "app") is not None
    assert bans.find("192.0.2.1", "other") is None
    assert bans.find("192.0.2.2", "app") is None
    clock.now += 119.9
    assert bans.find("192.0.2.1", "app") is not None
    clock.now += 0.2
    assert bans.find("192.0.2.1", "app") is None
    assert not fail(bans, 9)


def test_failures_that_are_further_apart_ban_nobody() -> None:
    clock = Clock()
    bans = Bans(BanSettings(10, 150.0, 120.0), clock)
    for _ in range(100):
        assert not fail(bans, 1)
        clock.now += 17  # nine fit into the window
    clock.now += 10
    assert fail(bans, 10)


def test_bans_are_listed_and_lifted() -> None:
    clock = Clock()
    bans = Bans(BanSettings(2, 150.0, 120.0), clock)
    for database in ("app", "crm"):
        fail(bans, 2, database=database)
    fail(bans, 2, "2001:db8::1")
    fail(bans, 1, "192.0.2.1", "third")
    listed = [(ban.address, ban.database, ban.until - ban.since) for ban in bans.list()]
    assert listed == [("192.0.2.1", "app", 120.0), ("192.0.2.1", "crm", 120.0), ("2001:db8::/64", "app", 120.0)]
    assert bans.lift("192.0.2.1", "app") == 1
    assert bans.lift("192.0.2.1", "app") == 0
    assert bans.find("192.0.2.1", "app") is None
    assert bans.lift("192.0.2.1") == 1
    assert not fail(bans, 1, "192.0.2.1", "third"), "its failures are forgotten too"
    assert len(bans.list()) == 1


def test_nobody_is_banned_where_that_is_turned_off() -> None:
    bans = Bans(BanSettings(0, 150.0, 120.0), Clock())
    assert not fail(bans, 1000)


def test_a_changed_number_counts_from_now_on() -> None:
    bans = Bans(BanSettings(10, 150.0, 120.0), Clock())
    fail(bans, 5)
    bans.settings = BanSettings(3, 150.0, 120.0)
    assert fail(bans, 1)


def test_neither_table_grows_without_end() -> None:
    bans = Bans(BanSettings(2, 150.0, 120.0), Clock())
    for number in range(11_000):
        fail(bans, 2, f"10.0.{number >> 8}.{number & 255}")
        fail(bans, 1, f"10.1.{number >> 8}.{number & 255}")
    assert len(bans.list()) == 10_000
    assert bans.find("10.0.0.1", "app") is None
    assert len(bans._failures) == 10_000


def test_what_is_counted_here_is_told_and_what_others_banned_holds() -> None:
    clock = Clock()
    bans = Bans(BanSettings(2, 150.0, 120.0), clock)
    told: list[tuple[str, str, float]] = []
    bans.on_counted = lambda *failure: told.append(failure)
    assert fail(bans, 2)
    assert told == [("192.0.2.1", "app", 0.0), ("192.0.2.1", "app", 120.0)]
    assert not bans.adopt("192.0.2.1", "app", 119.5)  # its own, on its way back
    assert not fail(bans, 1, "192.0.2.2")
    assert bans.adopt("192.0.2.2", "app", 30.0)
    assert bans.adopt("192.0.2.2", "app", 60.0)
    clock.now += 59
    assert bans.find("192.0.2.2", "app") is not None
    clock.now += 2
    assert bans.find("192.0.2.2", "app") is None
    assert not fail(bans, 1, "192.0.2.2")  # what it counted before went with the ban


def test_addresses_of_one_network_are_one_and_ipv4_is_itself_in_every_form() -> None:
    bans = Bans(BanSettings(3, 150.0, 120.0), Clock())
    for last in (1, 2, 3):
        fail(bans, 1, f"2001:db8:0:1::{last}")
    assert [ban.address for ban in bans.list()] == ["2001:db8:0:1::/64"]
    assert bans.find("2001:db8:0:1:ffff::9", "app")
    assert not bans.find("2001:db8:0:2::1", "app")
    assert bans.adopt("2001:db8:0:1::/64", "app", 120.0) is False, "as another process says it"
    assert bans.lift("2001:db8:0:1::7") == 1
    assert bans.lift("2001:db8::no address") == 0
    for address in ("::ffff:192.0.2.1", "192.0.2.1", "::ffff:c000:201"):
        fail(bans, 1, address)
    assert [ban.address for ban in bans.list()] == ["192.0.2.1"]
    assert not bans.find("192.0.2.2", "app")


def test_addresses_of_the_machine_and_of_a_cable_are_counted_each_by_itself() -> None:
    bans = Bans(BanSettings(2, 150.0, 120.0), Clock())
    for address in ("::1", "fe80::1%eth0", "fe80::2%eth0"):
        assert not fail(bans, 1, address)
    bans.settings = BanSettings(2, 150.0, 120.0, ipv6_prefix=128)
    assert not fail(bans, 1, "2001:db8::1")
    assert not fail(bans, 1, "2001:db8::2")
    assert fail(bans, 1, "2001:db8::2")


def test_databases_without_a_name_here_are_failed_at_three_times_as_often() -> None:
    bans = Bans(BanSettings(2, 150.0, 120.0), Clock())
    assert not fail(bans, 5, database=ANY_OTHER)
    assert fail(bans, 1, database=ANY_OTHER)
