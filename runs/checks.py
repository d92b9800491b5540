"""What `/health` and `doctor` ask about the work: is somebody there to do it, and does it wait too long?"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection

from openintern import health
from openintern.health import Finding
from openintern.tenancy.models import Organization
from openintern.tenancy.schemas import fingerprint
from openintern.tenancy.scope import org_scope
from runs.models import McpServer
from runs.queue.life import DEAD_AFTER_SECONDS
from runs.tools import sandbox

#: A run that could have been claimed for this long says that the workers don't keep up.
LONG_WAIT_SECONDS = 300


@health.check("workers", essential=True, order=30)
def workers() -> Finding:
    """Worker processes that gave a sign of life of late."""
    alive = _number(
        "SELECT coalesce(sum(workers), 0) FROM public.queue_cluster WHERE seen_at > now() - %s * interval '1 second'",
        DEAD_AFTER_SECONDS,
    )
    return Finding(
        alive > 0, alive, f"{alive} alive", "Start some: `manage.py up`, or `manage.py qcluster` on any machine."
    )


@health.check("queue", order=40)
def queue() -> Finding:
    """Runs that wait for a worker, runs that have one, and how long the first has waited that could have been claimed."""
    waiting = _number(
        "SELECT count(*) FROM public.queue_ticket WHERE available_at <= now() AND lease_expires_at IS NULL"
    )
    processing = _number("SELECT count(*) FROM public.queue_ticket WHERE lease_expires_at >= now()")
    oldest = _number(
        "SELECT coalesce(extract(epoch FROM now() - min(available_at)), 0) FROM public.queue_ticket WHERE lease_expires_at IS NULL"
    )
    report: health.Report = {"length": waiting, "processing": processing, "oldest_seconds": oldest}
    return Finding(
        oldest < LONG_WAIT_SECONDS,
        report,
        f"{waiting} waiting, {processing} running, the oldest for {oldest} s",
        "Start more workers (`up --workers N`, `qcluster`).",
    )


@health.check("model", public=False, needs_database=False, order=60)
def model() -> Finding:
    """The model that runs use unless they name another."""
    llm = settings.CONFIG.llm
    remedy = "Set OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, or LLM_BASE_URL for a server of your own."
    if llm.provider == "demo":
        return Finding(True, "demo", "demo (no key is configured: it quotes from files, it does not reason)", remedy)
    return Finding(True, llm.provider, f"{llm.provider}/{llm.model}")


@health.check("commands", public=False, needs_database=False, order=70)
def commands() -> Finding:
    """Whether exec_command, where it is turned on, can do what it promises."""
    if not settings.CONFIG.agent.exec_command:
        return Finding(True, "off", "exec_command is off")
    try:
        sandbox.require()
    except sandbox.Unavailable as error:
        return Finding(False, "unavailable", f"exec_command is on, and {error}", "Or unset OPENINTERN_EXEC_COMMAND.")
    return Finding(True, "on", "exec_command runs in bubblewrap")


@health.check("mcp_servers", public=False, order=80)
def mcp_servers() -> Finding:
    """Foreign servers in use that didn't answer when they were last looked at or called."""
    silent, in_use = [], 0
    for org in Organization.objects.filter(migrated_to=fingerprint()).order_by("pk"):
        with org_scope(org):
            rows: Any = McpServer.objects
            for server in rows.in_use():
                in_use += 1
                if server.state == McpServer.State.FAILING:
                    silent.append(f"{org.slug}/{server.name}")
    told = f"{in_use} in use" + (f", without an answer: {', '.join(silent[:10])}" if silent else "")
    return Finding(not silent, {"in_use": in_use, "failing": len(silent)}, told, "Look at them on /mcp-servers.")


def _number(query: str, *parameters: str | int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return int(cursor.fetchone()[0])
