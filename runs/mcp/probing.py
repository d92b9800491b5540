"""Looking by the clock whether foreign servers answer, and list what they listed: a person hears of it before an agent does."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone

from openintern.tenancy.models import Organization
from openintern.tenancy.rounds import in_each, organizations_where
from runs.mcp import servers, speaking
from runs.mcp.connections import CONNECT_SECONDS, Failed, connections
from runs.models import McpServer

#: A server that nobody looked at for so long is looked at.
EVERY: Final = timedelta(minutes=10)
#: One call looks no longer than so many seconds and what the last server takes; what is left is due the next minute.
AT_MOST_SECONDS: Final = 30.0


def probe_all() -> int:
    """Look at the servers in use that nobody looked at of late, in every organisation; return at how many. Called by the clock."""
    due = organizations_where(
        table="runs_mcpserver",
        condition="is_enabled AND (looked_at IS NULL OR looked_at <= clock_timestamp() - %(every)s)",
        values={"every": EVERY},
    )
    ends_at = time.monotonic() + AT_MOST_SECONDS

    def probe_in(_: Organization) -> int:
        return sum(probe(server) for server in _due() if time.monotonic() < ends_at)

    return in_each(due, probe_in, doing="looking at MCP servers")


def probe(server: McpServer) -> bool:
    """Look at a server that is due; False if somebody else does. Nothing is approved by that.

    It has a connection of its own, closed again: what runs use is left alone, and a process that hangs is found out.
    """
    now = timezone.now()
    if not _due().filter(pk=server.pk).update(looked_at=now):
        return False
    key = f"probe:{servers.connection_key(server)}"
    try:
        listed = connections.ask(key, lambda: servers.way_to(server), speaking.tools_of, within=CONNECT_SECONDS)
    except Failed as failure:
        servers.note_failure(server, str(failure))
    else:
        servers.note_list(server, listed)
    finally:
        connections.close(key)
    return True


def _due() -> Any:
    rows: Any = McpServer.objects
    return rows.in_use().filter(Q(looked_at=None) | Q(looked_at__lte=timezone.now() - EVERY))
