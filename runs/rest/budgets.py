"""The REST API of budgets: what may be spent, and what has been. They are set in the organisation's admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from openintern.api import Choice, scope_of
from openintern.tenancy.access import access
from runs import budgets
from runs.models import Budget


class BudgetRow(serializers.Serializer[Any]):
    """A budget with its balance: `spent` and `reserved` together are held against the limit."""

    kind = Choice(Budget.Kind.choices)
    project_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    period = Choice(Budget.Period.choices)
    began_at = serializers.DateTimeField(allow_null=True, help_text="when the current period began (UTC)")
    limit_usd = serializers.DecimalField(14, 6, allow_null=True)
    limit_tokens = serializers.IntegerField(allow_null=True)
    spent_usd = serializers.DecimalField(20, 10)
    spent_tokens = serializers.IntegerField()
    reserved_usd = serializers.DecimalField(20, 10, help_text="held for model calls that are under way")
    reserved_tokens = serializers.IntegerField()


@access("budget", GET="read")
class Budgets(APIView):
    """What may be spent."""

    @extend_schema(
        operation_id="list_budgets",
        responses=inline_serializer("BudgetList", {"budgets": BudgetRow(many=True)}),
    )
    def get(self, request: Request) -> Response:
        """List the budgets that bind one's runs (an admin: all), each with its balance."""
        at = timezone.now()
        rows = [_row(budget, at=at) for budget in budgets.in_sight(scope_of(request))]
        return Response({"budgets": BudgetRow(rows, many=True).data})


def _row(budget: Budget, *, at: datetime) -> dict[str, Any]:
    booked = budgets.balance(budget, at=at)
    return {
        **budgets.owner_of(budget),
        "began_at": budgets.begins_at(budget.period, at=at),
        "limit_usd": budget.limit_usd,
        "limit_tokens": budget.limit_tokens,
        "spent_usd": booked.spent_usd,
        "spent_tokens": booked.spent_tokens,
        "reserved_usd": booked.reserved_usd,
        "reserved_tokens": booked.reserved_tokens,
    }
