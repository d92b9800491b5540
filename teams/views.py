"""The pages of skills. Each makes one call into the domain and shows what comes of it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from openintern.errors import Invalid, OpenInternError
from openintern.pages import scope_of
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows
from teams import package, skills
from teams.forms import SkillForm
from teams.models import Skill


@access("skill", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def skills_page(request: HttpRequest) -> HttpResponse:
    """Show the skills that there are; take a new one."""
    scope = scope_of(request)
    form = SkillForm(None, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and (made := _kept(form, request, None)):
        return redirect("skill", made.pk)
    context = {
        "skills": skills.all_skills(),
        "form": form,
        "may_change": allows(scope.role, "skill", "change"),
    }
    return render(request, "teams/skills.html", context, status=400 if form.errors else 200)


@access("skill", GET="read", POST="change")
@require_http_methods(["GET", "HEAD", "POST"])
def one_skill(request: HttpRequest, skill_id: str) -> HttpResponse:
    """Show what a skill says and who gets it; take a change."""
    scope, skill = scope_of(request), skills.find(skill_id)
    form = SkillForm(skill, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _kept(form, request, skill):
        return redirect("skill", skill_id)
    context = {
        "skill": skill,
        "form": form,
        "may_change": allows(scope.role, "skill", "change"),
    }
    return render(request, "teams/skill.html", context, status=400 if form.errors else 200)


@access("skill", POST="create")
@require_POST
def import_skill(request: HttpRequest) -> HttpResponse:
    """Keep the skill of a zip that was sent; an admin enables it on its page."""
    file = request.FILES.get("file")
    if file is None:
        raise Invalid("file", _("Choose a zip with a SKILL.md"))
    found = package.from_zip(file.read(package.MOST_ZIP_BYTES + 1))
    kept = skills.keep_imported(scope_of(request), found.name, found.content)
    messages.info(request, _("Imported. Read it, then put it in force: until then no agent sees it."))
    return redirect("skill", kept.pk)


@access("skill", POST="delete")
@require_POST
def delete_skill(request: HttpRequest, skill_id: str) -> HttpResponse:
    """Remove a skill."""
    skills.delete(scope_of(request), skill_id)
    return redirect("skills")


def _kept(form: SkillForm, request: HttpRequest, skill: Skill | None) -> Skill | None:
    """Keep what was written; None where it is refused, which then stands in the form."""
    try:
        if skill is None:
            return skills.create(scope_of(request), **form.told())
        return skills.change(scope_of(request), skill.pk, **form.told())
    except OpenInternError as error:
        field = str((error.details or {}).get("field", "")).split(".")[0]
        form.add_error(field if field in form.fields else None, error.message)
        return None
