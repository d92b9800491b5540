"""The pages of webhooks: where the organisation wants to hear of what happens, and what came of each message."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid, OpenInternError
from openintern.pages import render_frame, scope_of
from openintern.tenancy.access import access
from runs.models import Delivery, Webhook
from runs.outbox import emitting
from runs.outbox import webhooks as keeping

_SHOWN = 50
_USUAL = ["run.completed", "run.failed"]  # ticked where nothing was chosen yet


@access("webhook", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def webhooks(request: HttpRequest) -> HttpResponse:
    """Show the webhooks; take a new one, and show its secret this once."""
    scope = scope_of(request)
    problem = secret = ""
    if request.method == "POST":
        try:
            _hook, secret = keeping.add(scope, _told(request.POST))
        except OpenInternError as error:
            problem = _problem(error)
    context = {
        "webhooks": keeping.webhooks(scope),
        "secret": secret,
        "problem": problem,
        "said": request.POST if problem else {},
        "types": _types(request.POST.getlist("event_types") if problem else _USUAL),
    }
    return _unkept(render(request, "runs/webhooks.html", context, status=400 if problem else 200))


@access("webhook", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def webhook(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Show one webhook with its latest messages; change it."""
    scope = scope_of(request)
    hook = keeping.find(scope, webhook_id)
    problem = ""
    if request.method == "POST":
        try:
            keeping.change(scope, webhook_id, _told(request.POST))
        except OpenInternError as error:
            problem = _problem(error)
        else:
            messages.success(request, _("%(name)s is changed") % {"name": hook.name})
            return redirect("webhook", webhook_id)
    context = _shown(request, hook) | {"problem": problem}
    if problem:
        return render(request, "runs/webhook.html", context, status=400)
    return render_frame(request, page="runs/webhook.html", fragment="runs/_deliveries.html", context=context)


@access("webhook", POST="change")
@require_POST
def act(request: HttpRequest, webhook_id: str, action: str) -> HttpResponse:
    """Test a webhook, use it or not, give it a new secret, send again what was given up, remove it."""
    scope = scope_of(request)
    match action:
        case "test":
            keeping.test(scope, webhook_id)
        case "use":
            keeping.use(scope, webhook_id)
        case "rest":
            keeping.rest(scope, webhook_id)
        case "again":
            count = keeping.send_again(scope, webhook_id)
            messages.success(request, _("%(count)d are sent again") % {"count": count})
        case "rotate":
            secret = keeping.rotate(scope, webhook_id, at=timezone.now())
            context = _shown(request, keeping.find(scope, webhook_id)) | {"secret": secret}
            return _unkept(render(request, "runs/webhook.html", context))
        case "remove":
            keeping.remove(scope, webhook_id)
            return redirect("webhooks")
        case _:
            raise Invalid("action", "Unknown action")
    return redirect("webhook", webhook_id)


@access("webhook", POST="change")
@require_POST
def send_again(request: HttpRequest, webhook_id: str, delivery_id: int) -> HttpResponse:
    """Send one message again."""
    keeping.send_again(scope_of(request), webhook_id, delivery_id=delivery_id)
    return redirect("webhook", webhook_id)


def _shown(request: HttpRequest, hook: Webhook) -> dict[str, Any]:
    state = request.GET.get("state", "")
    return {
        "hook": hook,
        "deliveries": keeping.deliveries(scope_of(request), hook.pk, state=state, limit=_SHOWN),
        "state": state,
        "states": Delivery.State.choices,
        "said": request.POST or {"name": hook.name, "url": hook.url},
        "types": _types(request.POST.getlist("event_types") or hook.event_types),
    }


def _types(chosen: list[str]) -> list[dict[str, Any]]:
    return [{"name": name, "is_chosen": name in chosen} for name in emitting.types()]


def _told(form: QueryDict) -> dict[str, Any]:
    return {
        "name": str(form.get("name", "")),
        "url": str(form.get("url", "")),
        "event_types": [str(each) for each in form.getlist("event_types")],
    }


def _problem(error: OpenInternError) -> str:
    return f"{(error.details or {}).get('field', '')}: {_(error.message)}".removeprefix(": ")


def _unkept(response: HttpResponse) -> HttpResponse:
    """A page with a secret stays in no cache."""
    response["Cache-Control"] = "no-store"
    return response
