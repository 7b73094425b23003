"""What Django users do, in its own test classes. ``python -m django test`` runs them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeVar
from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.models import Avg, Count, F, Q, Sum, Window
from django.db.models.functions import RowNumber, TruncHour
from django.test import Client, TestCase, TransactionTestCase
from django.utils import timezone

from tests.integration.django_shop.models import Account, Booking

T = TypeVar("T")

ACCOUNTS = 6
THREADS = 6
NOON = datetime.datetime(2020, 1, 1, 12, tzinfo=ZoneInfo("UTC"))


def make_accounts() -> list[Account]:
    made = [Account(name=f"account {number}", balance=100) for number in range(ACCOUNTS)]
    Account.objects.bulk_create(made)
    return made


def in_threads(work: Callable[[int], T]) -> list[T]:
    """What each of some threads returns, with connections of its own."""

    def alone(number: int) -> T:
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(alone, range(THREADS)))


class OrmTests(TestCase):
    """Each test in a transaction that is rolled back, in a savepoint of its class's."""

    databases: ClassVar = {"default", "elsewhere"}

    @classmethod
    def setUpTestData(cls) -> None:
        cls.accounts = make_accounts()

    def test_queries(self) -> None:
        first, second, *_ = self.accounts
        Booking.objects.create(source=first, target=second, amount=7, at=NOON)
        rich = Account.objects.annotate(count=Count("sent")).filter(Q(balance__gt=1) & ~Q(count=0))
        self.assertEqual([(each.pk, each.count) for each in rich], [(first.pk, 1)])
        self.assertEqual(Booking.objects.select_related("source").get().source.name, "account 0")
        numbered = Account.objects.annotate(n=Window(RowNumber(), order_by="pk")).values_list("n", flat=True)
        self.assertEqual(list(numbered), list(range(1, ACCOUNTS + 1)))
        self.assertEqual(Paginator(Account.objects.order_by("pk"), 4).page(2).object_list[0], self.accounts[4])
        self.assertEqual(Account.objects.aggregate(Avg("balance"))["balance__avg"], 100)
        self.assertEqual(Account.objects.filter(details__color="red").count(), 0)

    def test_savepoints(self) -> None:
        with transaction.atomic():
            Account.objects.update(balance=1)
            with self.assertRaises(IntegrityError), transaction.atomic():
                Account.objects.update(balance=2)
                with transaction.atomic():
                    Account.objects.create(name="account 1")
            self.assertEqual(Account.objects.aggregate(Sum("balance"))["balance__sum"], ACCOUNTS)

    def test_locks(self) -> None:
        with transaction.atomic():
            self.assertEqual(len(Account.objects.select_for_update(nowait=True).filter(balance=100)), ACCOUNTS)
            self.assertEqual(len(Account.objects.select_for_update(skip_locked=True, of=("self",))), ACCOUNTS)

    def test_upserts(self) -> None:
        made, created = Account.objects.get_or_create(name="new", defaults={"balance": 3})
        self.assertTrue(created)
        self.assertFalse(Account.objects.update_or_create(name="new", defaults={"balance": 4})[1])
        Account.objects.bulk_create(
            [Account(name="new", balance=5)], update_conflicts=True, unique_fields=["name"], update_fields=["balance"]
        )
        made.refresh_from_db()
        self.assertEqual(made.balance, 5)

    def test_times(self) -> None:
        booking = Booking.objects.create(source=self.accounts[0], target=self.accounts[1], amount=1, at=NOON)
        for zone in ("Asia/Tokyo", "America/Lima"):
            with timezone.override(zone):
                self.assertEqual(Booking.objects.get(pk=booking.pk).at, NOON)
                hour = Booking.objects.annotate(hour=TruncHour("at")).get(pk=booking.pk).hour
                self.assertEqual(hour, NOON)
                self.assertEqual(str(hour.tzinfo), zone)


class CommittedTests(TransactionTestCase):
    """Tables are truncated after each test; nothing is wrapped in a transaction."""

    databases: ClassVar = {"default", "elsewhere"}

    def setUp(self) -> None:
        self.accounts = make_accounts()

    def test_iterators(self) -> None:
        """With cursors of the server, which are WITH HOLD in autocommit mode, while others work."""
        Account.objects.bulk_create(Account(name=str(number)) for number in range(500))

        def read(number: int) -> int:
            found = 0
            for each in Account.objects.order_by("pk").iterator(chunk_size=50):
                found += 1
                if found % 100 == 0:
                    Account.objects.filter(pk=each.pk).update(balance=F("balance") + 1)
            return found

        # As many as there are backends would hold them all.
        self.assertEqual(read(0), 500 + ACCOUNTS)
        with transaction.atomic():
            self.assertEqual(read(0), 500 + ACCOUNTS)

    def test_requests_of_many_threads(self) -> None:
        keys = [each.pk for each in self.accounts]

        def work(number: int) -> None:
            # What a view raises is told to the clients of all threads.
            client = Client(raise_request_exception=False)
            for step in range(10):
                source, target = keys[(number + step) % ACCOUNTS], keys[(number + 2 * step + 1) % ACCOUNTS]
                if source != target:
                    self.assertEqual(client.get(f"/transfer/{source}/{target}/{step}").status_code, 200)
                self.assertEqual(client.get("/fail").status_code, 500)
                answer = client.get("/total").json()
                self.assertEqual((answer["zone"], answer["user"]), ("UTC", "postgres"))

        in_threads(work)
        self.assertEqual(Client().get("/total").json()["total"], 100 * ACCOUNTS)
        moved = Booking.objects.aggregate(Sum("amount"))["amount__sum"]
        self.assertGreater(moved, 0)

    def test_settings_of_two_aliases_do_not_cross(self) -> None:
        def work(number: int) -> set[tuple[str, str, str, str]]:
            seen = set()
            for _ in range(20):
                for alias in ("default", "elsewhere"):
                    with connections[alias].cursor() as cursor:
                        cursor.execute("SELECT timestamptz '2020-01-01 12:00' = '2020-01-01 12:00+00', %s", [number])
                        plain = cursor.fetchone()[0]
                        cursor.execute("SELECT current_setting('TimeZone'), current_user")
                        seen.add((alias, str(plain), *cursor.fetchone()))
                self.assertEqual(Account.objects.using("elsewhere").count(), ACCOUNTS)
            return seen

        wanted = {("default", "True", "UTC", "postgres"), ("elsewhere", "False", "Asia/Tokyo", "shop_clerk")}
        self.assertEqual(set().union(*in_threads(work)), wanted)

    def test_transactions_that_collide(self) -> None:
        """Locks of some threads in others' way, with a pool in which not all can be at work."""

        def work(number: int) -> int:
            done = 0
            for _ in range(15):
                try:
                    with transaction.atomic():
                        rows = list(Account.objects.select_for_update(nowait=True).order_by("pk")[:2])
                        rows[0].balance -= 1
                        rows[1].balance += 1
                        Account.objects.bulk_update(rows, ["balance"])
                        done += 1
                except DatabaseError:
                    self.assertFalse(connection.in_atomic_block)
            return done

        done = sum(in_threads(work))
        self.assertEqual(Account.objects.get(pk=self.accounts[0].pk).balance, 100 - done)
        self.assertEqual(Account.objects.aggregate(Sum("balance"))["balance__sum"], 100 * ACCOUNTS)

    def test_what_is_done_on_commit(self) -> None:
        done: list[str] = []
        with transaction.atomic():
            transaction.on_commit(lambda: done.append("committed"))
            with self.assertRaises(IntegrityError), transaction.atomic():
                transaction.on_commit(lambda: done.append("never"))
                Account.objects.create(name="account 0")
        self.assertEqual(done, ["committed"])

    def test_schema_changes(self) -> None:
        with connection.schema_editor() as editor:
            editor.execute("CREATE TABLE shape (a int)")
        for columns in range(1, 4):
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM shape WHERE a = %s", [1])
                self.assertEqual(len(cursor.description), columns)
                cursor.execute(f"ALTER TABLE shape ADD b{columns} text")
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE shape")
