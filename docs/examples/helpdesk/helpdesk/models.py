"""What the help desk keeps."""

from __future__ import annotations

from django.db import models


class Ticket(models.Model):
    """One question of a customer."""

    email = models.EmailField()
    subject = models.CharField(max_length=200)
    text = models.TextField()


class Letter(models.Model):
    """What was sent about a ticket. A real help desk has an email server."""

    ticket = models.ForeignKey(Ticket, models.CASCADE, related_name="letters")
    text = models.TextField()
