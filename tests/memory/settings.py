"""The settings of embedders that tests start: the product's, and a model that never answers."""

from openintern.settings import *  # noqa: F403
from openintern.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.memory.held"]
