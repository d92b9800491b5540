"""The page of foreign MCP servers: what each can do, how it fares, and what of it agents may use."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid, OpenInternError
from openintern.pages import scope_of
from openintern.tenancy.access import access
from runs.mcp import catalogue, servers
from runs.models import McpServer


@access("mcp_server", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def mcp_servers(request: HttpRequest) -> HttpResponse:
    """Show the servers; take a new one."""
    scope = scope_of(request)
    problem = ""
    if request.method == "POST":
        try:
            server = servers.add(scope, _told(request.POST))
        except OpenInternError as error:
            problem = f"{(error.details or {}).get('field', '')}: {_(error.message)}".removeprefix(": ")
        else:
            messages.success(request, _("%(name)s is added; look at it to see its tools") % {"name": server.name})
            return redirect("mcp-servers")
    context = {
        "servers": [_shown(server) for server in servers.servers(scope)],
        "programs": [
            {"name": name, "parameters": ", ".join(program.parameters)}
            for name, program in catalogue.programs().items()
        ],
        "auths": McpServer.Auth.choices,
        "risks": McpServer.Risk.choices,
        "problem": problem,
        "said": request.POST,
    }
    return render(request, "runs/mcp_servers.html", context, status=400 if problem else 200)


@access("mcp_server", POST="change")
@require_POST
def act(request: HttpRequest, server_id: int, action: str) -> HttpResponse:
    """Look at a server, approve what it lists, use it or not, remove it."""
    scope = scope_of(request)
    match action:
        case "look":
            _tell_how_it_fares(request, servers.look(scope, server_id))
        case "approve":
            chosen = (text.partition(" ") for text in request.POST.getlist("tool"))
            servers.approve(scope, server_id, {name: digest for digest, _blank, name in chosen})
            messages.success(request, _("What is ticked is approved"))
        case "use" | "rest":
            servers.change(scope, server_id, {"is_enabled": action == "use"})
        case "remove":
            servers.remove(scope, server_id)
        case _:
            raise Invalid("action", "Unknown action")
    return redirect("mcp-servers")


def _tell_how_it_fares(request: HttpRequest, server: McpServer) -> None:
    if server.state == McpServer.State.HEALTHY:
        messages.success(request, _("%(name)s answers") % {"name": server.name})
    else:
        messages.error(request, _("%(name)s doesn’t answer") % {"name": server.name})


def _told(form: QueryDict) -> dict[str, Any]:
    """What the form says, in the words of the API; what was left empty isn't said."""
    told: dict[str, Any] = {name: text for name in _TEXTS if (text := str(form.get(name, "")).strip())}
    told["transport"] = "stdio" if told.get("program") else "http"
    if parameters := str(form.get("parameters", "")).strip():
        told["parameters"] = dict(_pair(line) for line in parameters.splitlines() if line.strip())
    return told


_TEXTS = ("name", "program", "url", "auth", "secret", "client_id", "issuer", "oauth_scope", "risk")


def _pair(line: str) -> tuple[str, str]:
    name, sign, value = line.partition("=")
    if not sign:
        raise Invalid("parameters", "Each line must be NAME=VALUE")
    return name.strip(), value.strip()


def _shown(server: McpServer) -> dict[str, Any]:
    approved = {tool["name"]: tool["digest"] for tool in server.approved}
    tools = [
        {
            **tool,
            "schema": json.dumps(tool["schema"], ensure_ascii=False, indent=2),
            "is_approved": approved.get(tool["name"]) == tool["digest"],
            "has_changed": tool["name"] in approved and approved[tool["name"]] != tool["digest"],
        }
        for tool in server.seen
    ]
    gone = sorted(set(approved) - {tool["name"] for tool in server.seen})
    return {"row": server, "tools": tools, "gone": gone, "place": server.url or server.program}
