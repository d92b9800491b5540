"""The settings of worker processes that tests start: the product's, and tools that only tests have."""

from openintern.settings import *  # noqa: F403
from openintern.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.slow_tools"]
