"""`manage.py bench memory`: is it found, how soon, and what does it cost to keep?"""

from memory.bench import documents, suite  # noqa: F401  register their suites
