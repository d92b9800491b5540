"""`manage.py bench memory`: is it found, how soon, and what does it cost to keep?"""

from memory.bench import documents  # noqa: F401  registers its suite
