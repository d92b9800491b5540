"""Schedules and what came of them: to look at, to pause, to have go on. They are written where they are at home, by whose they are."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import action
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from openintern.administration import ReadOnlyPages, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may
from runs.models import Firing, Schedule
from runs.scheduling import keeping


class SchedulePages(ReadOnlyPages[Schedule]):
    list_display = ["name", "user", "project", "cron", "time_zone", "paused", "next_at"]
    list_filter = ["paused"]
    search_fields = ["name", "input"]
    list_select_related = ["user", "project"]
    actions = ["pause", "go_on"]

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "schedule", "change")

    @action(description=_("Pause the selected schedules"), permissions=["settle"])
    def pause(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        for_each(request, chosen, lambda schedule: keeping.pause(asker(request), schedule.pk))

    @action(description=_("Have the selected schedules go on"), permissions=["settle"])
    def go_on(self, request: HttpRequest, chosen: QuerySet[Schedule]) -> None:
        at = timezone.now()
        for_each(request, chosen, lambda schedule: keeping.go_on(asker(request), schedule.pk, at=at))


class FiringPages(ReadOnlyPages[Firing]):
    list_display = ["schedule", "due_at", "fired_at", "outcome", "missed", "run_id"]
    list_filter = ["outcome"]
    search_fields = ["=run_id", "schedule__name"]
    list_select_related = ["schedule"]
    ordering = ["-due_at"]


organization_admin.register(Schedule, SchedulePages)
organization_admin.register(Firing, FiringPages)
