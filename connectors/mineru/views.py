"""The page of PDFs: send some, and see how far each is."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from connectors.mineru import asking
from openintern.errors import OpenInternError
from openintern.pages import render_frame, scope_of
from openintern.tenancy.access import access
from openintern.tenancy.policy import allows


@access("pdf", GET="read", POST="create")
@require_http_methods(["GET", "HEAD", "POST"])
def pdfs(request: HttpRequest) -> HttpResponse:
    """Show the latest batches; take new PDFs."""
    scope = scope_of(request)
    problem = ""
    if request.method == "POST":
        files = [
            (str(each.name or ""), cast(Any, each), int(each.size or 0)) for each in request.FILES.getlist("files")
        ]
        told = {name: value for name in ("model_version", "is_ocr", "language") if (value := request.POST.get(name))}
        try:
            asking.accept_batch(scope, files, told)
        except OpenInternError as error:
            problem = _(error.message)
        else:
            count = len(files)
            messages.success(
                request, ngettext("%(count)d PDF is read", "%(count)d PDFs are read", count) % {"count": count}
            )
            return redirect("pdfs")
    jobs = asking.latest(scope)
    context = {
        "jobs": jobs,
        "has_unfinished": any(not file.is_final for job in jobs for file in job.files.all()),
        "models": asking.MODELS,
        "problem": problem,
        "may_send": allows(scope.role, "pdf", "create"),
    }
    if problem:
        return render(request, "connectors/pdfs.html", context, status=400)
    return render_frame(request, page="connectors/pdfs.html", fragment="connectors/_pdfs.html", context=context)
