"""Accounts, and what was booked between them."""

from __future__ import annotations

from django.db import models


class Account(models.Model):
    """Has money."""

    name = models.CharField(max_length=50, unique=True)
    balance = models.IntegerField(default=0)
    details = models.JSONField(default=dict)


class Booking(models.Model):
    """Money that has moved."""

    source = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="sent")
    target = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="received")
    amount = models.IntegerField()
    at = models.DateTimeField()
