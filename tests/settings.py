"""The settings of worker processes that tests start: the product's, and tools that only tests have.

CLOCK_IS_OFF_BY, seconds, puts the process's clock wrong.
"""

import os
import time
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from openintern.settings import *  # noqa: F403
from openintern.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.slow_tools"]

if _off := float(os.environ.get("CLOCK_IS_OFF_BY", "0")):
    _right = time.time
    time.time = lambda: _right() + _off
    timezone.now = lambda: datetime.now(UTC) + timedelta(seconds=_off)
