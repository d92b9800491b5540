"""Documents that were sent: how far each is, why one failed; to read again, to forget, to bring back."""

from __future__ import annotations

from typing import cast

from django.contrib.admin import EmptyFieldListFilter, action, display
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from memory.documents import shelving
from memory.models import Document
from openintern.administration import ReadOnlyPages, ask_first, asker, for_each
from openintern.sites import organization_admin
from openintern.tenancy.identity import ScopedRequest, may


class DocumentPages(ReadOnlyPages[Document]):
    """They are sent on the page of documents, by API or at the terminal."""

    list_display = ["name", "kind", "size", "state", "why", "pages", "passages", "whose", "author", "sent_at"]
    list_filter = ["state", "problem", "kind", ("forgotten_at", EmptyFieldListFilter)]
    search_fields = ["name", "title"]
    list_select_related = ["shelf__project", "shelf__user", "author"]
    ordering = ["-created_at", "-pk"]
    show_full_result_count = False
    actions = ["try_again", "forget", "restore"]
    fields = [
        "name",
        "title",
        "kind",
        "size",
        "version",
        "state",
        "why",
        "pages",
        "textless_pages",
        "passages",
        "whose",
        "author",
        "created_at",
        "sent_at",
        "finished_at",
        "forgotten_at",
        "page",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Document]:
        return super().get_queryset(request).filter(pk__in=Document.objects.for_scope(asker(request)).values("pk"))

    @display(description=_("problem"))
    def why(self, document: Document) -> str:
        return str(document.get_problem_display()) if document.problem else ""

    @display(description=_("whose"))
    def whose(self, document: Document) -> str:
        return str(document.shelf.project or document.shelf.user)

    @display(description=_("page"))
    def page(self, document: Document) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("documents"), _("open"))

    def has_keep_permission(self, request: HttpRequest) -> bool:
        return may(cast(ScopedRequest, request), "document", "delete")

    @action(description=_("Read the selected documents again"), permissions=["keep"])
    def try_again(self, request: HttpRequest, chosen: QuerySet[Document]) -> None:
        scope = asker(request)
        for_each(request, chosen, lambda document: shelving.try_again(scope, document.pk))

    @action(description=_("Forget the selected documents"), permissions=["keep"])
    def forget(self, request: HttpRequest, chosen: QuerySet[Document]) -> HttpResponse | None:
        there = chosen.filter(forgotten_at__isnull=True)
        title = _("Forget these documents?")
        note = _("What was derived from them is forgotten too. For 30 days they can be brought back.")
        if asked := ask_first(request, there, site=self.admin_site, action="forget", title=title, note=note):
            return asked
        scope, at = asker(request), timezone.now()
        for_each(request, there, lambda document: shelving.forget(scope, document.pk, at=at))
        return None

    @action(description=_("Bring back the selected documents"), permissions=["keep"])
    def restore(self, request: HttpRequest, chosen: QuerySet[Document]) -> HttpResponse | None:
        gone = chosen.filter(forgotten_at__isnull=False)
        title, note = _("Bring these documents back?"), _("What was forgotten along with them comes back too.")
        if asked := ask_first(request, gone, site=self.admin_site, action="restore", title=title, note=note):
            return asked
        scope, at = asker(request), timezone.now()
        for_each(request, gone, lambda document: shelving.bring_back(scope, document.pk, at=at))
        return None


organization_admin.register(Document, DocumentPages)
