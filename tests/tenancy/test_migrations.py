"""What the models say, the migrations make: in one line of them, app by app."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader


@pytest.mark.django_db
def test_no_change_of_a_model_lacks_its_migration() -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_no_app_has_two_newest_migrations() -> None:
    assert MigrationLoader(None).detect_conflicts() == {}
