"""The embedded PostgreSQL: one server per data directory, started by `up` and ended with it.

Its programs come from a package (see `binaries`); everything else is ours: where its files live
(`cluster`), whom it runs as (`account`), how it is started, found and stopped (`server`).
It listens on the loopback interface only, for one role with a random password.
"""

from openintern.postgres.errors import PostgresError
from openintern.postgres.server import Server, running_url
from openintern.postgres.temporary import temporary_server

__all__ = ["PostgresError", "Server", "running_url", "temporary_server"]
