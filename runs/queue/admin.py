"""The queue of all organisations, for the platform's staff."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ModelAdmin
from django.http import HttpRequest
from django_q.admin import FailAdmin, ScheduleAdmin
from django_q.models import Failure, Schedule

from openintern.sites import platform_admin
from runs.queue.models import Cluster, Ticket


class ReadOnlyForStaff(ModelAdmin[Any]):
    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class TicketForStaff(ReadOnlyForStaff):
    list_display = [
        "run_id",
        "organization",
        "model",
        "attempt",
        "losses",
        "available_at",
        "leased_by",
        "lease_expires_at",
    ]
    list_filter = ["organization"]
    list_select_related = ["organization"]


class ClusterForStaff(ReadOnlyForStaff):
    list_display = ["host", "pid", "workers", "started_at", "seen_at"]


platform_admin.register(Ticket, TicketForStaff)
platform_admin.register(Cluster, ClusterForStaff)
platform_admin.register(Schedule, ScheduleAdmin)
platform_admin.register(Failure, FailAdmin)
