"""`manage.py bench`: what the system does, in figures, each beside the floor of the same minute.

A suite is a function that yields figures, registered under its name in a module `bench` of any app:

    @suite("queue")
    def measure(options: Options) -> Iterator[Figure]: ...

It runs inside a throw-away PostgreSQL with migrated schemas and one organisation (`options.scope`). Times on a busy
machine say little: give the floor with them, measured right before or after. Counters carry no noise: enforce those.
"""

from openintern.bench.figures import Figure
from openintern.bench.suites import Options, suite

__all__ = ["Figure", "Options", "suite"]
