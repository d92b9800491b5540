"""What may be spent, and what was."""

from __future__ import annotations

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from openintern.tenancy.models import Project, User
from runs.models.run import Run


class Budget(models.Model):
    """The most that an organisation, one of its projects or one of its people may spend in a period."""

    class Kind(models.TextChoices):
        ORGANIZATION = "organization", _("organisation")
        PROJECT = "project", _("project")
        USER = "user", _("person")

    class Period(models.TextChoices):
        """Days and months begin at midnight UTC."""

        DAY = "day", _("day")
        MONTH = "month", _("month")
        TOTAL = "total", _("for ever")

    kind = models.CharField(_("for"), max_length=12, choices=Kind.choices, default=Kind.ORGANIZATION)
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("project")
    )
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("person"))
    period = models.CharField(_("period"), max_length=5, choices=Period.choices, default=Period.MONTH)
    limit_usd = models.DecimalField(_("limit (USD)"), max_digits=14, decimal_places=6, null=True, blank=True)
    limit_tokens = models.PositiveBigIntegerField(_("limit (tokens)"), null=True, blank=True)

    class Meta:
        verbose_name = _("budget")
        verbose_name_plural = _("budgets")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "project", "user", "period"],
                nulls_distinct=False,
                name="runs_budget_once",
                violation_error_message=_("There is such a budget already."),
            ),
            models.CheckConstraint(
                name="runs_budget_names_its_owner",
                condition=models.Q(kind="organization", project=None, user=None)
                | models.Q(kind="project", project__isnull=False, user=None)
                | models.Q(kind="user", project=None, user__isnull=False),
                violation_error_message=_("Name the project or the person that the budget is for, and nothing else."),
            ),
            models.CheckConstraint(
                name="runs_budget_limits_something",
                condition=models.Q(limit_usd__isnull=False, limit_usd__gte=0)  # a comparison with NULL would pass
                | models.Q(limit_usd=None, limit_tokens__isnull=False),
                violation_error_message=_("Set a limit in USD (0 or more), in tokens, or both."),
            ),
        ]

    def __str__(self) -> str:
        owner = {self.Kind.PROJECT: self.project, self.Kind.USER: self.user}.get(self.Kind(self.kind), "")
        return " ".join(str(part) for part in (self.get_kind_display(), owner, self.get_period_display()) if part)


class LedgerEntry(models.Model):
    """One booking: a sum of rows is a balance. Rows are only ever added, and outlive the run that they are about.

    `at` is the time of the call's reservation in all rows of that call, so that a call falls in one day as a whole.
    """

    class Kind(models.TextChoices):
        RESERVE = "reserve", _("reserved")
        RELEASE = "release", _("released")
        SETTLE = "settle", _("spent")

    kind = models.CharField(_("kind"), max_length=7, choices=Kind.choices)
    run = models.ForeignKey(
        Run, models.DO_NOTHING, db_constraint=False, related_name="ledger", verbose_name=_("run"), db_index=False
    )
    user = models.ForeignKey(
        User, models.PROTECT, db_constraint=False, related_name="+", verbose_name=_("person"), db_index=False
    )
    project = models.ForeignKey(
        Project, models.PROTECT, null=True, related_name="+", verbose_name=_("project"), db_index=False
    )
    amount = models.DecimalField(_("USD"), max_digits=20, decimal_places=10)
    tokens = models.BigIntegerField(_("tokens"))
    at = models.DateTimeField(_("time"))

    class Meta:
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        indexes = [
            # what is still held for a run
            models.Index(fields=["run"], name="runs_ledger_of_run"),
            # the balance of an organisation since a moment: those rows lie together, for rows are only ever added
            BrinIndex(fields=["at"], name="runs_ledger_since", autosummarize=True),
            # the balance of a project, of a person since a moment, from the index alone
            models.Index(
                fields=["project", "at"],
                include=["kind", "amount", "tokens"],
                condition=models.Q(project__isnull=False),
                name="runs_ledger_of_project",
            ),
            models.Index(fields=["user", "at"], include=["kind", "amount", "tokens"], name="runs_ledger_of_user"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.kind} {self.amount} USD, {self.tokens} tokens"
