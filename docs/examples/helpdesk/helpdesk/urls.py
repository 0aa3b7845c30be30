"""What the help desk answers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.http import JsonResponse
from django.urls import path
from tasks import acknowledge, close

from helpdesk.models import Ticket

if TYPE_CHECKING:
    from django.http import HttpRequest


def open_ticket(request: HttpRequest) -> JsonResponse:
    """Store a ticket, and have it acknowledged once it is certain to be stored."""
    with transaction.atomic():
        ticket = Ticket.objects.create(
            email=request.POST["email"], subject=request.POST["subject"], text=request.POST["text"]
        )
        acknowledge(ticket).after_commit(connection).dispatch_sync()
        if "free money" in ticket.text:
            transaction.set_rollback(True)
            return JsonResponse({"error": "spam"}, status=422)
    return JsonResponse({"ticket": ticket.pk})


def close_ticket(request: HttpRequest, number: int) -> JsonResponse:
    """Have a ticket closed."""
    ticket = Ticket.objects.get(pk=number)
    return JsonResponse({"task": close.dispatch_sync(ticket, list(ticket.letters.all()))})


urlpatterns = [
    path("tickets", open_ticket),
    path("tickets/<int:number>/close", close_ticket),
]
