"""Live streams: server-sent events as a cursor over a table.

One connection per process listens (`bell`); it rings a feed for each channel that somebody follows (`feed`), which reads
the news once and tells its streams (`stream`); rounds make up for lost notifications and lost rights (`hub`). No
connection is held between reads (`reading`). The library django-eventstream supplies the listener queues and `get_events`,
which reads through the storage and channel manager that the settings name.
"""

from openintern.live.stream import client_count

__all__ = ["client_count"]
