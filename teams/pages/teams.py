"""The list of teams, and what brings whole teams in: templates, documents."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from openintern.errors import Invalid, OpenInternError
from openintern.pages import scope_of
from openintern.tenancy.access import access
from teams.blueprints import document
from teams.blueprints import templates as shipped
from teams.blueprints.importing import install
from teams.blueprints.planning import Existing, Step, plan
from teams.pages.forms import ImportForm
from teams.pages.listing import Listing


@access("group", GET="read")
@require_safe
def teams_page(request: HttpRequest) -> HttpResponse:
    """Show the groups and roles that there are, and the teams that can be installed."""
    context = {**Listing.asked(request).context(request), "templates": shipped.templates(), "import_form": ImportForm()}
    return render(request, "teams/teams.html", context)


@access("group", POST="create")
@require_POST
def install_template(request: HttpRequest, template: str) -> HttpResponse:
    """Install a team that is shipped, and open it."""
    steps = install(scope_of(request), shipped.template(template), existing="skip", source=template)
    return _to_the_first_group(request, steps)


@access("group", GET="create", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def import_teams(request: HttpRequest) -> HttpResponse:
    """Show what a document would do; with `confirmed`, do it."""
    if request.method != "POST":
        return render(request, "teams/import.html", {"form": ImportForm()})
    form, scope = ImportForm(request.POST, request.FILES), scope_of(request)
    try:
        text = _text(request)
        existing: Existing = form.cleaned_data["existing"] if form.is_valid() else "skip"
        blueprint = document.read(text)
        if request.POST.get("confirmed"):
            return _to_the_first_group(request, install(scope, blueprint, existing=existing))
        steps = plan(scope, blueprint, existing=existing)
    except OpenInternError as error:
        field = (error.details or {}).get("field", "")
        context = {"form": ImportForm(), "refusal": _(error.message), "field": field}
        return render(request, "teams/import.html", context, status=error.status)
    return render(request, "teams/import.html", {"form": form, "steps": steps, "text": text, "existing": existing})


def _text(request: HttpRequest) -> str:
    """What was sent: the file, or the text that was looked at before."""
    file = request.FILES.get("file")
    if file is None:
        if not request.POST.get("text"):
            raise Invalid("file", _("Choose a YAML or JSON file"))
        return request.POST["text"]
    try:
        return bytes(file.read(document.MOST_CHARACTERS * 4)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("file", _("The file is no text in UTF-8")) from error


def _to_the_first_group(request: HttpRequest, steps: list[Step]) -> HttpResponse:
    messages.info(request, _("Done: %(number)s of %(all)s made or changed.") % _counts(steps))
    group = next((step for step in steps if step.kind == "group" and step.object_id), None)
    return redirect("team-group", group.object_id) if group else redirect("teams")


def _counts(steps: list[Step]) -> dict[str, int]:
    done = sum(step.action in {"create", "copy", "replace"} for step in steps)
    return {"number": done, "all": len(steps)}
