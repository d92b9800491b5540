"""django-tenants' command, which touches only the organisations that are behind, several at a time."""

from typing import Any, ClassVar

from django_tenants.management.commands.migrate_schemas import MigrateSchemasCommand

from openintern.tenancy import schemas
from openintern.tenancy.rollout import SomeNotMigrated, alone_at_public, migrate_all


class Command(MigrateSchemasCommand):  # type: ignore[misc]  # the library has no types
    help = "Migrate the public schema, then every organisation that lacks a migration."
    requires_system_checks: ClassVar[list[str]] = []

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
            with alone_at_public():
                super().handle(*args, **{**options, "shared": True, "skip_checks": True})
        if not options.get("shared"):
            self._migrate_organisations(verbosity=int(options.get("verbosity", 1)))

    def _migrate_organisations(self, *, verbosity: int) -> None:
        """One organisation that can't be migrated doesn't keep the others from it."""
        failed = []
        for org, error in migrate_all(schemas.behind()):
            if error is not None:
                failed.append(org.slug)
                self.stderr.write(f"{org.slug}: {error}")
            elif verbosity:
                self.stdout.write(f"{org.slug}: up to date")
        if failed:
            raise SomeNotMigrated(f"Not migrated: {', '.join(failed)}")
