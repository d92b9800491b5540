"""A machine of a deploy, in a process of its own: brings the organisations that are named up to date."""

import os
import sys

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.tenancy.next_release.settings"

import django

django.setup()

from openintern.tenancy.models import Organization  # noqa: E402  its models need Django set up
from openintern.tenancy.rollout import migrate_all  # noqa: E402

errors = [error for _, error in migrate_all(list(Organization.objects.filter(slug__in=sys.argv[1:]).order_by("pk")))]
sys.exit(f"{errors}" if any(errors) else 0)
