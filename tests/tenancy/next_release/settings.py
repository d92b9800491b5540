"""The settings of a machine that has the next release."""

from tests.settings import *  # noqa: F403

MIGRATION_MODULES = {"runs": "tests.tenancy.next_release.migrations"}
