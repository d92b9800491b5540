"""django-tenants' command, which touches only the organisations that are behind."""

from typing import Any

from django.core.management.base import CommandError
from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand

from openintern.tenancy import schemas


class Command(MigrateSchemasCommand):  # type: ignore[misc]  # the library has no types
    help = "Migrate the public schema, then every organisation that lacks a migration."

    def handle(self, *args: Any, **options: Any) -> None:
        """Leave anything but a plain upgrade to django-tenants."""
        if (
            options.get("app_label")
            or options.get("schema_name")
            or options.get("fake")
            or options.get("plan")
            or options.get("check_unapplied")
        ):
            super().handle(*args, **options)
            return
        if not options.get("tenant"):
            super().handle(*args, **{**options, "shared": True})
        if not options.get("shared"):
            self._migrate_organisations(verbosity=int(options.get("verbosity", 1)))

    def _migrate_organisations(self, *, verbosity: int) -> None:
        """One organisation that can't be migrated doesn't keep the others from it."""
        failed = []
        for org in schemas.behind():
            try:
                schemas.create(org)
            except Exception as error:  # noqa: BLE001  the outermost edge: reported below, with a non-zero exit
                failed.append(org.slug)
                self.stderr.write(f"{org.slug}: {error}")
            else:
                if verbosity:
                    self.stdout.write(f"{org.slug}: up to date")
        if failed:
            raise CommandError(f"Not migrated: {', '.join(failed)}")
