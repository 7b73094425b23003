"""Views over the accounts; each request is a transaction."""

from __future__ import annotations

from django.db import IntegrityError, connection, transaction
from django.db.models import F, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import timezone

from tests.integration.django_shop.models import Account, Booking


def transfer(request: HttpRequest, source: int, target: int, amount: int) -> HttpResponse:
    """Move money, with an attempt in a savepoint that fails."""
    rows = Account.objects.select_for_update().filter(pk__in=[source, target]).order_by("pk")
    locked = {each.pk: each for each in rows}
    try:
        with transaction.atomic():
            Account.objects.filter(pk=source).update(balance=F("balance") - 1000)
            Account.objects.create(name=locked[target].name)
    except IntegrityError:
        locked[source].balance -= amount
        locked[target].balance += amount
    for each in locked.values():
        each.save()
    Booking.objects.create(source_id=source, target_id=target, amount=amount, at=timezone.now())
    return JsonResponse({"balance": locked[source].balance})


def fail(request: HttpRequest) -> HttpResponse:
    """Spoil all, and fail: ATOMIC_REQUESTS undoes it."""
    # Locked in the order of the others, or there would be deadlocks.
    list(Account.objects.select_for_update().order_by("pk"))
    Account.objects.update(balance=0)
    raise ValueError("a failure of the view")


def total(request: HttpRequest) -> HttpResponse:
    """The sum of all, and what the connection is set to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('TimeZone'), current_user")
        zone, user = cursor.fetchone()
    return JsonResponse({**Account.objects.aggregate(total=Sum("balance")), "zone": zone, "user": user})


urlpatterns = [
    path("transfer/<int:source>/<int:target>/<int:amount>", transfer),
    path("fail", fail),
    path("total", total),
]
