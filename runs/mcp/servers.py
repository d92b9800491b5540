"""What admins do to foreign servers: add, change, look, approve, remove. Page, API and admin call the same functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from openintern.errors import Invalid, NotFound, OpenInternError
from openintern.outgoing import Unreachable, check_url, require_public
from openintern.secret_store import Secret
from openintern.tenancy import audit
from openintern.tenancy.scope import Scope
from openintern.text import is_storable
from runs.mcp import catalogue, speaking
from runs.mcp.connections import CONNECT_SECONDS, Failed, connections
from runs.mcp.descriptions import pinned
from runs.models import McpServer
from runs.models.mcp_server import NAME_PATTERN

if TYPE_CHECKING:
    from runs.mcp.connections import Ask, T, Way
    from runs.stop import Stop

MOST_SERVERS: Final = 30
LONGEST_SECRET: Final = 4000
#: What an admin may say of a server, and what it is where nothing is said.
FIELDS: Final[dict[str, Any]] = {
    "name": "", "transport": "http", "program": "", "parameters": {}, "url": "", "auth": "none", "client_id": "",
    "issuer": "", "oauth_scope": "", "risk": "high", "timeout_seconds": 30, "is_enabled": True,
}  # fmt: skip
_CHOICES: Final = {
    "transport": McpServer.Transport.values, "auth": McpServer.Auth.values, "risk": McpServer.Risk.values
}  # fmt: skip


def servers(scope: Scope) -> list[McpServer]:
    """Return the organisation's servers by name."""
    return list(McpServer.objects.order_by("name"))


def find(scope: Scope, server_id: int) -> McpServer:
    """Return a server, or raise NOT_FOUND."""
    server = McpServer.objects.filter(pk=server_id).first()
    if server is None:
        raise NotFound("MCP server")
    return server


@transaction.atomic
def add(scope: Scope, told: Mapping[str, Any]) -> McpServer:
    """Add a server; nothing is started or asked yet. Raises VALIDATION_ERROR, CONFLICT for a name that is taken."""
    if McpServer.objects.count() >= MOST_SERVERS:
        raise OpenInternError("CONFLICT", f"An organisation has at most {MOST_SERVERS} servers")
    server = McpServer(**{**FIELDS, **check(told, before=None)})
    _save(server)
    audit.record_for(scope, "mcp_server.create", object_id=server.name, transport=server.transport)
    return server


@transaction.atomic
def change(scope: Scope, server_id: int, told: Mapping[str, Any]) -> McpServer:
    """Change what is told of a server. Another place is another server: what was approved is approved no more."""
    server = McpServer.objects.select_for_update().filter(pk=find(scope, server_id).pk).get()
    before = connection_key(server)
    for name, value in check(told, before=server).items():
        setattr(server, name, value)
    if (server.url, server.program, server.parameters) != _place(find(scope, server_id)):
        server.approved, server.seen = [], []
    _save(server)
    transaction.on_commit(partial(connections.close, before))
    audit.record_for(scope, "mcp_server.change", object_id=server.name, fields=sorted(told))
    return server


@transaction.atomic
def remove(scope: Scope, server_id: int) -> None:
    """Remove a server; runs that were offered its tools don't find them any more."""
    server = find(scope, server_id)
    transaction.on_commit(partial(connections.close, connection_key(server)))
    server.delete()
    audit.record_for(scope, "mcp_server.delete", object_id=server.name)


def look(scope: Scope, server_id: int) -> McpServer:
    """Connect, and see whether it answers and what tools it lists. Nothing is approved by that. Never raises for its faults."""
    server = find(scope, server_id)
    key = connection_key(server)
    connections.close(key)  # an admin who looks doesn't wait for a back-off
    try:
        listed = connections.ask(key, lambda: way_to(server), speaking.tools_of, within=CONNECT_SECONDS)
    except Failed as failure:
        note_failure(server, str(failure))
    else:
        note_list(server, listed)
    finally:
        connections.close(key)
    audit.record_for(scope, "mcp_server.look", object_id=server.name)
    return find(scope, server_id)


@transaction.atomic
def approve(scope: Scope, server_id: int, digests: Mapping[str, str]) -> McpServer:
    """Approve the tools by name and digest, as they were shown; those that aren't named are approved no more.

    Raises CONFLICT where the server has listed something else meanwhile: look again.
    """
    server = McpServer.objects.select_for_update().filter(pk=find(scope, server_id).pk).get()
    seen = {tool["name"]: tool for tool in server.seen}
    for name, digest in digests.items():
        if name not in seen or seen[name]["digest"] != digest:
            raise OpenInternError("CONFLICT", f"{name[:80]} isn't what you were shown; look at the server again")
        if seen[name]["refused"]:
            raise Invalid("digests", f"{name[:80]} can't be used: {seen[name]['refused']}")
    server.approved = [tool for tool in server.seen if tool["name"] in digests]
    server.save(update_fields=["approved"])
    audit.record_for(scope, "mcp_server.approve", object_id=server.name, tools=sorted(digests))
    return server


def ask(server: McpServer, question: Ask[T], *, within: float, stop: Stop | None = None) -> T:
    """Ask the server something over this process's connection to it, and keep how it fared. Raises Failed, Stopped."""
    try:
        answer = connections.ask(connection_key(server), lambda: way_to(server), question, within=within, stop=stop)
    except Failed as failure:
        note_failure(server, str(failure))
        raise
    if server.state != McpServer.State.HEALTHY:
        McpServer.objects.filter(pk=server.pk).update(state=McpServer.State.HEALTHY, looked_at=timezone.now())
    return answer


def note_list(server: McpServer, listed: list[dict[str, Any]], *, at: datetime | None = None) -> None:
    """Keep what the server lists now."""
    McpServer.objects.filter(pk=server.pk).update(
        seen=pinned(server.name, listed), state=McpServer.State.HEALTHY, error="", looked_at=at or timezone.now()
    )


def note_failure(server: McpServer, error: str) -> None:
    """Keep that it doesn't answer, and why."""
    now = timezone.now()
    McpServer.objects.filter(pk=server.pk).update(
        state=McpServer.State.FAILING, error=error, failed_at=now, looked_at=now
    )


def connection_key(server: McpServer) -> str:
    """Name the connection to a server as it is set up now: another set-up is another connection."""
    told = {name: getattr(server, name) for name in FIELDS if name not in {"risk", "is_enabled", "timeout_seconds"}}
    text = json.dumps({**told, "secret": server.secret.token}, sort_keys=True)
    return f"{connection.schema_name}:{server.pk}:{hashlib.sha256(text.encode()).hexdigest()[:16]}"  # type: ignore[attr-defined]


def way_to(server: McpServer) -> Way:
    """Return how the server is reached. Raises Failed for one that may not be any more."""
    from runs.mcp.transports import Child, Place  # noqa: PLC0415  the SDK takes a second to import

    try:
        if server.transport == McpServer.Transport.STDIO:
            return Child(*catalogue.command(server.program, server.parameters))
        check_url(server.url)
    except (OpenInternError, catalogue.NotConfined, Unreachable) as error:
        raise Failed(str(error)) from error
    secret = server.secret.reveal()
    if server.auth == McpServer.Auth.OAUTH:
        return Place(
            server.url,
            client_id=server.client_id,
            client_secret=secret,
            issuer=server.issuer,
            oauth_scope=server.oauth_scope,
        )
    return Place(server.url, bearer=secret if server.auth == McpServer.Auth.BEARER else "")


def check(told: Mapping[str, Any], *, before: McpServer | None) -> dict[str, Any]:
    """Return what may be stored of what was told. Raises VALIDATION_ERROR: also for what isn't a field, as a command would be."""
    for name in told:
        if name not in {*FIELDS, "secret"}:
            raise Invalid(name, "Unknown field")
    given = {name: _typed(name, value) for name, value in told.items() if name != "secret"}
    whole = {**({name: getattr(before, name) for name in FIELDS} if before else FIELDS), **given}
    _check_place(whole)
    if "secret" in told:
        given["secret"] = _sealed(told["secret"])
    has_secret = bool(given.get("secret", before.secret if before else None))
    if whole["auth"] != McpServer.Auth.NONE and not has_secret:
        raise Invalid("secret", "This authentication needs one")
    return given


def _typed(name: str, value: Any) -> Any:
    default = FIELDS[name]
    if type(value) is not type(default):
        raise Invalid(name, f"Must be a {type(default).__name__}")
    if isinstance(value, str) and (len(value) > 2000 or not is_storable(value)):
        raise Invalid(name, "Too long, or not a text")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise Invalid(name, f"Must be one of {', '.join(_CHOICES[name])}")
    if name == "timeout_seconds" and not 1 <= value <= 600:
        raise Invalid(name, "Must be from 1 to 600")
    return value


def _check_place(told: Mapping[str, Any]) -> None:
    if not re.fullmatch(NAME_PATTERN, told["name"]):
        raise Invalid("name", "Must be 1 to 20 small letters and digits, a letter first")
    if told["transport"] == McpServer.Transport.STDIO:
        if told["url"] or told["auth"] != McpServer.Auth.NONE:
            raise Invalid("url", "A program has no address and no authentication")
        catalogue.check(told["program"], told["parameters"])
        return
    if told["program"] or told["parameters"]:
        raise Invalid("program", "An address has no program")
    require_public("url", told["url"])
    if told["auth"] == McpServer.Auth.OAUTH:
        if not told["client_id"]:
            raise Invalid("client_id", "OAuth client credentials need one")
        require_public("issuer", told["issuer"])


def _sealed(value: Any) -> Secret:
    if not isinstance(value, str) or len(value) > LONGEST_SECRET or not value.isprintable() or not value.isascii():
        raise Invalid("secret", f"Must be at most {LONGEST_SECRET} printable ASCII characters")
    return Secret.seal(value)


def _place(server: McpServer) -> tuple[str, str, dict[str, str]]:
    return server.url, server.program, server.parameters


def _save(server: McpServer) -> None:
    try:
        with transaction.atomic():
            server.save()
    except IntegrityError as error:
        raise OpenInternError("CONFLICT", f"There is a server {server.name} already") from error
