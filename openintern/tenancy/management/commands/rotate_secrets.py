from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from openintern.secret_store import SecretField, Unreadable
from openintern.tenancy.models import Organization
from openintern.tenancy.scope import org_scope


class Command(BaseCommand):
    help = "Encrypt every secret with the newest of OPENINTERN_SECRET_KEYS; after that the older keys can go."

    def handle(self, *args: Any, **options: Any) -> None:
        moved = 0
        for org in Organization.objects.order_by("pk"):
            with org_scope(org):
                try:
                    moved += sum(_rotate(model, field) for model, field in _columns())
                except Unreadable as error:
                    raise CommandError(f"{org.slug}: {error}") from error
        self.stdout.write(f"{moved} secrets are under the newest key")


def _columns() -> list[tuple[Any, str]]:
    """The columns of secrets that organisations have."""
    models = [model for label in settings.TENANT_APPS for model in apps.get_app_config(label).get_models()]
    fields = [(model, each) for model in models for each in model._meta.get_fields()]  # noqa: SLF001  Django's own way
    return [(model, field.name) for model, field in fields if isinstance(field, SecretField)]


def _rotate(model: Any, field: str) -> int:
    """Move a table's secrets; a row that somebody changes meanwhile has the newest key by that."""
    moved = 0
    for row in model.objects.exclude(**{field: ""}):
        before = getattr(row, field)
        moved += model.objects.filter(pk=row.pk, **{field: before}).update(**{field: before.rotated()})
    return moved
